"""What suggestions cost in a large index of made vectors and details.

    python tests/benchmarks/labels_at_scale.py 1000000

The examples are the neighbours of one vector, and the details follow from the vectors, so that the
classifier has something to learn. Nothing is said here about how good the suggestions are.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import measured
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.catalogue.database import Catalogue
from imgsim_edge.infer.catalogue.rows import PhotoRow
from imgsim_edge.infer.catalogue.writer import Batch
from imgsim_edge.infer.encoder.details import quantise_details
from imgsim_edge.infer.encoder.onnx_encoder import Encoder
from imgsim_edge.infer.labels.suggest import suggest
from index_scale import made_vectors

DETAILS = 256
PART = 5000
EXAMPLES = (1, 10, 1000, 5000)
ROUNDS = 3


def fill(folder: Path, count: int) -> None:
    encoder = Encoder()
    catalogue = Catalogue.create(folder, encoder.digest, "default", encoder.dimension, DETAILS)
    mixing = np.random.default_rng(0).standard_normal((encoder.dimension, DETAILS))
    with catalogue.writer() as writer:
        root = writer.add_root(folder / "away", ()).id
        for first in range(0, count, PART):
            ids = range(first, min(first + PART, count))
            vectors = made_vectors(first, len(ids), encoder.dimension)
            noise = np.random.default_rng(first).standard_normal((len(ids), DETAILS))
            details = quantise_details((vectors @ mixing + noise).astype(np.float32))
            name = f"{first}"
            home = writer.add_folders(root, {name: False})[name].id
            digests = np.random.default_rng(first).bytes(16 * len(ids))
            photos = [
                PhotoRow(n, home, f"{n}.jpg", 10**6, n, digests[16 * i : 16 * i + 16], 4000, 3000)
                for i, n in enumerate(ids)
            ]
            writer.commit(
                Batch(
                    photos=photos,
                    vectors=dict(zip(ids, vectors, strict=True)),
                    details=dict(zip(ids, details, strict=True)),
                )
            )


def ask(folder: Path, count: int) -> None:
    with ImageIndex.open(folder) as index:
        near = index.similar(made_vectors(0, 1, 64)[0], min(max(EXAMPLES), count // 2), exact=True)
        digests = [photo.digest for photo in index.photos([match.id for match in near])]
        for examples in EXAMPLES:
            index.teach(f"{examples}", digests[:examples])
    for examples in EXAMPLES:
        for _ in range(ROUNDS):
            command = [sys.executable, __file__, "--suggest", str(folder), f"{examples}"]
            # As the command does.
            one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
            subprocess.run(command, check=True, env=one_thread)


def once(folder: Path, label: str) -> None:
    with ImageIndex.open(folder) as index, measured() as spent:
        suggest(index, label)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{label:>5} examples: {spent.seconds:.2f} s ({spent.cpu:.2f} s of CPU), "
        f"{memory} MB at most",
        flush=True,
    )


def main() -> None:
    if sys.argv[1] == "--suggest":
        once(Path(sys.argv[2]), sys.argv[3])
        return
    with tempfile.TemporaryDirectory() as place:
        count = int(sys.argv[1])
        folder = Path(place) / "index"
        fill(folder, count)
        print(f"{count:,} photos", flush=True)
        ask(folder, count)


if __name__ == "__main__":
    main()
