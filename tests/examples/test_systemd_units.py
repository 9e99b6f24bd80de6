"""The units are such that systemd takes them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[2] / "infer" / "examples" / "systemd").glob("*.service"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_no_fault(unit: Path, tmp_path: Path) -> None:
    program = tmp_path / "imgsim-edge"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = unit.read_text().replace("/opt/imgsim-edge/bin/imgsim-edge", str(program))
    checked = tmp_path / unit.name
    checked.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", checked], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_units() -> None:
    assert UNITS
