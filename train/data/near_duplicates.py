"""Which photos are near-identical, so that they must not be torn apart by the split.

A copy, a re-compression or a resized version of a training photo in the test part would be measured
as skill. Two photos are near-identical when their 16 by 16 thumbnails differ little, in absolute
terms and in proportion to their own contrast (else all foggy skies would be one photo). A crop, a
mirror image or another shot of the same scene is not recognised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...infer.arrays import Pixels, connected

LARGEST_DIFFERENCE = 6.0  # of 255: root mean square over the thumbnail's values
MOST_OF_CONTRAST = 0.12  # of the thumbnails' own standard deviation
_BLOCK = 512  # rows compared at once: 512 by 100,000 differences take 0.2 GB


def near_identical_groups(thumbnails: Pixels) -> NDArray[np.int64]:
    """Give each photo a number that near-identical ones share.

    Args:
        thumbnails: uint8, shape = (photos, side, side, 3).

    Returns:
        shape = (photos,): the smallest index in each photo's group.
    """
    count = len(thumbnails)
    flat = thumbnails.reshape(count, -1).astype(np.float32)
    spread = flat.std(axis=1)
    squares = np.einsum("ij,ij->i", flat, flat)
    pairs = []
    for start in range(0, count, _BLOCK):
        rows = slice(start, min(start + _BLOCK, count))
        mean_square = squares[rows, None] + squares[None, start:] - 2 * flat[rows] @ flat[start:].T
        mean_square /= flat.shape[1]
        limit = np.minimum(
            LARGEST_DIFFERENCE,
            MOST_OF_CONTRAST * np.minimum(spread[rows, None], spread[None, start:]),
        )
        # A photo equals itself up to rounding; only pairs of two photos are of interest.
        left, right = np.nonzero(mean_square <= np.maximum(limit, 1e-3) ** 2)
        pairs.append(np.stack([left, right], axis=1)[left < right] + start)
    return connected(np.concatenate(pairs) if pairs else np.empty((0, 2), dtype=np.int64), count)
