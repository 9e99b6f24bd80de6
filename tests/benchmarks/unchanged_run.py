"""An `index` run over files that have not changed, beside `find -newer` over the same tree.

    python tests/benchmarks/unchanged_run.py --files 100000

The files are small and made, each a photo of 8 × 8 pixels in a colour of its own, embedded by an
encoder that is made as well: neither is what is measured. Both commands run in turn, so that a busy
machine slows both.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import child_cpu_seconds, report
from imgsim_edge.infer import ImageIndex
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny import tiny_encoder

FILES_IN_FOLDER = 200
ROUNDS = 7


def make_tree(top: Path, count: int) -> None:
    for number in range(count):
        folder = top / f"{2000 + number // 5000}" / f"{number // FILES_IN_FOLDER:04} Some event"
        if number % FILES_IN_FOLDER == 0:
            folder.mkdir(parents=True)
        colour = (number % 256, number // 256 % 256, number // 65536 * 64)
        file = io.BytesIO()
        Image.new("RGB", (8, 8), colour).save(file, "BMP")
        (folder / f"IMG_{number:06}.bmp").write_bytes(file.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--place", type=Path, help="where; a temporary folder by default")
    given = parser.parse_args()
    place = given.place or Path(tempfile.mkdtemp(prefix="unchanged-"))
    tree, index = place / "tree", place / "index"
    if not tree.exists():
        make_tree(tree, given.files)
    encoder = place / "tiny.onnx"
    encoder.write_bytes(tiny_encoder(details=16))
    with ImageIndex.create(index, encoder) as opened:
        done = opened.add([tree])
        print(f"{len(opened):,} photos, {done.added:,} of them new")
    mark = place / "mark"
    mark.touch()
    program = "import sys; from imgsim_edge.infer.cli import main; sys.exit(main())"
    commands = {
        "find -newer": ["find", str(tree), "-newer", str(mark)],
        "imgsim-edge index": [sys.executable, "-c", program, "index", "--index", str(index)],
    }
    walls: dict[str, list[float]] = {name: [] for name in commands}
    cpus: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            before = time.perf_counter()
            cpus[name].append(child_cpu_seconds(command, os.environ)[0])
            walls[name].append(time.perf_counter() - before)
    for name in commands:
        report(f"{name}, clock", walls[name], "s")
        report(f"{name}, CPU", cpus[name], "s")
    found, ours = commands
    for what, times in (("clock", walls), ("CPU", cpus)):
        ratio = statistics.median(times[ours]) / statistics.median(times[found])
        print(f"ratio by the {what}: {ratio:.2f} (aim: at most 3)")
    subprocess.run(commands[ours], check=True)


if __name__ == "__main__":
    main()
