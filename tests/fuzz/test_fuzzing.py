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
FEWER = {
    "index: catalogue": 10,
    "index: log": 10,
    "index: graph": 15,
    "index: note of the writer": 10,
    "journals": 15,
    "plans": 25,
}
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
    monkeypatch.setattr(fuzz, "PATIENCE", 10.0)
    told = attack(Misbehaving.name, [(0, number) for number in range(8)]).failures
    for number, words in enumerate(
        (
            "ValueError: an exception",
            "wrote of its own accord: 'a line of its own'",
            "ends the process: status -6",
            "hangs",
            "changed a file outside the folder",
            "several lines",
            "needed",
        )
    ):
        assert words in told[0, number]
    assert (0, 7) not in told
