"""Vectors → places on a grid where neighbours are alike.

A self-sorting map: photos begin in the order of their two principal directions. Then the picture of
the whole is smoothed, and cells in fours, ever closer together, exchange their photos so that each
lies where the smoothed picture is most like it. The radius of smoothing shrinks with every round.

References: G. Strong, M. Gong, "Self-Sorting Map: An Efficient Algorithm for Presenting Multimedia
Data in Structured Layouts" (2014); K. U. Barthel et al., "Improved Evaluation and Generation of
Grid Layouts using Distance Preservation Quality and Linear Assignment Sorting" (2023), whose
smoothing by a box of shrinking radius is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import permutations
from math import ceil, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Vectors
from ..progress import Progress

DIRECTIONS = 16  # principal directions that are looked at
PROPORTION = 1.5  # columns to rows
SHRINK = 0.93  # of the radius, from round to round
EXCHANGES = 4  # in a round
FEW = 4  # columns or rows of the coarsest grid
NOBODY = -1

Grid = NDArray[np.int64]
# Which of four photos goes to each of four cells.
_ORDERS = np.array(list(permutations(range(4))))


@dataclass(frozen=True)
class Pyramid:
    """A grid, and coarser ones of the most typical photos of its blocks.

    Attributes:
        levels: int64, shape = (rows, columns): the first is the grid itself; in each of the others
            a cell stands for four of the one before. What is in a cell is a photo's number among
            the features, or ``NOBODY``.
    """

    levels: tuple[Grid, ...]


def principal(parts: Callable[[], Iterable[Vectors]]) -> Vectors:
    """Project vectors to their principal directions, without holding more than a part of them.

    Args:
        parts: gives the vectors, float32, shape = (some, dimension), a part at a time; the same
            ones each time that it is called.

    Returns:
        float32, shape = (n, at most ``DIRECTIONS``).
    """
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for part in parts():
        wide = part.astype(np.float64)
        count += len(wide)
        total = total + wide.sum(axis=0)
        squares = squares + wide.T @ wide
    if not count:
        return np.empty((0, DIRECTIONS), np.float32)
    mean = total / count
    directions = np.linalg.svd(squares / count - np.outer(mean, mean))[0][:, :DIRECTIONS]
    return np.concatenate([((part - mean) @ directions).astype(np.float32) for part in parts()])


def arrange(features: Vectors, on_progress: Progress | None = None, *, seed: int = 0) -> Pyramid:
    """Place photos on a grid.

    Args:
        features: of the photos, float32, shape = (n, directions), n > 0; the directions in the
            order of their weight, as :func:`principal` gives them.
        on_progress: called with the rounds that are done and all there are.
        seed: the same one gives the same grid.
    """
    columns = max(1, ceil(sqrt(len(features) * PROPORTION)))
    rows = ceil(len(features) / columns)
    grid = _begin(features, rows, columns)
    # The last one is nobody: no vector, and no weight.
    features = np.concatenate([features, np.zeros((1, features.shape[1]), np.float32)])
    random = np.random.default_rng(seed)
    widest = max(rows, columns) / 2
    rounds = 1 + max(0, ceil(log(max(1.0, widest)) / -log(SHRINK)))
    for number in range(rounds):
        radius = max(1, round(widest * SHRINK**number))
        wanted = _smooth(features[grid], grid != NOBODY, radius)
        for _ in range(EXCHANGES):
            _exchange(grid, features, wanted, radius, random)
        if on_progress:
            on_progress(number + 1, rounds)
    return Pyramid(tuple(_levels(grid, features)))


def _begin(features: Vectors, rows: int, columns: int) -> Grid:
    """Fill columns by the first direction, and each from the top by the second."""
    grid = np.full((columns, rows), NOBODY)
    order = np.argsort(features[:, 0], kind="stable")
    second = features[:, min(1, features.shape[1] - 1)]
    # As evenly as can be: a column that lacks a photo lacks it at its foot.
    for column, numbers in enumerate(np.array_split(order, columns)):
        grid[column, : len(numbers)] = numbers[np.argsort(second[numbers], kind="stable")]
    return np.ascontiguousarray(grid.T)


def _smooth(
    placed: NDArray[np.float32], is_taken: NDArray[np.bool_], radius: int
) -> NDArray[np.float32]:
    """Take the mean of all photos in the box around each cell, shape = (cells, directions)."""
    sums = _box(_box(placed, 0, radius), 1, radius)
    counts = _box(_box(is_taken[..., None].astype(np.float32), 0, radius), 1, radius)
    means = (sums / np.maximum(counts, 1)).astype(np.float32)
    return means.reshape(-1, placed.shape[-1])


def _box(values: NDArray[np.float32], axis: int, radius: int) -> NDArray[np.float32]:
    length = values.shape[axis]
    start = np.zeros_like(np.take(values, [0], axis))
    sums = np.concatenate([start, np.cumsum(values, axis, dtype=np.float32)], axis)
    places = np.arange(length)
    last = np.minimum(places + radius + 1, length)
    within: NDArray[np.float32] = np.take(sums, last, axis) - np.take(
        sums, np.maximum(places - radius, 0), axis
    )
    return within


def _exchange(
    grid: Grid,
    features: Vectors,
    wanted: NDArray[np.float32],
    radius: int,
    random: np.random.Generator,
) -> None:
    """Put each of many fours of cells in its best order; no cell is in two of them."""
    rows, columns = grid.shape
    down, across = random.integers(1, radius + 1, 2).tolist()
    fours = _fours(rows, columns, down, across, random)
    flat = grid.reshape(-1)
    photos = flat[fours]
    targets = wanted[fours]
    # Squared distances, less what is the same in every order.
    costs = -2 * (targets @ features[photos].transpose(0, 2, 1))
    costs += np.square(targets).sum(axis=2)[:, :, None] * (photos != NOBODY)[:, None, :]
    totals = sum(costs[:, cell, _ORDERS[:, cell]] for cell in range(4))
    best = _ORDERS[np.argmin(totals, axis=1)]
    flat[fours] = np.take_along_axis(photos, best, axis=1)


def _fours(
    rows: int, columns: int, down: int, across: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Choose the corners of rectangles of a size, as numbers of cells, shape = (m, 4)."""
    uppers, lowers = _pairs(rows, down, random)
    lefts, rights = _pairs(columns, across, random)
    corners = [
        (vertical[:, None] * columns + horizontal).reshape(-1)
        for vertical in (uppers, lowers)
        for horizontal in (lefts, rights)
    ]
    return np.stack(corners, axis=1)


