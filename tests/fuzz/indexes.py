"""The files of an index: catalogue, log, graph, and what is left of a writer."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.arrays import Vectors
from imgsim_edge.infer.catalogue.database import CATALOGUE_FILE, HOLDER_FILE, LOCK_FILE, Catalogue
from imgsim_edge.infer.catalogue.rows import PhotoRow
from imgsim_edge.infer.catalogue.writer import Batch
from imgsim_edge.infer.errors import ImgsimError
from imgsim_edge.infer.search.hnsw_refresh import refresh
from target import Target
from tiny import DIMENSION

PHOTOS = 300  # two blocks of vectors
GONE = 7  # in the log and not yet in the file
LOG = f"{CATALOGUE_FILE}-wal"


def _vectors(count: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


VECTORS, QUERIES = _vectors(PHOTOS, 0), _vectors(3, 1)


@cache
def original() -> dict[str, bytes]:
    """Make an index of photos that lie nowhere: name of a file → its bytes, with one log."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "index"
        catalogue = Catalogue.create(folder, "digest of the encoder", "default", DIMENSION)
        with catalogue.writer() as writer:
            root = writer.add_root(Path("/nowhere/photos"), ("*.tmp",))
            own = writer.add_folders(root.id, {"a": False, "b": False})
            rows = [
                PhotoRow(
                    n, own["ab"[n % 2]].id, f"photo {n}.jpg", n, n, n.to_bytes(16, "big"), 4, 3, 0
                )
                for n in range(PHOTOS)
            ]
            writer.commit(Batch(photos=rows, vectors=dict(enumerate(VECTORS))))
            label = writer.add_label("cat")
            writer.set_label(label)
            writer.add_not_duplicates([(bytes(16), b"\1" * 16)])
            writer.set_notes({"note": b"said"})
            refresh(writer, folder)
            record = writer.header().graph
            assert record is not None
            writer.set_graph(replace(record, ef_search=512))  # so that it misses nothing at all
        catalogue.close()
        reader = sqlite3.connect(folder / CATALOGUE_FILE)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM root").fetchall()  # keeps the log from being dropped
        with Catalogue(folder).writer() as writer:
            writer.commit(Batch(gone=[GONE]))
        files = {
            path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"
        }
        reader.close()
    files.pop(f"{CATALOGUE_FILE}-shm")
    return files


def _truth(gone: set[int]) -> list[list[str]]:
    there = [n for n in range(PHOTOS) if n not in gone]
    mean = VECTORS.astype(np.float64).mean(axis=0)  # taken before any of them went
    stored = VECTORS[there] - mean
    scores = (QUERIES - mean) @ (stored / np.linalg.norm(stored, axis=1, keepdims=True)).T
    order = [np.lexsort((there, -row))[:5] for row in scores]
    return [
        [f"/nowhere/photos/{'ab'[there[n] % 2]}/photo {there[n]}.jpg" for n in row] for row in order
    ]


class Indexes(Target):
    """One of the files of an index, damaged: the index is right, or says what is wrong.

    Args:
        name: of the kind.
        file: that is damaged.
        always_answers: it is a cache, without which answers are the same.
        with_log: whether the log lies beside the catalogue.
    """

    limit = 500

    def __init__(self, name: str, file: str, always_answers: bool, with_log: bool) -> None:
        self.name, self._always, self._with_log = f"index: {name}", always_answers, with_log
        files = original()
        self._file = next(n for n in files if n.startswith(file)) if file != HOLDER_FILE else file
        self.originals = [
            files[self._file] if file != HOLDER_FILE else b'{"pid": 1, "host": "h", "since": "s"}'
        ]
        self.is_text = file == HOLDER_FILE
        self._possible = [_truth(set()), _truth({GONE})]

    def judge(self, content: bytes, folder: Path) -> None:
        index = folder / "index"
        shutil.rmtree(index, ignore_errors=True)
        index.mkdir()
        for name, good in original().items():
            if name != LOG or self._with_log:
                (index / name).write_bytes(good)
        (index / self._file).write_bytes(content)
        answered = self._ask(index)
        assert answered or not self._always, "no answer without a cache"
        self._verify(index)
        if not self._always:
            self._repair(index)
        assert [path.name for path in folder.iterdir()] == ["index"]

    def _ask(self, folder: Path) -> bool:
        try:
            with ImageIndex.open(folder) as index:
                for exact in (False, True):
                    found = index.similar_many(list(QUERIES), 5, exact=exact)
                    got = [[str(match.path) for match in one] for one in found]
                    assert got in self._possible, f"a wrong answer: {got}"
        except ImgsimError as error:
            self.one_line(str(error))
            return False
        return True

    def _verify(self, folder: Path) -> None:
        try:
            with ImageIndex.open(folder) as index:
                for finding in index.verify():
                    self.one_line(finding.what)
                list(index.photos())
                list(index.unreadable())
                index.info()
                index.labels()
                index.not_duplicates()
        except ImgsimError as error:
            self.one_line(str(error))

    def _repair(self, folder: Path) -> None:
        try:
            for finding in ImageIndex.repair(folder):
                self.one_line(finding.what)
            with ImageIndex.open(folder) as index:
                left = index.verify()
                assert left == [], f"repaired, and {left}"
                ids, vectors = index.vectors()
                names = [photo.path.name for photo in index.photos()]
            assert names == [f"photo {number}.jpg" for number in ids.tolist()]
            assert np.array_equal(vectors, VECTORS[ids])
        except ImgsimError as error:
            self.one_line(str(error))


def targets() -> list[Target]:
    """Give the kinds of files that an index has."""
    assert LOCK_FILE not in original()
    return [
        Indexes("catalogue", CATALOGUE_FILE, False, False),
        Indexes("log", LOG, False, True),
        Indexes("graph", "graph-", True, False),
        Indexes("note of the writer", HOLDER_FILE, True, False),
    ]
