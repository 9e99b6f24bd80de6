"""`imgsim-edge classify`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from . import JsonOption, warn_problems

NONE_OF_THESE = "none of these"


def classify_command(
    photos: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTO...", help="Photos and folders.", show_default=False),
    ],
    model: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="An encoder that was exported with --classify.",
            show_default=False,
        ),
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="How many classes are named.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Say which class photos are of, with a probability, or that it is none of them."""
    from ..encoder.classes import PhotoClassifier
    from ..errors import PhotoError, Problem
    from ..output import text as render
    from ..photos.decode import load_photo

    classifier = PhotoClassifier(model)
    problems, done = [], 0
    for path in _files(photos):
        try:
            photo = load_photo(path, classifier.encoder.image_size)
        except PhotoError as error:
            problems.append(Problem(path, str(error)))
            continue
        (found,) = classifier.classify(photo.pixels[None])
        done += 1
        named = found.classes[:k]
        if as_json:
            record = {
                "path": str(path),
                "stranger": found.is_stranger,
                "nearness": round(found.nearness, 4),
                "classes": [
                    {"name": one.name, "probability": round(one.probability, 4)} for one in named
                ],
            }
            typer.echo(json.dumps(record))
            continue
        told = ", ".join(f"{one.name} {one.probability:.2f}" for one in named)
        told = f"{NONE_OF_THESE} ({told})" if found.is_stranger else told
        typer.echo(f"{render.shell_path(path)}: {told}")
    warn_problems(problems)
    if not done:
        raise typer.Exit(1)


def _files(photos: Sequence[Path]) -> Iterator[Path]:
    from ..errors import Problem
    from ..photos.scan import FoundFile, scan_files

    for path in photos:
        if not path.is_dir():
            yield path
            continue
        for found in scan_files(path):
            if isinstance(found, FoundFile):
                yield path / found.path
            else:
                warn_problems([Problem(path / found.path, found.reason)])
