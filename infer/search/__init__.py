"""Vectors → ranked candidates: by an exact scan, or by an hnswlib graph that can be thrown away."""
