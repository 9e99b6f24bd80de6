"""What a user sees of long-running work: a line on a terminal, and nothing elsewhere."""

from __future__ import annotations

import io

import pytest
from imgsim_edge.infer.progress import ProgressBar


def look() -> None:
    """Do now what a thread does ten times a second."""
    assert ProgressBar._display is not None
    ProgressBar._display.refresh()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Put a terminal in the place of stderr; inside a test, since pytest has its own before."""
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return stream


def test_a_bar_tells_title_steps_and_note_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    with ProgressBar("head, [steps]", total=100, done=80) as bar:
        bar.update(85, note="loss 0.5")
        look()
    shown = terminal.getvalue()
    assert "head, [steps]" in shown
    assert "85/100" in shown
    assert "loss 0.5" in shown
    assert "\x1b[2K" in shown  # lines are cleared


def test_bars_inside_bars_share_one_display(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    with ProgressBar("outer", total=2) as outer:
        with ProgressBar("inner", total=3) as inner:
            inner.update(3)
            look()
        outer.update(1)
        look()
    assert "3/3" in terminal.getvalue()
    assert "1/2" in terminal.getvalue()


def test_an_error_inside_leaves_no_display_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    with pytest.raises(ZeroDivisionError), ProgressBar("outer"), ProgressBar("inner"):
        _ = 1 / 0
    with ProgressBar("again", total=1) as bar:
        bar.update(1)
    assert "again" in terminal.getvalue()


def test_nothing_is_written_where_stderr_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    with ProgressBar("reading", total=1) as bar:
        bar.update(1)
        assert bar.callback is None
    assert not stream.getvalue()
