"""What the commands that answer with photos have in common: the forms of their answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from . import JsonOption, say

if TYPE_CHECKING:
    from ..output.sections import Section


@dataclass(frozen=True)
class Forms:
    """The forms in which an answer was asked for; each is an option of the command line."""

    as_json: JsonOption = False
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False
    null: Annotated[
        bool, typer.Option("-0", help="Print paths alone, separated by zero bytes (xargs -0).")
    ] = False
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", metavar="FILE", help="Write a contact sheet, such as out.png."),
    ] = None
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page that holds the photos."),
    ] = None
    opened: Annotated[
        bool, typer.Option("--open", help="Open the page (or the sheet) that was written.")
    ] = False
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures", help="Show photos in the terminal, where it can do so."
        ),
    ] = True

    def check(self) -> None:
        """Make sure that no two of them exclude each other; called before any work is done."""
        if self.as_json + self.as_csv + self.null > 1:
            raise typer.BadParameter("give one of --json, --csv and -0")


def with_forms(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes ``forms`` the options of :class:`Forms` in their place."""
    own = [
        parameter
        # Not get_type_hints, which on Python 3.10 makes Annotated options of None Optional ones.
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.name != "forms"
    ]
    of_forms = get_type_hints(Forms, include_extras=True)
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=of_forms[field.name],
        )
        for field in fields(Forms)
    ]

    def with_options(**given: Any) -> None:
        forms = Forms(**{option.name: given.pop(option.name) for option in options})
        forms.check()
        command(**given, forms=forms)

    with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
    with_options.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in (*own, *options)}
    return with_options


def give(
    forms: Forms,
    *,
    title: str,
    sections: Callable[[], Sequence[Section]],
    text: Callable[[], str],
    records: Callable[[], Iterable[dict[str, Any]]],
    rows: Callable[[], Iterable[dict[str, Any]]],
    paths: Callable[[], Iterable[Path]],
) -> None:
    """Print and write an answer in every form that was asked for.

    Args:
        forms: that were asked for.
        title: of a page.
        sections: the photos, for people.
        text: for people, without photos.
        records: for JSON.
        rows: for CSV.
        paths: for ``xargs``.
    """
    from ..output import text as render

    if forms.as_json:
        _print(render.as_json_lines(records()))
    elif forms.as_csv:
        _print(render.as_csv(rows()))
    elif forms.null:
        typer.echo(render.as_null_separated(paths()), nl=False)
    else:
        from ..output import terminal

        picture = terminal.picture_class() if forms.pictures else None
        if picture is None:
            _print(text())
        else:
            terminal.show(sections(), picture)
    written = _written(forms, title, sections)
    if forms.opened and written:
        typer.launch(written.absolute().as_uri() if written.suffix == ".html" else str(written))


def _written(forms: Forms, title: str, sections: Callable[[], Sequence[Section]]) -> Path | None:
    """Write the files; gives the one to open."""
    written = None
    if forms.sheet:
        from ..output.sheet import write_sheet

        write_sheet(sections(), forms.sheet)
        written = forms.sheet
    html = forms.html
    if forms.opened and not (forms.sheet or html):
        import tempfile

        html = Path(tempfile.mkdtemp(prefix="imgsim-edge-")) / "answer.html"
    if html:
        from ..files import whole_file
        from ..output.answers_page import answers_page

        content = answers_page(title, sections())
        with whole_file(html) as part:
            part.write_bytes(content)
        written = html
    for path in (forms.sheet, html):
        if path:
            say(f"wrote {path}")
    return written


def _print(text: str) -> None:
    if text:
        typer.echo(text)
