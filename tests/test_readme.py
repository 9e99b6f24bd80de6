"""The README is short, its links lead somewhere, and its commands do what it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LONGEST = 12_000  # bytes: a page that is read, and not a book


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds of a clone what the README's commands need."""
    folder = tmp_path_factory.mktemp("clone")
    photos = ROOT / "tests" / "photos"
    shutil.copytree(photos, folder / "tests" / "photos", ignore=shutil.ignore_patterns("*.py"))
    return folder


def _run(command: str, folder: Path) -> str:
    program = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{program}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}
    env |= {"IMGSIM_EDGE_INDEX": str(folder / "index")}
    env |= {"IMGSIM_EDGE_JOURNALS": str(folder / "journals")}
    done = subprocess.run(
        command, shell=True, cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout + done.stderr


def _pattern(shown: str) -> str:
    """Numbers differ from processor to processor in their last digits, paths from home to home."""
    text = re.escape(shown.strip())
    text = re.sub(r"\d+(\\\.\d+)?", r"[\\d.]+", text)
    return re.sub(r"…", r".*?", text)


def _blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_it_fits_on_a_page() -> None:
    assert len(README.encode()) <= LONGEST


def test_its_links_lead_to_files_of_the_repository() -> None:
    links = re.findall(r"\]\(([^)#\s]+)\)", README)
    assert links
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing


def test_its_commands_do_what_it_shows(clone: Path) -> None:
    steps = [step for block in _blocks("console") for step in re.split(r"^\$ ", block, flags=re.M)]
    assert steps
    for step in filter(None, steps):
        command, _, shown = step.partition("\n")
        assert re.search(_pattern(shown), _run(command, clone)), command


def test_its_set_up_command_ends_with_commands_that_work(clone: Path) -> None:
    parts = [part.strip() for part in _blocks("sh")[0].split("&&")]
    ours = [part.removeprefix(".venv/bin/") for part in parts if "imgsim-edge" in part]
    assert len(ours) == 2
    assert "cat-close.jpg" in [_run(part, clone) for part in ours][-1].splitlines()[1]


def test_its_python_works(clone: Path) -> None:
    (code,) = _blocks("python")
    (clone / "example.py").write_text(code, encoding="utf-8")
    assert "cat-close.jpg" in _run("python example.py", clone).splitlines()[0]
