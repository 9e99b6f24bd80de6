"""The whole collection at a glance: keeps photos arranged by likeness while the index changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..arrays import Ids, Vectors
from ..errors import ImgsimError
from ..index.image_index import ImageIndex
from .listing import Collection
from .sorted_grid import NOBODY, Grid, arrange, principal

MOST_PLACED = 200_000  # photos; of a larger collection that many are drawn at random
REST = 20  # times as long as an arrangement took, before an index that changes is arranged again


@dataclass(frozen=True)
class Arrangement:
    """Photos arranged by likeness.

    Attributes:
        number: that of the arrangement: another one has another number.
        generation: of the index.
        photos: how many were placed.
        levels: int64, shape = (rows, columns): ids of photos, or ``NOBODY``. The first holds all;
            in the others each cell stands for four of the one before, by the most typical.
    """

    number: int
    generation: int
    photos: int
    levels: tuple[Grid, ...]


@dataclass(frozen=True)
class Progress:
    """How far the arranging is.

    Attributes:
        is_running: there is some in progress.
        done: rounds done.
        total: of so many; 0 while that is not known.
        error: why it failed, if it did.
    """

    is_running: bool = False
    done: int = 0
    total: int = 0
    error: str | None = None


class Overview:
    """Arranges an index's photos, in a thread of its own. Safe to call from several threads."""

    def __init__(self, index: ImageIndex, collection: Collection) -> None:
        self._index = index
        self._collection = collection
        self._lock = threading.Lock()
        self._arrangement: Arrangement | None = None
        self._progress = Progress()
        self._rests_until = 0.0

    def current(self) -> tuple[Arrangement | None, Progress]:
        """Give the newest arrangement; one that is out of date is made anew meanwhile."""
        with self._lock:
            known = self._arrangement
            is_old = known is None or known.generation != self._collection.current().generation
            rests = time.monotonic() < self._rests_until
            if is_old and not rests and not self._progress.is_running:
                self._progress = Progress(is_running=True)
                threading.Thread(target=self._arrange, name="overview", daemon=True).start()
            return known, self._progress

    def _arrange(self) -> None:
        start = time.monotonic()
        error = None
        try:
            listing = self._collection.current()
            wanted = listing.by_path
            if len(wanted) > MOST_PLACED:
                wanted = np.random.default_rng(0).choice(wanted, MOST_PLACED, replace=False)
            ids, features = self._features(np.sort(wanted))
            levels: tuple[Grid, ...] = ()
            if len(ids):
                named = np.append(ids, NOBODY)  # the last one is nobody
                levels = tuple(named[level] for level in arrange(features, self._report).levels)
            with self._lock:
                number = self._arrangement.number + 1 if self._arrangement else 1
                self._arrangement = Arrangement(number, listing.generation, len(ids), levels)
        except (ImgsimError, MemoryError) as failed:
            error = str(failed) or "there is not enough memory to arrange the photos"
        finally:
            with self._lock:
                self._progress = Progress(error=error)
                end = time.monotonic()
                self._rests_until = end + REST * (end - start)

    def _features(self, wanted: Ids) -> tuple[Ids, Vectors]:
        """Read what photos look like: ids in rising order, and principal directions."""
        with self._index.frozen() as frozen:

            def parts() -> Iterator[tuple[Ids, Vectors]]:
                for part in frozen.vector_parts():
                    held = np.isin(part.ids, wanted)
                    yield part.ids[held], part.vectors[held]

            features = principal(lambda: (vectors for _, vectors in parts()))
            ids = [part for part, _ in parts()]
        return np.concatenate([np.empty(0, np.int64), *ids]), features

    def _report(self, done: int, total: int) -> None:
        with self._lock:
            self._progress = Progress(True, done, total)
