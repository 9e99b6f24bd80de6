"""The way of a query through an index, one stage after the other, so that each one's worth shows.

What an index does is done here by the same functions: the collection's mean is taken off, the graph
gives candidates, their details put them in order, and each is averaged with those like it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Codes, Ids, Vectors
from ..encoder.details import details_of
from ..search.bands import BANDS, Band, band
from ..search.calibration import mean_of
from ..search.exact import Nearest, Stored, nearest, sample
from ..search.hnsw import TARGET_RECALL, Graph, is_installed
from ..search.rarity import SAMPLE, Rarity
from ..search.rerank import candidates_for, final_scores
from ..search.scores import centred, cosines
from .metrics import RECALL_AT, Answer, Retrieval, measure

EMBEDDINGS = "embeddings as they are"
CENTRED = "less the collection's mean"
GRAPH = "candidates from the graph"
DETAILS = "ordered by details"
AVERAGED = "averaged with those alike"
ANSWERS = 10  # that a query is for: what `similar` shows unless told otherwise
_ASKED_AT_ONCE = 256  # queries that candidates are found for

Step = Callable[[int], None]


@dataclass(frozen=True)
class GraphRecall:
    """What a graph says about itself.

    Attributes:
        ef_search: that it chose.
        recall: share of the exact ten nearest that it found with that, on a sample of its own.
        trusted: whether an index would use it; it answers exactly where the recall is too low.
    """

    ef_search: int
    recall: float
    trusted: bool


@dataclass(frozen=True)
class BandCount:
    """Of the answers that one band has: how many are right, and how many they are."""

    right: int
    answers: int


class Stages:
    """The vectors of one collection, searched as an index does.

    Args:
        vectors: float32, shape = (n, dimension), of unit length.
        codes: int8, shape = (n, details); None where the encoder gives none.
        through_graph: find candidates by a graph, where hnswlib is installed.
    """

    def __init__(self, vectors: Vectors, codes: Codes | None, through_graph: bool = True) -> None:
        ids = np.arange(len(vectors), dtype=np.int64)
        drawn, rows = sample(Stored.of_arrays(ids, vectors), SAMPLE)
        self.vectors, self.codes = vectors, codes
        self.centred = centred(vectors, mean_of(rows, len(vectors)))
        self.details: Vectors | None = None
        if codes is not None:
            details = details_of(codes)
            self.details = centred(details, mean_of(details[drawn], len(details)))
        self._stored = Stored.of_arrays(ids, self.centred)
        self._graph = None
        if through_graph and is_installed():
            self._graph = Graph.build(self._stored)
        self._candidates: dict[int, Nearest] = {}
        compared = self.centred if self.details is None else self.details
        self._rarity = Rarity.of(compared[drawn]) if len(drawn) > 1 else None

    @property
    def graph(self) -> GraphRecall | None:
        """What the graph says of itself; None without one."""
        one = self._graph
        if one is None:
            return None
        return GraphRecall(one.ef_search, one.recall, one.recall >= TARGET_RECALL)

    @property
    def names(self) -> list[str]:
        """The stages of this collection, in the order of a query."""
        found = [EMBEDDINGS, CENTRED]
        found += [GRAPH] if self._graph else []
        return found + ([DETAILS, AVERAGED] if self.details is not None else [])

    def measured(
        self, labels: Sequence[str], recall_at: Sequence[int] = RECALL_AT, step: Step | None = None
    ) -> dict[str, Retrieval]:
        """Measure every stage; photos that are no candidates come behind those that are."""
        of_stage = {GRAPH: self.found, DETAILS: self.ordered, AVERAGED: self.averaged}
        return {
            name: measure(
                self.vectors if name == EMBEDDINGS else self.centred,
                labels,
                recall_at,
                of_stage.get(name),
                step,
            )
            for name in self.names
        }

    def bands(self, labels: Sequence[str], queries: Ids) -> dict[Band, BandCount]:
        """Count how many of the first answers to some queries are of the query's class, by band."""
        classes = np.asarray(labels)
        found = {name: [0, 0] for name in BANDS}
        for first in range(0, len(queries), _ASKED_AT_ONCE):
            part = queries[first : first + _ASKED_AT_ONCE]
            for query, (rows, scores) in zip(part.tolist(), self.answers(part), strict=True):
                for place in np.argsort(-scores, kind="stable")[:ANSWERS].tolist():
                    count = found[band(float(scores[place]), self._rarity)]
                    count[0] += int(classes[rows[place]] == classes[query])
                    count[1] += 1
        return {name: BandCount(*count) for name, count in found.items()}

    def answers(self, queries: Ids) -> list[Answer]:
        """Answer as an index does, with the candidates that were put in order."""
        return self.found(queries) if self.details is None else self.averaged(queries)

    def found(self, queries: Ids) -> list[Answer]:
        """Give the candidates with the scores by which they were found."""
        return [(one.ids, one.scores) for one in self._found(queries)]

    def ordered(self, queries: Ids) -> list[Answer]:
        """Score candidates by their details alone."""
        details = self._known_details()
        return [
            (one.ids, cosines(details[query], details[one.ids]))
            for query, one in zip(queries.tolist(), self._found(queries), strict=True)
        ]

    def averaged(self, queries: Ids) -> list[Answer]:
        """Score candidates by their details, each averaged with those that are like it."""
        details = self._known_details()
        return [
            (one.ids, final_scores(details[query], details[one.ids]))
            for query, one in zip(queries.tolist(), self._found(queries), strict=True)
        ]

    def _known_details(self) -> Vectors:
        if self.details is None:
            raise ValueError("the encoder gives no details")
        return self.details

    def _found(self, queries: Ids) -> list[Nearest]:
        """Find the candidates of stored photos, without themselves; each is asked for once."""
        missing = [number for number in queries.tolist() if number not in self._candidates]
        for first in range(0, len(missing), _ASKED_AT_ONCE):
            part = missing[first : first + _ASKED_AT_ONCE]
            for number, found in zip(part, self._nearest(part), strict=True):
                others = np.flatnonzero(found.ids != number)
                self._candidates[number] = Nearest(
                    found.ids[others], found.scores[others], found.vectors[:0]
                )
        return [self._candidates[number] for number in queries.tolist()]

    def _nearest(self, queries: list[int]) -> list[Nearest]:
        k = candidates_for(ANSWERS) + 1  # one more, since a stored photo finds itself
        rows = self.centred[queries]
        found: list[Nearest | None] = [None] * len(queries)
        if self._graph and self._graph.recall >= TARGET_RECALL:
            found = self._graph.nearest(rows, k)
        missing = [place for place, one in enumerate(found) if one is None]
        if missing:  # where the graph cannot tell, an index answers exactly
            exactly = nearest(rows[missing], k, self._stored.chunks())
            for place, one in zip(missing, exactly, strict=True):
                found[place] = one
        return [one for one in found if one is not None]
