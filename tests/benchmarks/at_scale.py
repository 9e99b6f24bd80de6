"""What many photos take: figures of one photo, as the other benchmarks measure them, multiplied.

    python tests/benchmarks/at_scale.py [--photos 10000000 100000000] [--cores 64]

Every figure can be given as an option; what stands here was measured on two x86 cores by the
benchmarks that the help names. The clock is what the CPU takes, divided by the cores: storage that
brings photos slower than that sets the pace instead, and the table says how fast it must be.
"""

from __future__ import annotations

import argparse

HOUR = 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    option = parser.add_argument
    option("--photos", type=float, nargs="+", default=[1e7, 1e8])
    option("--cores", type=int, default=64, help="of the Ray cluster")
    option("--small-ms", type=float, default=7.6, help="CPU of a photo of 192 px (ray_scaling.py)")
    option("--large-ms", type=float, default=54.0, help="CPU of a JPEG of 12 MP (indexing.py)")
    option("--large-mb", type=float, default=3.0, help="size of such a file")
    option("--take-in-us", type=float, default=170.0, help="CPU of taking in (from_vectors.py)")
    option("--shard-bytes", type=float, default=639.0, help="of a photo (from_vectors.py)")
    option("--catalogue-bytes", type=float, default=710.0, help="of a photo (from_vectors.py)")
    option("--build-us", type=float, default=980.0, help="CPU of the database (postgresql.py)")
    option("--send-us", type=float, default=40.0, help="CPU of sending a photo (postgresql.py)")
    option("--graph-bytes", type=float, default=434.0, help="of pgvector's graph (postgresql.py)")
    option("--table-bytes", type=float, default=1087.0, help="of the rest there (postgresql.py)")
    g = parser.parse_args()
    rows: list[tuple[str, list[str]]] = []

    def row(name: str, each: float, form: str) -> None:
        rows.append((name, [form.format(count * each) for count in g.photos]))

    row("embedding small photos, core hours", g.small_ms / 1e3 / HOUR, "{:,.0f}")
    row("embedding 12 MP photos, core hours", g.large_ms / 1e3 / HOUR, "{:,.0f}")
    row(f"  hours on {g.cores} cores", g.large_ms / 1e3 / HOUR / g.cores, "{:,.1f}")
    speed = g.cores * g.large_mb / (g.large_ms / 1e3)
    rows.append(("  MB/s that storage must bring", [f"{speed:,.0f}"] * len(g.photos)))
    row("photos to read, TB", g.large_mb / 1e6, "{:,.0f}")
    row("shards, GB", g.shard_bytes / 1e9, "{:,.1f}")
    row("local index: taking in, hours of one core", g.take_in_us / 1e6 / HOUR, "{:,.1f}")
    row("local catalogue, GB", g.catalogue_bytes / 1e9, "{:,.1f}")
    row("publishing, hours of one core at the sender", g.send_us / 1e6 / HOUR, "{:,.1f}")
    row("building pgvector's graph, core hours (grows)", g.build_us / 1e6 / HOUR, "{:,.1f}")
    row("graph, GB: memory of the database", g.graph_bytes / 1e9, "{:,.1f}")
    row("tables, GB: its disk", g.table_bytes / 1e9, "{:,.1f}")
    print(f"{'photos':<58}" + "".join(f"{count:>14,.0f}" for count in g.photos))
    for name, values in rows:
        print(f"{name:<58}" + "".join(f"{value:>14}" for value in values))


if __name__ == "__main__":
    main()
