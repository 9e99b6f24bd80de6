"""Files → upright pixels: which files are photos, and what is in them."""
