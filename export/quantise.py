"""Stage 3 of an export, where asked for: a smaller encoder, by 8-bit integers or half floats.

ONNX Runtime's static quantisation in the QDQ format (its documentation: "Quantize ONNX models"):
every convolution and dense layer gets 8-bit weights, a scale for each channel, and 8-bit inputs
whose range is calibrated on training photos. Its bias takes back what rounding the weights shifts
on average. Scaling and normalisation stay in float. Only an encoder that finds validation photos as
well as before is accepted.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..infer.arrays import Pixels
from ..infer.progress import ProgressBar, say
from ..train.backend import INSTALL
from ..train.errors import MissingExtraError
from .bias_correction import REDUCE_RANGE, give_biases, round_layers
from .errors import ExportError
from .judge import Attempt, Judge, as_line

QUANTISED_OPERATORS = ("Conv", "Gemm", "MatMul", "Clip", "Relu", "GlobalAveragePool")
WITH_WEIGHTS = ("Conv", "Gemm", "MatMul")
PERCENTILE = 99.99  # of the activations, inside the calibrated range
PHOTOS_FOR_RANKING = 32  # both to calibrate one layer alone and to see what it costs
BIAS_TOP = 2**30  # the largest integer for the bias of a layer in float
_CALIBRATION_BATCH = 1  # photo: Percentile takes batches of one length only

# Of a short embedding, the squares and the least length are too small for 16 bits.
HALF_FLOAT_EXCEPTIONS = ("Cast", "Pow", "ReduceSum", "Sqrt", "Max", "Div")


@dataclass(frozen=True)
class Quantised:
    """The encoder that was accepted, and all that were tried.

    Attributes:
        content: bytes of the file, without metadata.
        attempts: in the order they were made; the accepted one is ``chosen``.
        chosen: of ``attempts``.
        ranking: layer → what quantising it alone costs (1 − mean cosine), the worst first; empty
            where that was not needed.
        shifts: layer → the largest mean shift of a channel that its bias took back; of int8.
        calibration_photos: that the ranges and biases are measured on; of int8.
    """

    content: bytes
    attempts: tuple[Attempt, ...]
    chosen: Attempt
    ranking: tuple[tuple[str, float], ...] = ()
    shifts: tuple[tuple[str, float], ...] = ()
    calibration_photos: int = 0


def to_int8(model: Any, calibration: Pixels, judge: Judge) -> Quantised:
    """Quantise an encoder to 8-bit integers.

    Ranges are calibrated by MinMax and by Percentile and the better one is kept. Where that loses
    too much, the layers that hurt most are kept in float: one, then two, four, and so on.

    Args:
        model: an ``onnx.ModelProto``, from ``convert``.
        calibration: uint8, shape = (photos, size, size, 3), of the training part.
        judge: of the result.

    Raises:
        ExportError: too much is lost even with half of the layers in float.
    """
    with tempfile.TemporaryDirectory() as folder:
        quantiser = _Quantiser(model, calibration, Path(folder))
        attempts: list[Attempt] = []
        contents: list[bytes] = []

        def attempt(method: str, kept: tuple[str, ...]) -> Attempt:
            behind = f", {len(kept)} layers in float" if kept else ""
            content = quantiser.quantise(method, kept)
            attempts.append(judge.judge(f"int8, {method}{behind}", content, kept))
            contents.append(content)
            say(as_line(attempts[-1]))
            return attempts[-1]

        def calibrated(method: str) -> Attempt | None:
            try:
                return attempt(method, ())
            except ValueError as error:  # numpy's, where a layer's outputs make no histogram
                say(f"int8, {method}: cannot be calibrated ({error})")
                return None

        methods = ("MinMax", "Percentile")
        by_method = {name: one for name in methods if (one := calibrated(name))}
        if not by_method:
            raise ExportError("int8 cannot be calibrated on these photos: export float32")
        method = min(by_method, key=lambda name: by_method[name].loss)
        ranking: tuple[tuple[str, float], ...] = ()
        best = by_method[method]
        if not best.accepted:
            ranking = _rank(quantiser, judge)
            say("layers that hurt most: " + ", ".join(name for name, _ in ranking[:4]))
            count = 1
            while not best.accepted and count <= len(ranking) // 2:
                best = attempt(method, tuple(name for name, _ in ranking[:count]))
                count *= 2
        if not best.accepted:
            least = min(attempts, key=lambda one: one.loss)
            raise ExportError(
                f"int8 loses {least.loss:.4f} of mAP at best ({least.name}): "
                "export float32, or allow more loss"
            )
        content = contents[attempts.index(best)]
        return Quantised(
            content, tuple(attempts), best, ranking, quantiser.shifts(), len(calibration)
        )


def to_fp16(model: Any, judge: Judge) -> Quantised:
    """Store an encoder's weights as 16-bit floats; input and output stay as they are.

    Args:
        model: an ``onnx.ModelProto``, from ``convert``.
        judge: of the result.

    Raises:
        ExportError: too much is lost.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    half = OnnxModel(
        convert_float_to_float16(
            model, keep_io_types=True, op_block_list=list(HALF_FLOAT_EXCEPTIONS)
        )
    )
    half.topological_sort()  # ONNX requires it, and the conversion puts its casts at the end
    content = half.model.SerializeToString()
    attempt = judge.judge("float16", content)
    say(as_line(attempt))
    if not attempt.accepted:
        raise ExportError(
            f"float16 loses {attempt.loss:.4f} of mAP: export float32, or allow more loss"
        )
    return Quantised(content, (attempt,), attempt)


