"""Whatever stops an index from being written, the state it is left in is one that was committed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_encoder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and kills processes")


@pytest.mark.parametrize("how", ["kill", "ENOSPC", "EIO"])
@pytest.mark.parametrize("scenario", ["first", "again", "forget", "relocate", "migrate", "repair"])
def test_no_call_that_changes_the_disk_can_break_the_index(
    scenario: str, how: str, tmp_path: Path
) -> None:
    (tmp_path / "encoder.onnx").write_bytes(tiny_encoder())
    script = Path(__file__).with_name("crash_points.py")
    done = subprocess.run(
        [sys.executable, str(script), scenario, how, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert told["failed"] == 0, done.stderr[-4000:]
    assert told["points"] >= min(told["calls"], 20)
