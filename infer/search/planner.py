"""Finding neighbours: by the graph where that is quicker, by the exact scan everywhere else.

Both give the same answers, up to the recall that the graph has measured on itself.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Codes, Ids, Vectors
from ..catalogue.reader import Snapshot
from ..catalogue.rows import DamagedRowError, GraphRecord, PhotoRow
from . import exact as search
from .details import ResidentDetails, details_at
from .exact import Chunk, Nearest, Resident
from .scores import Means

if TYPE_CHECKING:  # a process that asks once never imports hnswlib
    from .hnsw import Changes, Graph

SCANS_WORTH_A_GRAPH = 64  # queries: so many exact ones take about as long as loading the graph
MAX_PATCH_FRACTION = 1 / 20  # of the vectors may differ from a graph that still serves
PATCH_LEAST = 1024  # vectors that may differ however small the graph is


@dataclass(frozen=True, eq=False)
class _View:
    """A graph, and what the catalogue of one generation has changed since it was published."""

    key: tuple[int, int]  # generation, and checksum of the mean
    record: GraphRecord
    graph: Graph
    changes: Changes

    def nearest(self, queries: Vectors, k: int, resident: Resident) -> list[Nearest | None]:
        found = self.graph.nearest(queries, k, self.changes.gone, resident.vectors)
        if not len(self.changes.ids):
            return found
        fresh = search.nearest(queries, k, [Chunk(self.changes.ids, self.changes.vectors, 0)])
        return [
            Nearest.of(
                query, np.concatenate([a.ids, b.ids]), np.concatenate([a.vectors, b.vectors]), k
            )
            if a
            else None
            for query, a, b in zip(queries, found, fresh, strict=True)
        ]


class Searcher:
    """Finds the nearest stored vectors, in one index folder. Safe from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._asked = 0
        self._view: _View | None = None
        self._without_graph = (-1, 0)  # a key that was found to have no usable graph
        self._details = ResidentDetails()
        self._resident: Resident | None = None
        self._scanned = 0
        self._ordered = 0

    def nearest(
        self,
        queries: Vectors,
        k: int,
        snapshot: Snapshot,
        means: Means,
        *,
        exact: bool = False,
        only: Ids | None = None,
    ) -> list[Nearest]:
        """Find the k nearest of each query by their embeddings, all of one committed state.

        Args:
            queries: float32, shape = (q, dimension), centred.
            k: at least 1.
            snapshot: the state.
            means: of that state, or others to compare without (the graph is not asked then).
            exact: do not ask the graph.
            only: int64, in rising order: restricts the answers to these ids.
        """
        again = self._asked > 0 or len(queries) > SCANS_WORTH_A_GRAPH
        self._asked += len(queries)
        found: list[Nearest | None] = [None] * len(queries)
        if again and not exact and only is None and (view := self._current(snapshot, means)):
            found = view.nearest(queries, k, self._kept(snapshot, means.embedding))
        missing = [place for place, answer in enumerate(found) if answer is None]
        if missing:
            exactly = self._exactly(queries[missing], k, snapshot, means.embedding, only)
            for place, answer in zip(missing, exactly, strict=True):
                found[place] = answer
        return [answer for answer in found if answer is not None]

    def _exactly(
        self, queries: Vectors, k: int, snapshot: Snapshot, mean: Vectors, only: Ids | None
    ) -> list[Nearest]:
        # For one query, reading all vectors is quicker than anything that prepares for more.
        self._scanned += 1
        if self._scanned == 1:
            return search.nearest(queries, k, search.stream(snapshot, mean), only)
        chunks = self._kept(snapshot, mean).by_number.values()
        return search.nearest(queries, k, chunks, only)

    def _kept(self, snapshot: Snapshot, mean: Vectors) -> Resident:
        """Give all vectors of a state; only what has changed since the last one is read."""
        resident = self._resident
        if resident is not None and resident.is_of(snapshot, mean):
            return resident
        with self._lock:
            before = self._resident
            if before is not None and before.is_of(snapshot, mean):
                return before
            resident = Resident.of(snapshot, mean, before)
            if before is None or before.generation <= resident.generation:
                self._resident = resident
            return resident

    def check(self, photo: PhotoRow, snapshot: Snapshot) -> None:
        """Hold a photo's row against the vector that was compared.

        Raises:
            DamagedRowError: they do not belong together.
        """
        resident = self._resident
        if resident is None or resident.generation != snapshot.header().generation:
            snapshot.vector(photo)
        elif resident.checksum(photo.id) != photo.vector:
            raise DamagedRowError(f"vector of photo {photo.id}")

    def details(self, ids: Ids, snapshot: Snapshot) -> Codes:
        """Read the details of photos: int8, shape = (len(ids), details); zeros where none are."""
        self._ordered += 1
        if self._ordered == 1:  # for one query, a few hundred blocks are read soonest
            return details_at(snapshot, ids)
        with self._lock:
            return self._details.at(ids, snapshot)

    def _current(self, snapshot: Snapshot, means: Means) -> _View | None:
        """Load the graph, or take up what has changed since it was published."""
        generation = snapshot.header().generation
        key = generation, means.checksum
        view = self._view
        if view is not None and view.key == key:
            return view
        with self._lock:
            view = self._view
            if key == self._without_graph:
                return None
            if view is None or view.key[0] <= generation:
                view = self._view = self._load(snapshot, view, means)
                if view is None:
                    self._without_graph = key
            return view if view and view.key == key else None

    def _load(self, snapshot: Snapshot, before: _View | None, means: Means) -> _View | None:
        from .hnsw import TARGET_RECALL, Graph

        header = snapshot.header()
        record = header.graph
        if (
            record is None
            or record.mean != means.checksum
            or record.recall < TARGET_RECALL
            or record.generation > header.generation
        ):
            return None
        if before is not None and before.record.digest == record.digest:
            graph: Graph | None = before.graph
        else:
            graph = Graph.load(self._folder, record, header.dimension)
        if graph is None:
            return None
        changes = graph.changes(snapshot, record.generation, means.embedding)
        if len(changes) > max(PATCH_LEAST, graph.count * MAX_PATCH_FRACTION):
            return None
        return _View((header.generation, means.checksum), record, graph, changes)
