"""What the benchmarks share: clocks, and a line of result."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Spent:
    """Seconds of the clock, and of the CPU (user and system, all threads)."""

    seconds: float = 0.0
    cpu: float = 0.0


@contextmanager
def measured() -> Iterator[Spent]:
    """Measure what this process spends in a with-block."""
    spent = Spent()
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    yield spent
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent.seconds = time.perf_counter() - began
    spent.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def child_cpu_seconds(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, str]:
    """Run a command: the user and system time it took, and what it wrote to stderr."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command} failed: {done.stderr}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, done.stderr


def report(label: str, values: Sequence[float], unit: str, scale: float = 1.0) -> None:
    """Print the median of some measurements and their range."""
    middle, low, high = (f(values) * scale for f in (statistics.median, min, max))
    print(f"{label:<46} {middle:8.2f} {unit:<3} ({low:.2f} to {high:.2f}, {len(values)} rounds)")
