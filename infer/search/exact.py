"""Exact search: every stored vector is compared, in one pass over the catalogue's blocks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ids, Vectors
from ..catalogue.reader import Snapshot
from ..catalogue.rows import BLOCK_SLOTS, Block, DamagedRowError, array_checksums
from .scores import centred, cosines

CHUNK_BLOCKS = 64  # blocks of vectors that are multiplied at once (4 MiB at 64 dimensions)
CHUNK_SLOTS = CHUNK_BLOCKS * BLOCK_SLOTS
SCORE_SLACK = 1e-6  # the last digits of a score depend on where in memory a vector lies


@dataclass(frozen=True, eq=False)
class Chunk:
    """The live vectors of some consecutive blocks.

    Attributes:
        ids: int64, shape = (n,), in rising order.
        vectors: float32, shape = (n, dimension).
        block_sum: exclusive or of the blocks' checksums.
        checksums: uint32, shape = (n,): of each vector as it is stored; None where not asked for.
    """

    ids: Ids
    vectors: Vectors
    block_sum: int
    checksums: NDArray[np.uint32] | None = None


@dataclass(frozen=True, eq=False)
class Stored:
    """All vectors of a catalogue, or of nothing but memory, that can be gone through repeatedly.

    Attributes:
        chunks: goes through them once.
        count: how many they are.
        dimension: length of a vector.
    """

    chunks: Callable[[], Iterable[Chunk]]
    count: int
    dimension: int

    @classmethod
    def of(cls, snapshot: Snapshot, mean: Vectors | None = None) -> Stored:
        """Give those of a committed state, each time read from the disk, without a mean."""
        header = snapshot.header()
        return cls(lambda: stream(snapshot, mean), header.photos, header.dimension)

    @classmethod
    def of_arrays(cls, ids: Ids, vectors: Vectors) -> Stored:
        """Give those of arrays: int64, shape = (n,), and float32, shape = (n, dimension)."""
        return cls(lambda: [Chunk(ids, vectors, 0)], len(ids), vectors.shape[1])


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest of one query: at least k, and all that share the k-th score; best first.

    Attributes:
        ids: int64, shape = (n,); those of equal score in rising order.
        scores: float64, shape = (n,): cosines with the query, as :func:`.scores.cosines` gives.
        vectors: float32, shape = (n, dimension).
    """

    ids: Ids
    scores: NDArray[np.float64]
    vectors: Vectors

    @classmethod
    def of(cls, query: Vectors, ids: Ids, vectors: Vectors, k: int) -> Nearest:
        """Score candidates in double precision and keep the k best, with all that equal the last.

        So whoever found the candidates, by a graph or by a scan, the answer is the same.
        """
        scores = cosines(query, vectors)
        order = np.lexsort((ids, -scores))
        if len(order) > k:
            order = order[scores[order] >= scores[order[k - 1]]]
        return cls(ids[order], scores[order], vectors[order])


def stream(snapshot: Snapshot, mean: Vectors | None = None) -> Iterator[Chunk]:
    """Read all live vectors chunk by chunk; with a mean, it is taken from them (``centred``).

    Raises:
        DamagedRowError: a block is not what was written, or one is missing or too much.
    """
    count, total = 0, 0
    for _, blocks in groupby(snapshot.blocks(), _chunk_of):
        chunk = _chunk(blocks, snapshot.header().dimension, mean)
        count += len(chunk.ids)
        total ^= chunk.block_sum
        yield chunk
    check_totals(snapshot, count, total)


def check_totals(snapshot: Snapshot, count: int, block_sum: int) -> None:
    """Hold what was read of the vectors against what the header says.

    Raises:
        DamagedRowError: a block is missing, too much, or of another time.
    """
    header = snapshot.header()
    if (count, block_sum) != (header.photos, header.block_sum):
        raise DamagedRowError("vectors do not add up to what the header says")


def _chunk_of(block: Block) -> int:
    return block.first // BLOCK_SLOTS // CHUNK_BLOCKS


def _chunk(
    blocks: Iterable[Block], dimension: int, mean: Vectors | None, with_checksums: bool = False
) -> Chunk:
    """Take the live vectors of some blocks together."""
    ids: list[Ids] = [np.empty(0, np.int64)]
    vectors: list[Vectors] = [np.empty((0, dimension), np.float32)]
    total = 0
    for block in blocks:
        total ^= block.checksum
        if block.live.all():
            ids.append(np.arange(block.first, block.first + len(block.live)))
            vectors.append(block.vectors)
        else:
            slots = np.flatnonzero(block.live)
            ids.append(slots + block.first)
            vectors.append(block.vectors[slots])
    joined = np.concatenate(vectors)
    checksums = array_checksums(joined) if with_checksums else None
    ready = joined if mean is None else centred(joined, mean)
    return Chunk(np.concatenate(ids), ready, total, checksums)


def all_vectors(snapshot: Snapshot, mean: Vectors | None = None) -> tuple[Ids, Vectors]:
    """Read every live vector: ids, int64, shape = (n,), and float32, shape = (n, dimension)."""
    chunks = list(stream(snapshot, mean))
    if not chunks:
        return np.empty(0, np.int64), np.empty((0, snapshot.header().dimension), np.float32)
    return (
        np.concatenate([chunk.ids for chunk in chunks]),
        np.concatenate([chunk.vectors for chunk in chunks]),
    )


def sample(stored: Stored, size: int) -> tuple[Ids, Vectors]:
    """Draw photos at random, the same ones each time.

    Returns:
        int64, shape = (at most size,), and float32, shape = (at most size, dimension).
    """
    places = np.sort(np.random.default_rng(0).permutation(stored.count)[:size])
    ids, drawn, seen = [np.empty(0, np.int64)], [np.empty((0, stored.dimension), np.float32)], 0
    for chunk in stored.chunks():
        mine = places[(places >= seen) & (places < seen + len(chunk.ids))] - seen
        ids.append(chunk.ids[mine])
        drawn.append(chunk.vectors[mine])
        seen += len(chunk.ids)
    return np.concatenate(ids), np.concatenate(drawn)


