"""Cut the power after every call that changes the disk, and look at what is left.

    python tests/power_cuts/power_cuts.py                     # all scenarios, some thousand states
    python tests/power_cuts/power_cuts.py move --each 40      # one of them, more states a call

A scenario is run once, with every call that changes a file recorded (``record.c``). From the calls
every state is built that the disk may be in after a power cut (``replay.py``), and each is judged:
an index is as it was after some commit, and not before the last that had returned; after `apply`
and `undo` every photo is there, and `undo` brings everything back.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "catalogue")]

import crash_points  # noqa: E402
from imgsim_edge.infer.catalogue.database import Catalogue  # noqa: E402
from imgsim_edge.infer.catalogue.writer import Writer  # noqa: E402
from imgsim_edge.infer.cleanup.apply import HARDLINK, MOVE, apply, undo  # noqa: E402
from imgsim_edge.infer.cleanup.plan import Plan, PlannedFile, PlannedGroup  # noqa: E402
from imgsim_edge.infer.encoder.embed import content_digest  # noqa: E402
from imgsim_edge.infer.errors import ImgsimError, IndexMissingError, JournalError  # noqa: E402
from imgsim_edge.infer.index.image_index import ImageIndex  # noqa: E402
from imgsim_edge.infer.index.verify import verify  # noqa: E402
from replay import Disk, disk_of, read_calls, states  # noqa: E402
from tiny import tiny_encoder  # noqa: E402

MARKS = "marks"  # a file that a scenario writes a byte to when something was promised
EACH = 12  # states for each call


# --- scenarios: what is prepared, what is done, and what is right afterwards ----------------------


class Scenario:
    """A change, recorded once.

    Attributes:
        name: of the scenario.
        folder: below the place, whose disk may lose power.
    """

    folder = "index"

    def prepare(self, place: Path) -> None:
        """Make what is there before."""

    def change(self, place: Path, promised: Callable[[], None]) -> None:
        """Do it, and tell of each promise that was given."""

    def judge(self, place: Path, promises: int) -> None:
        """Raise where what is left is not right."""


class OfIndex(Scenario):
    """A change of an index, as the tests of killed processes have it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._prepare, self._change = crash_points.SCENARIOS[name]
        self._seen: list[crash_points.State] = []

    def prepare(self, place: Path) -> None:
        (place / "encoder.onnx").write_bytes(tiny_encoder())
        self._prepare(place)

    def change(self, place: Path, promised: Callable[[], None]) -> None:
        real = Writer._transaction

        def noted(writer: Writer):  # type: ignore[no-untyped-def]
            from contextlib import contextmanager

            @contextmanager
            def transaction():  # type: ignore[no-untyped-def]
                with real(writer):
                    yield
                promised()

            return transaction()

        Writer._transaction = noted  # type: ignore[method-assign]
        try:
            self._change(place)
        finally:
            Writer._transaction = real  # type: ignore[method-assign]
        promised()

    def expect(self, place: Path) -> None:
        """Do the change undisturbed, and note the state after each promise."""
        if self.name == "repair":
            return  # of which it is asked that it can be repeated
        self._seen = crash_points.states(self._change, place)

    def judge(self, place: Path, promises: int) -> None:
        folder = place / "index"
        possible = self._seen[promises : promises + 2]
        try:
            catalogue = Catalogue(folder)
        except IndexMissingError:
            assert frozenset() in possible, "the index is gone"
            return
        except ImgsimError:  # damaged, as before the repair
            assert self.name == "repair"
            ImageIndex.repair(folder)
            catalogue = Catalogue(folder)
        found = verify(catalogue)
        catalogue.close()
        if self.name != "repair":
            assert not [f for f in found if f.part == "catalogue"], found
            left = crash_points.state(folder)
            assert left in possible, f"after {promises} commits: {len(left)} photos"
        if found:
            ImageIndex.repair(folder)
            with ImageIndex.open(folder) as index:
                assert index.verify() == []


class OfCleanup(Scenario):
    """`apply` or `undo`."""

    folder = "disk"

    def __init__(self, name: str, action: str, back: bool) -> None:
        self.name, self._action, self._back = name, action, back

    def prepare(self, place: Path) -> None:
        album = place / "disk" / "album"
        for name in ("keep.jpg", "a.jpg", "old/b.jpg", "old/c.jpg"):
            (album / name).parent.mkdir(parents=True, exist_ok=True)
            (album / name).write_bytes(b"photo " * 300)
            os.utime(album / name, ns=(10**18, 10**18))
        (place / "disk/away").mkdir()
        if self._back:
            self._apply(place)

    def _apply(self, place: Path) -> None:
        album = place / "disk" / "album"
        content = b"photo " * 300

        def planned(name: str) -> PlannedFile:
            return PlannedFile(album / name, content_digest(content), len(content))

        going = tuple(map(planned, ("a.jpg", "old/b.jpg", "old/c.jpg")))
        apply(
            Plan((PlannedGroup(planned("keep.jpg"), going),)),
            self._action,
            place / "disk/journals",
            roots=[album],
            target=place / "disk/away",
        )

    def change(self, place: Path, promised: Callable[[], None]) -> None:
        if self._back:
            undo(place / "disk/journals")
        else:
            self._apply(place)
        promised()

    def expect(self, place: Path) -> None:
        """Nothing has to be known."""

    def judge(self, place: Path, promises: int) -> None:
        album = place / "disk/album"
        wanted = sorted(
            str(album / name) for name in ("keep.jpg", "a.jpg", "old/b.jpg", "old/c.jpg")
        )
        if promises and not self._back:
            assert len(list(album.rglob("[!.]*.jpg"))) == (1 if self._action == MOVE else 4)
        try:
            back = undo(place / "disk/journals")
            assert back.refused == [], back.refused
        except JournalError:
            pass  # nothing was begun, or all is back
        # A file that was being copied may be left over: hidden, and nobody's photo.
        there = sorted(map(str, album.rglob("[!.]*.jpg")))
        assert there == wanted, there
        assert all(Path(path).read_bytes() == b"photo " * 300 for path in wanted)


