"""Whether a smaller encoder is as good as the float32 one, by photos that nobody trained on."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..infer.arrays import Vectors
from ..infer.encoder.onnx_encoder import Encoder
from ..infer.evaluation.metrics import measure
from .errors import ExportError
from .parity import compare, encoder_vectors
from .photos import LabelledPixels

TIMED_PHOTOS = 30


@dataclass(frozen=True)
class Attempt:
    """A smaller encoder and what it costs.

    Attributes:
        name: how it was made.
        kept_in_float: layers that were left out.
        bytes: size of the file.
        milliseconds: for one photo on one thread, median; on the machine of the export.
        mean_average_precision: on the validation photos.
        loss: of mAP against float32; below zero where it is better.
        mean_cosine: of its vectors with those of float32.
        accepted: whether the loss is within what was allowed.
    """

    name: str
    kept_in_float: tuple[str, ...]
    bytes: int
    milliseconds: float
    mean_average_precision: float
    loss: float
    mean_cosine: float
    accepted: bool


class Judge:
    """Measures encoders against a float32 one.

    Args:
        reference: the bytes of the float32 encoder.
        photos: labelled validation photos.
        max_loss: mAP that may be lost, absolute.
        threads: cores for embedding the photos.

    Raises:
        ExportError: no class has two of the photos.
    """

    def __init__(
        self, reference: bytes, photos: LabelledPixels, max_loss: float, threads: int
    ) -> None:
        self._photos, self._max_loss, self._threads = photos, max_loss, threads
        with _as_file(reference) as path:
            self._vectors = encoder_vectors(Encoder(path, threads), photos.pixels)
            milliseconds = self._milliseconds(path)
        quality = self._mean_average_precision(self._vectors)
        self.reference = Attempt(
            "float32", (), len(reference), milliseconds, quality, 0.0, 1.0, True
        )

    def judge(self, name: str, content: bytes, kept_in_float: tuple[str, ...] = ()) -> Attempt:
        """Measure one encoder."""
        with _as_file(content) as path:
            vectors = encoder_vectors(Encoder(path, self._threads), self._photos.pixels)
            milliseconds = self._milliseconds(path)
        quality = self._mean_average_precision(vectors)
        loss = self.reference.mean_average_precision - quality
        return Attempt(
            name,
            kept_in_float,
            len(content),
            milliseconds,
            quality,
            loss,
            compare(self._vectors, vectors).mean_cosine,
            loss <= self._max_loss,
        )

    def mean_cosine(self, content: bytes, photos: int) -> float:
        """Compare an encoder's vectors of the first few photos with those of float32."""
        with _as_file(content) as path:
            vectors = encoder_vectors(Encoder(path, self._threads), self._photos.pixels[:photos])
        return compare(self._vectors[:photos], vectors).mean_cosine

    def _mean_average_precision(self, vectors: Vectors) -> float:
        measured = measure(vectors, self._photos.labels)
        if not len(measured.queries):
            raise ExportError(
                "no class has two validation photos, by which a smaller encoder is judged: "
                "export without --int8 and --fp16"
            )
        return float(measured.of("mAP").mean())

    def _milliseconds(self, path: Path) -> float:
        encoder = Encoder(path, threads=1)
        times = []
        for index in range(TIMED_PHOTOS):
            photo = self._photos.pixels[index % len(self._photos.pixels)][None]
            began = time.perf_counter()
            encoder.encode(photo)
            times.append(time.perf_counter() - began)
        return round(float(np.median(times)) * 1000, 2)


@contextmanager
def _as_file(content: bytes) -> Iterator[Path]:
    """Lend bytes as a file, which is what Encoder takes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.onnx"
        path.write_bytes(content)
        yield path


def as_line(attempt: Attempt) -> str:
    """Write an attempt as one line of text."""
    return (
        f"{attempt.name}: {attempt.bytes / 1e6:.1f} MB, {attempt.milliseconds:.1f} ms a photo, "
        f"mAP {attempt.mean_average_precision:.4f}"
        + (f" ({-attempt.loss:+.4f})" if attempt.loss else "")
        + ("" if attempt.accepted else ", too much is lost")
    )
