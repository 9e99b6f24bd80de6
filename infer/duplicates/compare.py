"""Compare contents in two steps: small and all together, then large and in pairs.

A content is what files with the same bytes hold. It is seen as a whole, and where it has a frame,
as the picture inside it (:mod:`.frames`), too: each is a view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..arrays import Pixels
from ..errors import PhotoError
from ..machine import available_cores
from ..photos.decode import load_thumbnail
from .align import SIDE, Agreement, Pairs, Thumbnails, agreement, luminance_thumbnail, turned_places
from .frames import WHOLE, Box, picture_in
from .residual import LONGEST, Overlap, Residual, residual

VIEWS = 2  # of a content: the whole, and the picture in its frame
WORTH_JUDGING = 0.6  # agreement of thumbnails from which on a pair is judged at full resolution
_SEEN_AT = 320  # pixels: the longer side at which frames are looked for
_KEPT_IMAGES = 48  # decoded ones that are kept for the next pairs, 2 MB each
_PAIRS_AT_ONCE = 64  # that are judged between two calls of progress

_TURNED_BY = (
    None,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
)


@dataclass(frozen=True)
class Views:
    """What one content looks like, small.

    Attributes:
        thumbnails: uint8, shape = (VIEWS, SIDE, SIDE); the second is black where there is no frame.
        box: where the picture is in its frame; None where there is none.
    """

    thumbnails: Thumbnails
    box: Box | None


@dataclass(frozen=True)
class Compared:
    """Two contents that may show the same.

    Attributes:
        agreement: of their thumbnails, in [−1, 1].
        turn: how the second has to be turned to lie on the first: an index into ``TURNS``.
        residual: what differs where they lie over each other; None where that could not be told.
    """

    agreement: float
    turn: int
    residual: Residual | None


def views_of(path: Path) -> Views:
    """Decode a photo into its views.

    Raises:
        PhotoError: it cannot be decoded.
    """
    image = load_thumbnail(path, _SEEN_AT)
    pixels: Pixels = np.asarray(image)
    box = picture_in(pixels)
    thumbnails = np.zeros((VIEWS, SIDE, SIDE), dtype=np.uint8)
    thumbnails[0] = _thumbnail(image, WHOLE)
    if box:
        thumbnails[1] = _thumbnail(image, box)
    return Views(thumbnails, box)


def _thumbnail(image: Image.Image, box: Box) -> Thumbnails:
    x, width, y, height = box
    across, down = image.size
    part = (x * across, y * down, (x + width) * across, (y + height) * down)
    small = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS, part)
    return luminance_thumbnail(np.asarray(small))


@dataclass(frozen=True)
class Source:
    """A file to decode a content from, and the size of its picture in pixels."""

    path: Path
    size: tuple[int, int]


class Comparison:
    """Compares pairs of contents, and remembers what came of it.

    Attributes:
        known: what is known of pairs of contents, the lower number first; None where they differ.
    """

    def __init__(
        self,
        thumbnails: Thumbnails,
        boxes: Sequence[Box | None],
        sources: Sequence[Source],
        any_orientation: bool,
    ) -> None:
        """Compare among contents whose views lie at ``VIEWS`` slots of ``thumbnails`` each."""
        self.known: dict[tuple[int, int], Compared | None] = {}
        self._thumbnails = thumbnails
        self._boxes = boxes
        self._sources = sources
        self._any_orientation = any_orientation

    def main_views(self, contents: Pairs) -> Pairs:
        """Give the views by which contents are compared: what is in the frame, if any."""
        framed = np.array([box is not None for box in self._boxes], dtype=np.int64)
        return contents * VIEWS + framed[contents]

    def run(
        self, views: Pairs, progress: Callable[[int, int], None] = lambda done, of: None
    ) -> None:
        """Compare pairs of views.

        Args:
            views: int64, shape = (m, 2).
            progress: called time and again with (steps done, steps to do); the number of steps to
                do grows with the pairs that are worth judging.
        """
        found = agreement(
            self._thumbnails,
            views,
            any_orientation=self._any_orientation,
            progress=lambda done: progress(done, len(views)),
        )
        best: dict[tuple[int, int], int] = {}
        contents = views // VIEWS
        self.known.update(((one, other), None) for one, other in contents.tolist())
        for row in np.flatnonzero(found.value >= WORTH_JUDGING).tolist():
            pair = (int(contents[row, 0]), int(contents[row, 1]))
            if pair not in best or found.value[row] > found.value[best[pair]]:
                best[pair] = row
        rows = [row for _, row in sorted(best.items())]
        load = lru_cache(maxsize=_KEPT_IMAGES)(self._load)
        with ThreadPoolExecutor(available_cores(), thread_name_prefix="judge") as pool:
            for first in range(0, len(rows), _PAIRS_AT_ONCE):
                part = rows[first : first + _PAIRS_AT_ONCE]
                judged = pool.map(lambda row: self._judged(views[row], found, row, load), part)
                for row, compared in zip(part, judged, strict=True):
                    self.known[int(contents[row, 0]), int(contents[row, 1])] = compared
                progress(len(views) + first + len(part), len(views) + len(rows))

    def _load(self, content: int) -> Image.Image | None:
        try:
            return load_thumbnail(self._sources[content].path, LONGEST)
        except PhotoError:
            return None  # changed or gone since its thumbnail was made

    def _judged(
        self,
        views: NDArray[np.int64],
        found: Agreement,
        row: int,
        load: Callable[[int], Image.Image | None],
    ) -> Compared:
        (one, one_view), (other, other_view) = (divmod(view, VIEWS) for view in views.tolist())
        value, turn = float(found.value[row]), int(found.turn[row])
        first, second = load(one), load(other)
        if first is None or second is None:
            return Compared(value, turn, None)
        width, height = self._sources[other].size
        sizes = self._sources[one].size, (height, width) if turn % 2 else (width, height)
        overlap = overlap_of(
            found.place[row].tolist(),
            bool(found.in_second[row]),
            (self._box(one, one_view), self._box(other, other_view, turn)),
        )
        return Compared(value, turn, residual(first, _turned(second, turn), sizes, overlap))

    def _box(self, content: int, view: int, turn: int = 0) -> Box:
        box = self._boxes[content] if view else None
        if box is None:
            return WHOLE
        x, width, y, height = turned_places(np.array([box], dtype=np.float32), turn)[0].tolist()
        return (x, width, y, height)


def overlap_of(place: Sequence[float], in_second: bool, boxes: tuple[Box, Box]) -> Overlap:
    """Turn a place among views into one among images.

    Args:
        place: x, width, y, height of the one view in the other.
        in_second: the first lies in the second.
        boxes: of the two views in their images.
    """
    offset, scale = [], []
    for axis in (0, 2):
        start, length = place[axis : axis + 2]
        # A point v of the second view lies at at + by · v of the first.
        at, by = (-start / length, 1 / length) if in_second else (start, length)
        (one, extent), (other, length) = (box[axis : axis + 2] for box in boxes)
        scale.append(extent * by / length)
        offset.append(one + extent * at - scale[-1] * other)
    return Overlap((offset[0], offset[1]), (scale[0], scale[1]), *boxes)


def _turned(image: Image.Image, turn: int) -> Image.Image:
    if turn >= len(_TURNED_BY):
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    by = _TURNED_BY[turn % len(_TURNED_BY)]
    return image if by is None else image.transpose(by)
