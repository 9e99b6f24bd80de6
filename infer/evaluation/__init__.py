"""Labelled photos and encoders → measures of retrieval, as tables and pages."""