class _Quantiser:
    """One encoder and its calibration photos."""

    def __init__(self, model: Any, calibration: Pixels, folder: Path) -> None:
        try:
            import onnx
            from onnxruntime.quantization.shape_inference import quant_pre_process
        except ImportError as error:
            raise MissingExtraError(INSTALL) from error
        self._calibration = calibration
        self._prepared, self._target = folder / "prepared.onnx", folder / "int8.onnx"
        source = folder / "float.onnx"  # a model in memory would be changed
        source.write_bytes(model.SerializeToString())
        # The symbolic shapes are for transformers; they would need one more package.
        quant_pre_process(str(source), str(self._prepared), skip_symbolic_shape=True)
        self._float = onnx.load(self._prepared)
        give_biases(self._float)
        self._nodes = list(self._float.graph.node)
        self._rounded = round_layers(self._float, calibration)

    def layers(self) -> list[str]:
        """Name the layers with weights."""
        return [node.name for node in self._nodes if node.op_type in WITH_WEIGHTS]

    def shifts(self) -> tuple[tuple[str, float], ...]:
        """Tell what the biases take back: layer → the largest mean shift of a channel."""
        return tuple((name, layer.largest_shift) for name, layer in self._rounded.items())

    def quantise(
        self,
        method: str,
        kept_in_float: tuple[str, ...] = (),
        only: str | None = None,
        photos: int | None = None,
    ) -> bytes:
        """Quantise all layers but some, or one alone.

        Args:
            method: of calibration, a name of ``onnxruntime.quantization.CalibrationMethod``.
            kept_in_float: layers to leave out.
            only: the one layer to quantise.
            photos: how many to calibrate on; all by default.
        """
        import onnx
        from onnxruntime.quantization import (
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )

        quantised = {only} if only else set(self.layers()) - set(kept_in_float)
        onnx.save(self._with_rounded(quantised), self._prepared)
        # ONNX Runtime prints its progress, and advises on what was done already.
        logging.getLogger().setLevel(logging.ERROR)
        with contextlib.redirect_stdout(io.StringIO()):
            quantize_static(
                str(self._prepared),
                str(self._target),
                _reader(self._calibration[:photos]),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTISED_OPERATORS),
                per_channel=True,
                reduce_range=REDUCE_RANGE,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=self._with_activation(only) if only else None,
                nodes_to_exclude=[n for name in kept_in_float for n in self._with_activation(name)],
                calibrate_method=CalibrationMethod[method],
                extra_options={"CalibPercentile": PERCENTILE},
            )
        result = onnx.load(self._target)
        _protect(result, kept_in_float)
        content: bytes = result.SerializeToString()
        return content

    def _with_rounded(self, layers: set[str]) -> Any:
        """Copy the float encoder with the weights of some layers rounded, their biases corrected.

        The means were measured in the float encoder, so a layer's correction is the same whichever
        others are quantised.
        """
        import onnx

        model = onnx.ModelProto()
        model.CopyFrom(self._float)
        for node in model.graph.node:
            if node.name in layers and node.name in self._rounded:
                own = self._rounded[node.name]
                for place, values in ((1, own.weights), (2, own.bias)):
                    # Under a name of its own, since layers may share what they had.
                    node.input[place] = f"{node.name}/input{place}"
                    model.graph.initializer.append(
                        onnx.numpy_helper.from_array(values, node.input[place])
                    )
        _drop_unused(model)
        return model

    def _with_activation(self, layer: str) -> list[str]:
        """Name a layer and the activation behind it, which is quantised with it or not at all."""
        node = next(node for node in self._nodes if node.name == layer)
        return [layer] + [
            other.name
            for other in self._nodes
            if other.op_type in ("Clip", "Relu") and other.input[0] == node.output[0]
        ]


