"""The last stage: answers as text that people and programs read."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from .index import Match


def as_table(matches: Sequence[Match]) -> str:
    """Lay out matches as rank, score and path, the path quoted so that a shell takes it."""
    lines = ["rank  score   path"]
    lines += [f"{m.rank:>4}  {m.score:.4f}  {shell_path(m.path)}" for m in matches]
    return "\n".join(lines)


def as_json_lines(query: Path | str, matches: Iterable[Match]) -> str:
    """Write matches as JSON, one object a line: query, rank, score, path, width, height."""
    return "\n".join(
        json.dumps(
            {
                "query": str(query),
                "rank": match.rank,
                "score": round(match.score, 6),
                "path": str(match.path),
                "width": match.width,
                "height": match.height,
            }
        )
        for match in matches
    )


def as_null_separated(matches: Iterable[Match]) -> str:
    """Write the paths alone, each ended by a zero byte, for ``xargs -0``."""
    return "".join(f"{match.path}\0" for match in matches)


def shell_path(path: Path) -> str:
    """Quote a path so that it can be pasted into a shell."""
    return shlex.quote(str(path))


def size(count: int) -> str:
    """Write a number of bytes as people read it."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")
