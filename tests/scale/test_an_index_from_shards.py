"""`index --from-vectors`: the index that this machine would have made, with no photo read."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, fails
from imgsim_edge.infer import ImageIndex, embed_here, embed_sources
from imgsim_edge.infer.catalogue.rows import COLUMNS
from imgsim_edge.infer.scale.shards import read_manifest, write_manifest
from tiny import tiny_encoder

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(tiny_encoder(details=16))
    return path


@pytest.fixture
def photos(collection: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    shutil.copytree(collection, folder / "all" / "of them")
    shutil.copy(collection / "coffee.jpg", folder / "20200102_030405.jpg")  # a copy, and a date
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


def embed(source: Path, out: Path, model: Path) -> None:
    embed_sources([str(source)], out, model, embed_here(model), shard_photos=4)


def content(index: Path) -> dict[str, set[tuple[object, ...]]]:
    """Every row that is about photos, without ids, which depend on the order."""
    found = {}
    connection = sqlite3.connect(index / "catalogue.sqlite")
    for table in ("photo", "unreadable"):
        columns = [f"t.{c}" for c in COLUMNS[table] if c not in ("id", "folder", "checksum")]
        query = (
            f"SELECT root.path, folder.path, {', '.join(columns)} FROM {table} t "
            "JOIN folder ON folder.id = t.folder JOIN root ON root.id = folder.root"
        )
        found[table] = set(connection.execute(query))
    connection.close()
    return found


def vectors_by_path(index: ImageIndex) -> dict[str, tuple[bytes, bytes]]:
    held = list(index.photos())
    _, vectors = index.vectors([photo.id for photo in held])
    details = index.details([photo.id for photo in held])
    return {
        str(photo.path): (vector.tobytes(), own.tobytes())
        for photo, vector, own in zip(held, vectors, details, strict=True)
    }


def test_it_holds_what_indexing_the_photos_here_would_have_written(
    run: Run, photos: Path, model: Path, tmp_path: Path
) -> None:
    embed(photos, tmp_path / "shards", model)
    done = run("index", "--from-vectors", "shards")
    assert done.stdout == "19 photos in the index (19 added, 1 unreadable)\n"
    assert run("index", photos, "--index", "local", "--model", model).status == 0
    made, local = content(tmp_path / "index"), content(tmp_path / "local")
    assert made == local
    assert (len(made["photo"]), len(made["unreadable"])) == (19, 1)
    with ImageIndex.open(tmp_path / "index") as ours, ImageIndex.open(tmp_path / "local") as theirs:
        assert ours.verify() == []
        held = vectors_by_path(ours)
        assert held == vectors_by_path(theirs)
        assert all(np.frombuffer(own, np.float32).any() for _, own in held.values())
        for photo in theirs.photos():
            answers = [
                [(m.rank, m.score, m.path) for m in index.similar(photo.path, 10)]
                for index in (ours, theirs)
            ]
            assert answers[0] == answers[1]
            assert len(answers[0]) == 10
        report = ours.add()  # later runs over the photos go on from there
        assert (report.unchanged, report.added, report.changed) == (20, 0, 0)
        assert ours.verify() == []


def test_taking_in_again_brings_what_has_changed(photos: Path, model: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    embed(photos, shards, model)
    with ImageIndex.create(tmp_path / "index", model) as index:
        assert index.add_vectors(shards).added == 19
        generation = index.generation
        report = index.add_vectors(shards)
        assert (report.unchanged, report.added, report.changed, report.removed) == (19, 0, 0, 0)
        assert index.generation == generation
        (photos / "20200102_030405.jpg").unlink()
        shutil.copy(photos / "all" / "of them" / "rocket.jpg", photos / "broken.jpg")
        shutil.copy(
            photos / "all" / "of them" / "rocket.jpg", photos / "all" / "of them" / "coffee.jpg"
        )
        embed(photos, shards, model)
        report = index.add_vectors(shards)
        assert (report.unchanged, report.added, report.changed, report.removed) == (17, 1, 1, 1)
        assert index.verify() == []
        assert list(index.unreadable()) == []
        fresh = vectors_by_path(index)
    with ImageIndex.create(tmp_path / "other", model) as other:
        other.add([photos])
        assert vectors_by_path(other) == fresh


def test_only_what_the_shards_hold_in_whole_can_leave(
    photos: Path, model: Path, tmp_path: Path
) -> None:
    embed(photos / "20200102_030405.jpg", tmp_path / "shards", model)  # a photo, not its folder
    with ImageIndex.create(tmp_path / "index", model) as index:
        index.add([photos])
        assert index.add_vectors(tmp_path / "shards").removed == 0
        assert len(index) == 19


def test_photos_that_are_no_files_here_carry_their_address(
    photos: Path, model: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "00.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(photos / "all" / "of them" / "coffee.jpg", "000/coffee.jpg")
    address = (photos / "all").as_uri()
    run_here = embed_here(model)
    embed_sources([str(archive), address], tmp_path / "shards", model, run_here)
    with ImageIndex.create(tmp_path / "index", model) as index:
        assert index.add_vectors(tmp_path / "shards").added == 19
        assert index.verify() == []
        told = {photo.payload["address"] for photo in index.photos()}
        assert {f"{archive}/000/coffee.jpg", f"{address}/of them/rocket.jpg"} <= told
        assert not any(photo.has_file for photo in index.photos())
        assert index.add_vectors(tmp_path / "shards").unchanged == 19
        index.add([photos])
        assert len(index) == 38
        best = index.similar(photos / "all" / "of them" / "coffee.jpg", 3)
        assert f"{archive}/000/coffee.jpg" in {m.payload and m.payload["address"] for m in best}


def test_what_cannot_be_taken_in_is_one_line(
    run: Run, photos: Path, model: Path, tmp_path: Path
) -> None:
    fails(run("index", "--from-vectors", "nowhere"), "no shards in nowhere", "imgsim-edge embed")
    embed(photos, tmp_path / "shards", model)
    run("index", photos, "--index", "other")
    fails(run("index", "--from-vectors", "shards", "--index", "other"), "another encoder")
    manifest = read_manifest(tmp_path / "shards")
    victim = tmp_path / "shards" / manifest.shards[0].file
    whole = victim.read_bytes()
    victim.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    fails(run("index", "--from-vectors", "shards"), "is not what was written", "embed again")
    victim.write_bytes(whole)
    told = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    (tmp_path / "shards" / "manifest.json").write_text(json.dumps({**told, "format": 2}))
    fails(run("index", "--from-vectors", "shards"), "newer than this version")
    write_manifest(tmp_path / "shards", type(manifest)(manifest.encoder, complete=False))
    fails(run("index", "--from-vectors", "shards"), "are not finished")
    assert run("index", photos, "--from-vectors", "shards").status == 2


def test_labels_are_suggested_for_photos_that_came_with_new_shards(
    run: Run, labelled: Path, tmp_path: Path
) -> None:
    cups = sorted((labelled / "coffee").iterdir())
    photos = shutil.copytree(
        labelled, tmp_path / "photos", ignore=lambda *_: [cup.name for cup in cups[10:]]
    )
    for name in ("astronaut", "flower", "hubble_deep_field"):
        shutil.copytree(labelled / name, photos / name, dirs_exist_ok=True)
    assert run("embed", photos, "--out", "shards").status == 0
    first = run("index", "--from-vectors", "shards", "--json")
    assert json.loads(first.stdout)["suggested"] == {}
    assert run("teach", "cup", photos / "coffee").status == 0
    for cup in cups[10:]:
        shutil.copy(cup, photos / "coffee")
    assert run("embed", photos, "--out", "shards").status == 0
    done = run("index", "--from-vectors", "shards", "--json")
    told = json.loads(done.stdout)
    assert told["added"] == 10
    assert 1 <= told["suggested"]["cup"] <= 10
    assert f"cup: {told['suggested']['cup']} new photo" in done.stderr
    again = run("index", "--from-vectors", "shards", "--json")
    assert json.loads(again.stdout)["suggested"] == {}
