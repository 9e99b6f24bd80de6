"""What the page can ask for.

Photos are named by their id in the index and the first digits of their content digest, never by a
path: what is not indexed cannot be asked for, and an id that was given to another photo meanwhile
does not show it under the old one's name.
"""

from __future__ import annotations

import threading
import warnings
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..errors import ImgsimError, PhotoError
from ..index.image_index import ImageIndex, IndexedPhoto, Match
from ..photos.opening import opened
from .listing import Collection
from .messages import (
    UPLOAD_BYTES,
    as_failed,
    as_jpeg,
    as_json,
    as_refused,
    as_told,
    body_of,
    brief,
    folder_of,
    number_of,
    shown,
    version_of,
)
from .review import Review
from .review_app import ReviewPage
from .thumbnails import Thumbnails

UPLOAD_PIXELS = 80_000_000
MOST_LISTED = 500  # photos in one part of the listing
MOST_ANSWERS = 500
GREATEST_ID = 2**63 - 1  # that SQLite can hold, and never reaches
_INDEX_PAGE = "index.html"
# Written down here, since what the system says of them differs, and a wrong one stops the page.
_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


class Page:
    """The page's answers. Everything here may run in several threads at once."""

    def __init__(self, index: ImageIndex, thumbnails: Thumbnails, plan_file: Path) -> None:
        self._index = index
        self._thumbnails = thumbnails
        self._collection = Collection(index)
        self._review = ReviewPage(Review(index, plan_file), self._collection)
        self._one_upload = threading.Lock()  # one at a time, so that memory is bounded
        self._static = {
            file.name: file.read_bytes()
            for file in (resources.files(__package__) / "static").iterdir()
        }

    def app(self) -> Starlette:
        """Make the ASGI application."""
        get, post = ["GET"], ["POST"]
        return Starlette(
            routes=[
                Route("/", self.static, methods=get),
                Route("/static/{name}", self.static, methods=get),
                Route("/api/state", self.state, methods=get),
                Route("/api/folders", self.folders, methods=get),
                Route("/api/photos", self.photos, methods=get),
                Route("/api/photos/{id:int}", self.photo, methods=get),
                Route("/api/photos/{id:int}/similar", self.similar, methods=get),
                Route("/api/search", self.search, methods=post),
                Route("/thumbnail/{id:int}/{version}", self.thumbnail, methods=get),
                Route("/view/{id:int}/{version}", self.view, methods=get),
                *self._review.routes(),
            ],
            exception_handlers={
                ImgsimError: as_told,
                HTTPException: as_refused,
                Exception: as_failed,
            },
        )

    # --- the page itself -------------------------------------------------------------------------

    def static(self, request: Request) -> Response:
        """Give a file of the page."""
        name = request.path_params.get("name", _INDEX_PAGE)
        if name not in self._static:
            raise HTTPException(404, "no such file")
        return Response(
            self._static[name],
            media_type=_MEDIA_TYPES[Path(name).suffix],
            headers={"Cache-Control": "no-cache"},
        )

    # --- the collection --------------------------------------------------------------------------

    def state(self, request: Request) -> Response:
        """Tell how many photos there are, and a number that changes when the index does."""
        listing = self._collection.current()
        return as_json(
            {
                "generation": listing.generation,
                "photos": len(listing.by_path),
                "upload_bytes": UPLOAD_BYTES,
            }
        )

    def folders(self, request: Request) -> Response:
        """List the folders that have photos below them."""
        listing = self._collection.current()
        return as_json(
            [
                {
                    "key": folder.key,
                    "name": shown(folder.path if folder.depth == 0 else folder.path.name),
                    "depth": folder.depth,
                    "photos": folder.stop - folder.first,
                }
                for folder in listing.folders.values()
            ]
        )

    def photos(self, request: Request) -> Response:
        """List ``count`` photos from ``first`` on, of a ``folder``, in an ``order`` (newest)."""
        listing = self._collection.current()
        folder = folder_of(request, listing)
        ids = listing.ids(folder, request.query_params.get("order") == "newest")
        first = number_of(request, "first", 0, len(ids))
        count = number_of(request, "count", MOST_LISTED, MOST_LISTED)
        wanted = ids[first : first + count].tolist()
        found = {photo.id: photo for photo in self._index.photos(wanted)}
        return as_json(
            {
                "generation": listing.generation,
                "total": len(ids),
                # One that has left since then stays as a gap, so that the others keep their places.
                "photos": [brief(found[n]) if n in found else None for n in wanted],
            }
        )

    def photo(self, request: Request) -> Response:
        """Describe one photo."""
        photo = self._photo(request)
        return as_json(
            {
                **brief(photo),
                "path": shown(photo.path),
                "bytes": photo.size,
                "changed": photo.mtime_ns // 1_000_000,  # milliseconds, as JavaScript counts
            }
        )

    def thumbnail(self, request: Request) -> Response:
        """Give a photo's thumbnail."""
        return as_jpeg(self._thumbnails.tile(self._photo(request)))

    def view(self, request: Request) -> Response:
        """Give a large picture of a photo."""
        return as_jpeg(self._thumbnails.view(self._photo(request)))

    def _photo(self, request: Request) -> IndexedPhoto:
        version = request.path_params.get("version", "")
        number = min(request.path_params["id"], GREATEST_ID)
        for photo in self._index.photos([number]):
            if not version or version == version_of(photo):
                return photo
        raise HTTPException(404, "this photo is not in the index any more")

    # --- searching -------------------------------------------------------------------------------

    def similar(self, request: Request) -> Response:
        """Find the neighbours of an indexed photo: ``count`` of them, below a ``folder``."""
        photo = self._photo(request)
        _, vectors = self._index.vectors([photo.id])
        if not len(vectors):
            raise HTTPException(404, "this photo is not in the index any more")
        return self._answers(
            self._index.similar(vectors[0], omit=(photo.id,), **self._wishes(request))
        )

    async def search(self, request: Request) -> Response:
        """Find the neighbours of the photo in the request's body; parameters as for similar."""
        content = await body_of(request)
        return await run_in_threadpool(self._search, request, content)

    def _search(self, request: Request, content: bytes) -> Response:
        with self._one_upload:
            _check_pixels(content)
            return self._answers(self._index.similar(content, **self._wishes(request)))

    def _wishes(self, request: Request) -> dict[str, Any]:
        folder = folder_of(request, self._collection.current())
        return {
            "k": max(1, number_of(request, "count", 60, MOST_ANSWERS)),
            "within": folder.path if folder else None,
        }

    def _answers(self, matches: list[Match]) -> Response:
        photos = {photo.id: photo for photo in self._index.photos([m.id for m in matches])}
        background = self._index.background()
        return as_json(
            [
                {
                    **brief(photos[match.id]),
                    "score": round(match.score, 4),
                    # The share of random pairs that are at least as similar.
                    "share": background.share(match.score) if background else None,
                }
                for match in matches
                if match.id in photos
            ]
        )


def _check_pixels(content: bytes) -> None:
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
            f"has {pixels // 1_000_000} megapixels, this page takes up to "
            f"{UPLOAD_PIXELS // 1_000_000}: search for it with `imgsim-edge similar FILE`",
        )
