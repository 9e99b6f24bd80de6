"""An index from shards: what a photo costs, and that memory does not grow with the photos.

    python tests/benchmarks/from_vectors.py [--photos 20000 100000]

Shards of made photos (64 numbers and 256 details each, no picture behind them) are written, looked
at as a run of `embed` over unchanged photos does, and taken into an index without its graph. Each
count has processes of its own, which tell their time on the CPU and their peak memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import measured
from imgsim_edge.infer.catalogue.database import Catalogue
from imgsim_edge.infer.encoder.embed import EmbeddedFile
from imgsim_edge.infer.machine import peak_memory
from imgsim_edge.infer.photos.metadata import PhotoMetadata
from imgsim_edge.infer.scale.addresses import Address
from imgsim_edge.infer.scale.embedding import SHARD_PHOTOS
from imgsim_edge.infer.scale.intake import finished_shards, take_in
from imgsim_edge.infer.scale.shards import (
    EncoderRecord,
    Manifest,
    shards_in,
    table_of,
    write_manifest,
    write_shard,
)

MADE_BY = EncoderRecord("made", "0" * 32, 64, 256)
METADATA = PhotoMetadata(1_700_000_000_000, 60, "exif", "Some camera", 48_000_000, 11_000_000)
STEPS = ("write", "look", "take")


def write(folder: Path, count: int) -> None:
    random = np.random.default_rng(0)
    records = []
    source = str(folder / "photos")
    for first in range(0, count, SHARD_PHOTOS):
        numbers = range(first, min(first + SHARD_PHOTOS, count))
        vectors = random.standard_normal((len(numbers), 64)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        details = random.integers(-127, 128, (len(numbers), 256)).astype(np.int8)
        rows = [
            EmbeddedFile(
                Address(source, f"{n // 250:06}/IMG_{n:09}.jpg", 3_000_000, n),
                *(random.bytes(16), 4000, 3000, METADATA, vector, own),
            )
            for n, vector, own in zip(numbers, vectors, details, strict=True)
        ]
        made_from = [row.path for row in rows]
        records.append(write_shard(folder, made_from, table_of(rows, made_from, MADE_BY)))
    write_manifest(folder, Manifest(MADE_BY, True, (source,), tuple(records)))
    size = sum(record.bytes for record in records)
    print(f"  {len(records):,} shards of {size / count:.0f} bytes a photo", flush=True)


def look(folder: Path, count: int) -> None:
    with measured() as spent:
        found = sum(len(shard.made_from) for shard in list(shards_in(folder, MADE_BY)))
    tell(f"looking at the shards of {found:,}", spent.cpu, count)


def take(folder: Path, count: int) -> None:
    index = folder / "index"
    catalogue = Catalogue.create(index, MADE_BY.digest, "made", 64, 256)
    with measured() as spent, catalogue.writer() as writer:
        take_in(writer, folder, finished_shards(folder))
    tell(f"taking in {count:,}", spent.cpu, count)
    print(f"  {catalogue.bytes() / count:.0f} bytes a photo in the catalogue", flush=True)


def tell(what: str, cpu: float, count: int) -> None:
    memory = (peak_memory() or 0) / 1e6
    each = 1e6 * cpu / count
    print(f"{what:<36} {cpu:8.2f} s of CPU, {each:6.1f} µs a photo, peak memory {memory:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.step:
        globals()[given.step](given.folder, given.photos[0])
        return
    for count in given.photos:
        with tempfile.TemporaryDirectory() as folder:
            for step in STEPS:
                again = [sys.executable, __file__, "--photos", str(count), "--folder", folder]
                subprocess.run([*again, "--step", step], check=True)


if __name__ == "__main__":
    main()
