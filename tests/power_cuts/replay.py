"""What a disk may hold after a power cut: from recorded calls to every state that is allowed.

What a call changed is on the disk for certain once a later ``fsync`` of that file (its bytes and
length) or of its folder (its name) has returned. Until then each write may be there or not, whole
or up to a sector, in any order; names change in the order of the calls within a folder, but any
number of the last changes may be missing, as journalling file systems have it. Method: Pillai et
al., "All File Systems Are Not Created Equal" (OSDI 2014).
"""

from __future__ import annotations

import hashlib
import os
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512  # bytes that a disk writes whole or not at all
_HEAD = struct.Struct("=5Q")


@dataclass(frozen=True)
class Call:
    """A recorded call; ``file`` tells files apart, also two that had one name or inode in turn."""

    kind: str
    file: int
    offset: int
    path: str
    second: str
    data: bytes

    @property
    def is_of_names(self) -> bool:
        return self.kind in "CDRLU"


Tree = dict[str, int | None]  # path → file, None for a folder


class Disk:
    """Names and bytes, as they are at some moment."""

    def __init__(self, names: Tree, bytes_of: dict[int, bytes]) -> None:
        self.names, self.bytes_of = dict(names), dict(bytes_of)

    def apply(self, call: Call, length: int | None = None) -> None:
        """Let a call happen, as far as what it needs is there."""
        parent = str(Path(call.second or call.path).parent)
        if call.kind == "W":
            content = self.bytes_of.get(call.file, b"")
            data = call.data if length is None else call.data[:length]
            content = content.ljust(call.offset, b"\0")
            end = call.offset + len(data)
            self.bytes_of[call.file] = content[: call.offset] + data + content[end:]
        elif call.kind == "T":
            content = self.bytes_of.get(call.file, b"")
            self.bytes_of[call.file] = content[: call.offset].ljust(call.offset, b"\0")
        elif parent in self.names:
            if call.kind == "C":
                self.names[call.path] = call.file
            elif call.kind == "D":
                self.names[call.path] = None
            elif call.kind == "U":
                self.names.pop(call.path, None)
            elif call.path in self.names:
                self.names[call.second] = self.names[call.path]
                if call.kind == "R":
                    del self.names[call.path]

    def fingerprint(self) -> bytes:
        hasher = hashlib.blake2b(digest_size=16)
        for path in sorted(self.names):
            hasher.update(path.encode() + b"\0")
            file = self.names[path]
            if file is not None and not path.endswith("-shm"):
                hasher.update(hashlib.blake2b(self.bytes_of.get(file, b"")).digest())
        return hasher.digest()

    def write(self, top: Path, place: Path) -> None:
        """Write what was below ``top`` to another place; memory that is shared is no disk."""
        for path in sorted(self.names):
            file = self.names[path]
            target = place / Path(path).relative_to(top)
            if file is None:
                target.mkdir(parents=True, exist_ok=True)
            elif not path.endswith("-shm"):
                target.write_bytes(self.bytes_of.get(file, b""))


def disk_of(top: Path) -> tuple[Disk, dict[int, int]]:
    """Read what is below a folder now; gives inode → file, too."""
    names: Tree = {str(top): None}
    bytes_of: dict[int, bytes] = {}
    known: dict[int, int] = {}
    for path in sorted(top.rglob("*")):
        if path.is_dir():
            names[str(path)] = None
            continue
        file = known.setdefault(path.stat().st_ino, -1 - len(known))
        names[str(path)], bytes_of[file] = file, path.read_bytes()
    return Disk(names, bytes_of), known


def read_calls(log: Path, known: dict[int, int]) -> list[Call]:
    """Read what was recorded."""
    content, at, calls = log.read_bytes(), 0, []
    files = dict(known)
    while at < len(content):
        kind = chr(content[at])
        inode, offset, one, two, length = _HEAD.unpack_from(content, at + 1)
        at += 1 + _HEAD.size
        path = os.fsdecode(content[at : at + one])
        second = os.fsdecode(content[at + one : at + one + two])
        data = content[at + one + two : at + one + two + length]
        at += one + two + length
        if kind == "C":
            files[inode] = len(calls) + 1
        calls.append(Call(kind, files.get(inode, 0), offset, path, second, data))
    return calls


def _is_synced(call: Call, later: list[Call]) -> bool:
    if not call.is_of_names:
        return any(c.kind == "S" and c.file == call.file and c.file for c in later)
    folder = str(Path(call.second or call.path).parent)  # a rename is one change of both
    return any(c.kind == "S" and not c.file and c.path == folder for c in later)


def states(
    start: Disk, calls: list[Call], marks: set[int], seed: int, most: int
) -> Iterator[tuple[int, Disk]]:
    """Build states that a power cut may leave, each once.

    Args:
        start: what the disk held before the calls, all of it synced.
        calls: in their order.
        marks: files that only the recording uses.
        seed: decides which of too many combinations are taken.
        most: states to build for each call that the power may be cut after.

    Yields:
        how many calls had returned when the power was cut, and the disk.
    """
    chance = random.Random(seed)
    seen: set[bytes] = set()
    for cut in range(len(calls) + 1):
        done = [(n, c) for n, c in enumerate(calls[:cut]) if c.kind != "S" and c.file not in marks]
        open_ = [n for n, c in done if not _is_synced(c, calls[n + 1 : cut])]
        data = [n for n in open_ if not calls[n].is_of_names]
        names = [n for n in open_ if calls[n].is_of_names]
        choices: list[tuple[set[int], int]] = [(set(open_), 0), (set(), 0)]
        choices += [(set(open_) - {n}, 0) for n in data[-2:]] + [({n}, 0) for n in data[:1]]
        choices += [(set(names), 0), (set(data), 0)]
        while len(choices) < most and open_:
            kept = {n for n in data if chance.random() < 0.5}
            for folder in {str(Path(calls[n].second or calls[n].path).parent) for n in names}:
                here = [
                    n for n in names if str(Path(calls[n].second or calls[n].path).parent) == folder
                ]
                kept |= set(here[: chance.randint(0, len(here))])
            choices.append((kept, chance.choice((0, SECTOR))))
        for kept, torn in choices[:most]:
            disk = Disk(start.names, start.bytes_of)
            for n, call in done:
                if n not in open_ or n in kept:
                    # Of the last write that was not synced, a part of its sectors may be there.
                    part = torn and n == max(data, default=-1) and call.kind == "W"
                    whole = len(call.data) // SECTOR * SECTOR
                    disk.apply(call, chance.randrange(0, whole + 1, SECTOR) if part else None)
            mark = disk.fingerprint()
            if mark not in seen:
                seen.add(mark)
                yield cut, disk
