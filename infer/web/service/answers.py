"""What the HTTP API answers with, as types: the OpenAPI document is made from them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from ...index.results import IndexedPhoto, Match
from ...search.bands import Band
from ..messages import as_text, shown, wall_clock
from .endpoint import Message

Path = Annotated[
    str, Field(description="of the file; of an item, its name. Bytes that are no UTF-8 become �.")
]
Id = Annotated[int, Field(description="the photo's number, as long as it stays in the index")]
Width = Annotated[int, Field(description="of the upright photo in pixels; 0 of a vector")]
Height = Annotated[int, Field(description="of the upright photo in pixels; 0 of a vector")]
Payload = Annotated[Any, Field(description="what was given with an item, else null")]
Vector = Annotated[list[float], Field(description="of unit length")]


class Fault(Message):
    """Why there is no other answer."""

    error: Annotated[str, Field(description="one line")]


class Done(Message):
    """How much there was to do."""

    count: int


class Health(Message):
    """That the server answers and can read its index."""

    status: str


class Graph(Message):
    """The graph beside the catalogue."""

    count: Annotated[int, Field(description="vectors in it")]
    recall: Annotated[float | None, Field(description="recall@10 that it measured on itself")]


class Status(Message):
    """What the index holds, and what this server takes."""

    version: Annotated[str, Field(description="of imgsim-edge")]
    generation: Annotated[int, Field(description="grows whenever what can be found changes")]
    photos: int
    unreadable: Annotated[int, Field(description="files that could not be read as photos")]
    roots: Annotated[list[str], Field(description="folders that were indexed")]
    away: Annotated[list[str], Field(description="those of them that are not there now")]
    model: str
    encoder_digest: str
    dimension: Annotated[int, Field(description="length of a vector")]
    bytes: Annotated[int, Field(description="size of the index's files")]
    graph: Graph | None
    read_only: bool
    upload_bytes: Annotated[int, Field(description="that a body may have")]
    upload_pixels: Annotated[int, Field(description="that a photo in a body may have")]


class Photo(Message):
    """A photo of the index."""

    id: Id
    path: Path
    name: Annotated[
        str, Field(description="of the file, for people: marks that turn text around are spelt out")
    ]
    width: Width
    height: Height
    bytes: Annotated[int, Field(description="of the file")]
    digest: Annotated[str, Field(description="BLAKE2b (128 bits) of the content, hexadecimal")]
    taken: Annotated[str | None, Field(description="by the camera's clock, ISO 8601, no zone")]
    camera: str | None
    is_item: Annotated[bool, Field(description="added by a program, without a file")]
    payload: Payload


class Photos(Message):
    """A part of the photos, in the order of their paths."""

    total: int
    photos: list[Photo]


class Found(Message):
    """One answer to a search."""

    rank: Annotated[int, Field(description="1 for the most similar")]
    score: Annotated[
        float, Field(description="cosine similarity without the collection's mean, in [−1, 1]")
    ]
    band: Annotated[Band, Field(description="the same in one word")]
    rarity: Annotated[
        float | None, Field(description="one random pair of photos in so many is as similar")
    ]
    taken: Annotated[str | None, Field(description="by the camera's clock, ISO 8601, no zone")]
    id: Id
    path: Path
    width: Width
    height: Height
    payload: Payload


class Matches(Message):
    """The photos most similar to what was asked for, the best first."""

    matches: list[Found]


class Embedding(Message):
    """The vector of a photo."""

    vector: Vector


class Unreadable(Message):
    """A file that could not be read as a photo."""

    path: Path
    reason: str


class UnreadableFiles(Message):
    """Files that could not be read as photos."""

    files: list[Unreadable]


class Updated(Message):
    """What became of a file."""

    added: int
    changed: int
    moved: int
    removed: int
    photo: Annotated[Photo | None, Field(description="as it is in the index now")]


class LabelOfPhotos(Message):
    """Something that photos can show."""

    name: str
    yes: Annotated[int, Field(description="contents that are said to show it")]
    no: Annotated[int, Field(description="contents that are said not to")]


class Labels(Message):
    """All labels, in the order of their names."""

    labels: list[LabelOfPhotos]


class LabelsOfPhoto(Message):
    """What was said of a photo."""

    yes: Annotated[list[str], Field(description="labels that it was said to show")]
    no: Annotated[list[str], Field(description="labels that it was said not to show")]


class Suggested(Message):
    """A photo that may show what a label says."""

    rank: int
    probability: Annotated[float, Field(description="that it shows it, in (0, 1)")]
    band: Annotated[str, Field(description="that probability in a word")]
    ask: Annotated[bool, Field(description="an answer about it would teach the label most")]
    photo: Photo


class SuggestedPhotos(Message):
    """What the index suggests for a label, the likeliest first."""

    expected: Annotated[int, Field(description="photos that are thought to show it, in all")]
    quality: Annotated[
        float | None,
        Field(description="area under the ROC curve; null where the examples are too few to tell"),
    ]
    suggestions: list[Suggested]
    questions: Annotated[list[Suggested], Field(description="those worth asking a person about")]


class SearchForDuplicates(Message):
    """How far the search for duplicates is."""

    search: Annotated[int, Field(description="another number for every search; 0 before the first")]
    is_running: bool
    done: int
    total: Annotated[int, Field(description="0 while that is not known")]
    error: str | None
    groups: Annotated[int, Field(description="found by now, once it is done")]
    passed_over: Annotated[int, Field(description="photos that could not be looked at")]


class CopyOfPhoto(Message):
    """A photo that shows the same as the one that is proposed to be kept."""

    photo: Photo
    exact: Annotated[bool, Field(description="its file has the same bytes")]
    certain: Annotated[bool, Field(description="a copy without doubt; else look at it first")]
    score: Annotated[float, Field(description="share of common detail, in [0, 1]")]
    turn: Annotated[str, Field(description="how it has to be turned to lie on the kept one")]
    reason: str


class GroupOfDuplicates(Message):
    """Photos that show the same."""

    keep: Photo
    copies: list[CopyOfPhoto]
    not_duplicates: Annotated[bool, Field(description="someone has said that they are none")]


class Groups(Message):
    """Groups of duplicates of the last search."""

    search: int
    groups: list[GroupOfDuplicates]


def photo_answer(photo: IndexedPhoto) -> Photo:
    """Describe a photo."""
    taken = photo.metadata.taken_ms if photo.metadata else None
    return Photo(
        id=photo.id,
        path=as_text(photo.path),
        name=shown(photo.path.name),
        width=photo.width,
        height=photo.height,
        bytes=photo.size,
        digest=photo.digest.hex(),
        taken=wall_clock(taken),
        camera=photo.metadata.camera if photo.metadata else None,
        is_item=not photo.has_file,
        payload=photo.payload,
    )


def found_answer(match: Match) -> Found:
    """Describe an answer to a search."""
    return Found(
        rank=match.rank,
        score=match.score,
        band=match.band,
        rarity=match.rarity,
        taken=wall_clock(match.metadata.taken_ms if match.metadata else None),
        id=match.id,
        path=as_text(match.path),
        width=match.width,
        height=match.height,
        payload=match.payload,
    )
