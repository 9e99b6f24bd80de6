"""Candidates by pgvector's graph; what decides among them is the code that decides locally.

https://github.com/pgvector/pgvector: HNSW over half-precision vectors, and iterative scans, which
go on where a condition leaves too few.
"""

from __future__ import annotations

import numpy as np

from ...arrays import Codes, Ids, Vectors
from ...catalogue.reader import Snapshot
from ...search import exact as search
from ...search.calibration import means as published_means
from ...search.exact import Nearest
from ...search.planner import Searcher
from ...search.scores import Means, centred
from .migrations import SCHEMA
from .reader import PostgresSnapshot

MARGIN = 1.2  # times as many candidates are fetched, since half precision swaps near ones
MARGIN_LEAST = 20
EF_SEARCH = 400  # candidates that the graph looks at, where that is more than are fetched
MOST_EF_SEARCH = 1000  # that pgvector takes; iterative scans go on from there
FEW = 20_000  # photos that a condition leaves: comparing all of them is quicker than the graph


class PostgresSearcher(Searcher):
    """Finds the nearest published vectors, and keeps nothing. Safe from several threads."""

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

        Arguments as for :meth:`Searcher.nearest`.
        """
        assert isinstance(snapshot, PostgresSnapshot)
        if means.checksum != published_means(snapshot).checksum:
            chunks = search.stream(snapshot, means.embedding)
            return search.nearest(queries, k, chunks, only)
        wanted = int(max(k * MARGIN, k + MARGIN_LEAST))
        if exact or (only is not None and len(only) <= FEW):
            snapshot.settings(enable_indexscan="off")
        else:
            ef_search = min(max(wanted, EF_SEARCH), MOST_EF_SEARCH)
            snapshot.settings(
                enable_indexscan="on",
                hnsw__ef_search=ef_search,
                hnsw__iterative_scan="strict_order",
            )
        return [self._nearest(query, k, wanted, snapshot, means, only) for query in queries]

    def _nearest(
        self,
        query: Vectors,
        k: int,
        wanted: int,
        snapshot: PostgresSnapshot,
        means: Means,
        only: Ids | None,
    ) -> Nearest:
        asked = "[" + ",".join(f"{number:.6g}" for number in query.tolist()) + "]"
        joined = f"{SCHEMA}.photo p"
        if only is None:
            # Contents first, by the graph alone; their photos are looked up after that.
            rest = (
                f"FROM (SELECT * FROM {SCHEMA}.content ORDER BY embedding <#> %s::halfvec "
                f"LIMIT %s) c JOIN {joined} USING (digest)"
            )
            ids, vectors = snapshot.candidates(rest, (asked, wanted))
        else:
            rest = (
                f"FROM {SCHEMA}.content c JOIN {joined} USING (digest) WHERE p.id = ANY(%s) "
                "ORDER BY c.embedding <#> %s::halfvec LIMIT %s"
            )
            ids, vectors = snapshot.candidates(rest, (only.tolist(), asked, wanted))
        return Nearest.of(query, ids, centred(vectors, means.embedding), k)

    def details(self, ids: Ids, snapshot: Snapshot) -> Codes:
        """Read the details of photos: int8, shape = (len(ids), details); zeros where none are."""
        assert isinstance(snapshot, PostgresSnapshot)
        return snapshot.details_of(np.asarray(ids).tolist())
