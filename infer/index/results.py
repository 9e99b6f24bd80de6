"""What an index answers with."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypedDict

from ..arrays import Ids, Vectors
from ..catalogue.rows import GraphRecord
from ..photos.metadata import PhotoMetadata
from ..search.bands import Band


@dataclass(frozen=True)
class Match:
    """One answer to a query.

    Attributes:
        rank: 1 for the most similar photo.
        score: cosine similarity in [−1, 1] without the collection's mean: 1 for the same picture,
            about 0 for photos that have nothing in common.
        path: of the photo.
        width: of the upright photo in pixels.
        height: likewise.
        id: of the photo in the index; it stays while the photo does.
        rarity: N where one random pair of this collection in N scores at least that; None where
            the collection is too small to tell.
        band: the same in one word: ``"same"``, ``"close"``, ``"related"`` or ``"weak"``.
        payload: what an app keeps with an item of its own, the path of which is its name.
        metadata: what the file says about the picture; None where it has not been asked yet.
    """

    rank: int
    score: float
    path: Path
    width: int
    height: int
    id: int
    rarity: float | None
    band: Band
    payload: Any = None
    metadata: PhotoMetadata | None = None


Order = Literal["likeness", "date"]  # of answers: the best first, or the newest


class Conditions(TypedDict, total=False):
    """What several queries at once may ask for; see :meth:`ImageIndex.similar`."""

    exact: bool
    within: Path | str | None
    since: datetime | None
    until: datetime | None
    camera: str | None
    label: str | None
    min_score: float | None
    min_rarity: float | None
    omit: Collection[int]
    copies: bool
    unrelated: bool
    order: Order


@dataclass(frozen=True, slots=True)
class IndexedPhoto:
    """One photo that an index can find.

    Attributes:
        id: a small whole number, the photo's as long as it stays in the index.
        path: of its file.
        size: of the file in bytes, when it was indexed.
        mtime_ns: time of the file's last change then, in nanoseconds since 1970.
        digest: BLAKE2b (128 bits) of the file's bytes.
        width: of the upright photo in pixels.
        height: likewise.
        metadata: what the file says about the picture; None where it has not been asked yet.
        payload: what an app keeps with an item of its own.
    """

    id: int
    path: Path
    size: int
    mtime_ns: int
    digest: bytes
    width: int
    height: int
    metadata: PhotoMetadata | None = None
    payload: Any = None

    @property
    def has_file(self) -> bool:
        """Whether it is the photo of a file; the path of an app's own item is its name."""
        return self.path.is_absolute()


@dataclass(frozen=True)
class Label:
    """Something that photos can show, and how much was said about it.

    Attributes:
        name: that a user gave it.
        yes: how many contents show it.
        no: how many do not.
    """

    name: str
    yes: int
    no: int


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest photos of some photos, a part of a self-join.

    Attributes:
        ids: int64, shape = (n,): the photos.
        neighbours: int64, shape = (n, k): their nearest others, the best first, −1 where there are
            fewer than k.
        scores: float32, shape = (n, k): cosine similarities in [−1, 1], −inf where there is none.
    """

    ids: Ids
    neighbours: Ids
    scores: Vectors


@dataclass(frozen=True)
class IndexInfo:
    """What an index holds.

    Attributes:
        folder: where it lies.
        photos: how many can be found.
        unreadable: how many files could not be read as photos.
        roots: the folders that were indexed.
        away: those of them that are not there now.
        model: name or path of the encoder.
        encoder_digest: identity of the encoder.
        dimension: length of a vector.
        bytes: size of all files of the index.
        graph: what is known of the graph, None where there is none.
        hnswlib: whether the library is installed, without which no graph is used.
    """

    folder: Path
    photos: int
    unreadable: int
    roots: list[Path]
    away: list[Path]
    model: str
    encoder_digest: str
    dimension: int
    bytes: int
    graph: GraphRecord | None
    hnswlib: bool
