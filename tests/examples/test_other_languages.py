"""The examples in other languages answer as Python does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imgsim_edge import models
from imgsim_edge.infer import Encoder, ImageIndex, load_photo
from tiny import SIDE, tiny_encoder

EXAMPLES = Path(__file__).parents[2] / "infer" / "examples"
ENCODERS = Path(models.__path__[0])


@pytest.fixture(scope="module")
def pixels(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three photos as the encoder sees them, in files that any language can read."""
    folder = tmp_path_factory.mktemp("pixels")
    files = []
    for name in ("coffee-crop", "astronaut", "flower-crop"):
        files.append(folder / f"{name}.rgb")
        files[-1].write_bytes(load_photo(collection / f"{name}.jpg").pixels.tobytes())
    return files


def of(file: Path, side: int = 224) -> np.ndarray:
    return np.frombuffer(file.read_bytes(), np.uint8).reshape(side, side, 3)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example for Node.js with its packages."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("no Node.js here")
    folder = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(EXAMPLES / "node", folder)
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "ONNXRUNTIME_NODE_INSTALL": "skip"},  # of libraries for graphics cards
        timeout=300,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"npm cannot install the example's packages: {done.stderr[-200:]}")
    return folder


def run(command: list[Any]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_node_gives_the_vectors_of_python(node: Path, indexed: Path, pixels: list[Path]) -> None:
    model = ENCODERS / "mobilenet-64-fp32.onnx"
    answers = run(["node", node / "similar.js", indexed, model, *pixels])
    expected = Encoder(model).encode(np.stack([of(file) for file in pixels])).embeddings
    given = np.array([answer["embedding"] for answer in answers])
    assert np.abs(given - expected).max() < 1e-4


def hold_against_python(answers: list[dict[str, Any]], folder: Path, pixels: list[Path]) -> None:
    with ImageIndex.open(folder) as index:
        side = index.encoder.image_size
        for answer, file in zip(answers, pixels, strict=True):
            expected = index.similar(of(file, side), 10, exact=True)
            assert [a["path"] for a in answer["answers"]] == [str(m.path) for m in expected]
            scores = [match.score for match in expected]
            assert [a["score"] for a in answer["answers"]] == pytest.approx(scores, abs=1e-3)


def test_node_answers_as_python_does(node: Path, indexed: Path, pixels: list[Path]) -> None:
    answers = run(["node", node / "similar.js", indexed, ENCODERS / "mobilenet-64.onnx", *pixels])
    hold_against_python(answers, indexed, pixels)


def test_node_orders_by_details_as_python_does(
    node: Path, collection: Path, tmp_path: Path
) -> None:
    model = tmp_path / "tiny.onnx"
    model.write_bytes(tiny_encoder(details=16))
    queries = []
    for name in ("coffee-crop", "astronaut"):
        queries.append(tmp_path / f"{name}.rgb")
        photo = load_photo(collection / f"{name}.jpg", SIDE)
        queries[-1].write_bytes(photo.pixels.tobytes())
    with ImageIndex.create(tmp_path / "index", model) as index:
        index.add([collection])
        [embedding] = index.embed([of(queries[0], SIDE)])
        by_details, by_embedding = index.similar_many([of(queries[0], SIDE), embedding], 10)
        assert [m.score for m in by_details] != [m.score for m in by_embedding]
    answers = run(["node", node / "similar.js", tmp_path / "index", model, *queries])
    hold_against_python(answers, tmp_path / "index", queries)


def test_node_reads_photos_nearly_as_python_does(
    node: Path, indexed: Path, collection: Path
) -> None:
    photo = collection / "coffee.jpg"
    [answer] = run(["node", node / "similar.js", indexed, ENCODERS / "mobilenet-64.onnx", photo])
    assert answer["answers"][0]["path"] == str(photo)
    assert answer["answers"][0]["score"] > 0.99


def test_node_says_in_one_line_what_is_wrong(node: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["node", node / "similar.js", tmp_path, ENCODERS / "mobilenet-64.onnx", "a.rgb"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="links a shared library of Linux")
def test_c_gives_the_vectors_and_neighbours_of_python(
    collection: Path, indexed: Path, pixels: list[Path], tmp_path: Path
) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler here")
    import onnxruntime

    [library] = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    (tmp_path / "libonnxruntime.so.1").symlink_to(library)
    program = tmp_path / "nearest"
    warnings = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2"]
    link = [f"-L{tmp_path}", "-l:libonnxruntime.so.1", f"-Wl,-rpath,{tmp_path}"]
    source = EXAMPLES / "c" / "nearest.c"
    subprocess.run([compiler, *warnings, source, "-o", program, *link], check=True)
    with ImageIndex.open(indexed) as index:
        _, vectors = index.vectors()
    np.save(tmp_path / "vectors.npy", vectors)
    model = ENCODERS / "mobilenet-64-fp32.onnx"
    answers = run([program, model, tmp_path / "vectors.npy", *pixels])
    expected = Encoder(model).encode(np.stack([of(file) for file in pixels])).embeddings
    assert np.abs(np.array([a["embedding"] for a in answers]) - expected).max() < 1e-4
    for answer, query in zip(answers, expected, strict=True):
        best = np.argsort(-(vectors @ query), kind="stable")[:10]
        assert [a["row"] for a in answer["answers"]] == best.tolist()
