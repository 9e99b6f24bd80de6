"""The order in which the page shows the collection, and its folders."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..index.image_index import ImageIndex

REST = 5  # a listing is made anew at most once in this many times the time that it takes


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
class Listing:
    """One committed state of an index, put in order.

    Attributes:
        generation: of the index.
        by_path: int64, shape = (n,): ids of all photos in the order of their paths.
        newest: int64, shape = (n,): places in ``by_path``, latest change of the file first.
        folders: by key, in the order of their paths.
    """

    generation: int
    by_path: NDArray[np.int64]
    newest: NDArray[np.int64]
    folders: dict[str, Folder]

    def ids(self, folder: Folder | None, newest_first: bool) -> NDArray[np.int64]:
        """Give the ids of the photos below a folder (of all where None), in order."""
        first, stop = (folder.first, folder.stop) if folder else (0, len(self.by_path))
        if not newest_first:
            return self.by_path[first:stop]
        places = self.newest[(self.newest >= first) & (self.newest < stop)]
        return self.by_path[places]


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
    rows = [(str(photo.path), photo.id, photo.mtime_ns) for photo in index.photos()]
    rows.sort(key=lambda row: row[0].replace(os.sep, "\0"))  # what is in a folder stays together
    folders: dict[str, tuple[int, int]] = {}  # path → first place and one more than the last
    parent, above = "", [""]
    for place, (path, _, _) in enumerate(rows):
        folder = os.path.dirname(path)  # noqa: PTH120 - strings: there may be a million
        if folder != parent:
            parent, above = folder, _lineage(folder)
        for name in above:
            folders[name] = (folders.get(name, (place,))[0], place + 1)
    times = np.array([mtime for _, _, mtime in rows], dtype=np.int64)
    return Listing(
        generation=generation,
        by_path=np.array([number for _, number, _ in rows], dtype=np.int64),
        newest=np.argsort(-times, kind="stable"),
        folders=_tree(folders, index.info().roots),
    )


def _lineage(folder: str) -> list[str]:
    return [folder, *(str(above) for above in Path(folder).parents)]


def _tree(places: dict[str, tuple[int, int]], roots: list[Path]) -> dict[str, Folder]:
    """Keep the folders that were indexed, and those below them."""
    tree = {}
    for path, name in sorted((Path(name), name) for name in places):
        first, stop = places[name]
        root = next((root for root in roots if path.is_relative_to(root)), None)
        if root is not None:
            key = hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()
            tree[key] = Folder(key, path, len(path.relative_to(root).parts), first, stop)
    return tree
