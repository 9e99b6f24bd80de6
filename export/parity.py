"""Stage 2 of an export: evidence that the encoder computes what Keras does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..infer.arrays import Pixels, Vectors
from ..infer.encoder.onnx_encoder import (
    DETAILS_NAME,
    EXTRAS,
    INPUT_NAME,
    OUTPUT_NAME,
    Encoder,
)
from ..infer.encoder.session import cpu_session, session_options
from .errors import ExportError

LARGEST_DIFFERENCE = 1e-4  # of a component of a unit vector, between Keras and a float32 encoder
BATCH = 32  # photos


@dataclass(frozen=True)
class Parity:
    """How far two computations of the same vectors are apart.

    Attributes:
        photos: how many were compared.
        largest_difference: of any component of any unit vector.
        mean_difference: over all components.
        lowest_cosine: of the pairs.
        mean_cosine: likewise.
    """

    photos: int
    largest_difference: float
    mean_difference: float
    lowest_cosine: float
    mean_cosine: float


def keras_vectors(cut: Any, pixels: Pixels) -> dict[str, Vectors]:
    """Encode photos by Keras.

    Args:
        cut: a cut classifier.
        pixels: uint8, shape = (photos, size, size, 3).

    Returns:
        name of an output → float32, shape = (photos, its dimension), of unit length.
    """
    cut.jit_compile = False  # XLA would compile longer than these few photos take
    parts = [cut.predict_on_batch(pixels[at : at + BATCH]) for at in range(0, len(pixels), BATCH)]
    return {name: _unit(np.concatenate([part[name] for part in parts])) for name in parts[0]}


def encoder_vectors(encoder: Encoder, pixels: Pixels) -> dict[str, Vectors]:
    """Encode photos by an encoder; types as of :func:`keras_vectors`."""
    given = encoder.encode(pixels)
    vectors = {OUTPUT_NAME: given.embeddings}
    if encoder.details_dimension:
        vectors[DETAILS_NAME] = given.details
    return vectors


def unoptimised_vectors(path: Path, pixels: Pixels) -> dict[str, Vectors]:
    """Encode photos by an encoder with every optimisation of ONNX Runtime switched off."""
    import onnxruntime

    off = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = cpu_session(str(path), session_options(graph_optimization_level=off))
    names = [one.name for one in session.get_outputs() if one.name not in EXTRAS]
    parts = [
        session.run(names, {INPUT_NAME: pixels[at : at + BATCH]})
        for at in range(0, len(pixels), BATCH)
    ]
    return {
        name: np.concatenate(own) for name, own in zip(names, zip(*parts, strict=True), strict=True)
    }


def compare(one: Vectors, other: Vectors) -> Parity:
    """Compare two sets of unit vectors, both float32 of shape (photos, dimension)."""
    difference = np.abs(one.astype(np.float64) - other)
    cosines: NDArray[np.float64] = np.einsum("ij,ij->i", one.astype(np.float64), other)
    # Two zero vectors agree.
    cosines[~one.any(axis=1) & ~other.any(axis=1)] = 1.0
    return Parity(
        photos=len(one),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        lowest_cosine=float(cosines.min()),
        mean_cosine=float(cosines.mean()),
    )


def compare_outputs(one: dict[str, Vectors], other: dict[str, Vectors]) -> dict[str, Parity]:
    """Compare every output of two encoders."""
    return {name: compare(one[name], other[name]) for name in one}


def require_parity(found: dict[str, Parity], what: str) -> None:
    """Refuse a float32 encoder that differs.

    Raises:
        ExportError: a component differs by 1e-4 or more.
    """
    for name, parity in found.items():
        if not parity.largest_difference < LARGEST_DIFFERENCE:
            raise ExportError(
                f"{what} differ by up to {parity.largest_difference:.2e} in a component of "
                f"{name}, over {parity.photos} photos; less than {LARGEST_DIFFERENCE:.0e} is "
                "required"
            )


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
