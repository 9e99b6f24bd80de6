"""Groups of photos that are copies of one another, and which of them to keep.

What makes them :mod:`.candidates` is likeness; what decides is whether the pictures lie over each
other (:mod:`.registration`). Every photo of a group was compared with the one that is to be kept.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import PhotoError, Problem, UsageError
from ..index.image_index import ImageIndex, IndexedPhoto
from ..machine import available_cores
from ..photos.decode import load_photo
from ..progress import Progress
from .align import BACK, SAME_PHOTO, SIDE, TURNS, Pairs, Thumbprints, agreement, thumbprint
from .candidates import near_in_index, near_in_light

Key = TypeVar("Key", int, bytes)

_DECODED_AT_ONCE = 256  # photos between two calls of progress

# What may speak for keeping a photo: the smallest value wins.
CRITERIA: dict[str, Callable[[IndexedPhoto], float]] = {
    "largest": lambda photo: -photo.width * photo.height,
    "least-compressed": lambda photo: -photo.size / max(photo.width * photo.height, 1),
    "oldest": lambda photo: photo.mtime_ns,
    "newest": lambda photo: -photo.mtime_ns,
    "shortest-path": lambda photo: len(os.fsencode(photo.path)),
}
KEEP = ("largest", "least-compressed", "oldest", "shortest-path")


@dataclass(frozen=True)
class Copy:
    """A photo that can go, since another shows the same.

    Attributes:
        photo: as the index knows it.
        exact: its file has the same bytes as the one that is kept.
        agreement: of its picture with the kept one, in [``SAME_PHOTO``, 1]; 1 where exact.
        turn: how it has to be turned to lie on the kept one (``""``, ``"mirrored"``, …).
    """

    photo: IndexedPhoto
    exact: bool
    agreement: float
    turn: str


@dataclass(frozen=True)
class Group:
    """Photos that show the same.

    Attributes:
        keep: the one that is proposed to be kept.
        copies: the others, at least one, in the order of their paths.
    """

    keep: IndexedPhoto
    copies: tuple[Copy, ...]


@dataclass(frozen=True)
class Duplicates:
    """What :func:`find_groups` found.

    Attributes:
        groups: in the order of the kept photos' paths; no photo is in two of them.
        passed_over: photos that could not be looked at, in the order of their paths.
    """

    groups: list[Group]
    passed_over: list[Problem]


def keep_rule(names: str) -> tuple[str, ...]:
    """Read a rule such as ``"oldest,largest"``; what it leaves open, :data:`KEEP` decides.

    Raises:
        UsageError: a name is unknown.
    """
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in CRITERIA:
            raise UsageError(f"no such rule: {name!r} (there are: {', '.join(CRITERIA)})")
    return tuple(dict.fromkeys([*wanted, *KEEP]))


def find_groups(
    index: ImageIndex,
    *,
    any_orientation: bool = False,
    within: Path | str | None = None,
    keep: Sequence[str] = KEEP,
    progress: Progress | None = None,
) -> Duplicates:
    """Find the copies among the photos of an index. No file is changed.

    Memory grows with the number of photos, never with its square; the reduced pictures that are
    compared lie in a temporary file of 4 kB a photo.

    Args:
        index: of the photos, whose files are read again.
        any_orientation: find rotated and mirrored copies, too.
        within: only photos below this folder.
        keep: names of :data:`CRITERIA`; the first that tells two photos apart decides.
        progress: called with (steps done, steps to do), a step being a photo or a pair.

    Raises:
        IndexDamagedError: the catalogue is damaged.
    """
    contents = _contents(index.photos(within=within))
    content_of = {photo.id: n for n, photos in enumerate(contents) for photo in photos}
    near = near_in_index(index, content_of, within)
    passed_over: dict[Path, str] = {}

    def tell(photos: int, pairs: int = 0, of_pairs: int = len(near)) -> None:
        if progress:
            progress(photos + pairs, len(contents) + of_pairs)

    with _room_for(len(contents)) as thumbprints:
        readable = np.zeros(len(contents), dtype=bool)
        for done in _fill(thumbprints, readable, contents, passed_over):
            tell(done)
        alike = near_in_light(thumbprints, readable, any_orientation=any_orientation)
        pairs = np.unique(np.concatenate([near, alike]), axis=0)
        pairs = pairs[readable[pairs].all(axis=1)]
        comparison = _Comparison(thumbprints, any_orientation)
        comparison.run(pairs, lambda done: tell(len(contents), done, len(pairs)))
        components = [
            present
            for component in _components(comparison.same, contents)
            if len(present := _present(component, passed_over)) > 1
        ]
        groups = _groups(components, content_of, comparison, keep, index.not_duplicates())
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
def _room_for(count: int) -> Iterator[Thumbprints]:
    """Lend an array of black thumbprints, shape = (count, SIDE, SIDE), that lies on the disk."""
    with tempfile.TemporaryFile(prefix="imgsim-edge-") as file:
        shape = (max(count, 1), SIDE, SIDE)
        file.truncate(shape[0] * SIDE * SIDE)
        yield np.memmap(file, np.uint8, "r+", shape=shape)


def _fill(
    thumbprints: Thumbprints,
    readable: NDArray[np.bool_],
    contents: list[list[IndexedPhoto]],
    passed_over: dict[Path, str],
) -> Iterator[int]:
    """Decode all contents, on all cores, and tell how many are done."""
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="decode") as pool:
        for first in range(0, len(contents), _DECODED_AT_ONCE):
            part = contents[first : first + _DECODED_AT_ONCE]
            for n, (picture, problems) in enumerate(pool.map(_decoded, part), start=first):
                passed_over.update(problems)
                if picture is not None:
                    thumbprints[n], readable[n] = picture, True
            yield first + len(part)


def _decoded(photos: list[IndexedPhoto]) -> tuple[Thumbprints | None, dict[Path, str]]:
    """Decode the first that can be of several photos with the same bytes."""
    problems: dict[Path, str] = {}
    for photo in photos:
        reason = _problem(photo)
        if reason is None:
            try:
                return thumbprint(load_photo(photo.path, SIDE).pixels), problems
            except PhotoError as error:
                reason = error.reason
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


class _Comparison:
    """Compares pairs of contents, and remembers which show the same photo.

    ``same`` maps such a pair, the lower number first, to how well they agree and how the second has
    to be turned to lie on the first (an index into ``TURNS``).
    """

    def __init__(self, thumbprints: Thumbprints, any_orientation: bool) -> None:
        self.same: dict[tuple[int, int], tuple[float, int]] = {}
        self._thumbprints = thumbprints
        self._any_orientation = any_orientation

    def run(self, pairs: Pairs, progress: Callable[[int], None] = lambda done: None) -> None:
        """Compare pairs, and tell time and again how many are done."""
        found = agreement(
            self._thumbprints, pairs, any_orientation=self._any_orientation, progress=progress
        )
        for row in np.flatnonzero(found.value >= SAME_PHOTO).tolist():
            one, other = pairs[row].tolist()
            self.same[one, other] = float(found.value[row]), int(found.turn[row])


# --- what becomes of them -------------------------------------------------------------------------


def _components(
    same: Iterable[tuple[int, int]], contents: list[list[IndexedPhoto]]
) -> list[list[IndexedPhoto]]:
    """Put together all photos that are connected by pairs, or by having the same bytes."""
    leader: dict[int, int] = {}

    def find(n: int) -> int:
        while (above := leader.setdefault(n, n)) != n:
            leader[n] = leader[above]
            n = above
        return n

    for one, other in same:
        leader[find(one)] = find(other)
    members: dict[int, list[IndexedPhoto]] = {}
    for n, photos in enumerate(contents):
        if n in leader or len(photos) > 1:
            members.setdefault(find(n), []).extend(photos)
    return list(members.values())


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
    content_of: dict[int, int],
    comparison: _Comparison,
    keep: Sequence[str],
    distinct: Collection[tuple[bytes, bytes]],
) -> list[Group]:
    """Pick the photo to keep, and with it all that show the same; go on with those left."""

    def rank(photo: IndexedPhoto) -> tuple[object, ...]:
        return (*(CRITERIA[name](photo) for name in keep), os.fsencode(photo.path))

    groups = []
    while components:
        kept = [min(photos, key=rank) for photos in components]
        pairs = {
            _ordered(content_of[best.id], content_of[photo.id])
            for best, photos in zip(kept, components, strict=True)
            for photo in photos
        }
        unknown = sorted(p for p in pairs if p[0] != p[1] and p not in comparison.same)
        comparison.run(np.array(unknown, dtype=np.int64).reshape(-1, 2))
        rest = []
        for best, photos in zip(kept, components, strict=True):
            copies: list[Copy] = []
            others = []
            for photo in photos:
                if photo is best:
                    continue
                copy = _copy(photo, best, content_of, comparison)
                together = [best, *(c.photo for c in copies)]
                if copy and not any(_ordered(photo.digest, p.digest) in distinct for p in together):
                    copies.append(copy)
                else:
                    others.append(photo)
            if copies:
                groups.append(Group(best, tuple(copies)))
            if len(others) > 1:
                rest.append(others)
        components = rest
    return groups


def _copy(
    photo: IndexedPhoto, best: IndexedPhoto, content_of: dict[int, int], comparison: _Comparison
) -> Copy | None:
    mine, kept = content_of[photo.id], content_of[best.id]
    if mine == kept:
        return Copy(photo, True, 1.0, "")
    known = comparison.same.get(_ordered(mine, kept))
    if known is None:
        return None
    value, turn = known
    return Copy(photo, False, value, TURNS[turn if kept < mine else BACK[turn]])


def _ordered(one: Key, other: Key) -> tuple[Key, Key]:
    return (one, other) if one < other else (other, one)
