"""What the page can take away: originals, one by one or as a ZIP archive, and lists of paths."""

from __future__ import annotations

import json
import secrets
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ..errors import PhotoError
from ..index.image_index import ImageIndex, IndexedPhoto
from .messages import ASKING, as_json, as_text, body_of, indexed
from .thumbnails import read_indexed

MOST_TAKEN = 10_000  # photos in one archive or list
MOST_KEPT = 20  # selections that wait to be downloaded
_PART = 1 << 20  # bytes of an archive that are sent at once
_PRIVATE = {"Cache-Control": "private, no-store"}
_MISSING = "NOT-IN-THIS-ARCHIVE.txt"


class DownloadPage:
    """The page's files. Everything here may run in several threads at once."""

    def __init__(self, index: ImageIndex) -> None:
        self._index = index
        self._chosen: OrderedDict[str, list[int]] = OrderedDict()
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """List what can be asked for."""
        return [
            Route("/original/{id:int}/{version}", self.original),
            Route("/api/paths", self.paths, methods=["POST"], name=ASKING),
            Route("/api/archives", self.choose, methods=["POST"], name=ASKING),
            Route("/archive/{key}", self.archive),
        ]

    def original(self, request: Request) -> Response:
        """Give a photo's file as it is."""
        photo = indexed(self._index, request)
        return Response(
            read_indexed(photo),
            media_type="application/octet-stream",  # to be kept, not to be shown
            headers={**_PRIVATE, "Content-Disposition": _attachment(photo.path.name)},
        )

    async def paths(self, request: Request) -> Response:
        """Give the paths of photos: a list of ids becomes a list of paths."""
        wanted = await _ids_of(request)
        photos = await run_in_threadpool(lambda: list(self._index.photos(wanted)))
        return as_json([as_text(photo.path) for photo in photos])

    async def choose(self, request: Request) -> Response:
        """Choose photos for an archive; gives the key under which it can be downloaded."""
        wanted = await _ids_of(request)
        key = secrets.token_urlsafe(9)
        with self._lock:
            self._chosen[key] = wanted
            while len(self._chosen) > MOST_KEPT:
                self._chosen.popitem(last=False)
        return as_json({"key": key})

    def archive(self, request: Request) -> Response:
        """Give the files of photos that were chosen, as a ZIP archive that is made on its way."""
        with self._lock:
            wanted = self._chosen.get(request.path_params["key"])
        if wanted is None:
            raise HTTPException(404, "these photos are not chosen any more: choose them again")
        return StreamingResponse(
            archive_of(self._index.photos(wanted)),
            media_type="application/zip",
            headers={**_PRIVATE, "Content-Disposition": _attachment("photos.zip")},
        )


class _Pipe:
    """A file for zipfile to write to, from which the bytes are taken as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.waiting = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self.waiting += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: zipfile asks for it."""

    def close(self) -> None:
        """Do nothing, likewise."""

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        self.waiting = 0
        return taken


def archive_of(photos: Iterable[IndexedPhoto]) -> Iterator[bytes]:
    """Make a ZIP archive of photos, part by part.

    Memory holds one file at a time. The files are stored as they are: photos do not get smaller. A
    file that is gone, or is not the one that was indexed, is named in a text file of the archive.
    """
    pipe, missing, taken = _Pipe(), list[str](), set[str]()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for photo in photos:
            try:
                content = read_indexed(photo)
            except PhotoError as error:
                missing.append(f"{as_text(photo.path)}: {error.reason}\n")
                continue
            name = _free_name(as_text(photo.path.name), taken)
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as entry:
                for first in range(0, len(content), _PART):
                    entry.write(content[first : first + _PART])
                    yield pipe.take()
        if missing:
            archive.writestr(_free_name(_MISSING, taken), "".join(missing))
    yield pipe.take()


def _free_name(name: str, taken: set[str]) -> str:
    """Number a name that is in the archive already; systems differ in whether case counts."""
    stem, dot, suffix = name.rpartition(".")
    number, free = 1, name
    while free.casefold() in taken:
        number += 1
        free = f"{stem or suffix} ({number}){dot if stem else ''}{suffix if stem else ''}"
    taken.add(free.casefold())
    return free


def _attachment(name: str) -> str:
    """Name a file for the browser (RFC 6266)."""
    return f"attachment; filename*=UTF-8''{quote(as_text(name), safe='')}"


async def _ids_of(request: Request) -> list[int]:
    try:
        wanted = json.loads(await body_of(request))
    except ValueError:
        wanted = None
    if not isinstance(wanted, list) or not all(type(n) is int and 0 <= n < 2**63 for n in wanted):
        raise HTTPException(400, "a list of ids is needed")
    if len(wanted) > MOST_TAKEN:
        raise HTTPException(413, f"at most {MOST_TAKEN:,} photos can be taken at once")
    return list(dict.fromkeys(wanted))
