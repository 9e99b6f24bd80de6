"""What is left when two pictures lie over each other, at a resolution at which text can be read?

Compression, scaling, brightness and a crop leave noise that is small beside the detail around it.
Another word, another pose, another shot leave places where the detail of the one is not that of the
other. So the pictures are laid over each other to a fraction of a pixel (Gauss–Newton, as in
:mod:`.align`), brought to one sharpness and one tone, and compared block by block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..arrays import Vectors
from .detail import lost_to_clipping, own_detail
from .frames import WHOLE, Box

LONGEST = 1024  # pixels: the longer side at which pictures are decoded to be judged
_MOST_PIXELS = 400_000  # of the part that is compared
_LEAST_SIDE = 24  # pixels of that part; less tells nothing
_FIRST_SIDE = 96  # pixels of the longer side at which the place is first improved
_STEPS = 3  # of Gauss–Newton at each size
_LONGEST_STEP = 0.02  # of the part's side
# Detail left over at that size, before the place is improved and after: with more, they are
# different. Of 4,700 pairs with a verdict none left more than 0.58 and 0.14 (README).
_HOPELESS = (0.9, 0.25)

_BLOCK = 12  # pixels of a block's sides
_UNEXPLAINED = 0.5  # of the detail of both in a block: two unlike ones leave all of it
_NOISE = 9.0  # grey levels: a residual below this is what compression makes
_DETAIL = 6.0  # grey levels (standard deviation): a block with less is flat
_MUCH_AROUND = 0.15  # of an image
_PLAIN = 0.9  # of the blocks around the common part: the others may be a status bar or a caption
_BINS = 32  # of luminance, in which a change of tone is measured


@dataclass(frozen=True)
class Overlap:
    """Which part of one picture lies on which part of another.

    A point at the share u of the second picture's side lies at ``offset + scale · u`` of the first.

    Attributes:
        offset: along x and y.
        scale: likewise.
        first: the box within which the first image is the picture, not its frame.
        second: likewise.
    """

    offset: tuple[float, float]
    scale: tuple[float, float]
    first: Box = WHOLE
    second: Box = WHOLE

    def boxes(self) -> tuple[Box, Box] | None:
        """Give the common part as a box in each image; None where there is none."""
        sides: list[tuple[float, float]] = []
        for axis in (0, 1):
            offset, scale = self.offset[axis], self.scale[axis]
            low, length = self.second[2 * axis : 2 * axis + 2]
            start, extent = self.first[2 * axis : 2 * axis + 2]
            begin = max(low, (start - offset) / scale)
            end = min(low + length, (start + extent - offset) / scale)
            if end - begin < 0.02:
                return None
            sides.append((begin, end - begin))
        (x, width), (y, height) = sides
        second = (x, width, y, height)
        (dx, dy), (sx, sy) = self.offset, self.scale
        return (dx + sx * x, sx * width, dy + sy * y, sy * height), second

    def moved(self, by: tuple[float, float], stretched: tuple[float, float]) -> Overlap:
        """Add to the place and to the size."""
        offset = (self.offset[0] + by[0], self.offset[1] + by[1])
        scale = (self.scale[0] + stretched[0], self.scale[1] + stretched[1])
        return Overlap(offset, scale, self.first, self.second)


@dataclass(frozen=True)
class Residual:
    """What two pictures differ in.

    Attributes:
        overlap: where they lie.
        blocks: how many have detail in either.
        unlike: how many of these are unlike in more than noise.
        cluster: how many unlike ones touch one another, at most.
        left_over: share of all detail that the other picture does not explain, in [0, 1].
        flat: share of the blocks without detail in either.
        tone: the largest change of luminance that had to be assumed, in grey levels.
        colour: difference of colour that remains when one is brought to the tone of the other, in
            levels; 0 where one is grey.
        grey: whether the first and whether the second has no colour.
        detail: fine detail of the first that the second has not, and the other way round, in grey
            levels, at the size of the larger one.
        clipped: what the first has lost by being white or black only, and the second, in grey
            levels of the other one.
        plain_around: whether there is much around the common part of the first, and of the second,
            that is plain but for a line of text.
    """

    overlap: Overlap
    blocks: int
    unlike: int
    cluster: int
    left_over: float
    flat: float
    tone: float
    colour: float
    grey: tuple[bool, bool]
    detail: tuple[float, float]
    clipped: tuple[float, float]
    plain_around: tuple[bool, bool]


def residual(
    first: Image.Image,
    second: Image.Image,
    sizes: tuple[tuple[int, int], tuple[int, int]],
    overlap: Overlap,
) -> Residual | None:
    """Compare two pictures where they lie over each other.

    Args:
        first: in RGB, upright.
        second: likewise, turned as the first is.
        sizes: width and height of each in its file, in pixels.
        overlap: about where they lie, to some hundredths of their sides.

    Returns:
        None where too little of them lies over each other, or where they are so different that it
        shows when they are small.
    """
    grey = first.convert("L"), second.convert("L")
    exact = _refined(grey, sizes, overlap)
    boxes = exact.boxes() if exact else None
    if exact is None or boxes is None:
        return None
    size = _common_size(grey, sizes, boxes)
    if size is None:
        return None
    one, other = _both(grey, boxes, size)
    one_soft, other_soft = _as_sharp(one, other, (_sharpness(one), _sharpness(other)))
    toned, target, tone = _toned(one_soft, other_soft)
    blocks = _blocks(toned, target, (one, other))
    colour, greys = _colour(first, second, boxes)
    clipped = lost_to_clipping(one_soft, other_soft)
    # At the size of the larger one: a smaller copy is soft there, and an enlarged one is, too.
    large = _common_size(grey, sizes, boxes, larger=True) or size
    if large != size:
        one, other = _both(grey, boxes, large)
    detail = own_detail(one, other)
    plain = _is_plain_around(grey[0], boxes[0]), _is_plain_around(grey[1], boxes[1])
    return Residual(exact, *blocks, tone, colour, greys, detail, clipped, plain)


# --- where exactly -------------------------------------------------------------------------------


def _common_size(
    images: tuple[Image.Image, Image.Image],
    sizes: tuple[tuple[int, int], tuple[int, int]],
    boxes: tuple[Box, Box],
    *,
    larger: bool = False,
) -> tuple[int, int] | None:
    """Give the size at which neither part is enlarged, or the larger one's."""
    sides = [
        (box[1] * min(image.width, of_file[0]), box[3] * min(image.height, of_file[1]))
        for image, of_file, box in zip(images, sizes, boxes, strict=True)
    ]
    choose = max if larger else min
    width, height = (choose(both) for both in zip(*sides, strict=True))
    shrink = min(1.0, (_MOST_PIXELS / max(width * height, 1e-9)) ** 0.5)
    size = round(width * shrink), round(height * shrink)
    return size if min(size) >= _LEAST_SIDE else None


