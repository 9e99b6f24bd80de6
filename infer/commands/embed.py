"""`imgsim-edge embed`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import (
    JsonOption,
    ModelOption,
    ThreadsOption,
    counted,
    exit_status,
    heed_sigterm,
    progress,
    say,
    warn_problems,
)

if TYPE_CHECKING:
    from ..encoder.onnx_encoder import Encoder
    from ..errors import Problem
    from ..output.vector_files import EmbeddedBatch, Format
    from ..progress import Progress

STDOUT = Path("-")
SHARDS = "parquet"  # the format that is a folder of shards and no file


def embed_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Photos and folders of photos; for shards also addresses, archives and lists.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE|DIR",
            help="Where to write; - is stdout, a folder gets shards that a later run goes on with.",
        ),
    ] = STDOUT,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="npz|npy|csv|jsonl|parquet",
            help="By default what the suffix says; jsonl on stdout, parquet for a folder.",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help="Make shards on a Ray cluster: its address, auto, or local for one started here.",
        ),
    ] = None,
    shard_photos: Annotated[
        int, typer.Option("--shard-photos", min=1, help="Photos in one shard.")
    ] = 512,
    retry: Annotated[
        bool, typer.Option("--retry", help="Make shards again in which a photo was unreadable.")
    ] = False,
    threads: ThreadsOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the vectors of photos for other programs, in the order of their paths."""
    if _is_folder(out, form):
        _embed_shards(sources, out, model, ray, shard_photos, retry, threads, as_json)
        return
    if ray is not None:
        raise typer.BadParameter("only shards are made on Ray: name a folder", param_hint="--out")
    _embed_file([Path(source) for source in sources], out, form, threads, model, as_json)


def _is_folder(out: Path, form: str | None) -> bool:
    return form == SHARDS or (
        form is None and out != STDOUT and (not out.suffix or (out / "manifest.json").exists())
    )


def _embed_shards(
    sources: list[str],
    out: Path,
    model: str | None,
    ray: str | None,
    shard_photos: int,
    retry: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    from ..output import text as render
    from ..scale.embedding import embed_here, embed_sources

    name = model or "default"
    if ray is None:
        run = embed_here(name, threads)
    else:
        from ..scale.on_ray import embed_on_ray

        run = embed_on_ray(name, ray)
    heed_sigterm()
    with progress("embedding", "photos") as show:
        try:
            report = embed_sources(
                sources,
                out,
                name,
                run,
                shard_photos=shard_photos,
                retry=retry,
                progress=show,
            )
        except KeyboardInterrupt as interrupt:
            say(f"interrupted: finished shards stay in {out}; run the same command again to go on")
            raise typer.Exit(exit_status(interrupt)) from None
    warn_problems(report.problems)
    if report.passed_over:
        say(f"passed over: {counted(len(report.passed_over), 'file')} that cannot be read here")
    told = {
        "folder": str(out),
        "photos": report.photos,
        "unreadable": report.unreadable,
        "shards": report.shards,
        "fresh": report.fresh,
    }
    if as_json:
        problems = [{"path": str(p.path), "reason": p.reason} for p in report.problems]
        typer.echo(json.dumps({**told, "problems": problems}))
    else:
        typer.echo(
            f"{counted(report.photos, 'photo')} in {counted(report.shards, 'shard')} in "
            f"{render.shell_path(out)} ({report.fresh:,} looked into, "
            f"{report.unreadable:,} unreadable)"
        )


def _embed_file(
    paths: list[Path],
    out: Path,
    form: str | None,
    threads: int | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Write one file, or lines to stdout."""
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
        batches = _embedded(files, encoder, threads, problems, show)
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
    files: list[Path],
    encoder: Encoder,
    threads: int | None,
    problems: list[Problem],
    show: Progress | None,
) -> Iterator[EmbeddedBatch]:
    """Embed files batch by batch; those that cannot be read go to ``problems``."""
    import numpy as np

    from ..encoder.embed import embed_files
    from ..errors import Problem, UsageError
    from ..output.vector_files import EmbeddedBatch

    done = photos = 0
    for batch in embed_files(files, encoder, threads=threads):
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
