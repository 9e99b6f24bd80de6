"""The pictures that the page can ask for."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..index.image_index import ImageIndex
from .messages import as_jpeg, indexed, number_of
from .thumbnails import VIEW_SIDE, VIEW_SIDES, Thumbnails
from .uploads import Uploads


class PicturePage:
    """The page's pictures. Everything here may run in several threads at once."""

    def __init__(self, index: ImageIndex, thumbnails: Thumbnails, uploads: Uploads) -> None:
        self._index = index
        self._thumbnails = thumbnails
        self._uploads = uploads

    def routes(self) -> list[Route]:
        """List what can be asked for."""
        return [
            Route("/thumbnail/{id:int}/{version}", self.thumbnail),
            Route("/view/{id:int}/{version}", self.view),
            Route("/upload/{key}", self.upload),
        ]

    def thumbnail(self, request: Request) -> Response:
        """Give a photo's thumbnail."""
        return as_jpeg(self._thumbnails.tile(indexed(self._index, request)))

    def view(self, request: Request) -> Response:
        """Give a large picture of a photo, about as large as the ``side`` that is asked for."""
        side = number_of(request, "side", VIEW_SIDE, VIEW_SIDES[-1])
        fitting = next(most for most in VIEW_SIDES if most >= side)
        return as_jpeg(self._thumbnails.view(indexed(self._index, request), fitting))

    def upload(self, request: Request) -> Response:
        """Give a picture of a photo that was searched by."""
        key = request.path_params["key"]
        with self._uploads.open(key) as file:
            return as_jpeg(self._thumbnails.of_file(file, self._uploads.name(key), VIEW_SIDE))
