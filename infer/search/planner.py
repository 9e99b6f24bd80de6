"""Finding neighbours: by the graph where that is quicker, by the exact scan everywhere else.

Both give the same answers, up to the recall that the graph has measured on itself.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Ids, Vectors
from ..catalogue.reader import Snapshot
from ..catalogue.rows import GraphRecord
from . import exact as search
from .exact import Chunk, Nearest, Resident

if TYPE_CHECKING:  # a process that asks once never imports hnswlib
    from .hnsw import Changes, Graph

SCANS_WORTH_A_GRAPH = 64  # queries: so many exact ones take about as long as loading the graph
PATCH_SHARE = 20  # a graph serves on while at most one vector in so many differs from it
PATCH_LEAST = 1024  # vectors that may differ however small the graph is


@dataclass(frozen=True, eq=False)
class _View:
    """A graph, and what the catalogue of one generation has changed since it was published."""

    generation: int
    record: GraphRecord
    graph: Graph
    changes: Changes

    def nearest(self, queries: Vectors, k: int) -> list[Nearest | None]:
        found = self.graph.nearest(queries, k, self.changes.gone)
        if not len(self.changes.ids):
            return found
        fresh = search.nearest(queries, k, [Chunk(self.changes.ids, self.changes.vectors, 0)])
        return [
            Nearest(np.concatenate([a.ids, b.ids]), np.concatenate([a.vectors, b.vectors]))
            if a
            else None
            for a, b in zip(found, fresh, strict=True)
        ]


class Searcher:
    """Finds the nearest stored vectors, in one index folder. Safe from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._asked = 0
        self._view: _View | None = None
        self._without_graph = -1  # a generation that was found to have no usable graph
        self._resident = Resident()
        self._scanned = 0

    def nearest(
        self,
        queries: Vectors,
        k: int,
        snapshot: Snapshot,
        *,
        exact: bool = False,
        only: Ids | None = None,
    ) -> list[Nearest]:
        """Find at least the k nearest of each query, all of one committed state.

        Args:
            queries: float32, shape = (q, dimension).
            k: at least 1.
            snapshot: the state.
            exact: do not ask the graph.
            only: int64, in rising order: restricts the answers to these ids.
        """
        again = self._asked > 0 or len(queries) > SCANS_WORTH_A_GRAPH
        self._asked += len(queries)
        found: list[Nearest | None] = [None] * len(queries)
        if again and not exact and only is None and (view := self._current(snapshot)):
            found = view.nearest(queries, k)
        missing = [place for place, answer in enumerate(found) if answer is None]
        if missing:
            exactly = self._exactly(queries[missing], k, snapshot, only)
            for place, answer in zip(missing, exactly, strict=True):
                found[place] = answer
        return [answer for answer in found if answer is not None]

    def _exactly(
        self, queries: Vectors, k: int, snapshot: Snapshot, only: Ids | None
    ) -> list[Nearest]:
        # For one query, reading all vectors is quicker than anything that prepares for more.
        self._scanned += 1
        if self._scanned == 1:
            return search.nearest(queries, k, search.stream(snapshot), only)
        with self._lock:
            chunks = self._resident.chunks(snapshot)
        return search.nearest(queries, k, chunks, only)

    def _current(self, snapshot: Snapshot) -> _View | None:
        """Load the graph, or take up what has changed since it was published."""
        generation = snapshot.header().generation
        view = self._view
        if view is not None and view.generation == generation:
            return view
        with self._lock:
            view = self._view
            if generation == self._without_graph:
                return None
            if view is None or view.generation < generation:
                view = self._view = self._look(snapshot, view)
                if view is None:
                    self._without_graph = generation
            return view if view and view.generation == generation else None

    def _look(self, snapshot: Snapshot, before: _View | None) -> _View | None:
        from .hnsw import TARGET_RECALL, Graph

        header = snapshot.header()
        record = header.graph
        if record is None or record.recall < TARGET_RECALL or record.generation > header.generation:
            return None
        if before is not None and before.record.digest == record.digest:
            graph: Graph | None = before.graph
        else:
            graph = Graph.load(self._folder, record, header.dimension)
        if graph is None:
            return None
        changes = graph.changes(snapshot, record.generation)
        if len(changes) > max(PATCH_LEAST, graph.count // PATCH_SHARE):
            return None
        return _View(header.generation, record, graph, changes)
