"""Files → vectors: decoding on threads beside the encoder, in batches, with bounded look-ahead."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from .encoder import Vectors, available_cores
from .errors import PhotoError
from .photo import Pixels, load_photo

BATCH = 32  # photos; more does not make the network faster, and a batch is what a crash may cost
LOOK_AHEAD = 2 * BATCH  # photos decoded or being decoded before the encoder takes them


@dataclass(frozen=True)
class EmbeddedFile:
    """What became of one file.

    Attributes:
        path: as it was given.
        digest: BLAKE2b (128 bits) of the file's bytes; None where they could not be read at all.
        width: of the upright photo in pixels; None where it was not decoded.
        height: likewise.
        vector: float32, shape = (dimension,); None where it was not decoded.
        problem: why it could not be read as a photo, if it could not.
        is_known: it was not tried, since its digest is a known one.
    """

    path: Path
    digest: bytes | None
    width: int | None = None
    height: int | None = None
    vector: Vectors | None = None
    problem: str | None = None
    is_known: bool = False


class EncodesPhotos(Protocol):
    """What :class:`~imgsim_edge.infer.Encoder` does, or several of them in one."""

    @property
    def image_size(self) -> int:
        """Side of the photos it takes, in pixels."""

    def encode(self, images: Pixels) -> Vectors:
        """Embed a batch of photos: float32, shape = (batch, dimension)."""


def content_digest(content: bytes) -> bytes:
    """Hash a file's bytes (BLAKE2b, 16 bytes long)."""
    return hashlib.blake2b(content, digest_size=16).digest()


def embed_files(
    paths: Iterable[Path], encoder: EncodesPhotos, known: Container[bytes] = frozenset()
) -> Iterator[list[EmbeddedFile]]:
    """Decode and embed files, in their order, a list of at most ``BATCH`` at a time.

    A file that cannot be read or decoded comes back with its problem; it stops nothing. A file
    whose content digest is among ``known`` is not decoded and comes back with its digest alone.

    Raises:
        EncoderError: the encoder failed, which no other photo would mend.
    """
    remaining = iter(paths)
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="decode") as pool:
        pending: deque[Future[tuple[EmbeddedFile, Pixels | None]]] = deque()
        try:
            while True:
                for path in islice(remaining, LOOK_AHEAD - len(pending)):
                    pending.append(pool.submit(_decode, path, encoder.image_size, known))
                if not pending:
                    return
                batch = [pending.popleft().result() for _ in range(min(BATCH, len(pending)))]
                yield _embed(batch, encoder)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _decode(path: Path, size: int, known: Container[bytes]) -> tuple[EmbeddedFile, Pixels | None]:
    try:
        content = path.read_bytes()
    except OSError as error:
        return EmbeddedFile(path, None, problem=error.strerror or str(error)), None
    digest = content_digest(content)
    if digest in known:
        return EmbeddedFile(path, digest, is_known=True), None
    try:
        photo = load_photo(content, size)
    except PhotoError as error:
        return EmbeddedFile(path, digest, problem=error.reason), None
    return EmbeddedFile(path, digest, photo.width, photo.height), photo.pixels


def _embed(
    decoded: list[tuple[EmbeddedFile, Pixels | None]], encoder: EncodesPhotos
) -> list[EmbeddedFile]:
    pixels = [p for _, p in decoded if p is not None]
    vectors = iter(encoder.encode(np.stack(pixels)) if pixels else ())
    return [file if p is None else replace(file, vector=next(vectors)) for file, p in decoded]
