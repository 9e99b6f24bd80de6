"""The reference of commands and options says what the program has: all of it, and nothing else."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
import typer.main
from imgsim_edge.infer.cli import COMMANDS, app

REFERENCE = Path(__file__).parents[2] / "infer" / "commands" / "REFERENCE.md"
WRITE = (
    "typer imgsim_edge.infer.cli utils docs --name imgsim-edge --output infer/commands/REFERENCE.md"
)


def _sections() -> dict[str, str]:
    text = unescape(REFERENCE.read_text(encoding="utf-8"))
    parts = re.split(r"^## `imgsim-edge ([a-z-]+)`$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_it_has_every_command_in_the_order_of_the_help() -> None:
    assert list(_sections()) == list(COMMANDS), f"write it again: {WRITE}"


@pytest.mark.parametrize("name", COMMANDS)
def test_it_has_every_option_with_its_help_and_no_other(name: str) -> None:
    group = typer.main.get_command(app)
    command = group.get_command(typer.Context(group), name)  # type: ignore[attr-defined]
    section = " ".join(_sections()[name].split())
    options = {"--help"}
    for parameter in command.params:
        said = " ".join((getattr(parameter, "help", None) or "").split())
        assert said in section, f"write it again: {WRITE}"
        if parameter.param_type_name == "option":
            options |= {*parameter.opts, *parameter.secondary_opts}
    lines = re.findall(r"^\* `(-[^`]*)`", _sections()[name], flags=re.MULTILINE)
    told = {word for line in lines for word in re.findall(r"(?:^| )(--?[\w-]+)", line)}
    assert told == options, f"write it again: {WRITE}"