def _pairs(
    length: int, apart: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    apart = min(apart, max(1, length // 2))
    places = np.arange(length)
    offset = int(random.integers(0, 2 * apart))
    firsts = places[((places + offset) // apart % 2 == 0) & (places + apart < length)]
    return firsts, firsts + apart


def _levels(grid: Grid, features: Vectors) -> list[Grid]:
    """Stand the most typical of four photos for them, until few are left."""
    levels = [grid]
    sums = features[grid]
    counts = (grid != NOBODY)[..., None].astype(np.float32)
    while max(levels[-1].shape) > FEW:
        sums = _in_fours(sums, 0).sum(axis=2)
        counts = _in_fours(counts, 0).sum(axis=2)
        fours = _in_fours(levels[-1][..., None], NOBODY)[..., 0]
        means = (sums / np.maximum(counts, 1))[:, :, None]
        distances = np.square(features[fours] - means).sum(axis=-1)
        distances[fours == NOBODY] = np.inf
        best = distances.argmin(axis=-1)[..., None]
        levels.append(np.take_along_axis(fours, best, axis=-1)[..., 0])
    return levels


def _in_fours(values: NDArray[Any], missing: int) -> NDArray[Any]:
    """Turn shape (rows, columns, d) into (rows / 2, columns / 2, 4, d), filled up at the edges."""
    rows, columns, size = values.shape
    filled = np.pad(values, ((0, rows % 2), (0, columns % 2), (0, 0)), constant_values=missing)
    split = filled.reshape(-(-rows // 2), 2, -(-columns // 2), 2, size).swapaxes(1, 2)
    fours: NDArray[Any] = split.reshape(*split.shape[:2], 4, size)
    return fours
