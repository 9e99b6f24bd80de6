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
from ..encoder.onnx_encoder import Encoder
from ..errors import UsageError
from ..machine import available_cores

if TYPE_CHECKING:
    from PIL import Image

    from ..photos.decode import Photo

# In quotes, since Pillow is loaded by what needs it.
Query: TypeAlias = (
    "Path | str | bytes | BinaryIO | Image.Image | NDArray[np.uint8] | NDArray[np.float32]"
)


@dataclass(frozen=True, eq=False)
class QueryVectors:
    """The vectors of some queries.

    Attributes:
        vectors: float32, shape = (q, dimension), of unit length.
        ids: those of the queries that are photos of the index, None for the others.
    """

    vectors: Vectors
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
    ids: list[int | None] = [None] * len(queries)
    loads: list[Callable[[], Photo]] = []
    places = []
    for place, query in enumerate(queries):
        if isinstance(query, np.ndarray) and query.ndim == 1:
            vectors[place] = unit_vector(query, dimension)
            continue
        if isinstance(query, (str, Path)):
            row = _unchanged(Path(query), snapshot)
            if row is not None:
                ids[place] = row.id
                vectors[place] = snapshot.vector(row)
                continue
        loads.append(loading(query, encoder().image_size))
        places.append(place)
    if loads:
        vectors[places] = _embed(loads, encoder())
    return QueryVectors(vectors, ids)


def loading(query: Query, size: int) -> Callable[[], Photo]:
    """Choose how a query becomes pixels."""
    from PIL import Image

    from ..photos.decode import load_photo, photo_from_array, photo_from_image

    if isinstance(query, np.ndarray):
        return partial(photo_from_array, query, size)
    if isinstance(query, Image.Image):
        return partial(photo_from_image, query, size)
    return partial(load_photo, query, size)


def _embed(loads: Sequence[Callable[[], Photo]], encoder: Encoder) -> list[Vectors]:
    """Decode and encode, side by side where there are several, without keeping their pixels."""

    def embed(load: Callable[[], Photo]) -> Vectors:
        vector: Vectors = encoder.encode(load().pixels[None]).embeddings[0]
        return vector

    if len(loads) == 1:
        return [embed(loads[0])]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(available_cores(), len(loads))) as pool:
        return list(pool.map(embed, loads))


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
