"""Groups of photos that are copies of one another, and which of them to keep.

What makes them :mod:`.candidates` is likeness; :mod:`.compare` lays them over each other, and
:mod:`.judge` says what the difference means. Every photo of a group was compared with the one that
is to be kept.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..arrays import connected
from ..errors import PhotoError, Problem
from ..index.image_index import ImageIndex, IndexedPhoto
from ..machine import available_cores
from ..progress import Progress
from .align import BACK, SIDE, TURNS, Thumbnails, turned_places
from .candidates import near_in_index, near_in_luminance
from .compare import VIEWS, Compared, Comparison, Source, Views, views_of
from .frames import WHOLE, Box
from .judge import Verdict, verdict
from .keep import preferred

Key = TypeVar("Key", int, bytes)

_DECODED_AT_ONCE = 256  # photos between two calls of progress


@dataclass(frozen=True)
class Copy:
    """A photo that shows the same as another, which is kept.

    Attributes:
        photo: as the index knows it.
        exact: its file has the same bytes as the one that is kept.
        certain: it is a copy without doubt; otherwise someone has to look at it first.
        score: share of the detail that both have in common, in [0, 1]; 1 where exact.
        turn: how it has to be turned to lie on the kept one (``""``, ``"mirrored"``, …).
        reason: what it is to the kept one, in words.
        place: where it lies there once it is turned: x, width, y and height in shares of the kept
            one's width and height. It may reach beyond.
    """

    photo: IndexedPhoto
    exact: bool
    certain: bool
    score: float
    turn: str
    reason: str
    place: Box = WHOLE


@dataclass(frozen=True)
class Group:
    """Photos that show the same.

    Attributes:
        keep: the one that is proposed to be kept.
        copies: the others, at least one, in the order of their paths.
        why: it is this one that is kept, in words.
    """

    keep: IndexedPhoto
    copies: tuple[Copy, ...]
    why: str = ""


@dataclass(frozen=True)
class Duplicates:
    """What :func:`find_groups` found.

    Attributes:
        groups: in the order of the kept photos' paths; no photo is in two of them.
        passed_over: photos that could not be looked at, in the order of their paths.
    """

    groups: list[Group]
    passed_over: list[Problem]


def find_groups(
    index: ImageIndex,
    *,
    any_orientation: bool = False,
    within: Path | str | None = None,
    keep: Sequence[str] = (),
    min_score: float = 0.0,
    progress: Progress | None = None,
) -> Duplicates:
    """Find the copies among the photos of an index. No file is changed.

    Memory grows with the number of photos, never with its square; the reduced pictures that are
    compared lie in a temporary file of 8 kB a photo.

    Args:
        index: of the photos, whose files are read again.
        any_orientation: find rotated and mirrored copies, too.
        within: only photos below this folder.
        keep: names of :data:`.keep.CRITERIA` that go before what decides without them.
        min_score: copies below it are left out, in [0, 1].
        progress: called with (steps done, steps to do), a step being a photo or a pair.

    Raises:
        UsageError: ``within`` is not in the index.
        IndexDamagedError: the catalogue is damaged.
    """
    photos = [photo for photo in index.photos(within=within) if photo.has_file]
    contents = _contents(photos)
    content_of = {photo.id: n for n, photos in enumerate(contents) for photo in photos}
    near = near_in_index(index, content_of, within)
    passed_over: dict[Path, str] = {}

    def tell(photos: int, pairs: int = 0, of_pairs: int = len(near)) -> None:
        if progress:
            progress(photos + pairs, len(contents) + of_pairs)

    with _room_for(len(contents)) as thumbnails:
        readable = np.zeros(len(thumbnails), dtype=bool)
        boxes: list[Box | None] = [None] * len(contents)
        for done in _fill(thumbnails, readable, boxes, contents, passed_over):
            tell(done)
        sources = [Source(part[0].path, (part[0].width, part[0].height)) for part in contents]
        comparison = Comparison(thumbnails, boxes, sources, any_orientation)
        alike = near_in_luminance(thumbnails, readable, any_orientation=any_orientation)
        pairs = np.concatenate([comparison.main_views(near), alike])
        pairs = np.unique(pairs[pairs[:, 0] // VIEWS != pairs[:, 1] // VIEWS], axis=0)
        pairs = pairs[readable[pairs].all(axis=1)]
        comparison.run(pairs, partial(tell, len(contents)))
        judge = _Judge(contents, content_of, comparison, min_score)
        components = [
            present
            for component in _components(judge.same(), contents)
            if len(present := _present(component, passed_over)) > 1
        ]
        groups = _groups(components, judge, keep, index.not_duplicates())
    groups.sort(key=lambda group: os.fsencode(group.keep.path))
    return Duplicates(groups, [Problem(path, passed_over[path]) for path in sorted(passed_over)])


# --- which pairs may be copies --------------------------------------------------------------------


def _contents(photos: Iterable[IndexedPhoto]) -> list[list[IndexedPhoto]]:
    """Put photos whose files have the same bytes together."""
    by_digest: dict[bytes, list[IndexedPhoto]] = {}
    for photo in photos:
        by_digest.setdefault(photo.digest, []).append(photo)
    return list(by_digest.values())


# --- which of them are ----------------------------------------------------------------------------


@contextmanager
def _room_for(count: int) -> Iterator[Thumbnails]:
    """Lend an array for the views of ``count`` contents, all black, that lies on the disk."""
    with tempfile.TemporaryFile(prefix="imgsim-edge-") as file:
        shape = (max(count, 1) * VIEWS, SIDE, SIDE)
        file.truncate(shape[0] * SIDE * SIDE)
        yield np.memmap(file, np.uint8, "r+", shape=shape)


def _fill(
    thumbnails: Thumbnails,
    readable: NDArray[np.bool_],
    boxes: list[Box | None],
    contents: list[list[IndexedPhoto]],
    passed_over: dict[Path, str],
) -> Iterator[int]:
    """Decode all contents, on all cores, and tell how many are done."""
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="decode") as pool:
        for first in range(0, len(contents), _DECODED_AT_ONCE):
            part = contents[first : first + _DECODED_AT_ONCE]
            for n, (views, problems) in enumerate(pool.map(_decoded, part), start=first):
                passed_over.update(problems)
                if views is not None:
                    place = n * VIEWS
                    thumbnails[place : place + VIEWS] = views.thumbnails
                    boxes[n] = views.box
                    readable[place], readable[place + 1] = True, views.box is not None
            yield first + len(part)


def _decoded(photos: list[IndexedPhoto]) -> tuple[Views | None, dict[Path, str]]:
    """Decode the first that can be of several photos with the same bytes; it becomes the first."""
    problems: dict[Path, str] = {}
    for n, photo in enumerate(photos):
        reason = _problem(photo)
        if reason is None:
            try:
                views = views_of(photo.path)
            except PhotoError as error:
                reason = error.reason
            else:
                photos.insert(0, photos.pop(n))
                return views, problems
        problems[photo.path] = reason
    return None, problems


def _problem(photo: IndexedPhoto) -> str | None:
    """Tell why a file is not the one that was indexed, if so."""
    try:
        status = photo.path.stat()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    if (status.st_size, status.st_mtime_ns) != (photo.size, photo.mtime_ns):
        return "changed since it was indexed"
    return None


class _Judge:
    """Knows what photos are to one another."""

    def __init__(
        self,
        contents: list[list[IndexedPhoto]],
        content_of: dict[int, int],
        comparison: Comparison,
        min_score: float,
    ) -> None:
        self._contents = contents
        self._content_of = content_of
        self._comparison = comparison
        self._min_score = min_score

    def same(self) -> list[tuple[int, int]]:
        """List the pairs of contents that show the same."""
        return [
            pair
            for pair in self._comparison.known
            if self._verdict(*(self._contents[content][0] for content in pair))
        ]

    def compare(self, pairs: Iterable[tuple[IndexedPhoto, IndexedPhoto]]) -> None:
        """Compare those pairs of photos that have not been."""
        keys = {_ordered(*(self._content_of[photo.id] for photo in pair)) for pair in pairs}
        unknown = sorted(k for k in keys if k[0] != k[1] and k not in self._comparison.known)
        contents = np.array(unknown, dtype=np.int64).reshape(-1, 2)
        self._comparison.run(self._comparison.main_views(contents))

    def prefers(
        self, one: IndexedPhoto, other: IndexedPhoto, rule: Sequence[str]
    ) -> tuple[bool, str]:
        """Tell whether the first of two copies is rather kept, and why."""
        swapped = self._content_of[one.id] > self._content_of[other.id]
        first, second = (other, one) if swapped else (one, other)
        stays, why = preferred(first, second, self._known(one, other), rule)
        return stays != swapped, why

    def copy(self, photo: IndexedPhoto, kept: IndexedPhoto) -> Copy | None:
        """Say what a photo is to the one that is kept; None where it shows something else."""
        mine, other = self._content_of[photo.id], self._content_of[kept.id]
        if mine == other:
            return Copy(photo, True, True, 1.0, "", "same bytes")
        known, found = self._known(kept, photo), self._verdict(kept, photo)
        if known is None or found is None:
            return None
        turn = self._turn(known, other < mine)
        place = _place(known, other < mine)
        return Copy(photo, False, found.certain, found.score, TURNS[turn], found.reason, place)

    def _known(self, one: IndexedPhoto, other: IndexedPhoto) -> Compared | None:
        pair = _ordered(self._content_of[one.id], self._content_of[other.id])
        return self._comparison.known.get(pair)

    def _turn(self, known: Compared, kept_is_first: bool) -> int:
        return known.turn if kept_is_first else BACK[known.turn]

    def _verdict(self, kept: IndexedPhoto, copy: IndexedPhoto) -> Verdict | None:
        known = self._known(kept, copy)
        if known is None:
            return None
        is_first = self._content_of[kept.id] < self._content_of[copy.id]
        found = verdict(kept, copy, known, is_first, self._turn(known, is_first))
        return found if found and found.score >= self._min_score else None


def _place(known: Compared, kept_is_first: bool) -> Box:
    """Tell where the copy lies in the kept photo."""
    assert known.residual  # there is a verdict
    (x, y), (width, height) = known.residual.overlap.offset, known.residual.overlap.scale
    if kept_is_first:
        return (x, width, y, height)
    inside = np.array([(-x / width, 1 / width, -y / height, 1 / height)])
    x, width, y, height = turned_places(inside, BACK[known.turn])[0].tolist()
    return (x, width, y, height)


# --- what becomes of them -------------------------------------------------------------------------


def _components(
    same: list[tuple[int, int]], contents: list[list[IndexedPhoto]]
) -> list[list[IndexedPhoto]]:
    """Put together all photos that are connected by pairs, or by having the same bytes."""
    smallest = connected(np.array(same, dtype=np.int64).reshape(-1, 2), len(contents))
    members: dict[int, list[IndexedPhoto]] = {}
    for first, photos in zip(smallest.tolist(), contents, strict=True):
        members.setdefault(first, []).extend(photos)
    return [photos for photos in members.values() if len(photos) > 1]


def _present(photos: list[IndexedPhoto], passed_over: dict[Path, str]) -> list[IndexedPhoto]:
    """Leave out photos whose files are gone or changed, and second names of one file."""
    files: dict[tuple[int, int], IndexedPhoto] = {}
    for photo in sorted(photos, key=lambda photo: os.fsencode(photo.path)):
        reason = _problem(photo)
        if reason:
            passed_over[photo.path] = reason
        elif not photo.path.is_symlink():
            status = photo.path.stat()
            files.setdefault((status.st_dev, status.st_ino), photo)
    return list(files.values())


def _groups(
    components: list[list[IndexedPhoto]],
    judge: _Judge,
    rule: Sequence[str],
    apart: Collection[tuple[bytes, bytes]],
) -> list[Group]:
    """Pick the photo to keep, and with it all that show the same; go on with those left."""
    groups = []
    while components:
        kept = [_best(photos, judge, rule) for photos in components]
        judge.compare(
            (best, photo) for best, photos in zip(kept, components, strict=True) for photo in photos
        )
        rest = []
        for best, photos in zip(kept, components, strict=True):
            copies: list[Copy] = []
            others = []
            for photo in photos:
                if photo is best:
                    continue
                copy = judge.copy(photo, best)
                together = [best, *(c.photo for c in copies)]
                if copy and not any(_ordered(photo.digest, p.digest) in apart for p in together):
                    copies.append(copy)
                else:
                    others.append(photo)
            if copies:
                reasons = (judge.prefers(best, copy.photo, rule) for copy in copies)
                why = dict.fromkeys(why for stays, why in reasons if stays)
                groups.append(Group(best, tuple(copies), ", ".join(why)))
            if len(others) > 1:
                rest.append(others)
        components = rest
    return groups


def _best(photos: list[IndexedPhoto], judge: _Judge, rule: Sequence[str]) -> IndexedPhoto:
    """Let the photos stand against one another: the one that is preferred most often stays."""
    by_bytes: dict[bytes, IndexedPhoto] = {}
    for photo in photos:  # of exact copies only the best one stands
        rival = by_bytes.setdefault(photo.digest, photo)
        if rival is not photo and judge.prefers(photo, rival, rule)[0]:
            by_bytes[photo.digest] = photo
    photos = list(by_bytes.values())
    while True:
        wins = [0] * len(photos)
        for one in range(len(photos)):
            for other in range(one):
                stays, _ = judge.prefers(photos[one], photos[other], rule)
                wins[one if stays else other] += 1
        first = [photo for photo, won in zip(photos, wins, strict=True) if won == max(wins)]
        if len(first) in (1, len(photos)):
            return first[0]
        photos = first  # those stand against one another alone


def _ordered(one: Key, other: Key) -> tuple[Key, Key]:
    return (one, other) if one < other else (other, one)