def nearest(
    queries: Vectors, k: int, chunks: Iterable[Chunk], only: Ids | None = None
) -> list[Nearest]:
    """Compare queries with every vector.

    Args:
        queries: float32, shape = (q, dimension), of unit length.
        k: at least 1.
        chunks: what to compare with, of unit length too.
        only: int64, in rising order: restricts the answers to these ids.
    """
    best = [_Best(k, query) for query in queries]
    for chunk in chunks:
        ids, vectors = chunk.ids, chunk.vectors
        if only is not None:
            places = np.searchsorted(only, ids).clip(max=len(only) - 1)
            wanted = only[places] == ids if len(only) else np.zeros(len(ids), dtype=bool)
            ids, vectors = ids[wanted], vectors[wanted]
        if len(ids):
            for one, scores in zip(best, queries @ vectors.T, strict=True):
                one.offer(scores, ids, vectors)
    return [one.nearest() for one in best]


class _Best:
    """The best of what one query has been compared with so far."""

    def __init__(self, k: int, query: Vectors) -> None:
        self._k = k
        self._query = query
        self._floor = -np.inf
        self._scores = np.empty(0, np.float32)
        self._ids = np.empty(0, np.int64)
        self._vectors = np.empty((0, len(query)), np.float32)

    def offer(self, scores: Vectors, ids: Ids, vectors: Vectors) -> None:
        if len(scores) > self._k and self._floor == -np.inf:
            self._floor = float(np.partition(scores, -self._k)[-self._k]) - SCORE_SLACK
        take = np.flatnonzero(scores >= self._floor)
        if not len(take):
            return
        self._scores = np.concatenate([self._scores, scores[take]])
        self._ids = np.concatenate([self._ids, ids[take]])
        self._vectors = np.concatenate([self._vectors, vectors[take]])
        if len(self._scores) > self._k:
            kth = float(np.partition(self._scores, -self._k)[-self._k])
            self._floor = kth - SCORE_SLACK
            keep = self._scores >= self._floor
            self._scores, self._ids = self._scores[keep], self._ids[keep]
            self._vectors = self._vectors[keep]

    def nearest(self) -> Nearest:
        return Nearest.of(self._query, self._ids, self._vectors, self._k)


@dataclass(frozen=True, eq=False)
class Resident:
    """All vectors of one committed state in memory, for a process that asks again and again.

    What it holds never changes, so that several threads may use it.

    Attributes:
        generation: of the state.
        mean: float32, shape = (dimension,), that was taken from the vectors.
        by_number: the chunks; a photo is in the one numbered by its id div ``CHUNK_SLOTS``.
    """

    generation: int
    mean: Vectors
    by_number: dict[int, Chunk]

    @classmethod
    def of(cls, snapshot: Snapshot, mean: Vectors, before: Resident | None = None) -> Resident:
        """Read a state, or of it what has changed since one that is at hand.

        Raises:
            DamagedRowError: as for :func:`stream`.
        """
        header = snapshot.header()
        chunks: dict[int, Chunk] = {}
        since = -1
        if (
            before is not None
            and before.generation <= header.generation
            and np.array_equal(before.mean, mean)
        ):
            chunks, since = dict(before.by_number), before.generation
        for number in sorted({n // CHUNK_BLOCKS for n in snapshot.changed_blocks(since)}):
            blocks = snapshot.blocks(first=number * CHUNK_BLOCKS, count=CHUNK_BLOCKS)
            chunks[number] = _chunk(blocks, header.dimension, mean, with_checksums=True)
        total = 0
        for chunk in chunks.values():
            total ^= chunk.block_sum
        check_totals(snapshot, sum(len(chunk.ids) for chunk in chunks.values()), total)
        return cls(header.generation, mean, chunks)

    def is_of(self, snapshot: Snapshot, mean: Vectors) -> bool:
        """Tell whether it holds a state, without a mean."""
        return self.generation == snapshot.header().generation and np.array_equal(self.mean, mean)

    def vectors(self, ids: Ids) -> Vectors:
        """Give the vectors of photos: float32, shape = (len(ids), dimension).

        Raises:
            DamagedRowError: one of them has none.
        """
        order = np.argsort(ids, kind="stable")
        rising = ids[order]
        found = np.empty((len(ids), len(self.mean)), dtype=np.float32)
        first = 0
        while first < len(ids):
            number = int(rising[first]) // CHUNK_SLOTS
            last = int(rising.searchsorted((number + 1) * CHUNK_SLOTS))
            chunk, part = self.by_number.get(number, _EMPTY), rising[first:last]
            places = chunk.ids.searchsorted(part)
            if places[-1] >= len(chunk.ids) or (chunk.ids[places] != part).any():
                raise DamagedRowError("a photo without a vector")
            found[order[first:last]] = chunk.vectors[places]
            first = last
        return found

    def checksum(self, photo: int) -> int:
        """Give the CRC-32 of a photo's vector as it is stored.

        Raises:
            DamagedRowError: it has none.
        """
        chunk = self.by_number.get(photo // CHUNK_SLOTS, _EMPTY)
        place = bisect_left(chunk.ids, photo)
        if chunk.checksums is None or place == len(chunk.ids) or chunk.ids[place] != photo:
            raise DamagedRowError(f"vector of photo {photo}")
        return int(chunk.checksums[place])


_EMPTY = Chunk(np.empty(0, np.int64), np.empty((0, 0), np.float32), 0)
