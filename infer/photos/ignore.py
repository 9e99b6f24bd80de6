"""Which files and folders the user wants to be passed over.

Patterns come from the command line (``--exclude``, remembered with the folder that was indexed) and
from files named ``.imgsimignore``, which count for the folder that they lie in and all below. They
are a plain subset of git's: a line is a glob with ``*``, ``?`` and ``[…]``; without a slash it fits
names at any depth, with one it fits the path from the folder that the pattern belongs to, where
``**`` stands for any number of folders; a slash at its end restricts it to folders. Empty lines,
those that begin with ``#`` and those longer than any glob would be say nothing. There is no
negation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

IGNORE_FILE = ".imgsimignore"
LONGEST = 1000  # signs of a glob; a file's name has 255 bytes at most


@dataclass(frozen=True)
class Pattern:
    """One pattern.

    Attributes:
        base: the folder that it belongs to, relative to the root (``""`` for the root itself).
        parts: the glob, cut at its slashes.
        is_anchored: it fits paths from ``base``, rather than names.
        only_folders: it fits no file.
    """

    base: str
    parts: tuple[str, ...]
    is_anchored: bool
    only_folders: bool

    def fits(self, path: str, name: str, is_folder: bool) -> bool:
        """Tell whether it fits a file or folder, given by its path from the root and its name."""
        if self.only_folders and not is_folder:
            return False
        if not self.is_anchored:
            return fnmatch(name, self.parts[0])
        inside = path[len(self.base) + 1 :] if self.base else path
        return _fits(inside.split("/"), self.parts)


def patterns(lines: Iterable[str], base: str = "") -> tuple[Pattern, ...]:
    """Read patterns, one from a line."""
    found = []
    for line in map(str.strip, lines):
        glob = line.strip("/")
        if glob and len(line) <= LONGEST and not line.startswith("#"):
            anchored = "/" in line.rstrip("/")
            found.append(Pattern(base, tuple(glob.split("/")), anchored, line.endswith("/")))
    return tuple(found)


def patterns_in(folder: str, base: str) -> tuple[Pattern, ...]:
    """Read the patterns of a folder's own file.

    Raises:
        OSError: the file is there and cannot be read, so that nothing may be concluded.
    """
    try:
        text = Path(folder, IGNORE_FILE).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ()
    return patterns(text.splitlines(), base)


def _fits(path: list[str], parts: tuple[str, ...]) -> bool:
    """Match names with globs; only the last ``**`` is asked to take more, which bounds the time."""
    place = part = resumed = 0
    last = -1  # the place of the last `**` among the parts
    while place < len(path):
        if part < len(parts) and parts[part] == "**":
            last, resumed, part = part, place, part + 1
        elif part < len(parts) and fnmatch(path[place], parts[part]):
            place, part = place + 1, part + 1
        elif last >= 0:
            resumed += 1
            place, part = resumed, last + 1
        else:
            return False
    return all(rest == "**" for rest in parts[part:])
