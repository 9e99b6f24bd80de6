"""What the page can ask for, put together.

Photos are named by their id in the index and the first digits of their content digest, never by a
path: what is not indexed cannot be asked for, and an id that was given to another photo meanwhile
does not show it under the old one's name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import EncoderError, ImgsimError, IndexMismatchError
from ..index.image_index import ImageIndex
from .collection_app import CollectionPage
from .download_app import DownloadPage
from .listing import Collection
from .messages import ASKING, UPLOAD_BYTES, as_failed, as_json, as_left, as_refused, as_told, shown
from .overview import Overview
from .overview_app import OverviewPage
from .picture_app import PicturePage
from .review import Review
from .review_app import ReviewPage
from .search_app import SearchPage
from .thumbnails import Thumbnails, default_cache
from .uploads import Uploads

if TYPE_CHECKING:
    from .service.endpoint import Desk

_INDEX_PAGE = "index.html"
# Written down here, since what the system says of them differs, and a wrong one stops the page.
_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


class _Later:
    """An ASGI application that is made when it is first asked: until then it takes no memory."""

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = self._app or self._make()  # nothing is awaited between: it is made once
        await self._app(scope, receive, send)


class Page:
    """The page's answers. Everything here may run in several threads at once.

    Args:
        index: what it shows.
        plan_file: where it writes its plan of what may go.
        thumbnails: where small pictures are kept; this user's cache where None.
        read_only: it shows, and decides nothing.

    Attributes:
        collection: the photos in order.
        review: the search for duplicates.
        thumbnails: the small pictures.
    """

    def __init__(
        self,
        index: ImageIndex,
        plan_file: Path,
        thumbnails: Thumbnails | None = None,
        *,
        read_only: bool = False,
    ) -> None:
        self.thumbnails = thumbnails or Thumbnails(default_cache())
        uploads = Uploads()
        self._index = index
        self._read_only = read_only
        self.collection = Collection(index)
        self.review = Review(index, plan_file)
        self._parts = (
            CollectionPage(index, self.collection),
            PicturePage(index, self.thumbnails, uploads),
            SearchPage(index, self.collection, uploads),
            DownloadPage(index),
            ReviewPage(self.review, self.collection),
            OverviewPage(index, Overview(index, self.collection)),
        )
        self._static = {
            file.name: file.read_bytes()
            for file in (resources.files(__package__) / "static").iterdir()
        }

    def app(self, more: Sequence[BaseRoute] = ()) -> Starlette:
        """Make the ASGI application, with ``more`` beside the page.

        :func:`server.run` puts the guard before it.
        """
        labels = _Later(self._labels)
        return Starlette(
            routes=[
                Route("/", self.static),
                Route("/static/{name}", self.static),
                Route("/api/state", self.state),
                Route("/api/model", self.model),
                *(self._open(route) for part in self._parts for route in part.routes()),
                Route("/api/labels/{rest:path}", labels),
                Route("/api/photos/{id:int}/labels", labels),
                *more,
            ],
            exception_handlers={
                ImgsimError: as_told,
                HTTPException: as_refused,
                ClientDisconnect: as_left,
                Exception: as_failed,
            },
        )

    @cached_property
    def desk(self) -> Desk:
        """Answers to endpoints, and lets one at a time change something."""
        from .service.endpoint import Desk

        return Desk(read_only=self._read_only)

    def _labels(self) -> ASGIApp:
        """Make what answers about labels."""
        from .service.labels import LabelEndpoints

        endpoints = LabelEndpoints(self._index).endpoints()
        return Router([self.desk.route(endpoint, "/api") for endpoint in endpoints])

    def _open(self, route: Route) -> Route:
        """Close a route by which something is decided where this page only shows."""
        asks = "GET" in (route.methods or ()) or route.name == ASKING
        if asks or not self._read_only:
            return route
        return Route(route.path, self.refuse, methods=list(route.methods or ()))

    def refuse(self, request: Request) -> Response:
        """Decide nothing."""
        raise HTTPException(403, "this page only shows: it was started read-only")

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

    @cached_property
    def _can_embed(self) -> bool:
        """Whether photos from elsewhere can be searched by: the index's encoder is there."""
        try:
            self._index.check_model()
        except (EncoderError, IndexMismatchError):
            return False
        return True

    def model(self, request: Request) -> Response:
        """Tell whether photos from elsewhere can be searched by."""
        return as_json({"can_embed": self._can_embed})

    def state(self, request: Request) -> Response:
        """Tell how many photos there are, and a number that changes when the index does."""
        listing = self.collection.current()
        return as_json(
            {
                "generation": listing.generation,
                "photos": len(listing.by_path),
                "unreadable": listing.unreadable,
                "away": [shown(root) for root in listing.roots if not root.is_dir()],
                "read_only": self._read_only,
                "upload_bytes": UPLOAD_BYTES,
            }
        )
