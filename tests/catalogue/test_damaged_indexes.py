"""A damaged index never crashes the process and never answers wrongly: it is right, or an error."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, fails
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.catalogue import rows
from imgsim_edge.infer.catalogue.database import CATALOGUE_FILE, Catalogue
from imgsim_edge.infer.catalogue.rows import PhotoRow
from imgsim_edge.infer.catalogue.writer import Batch
from imgsim_edge.infer.errors import ImgsimError, IndexDamagedError
from imgsim_edge.infer.index.repair import DAMAGED_FILE
from imgsim_edge.infer.search.hnsw_refresh import refresh
from tiny import DIMENSION

PHOTOS = 600  # three blocks of vectors
PATHS = [f"2020/{n % 7}/photo {n}.jpg" for n in range(PHOTOS)]


def made_vectors(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make(folder: Path, seed: int = 0, dimension: int = DIMENSION, photos: int = PHOTOS) -> Path:
    """Make an index of photos that lie nowhere."""
    catalogue = Catalogue.create(folder, "digest of the encoder", "default", dimension)
    vectors = np.pad(made_vectors(photos, seed), ((0, 0), (0, dimension - DIMENSION)))
    with catalogue.writer() as writer:
        root = writer.add_root(Path("/nowhere/photos"), ())
        parents = {path.rpartition("/")[0]: False for path in PATHS}
        folders = writer.add_folders(root.id, parents)
        rows = []
        for n, path in enumerate(PATHS[:photos]):
            parent, _, name = path.rpartition("/")
            rows.append(PhotoRow(n, folders[parent].id, name, n, n, bytes(16), 4, 3, 0))
        writer.commit(Batch(photos=rows, vectors=dict(enumerate(vectors))))
        # A change that the graph's file does not hold, and unused slots.
        refresh(writer, folder)
        record = writer.header().graph
        assert record is not None
        writer.set_graph(replace(record, ef_search=512))  # so that it misses nothing at all
        writer.commit(Batch(gone=[5, 300]))
    catalogue.close()
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("whole") / "index")


QUERIES = made_vectors(4, seed=99)


def truth(vectors: np.ndarray) -> list[list[str]]:
    """The five nearest of each query, by comparing with all, without the mean."""
    there = [n for n in range(len(vectors)) if n not in (5, 300)]
    mean = vectors.astype(np.float64).mean(axis=0)  # taken before two of them went
    stored, asked = vectors[there] - mean, QUERIES - mean
    scores = asked @ (stored / np.linalg.norm(stored, axis=1, keepdims=True)).T
    order = [np.lexsort((there, -row))[:5] for row in scores]
    return [[f"/nowhere/photos/{PATHS[there[n]]}" for n in row] for row in order]


TRUTH = truth(made_vectors(PHOTOS))


def answers(folder: Path) -> list[list[str]]:
    """Ask an index three times: from the disk, through its graph, and exactly again."""
    with ImageIndex.open(folder) as index:
        got = []
        for exact in (False, False, True):
            found = index.similar_many(list(QUERIES), 5, exact=exact)
            got.append([[str(match.path) for match in one] for one in found])
    assert got[0] == got[1] == got[2]
    return got[0]


def right_or_refused(folder: Path, *possible: list[list[str]]) -> bool:
    """Assert that an index answers rightly, or says in one line why not; True where it answers."""
    try:
        got = answers(folder)
    except ImgsimError as error:
        assert "\n" not in str(error)
        return False
    assert got in (possible or (TRUTH,))
    return True


def graph_file(folder: Path) -> Path:
    (file,) = folder.glob("graph-*.hnsw")
    return file


def copied(whole: Path, place: Path) -> Path:
    shutil.copytree(whole, place)
    return place


def test_an_undamaged_index_is_right_and_clean(whole: Path) -> None:
    assert answers(whole) == TRUTH
    with ImageIndex.open(whole) as index:
        assert index.verify() == []


# A damaged page can make SQLite read far more than there is; where the process could crash, it is
# another process that looks.
FLIPS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FLIPS
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), min_size=1, max_size=4))
def test_flipped_bits_in_the_catalogue(whole: Path, places: list[tuple[float, int]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = copied(whole, Path(place) / "index")
        flip(folder / CATALOGUE_FILE, places)
        right_or_refused(folder)


@settings(FLIPS, max_examples=30)
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), min_size=1, max_size=4))
def test_flipped_bits_in_the_graph(whole: Path, places: list[tuple[float, int]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = copied(whole, Path(place) / "index")
        flip(graph_file(folder), places)
        assert right_or_refused(folder), "the graph is a cache: without it answers are exact"
        with ImageIndex.open(folder) as index:
            assert [finding.part for finding in index.verify()] == ["graph"]


@settings(FLIPS, max_examples=20)
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), min_size=1, max_size=4))
def test_repair_makes_of_any_flipped_bits_a_clean_index(
    whole: Path, places: list[tuple[float, int]]
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = copied(whole, Path(place) / "index")
        flip(folder / CATALOGUE_FILE, places)
        try:
            ImageIndex.repair(folder)
        except ImgsimError as error:
            assert "\n" not in str(error)
            return
        with ImageIndex.open(folder) as index:
            assert index.verify() == []
            ids, vectors = index.vectors()
            # What is left was there before, each photo with its own vector.
            names = [str(photo.path) for photo in index.photos()]
            assert names == [f"/nowhere/photos/{PATHS[n]}" for n in ids.tolist()]
            assert np.array_equal(vectors, made_vectors(PHOTOS)[ids])


def flip(file: Path, places: list[tuple[float, int]]) -> None:
    content = bytearray(file.read_bytes())
    before = bytes(content)
    for place, bit in places:
        content[min(int(place * len(content)), len(content) - 1)] ^= 1 << bit
    if bytes(content) == before:  # the same bit twice
        content[0] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["catalogue", "graph"])
def test_files_cut_at_every_boundary(whole: Path, tmp_path: Path, name: str) -> None:
    folder = copied(whole, tmp_path / "index")
    file = graph_file(folder) if name == "graph" else folder / CATALOGUE_FILE
    content = file.read_bytes()
    step = 4096 if name == "catalogue" else len(content) // 24
    sizes = {0, 1, 99, 100, 101, len(content) - 1, *range(0, len(content), step)}
    answered = 0
    for size in sorted(sizes):
        file.write_bytes(content[:size])
        answered += right_or_refused(folder)
    if name == "graph":
        assert answered == len(sizes)
    else:  # only the last page may be one that no answer needs
        assert answered <= 1


def test_a_log_cut_at_every_boundary_leaves_a_state_that_was(tmp_path: Path, whole: Path) -> None:
    folder = copied(whole, tmp_path / "index")
    connection = sqlite3.connect(folder / CATALOGUE_FILE)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("SELECT * FROM root").fetchall()  # keeps the log from being dropped
    with Catalogue(folder).writer() as writer:
        writer.connection.execute("PRAGMA wal_autocheckpoint = 0")
        writer.commit(Batch(gone=list(range(10, 200))))
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    connection.close()
    log = kept / f"{CATALOGUE_FILE}-wal"
    content = log.read_bytes()
    assert len(content) > 4096
    after = answers(copied(kept, tmp_path / "after"))
    assert after != TRUTH
    for number, size in enumerate({*range(0, len(content), 4120), len(content) - 1, 16, 33}):
        cut = copied(kept, tmp_path / f"cut{number}")
        (cut / f"{CATALOGUE_FILE}-shm").unlink(missing_ok=True)
        (cut / f"{CATALOGUE_FILE}-wal").write_bytes(content[:size])
        assert right_or_refused(cut, TRUTH, after)


@pytest.mark.parametrize("what", ["nothing", "folder", "text", "zeros", "missing"])
@pytest.mark.parametrize("name", ["catalogue", "graph"])
def test_something_else_in_a_files_place(whole: Path, tmp_path: Path, name: str, what: str) -> None:
    folder = copied(whole, tmp_path / "index")
    file = graph_file(folder) if name == "graph" else folder / CATALOGUE_FILE
    size = file.stat().st_size
    file.unlink()
    if what == "folder":
        file.mkdir()
    elif what != "missing":
        file.write_bytes({"nothing": b"", "text": b"text\n" * 99, "zeros": bytes(size)}[what])
    assert right_or_refused(folder) == (name == "graph")


def test_a_graph_of_another_index(whole: Path, tmp_path: Path) -> None:
    folder, other = copied(whole, tmp_path / "index"), make(tmp_path / "other", seed=1)
    shutil.copyfile(graph_file(other), graph_file(folder))
    assert right_or_refused(folder)


def test_a_catalogue_of_another_index(whole: Path, tmp_path: Path) -> None:
    folder, other = copied(whole, tmp_path / "index"), make(tmp_path / "other", seed=1)
    shutil.copyfile(other / CATALOGUE_FILE, folder / CATALOGUE_FILE)
    assert right_or_refused(folder, truth(made_vectors(PHOTOS, 1)))


def test_a_log_of_another_index(whole: Path, tmp_path: Path) -> None:
    folder, other = copied(whole, tmp_path / "index"), make(tmp_path / "other", seed=1)
    holder = sqlite3.connect(other / CATALOGUE_FILE)
    holder.execute("SELECT * FROM root").fetchall()
    with Catalogue(other).writer() as writer:
        writer.commit(Batch(gone=[7]))
    shutil.copyfile(other / f"{CATALOGUE_FILE}-wal", folder / f"{CATALOGUE_FILE}-wal")
    holder.close()
    try:
        got = answers(folder)
    except ImgsimError:
        return
    assert got == TRUTH


def test_a_graph_of_another_dimension_with_a_forged_record(whole: Path, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path / "index")
    other = make(tmp_path / "other", dimension=DIMENSION + 4)
    shutil.copyfile(graph_file(other), graph_file(folder))
    assert right_or_refused(folder)


def test_a_graph_newer_than_the_catalogue_is_not_asked(whole: Path, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path / "index")
    with Catalogue(folder).writer() as writer:
        record = writer.header().graph
        assert record is not None
        writer.set_graph(replace(record, generation=record.generation + 50))
    assert right_or_refused(folder)


def test_a_graph_below_the_recall_is_not_asked(whole: Path, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path / "index")
    with Catalogue(folder).writer() as writer:
        record = writer.header().graph
        assert record is not None
        writer.set_graph(replace(record, recall=0.98))
    with ImageIndex.open(folder) as index:
        index.similar_many(list(QUERIES))
        index.similar_many(list(QUERIES))
        assert index._searcher._view is None
    assert answers(folder) == TRUTH


def test_a_missing_or_old_block_is_noticed(whole: Path, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path / "index")
    with sqlite3.connect(folder / CATALOGUE_FILE) as connection:
        connection.execute("DELETE FROM vectors WHERE block = 1")
    connection.close()
    with pytest.raises(IndexDamagedError, match="imgsim-edge repair"):
        answers(folder)


def test_vectors_that_changed_places_are_noticed(whole: Path, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path / "index")
    with sqlite3.connect(folder / CATALOGUE_FILE) as connection:
        for number, (generation, live, data) in enumerate(
            connection.execute("SELECT generation, live, data FROM vectors LIMIT 2").fetchall()
        ):
            swapped = rows.sealed("vectors", (1 - number, generation, live, data))
            connection.execute("REPLACE INTO vectors VALUES (?, ?, ?, ?, ?)", swapped)
    connection.close()
    with ImageIndex.open(folder) as index:
        assert index.verify()
        with pytest.raises(IndexDamagedError):
            index.similar_many(list(QUERIES), 5)


def test_repair_names_what_is_lost_and_keeps_the_rest(run: Run, tmp_path: Path) -> None:
    folder = make(tmp_path / "index")
    file = folder / CATALOGUE_FILE
    content = bytearray(file.read_bytes())
    content[content.index(b"photo 77.jpg")] ^= 1  # one row
    content[content.index(made_vectors(PHOTOS)[400].tobytes())] ^= 1  # one block: photos 256 to 511
    file.write_bytes(content)
    assert run("verify").status == 1
    told = run("repair")
    assert told.status == 0
    assert "its vector is lost" in told.stdout
    assert "vectors whose photos' names are lost: 1\n" in told.stdout
    assert f"{PHOTOS - 2 - 1 - 255:,} of {PHOTOS - 2:,} photos are kept" in told.stdout
    assert (folder / DAMAGED_FILE).read_bytes() == bytes(content)
    assert run("verify").stdout.startswith("nothing is wrong")
    assert run("repair").stdout == ""


def test_repair_reads_past_a_destroyed_first_page_and_all_inner_ones(
    whole: Path, tmp_path: Path
) -> None:
    folder = copied(whole, tmp_path / "index")
    file = folder / CATALOGUE_FILE
    content = bytearray(file.read_bytes())
    content[:4096] = bytes(4096)
    for start in range(0, len(content), 4096):
        if content[start] in (0x02, 0x05, 0x0A):  # inner pages, and leaves of indexes
            content[start : start + 4096] = b"\xff" * 4096
    file.write_bytes(content)
    with pytest.raises(ImgsimError):
        answers(folder)
    ImageIndex.repair(folder)
    assert answers(folder) == TRUTH
    with ImageIndex.open(folder) as index:
        assert len(index) == PHOTOS - 2


def test_repair_takes_in_what_only_the_log_holds(tmp_path: Path) -> None:
    folder = make(tmp_path / "index", photos=500)
    script = (
        "import os, sys; from pathlib import Path\n"
        "from imgsim_edge.infer.catalogue.database import Catalogue\n"
        "from imgsim_edge.infer.catalogue.writer import Batch\n"
        "with Catalogue(Path(sys.argv[1])).writer() as writer:\n"
        "    writer.commit(Batch(gone=[7]))\n"
        "    os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True)
    assert (folder / f"{CATALOGUE_FILE}-wal").stat().st_size > 0
    content = bytearray((folder / CATALOGUE_FILE).read_bytes())
    content[:16] = bytes(16)  # SQLite does not take it for its own any more
    (folder / CATALOGUE_FILE).write_bytes(content)
    ImageIndex.repair(folder)
    with ImageIndex.open(folder) as index:
        assert len(index) == 497
        assert index.find("/nowhere/photos/" + PATHS[7]) is None
        assert index.verify() == []


def test_every_finding_about_a_damaged_catalogue_is_one_line(whole: Path, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path / "index")
    content = bytearray((folder / CATALOGUE_FILE).read_bytes())
    for start in range(0, len(content), 4096):
        if content[start] == 0x0D:  # a leaf of a table: its cells lie in random places
            content[start + 100 : start + 108] = b"\xff" * 8
    (folder / CATALOGUE_FILE).write_bytes(content)
    with ImageIndex.open(folder) as index:
        findings = index.verify()
    assert len(findings) > 1
    assert all(len(finding.what.splitlines()) == 1 for finding in findings)


def test_without_its_identity_an_index_cannot_be_repaired(whole: Path, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path / "index")
    (folder / CATALOGUE_FILE).write_bytes(b"")
    with pytest.raises(IndexDamagedError, match="index again"):
        ImageIndex.repair(folder)


@pytest.mark.parametrize("details", [0, 16])
def test_how_long_details_are_is_seen_from_them(details: int, tmp_path: Path) -> None:
    catalogue = Catalogue.create(tmp_path, "digest of the encoder", "default", DIMENSION, details)
    codes = np.random.default_rng(0).integers(-127, 128, (3, details), np.int8)
    with catalogue.writer() as writer:
        folder = writer.add_folders(writer.add_root(Path("/nowhere"), ()).id, {"": False})[""]
        photos = [PhotoRow(n, folder.id, f"{n}.jpg", n, n, bytes(16), 4, 3, 0) for n in range(3)]
        writer.commit(
            Batch(
                photos=photos,
                vectors=dict(enumerate(made_vectors(3))),
                details=dict(enumerate(codes)) if details else {},
            )
        )
    catalogue.close()
    with sqlite3.connect(tmp_path / CATALOGUE_FILE) as connection:
        connection.execute("DELETE FROM header WHERE key = 'details'")
    connection.close()
    assert ImageIndex.repair(tmp_path)
    with ImageIndex.open(tmp_path) as index:
        assert index.verify() == []
    with Catalogue(tmp_path).snapshot() as snapshot:
        assert snapshot.header().details == details
        kept = [block.codes[:3] for block in snapshot.details_blocks()]
        assert np.array_equal(np.concatenate(kept), codes) if details else not kept


@pytest.mark.parametrize("command", ["info", "verify"])
def test_a_damaged_index_is_one_line_on_the_command_line(
    run: Run, tmp_path: Path, command: str
) -> None:
    folder = make(tmp_path / "index")
    (folder / CATALOGUE_FILE).write_bytes(b"text, and not a catalogue\n" * 1000)
    fails(run(command), "imgsim-edge repair")
