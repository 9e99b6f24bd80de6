"""What the page can ask for about duplicates."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..duplicates.align import TURNS
from ..duplicates.frames import WHOLE
from .listing import Collection
from .messages import ASKING, as_json, body_of, brief, folder_of, number_of, shown
from .review import Candidate, Review, Reviewed

MOST_GROUPS = 100  # in one answer


class ReviewPage:
    """The page's answers about duplicates. Everything here may run in several threads at once."""

    def __init__(self, review: Review, collection: Collection) -> None:
        self._review = review
        self._collection = collection

    def routes(self) -> list[Route]:
        """List what can be asked for."""
        group = "/api/duplicates/{search:int}/{number:int}"
        return [
            Route("/api/duplicates", self.status, methods=["GET"]),
            Route("/api/duplicates", self.start, methods=["POST"], name=ASKING),
            Route("/api/duplicates/groups", self.groups, methods=["GET"]),
            Route(f"{group}/stay", self.choose, methods=["POST"]),
            Route(f"{group}/not-duplicates", self.mark_not_duplicates, methods=["POST"]),
            Route("/api/plan", self.write, methods=["POST"]),
        ]

    def status(self, request: Request) -> Response:
        """Tell how far the search is, and what the plan would hold."""
        return as_json(asdict(self._review.status()))

    def start(self, request: Request) -> Response:
        """Search for duplicates, below a ``folder``, with ``turned`` copies or without."""
        folder = folder_of(request, self._collection.current())
        turned = request.query_params.get("turned") == "yes"
        self._review.start(folder.path if folder else None, turned)
        return self.status(request)

    def groups(self, request: Request) -> Response:
        """List ``count`` groups from the ``first`` on."""
        first = number_of(request, "first", 0, 2**31)
        count = number_of(request, "count", MOST_GROUPS, MOST_GROUPS)
        return as_json([_group(group) for group in self._review.groups(first, count)])

    async def choose(self, request: Request) -> Response:
        """Decide which photos of a group stay: a list of their ids."""
        wanted = await _json_of(request)
        if not isinstance(wanted, list) or not all(isinstance(n, int) for n in wanted):
            raise HTTPException(400, "a list of ids is needed")
        group = await run_in_threadpool(self._review.choose, *_place(request), set(wanted))
        return as_json(_group(group))

    async def mark_not_duplicates(self, request: Request) -> Response:
        """Remember that the photos of a group are no duplicates (true), or take it back (false)."""
        wanted = await _json_of(request)
        if not isinstance(wanted, bool):
            raise HTTPException(400, "true or false is needed")
        group = await run_in_threadpool(self._review.mark_not_duplicates, *_place(request), wanted)
        return as_json(_group(group))

    def write(self, request: Request) -> Response:
        """Write the plan."""
        plan = self._review.write()
        return as_json(
            {"path": shown(self._review.plan_file), "files": plan.files, "bytes": plan.bytes}
        )


def _group(group: Reviewed) -> dict[str, object]:
    return {
        "photos": [_candidate(candidate) for candidate in group.candidates],
        "not_duplicates": group.not_duplicates,
    }


def _candidate(candidate: Candidate) -> dict[str, object]:
    photo, copy = candidate.photo, candidate.copy
    turn = TURNS.index(copy.turn) if copy else 0
    return {
        **brief(photo),
        "folder": shown(photo.path.parent),
        "bytes": photo.size,
        "stays": candidate.stays,
        "exact": copy.exact if copy else None,
        "certain": copy.certain if copy else None,
        "reason": copy.reason if copy else None,
        "score": round(copy.score, 3) if copy else None,
        "turn": copy.turn if copy else None,
        "mirrored": turn >= 4,
        "quarter_turns": turn % 4,
        "place": copy.place if copy else WHOLE,
    }


def _place(request: Request) -> tuple[int, int]:
    return request.path_params["search"], request.path_params["number"]


async def _json_of(request: Request) -> Any:
    try:
        return json.loads(await body_of(request))
    except ValueError:
        raise HTTPException(400, "JSON is needed") from None
