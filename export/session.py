"""An export from the run to the encoder and its evidence: the stages in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..infer.encoder import Encoder, available_cores
from ..train.backend import configure
from ..train.checkpoint import load_model
from ..train.run_folder import SPLIT, Run, open_run, write_json, write_whole
from ..train.split import TEST, VALID, read_split
from .convert import convert, cut_classifier
from .metadata import counts, describe, stamp
from .parity import (
    Parity,
    compare,
    encoder_vectors,
    keras_vectors,
    require_parity,
    unoptimised_vectors,
)
from .photos import RunPhotos

PARITY_PHOTOS = 64


@dataclass(frozen=True)
class Outcome:
    """What an export came to.

    Attributes:
        path: of the encoder.
        evidence: path of the JSON beside it.
        digest: of the encoder's content.
        size: of the file in bytes.
        keras: the encoder against Keras.
        optimised: ONNX Runtime with all optimisations against none.
    """

    path: Path
    evidence: Path
    digest: str
    size: int
    keras: Parity
    optimised: Parity


def export_encoder(
    folder: Path,
    out: Path,
    data: Sequence[Path] = (),
    any_dimension: bool = False,
    licence: str = "",
) -> Outcome:
    """Export the classifier of a run as an encoder, with evidence that it is the same.

    Args:
        folder: of the run.
        out: the ``.onnx`` file to write; the evidence goes beside it as ``.json``.
        data: where the run's photos are, if they have moved.
        any_dimension: whether an embedding of another width than 64 will do.
        licence: of the encoder, for its metadata.

    Raises:
        ImgsimError: of the run, the photos or the result. No file is written then.
    """
    run = open_run(folder)
    configure(available_cores(), run.settings.seed)
    cut = cut_classifier(load_model(run.classifier_path), any_dimension)
    size = cut.input_shape[1]
    photos = RunPhotos(run, size, data, available_cores()).take((TEST, VALID), PARITY_PHOTOS)
    model = convert(cut)
    parts = counts(read_split(run.folder / SPLIT))
    metadata = describe(run, parts, "none (float32)", licence)
    outcome: dict[str, Any] = {}

    def write(part: Path) -> None:
        part.write_bytes(stamp(model, metadata))
        encoder = Encoder(part)
        vectors = encoder_vectors(encoder, photos.pixels)
        outcome["keras"] = compare(keras_vectors(cut, photos.pixels), vectors)
        outcome["optimised"] = compare(unoptimised_vectors(part, photos.pixels), vectors)
        require_parity(outcome["keras"], "the encoder and Keras")
        require_parity(outcome["optimised"], "the encoder with and without optimisation")
        outcome["digest"] = encoder.digest

    write_whole(out, write)
    evidence = out.with_suffix(".json")
    result = Outcome(path=out, evidence=evidence, size=out.stat().st_size, **outcome)
    write_json(evidence, _evidence(run, result))
    return result


def _evidence(run: Run, result: Outcome) -> dict[str, Any]:
    return {
        "model": result.path.name,
        "digest": result.digest,
        "bytes": result.size,
        "against_keras": asdict(result.keras),
        "optimisations_on_against_off": asdict(result.optimised),
        "trained_with": dict(run.packages),
    }
