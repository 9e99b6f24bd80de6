"""`imgsim-edge embed`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import JsonOption, ModelOption, progress, warn_problems

if TYPE_CHECKING:
    from ..encoder.onnx_encoder import Encoder
    from ..errors import Problem
    from ..output.vector_files import EmbeddedBatch, Format
    from ..progress import Progress

STDOUT = Path("-")


def embed_command(
    paths: Annotated[
        list[Path], typer.Argument(help="Photos, and folders of photos.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where to write; - is stdout.")
    ] = STDOUT,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="npz|npy|csv|jsonl",
            help="Of the file; by default what its suffix says, and jsonl on stdout.",
        ),
    ] = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the vectors of photos for other programs, in the order of their paths."""
    from ..encoder.onnx_encoder import Encoder
    from ..errors import UsageError
    from ..output import text as render
    from ..output.vector_files import paths_file, write_vector_lines, write_vectors

    chosen = _format(out, form)
    files, problems = _files(paths)
    if not files:
        raise UsageError(f"no photos in {', '.join(map(str, paths))}")
    encoder = Encoder(model or "default", threads=1)  # every core embeds photos of its own
    with progress("embedding") as show:
        batches = _embedded(files, encoder, problems, show)
        if out == STDOUT:
            write_vector_lines(batches, sys.stdout, chosen, encoder)
        else:
            photos = write_vectors(batches, out, chosen, encoder)
    warn_problems(problems)
    if out == STDOUT:
        return
    written = [out, paths_file(out)] if chosen == "npy" else [out]
    if as_json:
        told = {
            "files": list(map(str, written)),
            "photos": photos,
            "dimension": encoder.dimension,
            "encoder_digest": encoder.digest,
            "unreadable": [{"path": str(u.path), "reason": u.reason} for u in problems],
        }
        typer.echo(json.dumps(told))
    else:
        names = " and ".join(map(render.shell_path, written))
        typer.echo(f"{photos:,} photos, {encoder.dimension} numbers each, in {names}")


def _format(out: Path, form: str | None) -> Format:
    from ..output.vector_files import FORMATS

    wanted = form or ("jsonl" if out == STDOUT else out.suffix.lower().removeprefix("."))
    possible = [known for known in FORMATS if out != STDOUT or known in ("csv", "jsonl")]
    for known in possible:
        if wanted == known:
            return known
    where = "stdout" if out == STDOUT else out
    raise typer.BadParameter(f"{where} can be {', '.join(possible)}", param_hint="--format")


def _files(paths: list[Path]) -> tuple[list[Path], list[Problem]]:
    """List the files to read, each once: those that were named, and photos in folders."""
    from ..errors import Problem, UsageError
    from ..photos.scan import FoundFile, scan_files

    files: dict[Path, None] = {}
    closed = []
    for path in paths:
        if path.is_dir():
            for found in scan_files(path):
                if isinstance(found, FoundFile):
                    files[path / found.path] = None
                else:
                    closed.append(Problem(path / found.path, found.reason))
        elif path.exists():
            files[path] = None
        else:
            raise UsageError(f"{path} does not exist: give photos or folders of photos")
    return list(files), closed


def _embedded(
    files: list[Path], encoder: Encoder, problems: list[Problem], show: Progress | None
) -> Iterator[EmbeddedBatch]:
    """Embed files batch by batch; those that cannot be read go to ``problems``."""
    import numpy as np

    from ..encoder.embed import embed_files
    from ..errors import Problem, UsageError
    from ..output.vector_files import EmbeddedBatch

    done = photos = 0
    for batch in embed_files(files, encoder):
        paths, vectors = [], []
        for file in batch:
            if file.vector is None:
                problems.append(Problem(file.path, file.problem or ""))
            else:
                paths.append(file.path)
                vectors.append(file.vector)
        if paths:
            yield EmbeddedBatch(paths, np.stack(vectors))
        done, photos = done + len(batch), photos + len(paths)
        if show:
            show(done, len(files))
    if not photos:
        first = problems[-1]
        raise UsageError(
            f"none of {len(files):,} files can be read as a photo ({first.path}: {first.reason})"
        )
