"""Photos that were put to the page to search by.

They are kept for as long as the server runs, so that an answer's address can be opened again: on
disk, in files without a name that vanish with the process, and only the last ones.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from starlette.exceptions import HTTPException

from ..errors import PhotoError
from ..photos.opening import opened

UPLOAD_PIXELS = 80_000_000
MOST_KEPT = 30  # photos
MOST_BYTES = 300_000_000  # of all of them


@dataclass
class _Upload:
    file: BinaryIO
    size: int
    name: str
    lock: threading.Lock = field(default_factory=threading.Lock)  # a file has one position


class Uploads:
    """The photos that were searched by last. Safe to call from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Upload] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, content: bytes, name: str) -> str:
        """Keep a photo; gives the key by which it is found again."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open until it is dropped
        file.write(content)
        key = secrets.token_urlsafe(9)
        with self._lock:
            self._kept[key] = _Upload(file, len(content), name)
            while len(self._kept) > 1 and (
                len(self._kept) > MOST_KEPT
                or sum(upload.size for upload in self._kept.values()) > MOST_BYTES
            ):
                self._kept.popitem(last=False)  # closed once nobody reads it any more
        return key

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        """Give a photo's file at its beginning.

        Raises:
            HTTPException: it is not kept any more.
        """
        upload = self._upload(key)
        with upload.lock:
            upload.file.seek(0)
            yield upload.file

    def name(self, key: str) -> str:
        """Give the name that a photo came with.

        Raises:
            HTTPException: it is not kept any more.
        """
        return self._upload(key).name

    def _upload(self, key: str) -> _Upload:
        with self._lock:
            if key not in self._kept:
                raise HTTPException(404, "this photo is not kept any more: choose it again")
            self._kept.move_to_end(key)
            return self._kept[key]


def check_pixels(content: bytes) -> None:
    """Refuse a photo that would take much memory to decode, by what its header declares."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with opened(content, 0) as photo:
                pixels = photo.size[0] * photo.size[1]
    except Exception:  # noqa: BLE001 - what is wrong with it is told by the search
        return
    if pixels > UPLOAD_PIXELS:
        raise PhotoError(
            "image",
            f"has {pixels // 1_000_000} megapixels, this server takes up to "
            f"{UPLOAD_PIXELS // 1_000_000}: search for it with `imgsim-edge similar FILE`",
        )
