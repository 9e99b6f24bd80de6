"""Searching: by a photo of the index, by one that is sent, by a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field
from starlette.exceptions import HTTPException

from ...index.image_index import ImageIndex
from ...index.periods import period_of
from ...index.results import IndexedPhoto, Order
from .answers import Embedding, Matches, Vector, found_answer
from .endpoint import Asked, Endpoint, Message, Nothing, Wishes
from .photos import photo_at, photo_numbered

if TYPE_CHECKING:
    from ...index.query import Query

MOST_ANSWERS = 1000

Name = Annotated[str | None, Field(description="path of a photo of the index, or name of an item")]
Number = Annotated[int | None, Field(description="number of a photo of the index", ge=0)]


class SearchWishes(Wishes):
    """How an answer is wanted."""

    k: Annotated[int, Field(description="how many photos", ge=1, le=MOST_ANSWERS)] = 10
    within: Annotated[str | None, Field(description="only photos below this folder")] = None
    min_score: Annotated[
        float | None, Field(description="only photos with at least this score", ge=-1, le=1)
    ] = None
    min_rarity: Annotated[
        float | None,
        Field(
            description="only photos so similar that at most one random pair in so many is", ge=1
        ),
    ] = None
    since: Annotated[
        str | None, Field(description="only photos taken then or later: 2023, 2023-08, 2023-08-31")
    ] = None
    until: Annotated[
        str | None, Field(description="only photos taken then or earlier, all of it included")
    ] = None
    camera: Annotated[
        str | None, Field(description="only photos of a camera whose name contains this")
    ] = None
    label: Annotated[
        str | None, Field(description="only photos that were said to show this label")
    ] = None
    copies: Annotated[
        bool, Field(description="give every photo with the same bytes, not only the first")
    ] = True
    unrelated: Annotated[bool, Field(description="also give photos of the band weak")] = True
    order: Annotated[
        Order, Field(description="the most similar first, or the newest; ranks stay")
    ] = "likeness"
    exact: Annotated[bool, Field(description="compare with every photo")] = False


class LikeWishes(SearchWishes):
    """How an answer is wanted, and what it is to be like."""

    id: Number = None
    path: Name = None


class VectorMessage(Message):
    """A vector to search by."""

    vector: Vector


class SearchEndpoints:
    """Answers about likeness."""

    def __init__(self, index: ImageIndex) -> None:
        self._index = index

    def endpoints(self) -> list[Endpoint]:
        """List them."""
        return [
            Endpoint("GET", "/similar", self.like, Matches, LikeWishes),
            Endpoint("POST", "/similar", self.like_photo, Matches, SearchWishes, bytes),
            Endpoint(
                "POST", "/similar/vector", self.like_vector, Matches, SearchWishes, VectorMessage
            ),
            Endpoint("POST", "/embed", self.embed, Embedding, takes=bytes),
        ]

    def like(self, asked: Asked[LikeWishes, None]) -> Matches:
        """Find the photos most similar to one of the index: name its ``id`` or its ``path``."""
        wishes = asked.wishes
        if (wishes.id is None) == (wishes.path is None):
            raise HTTPException(400, "name one photo, by its id or by its path")
        return self._found(self._photo(wishes), wishes)

    def like_photo(self, asked: Asked[SearchWishes, bytes]) -> Matches:
        """Find the photos most similar to the one that is sent."""
        return self._found(asked.body, asked.wishes)

    def like_vector(self, asked: Asked[SearchWishes, VectorMessage]) -> Matches:
        """Find the photos most similar to a vector."""
        return self._found(np.array(asked.body.vector), asked.wishes)

    def embed(self, asked: Asked[Nothing, bytes]) -> Embedding:
        """Give the vector of the photo that is sent."""
        return Embedding(vector=self._index.embed([asked.body])[0].tolist())

    def _photo(self, wishes: LikeWishes) -> IndexedPhoto:
        if wishes.id is not None:
            return photo_numbered(self._index, wishes.id)
        return photo_at(self._index, wishes.path or "")

    def _found(self, query: Query, wishes: SearchWishes) -> Matches:
        matches = self._index.similar(
            query,
            wishes.k,
            exact=wishes.exact,
            within=wishes.within,
            since=period_of(wishes.since).begin if wishes.since else None,
            until=period_of(wishes.until).end if wishes.until else None,
            camera=wishes.camera,
            label=wishes.label,
            min_score=wishes.min_score,
            min_rarity=wishes.min_rarity,
            copies=wishes.copies,
            unrelated=wishes.unrelated,
            order=wishes.order,
        )
        return Matches(matches=[found_answer(match) for match in matches])
