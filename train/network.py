"""Stage 4 of training: the network.

Backbone's convolutions → global average → Dense 512 ReLU → Dense 64 ReLU, named ``embedding`` →
head. Two classes have one sigmoid unit, any other number a softmax. Scaling is a layer of the
network, so that it takes pixels from 0 to 255 as :func:`imgsim_edge.infer.load_photo` gives them.

Beside the head there can be a second output, ``details``: a linear layer on the last feature map,
pooled by its mean and by a generalised mean side by side (Radenović et al., "Fine-tuning CNN Image
Retrieval with No Human Annotation", 2018), by which the best candidates are put in order.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .backend import import_keras
from .errors import WeightsError

EMBEDDING_LAYER, HIDDEN_LAYER, DETAILS_LAYER = "embedding", "hidden", "details"
EMBEDDING_UNITS = 64  # by default
HIDDEN_UNITS = 512
DETAILS_UNITS = 256
MEAN_POWER = 3  # of the generalised mean
FEATURES_LAYER = "features"  # the backbone's globally averaged output
OUTPUT_LAYER = "classes"
SCALE, OFFSET = 1 / 127.5, -1.0  # from 0 … 255 to -1 … 1, which all four backbones were trained on

PREDICT_BATCH = 32  # photos


@dataclass(frozen=True)
class Backbone:
    """A convolutional network of Keras Applications.

    Attributes:
        factory: its name in ``keras.applications``.
        options: further arguments.
        widths: those for which ImageNet weights exist.
        sizes: sides in pixels for which they exist; empty where any will do.
    """

    factory: str
    options: dict[str, Any]
    widths: tuple[float, ...]
    sizes: tuple[int, ...] = ()


MOBILENET = "mobilenet"
BACKBONES = {
    MOBILENET: Backbone("MobileNet", {}, (0.25, 0.5, 0.75, 1.0), (128, 160, 192, 224)),
    "mobilenet-v2": Backbone(
        "MobileNetV2", {}, (0.35, 0.5, 0.75, 1.0, 1.3, 1.4), (96, 128, 160, 192, 224)
    ),
    "mobilenet-v3-small": Backbone(
        "MobileNetV3Small", {"include_preprocessing": False}, (0.75, 1.0), (224,)
    ),
    "mobilenet-v3-large": Backbone(
        "MobileNetV3Large", {"include_preprocessing": False}, (0.75, 1.0), (224,)
    ),
}
SMALLEST_IMAGE = 32  # pixels: all backbones halve the picture five times
IMAGENET, NO_WEIGHTS = "imagenet", "none"


def output_units(classes: int) -> int:
    """Give the number of units of the head: one for two classes, else one for each class."""
    return 1 if classes == 2 else classes


def build_backbone(name: str, width: float, image_size: int, weights: str) -> Any:
    """Build pixels → features.

    Args:
        name: a key of :data:`BACKBONES`.
        width: multiplier of all channel counts.
        image_size: side of the photos in pixels.
        weights: ``"imagenet"`` (the only one that opens the network, where Keras has not got the
            file yet), ``"none"`` for random ones, or a file of Keras weights for this backbone.

    Returns:
        a Keras model: (batch, image_size, image_size, 3) of 0 … 255 → (batch, channels).

    Raises:
        WeightsError: the weights are missing or are those of another architecture.
    """
    keras = import_keras()
    kind = BACKBONES[name]
    images = keras.Input((image_size, image_size, 3), name="images", dtype="uint8")
    scaled = keras.layers.Rescaling(SCALE, OFFSET, name="scaling")(images)
    if weights == IMAGENET:
        _check_imagenet(name, kind, width, image_size)
    try:
        with redirect_stdout(sys.stderr):  # Keras tells there what it downloads
            convolutions = getattr(keras.applications, kind.factory)(
                input_tensor=scaled,
                input_shape=(image_size, image_size, 3),  # by which Keras chooses the ImageNet file
                alpha=width,
                include_top=False,
                weights=IMAGENET if weights == IMAGENET else None,
                **kind.options,
            )
    except Exception as error:  # Keras raises a bare Exception where a download fails
        if weights != IMAGENET:
            raise
        raise WeightsError(
            f"cannot get the ImageNet weights ({_first_line(error)}); "
            "give a file of weights, or start from random ones (none)"
        ) from error
    if weights not in (IMAGENET, NO_WEIGHTS):
        _load_weights(convolutions, Path(weights), f"{name} of width {width:g}")
    pooled = keras.layers.GlobalAveragePooling2D(name=FEATURES_LAYER)(convolutions.output)
    return keras.Model(images, pooled, name="backbone")


def build_head(features: int, classes: int, units: int = EMBEDDING_UNITS) -> Any:
    """Build features → class probabilities, with the embedding of ``units`` numbers inside.

    Returns:
        a Keras model: (batch, features) → (batch, 1), the probability of the second class, for two
        classes, else (batch, classes), probabilities that sum to 1.
    """
    keras = import_keras()
    outputs = output_units(classes)
    activation = "sigmoid" if outputs == 1 else "softmax"
    return keras.Sequential(
        [
            keras.Input((features,), name=FEATURES_LAYER),
            keras.layers.Dense(HIDDEN_UNITS, activation="relu", name=HIDDEN_LAYER),
            keras.layers.Dense(units, activation="relu", name=EMBEDDING_LAYER),
            keras.layers.Dense(outputs, activation=activation, name=OUTPUT_LAYER),
        ],
        name="head",
    )


def join(backbone: Any, head: Any) -> Any:
    """Put a head on a backbone; the two share their weights with the result.

    Returns:
        a Keras model of one flat list of layers: pixels → class probabilities.
    """
    keras = import_keras()
    tensor = backbone.output
    for layer in head.layers:
        tensor = layer(tensor)
    return keras.Model(backbone.input, tensor, name="classifier")


def pooled_features(model: Any) -> Any:
    """Cut a backbone or a classifier at its last feature map, pooled in both ways.

    Returns:
        a Keras model: pixels → (batch, 2 × channels), the means, then the generalised means.
    """
    keras = import_keras()
    features = model.get_layer(FEATURES_LAYER)
    cells = keras.layers.ReLU(name="cells")(features.input)  # the generalised mean needs no sign
    powers = keras.layers.Multiply(name="powers")([cells] * MEAN_POWER)
    mean = keras.layers.GlobalAveragePooling2D(name="mean_power")(powers)
    generalised = keras.ops.power(mean, 1 / MEAN_POWER)
    pooled = keras.layers.Concatenate(name="pooled")([features.output, generalised])
    return keras.Model(model.input, pooled, name="pooled")


def with_details(classifier: Any, weights: Sequence[Any]) -> Any:
    """Give a classifier its second output.

    Args:
        classifier: a Keras model: pixels → class probabilities.
        weights: kernel and bias of the layer, shapes (2 × channels, units) and (units,).

    Returns:
        a Keras model: pixels → a dict of ``classes`` (the probabilities) and ``details``, float32,
        shape = (batch, units), of any length.
    """
    keras = import_keras()
    layer = keras.layers.Dense(len(weights[1]), name=DETAILS_LAYER)
    details = layer(pooled_features(classifier).output)
    layer.set_weights(weights)
    outputs = {OUTPUT_LAYER: classifier.output, DETAILS_LAYER: details}
    return keras.Model(classifier.input, outputs, name="classifier")


def unfreeze(classifier: Any, depth: int) -> None:
    """Make the head and the last ``depth`` convolutions of the backbone trainable.

    Batch norm stays in inference mode everywhere: a laptop's batches are too small for its
    statistics.
    """
    keras = import_keras()
    convolutions = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    left = depth
    for layer in reversed(classifier.layers):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
        else:
            layer.trainable = isinstance(layer, keras.layers.Dense) or left > 0
        if isinstance(layer, convolutions):
            left -= 1


def loss_and_accuracy(classes: int) -> tuple[Any, Any]:
    """Give the loss and the metric that suit the head; labels are class indices in both cases."""
    keras = import_keras()
    if output_units(classes) == 1:
        return keras.losses.BinaryCrossentropy(), keras.metrics.BinaryAccuracy(name="accuracy")
    return (
        keras.losses.SparseCategoricalCrossentropy(),
        keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
    )


def part_of(classifier: Any, *layers: str) -> Any:
    """Cut a classifier: the same input, the outputs of the named layers, side by side if several.

    Raises:
        ValueError: it has no such layer.
    """
    keras = import_keras()
    outputs = [classifier.get_layer(name).output for name in layers]
    output = outputs[0] if len(outputs) == 1 else keras.layers.Concatenate()(outputs)
    return keras.Model(classifier.input, output)


def _check_imagenet(name: str, kind: Backbone, width: float, image_size: int) -> None:
    if width not in kind.widths:
        known = ", ".join(f"{w:g}" for w in kind.widths)
        raise WeightsError(f"{name} has ImageNet weights for the widths {known}, not {width:g}")
    if kind.sizes and image_size not in kind.sizes:
        known = ", ".join(map(str, kind.sizes))
        raise WeightsError(
            f"{name} has ImageNet weights for image sizes of {known}, not {image_size}"
        )


def _load_weights(model: Any, path: Path, wanted: str) -> None:
    if not os.path.isfile(path):  # noqa: PTH113 - no error for a name that none can have
        raise WeightsError(f"no such file of weights: {path}")
    try:
        model.load_weights(path)
    except Exception as error:  # h5py, Keras and zipfile have no common base
        raise WeightsError(
            f"{path} does not hold the weights of {wanted}: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
