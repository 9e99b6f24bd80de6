"""Run `duplicates` over very many photos, and tell how long it takes and how much it holds.

    python tests/benchmarks/duplicates_at_scale.py 50000 200000

The files are real, small and all different, the vectors random. Of every hundredth photo there is
one copy, whose vector is near.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.catalogue.database import Catalogue
from imgsim_edge.infer.catalogue.rows import PhotoRow
from imgsim_edge.infer.catalogue.writer import Batch
from imgsim_edge.infer.duplicates.groups import find_groups
from imgsim_edge.infer.encoder.onnx_encoder import Encoder
from imgsim_edge.infer.search.hnsw_refresh import refresh
from PIL import Image

COPY_EVERY = 100


def main() -> None:
    print("| photos | groups | took | computing | largest memory |\n|---|---|---|---|---|")
    for count in map(int, sys.argv[1:]):
        # A process of its own, since the largest memory of a process never falls.
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(count,))
        process.start()
        process.join()


def measure(count: int) -> None:
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "photos"
        rows, vectors = make_photos(folder, count, random)
        encoder = Encoder()
        catalogue = Catalogue.create(
            Path(temporary) / "index", encoder.digest, "default", encoder.dimension
        )
        with catalogue.writer() as writer:
            root = writer.add_root(folder, ())
            place = writer.add_folders(root.id, {"": False})[""].id
            for first in range(0, count, 5000):
                part = rows[first : first + 5000]
                photos = [PhotoRow(n, place, *rest, 0) for n, *rest in part]
                writer.commit(Batch(photos, {n: vectors[n] for n, *_ in part}))
            refresh(writer, catalogue.folder)  # builds the graph
        catalogue.close()
        del rows, vectors, encoder
        with ImageIndex.open(Path(temporary) / "index") as index:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            started, computed = time.perf_counter(), time.process_time()
            found = find_groups(index)
            took, computed = time.perf_counter() - started, time.process_time() - computed
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"| {count:,} | {len(found.groups):,} | {took / 60:.1f} min "
        f"| {computed / 60:.1f} min, {computed / count * 1e3:.2f} ms a photo "
        f"| {peak / 1e6:.2f} GB ({before / 1e6:.2f} GB before) |",
        flush=True,
    )


def make_photos(
    folder: Path, count: int, random: np.random.Generator
) -> tuple[list[tuple[object, ...]], np.ndarray]:
    folder.mkdir()
    vectors = random.standard_normal((count, 64)).astype(np.float32)
    rows: list[tuple[object, ...]] = []
    for number in range(count):
        path = folder / f"{number}.jpg"
        if number % COPY_EVERY == 1:
            path.write_bytes((folder / f"{number - 1}.jpg").read_bytes() + b"\0")
            vectors[number] = vectors[number - 1] + 0.05 * random.standard_normal(64)
        else:
            noise = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            image = Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC)
            image.save(path)
        status = path.stat()
        digest = hashlib.blake2b(os.fsencode(path), digest_size=16).digest()
        entry = (number, path.name, status.st_size, status.st_mtime_ns, digest, 96, 96)
        rows.append(entry)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return rows, vectors


if __name__ == "__main__":
    main()