def _cut(image: Image.Image, box: Box, size: tuple[int, int]) -> Vectors:
    x, width, y, height = box
    left, upper = max(0.0, x * image.width), max(0.0, y * image.height)
    right = min(image.width, (x + width) * image.width)
    lower = min(image.height, (y + height) * image.height)
    part = image.resize(size, Image.Resampling.BICUBIC, (left, upper, right, lower))
    return np.asarray(part, dtype=np.float32)


def _both(
    images: tuple[Image.Image, Image.Image], boxes: tuple[Box, Box], size: tuple[int, int]
) -> tuple[Vectors, Vectors]:
    """Cut the common part out of two pictures."""
    return _cut(images[0], boxes[0], size), _cut(images[1], boxes[1], size)


def _refined(
    grey: tuple[Image.Image, Image.Image],
    sizes: tuple[tuple[int, int], tuple[int, int]],
    overlap: Overlap,
) -> Overlap | None:
    """Improve the place, at a small size and then at the one that is judged.

    Returns:
        None where they differ already at the small size.
    """
    for is_last in (False, True):
        for step in range(_STEPS):
            boxes = overlap.boxes()
            size = boxes and _common_size(grey, sizes, boxes)
            if boxes is None or size is None:
                return None
            small = _reduced(size)
            if step == 0 and _left_over(*_both(grey, boxes, small)) > _HOPELESS[is_last]:
                return None
            one, other = _both(grey, boxes, size if is_last else small)
            overlap = overlap.moved(*_step(one, other, boxes))
    return overlap


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    shrink = min(1.0, _FIRST_SIDE / max(size))
    return max(16, round(size[0] * shrink)), max(16, round(size[1] * shrink))


