"""A bounded attack: some hundred damaged files, with seeds that are fixed and one that is new."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fuzz
from fuzz import all_targets, attack
from misbehaving import Misbehaving

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="waits for pipes with select()")

FILES = 40  # of each seed; `python tests/fuzz/fuzz.py` tries 10,000
FEWER = {"index: catalogue": 10, "index: log": 10, "journals": 20}
NEW_SEED = random.SystemRandom().randrange(10**6)


@pytest.mark.parametrize("kind", list(all_targets()))
def test_damaged_files_crash_nothing_and_are_told_in_one_line(kind: str) -> None:
    numbers = range(FEWER.get(kind, FILES))
    files = [(seed, number) for seed in (1, NEW_SEED) for number in numbers]
    outcome = attack(kind, files)
    print(f"{kind}: the new seed is {NEW_SEED}, {outcome.peak} MiB")
    assert outcome.tried == len(files)
    assert outcome.failures == {}  # `fuzz.py --kind KIND --seed SEED --only NUMBER` does it again


def test_whatever_goes_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "PATIENCE", 8.0)
    told: set[str] = set()
    for number in range(30):
        failures = attack(Misbehaving.name, [(0, number)]).failures.values()
        told |= {failure.splitlines()[-1].split(":")[0] for failure in failures}
        told |= {"too much memory"} if any("MiB" in failure for failure in failures) else set()
    assert told >= {
        "ValueError",
        "AssertionError",
        "hangs",
        "ends the process",
        "changed a file outside the folder",
        "wrote of its own accord",
        "too much memory",
    }
