"""What this machine does: photos a second, time of a query, memory.

The measurements run in a process of their own, so that its peak memory is that of indexing. Stages
take turns, round by round, so that other load on the machine meets all of them alike, and each
figure is the median of its rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

from ..encoder.embed import BATCH
from ..encoder.onnx_encoder import Encoder
from ..errors import ImgsimError, PhotoError, UsageError
from ..index.image_index import ImageIndex
from ..machine import Machine, available_cores, peak_memory, this_machine
from ..photos.decode import load_photo
from ..photos.scan import FoundFile, scan_files
from .synthetic import make_index, make_photos

MADE_SETS = {"12 MP": ((4000, 3000), 24), "small": ((320, 240), 256)}  # name → size, photos
SAMPLE = 256  # photos that are taken from a user's folder
ROUNDS = 5
VECTORS = 10_000
COLD_QUERIES = 5
WARM_QUERIES = 50
_PROGRAM = "from imgsim_edge.infer.cli import main; main()"


@dataclass(frozen=True)
class Speeds:
    """What was measured on one set of photos.

    Attributes:
        name: of the set.
        photos: how many it has.
        megapixels: median size of its photos.
        decode: photos a second, files to pixels, every thread decoding.
        encode: photos a second, pixels to vectors, every thread encoding.
        index: photos a second, files to a committed index.
        share: ``index`` as a share of what the cores could do if there were nothing but decoding
            and encoding: 1 / (1 / decode + 1 / encode).
        peak_memory: of the process that indexed, in bytes; None where the system does not tell.
        cold_query: seconds of a whole `imgsim-edge similar` process.
        cold_query_cpu: CPU seconds of the same; None where the system does not tell.
        warm_query: seconds from a file to its answers in a process that is up.
        warm_search: seconds of that which are neither decoding nor encoding.
    """

    name: str
    photos: int
    megapixels: float
    decode: float
    encode: float
    index: float
    share: float
    peak_memory: int | None
    cold_query: float
    cold_query_cpu: float | None
    warm_query: float
    warm_search: float


@dataclass(frozen=True)
class BenchmarkRecord:
    """A run of the benchmark.

    Attributes:
        date: when, ISO 8601.
        machine: on what.
        model: name or path of the encoder.
        quantisation: of its weights, as its metadata say.
        threads: of decoding, encoding and indexing.
        rounds: how often each stage was measured; the figures are medians.
        vectors: how many the index held that the queries went to.
        index_bytes: size of that index divided by them.
        sets: what came out, for each set of photos.
    """

    date: str
    machine: Machine
    model: str
    quantisation: str
    threads: int
    rounds: int
    vectors: int
    index_bytes: float
    sets: list[Speeds]


def benchmark(
    folder: Path | None = None,
    model: Path | str = "default",
    threads: int | None = None,
    rounds: int = ROUNDS,
    say: Callable[[str], None] = lambda line: None,
    made_photos: int | None = None,
    vectors: int = VECTORS,
) -> BenchmarkRecord:
    """Measure this machine.

    Args:
        folder: photos to measure with, of which up to ``SAMPLE`` are taken, spread over all of
            them; photos are made (see :func:`make_photos`) where None.
        model: name or path of the encoder.
        threads: of decoding, encoding and indexing; one for each core by default.
        rounds: how often each stage is measured.
        say: told what is going on.
        made_photos: how many photos are made for each set, other than planned in ``MADE_SETS``.
        vectors: how many the index holds that queries go to.

    Raises:
        UsageError: there are no photos in the folder.
        EncoderError: of the model.
    """
    encoder = Encoder(model)
    threads = threads or available_cores()
    sets = []
    with tempfile.TemporaryDirectory(prefix="imgsim-edge-benchmark-") as temporary:
        place = Path(temporary)
        if folder is None:
            chosen = {}
            for name, (size, count) in MADE_SETS.items():
                say(f"making {made_photos or count} photos: {name}")
                chosen[name] = make_photos(place / name, made_photos or count, size)
        else:
            chosen = {folder.name or str(folder): _sample(folder)}
        say(f"making an index of {vectors:,} vectors")
        filled = make_index(place / "index", encoder, model, vectors)
        index_bytes = sum(file.stat().st_size for file in filled.iterdir()) / vectors
        for name, paths in chosen.items():
            say(f"measuring {len(paths)} photos: {name}")
            sets.append(_in_own_process(name, paths, model, threads, rounds, filled))
    return BenchmarkRecord(
        date=time.strftime("%Y-%m-%d"),
        machine=this_machine(),
        model=str(model),
        quantisation=encoder.metadata.get("quantisation", "unknown"),
        threads=threads,
        rounds=rounds,
        vectors=vectors,
        index_bytes=index_bytes,
        sets=sets,
    )


def _sample(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: give a folder of photos, or none")
    found = [folder / f.path for f in scan_files(folder) if isinstance(f, FoundFile)]
    if len(found) > SAMPLE:
        found = [found[n * len(found) // SAMPLE] for n in range(SAMPLE)]
    readable = []
    for path in found:
        try:
            load_photo(path)
        except PhotoError:
            continue
        readable.append(path.absolute())
    if not readable:
        raise UsageError(f"no photos in {folder}")
    return readable


def _in_own_process(
    name: str, paths: Sequence[Path], model: Path | str, threads: int, rounds: int, filled: Path
) -> Speeds:
    task = {
        "name": name,
        "paths": [str(path) for path in paths],
        "model": str(model),
        "threads": threads,
        "rounds": rounds,
        "filled": str(filled),
    }
    done = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import _child; _child()"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ImgsimError(f"the measuring process failed: {done.stderr.strip()[-300:]}")
    return Speeds(**json.loads(done.stdout))


def _child() -> None:
    task = json.load(sys.stdin)
    task["filled"] = Path(task["filled"])
    task["paths"] = [Path(path) for path in task["paths"]]
    with tempfile.TemporaryDirectory(prefix="imgsim-edge-benchmark-") as temporary:
        print(json.dumps(asdict(_measure(place=Path(temporary), **task))))  # noqa: T201


def _measure(
    name: str,
    paths: list[Path],
    model: str,
    threads: int,
    rounds: int,
    filled: Path,
    place: Path,
) -> Speeds:
    photos, indexes = place / "photos", [place / f"index-{n}" for n in range(rounds + 1)]
    photos.mkdir()
    for number, path in enumerate(paths):
        (photos / f"{number:05}{path.suffix}").symlink_to(path)
    _index(photos, indexes[0], model, threads)  # reads the files into the disk's cache, too
    memory = peak_memory()
    encoder = Encoder(model, threads=1)
    rates: dict[str, list[float]] = {"decode": [], "encode": [], "index": []}
    with ThreadPoolExecutor(threads) as pool:

        def rate(work: Callable[[Path], object]) -> float:
            began = time.perf_counter()
            deque(pool.map(work, paths), maxlen=0)
            return len(paths) / (time.perf_counter() - began)

        sizes = [(p.width * p.height, p.pixels) for p in pool.map(load_photo, paths[:BATCH])]
        pixels = cycle([pixels[None] for _, pixels in sizes])
        for index in indexes[1:]:
            rates["decode"].append(rate(lambda path: load_photo(path.read_bytes(), name=path.name)))
            rates["encode"].append(rate(lambda _: encoder.encode(next(pixels))))
            rates["index"].append(len(paths) / _index(photos, index, model, threads))
    both = [1 / (1 / d + 1 / e) for d, e in zip(rates["decode"], rates["encode"], strict=True)]
    cold = [_cold_query(paths[n % len(paths)], filled) for n in range(COLD_QUERIES)]
    warm, search = _warm_query(paths, WARM_QUERIES * rounds, filled, model)
    return Speeds(
        name=name,
        photos=len(paths),
        megapixels=statistics.median(size for size, _ in sizes) / 1e6,
        decode=statistics.median(rates["decode"]),
        encode=statistics.median(rates["encode"]),
        index=statistics.median(rates["index"]),
        share=statistics.median(i / b for i, b in zip(rates["index"], both, strict=True)),
        peak_memory=memory,
        cold_query=statistics.median(seconds for seconds, _ in cold),
        cold_query_cpu=statistics.median(cpu for _, cpu in cold)
        if sys.platform != "win32"
        else None,
        warm_query=warm,
        warm_search=search,
    )


def _index(photos: Path, folder: Path, model: str, threads: int) -> float:
    """Index a folder of photos and tell the seconds from the first file to the last commit."""
    with ImageIndex.create(folder, model) as index:
        began = time.perf_counter()
        index.add([photos], threads=threads)
        return time.perf_counter() - began


def _cold_query(query: Path, index: Path) -> tuple[float, float]:
    """Run `imgsim-edge similar`: its seconds, and those of the CPU."""
    command = [sys.executable, "-c", _PROGRAM, "similar", str(query), "--index", str(index)]
    began, before = time.perf_counter(), os.times()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    cpu = after.children_user + after.children_system
    return time.perf_counter() - began, cpu - before.children_user - before.children_system


def _warm_query(
    queries: Sequence[Path], count: int, folder: Path, model: str
) -> tuple[float, float]:
    """Tell the seconds from a file to its answers, and of those what the search takes."""
    with ImageIndex.open(folder, model) as index:
        queries = queries[:count]
        vectors = index.embed(queries)
        whole, search = [], []
        index.similar(vectors[0])
        for number in range(count):
            place = number % len(queries)
            began = time.perf_counter()
            index.similar(queries[place])
            between = time.perf_counter()
            index.similar(vectors[place])
            whole.append(between - began)
            search.append(time.perf_counter() - between)
    return statistics.median(whole), statistics.median(search)
