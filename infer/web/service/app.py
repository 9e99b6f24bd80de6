"""The HTTP API, put together."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from ...index.image_index import ImageIndex
from ..app import Page
from ..messages import as_json
from . import openapi, reference
from .duplicates import DuplicateEndpoints
from .endpoint import Endpoint
from .items import ItemEndpoints
from .labels import LabelEndpoints
from .photos import PhotoEndpoints
from .search import SearchEndpoints

PREFIX = "/v1"


class Service:
    """The HTTP API of an index.

    Args:
        index: that it answers about.
        page: beside which it is served, and whose listing, thumbnails and duplicates it shares.
        read_only: it changes nothing.
    """

    def __init__(self, index: ImageIndex, page: Page, *, read_only: bool = False) -> None:
        self._desk = page.desk
        self._parts = (
            PhotoEndpoints(index, page.collection, page.thumbnails, read_only=read_only),
            SearchEndpoints(index),
            ItemEndpoints(index),
            LabelEndpoints(index),
            DuplicateEndpoints(index, page.review),
        )

    @cached_property
    def endpoints(self) -> list[Endpoint]:
        """Everything that can be asked for."""
        return [endpoint for part in self._parts for endpoint in part.endpoints()]

    @property
    def public(self) -> list[str]:
        """Paths that need no token."""
        return [PREFIX + endpoint.path for endpoint in self.endpoints if endpoint.public]

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return openapi.document(self.endpoints, PREFIX)

    def mount(self) -> Mount:
        """Make the routes, below ``PREFIX``."""
        return Mount(
            PREFIX,
            routes=[
                *(self._desk.route(endpoint) for endpoint in self.endpoints),
                Route("/openapi.json", self.openapi),
                Route("/reference", self.reference),
            ],
        )

    def openapi(self, request: Request) -> Response:
        """Give the OpenAPI document."""
        return as_json(self.document)

    def reference(self, request: Request) -> Response:
        """Give the OpenAPI document as a page."""
        return HTMLResponse(reference.page(self.document), headers={"Cache-Control": "no-store"})
