"""Stage 1: which files under a folder may be photos.

A file counts by its suffix (in any case), as ``formats`` knows it; what is known and cannot be read
here is listed apart. Hidden files and folders, the ``._*`` shadows that macOS
leaves on other systems' drives, folders in which cameras, NAS boxes and desktops keep thumbnails or
rubbish, and what the user excludes are passed over. Symbolic links are followed; each real folder
is entered once. File systems that are mounted below the folder are entered too, and marked.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from .formats import passed_over_suffixes, readable_suffixes
from .ignore import IGNORE_FILE, Pattern, patterns, patterns_in

_name = attrgetter("name")  # of an entry of a folder

SKIPPED_FOLDERS = frozenset(
    {
        "@eadir",  # Synology: thumbnails
        "@recycle",  # QNAP
        "#recycle",  # Synology
        "#snapshot",
        "$recycle.bin",  # Windows
        "system volume information",
        "lost+found",  # ext4
        "__macosx",  # what macOS adds to archives
    }
)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that may be a photo.

    Attributes:
        path: relative to the folder that was scanned, ``/`` between its parts.
        size: in bytes.
        mtime_ns: time of the last change, in nanoseconds since 1970.
    """

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class FoundFolder:
    """A folder that was listed, its files as columns: a scan may meet a million of them.

    Attributes:
        path: relative to the folder that was scanned, ``/`` between its parts (``""`` is that
            folder itself).
        is_mount: another file system begins here than its parent folder is on.
        names: of its files, in their order.
        sizes: of the files in bytes.
        times: of the files' last changes, in nanoseconds since 1970.
        doubtful: names of files of which the system would not tell whether they are there.
        passed_over: names of files of a known format that cannot be read here.
    """

    path: str
    is_mount: bool
    names: list[str]
    sizes: list[int]
    times: list[int]
    doubtful: list[str]
    passed_over: list[str] = field(default_factory=list)

    def listing(self) -> bytes:
        """Hash the names, sizes and times (BLAKE2b, 16 bytes long)."""
        numbers = struct.pack(f"<{2 * len(self.names)}q", *self.sizes, *self.times)
        names = os.fsencode("\0".join(self.names))
        return hashlib.blake2b(names + b"\0" + numbers, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class ClosedFolder:
    """A folder that could not be listed: nothing is known about what is under it.

    Attributes:
        path: relative to the folder that was scanned (``""`` is that folder itself).
        reason: why.
    """

    path: str
    reason: str


def scan(
    folder: Path, below: str = "", exclude: Sequence[str] = ()
) -> Iterator[FoundFolder | ClosedFolder]:
    """Walk a folder and all below it, in the order of names.

    Args:
        folder: what the paths of the answer are relative to.
        below: only this part of it (``""`` for all).
        exclude: patterns of what is passed over; see ``ignore``.
    """
    # Strings and os.scandir rather than Path objects: this is what a second run spends its time on.
    top = os.path.join(folder, below) if below else str(folder)  # noqa: PTH118
    entered: set[tuple[int, int] | str] = set()
    try:
        rules = _rules_above(str(folder), below, patterns(exclude))
        above = os.path.dirname(os.path.abspath(top))  # noqa: PTH100, PTH120
        device = os.stat(above).st_dev  # noqa: PTH116
    except OSError as error:
        yield ClosedFolder(below, error.strerror or str(error))
        return
    waiting = [(top, below, device, rules)]
    while waiting:
        path, relative, device, rules = waiting.pop()
        try:
            status = os.stat(path)  # noqa: PTH116
            # Some network file systems number nothing: there the path without links must do.
            identity: tuple[int, int] | str = (status.st_dev, status.st_ino)
            if not status.st_ino:
                identity = os.path.realpath(path)
            if identity in entered:
                continue  # reached before, through a link
            entered.add(identity)
            with os.scandir(path) as listing:
                entries = sorted(listing, key=_name)
            if IGNORE_FILE in map(_name, entries):
                rules = rules + patterns_in(path, relative)
        except OSError as error:
            yield ClosedFolder(relative, error.strerror or str(error))
            continue
        found = FoundFolder(relative, status.st_dev != device, [], [], [], [])
        folders = _sort_out(entries, rules, found)
        yield found
        prefix = f"{relative}/" if relative else ""
        waiting.extend(
            (entry.path, prefix + entry.name, status.st_dev, rules) for entry in reversed(folders)
        )


def scan_files(
    folder: Path, below: str = "", exclude: Sequence[str] = ()
) -> Iterator[FoundFile | ClosedFolder]:
    """Walk a folder and all below it; see :func:`scan`. Each file comes by itself."""
    for found in scan(folder, below, exclude):
        if isinstance(found, ClosedFolder):
            yield found
            continue
        prefix = f"{found.path}/" if found.path else ""
        for name, size, mtime_ns in zip(found.names, found.sizes, found.times, strict=True):
            yield FoundFile(prefix + name, size, mtime_ns)


def find_file(folder: Path, path: str, exclude: Sequence[str] = ()) -> FoundFile | None:
    """Look at one file, given by its path from ``folder``; None where a scan would not find it.

    Raises:
        OSError: the system would not tell whether it is there.
    """
    parent, _, name = path.rpartition("/")
    rules = _rules_above(str(folder), path, patterns(exclude))
    above = path.split("/")[:-1]
    hidden = any(_is_skipped(part) for part in above) or name.startswith(".")
    depths = range(1, len(above) + 1)
    if hidden or any(_excluded("/".join(above[:n]), above[n - 1], True, rules) for n in depths):
        return None
    suffix = name[name.rfind(".") :].lower()
    if suffix not in readable_suffixes() or _excluded(path, name, False, rules):
        return None
    file = folder / parent / name
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return FoundFile(path, status.st_size, status.st_mtime_ns) if file.is_file() else None


def _rules_above(folder: str, below: str, rules: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
    """Add the patterns of the folders from the root down to the one above ``below``."""
    parts = below.split("/") if below else []
    for depth in range(len(parts)):
        base = "/".join(parts[:depth])
        rules += patterns_in(os.path.join(folder, base), base)  # noqa: PTH118
    return rules


def _sort_out(
    entries: list[os.DirEntry[str]], rules: tuple[Pattern, ...], found: FoundFolder
) -> list[os.DirEntry[str]]:
    """Fill in a folder's files and give back its folders."""
    folders = []
    prefix = f"{found.path}/" if found.path else ""
    names, sizes, times, suffixes = found.names, found.sizes, found.times, readable_suffixes()
    known = passed_over_suffixes()
    for entry in entries:
        name = entry.name
        suffix = name[name.rfind(".") :]
        if suffix not in suffixes:
            suffix = suffix.lower()
        try:
            if (
                suffix in suffixes
                and entry.is_file()
                and name[0] != "."
                and not (rules and _excluded(prefix + name, name, False, rules))
            ):
                status = entry.stat()
                names.append(name)
                sizes.append(status.st_size)
                times.append(status.st_mtime_ns)
            elif suffix in known and entry.is_file():
                if name[0] != "." and not (rules and _excluded(prefix + name, name, False, rules)):
                    found.passed_over.append(name)
            elif (
                entry.is_dir()
                and not _is_skipped(name)
                and not (rules and _excluded(prefix + name, name, True, rules))
            ):
                folders.append(entry)
        except FileNotFoundError:
            continue  # vanished between the listing and the look, or a link that leads nowhere
        except OSError:
            found.doubtful.append(name)
    return folders


def _is_skipped(name: str) -> bool:
    return name[0] == "." or name.lower() in SKIPPED_FOLDERS


def _excluded(path: str, name: str, is_folder: bool, rules: tuple[Pattern, ...]) -> bool:
    return any(rule.fits(path, name, is_folder) for rule in rules)
