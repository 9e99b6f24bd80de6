"""How requests and answers look."""

from __future__ import annotations

import os
import traceback
from datetime import datetime, timezone
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..errors import IndexBusyError, visible
from ..index.image_index import ImageIndex, IndexedPhoto
from ..index.periods import period_of
from ..index.results import Order as AnswerOrder
from .listing import EVERY, Filter, Folder, Listing, Order

ASKING = "asks"  # name of a route by which nothing is decided, though it is no GET
UPLOAD_BYTES = 50_000_000
GREATEST_ID = 2**63 - 1  # that SQLite can hold, and never reaches
VERSION_DIGITS = 16  # of the content digest, in a photo's address
_KEEP = "private, max-age=86400, immutable"  # an address with a version never shows anything else


# --- requests ------------------------------------------------------------------------------------


async def body_of(request: Request) -> bytes:
    """Read the body, but never more than ``UPLOAD_BYTES``."""
    too_much = f"this server takes files of up to {UPLOAD_BYTES // 1_000_000} MB"
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > UPLOAD_BYTES:
        raise HTTPException(413, too_much)
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > UPLOAD_BYTES:
            raise HTTPException(413, too_much)
    return bytes(content)


def folder_of(request: Request, listing: Listing) -> Folder | None:
    """Find the folder that a request is about; None where it is about all."""
    key = request.query_params.get("folder")
    if not key:
        return None
    if key not in listing.folders:
        raise HTTPException(404, "this folder has no photos in the index any more")
    return listing.folders[key]


def filter_of(request: Request) -> Filter:
    """Read which photos are wanted: ``since``, ``until``, ``camera``, ``label``.

    Raises:
        UsageError: a date is none.
    """
    since, until, camera, label = (
        request.query_params.get(name) or None for name in ("since", "until", "camera", "label")
    )
    if not (since or until or camera or label):
        return EVERY
    return Filter(
        period_of(since).begin if since else None,
        period_of(until).end if until else None,
        camera,
        label,
    )


def number_of(request: Request, name: str, default: int, most: int) -> int:
    """Read a whole number from 0 to ``most`` from the address."""
    try:
        return min(max(0, int(request.query_params.get(name, default))), most)
    except ValueError:
        raise HTTPException(400, f"{name} must be a whole number") from None


def numbers_of(request: Request, name: str, most: int) -> list[int]:
    """Read up to ``most`` ids from the address, with commas between them."""
    words = [word for word in request.query_params.get(name, "").split(",") if word]
    if len(words) > most or not all(word.isdecimal() for word in words):
        raise HTTPException(400, f"{name} must be up to {most} whole numbers")
    return [min(int(word), GREATEST_ID) for word in dict.fromkeys(words)]


def order_of(request: Request) -> Order:
    """Read the order that photos are wanted in."""
    return "path" if request.query_params.get("order") == "path" else "taken"


def answer_order_of(request: Request) -> AnswerOrder:
    """Read the order that answers to a search are wanted in."""
    return "date" if request.query_params.get("order") == "date" else "likeness"


def indexed(index: ImageIndex, request: Request) -> IndexedPhoto:
    """Find the photo that a request is about, by its id and, where one is given, its version."""
    version = request.path_params.get("version", "")
    number = min(request.path_params["id"], GREATEST_ID)
    for photo in index.photos([number]):
        if not version or version == version_of(photo):
            return photo
    raise HTTPException(404, "this photo is not in the index any more")


# --- answers -------------------------------------------------------------------------------------


def brief(photo: IndexedPhoto) -> dict[str, object]:
    """Describe a photo as far as it takes to show it in a grid."""
    return {
        "id": photo.id,
        "version": version_of(photo),
        "name": shown(photo.path.name),
        "width": photo.width,
        "height": photo.height,
    }


def version_of(photo: IndexedPhoto) -> str:
    """Tell a photo from another one that had or will have its id."""
    return photo.digest.hex()[:VERSION_DIGITS]


def as_text(path: Path | str) -> str:
    """Write a path as text for programs: what is not valid UTF-8 becomes �."""
    return os.fsencode(path).decode("utf-8", "replace")


def shown(path: Path | str) -> str:
    """Write a path for people: so that all of it is seen, and nothing of it turns text around."""
    return visible(as_text(path))


def wall_clock(milliseconds: int | None) -> str | None:
    """Write a time of the local clock as ISO 8601; None for one that no calendar has."""
    if milliseconds is None:
        return None
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def as_json(content: object, status: int = 200) -> Response:
    """Answer with something that is true now."""
    return JSONResponse(content, status, headers={"Cache-Control": "no-store"})


def as_jpeg(content: bytes) -> Response:
    """Answer with a picture that stays true."""
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": _KEEP})


def as_told(request: Request, error: Exception) -> Response:
    """Answer with the one line of an ImgsimError."""
    answer = as_json(
        {"error": shown(str(error))}, 503 if isinstance(error, IndexBusyError) else 422
    )
    if isinstance(error, IndexBusyError):
        answer.headers["Retry-After"] = "1"
    return answer


def as_refused(request: Request, error: Exception) -> Response:
    """Answer with the one line of an HTTPException."""
    assert isinstance(error, HTTPException)
    return as_json({"error": error.detail}, error.status_code)


def as_left(request: Request, error: Exception) -> Response:
    """Answer nobody: whoever asked has left."""
    return Response(status_code=400)


def as_failed(request: Request, error: Exception) -> Response:
    """Answer after an error that is not the user's, and show it where the server was started."""
    traceback.print_exception(error)
    return as_json({"error": "the server has failed: see the terminal that it runs in"}, 500)
