"""How well vectors find photos of the same class: every photo is a query against all the others.

Conventions, since the literature has several:

- The class of a photo is the truth: the other photos of its class are relevant, nothing else is. A
  photo that is alone in its class has nothing to find: it is no query (it stays among the others).
- Scores are cosines, rounded to about a millionth (``SCORE_STEPS``), because the last digits of a
  dot product depend on where in memory a vector lies, and computed in double precision, so that
  copies of one vector do not end on either side of a step. Photos with equal scores share a rank.
- Average precision with ties is scikit-learn's ``average_precision_score``: photos that share a
  rank are taken in together, without interpolation. The other measures are the expected value over
  all orders of the photos that share a rank (McSherry & Najork, "Computing Information Retrieval
  Performance Measures Efficiently in the Presence of Tied Scores", ECIR 2008).
- P@k is the share of relevant photos among the first k; with fewer than k relevant ones it stays
  below 1. Recall@k is the share of the relevant photos that are among the first k. R-precision is
  P@R with R the number of relevant photos.
- Intervals are 95 % percentile bootstrap intervals over the queries: how much a mean would move
  with other queries of the same kind against the same photos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ids

PRECISION_AT = (1, 10)
RECALL_AT = (10, 100)
SCORE_STEPS = 1 << 20  # scores that one unit of cosine is divided into
BLOCK_SCORES = 1 << 22  # scores in memory at once (32 MiB)
RESAMPLES = 1000  # of the bootstrap
CONFIDENCE = 0.95
_BEFORE_ALL = 4 * SCORE_STEPS  # steps that answers of another search are ahead of the others
_RESAMPLED_AT_ONCE = 1 << 20  # drawn queries in memory at once

Floats = NDArray[np.float64]
Answer = tuple[Ids, Floats]  # photos, as rows of the vectors, and their scores


@dataclass(frozen=True)
class Estimate:
    """A mean over queries and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Retrieval:
    """Measures of every query of one set of photos.

    Attributes:
        names: of the measures: ``mAP``, ``P@1``, ``P@10``, ``R-precision``, ``recall@10``, ….
        queries: int64, shape = (queries,): the photos that were queries, as rows of the vectors.
        values: float64, shape = (queries, len(names)), each in [0, 1].
        alone: how many photos were no query, being alone in their class.
    """

    names: tuple[str, ...]
    queries: Ids
    values: Floats
    alone: int

    def of(self, name: str) -> Floats:
        """Give one measure of every query: float64, shape = (queries,)."""
        return self.values[:, self.names.index(name)]

    def part(self, queries: NDArray[np.bool_]) -> Retrieval:
        """Keep some of the queries: bool, shape = (queries,)."""
        return Retrieval(self.names, self.queries[queries], self.values[queries], 0)


