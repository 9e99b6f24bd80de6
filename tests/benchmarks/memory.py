"""Peak memory of indexing, by the number of photos: it should not grow with it.

Every photo is a link to one of a few made ones; each run is a process of its own.

    python tests/benchmarks/memory.py [--counts 1000 10000] [--size 640 480] [--model default]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from imgsim_edge.infer.benchmark.synthetic import make_photos

INDEX = """
import sys
from pathlib import Path
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.machine import peak_memory
with ImageIndex.create(sys.argv[2], sys.argv[3]) as index:
    report = index.add([sys.argv[1]])
print(report.added, peak_memory())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", nargs="+", type=int, default=[1_000, 10_000])
    parser.add_argument("--size", nargs=2, type=int, default=[640, 480])
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        photos = make_photos(folder / "made", 64, tuple(options.size))
        for count in options.counts:
            root = folder / f"photos-{count}"
            for number in range(count):
                place = root / f"{number // 500:03}"
                place.mkdir(parents=True, exist_ok=True)
                os.link(photos[number % len(photos)], place / f"{number:06}.jpg")
            command = [sys.executable, "-c", INDEX, str(root), str(folder / f"index-{count}")]
            output = subprocess.check_output([*command, options.model], text=True)
            added, peak = map(int, output.split())
            width, height = options.size
            print(f"{added:>7,} photos of {width} × {height}: at most {peak / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
