"""Stage 1 of an export: a Keras classifier becomes the graph of an encoder.

Cut at the embedding and the details, both normalised to unit length, converted by tf2onnx; then
ONNX Runtime folds batch norm and padding into the convolutions, with operators of plain ONNX only.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

from ..infer.encoder.onnx_encoder import (
    DETAILS_NAME,
    FEATURES_NAME,
    INPUT_NAME,
    OUTPUT_NAME,
    PROBABILITIES_NAME,
)
from ..infer.encoder.session import cpu_session, session_options
from ..train.backend import INSTALL, import_keras
from ..train.errors import MissingExtraError
from ..train.network import DETAILS_LAYER, EMBEDDING_LAYER, FEATURES_LAYER, OUTPUT_LAYER
from .errors import ExportError

OPSET = 17
IR_VERSION = 8  # the one that came with opset 17, so that runtimes of its time can read the file
BATCH_AXIS = "batch"
LEAST_PROBABILITY = 1e-12  # what is below counts as this, whose logarithm is finite
SHORTEST = 1e-12  # length below which an embedding counts as zero and stays so


def cut_classifier(classifier: Any, units: int, details: bool = True) -> Any:
    """Cut a classifier at its embedding and, where it has any, its details.

    Args:
        classifier: a Keras model.
        units: numbers that the embedding must have.
        details: whether details are kept.

    Returns:
        a Keras model: uint8 (batch, size, size, 3) → a dict of float32 (batch, dimension), by the
        names of the encoder's outputs, not normalised.

    Raises:
        ExportError: it has no embedding, or one of another width.
    """
    names = {layer.name for layer in classifier.layers}
    if EMBEDDING_LAYER not in names:
        raise ExportError(
            f"the model has no layer named {EMBEDDING_LAYER!r} to cut it at "
            "(train one with `imgsim-edge train`)"
        )
    kept = {OUTPUT_NAME: EMBEDDING_LAYER}
    if details and DETAILS_LAYER in names:
        kept[DETAILS_NAME] = DETAILS_LAYER
    outputs = {name: classifier.get_layer(layer).output for name, layer in kept.items()}
    shape = outputs[OUTPUT_NAME].shape
    if len(shape) != 2 or shape[1] != units:
        raise ExportError(
            f"the layer {EMBEDDING_LAYER!r} gives {' x '.join(map(str, shape[1:]))} values and not "
            f"{units}"
        )
    return import_keras().Model(classifier.input, outputs)


def with_classes(cut: Any, classifier: Any) -> Any:
    """Let a cut classifier tell classes, too.

    Returns:
        a Keras model that also gives the probabilities of its classes, uncalibrated, and the
        features that tell strangers: the backbone's last map, averaged.
    """
    outputs = {
        **cut.output,
        PROBABILITIES_NAME: classifier.get_layer(OUTPUT_LAYER).output,
        FEATURES_NAME: classifier.get_layer(FEATURES_LAYER).output,
    }
    return import_keras().Model(classifier.input, outputs)


def convert(cut: Any, temperature: float = 1.0) -> Any:
    """Convert a cut classifier.

    Args:
        cut: from :func:`cut_classifier` or :func:`with_classes`.
        temperature: by which the logits of probabilities are divided.

    Returns:
        an ``onnx.ModelProto`` of the encoder's contract, without metadata.

    Raises:
        MissingExtraError: tf2onnx or onnx is not installed.
    """
    import_keras()
    import tensorflow as tf

    try:
        import tf2onnx
    except ImportError as error:
        raise MissingExtraError(INSTALL) from error

    size = cut.input_shape[1]
    signature = [tf.TensorSpec((None, size, size, 3), tf.uint8, name=INPUT_NAME)]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def encode(images: Any) -> dict[str, Any]:
        given = {}
        for name, vectors in cut(images, training=False).items():
            if name == PROBABILITIES_NAME:
                if vectors.shape[1] == 1:  # one unit tells two classes apart
                    vectors = tf.concat([1.0 - vectors, vectors], axis=1)
                logits = tf.math.log(tf.maximum(vectors, LEAST_PROBABILITY)) / temperature
                given[name] = tf.nn.softmax(logits)
                continue
            if name == FEATURES_NAME:
                given[name] = vectors
                continue
            lengths = tf.sqrt(tf.reduce_sum(vectors * vectors, axis=1, keepdims=True))
            given[name] = vectors / tf.maximum(lengths, SHORTEST)
        return given

    # It logs tracebacks of optimisations that it then goes without.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    converted, _ = tf2onnx.convert.from_function(encode, input_signature=signature, opset=OPSET)
    return normalise(_fold(converted))


def normalise(model: Any) -> Any:
    """Bring an ``onnx.ModelProto`` to the contract's form, in place, and check it.

    Raises:
        onnx.checker.ValidationError: it is no valid model of plain ONNX.
    """
    import onnx

    # ONNX Runtime lists every operator set that it knows; only plain ONNX is in use.
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    model.ir_version = IR_VERSION
    del model.graph.value_info[:]
    model.graph.name = "encoder"
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH_AXIS
    onnx.checker.check_model(model, full_check=True)
    return model


def _fold(model: Any) -> Any:
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "folded.onnx"
        options = session_options(
            # "Basic" keeps to operators of plain ONNX; the levels above it use ONNX Runtime's own.
            graph_optimization_level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
            optimized_model_filepath=str(target),
        )
        cpu_session(model.SerializeToString(), options)
        return onnx.load(target)