def _protect(model: Any, layers: tuple[str, ...]) -> None:
    """Make ONNX Runtime leave layers in float, in place.

    When it loads a float convolution between dequantised and quantised values, it quantises the
    weights to 8 bits after all, with one scale for all channels (its WeightBiasQuantization), which
    ruins depthwise ones. It does not where the bias is computed: so the bias becomes 32-bit
    integers times a scale, which is as exact as a float.
    """
    import onnx

    known = {one.name: one for one in model.graph.initializer}
    for position, node in reversed(list(enumerate(model.graph.node))):
        if node.name not in layers or len(node.input) < 3 or node.input[2] not in known:
            continue
        bias = onnx.numpy_helper.to_array(known[node.input[2]])
        scale = np.float32(max(float(np.abs(bias).max()), 1.0) / BIAS_TOP)
        names = [f"{node.name}/bias_{part}" for part in ("integers", "scale")]
        values = (np.rint(bias.astype(np.float64) / scale).astype(np.int32), scale)
        model.graph.initializer.extend(map(onnx.numpy_helper.from_array, values, names))
        node.input[2] = f"{node.name}/bias"
        model.graph.node.insert(
            position, onnx.helper.make_node("DequantizeLinear", names, [node.input[2]])
        )
    _drop_unused(model)


def _drop_unused(model: Any) -> None:
    """Remove the constants that no node takes any more, in place."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [one for one in model.graph.initializer if one.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _rank(quantiser: _Quantiser, judge: Judge) -> tuple[tuple[str, float], ...]:
    layers = quantiser.layers()
    with ProgressBar("each layer alone", len(layers)) as progress:
        costs = []
        for done, layer in enumerate(layers, start=1):
            content = quantiser.quantise("MinMax", only=layer, photos=PHOTOS_FOR_RANKING)
            costs.append((layer, 1 - judge.mean_cosine(content, PHOTOS_FOR_RANKING)))
            progress.update(done)
    return tuple(sorted(costs, key=lambda cost: -cost[1]))


def _reader(calibration: Pixels) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    from ..infer.encoder.onnx_encoder import INPUT_NAME

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            starts = range(0, len(calibration), _CALIBRATION_BATCH)
            self._batches = iter([calibration[at : at + _CALIBRATION_BATCH] for at in starts])

        def get_next(self) -> dict[str, Pixels] | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT_NAME: batch}

    return Reader()
