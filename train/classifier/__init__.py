"""Pixels → a fitted classifier, epoch by epoch, so that a stopped run goes on."""
