"""The one place where photos are compared: cosines, after the collection's mean has been taken off.

Photos of one collection share much, so that the vectors of any two of them point about the same
way: cosines of random pairs lie around 0.8. What they share is the mean of the collection. With it
taken off, and brought to unit length again, random pairs score about 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Vectors
from ..catalogue.rows import array_checksum

SCORE_DIGITS = 9  # decimals that count; the last ones depend on the order of additions


@dataclass(frozen=True, eq=False)
class Means:
    """What is taken from vectors before they are compared.

    Attributes:
        embedding: float32, shape = (dimension,); zeros where the collection is too small.
        details: float32, shape = (details,), likewise, of details at unit length.
    """

    embedding: Vectors
    details: Vectors

    @property
    def checksum(self) -> int:
        """CRC-32 of the embeddings' mean: tells which mean a graph was built with."""
        return array_checksum(self.embedding)


def centred(vectors: NDArray[Any], mean: Vectors) -> Vectors:
    """Take a mean from vectors and bring them to unit length: float32, of the same shape.

    A vector of zeros, and one that is the mean itself, becomes zeros: it is like nothing.
    """
    moved = np.asarray(vectors - mean, dtype=np.float32)
    lengths = np.sqrt(np.einsum("...i,...i->...", moved, moved))
    said = (lengths > 1e-6) & np.any(vectors, axis=-1)
    moved /= np.where(said, lengths, 1)[..., None]
    moved[~said] = 0
    return moved


def cosines(query: NDArray[Any], vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Compare one unit vector with others in double precision.

    Returns:
        float64, shape = (n,), in [−1, 1], rounded to ``SCORE_DIGITS``: equal vectors have equal
        scores, wherever in memory they lie.
    """
    products = np.asarray(vectors, np.float64) @ np.asarray(query, np.float64)
    found: NDArray[np.float64] = np.round(products.clip(-1.0, 1.0), SCORE_DIGITS)
    return found
