"""What is trained: layers, heads, weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from imgsim_edge.train.backend import import_keras
from imgsim_edge.train.errors import WeightsError
from imgsim_edge.train.network import (
    BACKBONES,
    build_backbone,
    build_head,
    join,
    loss_and_accuracy,
    part_of,
    unfreeze,
)


def tiny_classifier(classes: int) -> object:
    backbone = build_backbone("mobilenet", 0.25, 32, "none")
    return join(backbone, build_head(backbone.output_shape[1], classes))


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_takes_raw_pixels_and_gives_pooled_features(name: str) -> None:
    backbone = build_backbone(name, 0.5, 32, "none")
    assert backbone.input_shape == (None, 32, 32, 3)
    assert backbone.input.dtype == "uint8"
    assert len(backbone.output_shape) == 2


def test_two_classes_have_one_sigmoid_and_more_have_a_softmax() -> None:
    two, five = build_head(8, 2), build_head(8, 5)
    assert (two.output_shape[1], two.layers[-1].activation.__name__) == (1, "sigmoid")
    assert (five.output_shape[1], five.layers[-1].activation.__name__) == (5, "softmax")
    assert [layer.name for layer in five.layers] == ["hidden", "embedding", "classes"]
    assert [layer.units for layer in five.layers] == [512, 64, 5]


def test_categorical_cross_entropy_over_one_output_is_the_same_for_every_output() -> None:
    """Why no head combines the two: over one output there is nothing to learn."""
    keras = import_keras()
    labels = np.asarray([[0.0], [1.0]] * 3, np.float32)
    outputs = np.asarray([[0.1], [0.1], [0.5], [0.5], [0.9], [0.9]], np.float32)
    with pytest.warns(SyntaxWarning, match="num_classes > 1"):  # Keras knows it, too
        losses = keras.losses.CategoricalCrossentropy(reduction="none")(labels, outputs)
    assert np.ptp(losses) < 1e-6
    assert np.ptp(keras.losses.BinaryCrossentropy(reduction="none")(labels, outputs)) > 1
    assert isinstance(loss_and_accuracy(2)[0], keras.losses.BinaryCrossentropy)


def test_fine_tuning_changes_the_last_convolutions_and_no_batch_norm() -> None:
    keras = import_keras()
    classifier = tiny_classifier(3)
    unfreeze(classifier, depth=4)
    trained = [layer.name for layer in classifier.layers if layer.trainable_variables]  # type: ignore[attr-defined]
    assert trained == [
        "conv_dw_12",
        "conv_pw_12",
        "conv_dw_13",
        "conv_pw_13",
        "hidden",
        "embedding",
        "classes",
    ]
    norms = [
        layer
        for layer in classifier.layers  # type: ignore[attr-defined]
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert norms
    assert not any(layer.trainable for layer in norms)


def test_weights_from_a_file_are_those_of_the_backbone(tmp_path: Path) -> None:
    first = build_backbone("mobilenet", 0.25, 32, "none")
    inner = part_of(first, "conv_pw_13_relu")
    inner.save_weights(tmp_path / "mobilenet.weights.h5")
    again = build_backbone("mobilenet", 0.25, 32, str(tmp_path / "mobilenet.weights.h5"))
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(one, other)
    with pytest.raises(WeightsError, match="does not hold the weights of mobilenet-v2"):
        build_backbone("mobilenet-v2", 0.5, 32, str(tmp_path / "mobilenet.weights.h5"))
    with pytest.raises(WeightsError, match=r"does not hold the weights of mobilenet of width 0\.5"):
        build_backbone("mobilenet", 0.5, 32, str(tmp_path / "mobilenet.weights.h5"))


def test_weights_that_cannot_be_had_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        build_backbone("mobilenet", 1.0, 224, str(tmp_path / "gone.h5"))
    with pytest.raises(WeightsError, match="no such file"):
        build_backbone("mobilenet", 0.25, 32, "n" * 300)
    with pytest.raises(WeightsError, match=r"widths 0\.25, 0\.5, 0\.75, 1"):
        build_backbone("mobilenet", 0.3, 224, "imagenet")
    with pytest.raises(WeightsError, match="image sizes of 128, 160, 192, 224"):
        build_backbone("mobilenet", 1.0, 100, "imagenet")
