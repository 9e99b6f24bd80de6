"""What the page can ask for about the whole collection, arranged by likeness."""

from __future__ import annotations

from dataclasses import asdict

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..index.image_index import ImageIndex
from .messages import as_json, brief, number_of
from .overview import Overview

PART = 16  # columns and rows of a level in one answer
_FAR = 2**31


class OverviewPage:
    """The page's answers about the overview. Everything here may run in several threads at once."""

    def __init__(self, index: ImageIndex, overview: Overview) -> None:
        self._index = index
        self._overview = overview

    def routes(self) -> list[Route]:
        """List what can be asked for."""
        return [
            Route("/api/overview", self.overview),
            Route("/api/overview/{number:int}/photos", self.photos),
        ]

    def overview(self, request: Request) -> Response:
        """Tell what is arranged, and how far an arranging in progress is.

        ``levels`` are columns and rows, the finest first; each other level has a fourth of the
        cells of the one before.
        """
        arrangement, progress = self._overview.current()
        told: dict[str, object] = {"progress": asdict(progress), "part": PART, "number": 0}
        if arrangement:
            told |= {
                "number": arrangement.number,
                "photos": arrangement.photos,
                "levels": [list(level.shape[::-1]) for level in arrangement.levels],
            }
        return as_json(told)

    def photos(self, request: Request) -> Response:
        """List the photos of a part of a ``level``: part (``column``, ``row``), row by row.

        Cells without a photo, and those beyond the level's edge, are null.
        """
        arrangement, _ = self._overview.current()
        if arrangement is None or arrangement.number != request.path_params["number"]:
            raise HTTPException(404, "the photos have been arranged anew")
        level = number_of(request, "level", 0, _FAR)
        if level >= len(arrangement.levels):
            raise HTTPException(404, "there is no such level")
        left = PART * number_of(request, "column", 0, _FAR)
        top = PART * number_of(request, "row", 0, _FAR)
        cells = arrangement.levels[level][top : top + PART, left : left + PART].tolist()
        wanted = [number for row in cells for number in row if number >= 0]
        found = {photo.id: brief(photo) for photo in self._index.photos(wanted)}
        return as_json([[found.get(number) for number in row] for row in cells])
