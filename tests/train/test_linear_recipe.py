"""The linear recipe: dense layers in closed form on features of a network that stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run, tiny_settings

pytest.importorskip("tensorflow")

import keras
from imgsim_edge.infer.encoder.onnx_encoder import Encoder
from imgsim_edge.train.classifier.checkpoint import load_model
from imgsim_edge.train.errors import DataError, WeightsError
from imgsim_edge.train.linear.maps import details_map, discriminant_layer, embedding_layers
from imgsim_edge.train.network import build_backbone, part_of, pooled_features
from imgsim_edge.train.session import Outcome, start_training


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Any:
    keras.utils.set_random_seed(1)  # four validation photos are told apart by luck otherwise
    file = tmp_path_factory.mktemp("weights") / "tiny.weights.h5"
    part_of(build_backbone("mobilenet", 0.25, 64, "none"), "conv_pw_13_relu").save_weights(file)
    return tiny_settings(recipe="linear", weights=str(file), embedding_units=32)


@pytest.fixture(scope="module")
def fitted(labelled: Path, settings: Any, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One run, only to be read."""
    return start_training([labelled], tmp_path_factory.mktemp("linear") / "run", settings)


def photos_of_classes() -> tuple[np.ndarray, np.ndarray]:
    """Features in which 40 classes differ in some numbers and photos of one class in others."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(40), 10)
    between, inside = random.normal(size=(40, 100))[labels], random.normal(size=(400, 100))
    between[:, 50:] = 0
    inside[:, :50] *= 0.3
    return (between + 2 * inside + 5).astype(np.float32), labels


def cosines(vectors: np.ndarray) -> np.ndarray:
    rows = vectors - vectors.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows @ rows.T)


def contrast(vectors: np.ndarray, labels: np.ndarray) -> float:
    same = labels[:, None] == labels
    found = cosines(vectors)
    return float(found[same].mean() - found[~same].mean())


def test_details_bring_photos_of_one_class_together() -> None:
    features, labels = photos_of_classes()
    details = details_map(features, labels, 60)(features)
    assert details.shape == (400, 60)
    assert np.abs(details.mean(axis=0)).max() < 1e-3
    assert contrast(details, labels) > 1.2 * contrast(features, labels)


def test_there_are_no_more_details_than_photos_can_tell() -> None:
    features, labels = photos_of_classes()
    assert details_map(features[::20], labels[::20], 60)(features).shape == (400, 19)


def test_layers_with_relu_compute_the_linear_map() -> None:
    features, labels = photos_of_classes()
    hidden, embedding = embedding_layers(features, labels, hidden=200, units=64, seed=0)
    middle = np.maximum(hidden(features), 0)
    vectors = np.maximum(embedding(middle), 0)
    assert vectors.shape == (400, 64)
    assert (vectors > 0).mean() > 0.9
    linear = cosines(embedding(middle))
    assert np.corrcoef(cosines(vectors).ravel(), linear.ravel())[0, 1] > 0.97
    assert contrast(vectors, labels) > 1.1 * contrast(features, labels)


def test_classes_are_told_apart_by_their_means_and_spread() -> None:
    features, labels = photos_of_classes()
    layer = discriminant_layer(features, labels, 41)  # the last class has no photos
    predicted = layer(features).argmax(axis=1)
    assert (predicted == labels).mean() > 0.9


def test_a_run_comes_out_whole(fitted: Outcome) -> None:
    folder = fitted.run.folder
    assert {path.name for path in folder.iterdir()} == {
        *("classes.json", "classifier.keras", "config.json"),
        *("metrics.json", "report.html", "split.csv"),
    }
    classifier = load_model(folder / "classifier.keras")
    shapes = [classifier.get_layer(name).output.shape for name in ("classes", "details")]
    assert shapes == [(None, 4), (None, 59)]
    assert fitted.metrics is not None
    assert [own.what for own in fitted.metrics.retrieval] == [
        "embedding",
        "details",
        "raw features of the backbone",
    ]
    # The pooled features are the mean and the generalised mean of one feature map.
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    cells = np.asarray(part_of(classifier, "conv_pw_13_relu").predict_on_batch(pixels))
    pooled = np.asarray(pooled_features(classifier).predict_on_batch(pixels))
    expected = [cells.mean(axis=(1, 2)), (cells**3).mean(axis=(1, 2)) ** (1 / 3)]
    np.testing.assert_allclose(pooled, np.hstack(expected), rtol=1e-3, atol=1e-6)


def test_export_takes_the_run(fitted: Outcome, tmp_path: Path, run: Run) -> None:
    done = run("export", fitted.run.folder, "--out", tmp_path / "e.onnx", "--json")
    assert done.status == 0, done.stderr
    assert set(json.loads(done.stdout)["details"]) == {"embeddings", "details"}
    assert Encoder(tmp_path / "e.onnx").dimension == 32


def test_two_classes_end_in_one_sigmoid(labelled: Path, settings: Any, tmp_path: Path) -> None:
    table = tmp_path / "two.csv"
    files = [p for name in ("coffee", "flower") for p in sorted((labelled / name).iterdir())]
    table.write_text("\n".join(["path,label", *(f"{p},{p.parent.name}" for p in files)]))
    own = tiny_settings(recipe="linear", weights=settings.weights, embedding_units=16)
    outcome = start_training([table], tmp_path / "run", own)
    classifier = load_model(tmp_path / "run" / "classifier.keras")
    assert classifier.get_layer("classes").output.shape == (None, 1)
    assert outcome.metrics is not None
    assert outcome.metrics.accuracy.value > 0.5


def test_what_cannot_be_fitted_is_refused(labelled: Path, settings: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="start from ImageNet's or from a file"):
        start_training(
            [labelled], tmp_path / "run", tiny_settings(recipe="linear", embedding_units=32)
        )
    with pytest.raises(DataError, match="64 training photos are needed at least, there are 60"):
        start_training(
            [labelled], tmp_path / "run", tiny_settings(recipe="linear", weights=settings.weights)
        )
    assert not (tmp_path / "run").exists()


def test_options_of_the_other_recipe_are_refused(run: Run) -> None:
    given = run(
        "train", "x", "--out", "r", "--recipe", "linear", "--weights", "imagenet", "--batch", "8"
    )
    assert given.status == 1
    assert "--batch and --recipe linear exclude each other" in given.stderr
