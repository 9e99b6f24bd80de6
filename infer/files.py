"""Writing files that are there whole or not at all, also after a power cut.

The one guarantee: a temporary file in the same folder, synced, renamed over the target, and the
folder synced. Whatever stops that leaves the file as it was or as it should be.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import UsageError

_number = itertools.count()


def data_folder(name: str, variable: str) -> Path:
    """Name a folder for this user's data: what an environment variable says, or the platform."""
    named = os.environ.get(variable)
    if named:
        return Path(named)
    from platformdirs import user_data_path

    return user_data_path("imgsim-edge", appauthor=False) / name


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a path to write to; what was written there takes its place when the block ends well.

    Where the block or the disk fails, what was at ``path`` before is still there. The lent path
    lies in the same folder, hidden, and has the same suffixes.

    Raises:
        OSError: it could not be written, for want of space, permission or a folder.
    """
    suffix = "".join(path.suffixes)[-32:]
    # Of no more bytes than a name may have, and of no other thread's.
    part = path.with_name(f".part-{os.getpid()}-{next(_number)}{suffix}")
    try:
        yield part
        publish(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Lend a path as :func:`replacing` does, for a file that a user named.

    Raises:
        UsageError: it could not be written, for want of space, permission or a folder.
    """
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder")
    try:
        with replacing(path) as part:
            yield part
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def publish(part: Path, path: Path) -> None:
    """Let a file that was written take the place of another, for good when this returns."""
    sync_file(part)
    part.replace(path)
    sync_folder(path.parent)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder and those above it, where needed, for good when this returns.

    Raises:
        OSError: it could not be made.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    for one in made:
        with suppress(PermissionError):  # a folder above that may be written to and not read
            sync_folder(one.parent)


def sync_file(path: Path) -> None:
    """Have a file's bytes on the disk when this returns."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power loss, where the platform has a way to."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
