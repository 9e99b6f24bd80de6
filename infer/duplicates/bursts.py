"""Bursts: photos taken within seconds of one another that look alike, and the one to show.

They are other shots and no copies, so nothing of a burst is ever planned to go.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..arrays import Pixels, Vectors
from ..errors import PhotoError, Problem
from ..index.image_index import ImageIndex
from ..index.results import IndexedPhoto
from ..machine import available_cores
from ..photos.decode import load_thumbnail
from ..progress import Progress

MOST_SECONDS = 2.0  # from one photo of a burst to the next
_DATED_BY = ("exif", "xmp")  # a file's name often tells no more than the day

# Of 64,000 random pairs of photos 1 % look as alike as this at 16 × 16 pixels, and of pairs that
# differ by a hand that moves by a tenth of the picture, 99.5 %.
_ALIKE = 0.5
_LOOK_SIDE = 16  # pixels
_SEEN_AT = 1024  # pixels: the longer side at which sharpness is told
_BLOCK = 32  # pixels: the subject may take up few of the blocks, and the sharpest tenth tells
_WHITE, _BLACK = 254, 1  # from and to which nothing is left in a channel, of 0 to 255
_MORE_CLIPPED = 0.02  # of the picture, from which on exposure goes before sharpness
_AT_ONCE = 64  # photos between two calls of progress


@dataclass(frozen=True)
class Frame:
    """One photo of a burst.

    Attributes:
        photo: as the index knows it.
        seconds: from the first photo of the burst to it.
        sharpness: against the sharpest of the burst, in [0, 1].
        clipped: share of the picture that is white or black without detail, in [0, 1].
        reason: for showing it or not, in words.
    """

    photo: IndexedPhoto
    seconds: float
    sharpness: float
    clipped: float
    reason: str


@dataclass(frozen=True)
class Burst:
    """Photos of one burst, at least two.

    Attributes:
        best: the one to show: the sharpest with open exposure.
        others: in the order in which they were taken.
    """

    best: Frame
    others: tuple[Frame, ...]


@dataclass(frozen=True)
class Bursts:
    """What :func:`find_bursts` found.

    Attributes:
        bursts: in the order in which they were taken; no photo is in two of them.
        undated: how many photos do not say when they were taken.
        passed_over: photos that could not be looked at, in the order of their paths.
    """

    bursts: list[Burst]
    undated: int
    passed_over: list[Problem]


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a photo looks like: float32, shape = (16 · 16 · 3,), of unit length; and how good."""

    look: Vectors
    sharpness: float
    clipped: float


def find_bursts(
    index: ImageIndex,
    *,
    within: Path | str | None = None,
    seconds: float = MOST_SECONDS,
    progress: Progress | None = None,
) -> Bursts:
    """Find the bursts among the photos of an index, by their dates taken. No file is changed.

    Args:
        index: of the photos; only files that may belong to a burst are read again.
        within: only photos below this folder.
        seconds: from one photo of a burst to the next, at most.
        progress: called with (photos done, photos to do).

    Raises:
        UsageError: ``within`` is not in the index.
        IndexDamagedError: the catalogue is damaged.
    """
    photos = [photo for photo in index.photos(within=within) if photo.has_file]
    dated = [(taken, photo) for photo in photos if (taken := _taken_ms(photo)) is not None]
    dated.sort(key=lambda one: (_camera(one[1]), one[0], os.fsencode(one[1].path)))
    runs = list(_runs(dated, seconds))
    todo = [photo for run in runs for _, photo in run]
    seen: dict[int, _Seen] = {}
    problems: list[Problem] = []
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="decode") as pool:
        for first in range(0, len(todo), _AT_ONCE):
            part = todo[first : first + _AT_ONCE]
            for photo, found in zip(part, pool.map(_seen, part), strict=True):
                if isinstance(found, Problem):
                    problems.append(found)
                else:
                    seen[photo.id] = found
            if progress:
                progress(first + len(part), len(todo))
    bursts = [
        _burst(alike, seen)
        for run in runs
        for alike in _alike([one for one in run if one[1].id in seen], seen)
    ]
    bursts.sort(key=lambda burst: _taken_ms(burst.best.photo) or 0)
    problems.sort(key=lambda problem: os.fsencode(problem.path))
    return Bursts(bursts, len(photos) - len(dated), problems)


