"""`imgsim-edge formats`."""

from __future__ import annotations

import json

import typer

from . import JsonOption


def formats_command(as_json: JsonOption = False) -> None:
    """List the formats of photos, and which of them can be read here."""
    from ..photos.formats import FORMATS

    if as_json:
        for kind in FORMATS:
            about = {"format": kind.name, "suffixes": kind.suffixes, "reader": kind.reader or None}
            state = {"readable": kind.is_readable, "remedy": kind.remedy or None}
            typer.echo(json.dumps({**about, **state}))
        return
    rows = [
        (
            kind.name,
            kind.reader or "-",
            "yes" if kind.is_readable else kind.remedy or f"no: {kind.left_out}",
            " ".join(kind.suffixes),
        )
        for kind in FORMATS
    ]
    heads = ("format", "read by", "readable here", "suffixes")
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(3)]
    for row in (heads, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)]
        typer.echo("  ".join([*cells, row[3]]))
