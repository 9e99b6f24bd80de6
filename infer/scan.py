"""Stage 1: which files under a folder may be photos.

A file counts by its suffix (in any case). Hidden files and folders, the ``._*`` shadows that macOS
leaves on other systems' drives, and folders in which cameras, NAS boxes and desktops keep
thumbnails or rubbish are passed over. Symbolic links are followed; each real folder is entered
once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .photo import SUFFIXES

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
class ClosedFolder:
    """A folder that could not be listed: nothing is known about what is under it.

    Attributes:
        path: relative to the folder that was scanned (``""`` is that folder itself).
        reason: why.
    """

    path: str
    reason: str


def scan(folder: Path, below: str = "") -> Iterator[FoundFile | ClosedFolder]:
    """Walk a folder in the order of names.

    Args:
        folder: what the paths of the answer are relative to.
        below: only this part of it (``""`` for all).
    """
    return _walk(os.path.join(folder, below) if below else str(folder), below, set())  # noqa: PTH118


def _walk(
    folder: str, relative: str, entered: set[tuple[int, int]]
) -> Iterator[FoundFile | ClosedFolder]:
    # Strings and os.scandir rather than Path objects: this is what a second run spends its time on.
    try:
        status = os.stat(folder)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in entered:
            return  # reached before, through a link
        entered.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield ClosedFolder(relative, error.strerror or str(error))
        return
    for entry in entries:
        name = entry.name
        if name.startswith("."):
            continue
        path = f"{relative}/{name}" if relative else name
        try:
            if entry.is_dir():
                if name.lower() not in SKIPPED_FOLDERS:
                    yield from _walk(entry.path, path, entered)
            elif os.path.splitext(name)[1].lower() in SUFFIXES and entry.is_file():  # noqa: PTH122
                status = entry.stat()
                yield FoundFile(path, status.st_size, status.st_mtime_ns)
        except OSError:
            continue  # vanished between the listing and the look, or a link that leads nowhere
