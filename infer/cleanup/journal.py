"""The journal of a cleanup: each step is written down before it is taken.

One file for each :func:`.cleanup.apply`, one JSON object a line, each on the disk before the files
are touched. So a journal that was cut short lacks at most the line of a step that was not begun.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import JournalError
from ..files import data_folder, make_folder, sync_folder
from .plan import is_usable

FORMAT = 1  # of the file, in its first line
SUFFIX = ".jsonl"
_KIND = "imgsim_edge_journal"
_MOST_MODE = 0o7777
_MOST_TIME = 1 << 63  # nanoseconds, of a file's time


@dataclass(frozen=True)
class Step:
    """What is about to be done with one file.

    Attributes:
        number: counts from 0.
        path: of the file.
        target: where it goes; None where the system decides (a trash) or it stays (a hard link).
        digest: BLAKE2b (128 bits) of its bytes.
        mtime_ns: time of its last change.
        mode: its permissions.
    """

    number: int
    path: Path
    target: Path | None
    digest: bytes
    mtime_ns: int
    mode: int


def default_journals() -> Path:
    """Name the folder of the journals: ``$IMGSIM_EDGE_JOURNALS`` or a place for user's data."""
    # Beside the index and not in it: an index may be deleted at any time.
    return data_folder("journals", "IMGSIM_EDGE_JOURNALS")


class Journal:
    """A journal that is being written.

    Args:
        path: of the file, which is continued where it exists.
        action: what the steps of a new one do.
        roots: folders that all its files are below.

    Raises:
        JournalError: it cannot be written.
    """

    def __init__(self, path: Path, action: str | None = None, roots: Iterable[Path] = ()) -> None:
        self.path = path
        try:
            if action is not None:
                make_folder(path.parent, 0o700)
            flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)
            flags |= os.O_CREAT | os.O_EXCL if action is not None else 0
            self._file = os.fdopen(os.open(path, flags, 0o600), "ab")
            self._end_the_last_line()
        except OSError as error:
            raise _cannot("write", path, error) from error
        if action is not None:
            self._write({_KIND: FORMAT, "action": action, "roots": list(map(str, roots))})
            sync_folder(path.parent)

    @classmethod
    def begin(cls, folder: Path, action: str, roots: Iterable[Path]) -> Journal:
        """Start a journal in a folder, named after the time."""
        now = time.time_ns()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 10**9))
        return cls(folder / f"{stamp}.{now % 10**9:09d}{SUFFIX}", action, roots)

    def will_do(self, step: Step) -> None:
        """Write down a step. It is on the disk when this returns."""
        entry = asdict(step)
        entry["step"] = entry.pop("number")
        entry["path"], entry["digest"] = str(step.path), step.digest.hex()
        entry["target"] = None if step.target is None else str(step.target)
        self._write(entry)

    def was_done(self, step: Step) -> None:
        """Write down that a step was taken."""
        self._write({"step": step.number, "done": True})

    def is_over(self, step: Step) -> None:
        """Write down that a step was taken back, or never took place."""
        self._write({"step": step.number, "over": True})

    def _end_the_last_line(self) -> None:
        """Keep what follows apart from a line that was cut short."""
        if self._file.tell():
            with self.path.open("rb") as written:
                written.seek(-1, os.SEEK_END)
                if written.read(1) != b"\n":
                    self._file.write(b"\n")

    def _write(self, entry: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(entry).encode("ascii") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _cannot("write", self.path, error) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@dataclass(frozen=True)
class Record:
    """What a journal says.

    Attributes:
        path: of the journal.
        action: what its steps did.
        roots: folders that its files were below; none in journals of earlier versions.
        open_steps: those that were not taken back, in the order in which they were taken.
    """

    path: Path
    action: str
    roots: tuple[Path, ...]
    open_steps: tuple[Step, ...]


def read_journal(path: Path) -> Record:
    """Read a journal; lines that were cut short or damaged are passed over.

    Raises:
        JournalError: it cannot be read, is no journal, or is of a newer format.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise _cannot("read", path, error) from error
    entries = list(_entries(lines))
    first = entries[0] if entries else {}
    if not isinstance(first.get(_KIND), int) or not isinstance(first.get("action"), str):
        raise JournalError(f"{path} is not a journal of imgsim-edge, or its beginning is lost")
    if first[_KIND] > FORMAT:
        raise JournalError(f"{path} was written by a newer version: upgrade imgsim-edge")
    steps: dict[int, Step] = {}
    for entry in entries[1:]:
        number = entry.get("step")
        if not isinstance(number, int):
            continue
        if entry.get("over"):
            steps.pop(number, None)
        elif (step := _step(entry)) is not None:
            steps[number] = step
    roots = first.get("roots")
    named = roots if isinstance(roots, list) else []
    usable = tuple(Path(root) for root in named if isinstance(root, str) and is_usable(root))
    return Record(path, first["action"], usable, tuple(steps.values()))


def last_journal(folder: Path) -> Record | None:
    """Find the newest journal with steps that were not taken back."""
    for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True):
        try:
            record = read_journal(path)
        except JournalError:
            continue  # begun, and cut short before the first step
        if record.open_steps:
            return record
    return None


def _step(entry: dict[str, Any]) -> Step | None:
    """Read a step; None where the entry says something else."""
    number, path, target = entry.get("step"), entry.get("path"), entry.get("target")
    digest, mtime_ns, mode = entry.get("digest"), entry.get("mtime_ns"), entry.get("mode")
    if not (isinstance(path, str) and is_usable(path) and isinstance(digest, str)):
        return None
    if not (target is None or (isinstance(target, str) and is_usable(target))):
        return None
    if type(number) is not int or type(mode) is not int or type(mtime_ns) is not int:
        return None
    if not 0 <= mode <= _MOST_MODE or not -_MOST_TIME <= mtime_ns < _MOST_TIME:
        return None
    try:
        wanted = bytes.fromhex(digest)
    except ValueError:
        return None
    place = None if target is None else Path(target)
    return Step(number, Path(path), place, wanted, mtime_ns, mode)


def _entries(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            yield entry


def _cannot(verb: str, path: Path, error: OSError) -> JournalError:
    return JournalError(f"cannot {verb} the journal {path}: {error.strerror}")
