"""How soon `imgsim-edge watch` makes a photo searchable, and whether it grows while it runs.

Photos are crops of one that ships with scikit-image. Each is written piece by piece into a folder;
the clock starts when its last byte is written and stops when the index has it. Then the folder is
churned: photos come, are renamed and go, for as many rounds as asked for, and the memory of the
process is read after each tenth of them. Linux only, since it reads /proc.

    python tests/benchmarks/watching.py --photos 30 --rounds 300
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage
from imgsim_edge.infer import ImageIndex
from PIL import Image

PROGRAM = "import sys; from imgsim_edge.infer.cli import main; sys.exit(main())"
PIECE = 20_000  # bytes that are written at once
PAUSE = 0.05  # seconds between two pieces: a slow network
CHURN = 10  # photos that come and go in one round


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=100)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), wanted.photos, wanted.rounds)


def measure(top: Path, photos: int, rounds: int) -> None:
    """Run both parts in a folder."""
    inbox, work = top / "inbox", top / "work"
    for place in (inbox, work):
        place.mkdir()
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "watch", str(inbox), "--index", str(top / "index")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        source = Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB")
        random = np.random.default_rng(0)
        first = crop(source, random, work / "first.jpg")
        first.rename(inbox / "first.jpg")
        until(lambda: (top / "index" / "catalogue.sqlite").exists())
        time.sleep(5)  # until the first photo is there
        with ImageIndex.open(top / "index") as index:
            until(lambda: len(index) == 1)
            waits = []
            for number in range(photos):
                content = crop(source, random, work / "next.jpg").read_bytes()
                path = inbox / f"{number}.jpg"
                with path.open("wb", buffering=0) as file:
                    for start in range(0, len(content), PIECE):
                        file.write(content[start : start + PIECE])
                        time.sleep(PAUSE)
                written = time.monotonic()
                until(lambda path=path: index.find(path) is not None)
                waits.append(time.monotonic() - written)
            print(
                f"searchable after: median {statistics.median(waits):.2f} s, "
                f"longest {max(waits):.2f} s of {photos} photos"
            )
            print(f"memory at the start: {memory(program.pid):.1f} MB")
            for number in range(rounds):
                churn(inbox, source, random, work, index)
                if (number + 1) % max(rounds // 10, 1) == 0:
                    files = len(list(Path(f"/proc/{program.pid}/fd").iterdir()))
                    print(
                        f"after {(number + 1) * CHURN * 3:,} changes: "
                        f"{memory(program.pid):.1f} MB, {files} open files"
                    )
    finally:
        program.terminate()
        program.wait()


def churn(
    inbox: Path,
    source: Image.Image,
    random: np.random.Generator,
    work: Path,
    index: ImageIndex,
) -> None:
    """Let photos come, be renamed and go, and wait each time until the index knows."""
    before = len(index)
    for number in range(CHURN):
        crop(source, random, work / "next.jpg").rename(inbox / f"churn-{number}.jpg")
    until(lambda: len(index) == before + CHURN)
    for number in range(CHURN):
        (inbox / f"churn-{number}.jpg").rename(inbox / f"renamed-{number}.jpg")
    until(lambda: index.find(inbox / f"renamed-{CHURN - 1}.jpg") is not None)
    for number in range(CHURN):
        (inbox / f"renamed-{number}.jpg").unlink()
    until(lambda: len(index) == before)


def crop(source: Image.Image, random: np.random.Generator, path: Path) -> Path:
    """Write a random crop of a photo as a JPEG of some 100 kB."""
    left, top = random.integers(0, 200, size=2).tolist()
    part = source.crop((left, top, left + 300, top + 300))
    part.resize((900, 900)).save(path, quality=90)
    return path


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something."""
    while not is_so():
        time.sleep(0.01)


def memory(process: int) -> float:
    """Read the resident memory of a process, in megabytes."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


if __name__ == "__main__":
    main()
