"""Indexing against its bounds: the photos a second that decoding alone and the network alone reach.

The stages take turns in one process, so that other load on the machine meets all of them alike.
Beside the clock's ratios stand those of CPU time, which other load disturbs least: where every core
is busy all the time, the two are the same.

    python tests/benchmarks/indexing.py [--photos 48] [--rounds 7] [--model default] [--threads N]
"""

from __future__ import annotations

import argparse
import tempfile
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

from common import Spent, measured, report
from imgsim_edge.infer import Encoder, ImageIndex, load_photo
from imgsim_edge.infer.benchmark.synthetic import make_photos
from imgsim_edge.infer.machine import available_cores

SETS = {"12-megapixel": ((4000, 3000), 1), "320 × 240": ((320, 240), 16)}  # size, times --photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--photos", type=int, default=48, help="of 12 megapixels; 16 times as many small"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", default="default")
    parser.add_argument("--threads", type=int, default=available_cores())
    options = parser.parse_args()
    print(f"model {options.model}, {options.threads} threads, {options.rounds} rounds")
    with tempfile.TemporaryDirectory() as temporary:
        for name, (size, times) in SETS.items():
            folder = Path(temporary) / name
            paths = make_photos(folder / "photos", options.photos * times, size)
            compare(name, paths, folder, options.model, options.threads, options.rounds)


def compare(
    name: str, paths: list[Path], folder: Path, model: str, threads: int, rounds: int
) -> None:
    encoder = Encoder(model, threads=1)
    spent: dict[str, list[Spent]] = {"decode": [], "encode": [], "index": []}
    with ThreadPoolExecutor(threads) as pool:
        pixels = cycle([load_photo(path).pixels[None] for path in paths[:32]])
        work: dict[str, Callable[[Path], object]] = {
            "decode": lambda path: load_photo(path.read_bytes()),
            "encode": lambda _: encoder.encode(next(pixels)),
        }
        for number in range(rounds + 1):
            for stage, one in work.items():
                with measured() as result:
                    deque(pool.map(one, paths), maxlen=0)
                spent[stage].append(result)
            with ImageIndex.create(folder / f"index-{number}", model) as index:
                index.add([make_photos(folder / f"first-{number}", 1, (64, 64))[0].parent])
                with measured() as result:
                    index.add([paths[0].parent], threads=threads)
                spent["index"].append(result)
    for results in spent.values():
        results.pop(0)  # warming up
    print(f"\n{len(paths)} photos, {name}")
    for stage, results in spent.items():
        report(f"{stage}, photos a second", [len(paths) / r.seconds for r in results], "/s")
        report(f"{stage}, CPU time of a photo", [r.cpu / len(paths) for r in results], "ms", 1000)
    rounds_ = list(zip(*spent.values(), strict=True))
    report("index / decode alone", [d.seconds / i.seconds for d, _, i in rounds_], "")
    report("index / decode alone, by CPU time", [d.cpu / i.cpu for d, _, i in rounds_], "")
    report("index / encode alone", [e.seconds / i.seconds for _, e, i in rounds_], "")
    report("index / encode alone, by CPU time", [e.cpu / i.cpu for _, e, i in rounds_], "")
    both = "index / (decode and encode on the same cores)"
    report(both, [(d.seconds + e.seconds) / i.seconds for d, e, i in rounds_], "")
    report("the same, by CPU time", [(d.cpu + e.cpu) / i.cpu for d, e, i in rounds_], "")


if __name__ == "__main__":
    main()
