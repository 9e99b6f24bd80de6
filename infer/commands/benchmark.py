"""`imgsim-edge benchmark`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import JsonOption, ModelOption, ThreadsOption, say

if TYPE_CHECKING:
    from ..benchmark.run import BenchmarkRecord, Speeds


def benchmark_command(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Photos to measure with; made ones by default.", show_default=False),
    ] = None,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each stage is measured.")] = 5,
    photos: Annotated[
        int | None,
        typer.Option(min=1, help="How many photos are made for each set.", show_default=False),
    ] = None,
    vectors: Annotated[
        int, typer.Option(min=11, help="How many the index holds that queries go to.")
    ] = 10_000,
    as_json: JsonOption = False,
) -> None:
    """Measure how fast this machine indexes photos and answers queries."""
    from ..benchmark.run import benchmark

    record = benchmark(folder, model or "default", threads, rounds, say, photos, vectors)
    typer.echo(json.dumps(asdict(record)) if as_json else _as_table(record))


def _as_table(record: BenchmarkRecord) -> str:
    from ..output import text as render

    machine, sets = record.machine, record.sets
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())

    def time(seconds: float) -> str:
        return f"{seconds * 1000:,.1f} ms"

    def cold(speeds: Speeds) -> str:
        cpu = speeds.cold_query_cpu
        return time(speeds.cold_query) + (f", CPU {time(cpu)}" if cpu is not None else "")

    rows = [("", [f"{s.name}: {s.photos} of {s.megapixels:.2g} MP" for s in sets])]
    rows += [
        (f"{stage}, photos a second", [f"{getattr(s, stage):,.1f}" for s in sets])
        for stage in ("decode", "encode", "index")
    ]
    rows += [
        ("index / decode and encode alone", [f"{s.share:.0%}" for s in sets]),
        ("cold query", [cold(s) for s in sets]),
        ("warm query", [time(s.warm_query) for s in sets]),
        ("  of which search", [time(s.warm_search) for s in sets]),
        ("peak memory", [render.size(s.peak_memory) if s.peak_memory else "?" for s in sets]),
    ]
    lines = [
        f"{machine.cpu}, {machine.architecture}, {machine.cores} cores, "
        f"{render.size(machine.memory)}, {machine.system}",
        versions,
        f"model {record.model} ({record.quantisation}), {record.threads} threads, "
        f"medians of {record.rounds} rounds, {record.date}",
        f"queries go to an index of {record.vectors:,} vectors, "
        f"{record.index_bytes:,.0f} bytes each",
        "",
    ]
    lines += [f"{name:<32}" + "".join(f"{value:>28}" for value in values) for name, values in rows]
    return "\n".join(lines)
