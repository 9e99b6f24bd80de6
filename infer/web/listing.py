"""The order in which the page shows the collection, its folders and its months."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..index.image_index import ImageIndex

Order = Literal["taken", "path"]

REST = 5  # a listing is made anew at most once in this many times the time that it takes
_UNDATED = np.iinfo(np.int64).min  # milliseconds of a photo whose date is not known


@dataclass(frozen=True)
class Folder:
    """A folder that has photos below it.

    Attributes:
        key: names it in requests; stays the same while the folder's path does.
        path: of the folder.
        depth: 0 for the folders that the others lie in.
        first: place of its first photo in the order of paths.
        stop: one more than the place of its last photo.
    """

    key: str
    path: Path
    depth: int
    first: int
    stop: int


@dataclass(frozen=True)
class Section:
    """Photos that follow each other under one heading.

    Attributes:
        heading: a month (``"2024-05"``), None for photos without a date, or a folder's key.
        photos: how many.
    """

    heading: str | None
    photos: int


@dataclass(frozen=True)
class Listing:
    """One committed state of an index, put in order.

    Attributes:
        generation: of the index.
        by_path: int64, shape = (n,): ids of all photos, folder by folder, a folder before those in
            it, in the order of names.
        taken: int64, shape = (n,): when they were taken, in milliseconds of the local clock since
            1970; the least number there is where that is not known.
        by_taken: int64, shape = (n,): places in ``by_path``, last taken first, undated at the end.
        folders: by key, in the order of their paths.
        starts: int64, shape = (m,): places in ``by_path`` where another folder's photos begin.
        starting: keys of those folders.
        roots: the folders that were indexed.
        unreadable: how many files could not be read as photos.
    """

    generation: int
    by_path: NDArray[np.int64]
    taken: NDArray[np.int64]
    by_taken: NDArray[np.int64]
    folders: dict[str, Folder]
    starts: NDArray[np.int64]
    starting: list[str]
    roots: list[Path]
    unreadable: int

    def ids(self, folder: Folder | None, order: Order) -> NDArray[np.int64]:
        """Give the ids of the photos below a folder (of all where None), in order."""
        return self.by_path[self._places(folder, order)]

    def place_of(self, photo: int, folder: Folder | None, order: Order) -> int | None:
        """Find a photo's place in what :meth:`ids` gives; None where it is not there."""
        found = np.flatnonzero(self.ids(folder, order) == photo)
        return int(found[0]) if len(found) else None

    def sections(self, folder: Folder | None, order: Order) -> list[Section]:
        """Tell which headings stand over what :meth:`ids` gives."""
        if order == "path":
            return self._folders_in(folder)
        taken = self.taken[self._places(folder, order)]
        if not len(taken):
            return []
        months = taken.astype("datetime64[ms]").astype("datetime64[M]")  # undated: NaT, the least
        numbers = months.astype(np.int64)
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        counts = np.diff(starts, append=len(taken)).tolist()
        return [
            Section(None if taken[start] == _UNDATED else str(months[start]), count)
            for start, count in zip(starts.tolist(), counts, strict=True)
        ]

    def key_of(self, folder: Path) -> str | None:
        """Give a folder's key; None where it has no photos."""
        key = _key(str(folder))
        return key if key in self.folders else None

    def _places(self, folder: Folder | None, order: Order) -> NDArray[np.int64]:
        first, stop = (folder.first, folder.stop) if folder else (0, len(self.by_path))
        if order == "path":
            return np.arange(first, stop)
        return self.by_taken[(self.by_taken >= first) & (self.by_taken < stop)]

    def _folders_in(self, folder: Folder | None) -> list[Section]:
        first, stop = (folder.first, folder.stop) if folder else (0, len(self.by_path))
        ends = np.append(self.starts, len(self.by_path))[1:]
        return [
            Section(key, int(end - start))
            for key, start, end in zip(self.starting, self.starts, ends, strict=True)
            if first <= start < stop
        ]


class Collection:
    """Keeps the listing of an index current. Safe to call from several threads."""

    def __init__(self, index: ImageIndex) -> None:
        self._index = index
        self._making = threading.Lock()
        self._rests_until = 0.0
        self._listing = _listing(index)

    def current(self) -> Listing:
        """Give a listing: the newest, or where the index changes all the time a recent one."""
        if (
            self._listing.generation != self._index.generation
            and time.monotonic() >= self._rests_until
            and self._making.acquire(blocking=False)
        ):
            try:
                start = time.monotonic()
                self._listing = _listing(self._index)
                end = time.monotonic()
                self._rests_until = end + REST * (end - start)
            finally:
                self._making.release()
        return self._listing


def _listing(index: ImageIndex) -> Listing:
    # A photo that comes between these two lines is seen, and looked at again at the next call.
    generation = index.generation
    rows = []
    for photo in index.photos():
        folder, name = os.path.split(photo.path)
        taken = photo.metadata.taken_ms if photo.metadata else None
        # What is in a folder stays together, and comes before what is in those below it.
        rows.append(
            (
                f"{folder.replace(os.sep, chr(0))}\0",
                name,
                photo.id,
                _UNDATED if taken is None else taken,
            )
        )
    rows.sort()
    starts = [n for n, row in enumerate(rows) if n == 0 or row[0] != rows[n - 1][0]]
    starting = [rows[n][0][:-1].replace("\0", os.sep) for n in starts]
    taken_ms = np.array([row[3] for row in rows], dtype=np.int64)
    info = index.info()
    return Listing(
        generation=generation,
        by_path=np.array([row[2] for row in rows], dtype=np.int64),
        taken=taken_ms,
        by_taken=np.lexsort((np.arange(len(rows)), -np.maximum(taken_ms, _UNDATED + 1))),
        folders=_tree(starting, [*starts, len(rows)], info.roots),
        starts=np.array(starts, dtype=np.int64),
        starting=[_key(name) for name in starting],
        roots=info.roots,
        unreadable=info.unreadable,
    )


def _tree(names: list[str], starts: list[int], roots: Iterable[Path]) -> dict[str, Folder]:
    """Find the folders that were indexed and those below them that have photos below them."""
    spans: dict[Path, tuple[int, int]] = {}
    for name, first, stop in zip(names, starts, starts[1:], strict=False):
        folder = Path(name)
        for above in (folder, *folder.parents):
            spans[above] = (spans.get(above, (first,))[0], stop)
    tree = {}
    for path in sorted(spans):
        root = next((root for root in roots if path.is_relative_to(root)), None)
        if root is not None:
            key = _key(str(path))
            tree[key] = Folder(key, path, len(path.relative_to(root).parts), *spans[path])
    return tree


def _key(folder: str) -> str:
    return hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
