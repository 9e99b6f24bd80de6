"""`embed --out DIR`: the vectors of a collection as Parquet shards, and a run that goes on."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import PROGRAM, Run, fails
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.encoder.details import quantise_details
from imgsim_edge.infer.encoder.onnx_encoder import Encoder
from imgsim_edge.infer.photos.decode import load_photo
from imgsim_edge.infer.scale import addresses
from imgsim_edge.infer.scale.embedding import embed_here, embed_sources
from imgsim_edge.infer.scale.shards import read_manifest, read_shard
from tiny import tiny_encoder

pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(tiny_encoder(details=16))
    return path


@pytest.fixture
def photos(collection: Path, tmp_path: Path) -> Path:
    """A folder with folders, two names that are not plain, and a file that is no photo."""
    folder = tmp_path / "photos"
    shutil.copytree(collection, folder / "all")
    (folder / "odd").mkdir()
    odd = os.fsdecode(b"caf\xe9.jpg") if sys.platform == "linux" else "café.jpg"
    for name in (odd, "20200102_030405.jpg"):
        shutil.copy(collection / "coffee.jpg", folder / "odd" / name)
    (folder / "odd" / "broken.jpg").write_bytes(b"no photo")
    return folder


def embed(*sources: Path | str, out: Path, model: Path, size: int = 4, retry: bool = False):
    run = embed_here(model)
    names = [str(source) for source in sources]
    return embed_sources(names, out, model, run, shard_photos=size, retry=retry)


def sums(out: Path) -> dict[str, str]:
    return {shard.file: shard.digest for shard in read_manifest(out).shards}


def rows(out: Path):
    manifest = read_manifest(out)
    return [row for shard in manifest.shards for row in read_shard(out, shard, manifest.encoder)]


def test_a_shard_is_a_table_that_any_program_reads(
    run: Run, photos: Path, model: Path, tmp_path: Path
) -> None:
    done = run("embed", "photos", "--out", "shards", "--model", model, "--json")
    told = json.loads(done.stdout)
    assert (told["photos"], told["unreadable"], told["shards"], told["fresh"]) == (20, 1, 1, 21)
    assert done.stderr.startswith("cannot read ")
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    assert manifest["complete"]
    assert manifest["encoder"]["digest"] == Encoder(model).digest
    table = pq.read_table(tmp_path / "shards" / manifest["shards"][0]["file"])
    assert str(table.schema.field("embeddings").type) == "fixed_size_list<element: float>[8]"
    assert str(table.schema.field("details").type) == "fixed_size_list<element: int8>[16]"
    encoder = Encoder(model)
    for row in table.to_pylist():
        path = Path(row["source"]) / os.fsdecode(row["raw_path"] or row["path"].encode())
        if path.name == "broken.jpg":
            assert row["problem"] == "not an image of a known format"
            assert row["embeddings"] is None and row["details"] is None
            continue
        photo = load_photo(path, encoder.image_size)
        made = encoder.encode(photo.pixels[None])
        assert np.array_equal(np.float32(row["embeddings"]), made.embeddings[0])
        assert row["details"] == quantise_details(made.details[0]).tolist()
        assert (row["width"], row["height"]) == (photo.width, photo.height)
        assert (row["size"], row["mtime_ns"]) == (path.stat().st_size, path.stat().st_mtime_ns)
        assert (row["taken_ms"] is not None) == (path.name == "20200102_030405.jpg")


def test_shards_hold_what_an_index_of_the_same_photos_holds(
    photos: Path, model: Path, tmp_path: Path
) -> None:
    embed(photos, out=tmp_path / "shards", model=model)
    found = {row.path.whole: row for row in rows(tmp_path / "shards") if row.problem is None}
    with ImageIndex.create(tmp_path / "index", model) as index:
        index.add([photos])
        held = list(index.photos())
        assert {str(photo.path) for photo in held} == found.keys()
        for photo in held:
            row = found[str(photo.path)]
            assert (row.digest, row.metadata) == (photo.digest, photo.metadata)
            assert np.array_equal(row.vector, index.vectors([photo.id])[1][0])


def test_a_second_run_makes_only_what_is_new_or_has_changed(
    photos: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    assert embed(photos, out=out, model=model).fresh == 21
    first = sums(out)
    assert embed(photos, out=out, model=model).fresh == 0
    assert sums(out) == first
    shutil.copy(photos / "all" / "coffee.jpg", photos / "new.jpg")
    assert embed(photos, out=out, model=model).fresh == 1
    assert first.items() <= sums(out).items()
    shutil.copy(photos / "all" / "rocket.jpg", photos / "new.jpg")  # another content
    (photos / "all" / "coffee.jpg").unlink()
    report = embed(photos, out=out, model=model)
    assert 1 <= report.fresh <= 4  # the new photo's shard, and those beside the one that left
    assert (report.photos, report.unreadable) == (20, 1)
    names = [row.path.path for row in rows(out)]
    assert len(set(names)) == len(names) == 21
    assert "all/coffee.jpg" not in names
    assert {path.name for path in out.glob("shard-*")} == sums(out).keys()


def test_other_sources_stay_and_a_folder_that_is_away_empties_nothing(
    photos: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    assert embed(photos / "all", out=out, model=model).photos == 18
    assert embed(photos / "odd", out=out, model=model).photos == 20
    assert embed(photos / "all" / "coffee.jpg", out=out, model=model).fresh == 0
    (photos / "all").rename(tmp_path / "away")
    with pytest.raises(Exception, match="does not exist"):
        embed(photos / "all", out=out, model=model)
    assert len(rows(out)) == 21


def test_unreadable_photos_are_tried_again_when_asked_or_changed(
    photos: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    embed(photos, out=out, model=model)
    assert embed(photos, out=out, model=model).fresh == 0
    assert embed(photos, out=out, model=model, retry=True).fresh == 4  # those of its shard
    shutil.copy(photos / "all" / "coffee.jpg", photos / "odd" / "broken.jpg")
    report = embed(photos, out=out, model=model)
    assert (report.photos, report.unreadable, report.fresh) == (21, 0, 4)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_killed_run_loses_no_finished_shard_and_ends_as_an_undisturbed_one(
    photos: Path, model: Path, tmp_path: Path
) -> None:
    for number in range(70):
        shutil.copy(photos / "all" / "coffee.jpg", photos / f"{number}.jpg")
    program = [sys.executable, "-c", PROGRAM, "embed", photos, "--shard-photos", "4"]
    program += ["--model", model, "--out"]
    subprocess.run([*program, tmp_path / "whole"], check=True, capture_output=True)
    out = tmp_path / "killed"
    process = subprocess.Popen([*program, out], stderr=subprocess.PIPE)
    while len(list(out.glob("shard-*"))) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    kept = {path: path.stat().st_mtime_ns for path in out.glob("shard-*.parquet")}
    assert not read_manifest(out).complete
    subprocess.run([*program, out], check=True, capture_output=True)
    assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items())
    assert sums(out) == sums(tmp_path / "whole")
    assert len(sums(out)) == 23


def test_archives_lists_and_addresses(photos: Path, model: Path, tmp_path: Path) -> None:
    archive = tmp_path / "00.tar"
    with tarfile.open(archive, "w") as tar:
        for name in ("coffee.jpg", "rocket.jpg"):
            tar.add(photos / "all" / name, f"000/{name}")
            label = tarfile.TarInfo(f"000/{name}.json")
            tar.addfile(label, io.BytesIO(b""))
    with (tmp_path / "list.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerows([["id", "path"], [1, "photos/all/coffee.jpg"]])
        table.writerow([2, (photos / "all" / "rocket.jpg").as_uri()])
    address = (photos / "odd").as_uri()
    out = tmp_path / "shards"
    report = embed(archive, tmp_path / "list.csv", address, out=out, model=model)
    assert (report.photos, report.unreadable) == (6, 1)
    by_content: dict[bytes, set[str]] = {}
    for row in rows(out):
        by_content.setdefault(row.digest, set()).add(row.path.whole)
    (coffee,) = (names for names in by_content.values() if f"{archive}/000/coffee.jpg" in names)
    assert {str(photos / "all" / "coffee.jpg"), f"{address}/20200102_030405.jpg"} <= coffee
    assert embed(archive, tmp_path / "list.csv", address, out=out, model=model).fresh == 0
    assert len(rows(out)) == 7


def test_a_truncated_archive_is_a_row_with_a_reason(
    photos: Path, model: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "00.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(photos / "all" / "coffee.jpg", "coffee.jpg")
        tar.add(photos / "all" / "rocket.jpg", "rocket.jpg")
    archive.write_bytes(archive.read_bytes()[:-12_000])
    report = embed(archive, out=tmp_path / "shards", model=model)
    assert (report.photos, report.unreadable) == (1, 1)
    assert "cannot be read to its end" in report.problems[0].reason


def test_listing_tells_what_storage_knows(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for name in ("a/1.jpg", "a/b/2.jpg", "a/note.txt", "a/x.tar", "a/3.mov"):
        memory.pipe(f"/bucket/{name}", b"1234")
    try:
        listed = addresses.list_sources(["memory://bucket/a"])
        assert [one.path for one in listed.addresses] == ["1.jpg", "b/2.jpg"]
        assert all(one.size == 4 and one.mtime_ns for one in listed.addresses)
        assert listed.passed_over == ["3.mov"]
        assert listed.addresses[1].read_bytes() == b"1234"
        (archive,) = addresses.list_sources(["memory://bucket/a/*.tar"]).addresses
        assert (archive.source, archive.path) == ("memory://bucket/a", "x.tar")
    finally:
        memory.store.clear()


def test_what_cannot_be_done_is_one_line(
    run: Run, photos: Path, model: Path, tmp_path: Path
) -> None:
    fails(run("embed", "nowhere", "--out", "shards"), "nowhere does not exist")
    fails(run("embed", "s3://bucket/x", "--out", "shards"), "cannot reach s3://bucket/x", "s3fs")
    fails(run("embed", "odd://bucket/x", "--out", "shards"), "cannot reach odd://bucket/x")
    (tmp_path / "empty").mkdir()
    fails(run("embed", "empty", "--out", "shards"), "no photos in empty")
    (tmp_path / "list.csv").write_text("name\nx.jpg\n")
    fails(run("embed", "list.csv", "--out", "shards"), "no column path or url or address")
    assert not (tmp_path / "shards").exists()
    (tmp_path / "file").write_text("")
    fails(run("embed", "photos", "--out", "file", "--format", "parquet"), "cannot write to file")
    embed(photos, out=tmp_path / "shards", model=model)
    fails(run("embed", "photos", "--out", "shards"), "made by another encoder")
    (tmp_path / "shards" / "manifest.json").write_text("{}")
    fails(run("embed", "photos", "--out", "shards", "--model", model), "manifest.json", "delete it")
    assert run("embed", "photos", "--out", "v.npz", "--ray", "local").status == 2


def test_shards_that_are_damaged_are_made_again(photos: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    embed(photos, out=out, model=model)
    whole = sums(out)
    victim = out / next(iter(whole))
    victim.write_bytes(victim.read_bytes()[:-100])
    manifest = read_manifest(out)
    with pytest.raises(Exception, match="is not what was written"):
        read_shard(out, manifest.shards[0], manifest.encoder)
    assert embed(photos, out=out, model=model).fresh == 4
    assert sums(out) == whole
    assert manifest == read_manifest(out)
