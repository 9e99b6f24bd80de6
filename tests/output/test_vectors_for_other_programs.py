"""`embed`: photos in, their vectors and paths out, in files that other programs read."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import PROGRAM, Run, fails
from imgsim_edge.infer.encoder.onnx_encoder import Encoder
from imgsim_edge.infer.errors import UsageError
from imgsim_edge.infer.output import vector_files
from imgsim_edge.infer.output.vector_files import EmbeddedBatch, write_vectors
from imgsim_edge.infer.photos.decode import load_photo


@pytest.fixture(scope="module")
def wanted(collection: Path) -> tuple[list[str], np.ndarray]:
    """The paths in order and the vectors that one photo at a time gives."""
    paths = sorted(collection.iterdir())
    encoder = Encoder()
    vectors = [encoder.encode(load_photo(path).pixels[None]).embeddings[0] for path in paths]
    return [str(path) for path in paths], np.stack(vectors)


def read(out: Path) -> tuple[list[str], np.ndarray]:
    """Read a file as any other program would."""
    if out.suffix == ".npz":
        with np.load(out) as archive:
            assert str(archive["encoder"]) == Encoder().digest
            return archive["paths"].tolist(), archive["vectors"]
    if out.suffix == ".npy":
        return json.loads(out.with_name(f"{out.stem}.paths.json").read_text()), np.load(out)
    if out.suffix == ".csv":
        with out.open(newline="") as file:
            header, *rows = csv.reader(file)
        assert (header[0], header[-1], len(header)) == ("path", "v63", 65)
        return [row[0] for row in rows], np.array([row[1:] for row in rows], dtype=np.float32)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    vectors = np.array([line["vector"] for line in lines], dtype=np.float32)
    return [line["path"] for line in lines], vectors


@pytest.mark.parametrize("suffix", ["npz", "npy", "csv", "jsonl"])
def test_every_format_holds_the_same_vectors_in_the_order_of_paths(
    suffix: str, run: Run, collection: Path, wanted: tuple[list[str], np.ndarray], tmp_path: Path
) -> None:
    out = tmp_path / f"vectors.{suffix}"
    done = run("embed", collection, "--out", out, "--json")
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert (told["photos"], told["dimension"]) == (18, 64)
    assert all(Path(file).is_file() for file in told["files"])
    paths, vectors = read(out)
    assert paths == wanted[0]
    assert vectors.dtype == np.float32
    assert vectors == pytest.approx(wanted[1], abs=1e-5)


def test_numbers_in_text_are_exact(tmp_path: Path, wanted: tuple[list[str], np.ndarray]) -> None:
    paths, vectors = wanted
    batches = [
        EmbeddedBatch([Path(p) for p in paths[a:b]], vectors[a:b]) for a, b in ((0, 5), (5, 18))
    ]
    for form in vector_files.FORMATS:
        out = tmp_path / f"v.{form}"
        assert write_vectors(iter(batches), out, form, Encoder()) == 18
        assert np.array_equal(read(out)[1], vectors), form


def test_lines_go_to_stdout_unless_a_file_is_named(run: Run, collection: Path) -> None:
    first, *others = run("embed", collection / "coffee.jpg", collection).stdout.splitlines()
    assert json.loads(first)["path"] == str(collection / "coffee.jpg")
    assert len(others) == 17  # each photo once, though one was named twice
    table = run("embed", collection / "coffee.jpg", "--format", "csv").stdout.splitlines()
    assert len(table) == 2


def test_names_of_any_bytes_survive(run: Run, collection: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b'caf\xe9,\n"1".jpg') if sys.platform == "linux" else "café,1.jpg"
    (tmp_path / "odd").mkdir()
    photo = tmp_path / "odd" / name
    photo.write_bytes((collection / "coffee.jpg").read_bytes())
    for form in vector_files.FORMATS:
        out = tmp_path / f"v.{form}"
        assert run("embed", tmp_path / "odd", "--out", out).status == 0
        if form == "csv":
            with out.open(errors="surrogateescape", newline="") as text:
                paths = [row[0] for row in csv.reader(text)][1:]
        else:
            paths, _ = read(out)
        assert paths == [str(photo)], form


def test_unreadable_files_are_named_and_the_rest_is_written(
    run: Run, collection: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    done = run("embed", "broken.jpg", collection / "coffee.jpg", "--out", "v.npz")
    assert done.status == 0
    assert done.stderr == "cannot read broken.jpg: not an image of a known format\n"
    assert done.stdout == "1 photos, 64 numbers each, in v.npz\n"
    assert read(tmp_path / "v.npz")[0] == [str(collection / "coffee.jpg")]


def test_a_file_larger_than_memory_stops_nothing(
    run: Run, collection: Path, tmp_path: Path
) -> None:
    try:
        with (tmp_path / "huge.tif").open("wb") as file:
            file.truncate(1 << 42)  # 4 TiB, none of which is on the disk
    except OSError:
        pytest.skip("this file system has no sparse files of that size")
    done = run("embed", "huge.tif", collection / "coffee.jpg", "--out", "v.npz")
    assert done.status == 0
    assert done.stderr == "cannot read huge.tif: file too large for the memory of this machine\n"
    assert read(tmp_path / "v.npz")[0] == [str(collection / "coffee.jpg")]


def test_what_cannot_be_done_is_one_line_and_leaves_no_file(
    run: Run, collection: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "old.npz").write_bytes(b"old")
    fails(run("embed", "broken.jpg", "--out", "old.npz"), "none of 1 files", "broken.jpg")
    fails(run("embed", "nowhere", "--out", "v.npz"), "nowhere does not exist")
    fails(run("embed", "folder.npz", "--out", "v.npz"), "no photos in folder.npz")
    fails(run("embed", collection, "--out", "no/v.npz"), "cannot write no/v.npz", "No such file")
    fails(run("embed", collection, "--out", "folder.npz"), "it is a folder")
    assert (tmp_path / "old.npz").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"broken.jpg", "folder.npz", "old.npz"}
    for wrong in (["--out", "v.txt"], ["--format", "npz"], ["--format", "xml", "--out", "v"]):
        assert run("embed", collection, *wrong).status == 2


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupted_run_leaves_the_old_file(collection: Path, tmp_path: Path) -> None:
    photos = tmp_path / "many"
    photos.mkdir()
    for number in range(400):
        (photos / f"{number}.jpg").symlink_to(collection / "coffee.jpg")
    out = tmp_path / "v.csv"
    out.write_text("old")
    program = [sys.executable, "-c", PROGRAM, "embed", photos, "--out", out]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        while not any(part.stat().st_size for part in tmp_path.glob(".part-*")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told == "interrupted\n"
    assert out.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"many", "v.csv"}


def test_a_disk_that_fails_leaves_the_old_file(
    tmp_path: Path, wanted: tuple[list[str], np.ndarray]
) -> None:
    def batches():
        yield EmbeddedBatch([Path("a.jpg")], wanted[1][:1])
        raise OSError(28, "No space left on device")

    for form in vector_files.FORMATS:
        out = tmp_path / f"v.{form}"
        out.write_text("old")
        with pytest.raises(UsageError, match="No space left"):
            write_vectors(batches(), out, form, Encoder())
        assert out.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == len(vector_files.FORMATS)
