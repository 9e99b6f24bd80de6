"""Small pictures of indexed photos, made once and kept on disk.

A thumbnail is found by the content digest of its photo, so that it outlives renames, is shared by
all indexes of a user, and is never that of another photo. What is read from a photo's file is shown
only if it has the digest that was indexed: a file that was swapped for another since then, or for a
link to one, is not shown.
"""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..encoder.embed import content_digest
from ..errors import PhotoError
from ..files import replacing
from ..index.image_index import IndexedPhoto
from ..machine import available_cores
from ..photos.decode import load_thumbnail

TILE_SIDE = 360  # pixels of the longer side: tiles are about 180 CSS pixels, often at twice that
VIEW_SIDES = (1280, 2048, 4096)  # pixels of the longer side where one photo is looked at
VIEW_SIDE = 2048  # where nothing is said
JPEG_QUALITY = 80
CACHE_BYTES = 1_000_000_000  # thumbnails of about 50,000 photos
TRIM_TO = 0.9  # of the cap: so that not every new thumbnail makes one leave
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


class Thumbnails:
    """Thumbnails of photos, from a folder that never grows much over a cap.

    Args:
        folder: where they lie; made when the first one is kept.
        cap: bytes that they may take.

    Safe to call from several threads, and for several processes with one folder.
    """

    def __init__(self, folder: Path, cap: int = CACHE_BYTES) -> None:
        self._folder = folder
        self._cap = cap
        self._bytes: int | None = None  # unknown until the first one is kept
        self._lock = threading.Lock()
        self._decoding = threading.Semaphore(available_cores())  # bounds the memory, too

    def tile(self, photo: IndexedPhoto) -> bytes:
        """Give a JPEG for the grid, from the cache where it is there.

        Raises:
            PhotoError: it is not in the cache, and its file is gone, changed or unreadable.
        """
        kept = self._path(photo.digest)
        try:
            jpeg = kept.read_bytes()
            # A power failure can leave a file without its end.
            if jpeg.startswith(_JPEG_START) and jpeg.endswith(_JPEG_END):
                _touch(kept)
                return jpeg
        except OSError:
            pass
        jpeg = self._shrink(photo, TILE_SIDE)
        self._keep(kept, jpeg)
        return jpeg

    def view(self, photo: IndexedPhoto, side: int = VIEW_SIDE) -> bytes:
        """Give a large JPEG of a photo, no side longer than ``side``. It is not kept.

        Raises:
            PhotoError: its file is gone, changed or unreadable.
        """
        return self._shrink(photo, side)

    def of_file(self, file: BinaryIO, name: str, side: int) -> bytes:
        """Give a JPEG of a photo that is not of the index, no side longer than ``side``.

        Raises:
            PhotoError: it is no photo.
        """
        return self._jpeg(lambda: file, name, side)

    def _shrink(self, photo: IndexedPhoto, side: int) -> bytes:
        return self._jpeg(lambda: read_indexed(photo), photo.path.name, side)

    def _jpeg(self, source: Callable[[], bytes | BinaryIO], name: str, side: int) -> bytes:
        with self._decoding:
            image = load_thumbnail(source(), side, name)
            jpeg = io.BytesIO()
            image.save(jpeg, "JPEG", quality=JPEG_QUALITY, progressive=side > TILE_SIDE)
        return jpeg.getvalue()

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._folder / name[:2] / f"{name[2:]}.jpg"

    def _keep(self, path: Path, jpeg: bytes) -> None:
        """Write a thumbnail whole or not at all; a cache that cannot be written is no error."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with replacing(path) as part:
                part.write_bytes(jpeg)
                part.chmod(0o600)
        except OSError:
            return
        with self._lock:
            if self._bytes is None:
                self._bytes = sum(size for _, size, _ in self._kept())
            else:
                self._bytes += len(jpeg)
            if self._bytes > self._cap:
                self._trim()

    def _kept(self) -> list[tuple[float, int, Path]]:
        """List what lies in the cache: time of last use, bytes, path."""
        kept = []
        for path in self._folder.glob("??/*"):
            try:
                status = path.stat()
            except OSError:
                continue  # another process has trimmed it
            kept.append((status.st_mtime, status.st_size, path))
        return kept

    def _trim(self) -> None:
        """Drop those that were not looked at for the longest time."""
        kept = sorted(self._kept())
        total = sum(size for _, size, _ in kept)
        for _, size, path in kept:
            if total <= self._cap * TRIM_TO:
                break
            path.unlink(missing_ok=True)
            total -= size
        self._bytes = total


def default_cache() -> Path:
    """Name the folder for this user's thumbnails."""
    from platformdirs import user_cache_path

    return user_cache_path("imgsim-edge", appauthor=False) / "thumbnails"


def read_indexed(photo: IndexedPhoto) -> bytes:
    """Read a photo's file, if it is still the one that was indexed.

    Raises:
        PhotoError: it is gone, no regular file, or has other bytes by now; or there never was one.
    """
    if not photo.has_file:
        raise PhotoError(photo.path, "was added by an app, without a file")
    try:
        # Without O_NONBLOCK, a pipe that was put in the file's place would block for ever.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(photo.path, flags)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            is_same = stat.S_ISREG(status.st_mode) and status.st_size == photo.size
            content = file.read(photo.size + 1) if is_same else b""
    except OSError as error:
        raise PhotoError(photo.path, error.strerror or str(error)) from error
    if not is_same or content_digest(content) != photo.digest:
        raise PhotoError(photo.path, "changed since it was indexed: index its folder again")
    return content


def _touch(path: Path) -> None:
    """Note that a thumbnail was used; a cache that cannot be written is no error."""
    try:
        os.utime(path)
    except OSError:
        return
