"""An export from the run to the encoder and its evidence: the stages in their order."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..infer.arrays import Pixels, Vectors
from ..infer.encoder.classes import REGIONS_KEY, ClassRegions
from ..infer.encoder.onnx_encoder import DETAILS_NAME, OUTPUT_NAME, Encoder
from ..infer.machine import available_cores
from ..infer.progress import say
from ..infer.search.rarity import METADATA_KEY, SAMPLE, Rarity
from ..train.backend import configure
from ..train.classifier.checkpoint import load_model
from ..train.data.split import TEST, TRAIN, VALID, read_split
from ..train.run_folder import SPLIT, Run, open_run, write_json, write_whole
from .classes import (
    MOST_PHOTOS,
    USUAL_TEMPERATURE,
    MeasuredClasses,
    fit_regions,
    fit_temperature,
    measure_classes,
)
from .convert import convert, cut_classifier, normalise, with_classes
from .errors import ExportError
from .judge import Attempt, Judge, as_line, mean_average_precision
from .metadata import MOST_NAMES, describe, stamp
from .parity import (
    Parity,
    compare_outputs,
    encoder_vectors,
    keras_vectors,
    require_parity,
    unoptimised_vectors,
)
from .photos import RunPhotos
from .quantise import Quantised, to_fp16, to_int8

PARITY_PHOTOS = 64
VALIDATION_PHOTOS = 1000  # at most, that judge a smaller encoder
INT8, FP16, FLOAT32 = "int8", "float16", "float32"
_TOOLS = ("imgsim-edge", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy")  # that shape the file
_IN_WORDS = {
    INT8: "int8: static QDQ, a scale for each channel, biases corrected, calibrated on {photos} "
    "training photos; {name}",
    FP16: "float16 weights and arithmetic; float32 normalisation and output",
    FLOAT32: "none (float32)",
}


@dataclass(frozen=True)
class Options:
    """How to export.

    Attributes:
        precision: ``"float32"``, ``"float16"`` or ``"int8"``.
        max_loss: mAP on the validation photos that a smaller encoder may lose, absolute.
        calibration_photos: of the training part, for int8.
        licence: of the encoder, for its metadata.
        classify: let it give calibrated probabilities of the run's classes, too.
    """

    precision: str = FLOAT32
    max_loss: float = 0.01
    calibration_photos: int = 200
    licence: str = ""
    classify: bool = False


@dataclass(frozen=True)
class Outcome:
    """What an export came to.

    Attributes:
        path: of the encoder.
        evidence: path of the JSON beside it.
        digest: of the encoder's content.
        size: of the file in bytes.
        keras: the encoder against Keras, by the name of an output.
        optimised: ONNX Runtime with all optimisations against none, likewise.
        details: mAP of the validation photos by embeddings and by details, on which it was decided
            whether details are kept; empty where there are none or it could not be measured.
        keeps_details: whether the encoder gives details.
        attempts: the smaller encoders that were tried, after the float32 one; empty for float32.
        chosen: the name of the one that was accepted; empty for float32.
        classes: how well it tells classes apart; None where it does not, or without test photos.
    """

    path: Path
    evidence: Path
    digest: str
    size: int
    keras: dict[str, Parity]
    optimised: dict[str, Parity]
    details: dict[str, float]
    keeps_details: bool
    attempts: tuple[Attempt, ...] = ()
    chosen: str = ""
    classes: MeasuredClasses | None = None


def export_encoder(
    folder: Path, out: Path, data: Sequence[Path] = (), options: Options | None = None
) -> Outcome:
    """Export the classifier of a run as an encoder, with evidence of what it computes.

    Args:
        folder: of the run.
        out: the ``.onnx`` file to write; the evidence goes beside it as ``.json``.
        data: where the run's photos are, if they have moved.
        options: how; float32 by default.

    Raises:
        ImgsimError: of the run, the photos or the result. No file is written then.
    """
    options = options or Options()
    evidence = out.with_suffix(".json")
    _require_own(evidence)
    run = open_run(folder)
    threads = available_cores()
    configure(threads, run.settings.seed)
    classifier, units = load_model(run.classifier_path), run.settings.embedding_units
    cut = cut_classifier(classifier, units)
    photos = RunPhotos(run, cut.input_shape[1], data, threads)
    checked = photos.take((TEST, VALID), PARITY_PHOTOS).pixels
    model = convert(cut)
    quality = _quality(model, photos) if DETAILS_NAME in cut.output else {}
    details = bool(quality) and quality[DETAILS_NAME] > quality[OUTPUT_NAME]
    if not details and DETAILS_NAME in cut.output:
        say(_without_details(quality))
        cut = cut_classifier(classifier, units, details=False)
        model = convert(cut)
    temperature, whole = None, cut
    if options.classify:
        if len(json.dumps(run.classes(), ensure_ascii=False)) > MOST_NAMES:
            raise ExportError("the run has more class names than an encoder's metadata can hold")
        whole = with_classes(cut, classifier)
        usual = USUAL_TEMPERATURE[run.settings.recipe]
        temperature = fit_temperature(whole, run.classes(), photos, usual)
        model = convert(whole, temperature)
    split = read_split(run.folder / SPLIT)

    # The float32 encoder must be right before anything smaller is made of it.
    with tempfile.TemporaryDirectory() as scratch:
        reference = Path(scratch) / "encoder.onnx"
        reference.write_bytes(stamp(model, describe(run, split, _IN_WORDS[FLOAT32], "")))
        require_parity(_parity(cut, reference, checked)[0], "the encoder and Keras")
    smaller = _smaller(model, photos, options, threads)
    words = _IN_WORDS[options.precision]
    if smaller is not None:
        model = _parse(smaller.content)
        words = words.format(photos=smaller.calibration_photos, name=smaller.chosen.name)
    metadata = describe(run, split, words, options.licence)
    metadata[METADATA_KEY] = _rarity(model, photos).to_text()
    if temperature is not None:
        metadata["temperature"] = f"{temperature:.4g}"
        metadata[REGIONS_KEY] = _regions(model, run.classes(), photos).to_text()
    content = stamp(model, metadata)
    measured: dict[str, Any] = {}

    def write(part: Path) -> None:
        part.write_bytes(content)
        measured["keras"], measured["optimised"] = _parity(cut, part, checked)
        if smaller is None:
            require_parity(measured["optimised"], "the encoder with and without optimisation")
        measured["digest"] = Encoder(part).digest
        if temperature is not None:
            measured["classes"] = measure_classes(part, whole, photos)

    write_whole(out, write)
    result = Outcome(
        path=out,
        evidence=evidence,
        size=len(content),
        attempts=smaller.attempts if smaller else (),
        chosen=smaller.chosen.name if smaller else "",
        details=quality,
        keeps_details=details,
        **measured,
    )
    write_json(result.evidence, _evidence(run, result, smaller, options))
    return result


def _require_own(evidence: Path) -> None:
    """Refuse to write evidence over a file that is something else."""
    if evidence.is_file() and "against_keras" not in evidence.read_text("utf-8", "replace"):
        raise ExportError(
            f"{evidence} is where the evidence would go, and holds something else: "
            "choose another file"
        )


def _parity(cut: Any, path: Path, pixels: Pixels) -> tuple[dict[str, Parity], dict[str, Parity]]:
    vectors = encoder_vectors(Encoder(path), pixels)
    return (
        compare_outputs(keras_vectors(cut, pixels), vectors),
        compare_outputs(unoptimised_vectors(path, pixels), vectors),
    )


def _vectors(model: Any, pixels: Pixels) -> dict[str, Vectors]:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "encoder.onnx"
        path.write_bytes(model.SerializeToString())
        return encoder_vectors(Encoder(path), pixels)


def _quality(model: Any, photos: RunPhotos) -> dict[str, float]:
    """Measure how well each output finds the validation photos' own kind; empty without any."""
    if not photos.count((VALID,)):
        return {}
    own = photos.take((VALID,), VALIDATION_PHOTOS)
    return mean_average_precision(_vectors(model, own.pixels), own.labels)


