"""What the benchmarks share: photos to measure with, the CPU time of a child, a line of result."""

from __future__ import annotations

import resource
import statistics
import subprocess
from collections.abc import Mapping, Sequence


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
    print(f"{label:<42} {middle:8.2f} {unit:<4} ({low:.2f} to {high:.2f}, {len(values)} rounds)")
