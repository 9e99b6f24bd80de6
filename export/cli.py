"""`imgsim-edge export`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..infer.errors import UsageError
from ..train.backend import require_extra


def export_command(
    run: Annotated[
        Path, typer.Argument(help="The folder of a finished training.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The .onnx file to write.", show_default=False)
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Where the run's photos are, if they have moved."),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantise to 8-bit integers: a quarter of the size.")
    ] = False,
    fp16: Annotated[
        bool, typer.Option("--fp16", help="Store 16-bit floats: half of the size.")
    ] = False,
    max_loss: Annotated[
        float,
        typer.Option(min=0.0, help="mAP on the validation photos that --int8 or --fp16 may lose."),
    ] = 0.01,
    calibration_photos: Annotated[
        int, typer.Option(min=1, help="Training photos that --int8 is calibrated on.")
    ] = 200,
    classify: Annotated[
        bool,
        typer.Option(
            "--classify", help="Let it tell the classes, too, for `imgsim-edge classify`."
        ),
    ] = False,
    licence: Annotated[str, typer.Option(help="Of the encoder, for its metadata.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.")
    ] = False,
) -> None:
    """Turn a trained classifier into an encoder for `imgsim-edge index --model`."""
    require_extra()
    if out.suffix.lower() != ".onnx":
        raise UsageError(f"the file to write must end in .onnx: {out}")
    if not out.parent.is_dir():
        raise UsageError(f"no such folder to write to: {out.parent}")
    if int8 and fp16:
        raise UsageError("--int8 and --fp16 exclude each other: export twice, to two files")
    from .session import FLOAT32, FP16, INT8, Options, export_encoder

    options = Options(
        precision=INT8 if int8 else FP16 if fp16 else FLOAT32,
        max_loss=max_loss,
        calibration_photos=calibration_photos,
        licence=licence,
        classify=classify,
    )
    result = export_encoder(run, out, data or (), options)
    if as_json:
        content = asdict(result)
        content.update(path=str(result.path), evidence=str(result.evidence))
        typer.echo(json.dumps(content))
        return
    typer.echo(f"encoder: {result.path} ({result.size / 1e6:.1f} MB, digest {result.digest})")
    for name, parity in result.keras.items():
        typer.echo(
            f"{name} against Keras over {parity.photos} photos: largest difference "
            f"{parity.largest_difference:.1e}, lowest cosine {parity.lowest_cosine:.6f}"
        )
    if result.chosen:
        typer.echo(f"accepted: {result.chosen}")
    if result.classes:
        own = result.classes
        typer.echo(
            f"classes: {own.accuracy:.1%} of {own.photos} test photos right; calibration error "
            f"{own.calibration_error:.3f} ({own.before:.3f} without the temperature); "
            f"{own.strangers:.1%} taken for strangers"
        )
    typer.echo(f"evidence: {result.evidence}")
