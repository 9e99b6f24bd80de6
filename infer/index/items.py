"""Photos and vectors that an app adds itself: they have a name and a payload, and no file.

They lie in the catalogue under a root with an empty path, so that everything that looks for files
passes them by, and everything that searches finds them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Codes, Vectors
from ..catalogue.rows import NO_FOLDER, PhotoRow
from ..catalogue.writer import Batch, Writer
from ..encoder.details import quantise_details
from ..encoder.embed import content_digest
from ..encoder.onnx_encoder import Encoder
from ..errors import UsageError
from .query import loading, unit_vector

if TYPE_CHECKING:
    from PIL import Image

    from ..catalogue.reader import Snapshot

NAME_BYTES = 255  # as long as a file's name may be
PAYLOAD_BYTES = 4096  # of a payload written as JSON


@dataclass(frozen=True, eq=False)
class Item:
    """A photo or a vector that an app adds to an index.

    Attributes:
        name: that it is found by again, unique among the items of the index: up to 255 bytes,
            without ``/`` and ``\\``.
        content: the bytes of an image file, a Pillow image, pixels (uint8, shape = (height, width,
            3) in RGB order) or a vector (float, shape = (dimension,)). It is not kept.
        payload: what comes back with a match: anything that JSON can hold, up to 4,096 bytes.
    """

    name: str
    content: bytes | Image.Image | NDArray[np.uint8] | NDArray[np.float32]
    payload: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class EncodedItem:
    """An item that is ready to be stored.

    Attributes:
        name: of the item.
        payload: as JSON.
        digest: BLAKE2b (128 bits) of its content.
        width: of the upright photo in pixels; 0 of a vector.
        height: likewise.
        vector: float32, shape = (dimension,), of unit length.
        details: int8, shape = (details,); None of a vector, or where the encoder gives none.
    """

    name: str
    payload: str | None
    digest: bytes
    width: int
    height: int
    vector: Vectors
    details: Codes | None = None


def encode_items(
    items: Iterable[Item], dimension: int, encoder: Callable[[], Encoder]
) -> list[EncodedItem]:
    """Check items and encode their photos, one after the other.

    Raises:
        UsageError: a name, payload or vector is none, or a name is there twice.
        PhotoError: a content is no photo.
        EncoderError, IndexMismatchError: there is no encoder for it.
    """
    encoded = {}
    for item in items:
        name, payload = checked_name(item.name), _as_json(item)
        if name in encoded:
            raise UsageError(f"two items are called {name!r}")
        content = item.content
        if isinstance(content, np.ndarray) and content.ndim == 1:
            vector = unit_vector(content, dimension)
            digest = content_digest(vector.tobytes())
            encoded[name] = EncodedItem(name, payload, digest, 0, 0, vector)
            continue
        photo = loading(content, encoder().image_size)()
        found = encoder().encode(photo.pixels[None])
        details = quantise_details(found.details[0]) if found.details.shape[1] else None
        digest = content_digest(content if isinstance(content, bytes) else photo.pixels.tobytes())
        encoded[name] = EncodedItem(
            name, payload, digest, photo.width, photo.height, found.embeddings[0], details
        )
    return list(encoded.values())


def store_items(writer: Writer, items: Sequence[EncodedItem]) -> list[int]:
    """Commit items together, in the place of those that have their names; give their ids."""
    folder = _folder(writer)
    if folder is None:
        root = writer.add_root(NO_FOLDER, ())
        folder = writer.add_folders(root.id, {"": False})[""].id
    batch = Batch()
    for item in items:
        known = writer.photo_named(folder, item.name)
        number = writer.new_id() if known is None else known.id
        batch.photos.append(
            PhotoRow(
                id=number,
                folder=folder,
                name=item.name,
                size=0,
                mtime_ns=time.time_ns(),
                digest=item.digest,
                width=item.width,
                height=item.height,
                payload=item.payload,
            )
        )
        batch.vectors[number] = item.vector
        if item.details is not None:
            batch.details[number] = item.details
    writer.commit(batch)
    return [row.id for row in batch.photos]


def remove_items(writer: Writer, names: Iterable[str]) -> int:
    """Take items out of the index in one commit, and count them; unknown names are passed over."""
    rows = [find_item(writer, name) for name in names]
    gone = sorted({row.id for row in rows if row is not None})
    if gone:
        writer.commit(Batch(gone=gone))
    return len(gone)


def find_item(snapshot: Snapshot, name: str) -> PhotoRow | None:
    """Look up an item by its name."""
    folder = _folder(snapshot)
    return None if folder is None else snapshot.photo_named(folder, name)


def checked_name(name: str) -> str:
    """Give back a name that an item may have.

    Raises:
        UsageError: it may not have that one.
    """
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        length = 0
    if not 0 < length <= NAME_BYTES or name in (".", "..") or any(c in name for c in "/\\\0"):
        raise UsageError(
            f"an item cannot be called {name!r}: a name has 1 to {NAME_BYTES} bytes, "
            "without slashes and zero bytes"
        )
    return name


def _as_json(item: Item) -> str | None:
    if item.payload is None:
        return None
    try:
        text = json.dumps(item.payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        length = len(text.encode())
    except (TypeError, ValueError) as error:
        raise UsageError(f"the payload of {item.name!r} is no JSON: {error}") from error
    if length > PAYLOAD_BYTES:
        raise UsageError(
            f"the payload of {item.name!r} has {length:,} bytes as JSON, "
            f"up to {PAYLOAD_BYTES:,} are kept"
        )
    return text


def _folder(snapshot: Snapshot) -> int | None:
    for root in snapshot.roots().values():
        if root.path == NO_FOLDER:
            return snapshot.folder_id(root.id, "")
    return None
