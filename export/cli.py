"""`imgsim-edge export`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..infer.errors import UsageError


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
    allow_any_dimension: Annotated[
        bool,
        typer.Option("--allow-any-dimension", help="Take embeddings of other widths than 64."),
    ] = False,
    licence: Annotated[str, typer.Option(help="Of the encoder, for its metadata.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.")
    ] = False,
) -> None:
    """Turn a trained classifier into an encoder for `imgsim-edge index --model`."""
    if out.suffix.lower() != ".onnx":
        raise UsageError(f"the file to write must end in .onnx: {out}")
    if not out.parent.is_dir():
        raise UsageError(f"no such folder to write to: {out.parent}")
    from .session import export_encoder

    result = export_encoder(run, out, data or (), allow_any_dimension, licence)
    if as_json:
        content = asdict(result)
        content.update(path=str(result.path), evidence=str(result.evidence))
        typer.echo(json.dumps(content))
        return
    typer.echo(f"encoder: {result.path} ({result.size / 1e6:.1f} MB, digest {result.digest})")
    typer.echo(
        f"against Keras over {result.keras.photos} photos: largest difference "
        f"{result.keras.largest_difference:.1e}, lowest cosine {result.keras.lowest_cosine:.6f}"
    )
    typer.echo(f"evidence: {result.evidence}")
