"""Labelled folders → pixels, split and augmented."""