def _step(
    one: Vectors, other: Vectors, boxes: tuple[Box, Box]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Solve for a step: other ≈ contrast · (one + slope · step) + brightness."""
    height, width = one.shape
    across = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
    down = ((np.arange(height, dtype=np.float32) + 0.5) / height - 0.5)[:, None]
    slope_y, slope_x = np.gradient(one)
    slope_x, slope_y = slope_x * width, slope_y * height  # for each share of the part's side
    columns = [slope_x, slope_x * across, slope_y, slope_y * down, one, np.ones_like(one)]
    matrix = np.stack([column.ravel() for column in columns]).astype(np.float64)
    products = matrix @ matrix.T + 1e-3 * np.eye(len(columns))
    solution = np.linalg.solve(products, matrix @ other.ravel())
    contrast = max(float(solution[4]), 0.2)
    x, wider, y, higher = np.clip(solution[:4] / contrast, -_LONGEST_STEP, _LONGEST_STEP).tolist()
    (_, first_width, _, first_height), (x2, width2, y2, height2) = boxes
    # From shares of the part, around its middle, to shares of the first image's sides.
    scale = wider * first_width / width2, higher * first_height / height2
    middle = x2 + width2 / 2, y2 + height2 / 2
    offset = (
        x * first_width - scale[0] * middle[0],
        y * first_height - scale[1] * middle[1],
    )
    return offset, scale


# --- one sharpness, one tone ---------------------------------------------------------------------


def _sharpness(picture: Vectors) -> float:
    """Tell how much of the detail is fine, whatever the contrast: a share of what is coarser."""
    fine = np.diff(picture, axis=0)[:, :-1] ** 2 + np.diff(picture, axis=1)[:-1] ** 2
    coarse = (picture[4:] - picture[:-4])[:, 4:] ** 2 + (picture[:, 4:] - picture[:, :-4])[4:] ** 2
    return float(np.sqrt(fine.mean() / max(coarse.mean(), 1e-6)))


def _as_sharp(
    one: Vectors, other: Vectors, sharpness: tuple[float, float]
) -> tuple[Vectors, Vectors]:
    """Soften the sharper of two pictures until it is as soft as the other."""
    if sharpness[0] < sharpness[1]:
        other, one = _as_sharp(other, one, (sharpness[1], sharpness[0]))
        return one, other
    low, high = 0.0, 4.0  # pixels: standard deviation of a Gaussian
    if sharpness[0] > sharpness[1] * 1.03:
        for _ in range(6):
            middle = (low + high) / 2
            softer = _sharpness(_softened(one, middle)) < sharpness[1]
            low, high = (low, middle) if softer else (middle, high)
        one = _softened(one, high)
    return one, other


def _softened(picture: Vectors, deviation: float) -> Vectors:
    """Convolve with a Gaussian; the border repeats."""
    reach = int(np.ceil(3 * deviation))
    if not reach:
        return picture
    steps = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (steps / deviation) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (reach, reach)
        wide = np.pad(picture, pad, mode="edge")
        length = picture.shape[axis]
        parts = (
            weight * np.take(wide, range(n, n + length), axis=axis)
            for n, weight in enumerate(weights)
        )
        picture = np.asarray(sum(parts), dtype=np.float32)
    return picture


def _toned(one: Vectors, other: Vectors) -> tuple[Vectors, Vectors, float]:
    """Bring one picture to the tone of the other, in the direction that explains more.

    What was brightened beyond white is found from what was not, and never the other way round.

    Returns:
        the one that was changed, the other, and the largest change in grey levels.
    """
    options = []
    for source, target in ((one, other), (other, one)):
        curve = _curve(source, target)
        levels = (np.arange(_BINS) + 0.5) * (256 / _BINS)
        toned = np.interp(source, levels, curve).astype(np.float32)
        spread = max(float(target.var()), 1.0)
        options.append((float(((toned - target) ** 2).mean()) / spread, toned, target))
    _, toned, target = min(options, key=lambda option: option[0])
    source = one if target is other else other
    return toned, target, float(np.quantile(np.abs(toned - source), 0.98))


def _curve(source: Vectors, target: Vectors) -> NDArray[np.float64]:
    """Fit a rising curve from luminance to luminance: means in bins, pooled where they fall."""
    bins = np.clip(source * (_BINS / 256), 0, _BINS - 1).astype(np.int64).ravel()
    weight = np.bincount(bins, minlength=_BINS).astype(np.float64)
    total = np.bincount(bins, target.ravel().astype(np.float64), minlength=_BINS)
    pools: list[tuple[float, float, int]] = []  # sum, weight, bins (pool adjacent violators)
    for n in np.flatnonzero(weight).tolist():
        pools.append((total[n], weight[n], 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            last, before = pools.pop(), pools.pop()
            pools.append((before[0] + last[0], before[1] + last[1], before[2] + last[2]))
    means = np.repeat([s / w for s, w, _ in pools], [count for *_, count in pools])
    return np.asarray(np.interp(np.arange(_BINS), np.flatnonzero(weight), means))


# --- block by block ------------------------------------------------------------------------------


def _blocks(
    toned: Vectors, target: Vectors, as_they_are: tuple[Vectors, Vectors]
) -> tuple[int, int, int, float, float]:
    """Count blocks with detail, unlike ones, the largest cluster; what is left, what is flat."""
    starts, lengths = zip(*map(_parts, toned.shape), strict=True)
    areas = np.outer(*lengths)

    def means(values: Vectors) -> Vectors:
        summed = np.add.reduceat(np.add.reduceat(values, starts[0], axis=0), starts[1], axis=1)
        return np.asarray(summed / areas)

    def variance(values: Vectors) -> Vectors:
        return np.asarray(np.maximum(means(values**2) - means(values) ** 2, 0))

    left = means((toned - target) ** 2)
    both = variance(toned) + variance(target)
    detailed = np.maximum(*(variance(picture) for picture in as_they_are)) > _DETAIL**2
    unlike = (left > _UNEXPLAINED * both) & (left > _NOISE**2)
    counted = detailed | unlike
    left_over = float(left[counted].sum() / max(both[counted].sum(), 1.0)) if counted.any() else 1.0
    flat = 1 - float(detailed.mean())
    return int(counted.sum()), int(unlike.sum()), _largest(unlike), min(left_over, 1.0), flat


def _parts(length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide a side into blocks: where each starts, and how long it is."""
    count = max(1, length // _BLOCK)
    longer = length % count
    lengths = np.full(count, length // count)
    lengths[:longer] += 1
    return np.cumsum(lengths) - lengths, lengths


def _left_over(one: Vectors, other: Vectors) -> float:
    """Give the share of all detail that the other picture does not explain, in one tone."""
    toned, target, _ = _toned(one, other)
    blocks, _, _, left_over, _ = _blocks(toned, target, (one, other))
    return left_over if blocks else 0.0  # where there is no detail, nothing differs


def _is_plain_around(grey: Image.Image, box: Box) -> bool:
    x, width, y, height = box
    if width * height > 1 - _MUCH_AROUND:
        return False
    pixels = np.asarray(grey, dtype=np.float32)
    high, wide = (length // _BLOCK for length in pixels.shape)
    blocks = pixels[: high * _BLOCK, : wide * _BLOCK].reshape(high, _BLOCK, wide, _BLOCK)
    flat = blocks.std(axis=(1, 3)) < _DETAIL
    across, down = ((np.arange(count) + 0.5) / count for count in (wide, high))
    # A block at the common part's edge belongs to neither.
    in_x = np.abs(across - x - width / 2) < width / 2 + 1 / max(wide, 1)
    in_y = np.abs(down - y - height / 2) < height / 2 + 1 / max(high, 1)
    around = flat[~(in_y[:, None] & in_x)]
    return around.size > 0 and float(around.mean()) >= _PLAIN


def _largest(marked: NDArray[np.bool_]) -> int:
    """Count the blocks of the largest cluster, neighbours at corners included."""
    open_places = set(zip(*(axis.tolist() for axis in np.nonzero(marked)), strict=True))
    largest = 0
    while open_places:
        waiting, size = [open_places.pop()], 0
        while waiting:
            row, column = waiting.pop()
            size += 1
            for place in ((row + r, column + c) for r in (-1, 0, 1) for c in (-1, 0, 1)):
                if place in open_places:
                    open_places.remove(place)
                    waiting.append(place)
        largest = max(largest, size)
    return largest


# --- colour --------------------------------------------------------------------------------------

_COLOUR_SIDE = 32  # pixels: colour is compared coarsely, as files keep it
_GREY = 2.5  # levels of Cb and Cr (root mean square about 128): less is no colour


def _colour(
    first: Image.Image, second: Image.Image, boxes: tuple[Box, Box]
) -> tuple[float, tuple[bool, bool]]:
    """Compare colours after one's are brought to the other's by a linear map."""
    both = []
    for image, box in zip((first, second), boxes, strict=True):
        planes = image.convert("YCbCr").split()
        size = (_COLOUR_SIDE, _COLOUR_SIDE)
        both.append(np.stack([_cut(plane, box, size).ravel() for plane in planes]))
    one, other = both
    greys = tuple(bool(np.sqrt(((c[1:] - 128) ** 2).mean()) < _GREY) for c in both)
    if any(greys):
        return 0.0, (greys[0], greys[1])
    known = np.vstack([one, np.ones(one.shape[1])])
    fitted, *_ = np.linalg.lstsq(known.T, other[1:].T, rcond=None)
    left = np.sqrt(((known.T @ fitted - other[1:].T) ** 2).sum(axis=1))
    return float(np.quantile(left, 0.95)), (greys[0], greys[1])
