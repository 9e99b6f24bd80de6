"""How many 12-megapixel photos a second: decoding alone, and `index`, format by format.

    python tests/benchmarks/formats.py FOLDER [--count 24] [--work DIR] [--formats jpg heic ...]

The photos are made of those in FOLDER, enlarged to 4000 × 3000 pixels with the noise of a sensor:
their bytes a pixel are about those of a phone's photos, their content is what it is. HEIC is a grid
of 512 × 512 tiles, as an iPhone writes it; DNG holds the camera's JPEG at full size. Both rates are
of one run on the same files: `decode` is `load_photo` on every core, `index` the whole command with
its start, so that it can never reach the first. The seconds of the CPU hold where other programs
run beside it. Formats that are not read here are left out.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from camera_files import dng, encoded, exif
from common import Spent, measured
from imgsim_edge.infer import ImgsimError

SIZE = (4000, 3000)
NOISE = 4.0  # of 255, standard deviation: what keeps a 12-megapixel JPEG at some 3 MB
# An iPhone's grid; the quick preset costs the file some size and the decoder nothing.
IPHONE = {"tile_size": 512, "enc_params": {"preset": "ultrafast"}}
PROGRAM = "import sys; from imgsim_edge.infer.cli import main; sys.exit(main())"


def written(image: Image.Image, suffix: str) -> bytes:
    """Encode a photo as its makers do."""
    told = exif()
    if suffix == "jpg":
        return encoded(image, "JPEG", quality=90, exif=told)
    if suffix == "heic":
        return encoded(image, "HEIF", quality=70, exif=told.tobytes(), **IPHONE)
    if suffix == "dng":
        preview = encoded(image, "JPEG", quality=90)
        return dng(image.resize((1000, 750)), preview=preview, sensor=4)
    if suffix == "png":
        return encoded(image, "PNG", compress_level=1)
    return encoded(image, "WEBP", quality=85, method=1, exif=told.tobytes())


def make(folder: Path, sources: list[Path], count: int, suffix: str) -> None:
    """Write photos, all different."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        with Image.open(sources[number % len(sources)]) as source:
            large = source.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
        noise = rng.standard_normal((SIZE[1], SIZE[0], 1), np.float32) * NOISE
        pixels = (np.asarray(large, np.float32) + noise).clip(0, 255).astype(np.uint8)
        (folder / f"{number}.{suffix}").write_bytes(written(Image.fromarray(pixels), suffix))


def decode_all(paths: list[Path]) -> Spent:
    """Decode files on every core."""
    from imgsim_edge.infer import load_photo

    load_photo(paths[0])  # loads the library
    with measured() as spent, ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(load_photo, paths))
    return spent


def index_all(folder: Path, index: Path) -> tuple[Spent, str]:
    """Index a folder with the command: what it took, and what it said."""
    command = [sys.executable, "-c", PROGRAM, "index", str(folder), "--index", str(index)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(time.perf_counter() - began, cpu), (done.stdout + done.stderr).strip()


def available_cores() -> int:
    """Count the cores of this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--formats", nargs="+", default=["jpg", "heic", "dng", "png", "webp"])
    parser.add_argument("--work", type=Path, help="keep the photos here, and use those of before")
    options = parser.parse_args()
    sources = sorted(options.folder.rglob("*.jpg"))
    sources = sources[:: max(1, len(sources) // options.count)]
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        print("                     photos a second         CPU ms a photo")
        print("        MB a photo   decode   index  share    decode   index  share")
        for suffix in options.formats:
            folder = work / suffix
            if not folder.is_dir():
                make(folder, sources, options.count, suffix)
            paths = sorted(folder.iterdir())[: options.count]
            count = len(paths)
            size = sum(path.stat().st_size for path in paths) / count / 1e6
            try:
                decoding = decode_all(paths)
            except ImgsimError as error:  # an older version does not read them all
                print(f"{suffix:<8}{size:>10.1f}   not read: {str(error).split(': ', 1)[-1]}")
                continue
            with tempfile.TemporaryDirectory() as index:
                indexing, said = index_all(folder, Path(index) / "index")
            if f"{count} added" not in said:
                print(f"{suffix:<8}{size:>10.1f}   not indexed: {said.splitlines()[-1]}")
                continue
            print(
                f"{suffix:<8}{size:>10.1f}"
                f"{count / decoding.seconds:>9.1f}{count / indexing.seconds:>8.1f}"
                f"{decoding.seconds / indexing.seconds:>7.2f}"
                f"{decoding.cpu / count * 1000:>10.0f}{indexing.cpu / count * 1000:>8.0f}"
                f"{decoding.cpu / indexing.cpu:>7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