def measure(
    vectors: NDArray[Any],
    labels: Sequence[str],
    recall_at: Sequence[int] = RECALL_AT,
    first: Callable[[Ids], Sequence[Answer]] | None = None,
    step: Callable[[int], None] | None = None,
) -> Retrieval:
    """Rank, for every photo, all the others by cosine, and measure each ranking.

    Memory grows with the number of photos, not with its square; time grows with the square.

    Args:
        vectors: float, shape = (n, dimension), of any length (all zero: a cosine of 0 with all).
        labels: the class of each, n of them.
        recall_at: the k of recall@k.
        first: what another search answers, to measure that search: called with a block of queries
            (rows of the vectors), it gives for each the photos that it found, without the query,
            and their scores. All others come behind these, in the order of their cosines.
        step: called with a number of queries as soon as they are measured.

    Raises:
        ValueError: not one label a vector, or a vector with a number that is not finite.
    """
    units = _units(vectors)
    if len(labels) != len(units):
        raise ValueError(f"{len(units)} vectors but {len(labels)} labels")
    _, classes, sizes = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    members = np.split(np.argsort(classes, kind="stable"), np.cumsum(sizes)[:-1])
    queries = np.flatnonzero(sizes[classes] > 1)
    names = (
        "mAP",
        *(f"P@{k}" for k in PRECISION_AT),
        "R-precision",
        *(f"recall@{k}" for k in recall_at),
    )
    values = np.empty((len(queries), len(names)))
    rows = max(1, BLOCK_SCORES // max(len(units), 1))
    for start in range(0, len(queries), rows):
        block = queries[start : start + rows]
        answers = None if first is None else first(block)
        for at, (query, steps) in enumerate(zip(block, _steps(units[block], units), strict=True)):
            if answers is not None:
                rows_found, scores = answers[at]
                steps[rows_found] = np.rint(scores * -SCORE_STEPS) - _BEFORE_ALL
            same = members[classes[query]]
            relevant = np.sort(steps[same[same != query]])
            steps[query] = np.iinfo(np.int32).max  # itself: behind all others, and cut off
            steps.sort()
            values[start + at] = _query(steps[:-1], relevant, recall_at)
        if step:
            step(len(block))
    return Retrieval(names, queries, values, len(units) - len(queries))


def estimate(
    sets: Sequence[Retrieval], baseline: Sequence[Retrieval] | None = None, seed: int = 0
) -> dict[str, Estimate]:
    """Average each measure over the queries of a set, then over sets, with bootstrap intervals.

    Args:
        sets: at least one, each with at least one query; a set counts once, whatever its size.
        baseline: the same queries measured otherwise: the estimates are of the difference then,
            each query compared with itself.
        seed: of the resampling; the same seed and numbers give the same intervals.

    Returns:
        For each measure, its estimate.

    Raises:
        ValueError: no set, a set without queries, or a baseline of other queries or measures.
    """
    if not sets or any(not len(r.queries) for r in sets):
        raise ValueError("nothing to average: no photo has another of its class")
    values = [r.values for r in sets]
    if baseline is not None:
        for one, other in zip(sets, baseline, strict=True):
            if one.names != other.names or not np.array_equal(one.queries, other.queries):
                raise ValueError("the baseline measures other queries")
        values = [v - b.values for v, b in zip(values, baseline, strict=True)]
    random = np.random.default_rng(seed)
    means = np.mean([v.mean(axis=0) for v in values], axis=0)
    spread = np.mean([_resampled_means(v, random) for v in values], axis=0)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(spread, (tail, 100 - tail), axis=0)
    return {
        name: Estimate(float(means[i]), float(low[i]), float(high[i]))
        for i, name in enumerate(sets[0].names)
    }


def _units(vectors: NDArray[Any]) -> Floats:
    exact = np.asarray(vectors, dtype=np.float64)
    if exact.ndim != 2 or not np.isfinite(exact).all():
        raise ValueError(f"need finite vectors of shape (n, dimension), got shape {exact.shape}")
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    units: Floats = np.zeros_like(exact)
    np.divide(exact, lengths, out=units, where=lengths > 0)
    return units


def _steps(queries: Floats, units: Floats) -> NDArray[np.int32]:
    """Score queries against all: int32, shape = (q, n), the smaller the more similar."""
    scores = queries @ units.T
    scores *= -SCORE_STEPS
    steps: NDArray[np.int32] = np.rint(scores, out=scores).astype(np.int32)
    return steps


def _query(
    ranked: NDArray[np.int32], relevant: NDArray[np.int32], recall_at: Sequence[int]
) -> list[float]:
    """Measure one ranking.

    Args:
        ranked: scores of all others, ascending (the most similar first).
        relevant: those of the relevant ones among them, ascending.
        recall_at: the k of recall@k.
    """

    def hits(k: int) -> float:
        """Expect so many relevant photos among the first k, over all orders of equal scores."""
        if k >= len(ranked):
            return float(len(relevant))
        last = ranked[k - 1]
        above, upto = np.searchsorted(ranked, last), np.searchsorted(ranked, last, "right")
        sure, most = np.searchsorted(relevant, last), np.searchsorted(relevant, last, "right")
        return float(sure + (most - sure) * (k - above) / (upto - above))

    seen = np.searchsorted(ranked, relevant, "right")
    found = np.searchsorted(relevant, relevant, "right")
    total = len(relevant)
    return [
        float(np.mean(found / seen)),
        *(hits(k) / k for k in PRECISION_AT),
        hits(total) / total,
        *(hits(k) / total for k in recall_at),
    ]


def _resampled_means(values: Floats, random: np.random.Generator) -> Floats:
    """Average over queries drawn with replacement: shape = (RESAMPLES, measures)."""
    count = len(values)
    at_once = max(1, min(RESAMPLES, _RESAMPLED_AT_ONCE // count))
    means = [
        values[random.integers(0, count, (min(at_once, RESAMPLES - done), count))].mean(axis=1)
        for done in range(0, RESAMPLES, at_once)
    ]
    return np.concatenate(means)
