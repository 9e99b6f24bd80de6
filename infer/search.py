"""Exact search: every stored vector is compared, in one pass over the catalogue."""

from __future__ import annotations

import numpy as np

from .catalogue import Snapshot
from .encoder import Vectors
from .graph import Ids

SCAN_BLOCKS = 64  # blocks of vectors that are multiplied at once (4 MiB at 64 dimensions)
SCORE_SLACK = 1e-6  # the last digits of a score depend on where in memory a vector lies


def all_vectors(snapshot: Snapshot) -> tuple[Ids, Vectors]:
    """Read every live vector: ids, int64, shape = (n,), and float32, shape = (n, dimension)."""
    ids: list[Ids] = []
    vectors: list[Vectors] = []
    for block in snapshot.blocks():
        slots = np.flatnonzero(block.live)
        ids.append(slots + block.first)
        vectors.append(block.vectors[slots])
    if not ids:
        return np.empty(0, np.int64), np.empty((0, snapshot.header().dimension), np.float32)
    return np.concatenate(ids), np.concatenate(vectors)


def exact_nearest(
    queries: Vectors, k: int, snapshot: Snapshot, only: Ids | None = None
) -> list[tuple[Ids, Vectors]]:
    """Compare with every stored vector (of the photos ``only``), a few blocks at a time.

    Returns, for each query, at least the k nearest (all that share the k-th score) in no order.
    """
    best = [(np.empty(0, np.int64), np.empty(0, np.float32), queries[:0]) for _ in queries]
    chunk: list[tuple[Ids, Vectors]] = []

    def compare() -> None:
        ids = np.concatenate([c[0] for c in chunk])
        vectors = np.concatenate([c[1] for c in chunk])
        for number, scores in enumerate(queries @ vectors.T):
            old_ids, old_scores, old_vectors = best[number]
            floor = -np.inf if len(old_scores) < k else np.partition(old_scores, -k)[-k]
            # A little slack, since the last digits of a score depend on where a vector lies.
            take = np.flatnonzero(scores >= floor - SCORE_SLACK)
            all_scores = np.concatenate([old_scores, scores[take]])
            if len(all_scores) > k:
                keep = all_scores >= np.partition(all_scores, -k)[-k] - SCORE_SLACK
            else:
                keep = np.ones(len(all_scores), dtype=bool)
            best[number] = (
                np.concatenate([old_ids, ids[take]])[keep],
                all_scores[keep],
                np.concatenate([old_vectors, vectors[take]])[keep],
            )
        chunk.clear()

    for block in snapshot.blocks():
        slots = np.flatnonzero(block.live)
        if only is not None:
            slots = slots[np.isin(slots + block.first, only)]
        chunk.append((slots + block.first, block.vectors[slots]))
        if len(chunk) == SCAN_BLOCKS:
            compare()
    if chunk:
        compare()
    return [(ids, vectors) for ids, _, vectors in best]
