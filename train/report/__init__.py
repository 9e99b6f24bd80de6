"""A trained classifier → its measures, charts and page."""
