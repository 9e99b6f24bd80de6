"""Measure every stage of a search on labelled folders, beside the features that it comes from.

Rows: MobileNet v1's 1,024 pooled values, as they are and less the collection's mean; and every
stage of a search by each encoder, as `imgsim-edge evaluate` measures it. Columns: each set alone,
their mean, and all sets as one collection; P@1, P@10 and mAP with 95 % bootstrap intervals. Every
photo is decoded by the product's own code, and found, ordered and measured by it. Needs the extra
`train`.

    python tests/benchmarks/baselines.py SET... --weights FILE --model default
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from imgsim_edge.infer.arrays import Codes, Pixels, Vectors
from imgsim_edge.infer.encoder.embed import embed_files
from imgsim_edge.infer.encoder.onnx_encoder import Encoder, Encodings
from imgsim_edge.infer.evaluation.labelled import labelled_photos
from imgsim_edge.infer.evaluation.metrics import Retrieval, estimate
from imgsim_edge.infer.evaluation.stages import Stages
from imgsim_edge.infer.evaluation.tables import interval
from imgsim_edge.infer.photos.decode import IMAGE_SIZE

Encoded = tuple[Vectors, Codes | None]  # embeddings and, where there are some, details
RAW = "MobileNet v1 pooled features, raw"
SHOWN = ("P@1", "P@10", "mAP")


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
        features = features / np.linalg.norm(features, axis=1, keepdims=True)
        return Encodings(features, np.empty((len(images), 0), np.float32))


def encoded(paths: Sequence[Path], encoder: Encoder | PooledFeatures) -> Encoded:
    """Encode photos that can all be read."""
    files = [file for batch in embed_files(paths, encoder) for file in batch]
    for file in files:
        if file.vector is None:
            sys.exit(f"error: {file.path}: {file.problem}")
    embeddings = np.stack([file.vector for file in files if file.vector is not None])
    details = [file.details for file in files if file.details is not None]
    return embeddings, np.stack(details) if details else None


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Make one collection of several."""
    details = [codes for _, codes in parts if codes is not None]
    embeddings = np.concatenate([vectors for vectors, _ in parts])
    return embeddings, np.concatenate(details) if details else None


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
            for stage, found in Stages(*parts[-1]).measured(own.labels).items():
                each.setdefault(_row(name, stage), []).append(found)
        for stage, found in Stages(*joined(parts)).measured(everyone).items():
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
