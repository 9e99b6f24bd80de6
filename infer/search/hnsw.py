"""Stage 5: the hnswlib graph, a cache of the catalogue's vectors for fast repeated queries.

The file can be thrown away at any time. hnswlib's format has no checksum, dimension or metric, and
a damaged file can crash the process: a file is loaded only where its digest is the recorded one.
Method: Malkov & Yashunin, "Efficient and robust approximate nearest neighbor search using
Hierarchical Navigable Small World graphs", https://arxiv.org/abs/1603.09320
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Ids, Vectors
from ..catalogue.reader import Snapshot
from ..catalogue.rows import GraphRecord
from ..files import publish
from ..machine import available_cores
from ..progress import Progress
from . import exact as search
from .exact import SCORE_SLACK, Chunk, Nearest, Stored
from .scores import centred

# Of unit vectors the inner product is the cosine. hnswlib's own "cosine" would normalise them once
# more, and then the graph's scores would differ from the exact search's in the last digits.
SPACE = "ip"
M = 16  # neighbours of a node; its level-0 links take 8 · M bytes
EF_CONSTRUCTION = 200  # ef_construction: candidates looked at when a node is added
BUILD_PART = 2048  # vectors added at once: between two parts, Ctrl-C is heard
EF_SEARCH = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # ef: the first that suffices
TARGET_RECALL = 0.99  # of the exact ten nearest; below it, queries are answered exactly
RECALL_AT = 10
RECALL_SAMPLE = 200  # stored vectors whose neighbours are compared with the exact ones
PERTURBATION = 0.1  # length of the noise added to half of them: queries are rarely stored vectors
MAX_DEAD_FRACTION = 1 / 4  # deleted elements; with more, the graph is built anew

_WIDEST = 16  # a query whose k-th score is shared is asked again for at most some 4 · 16 · k
NONE: Ids = np.empty(0, dtype=np.int64)


def is_installed() -> bool:
    """Tell whether hnswlib is there: it comes as source, and not every machine can build it.

    Without it every query is answered exactly.
    """
    try:
        import hnswlib  # noqa: F401
    except ImportError:
        return False
    return True


@dataclass(frozen=True, eq=False)
class Changes:
    """What the catalogue has that a graph has not, and the other way round.

    Attributes:
        gone: int64, shape = (g,): ids whose vector in the graph is not, or no longer, theirs.
        ids: int64, shape = (n,), in rising order: photos that are new or have another vector.
        vectors: float32, shape = (n, dimension).
    """

    gone: Ids
    ids: Ids
    vectors: Vectors

    def __len__(self) -> int:
        return len(np.union1d(self.gone, self.ids))


class Graph:
    """A graph in memory. Queries may run in several threads at once, but not beside a change."""

    def __init__(self, index: Any, ef_search: int = EF_SEARCH[0], recall: float = 0.0) -> None:
        self._index = index
        self._use(ef_search, recall)

    @classmethod
    def build(cls, stored: Stored, progress: Progress | None = None) -> Graph:
        """Build a graph of all vectors and measure it; see :meth:`tune`. It takes hnswlib."""
        import hnswlib

        index = hnswlib.Index(space=SPACE, dim=stored.dimension)
        index.init_index(
            max(stored.count, 1),
            M=M,
            ef_construction=EF_CONSTRUCTION,
            allow_replace_deleted=True,
        )
        graph = cls(index)
        graph._add(stored.chunks(), stored.count, progress)
        graph.tune(stored)
        return graph

    @classmethod
    def load(cls, folder: Path, record: GraphRecord, dimension: int) -> Graph | None:
        """Load a graph from its file; None without hnswlib, or where it is another file."""
        path = folder / record.file
        try:
            import hnswlib

            if path.parent != folder or file_digest(path) != record.digest:
                return None
            index = hnswlib.Index(space=SPACE, dim=dimension)
            index.load_index(str(path), allow_replace_deleted=True)
        except (ImportError, OSError, RuntimeError):
            return None
        return cls(index, record.ef_search, record.recall)

    @property
    def count(self) -> int:
        """How many elements it has, deleted ones among them."""
        return int(self._index.get_current_count())

    # --- asking ----------------------------------------------------------------------------------

    def nearest(
        self,
        queries: Vectors,
        k: int,
        gone: Ids = NONE,
        vectors_of: Callable[[Ids], Vectors] | None = None,
    ) -> list[Nearest | None]:
        """Find about the k nearest of each query.

        The answer to a query is None where the graph cannot tell: where it has fewer than k
        elements, or where the k-th score is shared by more photos than it looked at.

        Args:
            queries: float32, shape = (q, dimension).
            k: at least 1.
            gone: ids that are no answer.
            vectors_of: gives the vectors of ids, which takes hnswlib much longer than finding them.
        """
        vectors_of = vectors_of or self._vectors
        answers: list[Nearest | None] = [None] * len(queries)
        open_ = np.arange(len(queries))
        # hnswlib looks at as many candidates as are asked for, so that asking for more than k
        # keeps the recall that was measured at ten also where k is larger.
        wanted = max(k + 1, self.ef_search * k // RECALL_AT if k > RECALL_AT else 0)
        wanted = min(wanted + min(len(gone), k), self.count)
        while len(open_) and wanted >= k:
            threads = 1 if len(open_) == 1 else available_cores()
            try:
                labels, distances = self._index.knn_query(
                    queries[open_], wanted, num_threads=threads
                )
            except RuntimeError:  # fewer than that could be reached
                break
            ids = np.asarray(labels, dtype=np.int64)
            keep = np.isin(ids, gone, invert=True) if len(gone) else np.ones(ids.shape, dtype=bool)
            settled = np.zeros(len(open_), dtype=bool)
            for row, query in enumerate(open_.tolist()):
                scores = 1.0 - distances[row]
                kept = scores[keep[row]]
                settled[row] = wanted == self.count or (
                    len(kept) >= k and kept[k - 1] > scores[-1] + SCORE_SLACK
                )
                if settled[row]:
                    found = ids[row][keep[row]]
                    if len(found) > k:  # those that may be among the k best by exact scores
                        found = found[kept >= kept[k - 1] - SCORE_SLACK]
                    answers[query] = Nearest.of(queries[query], found, vectors_of(found), k)
            open_ = open_[~settled]
            if wanted > _WIDEST * k + len(gone):
                break
            wanted = min(4 * wanted, self.count)
        return answers

    def _vectors(self, ids: Ids) -> Vectors:
        # Of no ids hnswlib gives an array without columns.
        found = np.asarray(self._index.get_items(ids, return_type="numpy"), dtype=np.float32)
        return found.reshape(len(ids), self._index.dim)

    def holding(self, ids: Ids) -> tuple[Ids, Vectors]:
        """Tell which of some ids it holds alive, and their vectors."""
        try:
            return ids, self._vectors(ids)
        except RuntimeError:  # one of them is not there, or deleted
            pass
        held, vectors = [], []
        for number in ids.tolist():
            try:
                vectors.append(self._vectors(np.array([number]))[0])
            except RuntimeError:
                continue
            held.append(number)
        empty = np.empty((0, self._index.dim), np.float32)
        return np.array(held, dtype=np.int64), np.stack(vectors) if vectors else empty

    def changes(self, snapshot: Snapshot, since: int, mean: Vectors) -> Changes:
        """Compare with the blocks of a catalogue that changed after a generation.

        The mean is the one that was taken from the vectors in the graph.
        """
        gone: list[Ids] = [np.empty(0, np.int64)]
        ids: list[Ids] = [np.empty(0, np.int64)]
        vectors = [np.empty((0, snapshot.header().dimension), np.float32)]
        for block in snapshot.blocks(since=since):
            slots = np.arange(len(block.live))
            held, old = self.holding(slots + block.first)
            here = held - block.first
            same = np.zeros(len(slots), dtype=bool)
            now = centred(block.vectors, mean)
            same[here] = block.live[here] & (now[here] == old).all(axis=1)
            fresh = np.flatnonzero(block.live & ~same)
            gone.append(held[~same[here]])
            ids.append(fresh + block.first)
            vectors.append(now[fresh])
        return Changes(np.concatenate(gone), np.concatenate(ids), np.concatenate(vectors))

    # --- changing --------------------------------------------------------------------------------

    def apply(self, changes: Changes, stored: Stored, progress: Progress | None) -> bool:
        """Follow the catalogue and measure again; False where building anew is the better way."""
        live = stored.count
        elements = max(self.count, live)
        if elements - live > MAX_DEAD_FRACTION * elements:
            return False
        replaced = np.isin(changes.ids, changes.gone)
        for number in np.setdiff1d(changes.gone, changes.ids).tolist():
            self._index.mark_deleted(number)
        # An id that was deleted before and is in use again must take its own element: given
        # another one, hnswlib would lose track of it when the first is reused.
        for place in np.flatnonzero(~replaced).tolist():
            try:
                self._index.unmark_deleted(int(changes.ids[place]))
            except RuntimeError:  # not there, or not deleted
                continue
            replaced[place] = True
        if replaced.any():
            self._index.add_items(changes.vectors[replaced], changes.ids[replaced], num_threads=1)
        new, vectors = changes.ids[~replaced], changes.vectors[~replaced]
        dead = self.count - (live - len(new))
        self._index.resize_index(max(elements, self._index.get_max_elements()))
        # Deleted elements are reused by one thread; beyond them all threads may add.
        self._add([Chunk(new[:dead], vectors[:dead], 0)], len(new), None, reuse=True)
        self._add([Chunk(new[dead:], vectors[dead:], 0)], len(new), progress)
        self.tune(stored)
        return True

    def _add(
        self,
        chunks: Iterable[Chunk],
        total: int,
        progress: Progress | None,
        reuse: bool = False,
    ) -> None:
        done = 0
        for chunk in chunks:
            for first in range(0, len(chunk.ids), BUILD_PART):
                part = slice(first, first + BUILD_PART)
                self._index.add_items(
                    chunk.vectors[part],
                    chunk.ids[part],
                    num_threads=1 if reuse else available_cores(),
                    replace_deleted=reuse,
                )
                done += len(chunk.ids[part])
                if progress:
                    progress(done, total)

    def tune(self, stored: Stored) -> None:
        """Find the smallest ``ef`` that reaches the target recall, on a sample of the vectors.

        Half of the sample is moved a little, since queries are rarely stored vectors.
        """
        count = stored.count
        _, sample = search.sample(stored, RECALL_SAMPLE)
        if not len(sample):
            self._use(EF_SEARCH[0], 1.0)
            return
        random = np.random.default_rng(0)
        noise = random.standard_normal(sample.shape).astype(np.float32)
        noise *= PERTURBATION / np.linalg.norm(noise, axis=1, keepdims=True)
        sample[::2] += noise[::2]
        sample = centred(sample, np.zeros(stored.dimension, np.float32))  # of unit length again
        k = min(RECALL_AT, count)
        # Equal scores are equally right, so what counts is reaching the k-th best one.
        kth = [
            found.scores[k - 1] - SCORE_SLACK
            for found in search.nearest(sample, k, stored.chunks())
        ]
        for ef_search in EF_SEARCH:
            self._use(ef_search, 0.0)
            right = [
                (found.scores[:k] >= floor).mean() if found else 0.0
                for found, floor in zip(self.nearest(sample, k), kth, strict=True)
            ]
            self.recall = float(np.mean(right))
            if self.recall >= TARGET_RECALL:
                return

    def _use(self, ef_search: int, recall: float) -> None:
        self.ef_search, self.recall = ef_search, recall
        self._index.set_ef(ef_search)

    # --- the file --------------------------------------------------------------------------------

    def publish(self, folder: Path, generation: int, mean: int) -> GraphRecord:
        """Write the graph to the index folder, so that it is there whole or not at all.

        Args:
            folder: of the index.
            generation: of the catalogue whose vectors it holds.
            mean: checksum of the mean that was taken from them.

        Raises:
            OSError: it could not be written.
        """
        file = f"graph-{generation}.hnsw"
        temporary = folder / f"{file}.tmp"
        try:
            self._index.save_index(str(temporary))
            # hnswlib reports no error when the disk is full: only the size tells.
            size = temporary.stat().st_size
            if size != self._index.index_file_size():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            temporary.chmod(0o600)  # as the catalogue
            digest = file_digest(temporary)
            publish(temporary, folder / file)
        finally:
            temporary.unlink(missing_ok=True)
        return GraphRecord(
            file, digest, size, generation, self.count, self.ef_search, self.recall, mean
        )


def file_digest(path: Path) -> str:
    """Hash a file's bytes (BLAKE2b, 128 bits, hexadecimal)."""
    hasher = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    return hasher.hexdigest()
