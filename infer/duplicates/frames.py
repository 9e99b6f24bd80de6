"""Where in an image is the picture? Borders, letterboxes, status bars and captions are none.

A frame has one colour, and lines of it are mostly that colour: a status bar and a caption leave
most of their lines as they are. So the picture is the run of lines, along each axis, in which other
colours prevail. What is cut off in error (a picture that ends in the frame's own colour) makes a
crop of it, which :mod:`.align` finds in the whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Pixels

Box = tuple[float, float, float, float]  # x, width, y, height, as shares of an image's sides
WHOLE: Box = (0.0, 1.0, 0.0, 1.0)

_SAME_COLOUR = 20  # levels in each channel: what compression does to a plain surface
_UNIFORM = 0.8  # of the pixels of an outermost line have its colour where it belongs to a frame
_PREVAILS = 0.5  # of what the picture's busiest lines have in other colours: more is picture
_WRITTEN_ON = 0.05  # of a frame, by status bars and captions
_LEAST_SIDE = 0.12  # of the image's side that a picture takes up
_MOST_AREA = 0.97  # of the image; beyond, there is no frame worth the name


def picture_in(pixels: Pixels) -> Box | None:
    """Find the picture within the plain surface around it.

    Args:
        pixels: uint8, shape = (height, width, 3); 200 to 400 pixels a side are enough.

    Returns:
        where it is, None where the image has no frame or nothing in it.
    """
    found = [box for colour in _edge_colours(pixels) if (box := _inside(pixels, colour))]
    return min(found, key=lambda box: box[1] * box[3], default=None)


def _edge_colours(pixels: Pixels) -> list[NDArray[np.int16]]:
    """List the colours that two opposite outermost lines have in common."""
    colours: list[NDArray[np.int16]] = []
    for line, opposite in ((pixels[0], pixels[-1]), (pixels[:, 0], pixels[:, -1])):
        colour = np.median(line, axis=0).astype(np.int16)
        plain = max(_is_other(end[None], colour).mean() for end in (line, opposite))
        if plain <= 1 - _UNIFORM:
            colours.append(colour)
    return colours


def _is_other(pixels: Pixels, colour: NDArray[np.int16]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(pixels.astype(np.int16) - colour).max(axis=2) > _SAME_COLOUR)


def _inside(pixels: Pixels, colour: NDArray[np.int16]) -> Box | None:
    other = _is_other(pixels, colour)
    top, bottom, left, right = 0, other.shape[0], 0, other.shape[1]
    for _ in range(2):  # narrow pictures fill few of the pixels of their lines at first
        top, bottom = _run(other[:, left:right].mean(axis=1))
        if top == bottom:
            return None  # nothing in it
        left, right = _run(other[top:bottom].mean(axis=0))
    height, width = other.shape
    box = (left / width, (right - left) / width, top / height, (bottom - top) / height)
    around = other.sum() - other[top:bottom, left:right].sum()
    if around > _WRITTEN_ON * (other.size - (bottom - top) * (right - left)):
        return None  # a dark sky, a meadow: not plain enough for a frame
    is_one = min(box[1], box[3]) >= _LEAST_SIDE and box[1] * box[3] <= _MOST_AREA
    return box if is_one else None


def _run(share: NDArray[np.float64]) -> tuple[int, int]:
    """Find the run of lines in which other colours prevail: the largest sum above the bar."""
    bar = _PREVAILS * float(np.quantile(share, 0.9))
    best, best_sum, start, total = (0, 0), 0.0, 0, 0.0
    for n, gain in enumerate((share - max(bar, 0.02)).tolist()):
        if total <= 0:
            start, total = n, 0.0
        total += gain
        if total > best_sum:
            best, best_sum = (start, n + 1), total
    return best
