"""A photo's details as they are stored: one signed byte for each number.

Details are compared by cosine, so only their direction counts: each vector is stretched until its
largest number is ±127, and brought to unit length again when it is read. No scale is stored.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Codes, Vectors

TOP = 127  # the largest code; −128 is not used, so that codes are symmetric


def quantise_details(details: Vectors) -> Codes:
    """Round details to bytes.

    Args:
        details: float32, shape = (…, dimension); of any length, since that is not kept.

    Returns:
        int8, of the same shape, −127 to 127; zeros for a vector of zeros.
    """
    largest = np.abs(details).max(axis=-1, keepdims=True, initial=0.0)
    scale = TOP / np.where(largest > 0, largest, 1)
    return np.rint(details * scale).astype(np.int8)


def details_of(codes: Codes) -> Vectors:
    """Give the unit vectors that codes stand for.

    Args:
        codes: int8, shape = (…, dimension).

    Returns:
        float32, of the same shape, of unit length; zeros for codes of zeros.
    """
    details = codes.astype(np.float32)
    lengths = np.linalg.norm(details, axis=-1, keepdims=True)
    return np.asarray(details / np.where(lengths > 0, lengths, 1), np.float32)
