"""The README keeps its word: every command is in it, and no command is without help."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run
from imgsim_edge.infer.cli import COMMANDS

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"imgsim-edge {command}" in README


def test_every_command_has_a_line_of_help(run: Run) -> None:
    told = run("--help").stdout
    for command in COMMANDS:
        (line,) = [line for line in told.splitlines() if line.startswith(f"│ {command} ")]
        assert len(line.strip("│ ").split()) > 3, line
