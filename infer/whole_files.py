"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UsageError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Lend a path to write to; what was written there takes its place when the block ends well.

    Where the block or the disk fails, what was at ``path`` before is still there. The lent path
    lies in the same folder, hidden, and has the same suffix.

    Raises:
        UsageError: it could not be written, for want of space, permission or a folder.
    """
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder")
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
