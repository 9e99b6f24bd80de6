"""Files → vectors: every core takes whole photos from file to vector, a bounded number at a time.

How the cores are shared between decoding and the network: not at all. Each of ``threads`` threads
reads, decodes and encodes one photo after the other, each run of the network using one core. So no
stage can wait for another, whichever of them is the dear one for the photos at hand, and no pixels
are copied into batches. It costs nothing: ONNX Runtime's convolutions go through a batch photo by
photo anyway, so that batches of 1 and of 32 take the same time for each photo, but the larger one
takes 400 MB more (``tests/benchmarks/encoder_batches.py`` measures it).
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, TypeVar

from ..arrays import Codes, Pixels, Vectors
from ..errors import PhotoError
from ..machine import available_cores, available_memory
from ..photos.decode import load_photo
from ..photos.metadata import PhotoMetadata
from .details import quantise_details
from .onnx_encoder import Encodings

BATCH = 32  # photos handed on, and so committed, together: what a crash may cost
LOOK_AHEAD = (
    4 * BATCH
)  # photos begun before those in front of them are handed on; only vectors wait
# Of the memory of this process: for the photos that are being decoded together, and for one that
# is decoded while no other is.
MAX_MEMORY_FRACTION = 1 / 4
MAX_MEMORY_FRACTION_OF_ONE = 1 / 2
DIGEST_BYTES = 16  # of a content digest


class HasSize(Protocol):
    """What is asked of an ``os.stat_result``."""

    @property
    def st_size(self) -> int:
        """Bytes of the file; 0 where that is not known."""


class PhotoFile(Protocol):
    """What is asked of a file: a ``Path`` answers, and so may something that lies elsewhere."""

    @property
    def name(self) -> str:
        """Its name, without the folders above it."""

    def stat(self) -> HasSize:
        """Tell its size; raises OSError where it cannot be told."""

    def read_bytes(self) -> bytes:
        """Read all of it; raises OSError where it cannot be read."""


File = TypeVar("File", bound=PhotoFile)


@dataclass(frozen=True)
class EmbeddedFile(Generic[File]):
    """What became of one file.

    Attributes:
        path: the file, as it was given.
        digest: BLAKE2b (128 bits) of the file's bytes; None where they could not be read at all.
        width: of the upright photo in pixels; None where it was not decoded.
        height: likewise.
        metadata: what the file says about the picture; None where it was not decoded.
        vector: its embedding, float32, shape = (dimension,); None where it was not decoded.
        details: int8, shape = (details_dimension,), as
            :func:`~imgsim_edge.infer.encoder.details.quantise_details` gives them; None where it
            was not decoded or the encoder gives none.
        problem: why it could not be read as a photo, if it could not.
        is_known: it was not tried, since its digest is a known one.
    """

    path: File
    digest: bytes | None
    width: int | None = None
    height: int | None = None
    metadata: PhotoMetadata | None = None
    vector: Vectors | None = None
    details: Codes | None = None
    problem: str | None = None
    is_known: bool = False


class EncodesPhotos(Protocol):
    """What :class:`~imgsim_edge.infer.Encoder` does, or several of them in one."""

    @property
    def image_size(self) -> int:
        """Side of the photos it takes, in pixels."""

    def encode(self, images: Pixels) -> Encodings:
        """Encode a batch of photos: uint8, shape = (batch, image_size, image_size, 3)."""


def content_digest(content: bytes) -> bytes:
    """Hash a file's bytes (BLAKE2b, 16 bytes long)."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


class DecodingRoom:
    """The memory that photos may take together while they are decoded.

    Args:
        shared: bytes for all of them. A photo that needs more waits until it is alone.
        alone: bytes that no single photo may exceed.

    Safe to use from several threads, which is what it is for.
    """

    def __init__(self, shared: int, alone: int) -> None:
        self._shared, self._alone = shared, alone
        self._taken = 0
        self._changed = threading.Condition()

    @classmethod
    def of_this_machine(cls) -> DecodingRoom:
        """Take the planned share of the memory that this process may use."""
        memory = available_memory()
        return cls(int(memory * MAX_MEMORY_FRACTION), int(memory * MAX_MEMORY_FRACTION_OF_ONE))

    def check(self, need: int) -> None:
        """Make sure that there can be room for ``need`` bytes.

        Raises:
            MemoryError: there will never be.
        """
        if need > self._alone:
            raise MemoryError

    @contextmanager
    def hold(self, need: int) -> Iterator[None]:
        """Wait until there is room for ``need`` bytes and hold it.

        Raises:
            MemoryError: there will never be.
        """
        self.check(need)
        need = min(need, self._shared)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + need <= self._shared)
            self._taken += need
        try:
            yield
        finally:
            with self._changed:
                self._taken -= need
                self._changed.notify_all()


def embed_files(
    paths: Iterable[File],
    encoder: EncodesPhotos,
    known: Container[bytes] = frozenset(),
    threads: int | None = None,
) -> Iterator[list[EmbeddedFile[File]]]:
    """Decode and embed files, in their order, a list of at most ``BATCH`` at a time.

    A file that cannot be read or decoded comes back with its problem; it stops nothing. A file
    whose content digest is among ``known`` is not decoded and comes back with its digest alone.

    Args:
        paths: read as they are needed; paths, or whatever answers like one (:class:`PhotoFile`).
        encoder: called with one photo at a time by several threads; quickest where one call of it
            uses one core.
        known: digests of files that need no vector.
        threads: how many photos are worked on at once; one for each core by default.

    Raises:
        EncoderError: the encoder failed, which no other photo would mend.
    """
    remaining = iter(paths)
    room = DecodingRoom.of_this_machine()
    pool = ThreadPoolExecutor(threads or available_cores(), thread_name_prefix="embed")
    pending: deque[Future[EmbeddedFile[File]]] = deque()
    try:
        while True:
            for path in islice(remaining, LOOK_AHEAD - len(pending)):
                pending.append(pool.submit(_embed, path, encoder, known, room))
            if not pending:
                return
            yield [pending.popleft().result() for _ in range(min(BATCH, len(pending)))]
    finally:
        # Without waiting: whoever interrupts this need not see the photos in hand finished.
        pool.shutdown(wait=False, cancel_futures=True)


def _embed(
    path: File, encoder: EncodesPhotos, known: Container[bytes], room: DecodingRoom
) -> EmbeddedFile[File]:
    try:
        room.check(path.stat().st_size)
        content = path.read_bytes()
    except OSError as error:
        return EmbeddedFile(path, None, problem=error.strerror or str(error))
    except MemoryError:
        return EmbeddedFile(path, None, problem="file too large for the memory of this machine")
    digest = content_digest(content)
    if digest in known:
        return EmbeddedFile(path, digest, is_known=True)
    try:
        photo = load_photo(content, encoder.image_size, room.hold, path.name)
    except PhotoError as error:
        return EmbeddedFile(path, digest, problem=error.reason)
    del content  # the network needs room too
    encodings = encoder.encode(photo.pixels[None])
    details = quantise_details(encodings.details[0]) if encodings.details.size else None
    vector = encodings.embeddings[0]
    return EmbeddedFile(path, digest, photo.width, photo.height, photo.metadata, vector, details)