def _without_details(quality: dict[str, float]) -> str:
    if not quality:
        return "details are left out: no class has two validation photos to judge them by"
    return (
        f"details are left out: they order validation photos with an mAP of "
        f"{quality[DETAILS_NAME]:.4f}, the embeddings alone with {quality[OUTPUT_NAME]:.4f}"
    )


def _rarity(model: Any, photos: RunPhotos) -> Rarity:
    """Measure what a cosine of this encoder is worth, on photos of all parts."""
    pixels = photos.take((TRAIN, TEST, VALID), SAMPLE).pixels
    return Rarity.of(_vectors(model, pixels)[OUTPUT_NAME])


def _regions(model: Any, names: Sequence[str], photos: RunPhotos) -> ClassRegions:
    """Find out where the classes lie in what this very file, rounded or not, makes of photos."""
    known = [photos.take((part,), MOST_PHOTOS) for part in (TRAIN, VALID)]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "encoder.onnx"
        path.write_bytes(model.SerializeToString())
        encoder = Encoder(path)
        features = [encoder.probabilities_and_features(own.pixels)[1] for own in known]
    places = [np.array([names.index(label) for label in own.labels]) for own in known]
    return fit_regions(features[0], places[0], features[1], places[1], len(names))


def _smaller(model: Any, photos: RunPhotos, options: Options, threads: int) -> Quantised | None:
    if options.precision == FLOAT32:
        return None
    validation = photos.take((VALID,), VALIDATION_PHOTOS)
    judge = Judge(model.SerializeToString(), validation, options.max_loss, threads)
    say(as_line(judge.reference))
    if options.precision == FP16:
        quantised = to_fp16(model, judge)
    else:
        calibration = photos.take((TRAIN,), options.calibration_photos).pixels
        quantised = to_int8(model, calibration, judge)
    return replace(quantised, attempts=(judge.reference, *quantised.attempts))


def _parse(content: bytes) -> Any:
    import onnx

    return normalise(onnx.load_from_string(content))


def _evidence(
    run: Run, result: Outcome, smaller: Quantised | None, options: Options
) -> dict[str, Any]:
    evidence = {
        "model": result.path.name,
        "digest": result.digest,
        "bytes": result.size,
        "against_keras": {name: asdict(own) for name, own in result.keras.items()},
        "optimisations_on_against_off": {
            name: asdict(own) for name, own in result.optimised.items()
        },
        "details": {"kept": result.keeps_details, "mean_average_precision": result.details},
        "trained_with": dict(run.packages),
        "exported_with": {name: version(name) for name in _TOOLS},
    }
    if result.classes is not None:
        evidence["classes"] = asdict(result.classes)
    if smaller is not None:
        evidence["quantisation"] = {
            "max_loss": options.max_loss,
            "calibration_photos": smaller.calibration_photos,
            "attempts": [asdict(attempt) for attempt in smaller.attempts],
            "chosen": result.chosen,
            "cost_of_each_layer_alone": dict(smaller.ranking),
            "largest_shift_taken_back": dict(smaller.shifts),
        }
    return evidence
