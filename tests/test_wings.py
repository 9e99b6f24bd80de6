"""The house in wings: which room may import which, and that none imports back up."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the ground up: a wing imports only what stands before it here, besides itself.
GROUND = ("errors", "machine", "arrays", "progress", "files")
WINGS = (
    "photos",
    "encoder",
    "catalogue",
    "search",
    "scale",
    "index",
    "duplicates",
    "cleanup",
    "labels",
    "output",
    "evaluation",
    "benchmark",
    "web",
    "commands",
)
FACADES = ("__init__", "cli")  # they lead to every wing, and nothing stands on them
EXAMPLES = "examples"  # programs that use the public API, as anybody's would


def imports_of(file: Path) -> Iterator[str]:
    """Name every module of this project that a file imports, wherever in it."""
    relative = file.relative_to(ROOT).with_suffix("")
    package = [*relative.parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("imgsim_edge."):
                    yield alias.name.removeprefix("imgsim_edge.")
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1]
                parts = [*base, *(node.module.split(".") if node.module else [])]
            elif node.module and node.module.split(".")[0] == "imgsim_edge":
                parts = node.module.split(".")[1:]
            else:
                continue
            for alias in node.names:
                inner = ROOT.joinpath(*parts, alias.name)
                is_module = inner.with_suffix(".py").exists() or (inner / "__init__.py").exists()
                yield ".".join([*parts, alias.name] if is_module else parts)


def room(module: str) -> str:
    """Name the room of ``infer`` that a module lies in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_the_runtime_imports_only_downwards() -> None:
    floor = dict.fromkeys(GROUND, 0) | {name: n for n, name in enumerate(WINGS, start=1)}
    upwards = []
    for file in modules("infer"):
        parts = file.relative_to(ROOT / "infer").with_suffix("").parts
        mine = parts[0]
        if mine in FACADES or mine == EXAMPLES:
            continue
        for module in imports_of(file):
            package, theirs = module.split(".")[0], room(module)
            if package == "models" or theirs == mine:
                continue
            if package != "infer" or theirs in FACADES or floor[theirs] >= floor[mine] > 0:
                upwards.append(f"{'/'.join(parts)} imports {module}")
    assert not upwards


@pytest.mark.parametrize("package", ["infer", "train", "export"])
def test_no_module_imports_itself_by_way_of_others(package: str) -> None:
    arrows: dict[str, set[str]] = {}
    for file in modules(package):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name.endswith((".cli",)) or name == package:
            continue
        arrows[name] = {module for module in imports_of(file) if module != name}
    done: set[str] = set()

    def walk(name: str, above: list[str]) -> list[str] | None:
        if name in above:
            return [*above[above.index(name) :], name]
        if name in done:
            return None
        for module in sorted(arrows.get(name, ())):
            circle = walk(module, [*above, name])
            if circle:
                return circle
        done.add(name)
        return None

    for name in arrows:
        assert walk(name, []) is None


def test_the_tree_is_what_the_wings_say() -> None:
    folders = {p.parent.name for p in (ROOT / "infer").glob("*/__init__.py")}
    files = {p.stem for p in (ROOT / "infer").glob("*.py")}
    assert folders - {EXAMPLES} <= set(WINGS)
    assert files == {*GROUND, *FACADES}
