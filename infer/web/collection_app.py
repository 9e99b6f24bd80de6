"""What the page can ask for about the collection: its folders, months, labels and photos."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..index.image_index import ImageIndex
from .listing import Collection, Listing
from .messages import (
    as_json,
    brief,
    filter_of,
    folder_of,
    indexed,
    number_of,
    order_of,
    shown,
    wall_clock,
)

MOST_LISTED = 500  # photos in one part of the listing


class CollectionPage:
    """The page's answers about the collection. Everything here may run in several threads."""

    def __init__(self, index: ImageIndex, collection: Collection) -> None:
        self._index = index
        self._collection = collection

    def routes(self) -> list[Route]:
        """List what can be asked for."""
        return [
            Route("/api/folders", self.folders),
            Route("/api/cameras", self.cameras),
            Route("/api/labels", self.labels),
            Route("/api/sections", self.sections),
            Route("/api/photos", self.photos),
            Route("/api/photos/{id:int}", self.photo),
            Route("/api/unreadable", self.unreadable),
        ]

    def folders(self, request: Request) -> Response:
        """List the folders that have photos below them, in the order of their paths."""
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

    def cameras(self, request: Request) -> Response:
        """List the cameras that photos were taken with, in the order of their names."""
        cameras = self._collection.current().cameras
        return as_json(
            [
                {"name": name, "shown": shown(name), "photos": photos}
                for name, photos in cameras.items()
            ]
        )

    def labels(self, request: Request) -> Response:
        """List the labels in the order of their names, and how much was said about each."""
        return as_json({"labels": [asdict(label) for label in self._index.labels()]})

    def sections(self, request: Request) -> Response:
        """Count the photos under each heading of a ``folder`` in an ``order``.

        Of the photos those for which :func:`~.messages.filter_of` holds, here as below.

        A heading is a month (``"2024-05"``; null for photos without a date) or the key of a folder.
        Where no order is asked for and no photo has a date, it is that of folders: they tell more.
        """
        listing = self._collection.current()
        order = order_of(request)
        places = self._places(request, listing)
        found = listing.sections(places, order)
        if not request.query_params.get("order") and all(s.heading is None for s in found):
            order, places = "path", np.sort(places)
            found = listing.sections(places, order)
        return as_json(
            {
                "generation": listing.generation,
                "order": order,
                "sections": [{"heading": s.heading, "photos": s.photos} for s in found],
            }
        )

    def photos(self, request: Request) -> Response:
        """List ``count`` photos from ``first`` on, of a ``folder``, in an ``order``."""
        listing = self._collection.current()
        places = self._places(request, listing)
        first = number_of(request, "first", 0, len(places))
        count = number_of(request, "count", MOST_LISTED, MOST_LISTED)
        wanted = listing.by_path[places[first : first + count]].tolist()
        found = {photo.id: photo for photo in self._index.photos(wanted)}
        return as_json(
            {
                "generation": listing.generation,
                "total": len(places),
                # One that has left since then stays as a gap, so that the others keep their places.
                "photos": [brief(found[n]) if n in found else None for n in wanted],
            }
        )

    def photo(self, request: Request) -> Response:
        """Describe one photo, and its place in a ``folder`` and an ``order``."""
        photo = indexed(self._index, request)
        listing = self._collection.current()
        metadata = photo.metadata
        taken = metadata.taken_ms if metadata else None
        places = np.flatnonzero(listing.by_path[self._places(request, listing)] == photo.id)
        return as_json(
            {
                **brief(photo),
                "path": shown(photo.path),
                "folder": shown(photo.path.parent),
                "folder_key": listing.key_of(photo.path.parent),
                "bytes": photo.size,
                "changed": photo.mtime_ns // 1_000_000,  # milliseconds, as JavaScript counts
                # As the camera's clock stood, in whatever zone.
                "taken": wall_clock(taken),
                "taken_source": metadata.taken_source if metadata else None,
                "camera": shown(metadata.camera) if metadata and metadata.camera else None,
                "place": int(places[0]) if len(places) else None,
            }
        )

    def _places(self, request: Request, listing: Listing) -> NDArray[np.int64]:
        """Find the photos that a request is about, in its order."""
        only = self._collection.chosen(listing, filter_of(request))
        return listing.places(folder_of(request, listing), order_of(request), only)

    def unreadable(self, request: Request) -> Response:
        """List files that could not be read as photos, and why."""
        return as_json(
            [
                {"path": shown(problem.path), "reason": problem.reason}
                for problem in islice(self._index.unreadable(), MOST_LISTED)
            ]
        )
