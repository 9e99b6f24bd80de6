"""The system's trash: files go in by the library Send2Trash and come back where that can be proved.

Where a file went can be proved in a trash of the layout of freedesktop.org (Linux, BSD):
https://specifications.freedesktop.org/trash-spec/latest/
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

from ..errors import CleanupError

INSTALL = (
    "install it with `pip install 'imgsim-edge[trash]'`, or move the files to a folder instead"
)


def require_trash() -> None:
    """Make sure that files can be sent to the trash.

    Raises:
        CleanupError: the library is not installed, or knows no trash on this platform.
    """
    try:
        import send2trash  # noqa: F401
    except ImportError as error:
        raise CleanupError(f"the system's trash needs the library Send2Trash: {INSTALL}") from error


def send_to_trash(path: Path) -> None:
    """Send a file to the trash of the system.

    Raises:
        OSError: there is none for this file, or it refuses.
    """
    from send2trash import send2trash

    send2trash(str(path))


class Trashes:
    """The trashes that files under some paths may have gone to, as they are now.

    Args:
        paths: where the files were.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._infos: dict[Path, list[tuple[Path, Path]]] = {}
        for trash, top in _trashes(paths):
            for info in sorted((trash / "info").glob("*.trashinfo")):
                origin = _origin(info, top)
                if origin is not None:
                    file = trash / "files" / info.name.removesuffix(".trashinfo")
                    self._infos.setdefault(origin, []).append((file, info))

    def find(self, path: Path) -> list[tuple[Path, Path]]:
        """List what came from a path: the trashed file and the note about it."""
        return self._infos.get(path, [])


def _trashes(paths: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Name the trash folders, each with the folder that its notes' relative paths start from."""
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    yield home / "Trash", home
    if not hasattr(os, "getuid"):
        return
    for top in {_mount_point(path) for path in paths}:
        yield top / ".Trash" / str(os.getuid()), top
        yield top / f".Trash-{os.getuid()}", top


def _mount_point(path: Path) -> Path:
    folder = Path(os.path.realpath(path.parent))
    while not os.path.ismount(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def _origin(info: Path, top: Path) -> Path | None:
    try:
        lines = info.read_bytes().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(b"Path="):
            return top / os.fsdecode(unquote_to_bytes(line.removeprefix(b"Path=")))
    return None
