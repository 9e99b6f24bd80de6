"""Photos and vectors that a program adds itself: they have a name, and no file."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field, Json
from starlette.exceptions import HTTPException

from ...index.image_index import ImageIndex
from ...index.items import Item
from .answers import Done, Payload, Photo, Vector, photo_answer
from .endpoint import Asked, Endpoint, Message, Nothing, Wishes


class ItemWishes(Wishes):
    """What to keep with a photo."""

    payload: Annotated[
        Json[Any] | None,
        Field(description="JSON that comes back with matches, up to 4,096 bytes"),
    ] = None


class ItemMessage(Message):
    """A vector, and what to keep with it."""

    vector: Vector
    payload: Payload = None


class ItemEndpoints:
    """Adding and removing what has no file."""

    def __init__(self, index: ImageIndex) -> None:
        self._index = index

    def endpoints(self) -> list[Endpoint]:
        """List them."""
        item = "/items/{name}"
        return [
            Endpoint("GET", item, self.item, Photo),
            Endpoint("PUT", item, self.put_photo, Photo, ItemWishes, bytes, changes=True),
            Endpoint(
                "PUT",
                f"{item}/vector",
                self.put_vector,
                Photo,
                takes=ItemMessage,
                changes=True,
            ),
            Endpoint("DELETE", item, self.discard, Done, changes=True),
        ]

    def item(self, asked: Asked[Nothing, None]) -> Photo:
        """Describe the item of a name."""
        return self._described(asked.place["name"])

    def put_photo(self, asked: Asked[ItemWishes, bytes]) -> Photo:
        """Add the photo that is sent, under a name; one of that name is replaced."""
        name = asked.place["name"]
        self._index.upsert([Item(name, asked.body, asked.wishes.payload)])
        return self._described(name)

    def put_vector(self, asked: Asked[Nothing, ItemMessage]) -> Photo:
        """Add a vector, under a name; an item of that name is replaced."""
        name = asked.place["name"]
        vector = np.array(asked.body.vector, dtype=np.float32)
        self._index.upsert([Item(name, vector, asked.body.payload)])
        return self._described(name)

    def discard(self, asked: Asked[Nothing, None]) -> Done:
        """Take the item of a name out of the index."""
        return Done(count=self._index.discard([asked.place["name"]]))

    def _described(self, name: str) -> Photo:
        found = self._index.item(name)
        if found is None:
            raise HTTPException(404, f"no item is called {name}")
        return photo_answer(found)
