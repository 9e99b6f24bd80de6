"""How long-running work says how far it is, and how the user sees it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import visible

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as RichProgress
    from rich.progress import Task

Progress = Callable[[int, int], None]
"""Takes the steps that are done and the steps there are."""


class ProgressBar:
    """A line on stderr that goes when its block ends, and is absent where stderr is no terminal.

    Bars whose blocks lie in one another stand below one another.

    Args:
        title: what is being done.
        total: number of steps, where it is known.
        done: how many of them were done before; the time left is reckoned from the others.
        each: what a step is; with it named, steps a second are told.
    """

    _display: RichProgress | None = None  # of the bars that are shown, all together
    _shown = 0

    def __init__(self, title: str, total: int | None = None, done: int = 0, each: str = "") -> None:
        self._title, self._total, self._done, self._each = title, total, done, each
        self._is_shown = sys.stderr.isatty()

    def __enter__(self) -> ProgressBar:
        if self._is_shown:
            if ProgressBar._display is None:
                ProgressBar._display = _new_display()
                ProgressBar._display.start()
            ProgressBar._shown += 1
            self._task = ProgressBar._display.add_task(
                self._title, total=self._total, completed=self._done, each=self._each, note=""
            )
            ProgressBar._display.refresh()  # at once, not with the next tenth of a second
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_shown and ProgressBar._display is not None:
            ProgressBar._display.remove_task(self._task)
            ProgressBar._shown -= 1
            if not ProgressBar._shown:
                ProgressBar._display.stop()
                ProgressBar._display = None

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        """Show how many steps are done, of how many where that has changed, with a short note."""
        if self._is_shown and ProgressBar._display is not None:
            ProgressBar._display.update(self._task, completed=done, total=total, note=note)

    @property
    def callback(self) -> Progress | None:
        """What work that takes a :data:`Progress` is given; None where nobody looks."""
        return self.update if self._is_shown else None


def _new_display() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    class Rate(TextColumn):
        """How many a second."""

        def render(self, task: Task) -> Text:
            each = task.fields["each"]
            return Text(f"{task.speed:,.1f} {each}/s" if each and task.speed else "")

    # Without markup, since a folder's name may hold any sign.
    title, note = (
        TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[note]}")
    )
    return RichProgress(
        *(title, BarColumn(), MofNCompleteColumn(), Rate(""), TimeRemainingColumn(), note),
        console=Console(stderr=True),
        transient=True,
    )


def say(line: str) -> None:
    """Write a line, or several, to stderr, where everything goes that is no result."""
    sys.stderr.write("\n".join(map(visible, line.split("\n"))) + "\n")
    sys.stderr.flush()
