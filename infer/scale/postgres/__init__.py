"""An index in PostgreSQL: published from a local one, and asked from anywhere."""

from __future__ import annotations

SCHEMES = ("postgresql://", "postgres://")


def is_database(place: object) -> bool:
    """Tell whether a place of an index is an address of PostgreSQL."""
    return isinstance(place, str) and place.startswith(SCHEMES)
