"""Folders that are held open while files in them are looked at and moved.

A path can be made to lead elsewhere between two calls, by putting a symbolic link in the place of a
folder. A folder that is held cannot: its files are named by the folder and their own name alone
(``openat`` and its kin). Where the platform has no such calls (Windows), paths are used.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..encoder.embed import DIGEST_BYTES
from ..files import make_folder

HELD = os.open in os.supports_dir_fd and os.link in os.supports_dir_fd
_PART = 1 << 20  # bytes read at once
_FOLDER = getattr(os, "O_DIRECTORY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
# A pipe that took the place of a file must not keep anyone waiting.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | _NO_LINK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | _NO_LINK


class Folder:
    """A folder, held open. Names given to its methods are of files directly in it.

    Attributes:
        path: how it was reached.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    @contextmanager
    def held(cls, root: Path, path: Path, *, make: bool = False) -> Iterator[Folder]:
        """Hold a folder, reached from another one above it through no symbolic link.

        Args:
            root: may be reached through links.
            path: of the folder: ``root``, or below it.
            make: the folder and those between may be missing and are made then.

        Raises:
            OSError: there is none, something between is a link or no folder, or it is forbidden.
        """
        between = path.relative_to(root).parts
        if not HELD:
            if make:
                make_folder(path)
            yield cls(path, None)
            return
        if make:
            make_folder(root)
        here = os.open(root, os.O_RDONLY | _FOLDER)
        try:
            for name in between:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=here)
                        os.fsync(here)
                below = os.open(name, os.O_RDONLY | _FOLDER | _NO_LINK, dir_fd=here)
                os.close(here)
                here = below
            yield cls(path, here)
        finally:
            os.close(here)

    def status(self, name: str) -> os.stat_result | None:
        """Look at a file, not following a link; None where there is none."""
        try:
            return os.lstat(self._at(name), dir_fd=self._descriptor)
        except FileNotFoundError:
            return None

    def digest(self, name: str) -> tuple[bytes, os.stat_result]:
        """Hash a file, and look at the very same one.

        Raises:
            OSError: it cannot be read, or is not a file of its own.
        """
        hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
        with self._reading(name) as file:
            while part := file.read(_PART):
                hasher.update(part)
            return hasher.digest(), os.fstat(file.fileno())

    def link(self, name: str, other: Folder, new: str) -> None:
        """Give a file a second name. Raises FileExistsError where that is taken."""
        os.link(
            self._at(name),
            other._at(new),
            src_dir_fd=self._descriptor,
            dst_dir_fd=other._descriptor,
            follow_symlinks=False,
        )

    def copy(self, name: str, other: Folder, new: str) -> bytes:
        """Copy a file with time, permissions and attributes to a new one, synced.

        Returns:
            the digest of the bytes that were copied.
        """
        hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
        with self._reading(name) as file:
            status = os.fstat(file.fileno())
            descriptor = os.open(other._at(new), _WRITE, 0o600, dir_fd=other._descriptor)
            with open(descriptor, "wb") as written:  # noqa: PTH123 - it is open already
                while part := file.read(_PART):
                    hasher.update(part)
                    written.write(part)
                written.flush()
                _copy_attributes(file.fileno(), descriptor)
                set_status(descriptor, stat.S_IMODE(status.st_mode), status.st_mtime_ns)
                os.fsync(descriptor)
        return hasher.digest()

    def replace(self, name: str, new: str) -> None:
        """Rename a file, over another one where that name is taken."""
        os.replace(
            self._at(name),
            self._at(new),
            src_dir_fd=self._descriptor,
            dst_dir_fd=self._descriptor,
        )

    def remove(self, name: str) -> None:
        """Remove a name; it may be missing."""
        with suppress(FileNotFoundError):
            os.unlink(self._at(name), dir_fd=self._descriptor)

    def set_status(self, name: str, mode: int, mtime_ns: int) -> None:
        """Give a file permissions and the time of its last change, and sync it."""
        descriptor = os.open(self._at(name), _READ, dir_fd=self._descriptor)
        try:
            set_status(descriptor, mode, mtime_ns)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync(self) -> None:
        """Have its names on the disk when this returns, where the platform has a way to."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def _at(self, name: str) -> str:
        return name if self._descriptor is not None else str(self.path / name)

    @contextmanager
    def _reading(self, name: str) -> Iterator[BinaryIO]:
        descriptor = os.open(self._at(name), _READ, dir_fd=self._descriptor)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - it is open already
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a file")
            yield file


def set_status(descriptor: int, mode: int, mtime_ns: int) -> None:
    """Give an open file permissions and the time of its last change, as far as that can be."""
    if os.chmod in os.supports_fd:
        os.chmod(descriptor, mode)
    if os.utime in os.supports_fd:
        os.utime(descriptor, ns=(mtime_ns, mtime_ns))


def _copy_attributes(source: int, target: int) -> None:
    """Copy extended attributes, such as tags, where there are any."""
    if hasattr(os, "listxattr"):
        with suppress(OSError):
            for name in os.listxattr(source):
                with suppress(OSError):
                    os.setxattr(target, name, os.getxattr(source, name))


def same_file(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    """Tell whether two looks at a file saw the same one."""
    return one is not None and other is not None and os.path.samestat(one, other)


def root_of(path: Path, roots: Iterable[Path]) -> Path | None:
    """Name the innermost of some folders that a path is below; None where it is below none."""
    if ".." in path.parts:
        return None
    above = [root for root in roots if root in path.parents]
    return max(above, key=lambda root: len(root.parts), default=None)
