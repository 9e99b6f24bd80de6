"""Stage 5: the hnswlib graph, a cache of the catalogue's vectors for fast repeated queries.

The file can be thrown away at any time. hnswlib's format has no checksum, dimension or metric, and
a damaged file can crash the process: a file is loaded only where its digest is the recorded one.
Method: Malkov & Yashunin, "Efficient and robust approximate nearest neighbor search using
Hierarchical Navigable Small World graphs", https://arxiv.org/abs/1603.09320
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .encoder import Vectors
from .machine import available_cores

# Of unit vectors the inner product is the cosine. hnswlib's own "cosine" would normalise them once
# more, and then the graph's scores would differ from the exact search's in the last digits.
SPACE = "ip"
LINKS = 16  # M: neighbours of a node; its level-0 links take 8 · M bytes
BUILD_EFFORT = 200  # ef_construction: candidates looked at when a node is added
SEARCH_EFFORTS = (
    32,
    64,
    128,
    256,
    512,
)  # ef: candidates looked at by a query; the first that suffices
TARGET_RECALL = 0.99  # of the exact ten nearest; below it, queries are answered exactly
RECALL_AT = 10
RECALL_SAMPLE = 200  # stored vectors whose neighbours are compared with the exact ones
PERTURBATION = 0.1  # length of the noise added to half of them: queries are rarely stored vectors

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class GraphRecord:
    """What the catalogue knows of the graph's file.

    Attributes:
        file: its name inside the index folder.
        digest: BLAKE2b (128 bits, hexadecimal) of its bytes.
        generation: of the catalogue whose vectors it holds.
        count: how many vectors it holds.
        effort: ``ef`` for queries.
        recall: share of the exact ten nearest that it found with that ``ef``, on itself.
    """

    file: str
    digest: str
    generation: int
    count: int
    effort: int
    recall: float


class Graph:
    """A graph in memory. Queries may run in several threads at once."""

    def __init__(self, index: Any, effort: int, recall: float) -> None:
        self._index = index
        self._index.set_ef(effort)
        self.effort = effort
        self.recall = recall

    @classmethod
    def build(cls, ids: Ids, vectors: Vectors) -> Graph:
        """Build a graph and measure the smallest ``ef`` that reaches the target recall.

        Args:
            ids: shape = (n,), what a query answers with.
            vectors: float32, shape = (n, dimension).
        """
        import hnswlib

        index = hnswlib.Index(space=SPACE, dim=vectors.shape[1])
        index.init_index(
            len(ids), M=LINKS, ef_construction=BUILD_EFFORT, allow_replace_deleted=True
        )
        index.add_items(vectors, ids, num_threads=available_cores())
        graph = cls(index, SEARCH_EFFORTS[0], 0.0)
        graph._tune(ids, vectors)
        return graph

    @classmethod
    def load(cls, folder: Path, record: GraphRecord, dimension: int) -> Graph | None:
        """Load a graph from its file; None where the file is not the recorded one."""
        import hnswlib

        path = folder / record.file
        try:
            if _file_digest(path) != record.digest:
                return None
        except OSError:
            return None
        index = hnswlib.Index(space=SPACE, dim=dimension)
        index.load_index(str(path), allow_replace_deleted=True)
        return cls(index, record.effort, record.recall)

    def publish(self, folder: Path, generation: int) -> GraphRecord:
        """Write the graph to the index folder, so that it is there whole or not at all.

        Raises:
            OSError: it could not be written.
        """
        file = f"graph-{generation}.hnsw"
        temporary = folder / f"{file}.tmp"
        try:
            self._index.save_index(str(temporary))
            # hnswlib reports no error when the disk is full: only the size tells.
            if temporary.stat().st_size != self._index.index_file_size():
                raise OSError(28, "No space left on device")
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            digest = _file_digest(temporary)
            temporary.replace(folder / file)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(folder)
        return GraphRecord(
            file, digest, generation, self._index.get_current_count(), self.effort, self.recall
        )

    def nearest(self, queries: Vectors, k: int) -> Ids | None:
        """Find the ids of about the k nearest; None where the graph cannot give k.

        Args:
            queries: float32, shape = (q, dimension).
            k: at least 1.

        Returns:
            int64, shape = (q, k), nearest first.
        """
        if k > self._index.get_current_count():
            return None
        self._index.set_ef(max(self.effort, k))
        try:
            labels, _ = self._index.knn_query(queries, k)
        except RuntimeError:  # fewer than k could be reached
            return None
        return np.asarray(labels, dtype=np.int64)

    def vectors(self, ids: Ids) -> Vectors:
        """Give back stored vectors: float32, shape = (len(ids), dimension)."""
        return np.asarray(self._index.get_items(ids, return_type="numpy"), dtype=np.float32)

    def _tune(self, ids: Ids, vectors: Vectors) -> None:
        random = np.random.default_rng(0)
        sample = vectors[random.permutation(len(ids))[:RECALL_SAMPLE]].copy()
        noise = random.standard_normal(sample.shape).astype(np.float32)
        noise *= PERTURBATION / np.linalg.norm(noise, axis=1, keepdims=True)
        sample[::2] += noise[::2]
        k = min(RECALL_AT, len(ids))
        scores = sample @ vectors.T
        # Equal scores are equally right, so what counts is reaching the k-th best one.
        kth = np.partition(scores, -k, axis=1)[:, -k] - 1e-6
        position = np.empty(int(ids.max()) + 1, dtype=np.int64)
        position[ids] = np.arange(len(ids))
        for effort in SEARCH_EFFORTS:
            self.effort, self.recall = effort, 0.0
            found = self.nearest(sample, k)
            if found is None:
                continue
            right = np.take_along_axis(scores, position[found], axis=1) >= kth[:, None]
            self.recall = float(right.mean())
            if self.recall >= TARGET_RECALL:
                return


def _file_digest(path: Path) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    return hasher.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power loss, where the platform has a way to."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
