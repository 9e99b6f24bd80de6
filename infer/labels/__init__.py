"""Teach by example: some photos that show a thing → the others that do, and where to write it."""