_Dated = tuple[int, IndexedPhoto]  # milliseconds and photo


def _taken_ms(photo: IndexedPhoto) -> int | None:
    about = photo.metadata
    return about.taken_ms if about and about.taken_source in _DATED_BY else None


def _camera(photo: IndexedPhoto) -> str:
    return (photo.metadata and photo.metadata.camera) or ""


def _runs(dated: Sequence[_Dated], seconds: float) -> Iterator[list[_Dated]]:
    """Part what one camera took after another wherever it paused."""
    run: list[_Dated] = []
    for one in dated:
        paused = run and (
            _camera(one[1]) != _camera(run[-1][1]) or one[0] - run[-1][0] > seconds * 1000
        )
        if paused:
            if len(run) > 1:
                yield run
            run = []
        run.append(one)
    if len(run) > 1:
        yield run


def _alike(run: Sequence[_Dated], seen: dict[int, _Seen]) -> Iterator[list[_Dated]]:
    """Part a run wherever the next photo looks different; give the parts of two or more."""
    part: list[_Dated] = []
    for one in run:
        if part and float(seen[one[1].id].look @ seen[part[-1][1].id].look) < _ALIKE:
            if len(part) > 1:
                yield part
            part = []
        part.append(one)
    if len(part) > 1:
        yield part


def _burst(dated: Sequence[_Dated], seen: dict[int, _Seen]) -> Burst:
    looks = [seen[photo.id] for _, photo in dated]
    sharpest = max(look.sharpness for look in looks)
    least = min(look.clipped for look in looks)
    is_open = [look.clipped <= least + _MORE_CLIPPED for look in looks]
    best = max(range(len(looks)), key=lambda n: (is_open[n], looks[n].sharpness, -n))
    frames = []
    for n, ((taken, photo), look) in enumerate(zip(dated, looks, strict=True)):
        if n == best:
            sharp = look.sharpness == sharpest
            reason = "sharpest" if sharp else "sharpest of those with open exposure"
        elif not is_open[n]:
            reason = f"{look.clipped - looks[best].clipped:.0%} more of it is black or white"
        else:
            reason = f"{look.sharpness / max(looks[best].sharpness, 1e-6):.0%} as sharp"
        sharpness = look.sharpness / max(sharpest, 1e-6)
        after = (taken - dated[0][0]) / 1000
        frames.append(Frame(photo, after, sharpness, look.clipped, reason))
    return Burst(frames.pop(best), tuple(frames))


def _seen(photo: IndexedPhoto) -> _Seen | Problem:
    try:
        image = load_thumbnail(photo.path, _SEEN_AT)
    except PhotoError as error:
        return Problem(photo.path, error.reason)
    pixels: Pixels = np.asarray(image)
    size = (_LOOK_SIDE, _LOOK_SIDE)
    small = np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.float32)
    small = small - small.mean(axis=(0, 1))
    look = (small / max(float(np.linalg.norm(small)), 1e-6)).ravel()
    clipped = (pixels >= _WHITE).all(axis=2) | (pixels <= _BLACK).all(axis=2)
    return _Seen(look, _sharpness(pixels), float(clipped.mean()))


def _sharpness(pixels: Pixels) -> float:
    """Tell how steep luminance is in the sharpest tenth of the blocks."""
    grey = pixels.astype(np.float32).mean(axis=2)
    steep = np.diff(grey, axis=0)[:, :-1] ** 2 + np.diff(grey, axis=1)[:-1] ** 2
    rows, columns = (max(1, length // _BLOCK) for length in steep.shape)
    high, wide = (min(_BLOCK, length) for length in steep.shape)
    blocks = steep[: rows * high, : columns * wide].reshape(rows, high, columns, wide)
    return float(np.sqrt(np.quantile(blocks.mean(axis=(1, 3)), 0.9)))
