"""`imgsim-edge duplicates` and `imgsim-edge not-duplicates`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from . import IndexOption, counted, progress, say, say_some
from .outputs import Forms, give, with_forms


@with_forms
def duplicates_command(
    any_orientation: Annotated[
        bool, typer.Option("--any-orientation", help="Find rotated and mirrored copies, too.")
    ] = False,
    within: Annotated[
        Path | None, typer.Option("--in", metavar="FOLDER", help="Only photos below it.")
    ] = None,
    keep: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="What decides first which photo stays: names of largest, least-compressed, "
            "oldest, newest and shortest-path, separated by commas.",
        ),
    ] = "",
    include_look: Annotated[
        bool,
        typer.Option("--include-look", help="Plan for copies that are not certain, too."),
    ] = False,
    min_score: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Leave out copies with less of their detail in common."
        ),
    ] = 0.0,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what `apply` would do.")
    ] = None,
    bursts: Annotated[
        bool,
        typer.Option(
            "--bursts",
            help="Stack other shots instead: photos taken within seconds that look alike, and "
            "which of them to show. None of them is ever planned to go.",
        ),
    ] = False,
    index: IndexOption = None,
    *,
    forms: Forms,
) -> None:
    """Find photos that are copies of one another. Changes nothing."""
    if bursts:
        if any_orientation or keep or include_look or min_score or plan:
            raise typer.BadParameter("--bursts stands alone: with --in, and a form of the answer")
        _show_bursts(index, within, forms)
        return

    from ..cleanup.plan import plan_of, write_plan
    from ..duplicates.groups import find_groups
    from ..duplicates.keep import keep_rule
    from ..index.image_index import ImageIndex
    from ..output import sections as answers
    from ..output import text as render

    rule = keep_rule(keep)
    with ImageIndex.open(index) as opened_index, progress("comparing") as show:
        found = find_groups(
            opened_index,
            any_orientation=any_orientation,
            within=within,
            keep=rule,
            min_score=min_score,
            progress=show,
        )
    groups = found.groups
    say_some([f"passed over {one.path}: {one.reason}" for one in found.passed_over])
    planned = plan_of(groups, include_look=include_look)
    if plan:
        write_plan(planned, plan)
    give(
        forms,
        title="Duplicates",
        sections=lambda: [answers.of_group(n, group) for n, group in enumerate(groups, start=1)],
        text=lambda: render.groups_as_text(groups),
        records=lambda: (
            render.group_as_record(n, group) for n, group in enumerate(groups, start=1)
        ),
        rows=lambda: render.groups_as_rows(groups),
        paths=lambda: [file.path for group in planned.groups for file in group.remove],
    )
    if not groups:
        say("no duplicates")
        return
    next_step = (
        f"do it with `imgsim-edge apply {shlex.quote(str(plan))} --trash`"
        if plan
        else "write a plan with --plan FILE"
    )
    doubtful = sum(not copy.certain for group in groups for copy in group.copies)
    if doubtful and not include_look:
        say(f"{counted(doubtful, 'photo')} to look at first: --include-look plans for them, too")
    say(
        f"{counted(len(groups), 'group')}, {counted(planned.files, 'photo')} could go "
        f"({render.size(planned.bytes)}); nothing was changed: {next_step}"
    )


def _show_bursts(index: str | None, within: Path | None, forms: Forms) -> None:
    from ..duplicates.bursts import find_bursts
    from ..index.image_index import ImageIndex
    from ..output import sections as answers
    from ..output import text as render

    with ImageIndex.open(index) as opened_index, progress("comparing") as show:
        found = find_bursts(opened_index, within=within, progress=show)
    bursts = found.bursts
    say_some([f"passed over {one.path}: {one.reason}" for one in found.passed_over])
    give(
        forms,
        title="Bursts",
        sections=lambda: [answers.of_burst(n, burst) for n, burst in enumerate(bursts, start=1)],
        text=lambda: render.bursts_as_text(bursts),
        records=lambda: (
            render.burst_as_record(n, burst) for n, burst in enumerate(bursts, start=1)
        ),
        rows=lambda: render.bursts_as_rows(bursts),
        paths=lambda: [burst.best.photo.path for burst in bursts],
    )
    undated = f"; {counted(found.undated, 'photo')} without a date taken" if found.undated else ""
    say(f"{counted(len(bursts), 'burst') if bursts else 'no bursts'}{undated}")


def not_duplicates_command(
    photos: Annotated[list[Path], typer.Argument(help="Photos of the index.", show_default=False)],
    forget: Annotated[bool, typer.Option("--forget", help="Take that back.")] = False,
    index: IndexOption = None,
) -> None:
    """Remember that photos are no duplicates of one another."""
    from ..errors import UsageError
    from ..index.image_index import ImageIndex

    with ImageIndex.open(index) as opened:
        digests = set()
        for path in photos:
            photo = opened.find(path)
            if photo is None:
                raise UsageError(f"{path} is not in the index: add it with `imgsim-edge index`")
            digests.add(photo.digest)
        if len(digests) < 2:
            raise UsageError("name at least two photos with different bytes")
        opened.mark_not_duplicates(digests, forget=forget)
    done = "forgotten" if forget else "remembered"
    typer.echo(f"{done}: these {len(digests)} photos are no duplicates of one another")
