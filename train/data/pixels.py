"""Stage 2 of training: every photo decoded once.

Decoding a camera's JPEG takes longer than the network does, and training looks at each photo many
times. So the pixels are kept in one file in the run folder where the disk has room for it, and are
decoded anew whenever they are needed where it has not.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...infer.arrays import Pixels
from ...infer.errors import PhotoError
from ...infer.photos.decode import load_photo
from ...infer.progress import ProgressBar
from ..errors import RunError
from ..run_folder import read_json, write_json
from .find import Sample

THUMBNAIL = 16  # pixels a side: enough to tell near-identical photos by
LOOK_AHEAD = 4  # photos decoded ahead of the consumer, for each thread
MOST_OF_DISK = 0.5  # of the free space may the kept pixels take

_CACHE, _NAMES = "pixels.u8", "pixels.json"

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Decoded:
    """What decoding every photo told.

    Attributes:
        failures: index of a sample → why it cannot be read.
        digests: 16 bytes each, of the decoded pixels; empty for the unreadable.
        thumbnails: uint8, shape = (samples, THUMBNAIL, THUMBNAIL, 3).
    """

    failures: dict[int, str]
    digests: tuple[bytes, ...]
    thumbnails: Pixels


class PixelStore:
    """The photos of a data set, at the size that the network takes.

    Args:
        samples: the photos.
        size: side of the pixels' square.
        threads: photos decoded at the same time.
    """

    def __init__(self, samples: Sequence[Sample], size: int, threads: int) -> None:
        self._samples = samples
        self._size = size
        self._threads = threads
        self._kept: Pixels | None = None

    def decode(self, folder: Path) -> Decoded:
        """Decode every photo, and keep the pixels in ``folder`` if the disk has room.

        The folder may be removed when the store is no longer in use.

        Raises:
            RunError: nothing at all can be written there.
        """
        count, size = len(self._samples), self._size
        needed = count * size * size * 3
        failures: dict[int, str] = {}
        digests: list[bytes] = []
        thumbnails = np.zeros((count, THUMBNAIL, THUMBNAIL, 3), np.uint8)
        target = folder / _CACHE
        keep = needed < shutil.disk_usage(folder).free * MOST_OF_DISK
        # Written as a stream and mapped afterwards: a full disk under a map kills the process.
        with ProgressBar("reading photos", count) as progress, _begin(folder) as file:
            for index, photo in enumerate(self._stream(range(count))):
                if isinstance(photo, str):
                    failures[index] = photo
                    digests.append(b"")
                    photo = np.zeros((size, size, 3), np.uint8)
                else:
                    digests.append(hashlib.blake2b(photo.tobytes(), digest_size=16).digest())
                    thumbnails[index] = _thumbnail(photo)
                keep = keep and _wrote(file, photo)
                progress.update(index + 1)
        if keep and self._wrote_names(folder):
            self._kept = np.memmap(target, np.uint8, "r", shape=(count, size, size, 3))
        else:
            target.unlink()
        return Decoded(failures, tuple(digests), thumbnails)

    def reuse(self, folder: Path) -> bool:
        """Use the pixels that an earlier :meth:`decode` kept; False where they will not do."""
        target, shape = folder / _CACHE, (len(self._samples), self._size, self._size, 3)
        try:
            same = read_json(folder / _NAMES) == self._names()
        except RunError:  # missing, as the pixels were not complete, or damaged
            return False
        if not same or not target.is_file() or target.stat().st_size != math.prod(shape):
            return False
        self._kept = np.memmap(target, np.uint8, "r", shape=shape)
        return True

    def read(self, indices: Sequence[int] | NDArray[np.intp]) -> Pixels:
        """Give the pixels of some photos.

        Returns:
            uint8, shape = (len(indices), size, size, 3).

        Raises:
            PhotoError: a photo cannot be read any more.
        """
        if self._kept is not None:
            return np.asarray(self._kept[np.asarray(indices)])
        photos = []
        for index, photo in zip(indices, self._stream(indices), strict=True):
            if isinstance(photo, str):
                raise PhotoError(self._samples[index].path, photo)
            photos.append(photo)
        return np.stack(photos)

    def _wrote_names(self, folder: Path) -> bool:
        try:
            write_json(folder / _NAMES, self._names())
        except RunError:  # the disk is full now
            return False
        return True

    def _names(self) -> list[str]:
        return [sample.name for sample in self._samples]

    def _stream(self, indices: Sequence[int] | NDArray[np.intp]) -> Iterator[Pixels | str]:
        def decode(index: int) -> Pixels | str:
            try:
                return load_photo(self._samples[index].path, self._size).pixels
            except PhotoError as error:
                return error.reason

        return ordered_map(decode, indices, self._threads)


def ordered_map(
    work: Callable[[T], R], items: Sequence[T] | NDArray[np.intp], threads: int
) -> Iterator[R]:
    """Do ``work`` on several threads, and give the results in order with a bounded look-ahead."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads * LOOK_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _begin(folder: Path) -> FileIO:
    """Open the file of the pixels; unbuffered, so that closing it has nothing left to write."""
    try:
        (folder / _NAMES).unlink(missing_ok=True)  # written when the pixels are complete
        return (folder / _CACHE).open("wb", buffering=0)
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror}") from error


def _wrote(file: FileIO, photo: Pixels) -> bool:
    try:
        return file.write(photo.tobytes()) == photo.nbytes  # a disk that gets full takes a part
    except OSError:
        return False


def _thumbnail(pixels: Pixels) -> Pixels:
    small = Image.fromarray(pixels).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small)
