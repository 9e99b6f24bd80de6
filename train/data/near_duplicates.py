"""Which photos are near-identical, so that they must not be torn apart by the split.

A copy, a re-compression or a resized version of a training photo in the test part would be measured
as skill. Two photos are near-identical when their 16 by 16 thumbnails differ little, in absolute
terms and in proportion to their own contrast (else all foggy skies would be one photo). A crop, a
mirror image or another shot of the same scene is not recognised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...infer.arrays import Pixels

LARGEST_DIFFERENCE = 6.0  # of 255: root mean square over the thumbnail's values
LARGEST_SHARE = 0.12  # of the thumbnails' own standard deviation
_BLOCK = 512  # rows compared at once: 512 by 100,000 differences take 0.2 GB


def near_identical_groups(thumbnails: Pixels) -> NDArray[np.intp]:
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
    leader = np.arange(count)
    for start in range(0, count, _BLOCK):
        rows = slice(start, min(start + _BLOCK, count))
        mean_square = squares[rows, None] + squares[None, start:] - 2 * flat[rows] @ flat[start:].T
        mean_square /= flat.shape[1]
        limit = np.minimum(
            LARGEST_DIFFERENCE, LARGEST_SHARE * np.minimum(spread[rows, None], spread[None, start:])
        )
        # A photo equals itself up to rounding; only pairs of two photos are of interest.
        left, right = np.nonzero(mean_square <= np.maximum(limit, 1e-3) ** 2)
        for one, other in zip(left + start, right + start, strict=True):
            if one < other:
                _join(leader, int(one), int(other))
    return np.asarray([_find(leader, index) for index in range(count)])


def _find(leader: NDArray[np.intp], index: int) -> int:
    while leader[index] != index:
        leader[index] = leader[leader[index]]
        index = leader[index]
    return index


def _join(leader: NDArray[np.intp], one: int, other: int) -> None:
    one, other = _find(leader, one), _find(leader, other)
    leader[max(one, other)] = min(one, other)
