"""Labelled folders → a trained Keras classifier and its report."""
