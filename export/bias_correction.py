"""What rounding a layer's weights to 8-bit integers shifts on average, taken back by its bias.

Rounding moves the mean of a layer's outputs, most of all where few weights feed a channel, as in
depthwise convolutions; every later layer adds to it. The mean shift is known from photos, and the
bias takes it back: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction" (2019), section 4.2 with means that are measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..infer.arrays import Pixels
from ..infer.encoder.onnx_encoder import INPUT_NAME
from ..infer.encoder.session import cpu_session

# Seven-bit weights: with eight, x86 processors without VNNI overflow in the middle of a sum, and
# one file would give other vectors on another machine.
REDUCE_RANGE = True
WEIGHT_TOP = 64 if REDUCE_RANGE else 127  # the largest integer that ONNX Runtime gives a weight
_BATCH = 8  # photos

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RoundedLayer:
    """A layer whose weights are multiples of its channels' scales.

    Attributes:
        weights: float32, of the shape they had; quantising them changes nothing any more.
        bias: float32, shape = (channels,), with the mean shift taken back.
        largest_shift: of any channel's mean, absolute, before it was taken back.
    """

    weights: Floats
    bias: Floats
    largest_shift: float


def give_biases(model: Any) -> None:
    """Give every convolution and dense layer with constant weights a bias, of zeros, in place.

    ONNX Runtime leaves a bias of zeros away where it folds a graph, and a layer without one could
    take nothing back.
    """
    from onnx import numpy_helper

    known = {one.name: one for one in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm") or len(node.input) != 2:
            continue
        if node.input[1] in known:
            weights = numpy_helper.to_array(known[node.input[1]])
            zeros = np.zeros(weights.shape[_channel_axis(node)], weights.dtype)
            node.input.append(f"{node.name}/no_bias")
            model.graph.initializer.append(numpy_helper.from_array(zeros, node.input[2]))


def round_layers(model: Any, calibration: Pixels) -> dict[str, RoundedLayer]:
    """Round the weights of every convolution and dense layer, and correct the biases.

    Args:
        model: an ``onnx.ModelProto`` in float32, with names for its nodes; it stays as it is.
        calibration: uint8, shape = (photos, size, size, 3).

    Returns:
        layer → its new weights and bias. Layers without a bias (see :func:`give_biases`) or with
        computed weights are left out.
    """
    from onnx import numpy_helper

    known = {one.name: one for one in model.graph.initializer}
    layers = [
        node
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm")
        and len(node.input) == 3
        and node.input[1] in known
        and node.input[2] in known
    ]
    exact = {node.name: numpy_helper.to_array(known[node.input[1]]) for node in layers}
    rounded = {node.name: _round(exact[node.name], _channel_axis(node)) for node in layers}
    errors = {name: rounded[name] - exact[name] for name in exact}
    shifts = _mean_outputs(model, layers, errors, calibration)
    return {
        node.name: RoundedLayer(
            rounded[node.name],
            numpy_helper.to_array(known[node.input[2]]) - shifts[node.name],
            float(np.abs(shifts[node.name]).max()),
        )
        for node in layers
    }


def _channel_axis(node: Any) -> int:
    """Tell which axis of a layer's weights counts its output channels."""
    transposed = any(one.name == "transB" and one.i for one in node.attribute)
    return 0 if node.op_type == "Conv" or transposed else 1


def _round(weights: Floats, axis: int) -> Floats:
    """Round as ONNX Runtime does for symmetric weights, with a scale for each channel."""
    others = tuple(one for one in range(weights.ndim) if one != axis)
    scale = np.abs(weights).max(axis=others, keepdims=True) / WEIGHT_TOP
    scale[scale == 0] = 1
    return np.asarray(np.rint(weights / scale) * scale, dtype=np.float32)


def _mean_outputs(
    model: Any, layers: list[Any], weights: dict[str, Floats], calibration: Pixels
) -> dict[str, Floats]:
    """Average what layers with other weights and no bias make of their inputs, by channel."""
    import onnx

    beside = onnx.ModelProto()
    beside.CopyFrom(model)
    graph, means = beside.graph, {node.name: f"{node.name}/mean" for node in layers}
    for node in layers:
        other = graph.node.add()
        other.CopyFrom(node)
        other.name = f"{node.name}/beside"
        own, output = f"{other.name}/weights", f"{other.name}/output"
        other.input[:], other.output[:] = [node.input[0], own], [output]
        graph.initializer.append(onnx.numpy_helper.from_array(weights[node.name], own))
        axes = [0, 2, 3] if node.op_type == "Conv" else [0]
        mean = means[node.name]
        graph.node.append(
            onnx.helper.make_node("ReduceMean", [output], [mean], mean, axes=axes, keepdims=0)
        )
        graph.output.add(name=mean).type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    session = cpu_session(beside.SerializeToString())
    sums = [np.zeros(1)] * len(layers)
    for at in range(0, len(calibration), _BATCH):
        batch = calibration[at : at + _BATCH]
        found = session.run(list(means.values()), {INPUT_NAME: batch})
        sums = [total + own * len(batch) for total, own in zip(sums, found, strict=True)]
    return {
        name: np.asarray(total / len(calibration), dtype=np.float32)
        for name, total in zip(means, sums, strict=True)
    }
