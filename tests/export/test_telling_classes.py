"""An exported encoder that also says which class a photo is of, or that it is none of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run, fails
from imgsim_edge.export.classes import calibration_error, fit_regions, likeliest_temperature
from imgsim_edge.export.session import Options, Outcome, export_encoder
from imgsim_edge.infer import PhotoClassifier, load_photo
from imgsim_edge.infer.arrays import Vectors
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
    given, _ = classifier.encoder.probabilities_and_features(pixels)
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


def test_regions_are_the_same_after_writing_and_reading() -> None:
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.standard_normal((8, 8)))[0].astype(np.float32)
    regions = ClassRegions(random.random(8).astype(np.float32), axes[:2], axes[:3], 0.8)
    read = ClassRegions.from_text(regions.to_text(), 3, 8)
    features = random.random((5, 8)).astype(np.float32)
    assert np.allclose(read.nearness(features), regions.nearness(features), atol=5e-3)
    # Wholly inside, and the mean of a class; inside, and square to the classes; neither.
    near = regions.nearness(regions.centre + axes[[0, 7]])
    assert near == pytest.approx([1, 0], abs=1e-5)
    with pytest.raises(ValueError, match="class regions"):
        ClassRegions.from_text("null", 3, 8)
    with pytest.raises(ValueError, match="reshape"):
        ClassRegions.from_text(regions.to_text(), 4, 8)


def clusters(random: np.random.Generator, centres: Any, each: int) -> tuple[Vectors, Any]:
    """Draw photos around centres, which differ from their own centre in a few directions only."""
    few = np.random.default_rng(1).standard_normal((6, centres.shape[1]))
    own = np.repeat(np.arange(len(centres)), each)
    photos = centres[own] + random.standard_normal((len(own), 6)) @ few
    return (photos + 0.3 * random.standard_normal(photos.shape)).astype(np.float32), own


def test_of_few_known_photos_few_count_as_strangers_and_real_strangers_do() -> None:
    random = np.random.default_rng(0)
    centres = 3 * random.standard_normal((5, 64))
    regions = fit_regions(*clusters(random, centres[:3], 12), *clusters(random, centres[:3], 3), 3)
    known = regions.nearness(clusters(random, centres[:3], 100)[0])
    strangers = regions.nearness(clusters(random, centres[3:], 100)[0])
    assert np.mean(known < regions.least) < 0.2
    assert np.mean(strangers < regions.least) > 0.9


def test_training_photos_that_were_learnt_by_heart_do_not_turn_others_away() -> None:
    random = np.random.default_rng(0)
    centres = 3 * random.standard_normal((3, 64))
    by_heart, own = clusters(random, centres, 40)
    by_heart = np.asarray(centres[own] + 0.1 * (by_heart - centres[own]), np.float32)
    valid, valid_own = clusters(random, centres, 10)
    unseen = clusters(random, centres, 100)[0]
    regions = fit_regions(by_heart, own, valid, valid_own, 3)
    assert np.mean(regions.nearness(unseen) < regions.least) < 0.2


def test_few_photos_leave_the_temperature_near_what_is_usual_and_many_decide() -> None:
    random = np.random.default_rng(0)

    def answers(photos: int) -> tuple[Any, Any]:
        """Four times too sure of itself."""
        logits = random.standard_normal((photos, 5))
        odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        truth = [random.choice(5, p=row) for row in odds]
        return 4 * logits, np.array(truth)

    few = [likeliest_temperature(*answers(3), 2.0) for _ in range(20)]
    many = [likeliest_temperature(*answers(1000), 2.0) for _ in range(3)]
    assert max(few) < 8 and min(few) > 0.8
    assert many == pytest.approx([4] * 3, rel=0.2)


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
