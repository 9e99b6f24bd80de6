"""What an endpoint of the HTTP API is, and how a request becomes its answer.

Handlers run in threads and are given what was asked for, checked. However many photos are sent at
once, few are held and fewer decoded at a time: the others wait in their connections, so that memory
is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...machine import available_cores
from ..messages import body_of
from ..uploads import check_pixels

MOST_HELD = 8  # photos in memory, each of up to UPLOAD_BYTES
BODY_SECONDS = 60  # that the body of one request may take to arrive


class Wishes(BaseModel):
    """Parameters in the address of a request; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Wishes):
    """No parameters."""


class Message(BaseModel):
    """Something written as JSON, in the body of a request or of an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Q = TypeVar("Q", bound=Wishes)
B = TypeVar("B", bound="bytes | Message | None")


@dataclass(frozen=True)
class Asked(Generic[Q, B]):
    """A request that was checked.

    Attributes:
        wishes: the parameters of its address.
        body: a photo's bytes, JSON, or None.
        place: what the path names, such as ``{"id": 7}``.
    """

    wishes: Q
    body: B
    place: dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """One thing that can be asked for.

    Attributes:
        method: of HTTP.
        path: below ``/v1``, as Starlette writes it (``/photos/{id:int}``).
        answer: gives the answer; the first line of its docstring tells what it does. Runs in a
            thread, and several at once.
        gives: type of the answer; ``bytes`` for a JPEG.
        wishes: type of the parameters.
        takes: type of the body; ``bytes`` for a photo, None for nothing.
        changes: it changes the index, and is refused by a server that only shows.
        public: it needs no token.
    """

    method: str
    path: str
    answer: Callable[[Any], Message | Response]
    gives: type[Message] | type[bytes]
    wishes: type[Wishes] = Nothing
    takes: type[Message] | type[bytes] | None = None
    changes: bool = False
    public: bool = False


class Desk:
    """Answers requests to endpoints: some at a time, and one that changes something.

    Args:
        read_only: refuse to change anything.
    """

    def __init__(self, *, read_only: bool = False) -> None:
        self._read_only = read_only
        self._held = asyncio.Semaphore(MOST_HELD)
        self._decoded = asyncio.Semaphore(available_cores())
        self._changing = asyncio.Lock()  # an index has one writer, the others wait here

    def route(self, endpoint: Endpoint, prefix: str = "") -> Route:
        """Make the route of an endpoint, below ``prefix``."""

        async def serve(request: Request) -> Response:
            if endpoint.changes and self._read_only:
                raise HTTPException(403, "this server only shows: it was started read-only")
            wishes = _checked(lambda: endpoint.wishes.model_validate(dict(request.query_params)))
            if endpoint.takes is bytes:
                async with self._held:
                    photo = await _body(request)
                    async with self._turn(endpoint), self._decoded:
                        return await run_in_threadpool(_answer, endpoint, request, wishes, photo)
            body = None
            if endpoint.takes is not None:
                body = _checked(_reader(endpoint.takes, await _body(request)))
            async with self._turn(endpoint):
                return await run_in_threadpool(_answer, endpoint, request, wishes, body)

        return Route(prefix + endpoint.path, serve, methods=[endpoint.method])

    def _turn(self, endpoint: Endpoint) -> AbstractAsyncContextManager[None]:
        return self._changing if endpoint.changes else nullcontext()


def _answer(
    endpoint: Endpoint, request: Request, wishes: Wishes, body: bytes | Message | None
) -> Response:
    if isinstance(body, bytes):
        check_pixels(body)
    given = endpoint.answer(Asked(wishes, body, request.path_params))
    if isinstance(given, Response):
        return given
    return Response(
        given.model_dump_json(),
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


async def _body(request: Request) -> bytes:
    try:
        return await asyncio.wait_for(body_of(request), BODY_SECONDS)
    except (TimeoutError, asyncio.TimeoutError):
        raise HTTPException(408, f"the body took more than {BODY_SECONDS} seconds") from None


def _reader(kind: type[Any], body: bytes) -> Callable[[], Message]:
    return lambda: kind.model_validate_json(body)


M = TypeVar("M", bound=BaseModel)


def _checked(read: Callable[[], M]) -> M:
    try:
        return read()
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise HTTPException(400, f"{where}: {first['msg']}" if where else first["msg"]) from None
