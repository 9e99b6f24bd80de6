"""Attack the program with damaged and hostile files, for as long as wanted.

    python tests/fuzz/fuzz.py                              # 10,000 files of each kind
    python tests/fuzz/fuzz.py --minutes 300 --seed 7       # all kinds in turn, for five hours
    python tests/fuzz/fuzz.py --kind "photos: TIFF" --seed 7 --only 1234     # one of them again

A file is made of its kind, the seed and its number, so that what failed can be made again. Child
processes use the files; what crashes or hangs one is counted, and the next goes on. A failure is a
crash, a hang, an unexpected exception, more than one line, anything on stderr, too much memory,
a file outside the folder changed, or a wrong answer. Exit status 1 if there was any.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from misbehaving import Misbehaving  # noqa: E402
from mutate import mutated  # noqa: E402
from target import Target  # noqa: E402

PATIENCE = 60.0  # seconds that one file may take, also on a machine with other things to do
ADDRESS_SPACE = 6 << 30  # bytes that a child may reserve
README = HERE / "README.md"
_HEAD = (
    "| kind | files tried | failures | peak memory, MiB | seconds |\n|---|---:|---:|---:|---:|\n"
)
_TABLE = ("<!-- table -->", "<!-- end of the table -->")


File = tuple[int, int]  # seed and number


@dataclass
class Outcome:
    """What came of the files of one kind."""

    kind: str
    tried: int = 0
    failures: dict[File, str] = field(default_factory=dict)
    peak: int = 0  # MiB
    seconds: float = 0.0


def all_targets() -> dict[str, Target]:
    """Give the kinds of files by name."""
    import files
    import indexes
    import photos

    found: list[Target] = [*photos.targets(), *files.targets(), *indexes.targets()]
    return {target.name: target for target in found}


def _target(kind: str) -> Target:
    """Make one kind, without those that it does not need."""
    if kind == Misbehaving.name:
        return Misbehaving()
    group = kind.split(":")[0]
    module = import_module({"photos": "photos", "index": "indexes"}.get(group, "files"))
    return next(target for target in module.targets() if target.name == kind)


def content_of(target: Target, seed: int, number: int) -> bytes:
    """Make the file of a number."""
    chosen = random.Random(f"{seed} {target.name} {number}")
    others = target.originals
    if target.are_hostile:
        return others[number % len(others)]
    return mutated(chosen, chosen.choice(others), others, text=target.is_text)


# --- the process that watches --------------------------------------------------------------------


def attack(kind: str, files: Iterable[File], until: float = float("inf")) -> Outcome:
    """Have some files of a kind used by child processes.

    Args:
        kind: its name.
        files: seed and number of each.
        until: when to stop, by ``time.monotonic()``.
    """
    outcome, started = Outcome(kind), time.monotonic()
    left = list(files)
    while left and time.monotonic() < until:
        left = _one_child(outcome, left, until)
    outcome.seconds = time.monotonic() - started
    return outcome


def _one_child(outcome: Outcome, files: list[File], until: float) -> list[File]:
    """Let one child use files until it ends, one way or the other; gives those that are left."""
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_quick_place()) as place:
        child = subprocess.Popen(
            [sys.executable, __file__, "--child", outcome.kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=place,
            env={**os.environ, "HOME": place, "XDG_DATA_HOME": f"{place}/data"},
        )
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            for at, (seed, number) in enumerate(files):
                if time.monotonic() > until:
                    return []
                try:
                    child.stdin.write(f"{seed} {number}\n")
                    child.stdin.flush()
                except BrokenPipeError:
                    pass
                ready, _, _ = select.select([child.stdout], [], [], PATIENCE)
                line = child.stdout.readline() if ready else ""
                outcome.tried += 1
                if not line:
                    why = "hangs" if not ready else f"ends the process: {_ending(child)}"
                    outcome.failures[seed, number] = why
                    return files[at + 1 :]
                told = json.loads(line)
                outcome.peak = max(outcome.peak, told["peak"])
                if told["failure"]:
                    outcome.failures[seed, number] = told["failure"]
                if told["ends"]:
                    return files[at + 1 :]
            return []
        finally:
            child.kill()
            child.communicate()


def _ending(child: subprocess.Popen[str]) -> str:
    assert child.stderr is not None
    status = child.wait(10)
    return f"status {status} {child.stderr.read()[-2000:]}"


def _quick_place() -> str | None:
    """Name a place in memory, where syncing costs nothing; None where there is none."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


# --- the process that is attacked ----------------------------------------------------------------


