"""Stage 3 of an export, where asked for: a smaller encoder, by 8-bit integers or half floats.

ONNX Runtime's static quantisation in the QDQ format (its documentation: "Quantize ONNX models"):
every convolution and dense layer gets 8-bit weights, a scale for each channel, and 8-bit inputs
whose range is calibrated on training photos. Scaling and normalisation stay in float. Only an
encoder that finds validation photos as well as before is accepted.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..infer.photo import Pixels
from ..train.backend import INSTALL
from ..train.errors import MissingExtraError
from ..train.progress import Progress, say
from .errors import ExportError
from .judge import Attempt, Judge, as_line

QUANTISED_OPERATORS = ("Conv", "Gemm", "MatMul", "Clip", "Relu", "GlobalAveragePool")
WITH_WEIGHTS = ("Conv", "Gemm", "MatMul")
PERCENTILE = 99.99  # of the activations, inside the calibrated range
# Seven-bit weights: with eight, x86 processors without VNNI overflow in the middle of a sum, and
# one file would give other vectors on another machine.
REDUCE_RANGE = True
PHOTOS_FOR_RANKING = 32  # both to calibrate one layer alone and to see what it costs
_CALIBRATION_BATCH = 1  # photo: Percentile takes batches of one length only

# Of a short embedding, the squares and the least length are too small for 16 bits.
HALF_FLOAT_EXCEPTIONS = ("Cast", "ReduceSum", "Sqrt", "Max", "Div")


@dataclass(frozen=True)
class Quantised:
    """The encoder that was accepted, and all that were tried.

    Attributes:
        content: bytes of the file, without metadata.
        attempts: in the order they were made; the accepted one is ``chosen``.
        chosen: of ``attempts``.
        ranking: layer → what quantising it alone costs (1 − mean cosine), the worst first; empty
            where that was not needed.
    """

    content: bytes
    attempts: tuple[Attempt, ...]
    chosen: Attempt
    ranking: tuple[tuple[str, float], ...] = ()


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

        by_method = {method: attempt(method, ()) for method in ("MinMax", "Percentile")}
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
                "export without --int8, or allow more with --max-loss"
            )
        return Quantised(contents[attempts.index(best)], tuple(attempts), best, ranking)


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
            f"float16 loses {attempt.loss:.4f} of mAP: export without --fp16, "
            "or allow more with --max-loss"
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
        self._nodes = list(onnx.load(self._prepared).graph.node)

    def layers(self) -> list[str]:
        """Name the layers with weights."""
        return [node.name for node in self._nodes if node.op_type in WITH_WEIGHTS]

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
        from onnxruntime.quantization import (
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )

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
        return self._target.read_bytes()

    def _with_activation(self, layer: str) -> list[str]:
        """Name a layer and the activation behind it, which is quantised with it or not at all."""
        node = next(node for node in self._nodes if node.name == layer)
        return [layer] + [
            other.name
            for other in self._nodes
            if other.op_type in ("Clip", "Relu") and other.input[0] == node.output[0]
        ]


def _rank(quantiser: _Quantiser, judge: Judge) -> tuple[tuple[str, float], ...]:
    layers = quantiser.layers()
    progress = Progress("each layer alone", len(layers))
    costs = []
    for done, layer in enumerate(layers, start=1):
        content = quantiser.quantise("MinMax", only=layer, photos=PHOTOS_FOR_RANKING)
        costs.append((layer, 1 - judge.mean_cosine(content, PHOTOS_FOR_RANKING)))
        progress.update(done)
    progress.close()
    return tuple(sorted(costs, key=lambda cost: -cost[1]))


def _reader(calibration: Pixels) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    from ..infer.encoder import INPUT_NAME

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            starts = range(0, len(calibration), _CALIBRATION_BATCH)
            self._batches = iter([calibration[at : at + _CALIBRATION_BATCH] for at in starts])

        def get_next(self) -> dict[str, Pixels] | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT_NAME: batch}

    return Reader()
