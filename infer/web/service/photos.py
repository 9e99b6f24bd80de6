"""The state of the index, and its photos by number and by path."""

from __future__ import annotations

from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...errors import PhotoError
from ...index.image_index import ImageIndex
from ...index.results import IndexedPhoto
from ..listing import Collection
from ..messages import GREATEST_ID, UPLOAD_BYTES, as_text
from ..thumbnails import VIEW_SIDES, Thumbnails
from ..uploads import UPLOAD_PIXELS
from .answers import (
    Embedding,
    Graph,
    Health,
    Photo,
    Photos,
    Status,
    Unreadable,
    UnreadableFiles,
    Updated,
    photo_answer,
)
from .endpoint import Asked, Endpoint, Nothing, Wishes

MOST_LISTED = 1000


class ListWishes(Wishes):
    """Which part of the photos."""

    first: Annotated[int, Field(description="how many to leave out", ge=0, le=GREATEST_ID)] = 0
    count: Annotated[int, Field(description="how many", ge=0, le=MOST_LISTED)] = 100
    within: Annotated[str | None, Field(description="only photos below this folder")] = None


class PathWishes(Wishes):
    """Which photo."""

    path: Annotated[str, Field(description="of a file, or an item's name")]


class PictureWishes(Wishes):
    """How large a picture."""

    side: Annotated[
        int, Field(description="of the picture in pixels, at most", ge=1, le=VIEW_SIDES[-1])
    ] = VIEW_SIDES[0]


class PhotoEndpoints:
    """Answers about the index and its photos."""

    def __init__(
        self,
        index: ImageIndex,
        collection: Collection,
        thumbnails: Thumbnails,
        *,
        read_only: bool,
    ) -> None:
        self._index = index
        self._collection = collection
        self._thumbnails = thumbnails
        self._read_only = read_only

    def endpoints(self) -> list[Endpoint]:
        """List them."""
        return [
            Endpoint("GET", "/health", self.health, Health, public=True),
            Endpoint("GET", "/status", self.status, Status),
            Endpoint("GET", "/photos", self.part, Photos, ListWishes),
            Endpoint("POST", "/photos", self.add, Updated, PathWishes, changes=True),
            Endpoint("GET", "/photos/find", self.find, Photo, PathWishes),
            Endpoint("GET", "/photos/{id:int}", self.photo, Photo),
            Endpoint("GET", "/photos/{id:int}/vector", self.vector, Embedding),
            Endpoint("GET", "/photos/{id:int}/picture", self.picture, bytes, PictureWishes),
            Endpoint("GET", "/unreadable", self.unreadable, UnreadableFiles),
        ]

    def health(self, asked: Asked[Nothing, None]) -> Health:
        """Tell that all is well, to everybody: it needs no token."""
        _ = self._index.generation
        return Health(status="ok")

    def status(self, asked: Asked[Nothing, None]) -> Status:
        """Tell what the index holds."""
        info = self._index.info()
        graph = info.graph
        return Status(
            version=version("imgsim-edge"),
            generation=self._index.generation,
            photos=info.photos,
            unreadable=info.unreadable,
            roots=[as_text(root) for root in info.roots],
            away=[as_text(root) for root in info.away],
            model=info.model,
            encoder_digest=info.encoder_digest,
            dimension=info.dimension,
            bytes=info.bytes,
            graph=Graph(count=graph.count, recall=graph.recall) if graph else None,
            read_only=self._read_only,
            upload_bytes=UPLOAD_BYTES,
            upload_pixels=UPLOAD_PIXELS,
        )

    def part(self, asked: Asked[ListWishes, None]) -> Photos:
        """List photos in the order of their paths, a part at a time."""
        wishes = asked.wishes
        listing = self._collection.current()
        folder = None
        if wishes.within is not None:
            within = Path(wishes.within)
            folder = next((f for f in listing.folders.values() if f.path == within), None)
            if folder is None:
                raise HTTPException(404, f"no photo below {as_text(within)} is in the index")
        ids = listing.by_path[listing.places(folder, "path")]
        wanted = ids[wishes.first : wishes.first + wishes.count].tolist()
        photos = [photo_answer(photo) for photo in self._index.photos(wanted)]
        return Photos(total=len(ids), photos=photos)

    def add(self, asked: Asked[PathWishes, None]) -> Updated:
        """Bring one file of an indexed folder up to date: new, changed, moved or gone."""
        path = Path(asked.wishes.path)
        if not path.is_absolute() or path.is_dir():
            raise HTTPException(400, "give the absolute path of one file on the server")
        report = self._index.add([path])
        if report.problems:
            problem = report.problems[0]
            raise PhotoError(as_text(problem.path), problem.reason)
        photo = self._index.find(path)
        return Updated(
            added=report.added,
            changed=report.changed,
            moved=report.moved,
            removed=report.removed,
            photo=photo_answer(photo) if photo else None,
        )

    def find(self, asked: Asked[PathWishes, None]) -> Photo:
        """Describe the photo of a file, or an item."""
        return photo_answer(photo_at(self._index, asked.wishes.path))

    def photo(self, asked: Asked[Nothing, None]) -> Photo:
        """Describe the photo of a number."""
        return photo_answer(photo_numbered(self._index, asked.place["id"]))

    def vector(self, asked: Asked[Nothing, None]) -> Embedding:
        """Give the vector of the photo of a number."""
        photo = photo_numbered(self._index, asked.place["id"])
        _, vectors = self._index.vectors([photo.id])
        return Embedding(vector=vectors[0].tolist())

    def picture(self, asked: Asked[PictureWishes, None]) -> Response:
        """Give a picture of the photo of a number, shrunk and upright."""
        photo = photo_numbered(self._index, asked.place["id"])
        jpeg = self._thumbnails.view(photo, asked.wishes.side)
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    def unreadable(self, asked: Asked[Nothing, None]) -> UnreadableFiles:
        """List files that could not be read as photos, and why."""
        return UnreadableFiles(
            files=[
                Unreadable(path=as_text(problem.path), reason=problem.reason)
                for problem in islice(self._index.unreadable(), MOST_LISTED)
            ]
        )


def photo_numbered(index: ImageIndex, number: int) -> IndexedPhoto:
    """Find a photo by its number.

    Raises:
        HTTPException: there is none.
    """
    for photo in index.photos([min(number, GREATEST_ID)]):
        return photo
    raise HTTPException(404, f"no photo of the index has the number {number}")


def photo_at(index: ImageIndex, path: str) -> IndexedPhoto:
    """Find a photo by the path of its file, or an item by its name.

    Raises:
        HTTPException: there is none.
    """
    found = index.find(path) if Path(path).is_absolute() else index.item(path)
    if found is None:
        raise HTTPException(404, f"{path} is not in the index")
    return found