def child(kind: str) -> None:
    """Use the files whose seeds and numbers stand on stdin; tell of each on stdout."""
    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    from imgsim_edge.infer.machine import peak_memory

    warnings.simplefilter("ignore")  # as the program does

    target = _target(kind)
    answers = os.fdopen(os.dup(1), "w")
    printed = tempfile.TemporaryFile(dir=_quick_place())  # noqa: SIM115 - it lives as long as this
    os.dup2(printed.fileno(), 1)  # also what C libraries write
    folder = Path.cwd() / "inside"
    folder.mkdir()
    target.prepare(folder)
    witness = Path.cwd() / "outside" / "photo.jpg"
    witness.parent.mkdir()
    witness.write_bytes(b"mine")
    os.dup2(printed.fileno(), 2)
    for line in sys.stdin:
        failure = ""
        printed.seek(0)
        printed.truncate()
        try:
            seed, number = map(int, line.split())
            target.judge(content_of(target, seed, number), folder)
        except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
            failure = traceback.format_exc()
        sys.stdout.flush()
        printed.seek(0)
        said = printed.read().decode(errors="replace")
        if said and not failure and not target.may_print:
            failure = f"wrote of its own accord: {said[:500]!r}"
        if witness.read_bytes() != b"mine" or list(witness.parent.iterdir()) != [witness]:
            failure = "changed a file outside the folder"
            shutil.rmtree(witness.parent)
            witness.parent.mkdir()
            witness.write_bytes(b"mine")
        peak = (peak_memory() or 0) >> 20
        if peak > target.limit and not failure:
            failure = f"needed {peak} MiB"
        ends = peak > target.limit  # the peak never falls again
        print(
            json.dumps({"failure": failure, "peak": peak, "ends": ends}), file=answers, flush=True
        )
        if ends:
            break
    os._exit(0)


# --- the command ---------------------------------------------------------------------------------


def table(outcomes: Iterable[Outcome]) -> str:
    """Write outcomes as a table of Markdown."""
    return _HEAD + "".join(
        f"| {o.kind} | {o.tried:,} | {len(o.failures)} | {o.peak} | {o.seconds:,.0f} |\n"
        for o in outcomes
    )


def totals(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Add up what came of each kind."""
    found: dict[str, Outcome] = {}
    for one in outcomes:
        total = found.setdefault(one.kind, Outcome(one.kind))
        total.tried += one.tried
        total.failures |= one.failures
        total.peak = max(total.peak, one.peak)
        total.seconds += one.seconds
    return list(found.values())


def write_table(outcomes: list[Outcome]) -> None:
    """Put the rows of some kinds into the README, in place of those that they had there."""
    before, rest = README.read_text("utf-8").split(_TABLE[0])
    old, after = rest.split(_TABLE[1])
    rows = {line.split(" | ")[0]: line for line in old.strip().splitlines()[2:]}
    rows |= {line.split(" | ")[0]: line for line in table(outcomes).splitlines()[2:]}
    order = [f"| {kind}" for kind in all_targets()]
    text = "".join(rows[kind] + "\n" for kind in order if kind in rows)
    content = f"{before}{_TABLE[0]}\n{_HEAD}{text}{_TABLE[1]}{after}"
    README.write_text(content, encoding="utf-8")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kind", action="append", help="only this one; may be repeated")
    parser.add_argument("--files", type=int, default=10_000, help="of each kind")
    parser.add_argument(
        "--minutes", type=float, help="go on for so long, with one seed after the other"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", type=int, help="the file of this number alone")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to keep files that fail")
    parser.add_argument("--write-table", action="store_true", help="into the README")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen.child)
    targets = all_targets()
    kinds = chosen.kind or list(targets)
    outcomes = []
    until = time.monotonic() + 60 * chosen.minutes if chosen.minutes else float("inf")
    seed = chosen.seed
    while True:
        for kind in kinds:
            numbers = range(chosen.files) if chosen.only is None else [chosen.only]
            outcome = attack(kind, [(seed, number) for number in numbers], until)
            outcomes.append(outcome)
            if chosen.write_table:
                write_table(totals(outcomes))
            print(f"{kind}, seed {seed}: {table([outcome]).splitlines()[-1]}", flush=True)
            for (_, number), failure in list(outcome.failures.items())[:20]:
                print(f"--- {kind}, seed {seed}, file {number}:\n{failure}", flush=True)
                if chosen.keep:
                    chosen.keep.mkdir(parents=True, exist_ok=True)
                    name = re.sub(r"\W+", "-", f"{kind} {seed} {number}")
                    content = content_of(targets[kind], seed, number)
                    (chosen.keep / name).write_bytes(content)
        seed += 1
        if chosen.minutes is None or time.monotonic() > until:
            break
    print(table(totals(outcomes)), end="")
    return 1 if any(outcome.failures for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
