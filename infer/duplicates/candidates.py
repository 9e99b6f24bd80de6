"""Which pairs of photos are worth comparing: near in the index, or near in luminance.

The index brings crops and frames together, whatever has moved in the picture. Luminance, in
8 × 8 cells, bring together what an encoder may take for different: grey, dark and tiny copies.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..index.image_index import ImageIndex
from .align import TURNS, Pairs, Thumbnails, normed, shrunk, turned

NEAR_IN_INDEX = 16  # nearest others of a photo that are candidates
NEAR_IN_LUMINANCE = 8  # likewise, in luminance
NEAR_WHEN_TURNED = 2  # likewise, in each of the seven other orientations
_CELLS = 8  # both sides of a picture reduced to luminance
_AT_ONCE = 4096  # pictures that are reduced together
_SCORES_AT_ONCE = 1 << 24  # 64 MB


def near_in_index(
    index: ImageIndex, content_of: dict[int, int], within: Path | str | None
) -> Pairs:
    """List pairs of contents by the index's self-join.

    Args:
        index: of the photos.
        content_of: the photos' ids → numbers of their contents.
        within: only photos below this folder.

    Returns:
        int64, shape = (m, 2), numbers of contents, the lower first, each pair once.
    """
    keys = []
    count = max(len(content_of), 1)
    for part in index.neighbours(NEAR_IN_INDEX, within=within):
        known = (content_of.get(photo, -1) for photo in part.ids.tolist())
        one = np.repeat(np.fromiter(known, dtype=np.int64), part.neighbours.shape[1])
        others = (content_of.get(photo, -1) for photo in part.neighbours.ravel().tolist())
        # −1: fewer neighbours than asked for, or a photo that was added meanwhile.
        keys.append(_keys(one, np.fromiter(others, dtype=np.int64), count))
    return _pairs(keys, count)


def near_in_luminance(
    thumbnails: Thumbnails, readable: NDArray[np.bool_], *, any_orientation: bool = False
) -> Pairs:
    """List pairs of pictures that are alike in luminance, by comparing all, part by part.

    Args:
        thumbnails: uint8, shape = (n, SIDE, SIDE).
        readable: bool, shape = (n,): which to look at.
        any_orientation: look for rotated and mirrored pictures, too.

    Returns:
        as :func:`near_in_index`.
    """
    number = np.flatnonzero(readable)
    cells = np.empty((len(number), _CELLS, _CELLS), dtype=np.float32)
    for first in range(0, len(number), _AT_ONCE):
        part = thumbnails[number[first : first + _AT_ONCE]].astype(np.float32)
        cells[first : first + len(part)] = shrunk(part, _CELLS)
    vectors = normed(cells.reshape(len(number), _CELLS * _CELLS))
    keys = []
    step = max(1, _SCORES_AT_ONCE // max(len(number), 1))
    for turn in range(len(TURNS) if any_orientation else 1):
        k = min(NEAR_WHEN_TURNED if turn else NEAR_IN_LUMINANCE, len(number) - 1)
        for first in range(0, len(number) if k > 0 else 0, step):
            queries = turned(cells[first : first + step], turn)
            scores = normed(queries.reshape(len(queries), -1)) @ vectors.T
            rows = np.arange(len(scores))
            scores[rows, first + rows] = -np.inf  # itself
            nearest = np.argpartition(scores, -k, axis=1)[:, -k:]
            one = np.repeat(number[first + rows], k)
            keys.append(_keys(one, number[nearest.ravel()], len(readable)))
    return _pairs(keys, max(len(readable), 1))


def _keys(one: NDArray[np.int64], other: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Make one number of each pair of different ones."""
    both = (one >= 0) & (other >= 0) & (one != other)
    one, other = one[both], other[both]
    return np.unique(np.minimum(one, other) * count + np.maximum(one, other))


def _pairs(keys: list[NDArray[np.int64]], count: int) -> Pairs:
    every = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *keys]))
    return np.stack(np.divmod(every, count), axis=1)
