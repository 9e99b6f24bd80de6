"""The order in which the page shows the collection, its folders and its months."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ids
from ..errors import UsageError
from ..index.image_index import ImageIndex

Order = Literal["taken", "path"]

REST = 5  # a listing is made anew at most once in this many times the time that it takes
_UNDATED = np.iinfo(np.int64).min  # milliseconds of a photo whose date is not known


@dataclass(frozen=True)
class Filter:
    """Which photos are wanted; what is None does not matter. As :meth:`ImageIndex.similar` has it.

    Attributes:
        since: taken at this time or later.
        until: taken before.
        camera: a part of the camera's name.
        label: that they were said to show.
    """

    since: datetime | None = None
    until: datetime | None = None
    camera: str | None = None
    label: str | None = None


EVERY = Filter()


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
        cameras: how many photos each has taken, in the order of their names.
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
    cameras: dict[str, int]
    roots: list[Path]
    unreadable: int

    def places(
        self, folder: Folder | None, order: Order, only: Ids | None = None
    ) -> NDArray[np.int64]:
        """Give the places in ``by_path`` of the photos below a folder, in order.

        Args:
            folder: below which they are; anywhere where None.
            order: of the places.
            only: ids of the photos that are wanted; all where None.
        """
        first, stop = (folder.first, folder.stop) if folder else (0, len(self.by_path))
        if order == "path":
            places = np.arange(first, stop)
        elif folder is None:
            places = self.by_taken
        else:
            places = self.by_taken[(self.by_taken >= first) & (self.by_taken < stop)]
        return places if only is None else places[np.isin(self.by_path[places], only)]

    def sections(self, places: NDArray[np.int64], order: Order) -> list[Section]:
        """Tell which headings stand over what :meth:`places` gives."""
        if not len(places):
            return []
        if order == "path":
            numbers = np.searchsorted(self.starts, places, side="right") - 1
            names: dict[int, str | None] = dict(enumerate(self.starting))
        else:
            months = self.taken[places].astype("datetime64[ms]").astype("datetime64[M]")
            numbers = months.astype(np.int64)
            names = {number: str(np.datetime64(number, "M")) for number in set(numbers.tolist())}
            names[_UNDATED] = None  # NaT, the least
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        counts = np.diff(starts, append=len(places)).tolist()
        return [
            Section(names[number], count)
            for number, count in zip(numbers[starts].tolist(), counts, strict=True)
        ]

    def key_of(self, folder: Path) -> str | None:
        """Give a folder's key; None where it has no photos."""
        key = _key(str(folder))
        return key if key in self.folders else None


class Collection:
    """Keeps the listing of an index current. Safe to call from several threads."""

    def __init__(self, index: ImageIndex) -> None:
        self._index = index
        self._making = threading.Lock()
        self._rests_until = 0.0
        self._listing = _listing(index)
        self._chosen: tuple[int, Filter, Ids] | None = None

    def chosen(self, listing: Listing, wanted: Filter) -> Ids | None:
        """List the ids of the photos that are wanted, in rising order; None where all are.

        No photo has a label that is not known: it may have been forgotten since the page asked.
        """
        if wanted == EVERY:
            return None
        known = self._chosen
        if known and known[:2] == (listing.generation, wanted):
            return known[2]
        try:
            ids = self._index.ids(
                since=wanted.since, until=wanted.until, camera=wanted.camera, label=wanted.label
            )
        except UsageError:
            ids = np.array([], dtype=np.int64)
        if wanted.label is None:  # else it changes while the index does not
            self._chosen = listing.generation, wanted, ids
        return ids

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
    ids, taken, numbers = array("q"), array("q"), array("q")
    names: list[str] = []
    folders: dict[str, tuple[int, str]] = {}  # as paths begin → number of the folder, its path
    cameras: Counter[str] = Counter()
    for photo in index.photos():
        path = str(photo.path)
        above, separator, name = path.rpartition(os.sep)
        folder = folders.get(above + separator)
        if folder is None:
            folder = folders[above + separator] = len(folders), str(photo.path.parent)
        ids.append(photo.id)
        names.append(name)
        numbers.append(folder[0])
        about = photo.metadata
        taken.append(_UNDATED if about is None or about.taken_ms is None else about.taken_ms)
        if about and about.camera:
            cameras[about.camera] += 1
    # What is in a folder stays together, and comes before what is in those below it.
    ordered = sorted(folders.values(), key=lambda folder: Path(folder[1]).parts)
    starting = [path for _, path in ordered]
    ranks = np.empty(len(ordered), dtype=np.int64)
    ranks[[number for number, _ in ordered]] = np.arange(len(ordered))
    rank = ranks[np.array(numbers, dtype=np.int64)]
    places = np.argsort(rank, kind="stable")
    starts = np.searchsorted(rank[places], np.arange(len(ordered) + 1)).tolist()
    for first, stop in pairwise(starts):
        places[first:stop] = sorted(places[first:stop].tolist(), key=names.__getitem__)
    taken_ms = np.array(taken, dtype=np.int64)[places]
    info = index.info()
    return Listing(
        generation=generation,
        by_path=np.array(ids, dtype=np.int64)[places],
        taken=taken_ms,
        by_taken=np.lexsort((np.arange(len(ids)), -np.maximum(taken_ms, _UNDATED + 1))),
        folders=_tree(starting, starts, info.roots),
        starts=np.array(starts[:-1], dtype=np.int64),
        starting=[_key(name) for name in starting],
        cameras=dict(sorted(cameras.items())),
        roots=info.roots,
        unreadable=info.unreadable,
    )


def _tree(names: list[str], starts: list[int], roots: Iterable[Path]) -> dict[str, Folder]:
    """Find the folders that were indexed and those below them that have photos below them."""
    spans: dict[Path, tuple[int, int]] = {}
    for name, (first, stop) in zip(names, pairwise(starts), strict=True):
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
