"""What the page can ask for about photos that are alike."""

from __future__ import annotations

import threading
from contextlib import nullcontext

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..errors import PhotoError
from ..index.image_index import ImageIndex, IndexedPhoto, Match
from .listing import Collection
from .messages import (
    ASKING,
    answer_order_of,
    as_json,
    body_of,
    brief,
    filter_of,
    folder_of,
    number_of,
    numbers_of,
    shown,
)
from .uploads import Uploads, check_pixels

MOST_ANSWERS = 500
MOST_EXAMPLES = 50  # photos that one search may be for, and against
LONGEST_NAME = 200  # letters of an upload's name that are kept


class SearchPage:
    """The page's answers about likeness. Everything here may run in several threads at once."""

    def __init__(self, index: ImageIndex, collection: Collection, uploads: Uploads) -> None:
        self._index = index
        self._collection = collection
        self._uploads = uploads
        self._one_upload = threading.Lock()  # one at a time, so that memory is bounded

    def routes(self) -> list[Route]:
        """List what can be asked for."""
        return [
            Route("/api/similar", self.similar),
            Route("/api/uploads", self.upload, methods=["POST"], name=ASKING),
        ]

    async def upload(self, request: Request) -> Response:
        """Take the photo in the request's body, to search by it; ``name`` is that of its file."""
        content = await body_of(request)
        return await run_in_threadpool(self._keep, request, content)

    def _keep(self, request: Request, content: bytes) -> Response:
        name = request.query_params.get("name", "")[:LONGEST_NAME]
        with self._one_upload:
            try:
                check_pixels(content)
                self._index.embed([content])  # what is no photo is told at once
            except PhotoError as error:
                raise PhotoError(name or "this file", error.reason) from None
            return as_json({"key": self._uploads.add(content, name)})

    def similar(self, request: Request) -> Response:
        """Find ``count`` photos like others, below a ``folder``, in an ``order``.

        ``like`` and ``unlike`` are lists of ids, ``upload`` the key of a photo that was uploaded.
        :func:`~.messages.filter_of` tells which photos are wanted.
        """
        like = self._examples(request, "like")
        unlike = self._examples(request, "unlike")
        key = request.query_params.get("upload")
        if not like and not key:
            raise HTTPException(400, "name a photo that the answers are to be like")
        folder = folder_of(request, self._collection.current())
        only = filter_of(request)
        wanted: list[IndexedPhoto | bytes] = [*like]
        if key:
            with self._uploads.open(key) as file:
                wanted.append(file.read())
        with self._one_upload if key else nullcontext():
            matches = self._index.similar(
                wanted[0],
                max(1, number_of(request, "count", 60, MOST_ANSWERS)),
                within=folder.path if folder else None,
                since=only.since,
                until=only.until,
                camera=only.camera,
                label=only.label,
                order=answer_order_of(request),
                combine=wanted[1:],
                exclude=unlike,
            )
        return as_json(
            {
                "upload": shown(self._uploads.name(key)) if key else None,
                "like": [brief(photo) for photo in like],
                "unlike": [brief(photo) for photo in unlike],
                "matches": self._described(matches),
            }
        )

    def _examples(self, request: Request, name: str) -> list[IndexedPhoto]:
        wanted = numbers_of(request, name, MOST_EXAMPLES)
        found = list(self._index.photos(wanted))
        if len(found) < len(wanted):
            raise HTTPException(404, "this photo is not in the index any more")
        return found

    def _described(self, matches: list[Match]) -> list[dict[str, object]]:
        photos = {photo.id: photo for photo in self._index.photos([m.id for m in matches])}
        return [
            {
                **brief(photos[match.id]),
                "score": round(match.score, 4),
                "rarity": match.rarity,
                "band": match.band,
            }
            for match in matches
            if match.id in photos
        ]
