"""Photos of an index → groups of copies."""
