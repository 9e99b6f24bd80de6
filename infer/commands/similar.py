"""`imgsim-edge similar`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import IndexOption, ModelOption, one_thread_for_numpy, say
from .outputs import Forms, give, with_forms

if TYPE_CHECKING:
    from ..index.query import Query
    from ..index.results import Match

STDIN = "-"


@dataclass(frozen=True)
class _Asked:
    """A query under the name that the answers give it, and its file where it has one."""

    name: str
    query: Query
    file: Path | None = None


@with_forms
def similar_command(
    queries: Annotated[
        list[str] | None,
        typer.Argument(metavar="PHOTO...", help="Photos; - is one on standard input."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many answers.")] = 10,
    clipboard: Annotated[
        bool, typer.Option("--clipboard", help="Ask with the picture in the clipboard.")
    ] = False,
    combine: Annotated[
        bool, typer.Option("--combine", help="Take several photos as one query, their mean.")
    ] = False,
    unlike: Annotated[
        list[Path] | None,
        typer.Option("--not", metavar="PHOTO", help="Look for what is unlike this photo."),
    ] = None,
    within: Annotated[
        Path | None, typer.Option("--in", metavar="FOLDER", help="Only photos below it.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(min=-1.0, max=1.0, help="Only photos with at least this score.")
    ] = None,
    min_rarity: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            metavar="N",
            help="Only photos so similar that at most 1 random pair in N is.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DATE", help="Only photos taken then or later: 2023, 2023-08 or 2023-08-31."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Only photos taken then or earlier, all of it included."),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only photos of a camera whose name contains this."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only photos that were said to show this label."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also list what is only weakly related.")
    ] = False,
    copies: Annotated[
        bool, typer.Option("--copies", help="Also list further copies with the same bytes.")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare with every photo, without the graph.")
    ] = False,
    index: IndexOption = None,
    model: ModelOption = None,
    *,
    forms: Forms,
) -> None:
    """Find the photos most similar to one photo, or to several."""
    asked = [_asked(name) for name in queries or ()]
    if clipboard:
        asked += _from_clipboard()
    if not asked:
        raise typer.BadParameter("name at least one photo")

    one_thread_for_numpy()
    from ..index.image_index import ImageIndex
    from ..index.periods import period_of
    from ..output import sections as answers
    from ..output import text as render

    with ImageIndex.open(index, model) as opened_index:
        thresholds = min_score is not None or min_rarity is not None
        groups = [[one.query for one in asked]] if combine else [[one.query] for one in asked]
        found = opened_index.similar_to_groups(
            groups,
            k,
            exact=exact,
            within=within,
            since=period_of(since).begin if since else None,
            until=period_of(until).end if until else None,
            camera=camera,
            label=label,
            min_score=min_score,
            min_rarity=min_rarity,
            copies=copies,
            unrelated=everything or thresholds,
            exclude=unlike or (),
        )
        empty = not len(opened_index)
    asked = _named(asked, unlike or [], combine)
    if not any(found):
        if empty:
            say("the index holds no photo: add some with `imgsim-edge index FOLDER`")
        elif thresholds:
            say("no photo is as similar as that")
        else:
            more = "" if everything else ": --all lists what is only weakly related"
            say(f"nothing related was found{more}")
    answered = [(one, matches) for one, matches in zip(asked, found, strict=True) if matches]

    def records() -> list[dict[str, object]]:
        return [
            record
            for one, matches in answered
            for record in render.matches_as_records(one.name, matches)
        ]

    def rows() -> list[dict[str, object]]:
        return [{key: own for key, own in one.items() if key != "payload"} for one in records()]

    def text() -> str:
        tables = [render.as_table(matches) for _, matches in answered]
        if len(asked) > 1:
            names = (render.shell_path(Path(one.name)) for one, _ in answered)
            tables = [f"{name}\n{table}" for name, table in zip(names, tables, strict=True)]
        return "\n\n".join(tables)

    give(
        forms,
        title="Similar photos",
        sections=lambda: [
            answers.of_matches(one.name, one.file, matches) for one, matches in answered
        ],
        text=text,
        records=records,
        rows=rows,
        paths=lambda: _paths(answered),
    )


def _paths(answered: list[tuple[_Asked, list[Match]]]) -> list[Path]:
    """Name each photo once, however many queries it answers."""
    return list(dict.fromkeys(match.path for _, matches in answered for match in matches))


def _asked(name: str) -> _Asked:
    if name == STDIN:
        return _Asked(STDIN, sys.stdin.buffer.read())
    return _Asked(name, Path(name), Path(name))


def _from_clipboard() -> list[_Asked]:
    """Take the picture, or the files, in the clipboard."""
    from PIL import Image, ImageGrab

    from ..errors import UsageError

    try:
        content = ImageGrab.grabclipboard()
    except (NotImplementedError, OSError) as error:
        raise UsageError(f"cannot read the clipboard: {str(error).splitlines()[0]}") from error
    if isinstance(content, Image.Image):
        return [_Asked("clipboard", content)]
    if content:
        return [_asked(str(name)) for name in content]
    raise UsageError("there is no picture in the clipboard: copy one first")


def _named(asked: list[_Asked], unlike: list[Path], combine: bool) -> list[_Asked]:
    """Name queries after all photos that they are made of."""
    if combine:
        asked = [_Asked(" + ".join(one.name for one in asked), b"", asked[0].file)]
    less = "".join(f" − {path}" for path in unlike)
    return [_Asked(f"{one.name}{less}", one.query, one.file) for one in asked]
