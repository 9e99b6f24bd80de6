"""What `imgsim_edge.infer` offers, and that the command line needs nothing else of the wings."""

from __future__ import annotations

import ast
from pathlib import Path

import imgsim_edge.infer
import pytest
from imgsim_edge.infer import errors

ROOT = Path(__file__).parents[1]
# Rooms that lay out answers, or are not about photos: the command line may use all of them.
BESIDE = {"output", "web", "benchmark", "errors", "files", "machine", "progress", "arrays"}
BESIDE |= {"tables", "evaluation.page"}


@pytest.mark.parametrize("name", imgsim_edge.infer.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(imgsim_edge.infer, name)
    if isinstance(value, type):
        assert value.__doc__


def test_every_error_is_public() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert defined <= set(imgsim_edge.infer.__all__)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "infer" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname: node.module for node in imports for alias in node.names}
    assert seen == imgsim_edge.infer._HOME


def test_the_command_line_uses_public_names_and_nothing_below_them() -> None:
    below = []
    for file in sorted((ROOT / "infer" / "commands").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.level != 2 or not node.module:
                continue
            for name in (alias.name for alias in node.names):
                is_public = imgsim_edge.infer._HOME.get(name) == node.module
                is_beside = not BESIDE.isdisjoint((node.module.split(".")[0], node.module, name))
                # A constant is a default that is told, or the choice of a flag.
                if not (is_public or is_beside or name.isupper()):
                    below.append(f"{file.name}: {node.module}.{name}")
    assert not below
