"""`imgsim-edge teach`, `unteach`, `labels` and `suggest`: labels that are taught by example."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import IndexOption, JsonOption, counted, one_thread_for_numpy, say, say_some
from .outputs import Forms, give, with_forms

if TYPE_CHECKING:
    from ..index.image_index import ImageIndex
    from ..labels.exchange import LabelExchange
    from ..labels.suggest import Suggestion, Suggestions

STDIN = "-"
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the label.")]
PhotosArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PHOTO...", help="Photos or folders of the index; - reads their paths."),
]


def teach_command(
    name: NameArgument,
    photos: PhotosArgument = None,
    unlike: Annotated[
        list[Path] | None,
        typer.Option("--not", metavar="PHOTO", help="A photo or folder that does not show it."),
    ] = None,
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Teach a label by photos that show it, and by photos that do not."""
    if not photos and not unlike:
        raise typer.BadParameter("name at least one photo")
    from ..index.image_index import ImageIndex

    with ImageIndex.open(index) as opened:
        opened.teach(name, _digests(opened, photos or ()), _digests(opened, unlike or ()))
        _print_label(opened, name, as_json)


def unteach_command(
    name: NameArgument,
    photos: PhotosArgument = None,
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back what was said of a label and some photos."""
    if not photos:
        raise typer.BadParameter("name at least one photo")
    from ..index.image_index import ImageIndex

    with ImageIndex.open(index) as opened:
        gone = opened.unteach(name, _digests(opened, photos))
        say(f"{counted(gone, 'example')} taken back")
        _print_label(opened, name, as_json)


def labels_command(
    rename: Annotated[
        tuple[str, str] | None,
        typer.Option("--rename", metavar="OLD NEW", help="Give a label another name."),
    ] = None,
    forget: Annotated[
        str | None, typer.Option("--forget", metavar="NAME", help="Forget a label.")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write confirmed labels: .csv, .json, or a new folder of links, for `train`.",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--import",
            metavar="FILE",
            help="Read labels from such a file or folder, or from the folder of another index.",
        ),
    ] = None,
    export_xmp: Annotated[
        bool, typer.Option("--export-xmp", help="Write labels into XMP sidecars beside the photos.")
    ] = False,
    import_xmp: Annotated[
        bool, typer.Option("--import-xmp", help="Read the keywords of XMP sidecars as labels.")
    ] = False,
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the labels; rename or forget one; exchange them with other programs."""
    from ..index.image_index import ImageIndex
    from ..labels.exchange import export_labels, export_sidecars, import_labels, import_sidecars

    with ImageIndex.open(index) as opened:
        if source:
            _report(import_labels(opened, source), "read")
        if import_xmp:
            _report(import_sidecars(opened), "read")
        if export:
            _report(export_labels(opened, export), "written")
        if export_xmp:
            _report(export_sidecars(opened), "changed in their sidecars")
        if rename:
            opened.rename_label(*rename)
        if forget is not None:
            say(f"{counted(opened.forget_label(forget), 'example')} forgotten")
        labels = opened.labels()
    for label in labels:
        if as_json:
            typer.echo(json.dumps(vars(label)))
        else:
            typer.echo(f"{label.name}: {counted(label.yes, 'photo')}, {label.no:,} that are not")
    if not labels:
        say("no labels yet: teach one with `imgsim-edge teach NAME PHOTO`")


@with_forms
def suggest_command(
    name: NameArgument,
    k: Annotated[int, typer.Option("-k", min=1, help="How many answers.")] = 50,
    within: Annotated[
        Path | None, typer.Option("--in", metavar="FOLDER", help="Only photos below it.")
    ] = None,
    ask: Annotated[
        bool,
        typer.Option("--ask", help="Ask about the photos whose answers teach the label most."),
    ] = False,
    index: IndexOption = None,
    *,
    forms: Forms,
) -> None:
    """Suggest photos that show what a label was taught. Changes nothing but with --ask."""
    one_thread_for_numpy()
    from ..index.image_index import ImageIndex
    from ..labels.suggest import suggest
    from ..output import text as render
    from ..output.sections import Section, Shown

    with ImageIndex.open(index) as opened_index:
        found = suggest(opened_index, name, k, within=within)
        if ask and found.questions:
            _ask(opened_index, found)
            found = suggest(opened_index, name, k, within=within)
    answers = found.answers

    def records() -> Iterator[dict[str, Any]]:
        return (_record(name, answer) for answer in answers)

    def shown(one: Suggestion) -> Shown:
        return Shown(one.photo.path, f"{one.rank}. {one.probability:.2f}", one.band, one.ask)

    give(
        forms,
        title=f"Suggestions for {name}",
        sections=lambda: [Section(f"Suggestions for {name}", tuple(map(shown, answers)))],
        text=lambda: "\n".join(
            f"{one.probability:5.2f}  {one.band:<8}  {'?' if one.ask else ' '}  "
            f"{render.shell_path(one.photo.path)}"
            for one in answers
        ),
        records=records,
        rows=records,
        paths=lambda: [answer.photo.path for answer in answers],
    )
    sure = "" if found.quality is None else f"; area under the ROC curve {found.quality:.3f}"
    say(f"some {counted(found.expected, 'photo')} in all are thought to show {name}{sure}")


def suggest_fresh(index: ImageIndex, fresh: Collection[int]) -> dict[str, int]:
    """Say on stderr which labels new photos likely show; gives how many photos for each label."""
    if not fresh or not index.labels():
        return {}
    from ..labels.suggest import suggest_among_new

    likely = {found.label: len(found.answers) for found in suggest_among_new(index, set(fresh))}
    for name, count in likely.items():
        say(
            f"{name}: {counted(count, 'new photo')} likely to show it "
            f"(`imgsim-edge suggest {shlex.quote(name)}`)"
        )
    return likely


def _report(done: LabelExchange, what: str) -> None:
    say_some([f"{problem.path}: {problem.reason}" for problem in done.problems])
    say(f"labels of {counted(done.count, 'photo')} {what}")


def _ask(index: ImageIndex, found: Suggestions) -> None:
    """Ask about photos one by one; each answer is kept at once."""
    from ..output import text as render

    say(f"does it show {found.label}? y = yes, n = no, s = skip, q = enough")
    for question in found.questions:
        say(f"{question.probability:.2f}  {render.shell_path(question.photo.path)}")
        answer = sys.stdin.readline().strip().lower()[:1]
        if answer in ("q", ""):
            return
        if answer == "y":
            index.teach(found.label, yes=[question.photo.digest])
        elif answer == "n":
            index.teach(found.label, no=[question.photo.digest])


def _record(name: str, answer: Suggestion) -> dict[str, Any]:
    return {
        "label": name,
        "rank": answer.rank,
        "probability": round(answer.probability, 4),
        "band": answer.band,
        "ask": answer.ask,
        "path": str(answer.photo.path),
    }


def _digests(index: ImageIndex, paths: Sequence[Path]) -> list[bytes]:
    """Give the contents of photos and of all photos below folders."""
    from ..errors import UsageError

    digests = []
    for path in _named(paths):
        photo = index.find(path)
        below = [photo] if photo else list(index.photos(within=path)) if path.is_dir() else []
        if not below:
            raise UsageError(f"{path} is not in the index: add it with `imgsim-edge index`")
        digests += [one.digest for one in below]
    return digests


def _named(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if str(path) == STDIN:
            yield from (Path(line.rstrip("\n")) for line in sys.stdin if line.strip())
        else:
            yield path


def _print_label(index: ImageIndex, name: str, as_json: bool) -> None:
    (label,) = [label for label in index.labels() if label.name == name]
    if as_json:
        typer.echo(json.dumps(vars(label)))
    else:
        typer.echo(f"{name}: {counted(label.yes, 'photo')}, {label.no:,} that are not")
