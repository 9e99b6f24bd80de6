"""Whenever the power goes, an index is as it was after some commit, and no photo is lost.

A bounded part of what ``power_cuts.py`` does: few scenarios, few states of each call.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("cc") is None,
    reason="records calls with a library that takes Linux and a C compiler",
)


@pytest.mark.parametrize("name", ["move", "undo move", "hardlink", "undo hardlink", "forget"])
def test_every_state_that_a_power_cut_may_leave_is_right(name: str) -> None:
    from power_cuts import cut

    count, failures = cut(name, each=3, seed=0)
    assert count >= 10
    assert failures == []


def test_a_disk_that_syncs_nothing_is_noticed() -> None:
    from power_cuts import cut

    _, failures = cut("move", each=12, seed=0, heed_syncs=False)
    assert failures