SCENARIOS: dict[str, Scenario] = {
    **{name: OfIndex(name) for name in ("first", "again", "forget", "migrate", "repair")},
    "move": OfCleanup("move", MOVE, False),
    "hardlink": OfCleanup("hardlink", HARDLINK, False),
    "undo move": OfCleanup("undo move", MOVE, True),
    "undo hardlink": OfCleanup("undo hardlink", HARDLINK, True),
}


# --- recording and judging ------------------------------------------------------------------------


def compiled(place: Path) -> Path | None:
    """Compile the recorder; None where there is no compiler."""
    library = place / "record.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "record.c"), "-ldl"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return library


def cut(name: str, each: int, seed: int, *, heed_syncs: bool = True) -> tuple[int, list[str]]:
    """Record a scenario and judge the states after it: how many, and what was wrong.

    Args:
        name: of the scenario.
        each: states to build for each call.
        seed: of what is chosen by chance.
        heed_syncs: False for a disk that does not do what ``fsync`` asks.
    """
    scenario, failures, count = SCENARIOS[name], [], 0
    with tempfile.TemporaryDirectory(dir=_in_memory()) as first:
        top = Path(first).resolve()
        place, log = top / "place", top / "calls"
        library = compiled(top)
        assert library is not None, "a C compiler is needed"
        place.mkdir()
        scenario.prepare(place)
        # What was prepared is what the states are made of, at the same place: paths are in them.
        kept = top / "kept"
        shutil.copytree(place, kept)
        start, known = disk_of(place)
        environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "RECORD_BELOW": str(place),
            "RECORD_TO": str(log),
        }
        command = [sys.executable, __file__, name, "--record", str(place)]
        subprocess.run(command, env=environment, check=True)
        calls = read_calls(log, known)
        if not heed_syncs:
            calls = [call for call in calls if call.kind != "S"]
        shutil.rmtree(place)
        shutil.copytree(kept, place)
        scenario.expect(place)  # type: ignore[attr-defined]
        marks = {call.file for call in calls if Path(call.path).name == MARKS}
        for after, disk in states(start, calls, marks, seed, each):
            count += 1
            promises = sum(c.file in marks and c.kind == "W" for c in calls[:after])
            shutil.rmtree(place)
            _rebuild(disk, place, kept, scenario.folder)
            try:
                scenario.judge(place, promises)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
                last = calls[after - 1] if after else None
                where = f"{last.kind} {Path(last.path).name}" if last else "the start"
                failures.append(f"{name}, call {after} ({where}): {type(error).__name__} {error}")
    return count, failures


def _rebuild(disk: Disk, place: Path, kept: Path, folder: str) -> None:
    """Put what the disk holds of a folder into the place; the rest never changed."""
    shutil.copytree(kept, place)
    shutil.rmtree(place / folder, ignore_errors=True)
    only = Disk(
        {p: f for p, f in disk.names.items() if Path(p).is_relative_to(place / folder)},
        disk.bytes_of,
    )
    only.write(place, place)


def _in_memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _record(scenario: Scenario, place: Path) -> None:
    descriptor = os.open(place / MARKS, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    scenario.change(place, lambda: os.write(descriptor, b"."))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenario", nargs="*", help=f"of {', '.join(SCENARIOS)}")
    parser.add_argument("--each", type=int, default=EACH, help="states for each call")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.record:
        _record(SCENARIOS[chosen.scenario[0]], chosen.record)
        return 0
    total = wrong = 0
    print("| scenario | states | failures | seconds |\n|---|---:|---:|---:|")
    for name in chosen.scenario or SCENARIOS:
        started = time.monotonic()
        count, failures = cut(name, chosen.each, chosen.seed)
        print(f"| {name} | {count:,} | {len(failures)} | {time.monotonic() - started:.0f} |")
        print("".join(f"{failure}\n" for failure in failures[:20]), end="", flush=True)
        total, wrong = total + count, wrong + len(failures)
    print(f"| all | {total:,} | {wrong} | |")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
