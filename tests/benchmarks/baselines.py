"""Measure every stage of a search on labelled folders, beside the features that it comes from.

Rows: MobileNet v1's 1,024 pooled values as they are; and, of each encoder, its embeddings as they
are, minus the collection's mean, then with the best candidates ordered by their details, each
alone, then averaged with those among them that are like it. Columns: each set alone, their mean,
and all sets as one collection; P@1, P@10 and mAP with 95 % bootstrap intervals. Every photo is
decoded by the product's own code, and ordered and measured by it. Needs the extra `train`.

    python tests/benchmarks/baselines.py SET... --weights FILE --model default
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from imgsim_edge.infer.arrays import Ids, Pixels, Vectors
from imgsim_edge.infer.encoder.details import details_of
from imgsim_edge.infer.encoder.embed import embed_files
from imgsim_edge.infer.encoder.onnx_encoder import Encoder, Encodings
from imgsim_edge.infer.evaluation.labelled import labelled_photos
from imgsim_edge.infer.evaluation.metrics import Retrieval, estimate, measure
from imgsim_edge.infer.evaluation.tables import interval
from imgsim_edge.infer.photos.decode import IMAGE_SIZE
from imgsim_edge.infer.search.rerank import CANDIDATES, final_scores
from imgsim_edge.infer.search.scores import centred, cosines
from numpy.typing import NDArray

Order = Callable[[Vectors, Vectors], NDArray[np.float64]]  # query, candidates → scores
RAW = "MobileNet v1 pooled features, raw"
STAGES = ("as they are", "minus the mean", "+ details", "+ averages")
SHOWN = ("P@1", "P@10", "mAP")


@dataclass(frozen=True)
class Encoded:
    """A collection as one encoder sees it; rows of unit length.

    Attributes:
        embeddings: float32, shape = (photos, dimension).
        details: float32, shape = (photos, details_dimension), as an index keeps them; or none.
    """

    embeddings: Vectors
    details: Vectors | None = None


class PooledFeatures:
    """MobileNet v1, width 1.0, at 224 pixels, up to its global average pooling."""

    image_size = IMAGE_SIZE
    details_dimension = 0

    def __init__(self, weights: str) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras

        shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
        self._network = keras.applications.MobileNet(
            include_top=False, weights=weights, input_shape=shape, pooling="avg"
        )

    def encode(self, images: Pixels) -> Encodings:
        """Give the features of a batch of photos: float32, shape = (photos, 1024)."""
        values = self._network(images.astype(np.float32) / 127.5 - 1.0, training=False)
        features = np.asarray(values)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        return Encodings(features, np.empty((len(images), 0), np.float32))


def encoded(paths: Sequence[Path], encoder: Encoder | PooledFeatures) -> Encoded:
    """Encode photos that can all be read."""
    files = [file for batch in embed_files(paths, encoder) for file in batch]
    for file in files:
        if file.vector is None:
            sys.exit(f"error: {file.path}: {file.problem}")
    embeddings = np.stack([file.vector for file in files if file.vector is not None])
    details = [file.details for file in files if file.details is not None]
    return Encoded(embeddings, details_of(np.stack(details)) if details else None)


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Make one collection of several."""
    details = [part.details for part in parts if part.details is not None]
    return Encoded(
        np.concatenate([part.embeddings for part in parts]),
        np.concatenate(details) if details else None,
    )


def stages(own: Encoded, labels: Sequence[str]) -> dict[str, Retrieval]:
    """Measure a search stage by stage."""
    embeddings = centred(own.embeddings, own.embeddings.mean(axis=0))
    found = {STAGES[0]: measure(own.embeddings, labels), STAGES[1]: measure(embeddings, labels)}
    if own.details is not None:
        details = centred(own.details, own.details.mean(axis=0))
        for name, order in ((STAGES[2], cosines), (STAGES[3], final_scores)):
            first = partial(ordered, embeddings, details, order)
            found[name] = measure(embeddings, labels, first=first, in_order=True)
    return found


def ordered(embeddings: Vectors, details: Vectors, order: Order, rows: Ids) -> Ids:
    """Find the best candidates of some photos by embeddings and order them by details."""
    answers = []
    for row in rows:
        scores = embeddings @ embeddings[row]
        scores[row] = -np.inf
        best = np.argsort(-scores, kind="stable")[: min(CANDIDATES, len(scores) - 1)]
        own = order(details[row], details[best])
        answers.append(best[np.argsort(-own, kind="stable")])
    return np.stack(answers).astype(np.int64)


def measured(
    sets: Sequence[Path], encoders: dict[str, Encoder | PooledFeatures]
) -> tuple[dict[str, list[Retrieval]], dict[str, Retrieval]]:
    """Measure every stage of every encoder on each set, and on all sets as one collection."""
    each: dict[str, list[Retrieval]] = {}
    together: dict[str, Retrieval] = {}
    photos = [labelled_photos(folder) for folder in sets]
    everyone = [
        f"{f.name}/{label}" for f, own in zip(sets, photos, strict=True) for label in own.labels
    ]
    for name, encoder in encoders.items():
        parts = []
        for folder, own in zip(sets, photos, strict=True):
            print(f"{name}: {folder}", file=sys.stderr)
            parts.append(encoded(own.paths, encoder))
            for stage, found in stages(parts[-1], own.labels).items():
                each.setdefault(_row(name, stage), []).append(found)
        for stage, found in stages(joined(parts), everyone).items():
            together[_row(name, stage)] = found
    return each, together


def _row(name: str, stage: str) -> str:
    return f"{name}: {stage}"


def table(
    measure_name: str,
    sets: Sequence[Path],
    each: dict[str, list[Retrieval]],
    together: dict[str, Retrieval],
) -> str:
    """Lay out one measure as Markdown."""
    head = ["vectors", *(folder.name for folder in sets), f"mean of {len(sets)}", "one collection"]
    lines = [head, ["---"] * len(head)]
    for row, results in each.items():
        cells = [interval(estimate([one])[measure_name]) for one in results]
        cells.append(interval(estimate(results)[measure_name]))
        cells.append(interval(estimate([together[row]])[measure_name]))
        lines.append([row, *cells])
    return "\n".join([f"{measure_name}:", "", *(f"| {' | '.join(line)} |" for line in lines)])


def objects(
    sets: Sequence[Path], each: dict[str, list[Retrieval]], together: dict[str, Retrieval]
) -> Iterator[dict[str, object]]:
    """Give one object for each row and set."""
    for row, results in each.items():
        names = [*(folder.name for folder in sets), None]
        for name, one in zip(names, [*results, together[row]], strict=True):
            measures = {key: asdict(own) for key, own in estimate([one]).items()}
            yield {"vectors": row, "set": name, **measures}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", nargs="+", type=Path, help="in each, a folder for each class")
    parser.add_argument("--weights", help="a .weights.h5 file of MobileNet, for the raw features")
    parser.add_argument("--model", action="append", default=[], help="an encoder; may be repeated")
    parser.add_argument("--json", action="store_true", help="one object a line")
    arguments = parser.parse_args()
    encoders: dict[str, Encoder | PooledFeatures] = {}
    if arguments.weights:
        encoders[RAW] = PooledFeatures(arguments.weights)
    encoders |= {name: Encoder(name, threads=1) for name in arguments.model}
    each, together = measured(arguments.sets, encoders)
    if arguments.json:
        for line in objects(arguments.sets, each, together):
            print(json.dumps(line))
    else:
        print("\n\n".join(table(name, arguments.sets, each, together) for name in SHOWN))


if __name__ == "__main__":
    main()
