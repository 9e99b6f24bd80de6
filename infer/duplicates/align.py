"""Do two pictures show the same photo? They are laid over each other and compared block by block.

A copy may be a part of the other (cropped) or lie inside it (a screenshot with its border); it may
be brighter, greyed, smaller, recompressed or carry a watermark. So each picture is first looked for
in windows of the other, at 12 × 12 pixels. The best window is then refined, at 32 and at 64 pixels,
by Gauss–Newton steps on its place, its size, and brightness and contrast (B. D. Lucas and
T. Kanade, "An iterative image registration technique with an application to stereo vision", 1981;
S. Baker and I. Matthews, "Lucas–Kanade 20 years on", 2004). What decides is in how many of the
picture's blocks the detail agrees: a watermark spoils some, another photo of the same thing most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Pixels, Vectors
from ..machine import available_cores

SIDE = 64  # pixels, both sides of a luminance_thumbnail
SAME_PHOTO = 0.75  # agreement from which on two pictures show the same photo (measured: README)
# How the second picture of a pair has to be turned to lie on the first; the order of turned().
TURNS = (
    "",
    "rotated 90° counterclockwise",
    "rotated 180°",
    "rotated 90° clockwise",
    "mirrored",
    "mirrored and rotated 90° counterclockwise",
    "mirrored upside down",
    "mirrored and rotated 90° clockwise",
)
BACK = (0, 3, 2, 1, 4, 5, 6, 7)  # which turn takes each of them back

_COARSE = 32  # pixels, both sides of the picture in which windows are looked for
_WINDOW = 12  # pixels, both sides of a window
_SCALES = (1.0, 0.93, 0.86, 0.79, 0.72, 0.65)  # of a window's side to the picture's
_OFFSET_STEP = 0.05  # of the picture's side: the most between two windows of one scale
_WORTH_REFINING = 0.65  # correlation of the best window; 1 pair of copies in 1,000 is below
# Side in pixels, Gauss–Newton steps, and the agreement that makes it worth going on.
_STAGES = ((32, 4, 0.3), (64, 2, SAME_PHOTO))
_LONGEST_STEP = 0.03  # of the side; a longer one has left the range in which it can be trusted
_LEAST_CONTRAST = 0.05  # of one picture to the other
_SIZES = (0.5, 1.3)  # of one picture's side to the other's: what refining may arrive at
_BLOCKS = 8  # into which both sides of a picture are divided
_DETAIL = 2.0  # grey levels (standard deviation in a block): less is flat or noise
_LEAST_BLOCKS = 6  # of the 64, with detail; with fewer, nothing can be said
_MAY_DISAGREE = 0.4  # of the blocks: a watermark, a retouched spot
_WINDOWED_AT_ONCE = 64  # pictures whose windows one thread cuts before it tells of its progress
_AT_ONCE = 128  # pairs that are refined together, some 30 MB

# Matrices are multiplied in stacks of small ones: from 2¹⁸ multiplications on, OpenBLAS would share
# each among threads, which takes longer than the product itself.

Thumbnails = NDArray[np.uint8]
Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """How well the pictures of some pairs agree where they lie over each other.

    Attributes:
        value: float32, shape = (pairs,), in [−1, 1]: the correlation of detail that all but
            ``_MAY_DISAGREE`` of the blocks reach; ``SAME_PHOTO`` or more is the same photo.
        turn: uint8, shape = (pairs,): index into ``TURNS``.
        in_second: bool, shape = (pairs,): the first picture was found in the second, turned one,
            and not the second in the first.
        place: float32, shape = (pairs, 4): where, as x, width, y, height in shares of the side;
            it may reach beyond.
    """

    value: Vectors
    turn: NDArray[np.uint8]
    in_second: NDArray[np.bool_]
    place: Vectors


def luminance_thumbnail(pixels: Pixels) -> Thumbnails:
    """Reduce a photo to what :func:`agreement` compares, its luminance (ITU-R BT.601).

    Args:
        pixels: uint8, shape = (SIDE, SIDE, 3), in RGB.

    Returns:
        uint8, shape = (SIDE, SIDE).
    """
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.asarray(np.rint(pixels.astype(np.float32) @ weights), dtype=np.uint8)


def agreement(
    thumbnails: Thumbnails,
    pairs: Pairs,
    *,
    any_orientation: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Agreement:
    """Compare pairs of pictures, on all cores.

    Args:
        thumbnails: uint8, shape = (n, SIDE, SIDE).
        pairs: int64, shape = (m, 2), positions among the thumbnails.
        any_orientation: try the second picture rotated and mirrored, too.
        progress: called time and again with the number of pairs that are done.
    """
    count = len(pairs)
    value = np.full(count, -1.0, dtype=np.float32)
    # Each pair twice: the second picture in windows of the first, and the other way round. All that
    # are about one picture's windows are done together, since cutting them takes longest.
    windowed = pairs.T.ravel()
    order = np.argsort(windowed, kind="stable")
    firsts = np.flatnonzero(np.diff(windowed[order], prepend=-1))
    parts = np.split(order, firsts[_WINDOWED_AT_ONCE::_WINDOWED_AT_ONCE]) if count else []
    sought = _Sought.for_rows(2 * count)
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="compare") as pool:
        try:
            done = 0
            search = partial(_searched, thumbnails, pairs, any_orientation)
            for part, found in zip(parts, pool.map(search, parts), strict=True):
                sought.put(part, found)
                done += len(part)
                progress(done // 4)  # half of the work, on one side of each pair
            row = np.arange(count) + count * (sought.score[count:] > sought.score[:count])
            best = sought.take(row)
            worth = np.flatnonzero(best.score >= _WORTH_REFINING)
            lots = [worth[n : n + _AT_ONCE] for n in range(0, len(worth), _AT_ONCE)]
            refine = partial(_refine, thumbnails, pairs, row >= count, best)
            done = count - len(worth)
            for lot, (reached, places) in zip(lots, pool.map(refine, lots), strict=True):
                value[lot], best.place[lot] = reached, places
                done += len(lot)
                progress(count // 2 + done // 2)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    progress(count)
    return Agreement(value, best.turn, row >= count, best.place)


def turned(picture: Vectors, turn: int) -> Vectors:
    """Turn pictures, shape = (…, side, side), in one of the eight ways."""
    mirrored = np.flip(picture, axis=-1) if turn >= 4 else picture
    return np.asarray(np.rot90(mirrored, turn % 4, axes=(-2, -1)))


# --- coarse: one picture as a window of the other ------------------------------------------------


@dataclass(frozen=True)
class _Sought:
    """Where pictures were found in windows of others.

    Attributes:
        score: float32, shape = (n,): correlation of the best window.
        place: float32, shape = (n, 4): x, width, y, height, as shares of the side.
        turn: uint8, shape = (n,): of the pair's second picture.
    """

    score: Vectors
    place: Vectors
    turn: NDArray[np.uint8]

    @classmethod
    def for_rows(cls, count: int) -> _Sought:
        return cls(
            np.full(count, -np.inf, dtype=np.float32),
            np.zeros((count, 4), dtype=np.float32),
            np.zeros(count, dtype=np.uint8),
        )

    def put(self, rows: NDArray[np.int64], found: _Sought) -> None:
        self.score[rows], self.place[rows], self.turn[rows] = found.score, found.place, found.turn

    def take(self, rows: NDArray[Any]) -> _Sought:
        return _Sought(self.score[rows], self.place[rows], self.turn[rows])


def _searched(
    thumbnails: Thumbnails, pairs: Pairs, any_orientation: bool, rows: NDArray[np.int64]
) -> _Sought:
    """Find the best window of one picture for the whole of another.

    Args:
        thumbnails: of all.
        pairs: shape = (m, 2).
        any_orientation: try the second picture of each pair turned, too.
        rows: n searches for the second picture of pair n in the first, m + n for the first in the
            second. Those that search in one picture follow one another.
    """
    found = _Sought.for_rows(len(rows))
    side, pair = np.divmod(rows, len(pairs))
    windowed, inner = pairs[pair, side], pairs[pair, 1 - side]
    starts = np.flatnonzero(np.diff(windowed, prepend=-1))
    for part in np.split(np.arange(len(rows)), starts[1:]):
        windows, lengths = _windows_of(thumbnails[windowed[part[0]]])
        pictures = shrunk(thumbnails[inner[part]].astype(np.float32), _WINDOW)
        for second in (0, 1):
            mine = part[side[part] == second]
            if not len(mine):
                continue
            small = pictures[side[part] == second]
            for turn in range(len(TURNS) if any_orientation else 1):
                # Turning the second picture back is as good as turning the first one.
                laid = turned(small, BACK[turn] if second else turn)
                wanted = normed(laid.reshape(len(mine), -1))
                scores = (windows @ wanted.T).reshape(-1, len(mine)) / lengths[:, None]
                window = scores.argmax(axis=0)
                score = scores[window, np.arange(len(mine))]
                better = score > found.score[mine]
                changed, place = mine[better], _place(window[better])
                found.score[changed], found.turn[changed] = score[better], turn
                # A window of the second picture was found in its own frame: it turns with it.
                found.place[changed] = turned_places(place, turn) if second else place
    return found


def turned_places(places: Vectors, turn: int) -> Vectors:
    """Move windows as :func:`turned` moves the pixels of the picture that they lie in."""
    x, width, y, height = places.T
    if turn >= 4:
        x = 1 - x - width
    for _ in range(turn % 4):  # 90° counterclockwise: what was right is now at the top
        x, width, y, height = y, height, 1 - x - width, width
    return np.stack([x, width, y, height], axis=1)


@lru_cache(maxsize=1)
def _windows() -> tuple[Vectors, Vectors]:
    """List the windows along one axis.

    Returns:
        offset and size as shares of the side, shape = (n, 2), and how much each pixel of the
        picture counts in each pixel of the window, shape = (n, _WINDOW, _COARSE).
    """
    places = []
    for scale in _SCALES:
        count = 1 + int(np.ceil((1 - scale) / _OFFSET_STEP - 1e-9))
        places += [(offset, scale) for offset in np.linspace(0, 1 - scale, count)]
    weights = np.stack([_box_weights(*place, _WINDOW, _COARSE) for place in places])
    return np.array(places, dtype=np.float32), weights


def _windows_of(picture: Thumbnails) -> tuple[Vectors, Vectors]:
    """Cut all windows out of a picture.

    Returns:
        float32, shape = (n, n, _WINDOW²), and the length of each without its mean, shape = (n²,),
        the windows' places along y first.
    """
    _, weights = _windows()
    count = len(weights)
    rows = weights @ shrunk(picture[None].astype(np.float32), _COARSE)[0]
    cut = rows @ weights.reshape(-1, _COARSE).T
    cut = cut.reshape(count, _WINDOW, count, _WINDOW).transpose(0, 2, 1, 3)
    windows = np.ascontiguousarray(cut).reshape(count, count, -1)
    squares = np.einsum("ijk,ijk->ij", windows, windows)
    spread = squares - windows.shape[2] * windows.mean(axis=2) ** 2
    return windows, np.sqrt(np.maximum(spread, 1.0)).ravel()


def _place(window: NDArray[np.int64]) -> Vectors:
    """Tell where windows lie: x, width, y, height as shares of the side, shape = (n, 4)."""
    places, _ = _windows()
    y, x = np.divmod(window, len(places))
    return np.concatenate([places[x], places[y]], axis=1)


def shrunk(pictures: Vectors, side: int) -> Vectors:
    """Average pictures, shape = (n, s, s), into cells: float32, shape = (n, side, side)."""
    if pictures.shape[1] == side:
        return pictures
    along = _averages(pictures.shape[1], side)
    return np.asarray(along @ pictures @ along.T, dtype=np.float32)


@lru_cache(maxsize=4)
def _averages(full: int, side: int) -> Vectors:
    """How much each of ``full`` pixels counts in each of ``side``: shape = (side, full)."""
    return _box_weights(0.0, 1.0, side, full)


def _box_weights(offset: float, size: float, cells: int, pixels: int) -> Vectors:
    """How much each pixel of a line counts in each cell of a part of it: (cells, pixels)."""
    edges = np.arange(pixels + 1) / pixels
    borders = offset + size * np.arange(cells + 1) / cells
    low = np.maximum(borders[:-1, None], edges[None, :-1])
    high = np.minimum(borders[1:, None], edges[None, 1:])
    return np.asarray(np.clip(high - low, 0, None) / (size / cells), dtype=np.float32)


def normed(rows: Vectors) -> Vectors:
    """Subtract each row's mean and divide by its length; the dot product is then a correlation."""
    centred = rows - rows.mean(axis=-1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.asarray(centred / np.maximum(lengths, 1e-3), dtype=np.float32)


# --- fine: where exactly, and do they agree? -----------------------------------------------------


def _refine(
    thumbnails: Thumbnails,
    pairs: Pairs,
    in_second: NDArray[np.bool_],
    best: _Sought,
    rows: NDArray[np.int64],
) -> tuple[Vectors, Vectors]:
    """Lay the pictures of some pairs exactly over each other; tell how well they agree, and where.

    Returns:
        the agreement, shape = (n,), and the places, shape = (n, 4).
    """
    one = thumbnails[pairs[rows, 0]].astype(np.float32)
    other = thumbnails[pairs[rows, 1]].astype(np.float32)
    for number, turn in enumerate(best.turn[rows]):
        other[number] = turned(other[number], int(turn))
    swap = in_second[rows, None, None]
    whole, inner = np.where(swap, other, one), np.where(swap, one, other)
    value = np.full(len(rows), -1.0, dtype=np.float32)
    places, left = best.place[rows], np.arange(len(rows))
    for side, steps, enough in _STAGES:
        places[left] = _refined(whole[left], inner[left], places[left], side, steps)
        value[left] = _agreement_at(whole[left], inner[left], places[left], side)
        left = left[value[left] >= enough]
        if not len(left):
            break
    return value, places


def _refined(whole: Vectors, inner: Vectors, places: Vectors, side: int, steps: int) -> Vectors:
    """Improve the places of the inner pictures in the whole ones, at one resolution."""
    count = len(whole)
    picture, sought = shrunk(whole, side), shrunk(inner, side)
    slope_x = np.asarray(np.gradient(picture, 1 / side, axis=2), dtype=np.float32)
    slope_y = np.asarray(np.gradient(picture, 1 / side, axis=1), dtype=np.float32)
    centres: Vectors = np.asarray((np.arange(side) + 0.5) / side, dtype=np.float32)
    across, down = centres, centres[:, None]
    places = places.astype(np.float64)
    for _ in range(steps):
        by_x, by_y, seen, inside = _overlaid([slope_x, slope_y, picture], places)
        # sought ≈ contrast · (seen + slope · step) + brightness: linear in contrast · step, in
        # contrast and in brightness.
        columns = [by_x, by_x * across, by_y, by_y * down, seen, np.ones_like(seen), sought]
        matrix: Vectors = np.stack([c.reshape(count, -1) for c in columns], axis=1)
        products = (matrix * inside.reshape(count, 1, -1)) @ matrix.transpose(0, 2, 1)
        products = products[:, :-1].astype(np.float64)
        products[:, :, :-1] += 1e-3 * np.eye(len(columns) - 1)  # a flat picture has no slope
        solution = np.linalg.solve(products[:, :, :-1], products[:, :, -1:])[..., 0]
        contrast = np.maximum(solution[:, 4:5], _LEAST_CONTRAST)
        places += np.clip(solution[:, :4] / contrast, -_LONGEST_STEP, _LONGEST_STEP)
        places[:, 1::2] = np.clip(places[:, 1::2], *_SIZES)
    return places.astype(np.float32)


def _overlaid(pictures: Sequence[Vectors], places: NDArray[Any]) -> list[Vectors]:
    """Read pictures where the inner one's pixels lie in them (bilinear).

    Returns:
        the pictures, and which pixels lie in them (1 or 0), each of shape (n, side, side).
    """
    side = pictures[0].shape[1]
    steps = (np.arange(side) + 0.5) / side
    axes, inside = [], []
    for offset, size in ((0, 1), (2, 3)):
        at = (places[:, offset, None] + places[:, size, None] * steps) * side - 0.5
        inside.append((np.abs(at - (side - 1) / 2) <= side / 2).astype(np.float32))
        # How much each pixel of the picture counts: a hat of width one around the place.
        distance = np.abs(np.clip(at, 0, side - 1)[:, :, None] - np.arange(side))
        axes.append(np.maximum(1 - distance, 0).astype(np.float32))
    across, down = axes
    read = [down @ picture @ across.transpose(0, 2, 1) for picture in pictures]
    return [*read, inside[1][:, :, None] * inside[0][:, None, :]]


def _agreement_at(whole: Vectors, inner: Vectors, places: Vectors, side: int) -> Vectors:
    """Correlate the blocks of pictures that lie over each other, at one resolution."""
    count, block = len(whole), side // _BLOCKS
    inner = shrunk(inner, side)
    seen, inside = _overlaid([shrunk(whole, side)], places)

    def sums(values: Vectors) -> Vectors:
        blocks = values.reshape(count, _BLOCKS, block, _BLOCKS, block)
        return np.asarray(blocks.sum(axis=(2, 4)).reshape(count, -1))

    pixels = sums(inside)
    covered = pixels >= block * block / 2
    pixels = np.maximum(pixels, 1)
    mean_seen, mean_inner = sums(seen * inside) / pixels, sums(inner * inside) / pixels
    together = sums(seen * inner * inside) / pixels - mean_seen * mean_inner
    spread_seen = np.maximum(sums(seen * seen * inside) / pixels - mean_seen**2, 0)
    spread_inner = np.maximum(sums(inner * inner * inside) / pixels - mean_inner**2, 0)
    # One grey level of noise is granted to each, so that flat blocks cannot agree by chance.
    local = together / np.sqrt((spread_seen + 1) * (spread_inner + 1))
    detailed = covered & (np.maximum(spread_seen, spread_inner) > _DETAIL**2)
    local = np.sort(np.where(detailed, local, np.inf), axis=1)
    blocks = detailed.sum(axis=1)
    worst = np.minimum((blocks * _MAY_DISAGREE).astype(int), local.shape[1] - 1)
    reached = local[np.arange(count), worst]
    return np.where(blocks >= _LEAST_BLOCKS, reached, -1.0).astype(np.float32)
