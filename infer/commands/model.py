"""`imgsim-edge model`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from . import JsonOption

if TYPE_CHECKING:
    from ..search.rarity import Rarity

LONGEST = 300  # characters of a value; class names can be thousands
ONE_IN = (2, 100, 10_000)  # random pairs, whose cosines are told


def model_command(
    model: Annotated[
        str, typer.Argument(metavar="FILE", help="An .onnx file or a shipped name.")
    ] = "default",
    as_json: JsonOption = False,
) -> None:
    """Say what an encoder is: its contract, its identity, and what its metadata tell."""
    from ..encoder.onnx_encoder import DETAILS_NAME, INPUT_NAME, OUTPUT_NAME, Encoder
    from ..output import text as render
    from ..search.rarity import METADATA_KEY, Rarity

    encoder = Encoder(model)
    size = encoder.path.stat().st_size
    rarity = Rarity.of_metadata(encoder.metadata)
    metadata = {k: v for k, v in sorted(encoder.metadata.items()) if k != METADATA_KEY}
    stated = metadata.get("digest", encoder.digest)
    changed = f" (not {stated}, as its metadata say)" if stated != encoder.digest else ""
    if as_json:
        told = {
            "model": model,
            "file": str(encoder.path),
            "bytes": size,
            "encoder_digest": encoder.digest,
            "image_size": encoder.image_size,
            "dimension": encoder.dimension,
            "details_dimension": encoder.details_dimension,
            "metadata": metadata,
            METADATA_KEY: asdict(rarity) if rarity else None,
        }
        typer.echo(json.dumps(told))
        return
    side = encoder.image_size
    rows = [
        ("file", f"{render.shell_path(encoder.path)}, {render.size(size)}"),
        ("digest", f"{encoder.digest}{changed}"),
        ("input", f"{INPUT_NAME}: uint8 [batch, {side}, {side}, 3], upright sRGB"),
        ("output", f"{OUTPUT_NAME}: float32 [batch, {encoder.dimension}], unit length"),
        (
            "details",
            f"{DETAILS_NAME}: float32 [batch, {encoder.details_dimension}], unit length"
            if encoder.details_dimension
            else "none",
        ),
        *(
            (key.replace("_", " "), _short(value))
            for key, value in metadata.items()
            if key != "digest"
        ),
        ("random pairs", _told(rarity) if rarity else "not stated"),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {value}")


def _short(value: str) -> str:
    if len(value) <= LONGEST:
        return value
    return f"{value[:LONGEST]}… ({len(value):,} characters; --json gives them all)"


def _told(rarity: Rarity) -> str:
    reached = (f"1 in {count:,} reaches {rarity.score(count):.3f}" for count in ONE_IN)
    return f"{', '.join(reached)} (of {rarity.pairs:,})"
