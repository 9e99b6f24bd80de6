"""Shards made on Ray: how much two nodes make of two cores, and what Ray costs beside threads.

    python tests/benchmarks/ray_scaling.py FOLDER... [--photos 20000] [--rounds 1]

Each way embeds the same photos into an empty folder: on one node with one core, on two nodes with
one core each, and by the threads of one process on two cores. All nodes are on this machine. The
clock tells how long; on a machine that has something else to do, look at the share of the cores
that the workers got: photos for each second of CPU are what does not depend on others. The shards
of all three must be equal.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from imgsim_edge.infer import embed_here, embed_on_ray, embed_sources, scan_files
from imgsim_edge.infer.photos.scan import FoundFile
from imgsim_edge.infer.scale.shards import read_manifest

TICKS = os.sysconf("SC_CLK_TCK")


class WorkersCpu(threading.Thread):
    """Adds up the CPU time of the processes that embed, by looking at them."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seconds: dict[str, float] = {}
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.5):
            self.look()

    def look(self) -> None:
        for about in Path("/proc").glob("[0-9]*"):
            try:
                name = (about / "cmdline").read_bytes()
                fields = (about / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            # The name is back to "ray::IDLE" between two shards; the time of such a process counts.
            if name.startswith(b"ray::_embed_in_worker") or about.name in self.seconds:
                self.seconds[about.name] = (int(fields[11]) + int(fields[12])) / TICKS


def embed(
    way: str, sources: list[str], warm_up: list[str], out: Path, cores: set[int]
) -> tuple[float, float]:
    """Embed in one way: seconds of the clock, and of the CPU in the processes that embed."""
    os.sched_setaffinity(0, cores)
    nodes = {"one node": 1, "two nodes": 2}.get(way)
    if nodes is None:
        run = embed_here("default", threads=len(cores))
        before = time.process_time()
        began = time.perf_counter()
        embed_sources(sources, out, "default", run)
        return time.perf_counter() - began, time.process_time() - before
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(nodes - 1):
        cluster.add_node(num_cpus=1)
    try:
        with tempfile.TemporaryDirectory() as warm:  # processes are started and encoders loaded
            embed_sources(
                warm_up,
                Path(warm),
                "default",
                embed_on_ray("default", cluster.address),
                shard_photos=8,
            )
        watcher = WorkersCpu()
        watcher.look()
        before = sum(watcher.seconds.values())
        watcher.start()
        began = time.perf_counter()
        embed_sources(sources, out, "default", embed_on_ray("default", cluster.address))
        seconds = time.perf_counter() - began
        watcher.ended.set()
        return seconds, sum(watcher.seconds.values()) - before
    finally:
        cluster.shutdown()


def photos_in(folders: list[str]) -> Iterator[str]:
    """Name the photos below folders."""
    for folder in folders:
        for found in scan_files(Path(folder)):
            if isinstance(found, FoundFile):
                yield str(Path(folder) / found.path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_raylet_start_wait_time_s"] = "300"  # noqa: SIM112 - so it is called
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("this takes two cores")
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch) / "photos.csv"
        named = list(islice(photos_in(arguments.folders), arguments.photos))
        listed.write_text("path\n" + "".join(f'"{name}"\n' for name in named), encoding="utf-8")
        print(f"{len(named):,} photos; load of the machine {os.getloadavg()[0]:.1f}", flush=True)
        ways = {"one node": cores[:1], "two nodes": cores[:2], "threads": cores[:2]}
        rates: dict[str, list[float]] = {way: [] for way in ways}
        sums = set()
        for _ in range(arguments.rounds):
            for way, used in ways.items():
                out = Path(scratch) / "out"
                seconds, cpu = embed(way, [str(listed)], named[:64], out, set(used))
                manifest = read_manifest(out)
                sums.add(tuple(shard.digest for shard in manifest.shards))
                rates[way].append(manifest.photos / seconds)
                print(
                    f"{way:<10} {seconds:8.1f} s {manifest.photos / seconds:8.1f} photos/s  "
                    f"{cpu:8.1f} s of CPU {1000 * cpu / manifest.photos:6.2f} ms of CPU a photo  "
                    f"load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
                shutil.rmtree(out)
        best = {way: max(values) for way, values in rates.items()}
        print(f"two nodes / one node {best['two nodes'] / best['one node']:.2f}")
        print(f"two nodes / threads  {best['two nodes'] / best['threads']:.2f}")
        print("shards equal" if len(sums) == 1 else "SHARDS DIFFER")
        sys.exit(len(sums) != 1)


if __name__ == "__main__":
    main()
