"""An exported encoder that also says which class a photo is of, or that it is none of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, fails
from imgsim_edge.export.classes import calibration_error
from imgsim_edge.export.session import Options, Outcome, export_encoder
from imgsim_edge.infer import PhotoClassifier, load_photo
from imgsim_edge.infer.encoder.classes import ClassRegions
from imgsim_edge.train.classifier.checkpoint import load_model

CLASSES = ("astronaut", "coffee", "flower", "hubble_deep_field")


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """An encoder with its classes; only to be read."""
    out = tmp_path_factory.mktemp("classes") / "mine.onnx"
    return export_encoder(trained, out, options=Options(classify=True))


def test_probabilities_are_those_of_keras_at_the_fitted_temperature(
    exported: Outcome, trained: Path, labelled: Path
) -> None:
    classifier = PhotoClassifier(exported.path)
    assert classifier.classes == CLASSES
    paths = sorted(labelled.rglob("*.jpg"))[::7]
    pixels = np.stack([load_photo(path, 64).pixels for path in paths])
    _, given = classifier.encoder.embeddings_and_probabilities(pixels)
    keras = load_model(trained / "classifier.keras")
    expected = keras.get_layer("classes").output
    plain = type(keras)(keras.input, expected).predict_on_batch(pixels).astype(np.float64)
    temperature = float(classifier.encoder.metadata["temperature"])
    tempered = plain ** (1 / temperature)
    tempered /= tempered.sum(axis=1, keepdims=True)
    assert np.allclose(given, tempered, atol=1e-3)
    for one, row in zip(classifier.classify(pixels), given, strict=True):
        assert one.classes[0].probability == pytest.approx(row.max())
        chances = [chance.probability for chance in one.classes]
        assert chances == sorted(chances, reverse=True)
        assert sum(chances) == pytest.approx(1, abs=1e-4)


def test_the_evidence_tells_accuracy_and_calibration(exported: Outcome) -> None:
    told = json.loads(exported.evidence.read_text())["classes"]
    assert told["photos"] > 0
    assert 0 <= told["calibration_error"] <= 1
    assert 0 <= told["strangers"] <= 1
    assert 0 <= told["accuracy"] <= 1


def test_what_is_far_from_every_class_is_a_stranger_also_after_writing_and_reading() -> None:
    random = np.random.default_rng(0)
    centre = random.random(8).astype(np.float32)
    regions = ClassRegions(centre, np.eye(3, 8, dtype=np.float32), 0.8)
    read = ClassRegions.from_text(regions.to_text(), 3, 8)
    near = read.nearness(centre + np.eye(8, dtype=np.float32))
    assert np.allclose(near[:3], 1) and (near[3:] < read.least_cosine).all()
    assert np.array_equal(near, regions.nearness(centre + np.eye(8, dtype=np.float32)))
    with pytest.raises(ValueError, match="class regions"):
        ClassRegions.from_text("null", 3, 8)
    with pytest.raises(ValueError, match="reshape"):
        ClassRegions.from_text(regions.to_text(), 4, 8)


def test_a_perfectly_honest_classifier_has_no_calibration_error() -> None:
    sure = np.eye(2, dtype=np.float32)[[0, 1, 1, 0]]
    assert calibration_error(sure, np.array([0, 1, 1, 0])) == 0
    assert calibration_error(sure, np.array([1, 0, 0, 1])) == 1
    even = np.full((4, 2), 0.5, np.float32)
    assert calibration_error(even, np.array([0, 1, 0, 1])) == 0


def test_the_command_names_the_class_and_passes_over_what_is_no_photo(
    exported: Outcome, labelled: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    photo = labelled / "flower" / "03.jpg"
    done = run("classify", photo, tmp_path / "text.jpg", "--model", exported.path, "--json")
    assert done.status == 0, done.stderr
    (told,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert told["path"] == str(photo)
    assert told["classes"][0]["name"] in CLASSES
    assert "cannot read" in done.stderr and "text.jpg" in done.stderr
    assert len(run("classify", labelled, "--model", exported.path).stdout.splitlines()) == 80


def test_errors_are_one_line(run: Run, labelled: Path, trained: Path) -> None:
    photo = labelled / "flower" / "03.jpg"
    fails(run("classify", photo, "--model", trained), "is a folder", "export")
    fails(run("classify", photo, "--model", "default"), "tells no classes apart")
