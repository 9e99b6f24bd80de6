"""The errors that imgsim-edge raises on purpose.

Each message is one line that says what was wrong and, where there is one, the remedy; the command
line prints it as it is and exits with status 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


class ImgsimError(Exception):
    """Base class of every error that a caller may want to catch."""


class PhotoError(ImgsimError):
    """A file that cannot be read as a photo.

    Attributes:
        source: the file, or a word for it where the photo came from memory.
        reason: why, without the file's name (``"truncated image"``).
    """

    def __init__(self, source: Path | str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason


class EncoderError(ImgsimError):
    """A model file that is missing, damaged, or no encoder of the contract."""


class IndexMissingError(ImgsimError):
    """There is no index at the place that was named."""


class IndexMismatchError(ImgsimError):
    """The index was made by another encoder or by a newer version of its format."""


class IndexDamagedError(ImgsimError):
    """Bytes of the catalogue are not those that were written."""


class IndexBusyError(ImgsimError):
    """Another process is writing to the index."""


class UsageError(ImgsimError):
    """A request that cannot be met as it was put, such as a folder without photos."""


class PlanError(ImgsimError):
    """A plan that cannot be read, written or used."""


class JournalError(ImgsimError):
    """The journal of a cleanup that cannot be written or read."""


class CleanupError(ImgsimError):
    """A cleanup that cannot be done on this system."""


# What a terminal obeys, ends a line, or turns the text after it around: control characters (C0, C1,
# also as bytes that are no UTF-8), line and paragraph separators, marks of direction.
_NOT_SHOWN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\udc80-\udc9f]"
)


def visible(text: str) -> str:
    """Write out the characters of a file's name that would do something to where it is shown."""
    return _NOT_SHOWN.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number >= 0xDC80:  # a byte, as Python keeps it
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def one_line(said: object) -> str:
    """Bring the words of a library, which may be several lines, to one."""
    return " ".join(str(said).split())


@dataclass(frozen=True)
class Problem:
    """A file or folder that was left as it is, or out, while the work went on without it.

    Attributes:
        path: of the file or folder.
        reason: why, without the path.
    """

    path: Path
    reason: str
