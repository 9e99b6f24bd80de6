"""Readers in other processes and threads, while a writer adds and deletes: each sees one state."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.catalogue.database import Catalogue
from imgsim_edge.infer.catalogue.reader import Snapshot
from imgsim_edge.infer.catalogue.rows import PhotoRow
from imgsim_edge.infer.catalogue.writer import Batch
from imgsim_edge.infer.errors import ImgsimError
from imgsim_edge.infer.search.calibration import means
from imgsim_edge.infer.search.hnsw_refresh import refresh
from imgsim_edge.infer.search.scores import centred
from tiny import DIMENSION

STEPS = 24
PER_STEP = 150  # photos that come, and others that go, in each commit
STATES = 5  # are there at once


def vectors_of(step: int) -> np.ndarray:
    """Vectors that lead to their step: a state can be told from a few answers."""
    random = np.random.default_rng(step).standard_normal((PER_STEP, DIMENSION)).astype(np.float32)
    return random / np.linalg.norm(random, axis=1, keepdims=True)


def write(folder: Path, steps: int = STEPS) -> None:
    """Commit step after step: the photos of one come as those of an earlier one go."""
    catalogue = Catalogue(folder)
    for step in range(steps):
        with catalogue.writer() as writer:
            (root,) = writer.roots()
            added = writer.add_folders(root, {f"{step}": False})[f"{step}"]
            batch = Batch()
            if step >= STATES:
                old = writer.folder_id(root, f"{step - STATES}")
                assert old is not None
                batch.gone = [photo.id for photo in writer.photos_in(old)]
            for n, vector in enumerate(vectors_of(step)):
                number = writer.new_id()
                batch.photos.append(
                    PhotoRow(number, added.id, f"{n}.jpg", 1, 1, bytes(16), 4, 3, 0)
                )
                batch.vectors[number] = vector
            writer.commit(batch)
            if step % 3 == 2:
                refresh(writer, folder)
    catalogue.close()


def steps_in(paths: list[Path]) -> set[int]:
    return {int(path.parent.name) for path in paths}


def is_a_state(steps: set[int], last: int) -> bool:
    """Tell whether photos of these steps, and of no others, are there after step ``last``."""
    return steps <= set(range(max(0, last - STATES + 1), last + 1))


def mean_of(index: ImageIndex) -> np.ndarray:
    with index._catalogue.snapshot() as snapshot:
        return means(snapshot).embedding


def check_once(index: ImageIndex, random: np.random.Generator) -> None:
    """Ask, and hold the answer against what the states had at that time."""
    query = random.standard_normal(DIMENSION).astype(np.float32)
    mean = mean_of(index)
    got = index.similar(query, 30)
    if not np.array_equal(mean, mean_of(index)):
        return  # which of the two was taken off is not known from here
    steps = steps_in([match.path for match in got])
    possible = [last for last in range(STEPS) if is_a_state(steps, last)]
    assert possible, steps
    # The answer is that of one of these states, as far as the graph finds it (a mixture of two
    # states would lack a fifth of the photos), and each photo has the vector that it had there.
    unit = centred(query / np.linalg.norm(query), mean)
    for last in possible:
        there = range(max(0, last - STATES + 1), last + 1)
        scores = {
            f"{step}/{n}.jpg": score
            for step in there
            for n, score in enumerate((centred(vectors_of(step), mean) @ unit).tolist())
        }
        found = {match.path.relative_to("/nowhere").as_posix(): match.score for match in got}
        assert found == pytest.approx({name: scores[name] for name in found}, abs=1e-5)
        best = sorted(scores, key=lambda name: -scores[name])[: len(got)]
        if len(set(best) & found.keys()) >= 0.9 * len(best):
            return
    raise AssertionError(f"no state has these answers: {got}")


def read(folder: Path, seed: int, done: object, told: object) -> None:
    random = np.random.default_rng(seed)
    asked = 0
    try:
        with ImageIndex.open(folder) as index:
            while len(index) == 0:
                pass
            while not done.is_set() or asked < 5:  # type: ignore[attr-defined]
                check_once(index, random)
                assert len(list(index.photos())) % PER_STEP == 0
                asked += 1
    except (AssertionError, ImgsimError) as error:
        told.put(f"{type(error).__name__}: {error}")  # type: ignore[attr-defined]
        return
    told.put(asked)  # type: ignore[attr-defined]


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    catalogue = Catalogue.create(tmp_path / "index", "digest", "default", DIMENSION)
    with catalogue.writer() as writer:
        writer.add_root(Path("/nowhere"), ())
    catalogue.close()
    return tmp_path / "index"


def test_every_answer_is_of_one_committed_state(empty: Path) -> None:
    context = multiprocessing.get_context("spawn")
    done, told = context.Event(), context.Queue()
    readers = [context.Process(target=read, args=(empty, n, done, told)) for n in range(2)]
    for reader in readers:
        reader.start()
    write(empty)
    done.set()
    answers = [told.get(timeout=120) for _ in readers]
    for reader in readers:
        reader.join()
    assert all(isinstance(answer, int) for answer in answers), answers
    with ImageIndex.open(empty) as index:
        assert index.verify() == []
        assert len(index) == STATES * PER_STEP


def test_threads_of_one_index_see_one_committed_state_each(empty: Path) -> None:
    wrong: list[BaseException] = []
    done = threading.Event()
    with ImageIndex.open(empty) as index:

        def ask(seed: int) -> None:
            random = np.random.default_rng(seed)
            try:
                while not done.is_set():
                    if len(index):
                        check_once(index, random)
            except BaseException as error:  # noqa: BLE001 - a thread's errors are looked at below
                wrong.append(error)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        write(empty)
        done.set()
        for thread in threads:
            thread.join()
    assert not wrong


def test_an_iteration_keeps_its_state_while_others_search_and_write(empty: Path) -> None:
    write(empty, steps=3)
    with ImageIndex.open(empty) as index:
        photos = index.photos()
        first = next(photos)
        with Catalogue(empty).writer() as writer:
            writer.commit(Batch(gone=list(range(100, 400))))
        assert len(index.similar(np.ones(DIMENSION, np.float32), 500)) == 150
        assert [first.id, *(photo.id for photo in photos)] == list(range(450))


def test_the_graph_follows_additions_changes_and_deletions(empty: Path) -> None:
    write(empty)
    random = np.random.default_rng(3)
    with ImageIndex.open(empty) as index:
        right = 0
        for _ in range(50):
            query = random.standard_normal(DIMENSION)
            exact = index.similar(query, 10, exact=True)
            right += len({m.id for m in index.similar(query, 10)} & {m.id for m in exact})
        assert right >= 0.97 * 500
        assert index._searcher._view is not None
        record = index.info().graph
        assert record is not None
        assert record.recall >= 0.99
        # Slots of deleted vectors were used again: else each step would have left its own.
        assert record.count <= (STATES + 4) * PER_STEP


def test_equal_scores_are_in_the_order_of_paths_by_graph_and_by_scan(empty: Path) -> None:
    vector = np.zeros(DIMENSION, np.float32)
    vector[0] = 1.0
    catalogue = Catalogue(empty)
    with catalogue.writer() as writer:
        folder = writer.add_folders(1, {"": False})[""]
        names = [f"{n * 7919 % 300:03}.jpg" for n in range(300)]
        rows = [
            PhotoRow(n, folder.id, name, 1, 1, bytes(16), 4, 3, 0) for n, name in enumerate(names)
        ]
        writer.commit(Batch(photos=rows, vectors=dict.fromkeys(range(300), vector)))
        refresh(writer, empty)
    catalogue.close()
    with ImageIndex.open(empty) as index:
        for exact in (False, False, True):
            got = [match.path.name for match in index.similar(vector, 7, exact=exact)]
            assert got == sorted(names)[:7]


def test_one_question_imports_no_graph_library(empty: Path) -> None:

    write(empty, steps=3)
    script = (
        "import sys; import numpy as np; from imgsim_edge.infer import ImageIndex\n"
        f"ImageIndex.open(sys.argv[1]).similar(np.ones({DIMENSION}, np.float32))\n"
        "assert 'hnswlib' not in sys.modules and 'onnxruntime' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, str(empty)], check=True)


def test_what_a_reader_remembers_is_of_the_state_that_it_sees(tmp_path: Path) -> None:
    readers = [Catalogue.create(tmp_path / "index", "0" * 32, "none", DIMENSION)]
    readers.append(Catalogue(tmp_path / "index"))
    (photos, elsewhere) = tmp_path / "photos", tmp_path / "elsewhere"
    with readers[0].writer() as writer:
        root = writer.add_root(photos, ()).id
        folder = writer.add_folders(root, {"sea": False})["sea"].id
        writer.set_notes({"said": b"first"})

    def told(snapshot: Snapshot) -> tuple[object, ...]:
        return (
            snapshot.note("said"),
            snapshot.folder_path(folder),
            snapshot.header().generation,
        )

    before = (b"first", photos / "sea", 1)
    for reader in readers:
        with reader.snapshot() as snapshot:
            assert told(snapshot) == before
    with readers[1].snapshot() as held:
        with readers[0].writer() as writer:  # one reader's own connection, the other's not
            writer.set_notes({"said": b"second"})
            writer.relocate({root: elsewhere})
        assert told(held) == before
    for reader in readers:
        with reader.snapshot() as snapshot:
            assert told(snapshot) == (b"second", elsewhere / "sea", 2)
        reader.close()
