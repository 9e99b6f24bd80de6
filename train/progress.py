"""One line on the terminal that says how far things are."""

from __future__ import annotations

import sys
import time


class Progress:
    """A line on stderr that is rewritten in place, and absent where stderr is no terminal.

    Args:
        title: what is being done.
        total: number of steps.
        done: how many of them were done before; the time left is reckoned from the others.
    """

    _SECONDS_BETWEEN = 0.2  # a terminal over a slow line is not flooded

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self._title, self._total, self._before = title, max(total, 1), done
        self._started = time.monotonic()
        self._shown = 0.0
        self._live = sys.stderr.isatty()

    def update(self, done: int, note: str = "") -> None:
        """Show that ``done`` of the steps are done, with a short note behind the time left."""
        now = time.monotonic()
        if not self._live or (now - self._shown < self._SECONDS_BETWEEN and done < self._total):
            return
        self._shown = now
        elapsed = now - self._started
        own = done - self._before
        left = elapsed / own * (self._total - done) if own else 0.0
        text = f"{self._title}: {done}/{self._total}, {duration(left)} left"
        sys.stderr.write(f"\r\x1b[2K{text}{'  ' + note if note else ''}")
        sys.stderr.flush()

    def close(self) -> None:
        """Take the line away."""
        if self._live and self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def say(line: str) -> None:
    """Tell the user something that is not a result."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def duration(seconds: float) -> str:
    """Write a time span as people do: ``8 s``, ``3 min``, ``1 h 20 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
