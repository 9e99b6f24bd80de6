"""The container file names what is there, and runs as nobody special."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "infer" / "examples" / "container" / "Containerfile").read_text().splitlines()


def test_everything_that_is_packed_is_copied() -> None:
    copied = {
        word
        for line in LINES
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert all((ROOT / name).exists() for name in copied)
    project = (ROOT / "pyproject.toml").read_text()
    folders = re.findall(r'^"imgsim_edge\.\w+" = "(\w+)"$', project, re.MULTILINE)
    assert {*folders, "pyproject.toml", "README.md", "LICENSE.md"} == copied


def test_it_runs_as_a_user_of_its_own() -> None:
    (user,) = [line.split()[1] for line in LINES if line.startswith("USER ")]
    assert int(user) > 999
    assert LINES.index(f"USER {user}") < LINES.index('ENTRYPOINT ["imgsim-edge"]')
