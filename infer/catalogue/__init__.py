"""The truth about an index: one SQLite file of photos and their vectors, whole after any crash."""
