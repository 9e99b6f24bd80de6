"""Queries → ranked matches: candidates by embeddings, put in order by details."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ids, Vectors
from ..catalogue.reader import Snapshot
from ..catalogue.rows import DamagedRowError, PhotoRow
from ..encoder.details import details_of
from ..errors import UsageError
from ..search.bands import band
from ..search.calibration import rarity
from ..search.exact import Nearest
from ..search.planner import Searcher
from ..search.rarity import Rarity
from ..search.rerank import candidates_for, final_scores
from ..search.scores import Means, centred
from .query import QueryVectors, names_of
from .results import Match, Order


@dataclass(frozen=True)
class Wishes:
    """What answers are wanted.

    Attributes:
        k: how many at most, at least 1.
        exact: compare with every photo, whatever the graph could tell.
        only: int64, in rising order: the photos that may answer; all where None.
        min_score: only answers with at least this score.
        min_rarity: only answers so similar that one random pair in so many is.
        omit: ids of photos that are no answer.
        copies: photos with the same bytes are all given, not only the first by path.
        unrelated: answers that are weak are given, too.
        order: in which the answers come; their ranks are by likeness.
    """

    k: int
    exact: bool = False
    only: Ids | None = None
    min_score: float | None = None
    min_rarity: float | None = None
    omit: frozenset[int] = frozenset()
    copies: bool = True
    unrelated: bool = True
    order: Order = "likeness"


@dataclass(frozen=True, eq=False)
class Asked:
    """One query, ready to be compared.

    Attributes:
        embedding: float32, shape = (dimension,), centred and of unit length.
        details: float32, shape = (details,), likewise; None where it has none.
        omit: ids of photos of the index that it is made of.
    """

    embedding: Vectors
    details: Vectors | None
    omit: frozenset[int]


def prepared(queries: QueryVectors, mean: Means) -> list[Asked]:
    """Take the means from queries."""
    embeddings = centred(queries.vectors, mean.embedding)
    details = centred(queries.details, mean.details)
    return [
        Asked(embedding, own if own.any() else None, frozenset(() if n is None else (n,)))
        for embedding, own, n in zip(embeddings, details, queries.ids, strict=True)
    ]


def combined(wanted: Sequence[Asked], unlike: Sequence[Asked]) -> Asked:
    """Make one query of several: their mean, less the mean of those to be unlike.

    Raises:
        UsageError: nothing is left.
    """
    every = [*wanted, *unlike]

    def difference(rows: list[Vectors]) -> Vectors:
        vector = np.mean(rows[: len(wanted)], axis=0)
        if unlike:
            vector = vector - np.mean(rows[len(wanted) :], axis=0)
        length = float(np.linalg.norm(vector))
        if length < 1e-3:
            raise UsageError(
                "nothing is left of the query: the photos to be like and unlike are equal"
            )
        return np.asarray(vector / length, np.float32)

    details = [one.details for one in every if one.details is not None]
    return Asked(
        difference([one.embedding for one in every]),
        difference(details) if len(details) == len(every) else None,
        frozenset().union(*(one.omit for one in every)),
    )


def answered(
    asked: Sequence[Asked], wishes: Wishes, snapshot: Snapshot, searcher: Searcher, mean: Means
) -> list[list[Match]]:
    """Answer queries, all of one committed state."""
    if not asked:
        return []
    omitted = max(len(wishes.omit | one.omit) for one in asked)
    found = searcher.nearest(
        np.stack([one.embedding for one in asked]),
        candidates_for(wishes.k) + omitted,
        snapshot,
        mean,
        exact=wishes.exact,
        only=wishes.only,
    )
    return [
        _matches(one, nearest, wishes, snapshot, searcher, mean)
        for one, nearest in zip(asked, found, strict=True)
    ]


def _matches(
    one: Asked, found: Nearest, wishes: Wishes, snapshot: Snapshot, searcher: Searcher, mean: Means
) -> list[Match]:
    ids, scores = found.ids, found.scores.copy()
    if omitted := list(one.omit | wishes.omit):
        kept = np.isin(ids, omitted, invert=True)
        ids, scores = ids[kept], scores[kept]
    count = candidates_for(wishes.k)
    if len(ids) > count:  # the same candidates, however many photos were left out
        kept = scores >= scores[count - 1]
        ids, scores = ids[kept], scores[kept]
    known = rarity(snapshot, by_embedding=True)
    if one.details is not None and len(ids):
        codes = searcher.details(ids, snapshot)
        detailed = codes.any(axis=1)
        if detailed.any():
            of_details = rarity(snapshot)
            if known and of_details and not detailed.all():
                # A vector that an app added scores what is as rare.
                scores = known.as_rare_by(of_details, scores)
            rows = centred(details_of(codes[detailed]), mean.details)
            scores[detailed] = final_scores(one.details, rows)
            known = of_details
    floor = _floor(wishes, known)
    matches: list[Match] = []
    seen: set[bytes] = set()
    for score, row, path in _ranked(ids, scores, wishes.k, snapshot):
        word = band(score, known)
        if score < floor or (word == "weak" and not wishes.unrelated):
            break
        if row.digest in seen and not wishes.copies:
            continue
        seen.add(row.digest)
        searcher.check(row, snapshot)
        rare = known.of_score(score) if known else None
        rank = len(matches) + 1
        payload = None if row.payload is None else json.loads(row.payload)
        about = (row.width, row.height, row.id, rare, word, payload, row.metadata)
        matches.append(Match(rank, score, path, *about))
        if len(matches) == wishes.k:
            break
    if wishes.order == "date":
        matches.sort(key=_taken, reverse=True)
    return matches


def _taken(match: Match) -> float:
    """Tell when a photo was taken, so that those without a date come before all."""
    taken = match.metadata.taken_ms if match.metadata else None
    return -np.inf if taken is None else taken


def _ranked(
    ids: Ids, scores: NDArray[np.float64], at_once: int, snapshot: Snapshot
) -> Iterator[tuple[float, PhotoRow, Path]]:
    """Go through candidates, the best first, equal scores in the order of paths.

    So many rows are read at once, or a few more where the last ones share their score.
    """
    order = np.argsort(-scores, kind="stable")
    numbers, values = ids[order].tolist(), scores[order].tolist()
    first = 0
    while first < len(order):
        last = min(first + at_once, len(order))
        while last < len(order) and values[last] == values[last - 1]:
            last += 1
        rows = list(snapshot.photos(numbers[first:last]))
        if len(rows) != last - first:
            raise DamagedRowError("a vector whose photo is missing")
        named = zip(values[first:last], rows, map(snapshot.path, rows), strict=True)
        yield from sorted(named, key=lambda one: (-one[0], one[2]))
        first = last


def ids_below(folder: Path | str, snapshot: Snapshot) -> Ids:
    """List the photos at or below a path: int64, in rising order.

    Raises:
        UsageError: the index knows no such folder or photo, and it is no folder below a known one.
    """
    known = False
    for name in names_of(Path(folder)):
        ids = snapshot.ids_below(name)
        if len(ids):
            return np.sort(ids)
        known = known or bool(snapshot.below(name))
        known = known or (snapshot.place(name) is not None and name.is_dir())
    if not known:
        raise UsageError(f"{folder} is not in the index: add it with `imgsim-edge index`")
    return np.empty(0, np.int64)


def photos_where(
    within: Path | str | None,
    since: datetime | None,
    until: datetime | None,
    camera: str | None,
    label: str | None,
    snapshot: Snapshot,
) -> Ids | None:
    """List the photos that conditions hold for: int64, in rising order; None where there are none.

    Args:
        within: below this folder.
        since: by the camera's own clock, a time zone does not count.
        until: likewise; that moment itself no longer counts.
        camera: a part of its name, in capitals or small letters.
        label: that they were said to show.
        snapshot: the state.

    Raises:
        UsageError: the index knows no such folder or photo, or no such label.
    """
    below = None if within is None else ids_below(within, snapshot)
    if label is not None:
        labelled = ids_of_label(label, snapshot)
        below = labelled if below is None else np.intersect1d(below, labelled)
    where: list[str] = []
    values: list[int | str] = []
    for moment, sign in ((since, ">="), (until, "<")):
        if moment is not None:
            wall = moment.replace(tzinfo=timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)
            where.append(f"taken_ms {sign} ?")
            values.append(wall // timedelta(milliseconds=1))
    if camera is not None:
        where.append("instr(lower(camera), lower(?)) > 0")
        values.append(camera)
    if not where:
        return below
    found = snapshot.photo_column("id", " AND ".join(where), tuple(values))
    ids = np.sort(np.array([number for number, _ in found], dtype=np.int64))
    return ids if below is None else np.intersect1d(ids, below)


def ids_of_label(label: str, snapshot: Snapshot) -> Ids:
    """List the photos that were said to show what a label says: int64, in rising order.

    Raises:
        UsageError: there is no such label.
    """
    number = label_named(label, snapshot)
    shown = [row.digest for row in snapshot.examples(number) if row.verdict]
    return np.array(sorted(row.id for row in snapshot.of_digests(shown)), dtype=np.int64)


def label_named(name: str, snapshot: Snapshot) -> int:
    """Find the number of a label.

    Raises:
        UsageError: there is no such label.
    """
    known = snapshot.labels()
    if name not in known:
        listed = ", ".join(known) or "none yet"
        raise UsageError(f"there is no label {name!r} (there are: {listed}): teach it first")
    return known[name].id


def _floor(wishes: Wishes, known: Rarity | None) -> float:
    """Turn the two thresholds into one score."""
    floor = -np.inf if wishes.min_score is None else wishes.min_score
    if wishes.min_rarity is None:
        return floor
    pairs = known.pairs if known else 0
    if known is None or wishes.min_rarity > pairs:
        raise UsageError(
            f"this index is too small to tell what is so rare: it knows {pairs:,} random pairs, "
            f"fewer than {wishes.min_rarity:,.0f}"
        )
    return max(floor, known.score(wishes.min_rarity))
