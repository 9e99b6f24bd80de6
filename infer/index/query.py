"""What may be asked for, and the vectors of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arrays import Vectors
from ..catalogue.reader import Snapshot
from ..catalogue.rows import PhotoRow
from ..encoder.details import details_of, quantise_details
from ..encoder.onnx_encoder import Encoder, Encodings
from ..errors import UsageError
from ..machine import available_cores
from .results import IndexedPhoto

if TYPE_CHECKING:
    from PIL import Image

    from ..photos.decode import Photo

# In quotes, since Pillow is loaded by what needs it.
Query: TypeAlias = (
    "Path | str | bytes | BinaryIO | Image.Image | IndexedPhoto | NDArray[np.uint8] "
    "| NDArray[np.float32]"
)


@dataclass(frozen=True, eq=False)
class QueryVectors:
    """The vectors of some queries.

    Attributes:
        vectors: float32, shape = (q, dimension), of unit length.
        details: float32, shape = (q, details), of unit length; zeros for a query that is a vector,
            and where the encoder gives none.
        ids: those of the queries that are photos of the index, None for the others.
    """

    vectors: Vectors
    details: Vectors
    ids: list[int | None]


def query_vectors(
    queries: Sequence[Query], snapshot: Snapshot, encoder: Callable[[], Encoder]
) -> QueryVectors:
    """Find or compute the vectors of queries; a file of the index as it is now is not decoded.

    Raises:
        UsageError: a vector is none.
        PhotoError: a query is no photo.
        EncoderError, IndexMismatchError: there is no encoder for it.
    """
    dimension = snapshot.header().dimension
    vectors = np.empty((len(queries), dimension), dtype=np.float32)
    details = np.zeros((len(queries), snapshot.header().details), dtype=np.float32)
    ids: list[int | None] = [None] * len(queries)
    loads: list[Callable[[], Photo]] = []
    places = []
    for place, query in enumerate(queries):
        if isinstance(query, np.ndarray) and query.ndim == 1:
            vectors[place] = unit_vector(query, dimension)
            continue
        row = _stored(query, snapshot)
        if row is not None:
            ids[place] = row.id
            vectors[place] = snapshot.vector(row)
            details[place] = details_of(snapshot.details([row])[0])
            continue
        loads.append(loading(query, encoder().image_size))
        places.append(place)
    if loads:
        for place, one in zip(places, _encode(loads, encoder()), strict=True):
            vectors[place] = one.embeddings[0]
            if details.shape[1]:  # rounded like the stored ones, so that a photo equals itself
                details[place] = details_of(quantise_details(one.details[0]))
    return QueryVectors(vectors, details, ids)


def _stored(query: Query, snapshot: Snapshot) -> PhotoRow | None:
    """Find the photo of the index that a query is, if it is one as it was indexed."""
    if isinstance(query, (str, Path)):
        return _unchanged(Path(query), snapshot)
    if isinstance(query, IndexedPhoto):
        for row in snapshot.photos([query.id]):
            if row.digest == query.digest:
                return row
        raise UsageError(f"{query.path} is not in the index any more")
    return None


def loading(query: Any, size: int) -> Callable[[], Photo]:
    """Choose how a query becomes pixels."""
    from PIL import Image

    from ..photos.decode import load_photo, photo_from_array, photo_from_image

    if isinstance(query, np.ndarray):
        return partial(photo_from_array, query, size)
    if isinstance(query, Image.Image):
        return partial(photo_from_image, query, size)
    return partial(load_photo, query, size)


def _encode(loads: Sequence[Callable[[], Photo]], encoder: Encoder) -> list[Encodings]:
    """Decode and encode, side by side where there are several, without keeping their pixels."""

    def encode(load: Callable[[], Photo]) -> Encodings:
        return encoder.encode(load().pixels[None])

    if len(loads) == 1:
        return [encode(loads[0])]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(available_cores(), len(loads))) as pool:
        return list(pool.map(encode, loads))


def names_of(path: Path) -> Iterable[Path]:
    """Name a file as the catalogue may know it: as it was put, and without symbolic links."""
    return dict.fromkeys((path.absolute(), Path(os.path.realpath(path))))


def _unchanged(path: Path, snapshot: Snapshot) -> PhotoRow | None:
    """Find a file in the index, if it is as it was when it was indexed."""
    for candidate in names_of(path):
        row = snapshot.find(candidate)
        if row is not None:
            try:
                status = path.stat()
            except OSError:
                return None
            same = (row.size, row.mtime_ns) == (status.st_size, status.st_mtime_ns)
            return row if same else None
    return None


def unit_vector(vector: NDArray[Any], dimension: int) -> Vectors:
    """Bring a vector to unit length: float32, shape = (dimension,).

    Raises:
        UsageError: it is none.
    """
    length = float(np.linalg.norm(vector))
    if vector.shape != (dimension,) or not np.isfinite(length) or length == 0.0:
        raise UsageError(
            f"a vector must be {dimension} finite numbers, not all zero; got shape {vector.shape}"
        )
    return np.asarray(vector / length, dtype=np.float32)
