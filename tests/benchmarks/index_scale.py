"""An index of many photos, their vectors fed in directly: what it weighs and how quick it is.

    python tests/benchmarks/index_scale.py --photos 1000000

Each step runs in a process of its own, which tells its time and its peak memory. The vectors are
made: points near a curved surface of 12 dimensions in the encoder's 64, in clusters of different
sizes, since photographs are neither uniform nor independent. Paths look like those of a family's
photos (48 characters below the root).
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import child_cpu_seconds, measured
from imgsim_edge.infer import Encoder, ImageIndex
from imgsim_edge.infer.catalogue.database import Catalogue
from imgsim_edge.infer.catalogue.rows import PhotoRow
from imgsim_edge.infer.catalogue.writer import Batch
from imgsim_edge.infer.encoder.details import quantise_details
from imgsim_edge.infer.search.hnsw_refresh import refresh
from PIL import Image

STEPS = ("fill", "build", "ask", "change", "verify")
CHANGED = 1000  # photos added, and deleted
PHOTOS_IN_FOLDER = 250
ROUNDS = 200  # warm queries
LATENT, CLUSTERS = 12, 4000
DETAILS = 256  # numbers, by which candidates are put in order


def made_vectors(first: int, count: int, dimension: int) -> np.ndarray:
    """Make unit vectors, float32, shape = (count, dimension); the same ones each time."""
    world = np.random.default_rng(0)
    inner, outer = (world.standard_normal((a, dimension)) for a in (LATENT, dimension))
    centres = 2.0 * world.standard_normal((CLUSTERS, LATENT))
    random = np.random.default_rng(first + 1)
    mine = (CLUSTERS * random.random(count) ** 2).astype(int)
    latent = centres[mine] + 0.5 * random.standard_normal((count, LATENT))
    curved = np.maximum(np.tanh(latent @ inner / 4) @ outer, 0.0)
    curved += 0.05 * random.standard_normal(curved.shape)
    return (curved / np.linalg.norm(curved, axis=1, keepdims=True)).astype(np.float32)


def made_details(vectors: np.ndarray, numbers: int) -> np.ndarray:
    """Make details that tell more than the vectors do: int8, shape = (count, numbers)."""
    onto = np.random.default_rng(1).standard_normal((vectors.shape[1], numbers))
    own = np.random.default_rng(int(1e6 * abs(vectors[0, 0]))).standard_normal(
        (len(vectors), numbers)
    )
    return quantise_details((vectors @ onto + 0.5 * own).astype(np.float32))


def put(writer, root: int, ids: list[int], vectors: np.ndarray) -> None:
    """Commit photos with made paths."""
    names = {n: f"{2000 + n // 60000}/{n // PHOTOS_IN_FOLDER:05} Somewhere in summer" for n in ids}
    known = {folder.path: folder for folder in writer.folders(root)} if ids else {}
    missing = {path: False for path in names.values() if path not in known}
    known.update(writer.add_folders(root, missing))
    random = np.random.default_rng(ids[0])
    sizes, digests = random.integers(2e6, 6e6, len(ids)), random.bytes(16 * len(ids))
    rows = [
        PhotoRow(
            *(n, known[names[n]].id, f"IMG_{20000000 + n}.jpg", int(size)),
            *(1_600_000_000_000_000_000 + 10**9 * n, digests[16 * i : 16 * i + 16], 4000, 3000, 0),
        )
        for i, (n, size) in enumerate(zip(ids, sizes, strict=True))
    ]
    details = made_details(vectors, writer.header().details)
    writer.commit(
        Batch(
            photos=rows,
            vectors=dict(zip(ids, vectors, strict=True)),
            details=dict(zip(ids, details, strict=True)),
        )
    )


def fill(folder: Path, count: int) -> None:
    encoder = Encoder()
    catalogue = Catalogue.create(folder, encoder.digest, "default", encoder.dimension, DETAILS)
    with measured() as spent, catalogue.writer() as writer:
        root = writer.add_root(folder / "away", ()).id
        for first in range(0, count, 10_000):
            ids = list(range(first, min(first + 10_000, count)))
            put(writer, root, ids, made_vectors(first, len(ids), encoder.dimension))
    tell(f"filling the catalogue with {count:,}", spent)


def build(folder: Path, count: int) -> None:
    with measured() as spent, Catalogue(folder).writer() as writer:
        refresh(writer, folder)
        record = writer.header().graph
    tell("building the graph", spent)
    if record:
        print(f"  recall@10 {record.recall:.4f} with ef {record.ef_search}")
    bytes_ = {file.name: file.stat().st_size for file in folder.iterdir()}
    whole, graph = sum(bytes_.values()), sum(v for k, v in bytes_.items() if "graph" in k)
    print(f"  bytes a photo: {whole / count:.0f}, of them {graph / count:.0f} for the graph")


def ask(folder: Path, count: int) -> None:
    queries = made_vectors(count, ROUNDS, 64)
    with measured() as spent:
        index = ImageIndex.open(folder)
    tell("opening", spent)
    with measured() as spent:
        index.similar(queries[0])
    tell("first query (exact, from the disk)", spent)
    with measured() as spent:
        index.similar(queries[1])
    tell("second query (loads the graph)", spent)
    graph, exact, right = [], [], 0
    for query in queries[2:]:
        with measured() as spent:
            found = index.similar(query)
        graph.append(spent.seconds)
        if len(exact) < ROUNDS // 4:
            with measured() as spent:
                truth = index.similar(query, exact=True)
            exact.append(spent.seconds)
            right += len({match.id for match in found} & {match.id for match in truth})
    spread("warm query through the graph", graph)
    spread("warm query, exact", exact[2:])  # the first one reads all vectors into memory
    photos = list(index.photos(range(0, count, max(1, count // ROUNDS))))
    with measured() as spent:
        index.similar(photos[0])
    tell("first query by a photo (its candidates' details from the disk)", spent)
    index.similar(photos[1])  # from here on all details are in memory
    ordered, found_alone = [], []
    for photo in photos[2:]:
        [vector] = index.vectors([photo.id])[1]
        with measured() as spent:
            index.similar(vector)
        found_alone.append(spent.cpu)
        with measured() as spent:
            index.similar(photo)
        ordered.append(spent.cpu)
    spread("CPU of a warm query by embeddings alone", found_alone)
    spread("CPU of a warm query ordered by details", ordered)
    print(f"  the graph's answers among the exact ten: {right / (10 * len(exact)):.4f}")
    print(f"  peak memory {peak():.0f} MB")


def change(folder: Path, count: int) -> None:
    catalogue = Catalogue(folder)
    with catalogue.writer() as writer:
        (root,) = writer.roots()
        ids = [writer.new_id() for _ in range(CHANGED)]
        with measured() as spent:
            put(writer, root, ids, made_vectors(count + ROUNDS, CHANGED, 64))
        tell(f"committing {CHANGED:,} new photos", spent)
        with measured() as spent:
            refresh(writer, folder)
        tell("  and taking the graph along", spent)
    gone = np.random.default_rng(5).permutation(count)[:CHANGED].tolist()
    with catalogue.writer() as writer:
        with measured() as spent:
            writer.commit(Batch(gone=gone))
        tell(f"deleting {CHANGED:,} photos here and there", spent)
        with measured() as spent:
            refresh(writer, folder)
        tell("  and taking the graph along", spent)
    index = ImageIndex.open(folder)
    queries = made_vectors(count, 20, 64)
    index.similar_many(list(queries[:2]))
    with measured() as spent:
        index.similar(queries[2])
    tell("first graph query after that", spent)
    times = []
    for query in queries[3:]:
        with measured() as spent:
            index.similar(query)
        times.append(spent.seconds)
    spread("warm graph query after that", times)
    print(f"  peak memory {peak():.0f} MB")


def verify(folder: Path, count: int) -> None:
    with measured() as spent:
        findings = ImageIndex.open(folder).verify()
    tell(f"verify ({len(findings)} things wrong)", spent)
    print(f"  peak memory {peak():.0f} MB")


def one_shot(folder: Path) -> None:
    """Ask with a photo from the command line, and compare with an interpreter that only imports."""
    image = Path(tempfile.mkdtemp()) / "query.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((1200, 900)).save(image)
    program = "import sys; from imgsim_edge.infer.cli import main; sys.exit(main())"
    answer = [sys.executable, "-c", program, "similar", str(image), "--index", str(folder)]
    imports = [sys.executable, "-c", "import numpy, onnxruntime"]
    whole, only = [], []
    for _ in range(5):
        whole.append(child_cpu_seconds(answer, os.environ)[0])
        only.append(child_cpu_seconds(imports, os.environ)[0])
    cpu, base = statistics.median(whole), statistics.median(only)
    print(f"one answer from the command line: {cpu:.2f} s of CPU, {cpu / base:.1f} × the imports")


def tell(what: str, spent) -> None:
    print(f"{what:<44} {spent.seconds:9.3f} s, {spent.cpu:9.3f} s of CPU", flush=True)


def spread(what: str, seconds: list[float]) -> None:
    low, middle, high = np.percentile(np.array(seconds) * 1e3, [5, 50, 95])
    print(f"{what:<44} {middle:9.3f} ms ({low:.3f} to {high:.3f}, {len(seconds)} rounds)")


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--index", type=Path, help="where; a temporary folder by default")
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--from", dest="start", choices=STEPS, default="fill")
    given = parser.parse_args()
    folder = given.index or Path(tempfile.mkdtemp(prefix="index-scale-"))
    if given.step:
        globals()[given.step](folder, given.photos)
        return
    for step in STEPS[STEPS.index(given.start) :]:
        if step == "change" and Encoder().details_dimension == DETAILS:
            one_shot(folder)
        again = [sys.executable, __file__, "--photos", str(given.photos), "--index", str(folder)]
        subprocess.run([*again, "--step", step], check=True)


if __name__ == "__main__":
    main()
