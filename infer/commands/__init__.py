"""The commands, one module for each group of them, and what they share.

A module here imports nothing heavy at its top: it is loaded whenever the help is shown.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import visible
from ..progress import ProgressBar
from ..progress import say as say

if TYPE_CHECKING:
    from ..errors import Problem
    from ..progress import Progress

NAMED_PROBLEMS = 20  # unreadable files that are named one by one; the others are counted

IndexOption = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="DIR",
        help="The index's folder, or the postgresql:// address of a published one.",
        envvar="IMGSIM_EDGE_INDEX",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="FILE", help="An encoder: an .onnx file or a shipped name."),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, help="Photos worked on at once; one for each core by default."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


class Terminated(KeyboardInterrupt):
    """The system asked this process to end (SIGTERM): the same as Ctrl-C, but for the status."""


def exit_status(interrupt: KeyboardInterrupt) -> int:
    """Give the status that shells expect of a process that a signal ended."""
    return 143 if isinstance(interrupt, Terminated) else 130


def heed_sigterm() -> None:
    """Let SIGTERM raise :class:`Terminated` from now on, wherever the program is."""

    def end(*_: object) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, end)


@contextmanager
def progress(what: str, each: str = "") -> Iterator[Progress | None]:
    """Show a progress bar on stderr where that is a terminal; with ``each`` named, its rate too."""
    with ProgressBar(what, each=each) as bar:
        yield bar.callback


def warn_problems(problems: Sequence[Problem]) -> None:
    """Name the files that could not be read."""
    say_some([f"cannot read {one.path}: {one.reason}" for one in problems])


def say_some(lines: Sequence[str]) -> None:
    """Write lines to stderr; of many, the first ones and how many more there are."""
    for line in lines[:NAMED_PROBLEMS]:
        say(visible(line))
    if len(lines) > NAMED_PROBLEMS:
        say(f"… and {len(lines) - NAMED_PROBLEMS:,} more")


def one_thread_for_numpy() -> None:
    """Keep NumPy from starting threads of its own, where it is not loaded yet.

    They would spin before they sleep and take address space. A command that multiplies nothing
    large has only harm of them: a fifth of the CPU time of one command, and two thirds of that of a
    warm query whose candidates are put in order.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 photo``, ``2,000 photos``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
