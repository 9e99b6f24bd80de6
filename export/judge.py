"""Whether a smaller encoder is as good as the float32 one, by photos that nobody trained on."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..infer.arrays import Vectors
from ..infer.encoder.onnx_encoder import Encoder
from ..infer.evaluation.metrics import measure
from .errors import ExportError
from .parity import Parity, compare_outputs, encoder_vectors
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
        mean_average_precision: on the validation photos, by embeddings and, where there are any,
            by details.
        loss: of mAP against float32, of the output that loses most; below zero where it is better.
        mean_cosine: of its vectors with those of float32, of the output where it is lowest.
        accepted: whether the loss is within what was allowed.
    """

    name: str
    kept_in_float: tuple[str, ...]
    bytes: int
    milliseconds: float
    mean_average_precision: dict[str, float]
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
        before = self.reference.mean_average_precision
        loss = max(before[name] - quality[name] for name in before)
        return Attempt(
            name,
            kept_in_float,
            len(content),
            milliseconds,
            quality,
            loss,
            _lowest(compare_outputs(self._vectors, vectors)),
            loss <= self._max_loss,
        )

    def mean_cosine(self, content: bytes, photos: int) -> float:
        """Compare an encoder's vectors of the first few photos with those of float32."""
        with _as_file(content) as path:
            vectors = encoder_vectors(Encoder(path, self._threads), self._photos.pixels[:photos])
        first = {name: own[:photos] for name, own in self._vectors.items()}
        return _lowest(compare_outputs(first, vectors))

    def _mean_average_precision(self, vectors: dict[str, Vectors]) -> dict[str, float]:
        quality = mean_average_precision(vectors, self._photos.labels)
        if not quality:
            raise ExportError(
                "no class has two validation photos, by which a smaller encoder is judged: "
                "export it in float32"
            )
        return quality

    def _milliseconds(self, path: Path) -> float:
        encoder = Encoder(path, threads=1)
        times = []
        for index in range(TIMED_PHOTOS):
            photo = self._photos.pixels[index % len(self._photos.pixels)][None]
            began = time.perf_counter()
            encoder.encode(photo)
            times.append(time.perf_counter() - began)
        return round(float(np.median(times)) * 1000, 2)


def mean_average_precision(vectors: dict[str, Vectors], labels: Sequence[str]) -> dict[str, float]:
    """Measure how well each output finds photos of the same class.

    The photos' mean is taken from their vectors first, as a search does.

    Returns:
        name of an output → mAP, 0 to 1; empty where no class has two photos.
    """
    quality = {}
    for name, own in vectors.items():
        measured = measure(own - own.mean(axis=0), labels)
        if len(measured.queries):
            quality[name] = float(measured.of("mAP").mean())
    return quality


def _lowest(found: dict[str, Parity]) -> float:
    return min(parity.mean_cosine for parity in found.values())


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
        f"mAP {', '.join(f'{own:.4f}' for own in attempt.mean_average_precision.values())}"
        + (f" ({-attempt.loss:+.4f})" if attempt.loss else "")
        + ("" if attempt.accepted else ", too much is lost")
    )
