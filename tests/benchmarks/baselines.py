"""Compare encoders with the features that they come from, on labelled folders, in one command.

Rows: MobileNet v1's 1,024 pooled values as they are; their first 64 principal components, fitted on
other photos; and the encoders that are named. Columns: mean average precision and P@1 on each set,
and the mean over sets, with 95 % bootstrap intervals. Every photo is decoded by the product's own
code and every ranking measured by it. Needs the extras `train` and `dev`.

    python tests/benchmarks/baselines.py SET... --weights FILE --fit-on FOLDER --model default

Nothing is ever fitted on a photo that is measured: a folder to fit on that holds a set, or lies in
one, is refused.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from imgsim_edge.infer.arrays import Pixels
from imgsim_edge.infer.encoder.embed import BATCH
from imgsim_edge.infer.encoder.onnx_encoder import Encoder
from imgsim_edge.infer.errors import PhotoError
from imgsim_edge.infer.evaluation.labelled import labelled_photos
from imgsim_edge.infer.evaluation.metrics import Retrieval, estimate, measure
from imgsim_edge.infer.evaluation.retrieval import evaluate
from imgsim_edge.infer.evaluation.tables import interval
from imgsim_edge.infer.machine import available_cores
from imgsim_edge.infer.photos.decode import IMAGE_SIZE, load_photo
from imgsim_edge.infer.photos.scan import FoundFile, scan_files
from numpy.typing import NDArray

Floats = NDArray[np.float32]
COMPONENTS = 64
RAW = "MobileNet v1 pooled features, raw"
PCA = f"PCA-{COMPONENTS} of them, fitted on other photos"
SHOWN = ("mAP", "P@1")


class PooledFeatures:
    """MobileNet v1, width 1.0, at 224 pixels, up to its global average pooling."""

    def __init__(self, weights: str) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras

        shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
        self._network = keras.applications.MobileNet(
            include_top=False, weights=weights, input_shape=shape, pooling="avg"
        )

    def of(self, paths: Sequence[Path]) -> tuple[list[int], Floats]:
        """Give the rows of the photos that can be read, and their features.

        The features are float32, shape = (photos, 1024), of unit length.
        """
        kept: list[int] = []
        features = [np.empty((0, 1024), np.float32)]
        for rows, pixels in _batches(paths):
            values = self._network(pixels.astype(np.float32) / 127.5 - 1.0, training=False)
            kept += rows
            features.append(np.asarray(values))
        joined = np.concatenate(features)
        unit: Floats = joined / np.linalg.norm(joined, axis=1, keepdims=True)
        return kept, unit


def _batches(paths: Sequence[Path]) -> Iterator[tuple[list[int], Pixels]]:
    def pixels(path: Path) -> Pixels | None:
        try:
            return load_photo(path).pixels
        except PhotoError:
            return None

    with ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, len(paths), BATCH):
            decoded = enumerate(pool.map(pixels, paths[start : start + BATCH]), start)
            readable = {row: one for row, one in decoded if one is not None}
            if readable:
                yield list(readable), np.stack(list(readable.values()))


def photos_to_fit_on(folder: Path, sets: Sequence[Path], most: int, seed: int) -> list[Path]:
    """Draw photos from a folder that has nothing in common with the sets."""
    own = folder.resolve()
    for measured in (one.resolve() for one in sets):
        if own.is_relative_to(measured) or measured.is_relative_to(own):
            sys.exit(f"error: {folder} and {measured} overlap: fit on other photos")
    found = [folder / one.path for one in scan_files(folder) if isinstance(one, FoundFile)]
    if len(found) < COMPONENTS:
        sys.exit(f"error: {folder} holds {len(found)} photos, too few to fit on")
    chosen = np.random.default_rng(seed).permutation(len(found))[:most]
    return [found[i] for i in np.sort(chosen)]


def measured(arguments: argparse.Namespace) -> dict[str, tuple[int, list[Retrieval]]]:
    """Measure every embedding on every set: name → numbers in a vector, a result for each set."""
    encoders = {name: Encoder(name, threads=1) for name in arguments.model}
    network = PooledFeatures(arguments.weights)
    rows: dict[str, tuple[int, list[Retrieval]]] = {RAW: (1024, [])}
    if arguments.fit_on:
        from sklearn import decomposition

        others = photos_to_fit_on(
            arguments.fit_on, arguments.sets, arguments.fit_photos, arguments.seed
        )
        print(f"fitting on {len(others):,} photos of {arguments.fit_on}", file=sys.stderr)
        # The full decomposition: the randomised one differs from run to run.
        components = decomposition.PCA(COMPONENTS, svd_solver="full").fit(network.of(others)[1])
        rows[PCA] = (COMPONENTS, [])
    rows |= {name: (encoder.dimension, []) for name, encoder in encoders.items()}
    for folder in arguments.sets:
        print(f"measuring {folder}", file=sys.stderr)
        photos = labelled_photos(folder)
        kept, features = network.of(photos.paths)
        labels = [photos.labels[row] for row in kept]
        rows[RAW][1].append(measure(features, labels))
        if arguments.fit_on:
            projected = components.transform(features)
            rows[PCA][1].append(measure(projected, labels))
        # The same photos, since the same code decodes them.
        for one in evaluate(photos, encoders, through_graph=False) if encoders else ():
            rows[one.model][1].append(one.exact)
    return rows


def table(name: str, rows: dict[str, tuple[int, list[Retrieval]]], sets: Sequence[Path]) -> str:
    """Lay out one measure as Markdown."""
    titles = ["embedding", "numbers", *(folder.name for folder in sets)]
    lines = [[*titles, f"mean of {len(sets)}"] if len(sets) > 1 else titles]
    lines.append(["---"] * len(lines[0]))
    for embedding, (numbers, results) in rows.items():
        cells = [interval(estimate([one])[name]) for one in results]
        if len(sets) > 1:
            cells.append(interval(estimate(results)[name]))
        lines.append([embedding, f"{numbers:,}", *cells])
    return "\n".join([f"{name}:", "", *(f"| {' | '.join(line)} |" for line in lines)])


def objects(
    rows: dict[str, tuple[int, list[Retrieval]]], sets: Sequence[Path]
) -> Iterator[dict[str, Any]]:
    """Describe each embedding on each set, and its difference from the raw features."""
    raw = rows[RAW][1]
    for embedding, (numbers, results) in rows.items():
        for folder, one, base in zip(sets, results, raw, strict=True):
            yield {
                "embedding": embedding,
                "numbers": numbers,
                "set": folder.name,
                **{name: asdict(own) for name, own in estimate([one]).items()},
                "mAP_above_raw": asdict(estimate([one], [base])["mAP"]),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", nargs="+", type=Path, help="in each, a folder for each class")
    parser.add_argument("--weights", default="imagenet", help="a .weights.h5 file of MobileNet")
    parser.add_argument("--fit-on", type=Path, help="photos to fit the PCA on; none without it")
    parser.add_argument("--fit-photos", type=int, default=5000, help="how many of them at most")
    parser.add_argument("--model", action="append", default=[], help="an encoder; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of photos to fit on")
    parser.add_argument("--json", action="store_true", help="one object a line")
    arguments = parser.parse_args()
    rows = measured(arguments)
    if arguments.json:
        for line in objects(rows, arguments.sets):
            print(json.dumps(line))
    else:
        print("\n\n".join(table(name, rows, arguments.sets) for name in SHOWN))


if __name__ == "__main__":
    main()
