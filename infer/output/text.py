"""The last stage: answers as text that people and programs read."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import visible
from ..search.rarity import in_words
from .sections import relation

if TYPE_CHECKING:
    from ..duplicates.bursts import Burst, Frame
    from ..duplicates.groups import Group
    from ..index.image_index import IndexedPhoto, Match

# --- answers to queries --------------------------------------------------------------------------


def as_table(matches: Sequence[Match]) -> str:
    """Lay out matches: rank, score, band, rarity, and the path quoted so that a shell takes it."""
    rare = ["?" if match.rarity is None else in_words(match.rarity) for match in matches]
    wide = max(map(len, ["rarity", *rare]))
    lines = [f"rank   score  {'band':<7}  {'rarity':<{wide}}  path"]
    for match, told in zip(matches, rare, strict=True):
        path = shell_path(match.path)
        lines.append(
            f"{match.rank:>4}  {match.score:>6.3f}  {match.band:<7}  {told:<{wide}}  {path}"
        )
    return "\n".join(lines)


def matches_as_records(query: Path | str, matches: Iterable[Match]) -> Iterator[dict[str, Any]]:
    """Give each match as a record: query, rank, path, score, band, rarity, width, height, payload.

    ``rarity`` is N where one random pair in N scores at least that; None where it is not known.
    ``payload`` is what an app keeps with an item of its own, any JSON.
    """
    for match in matches:
        yield {
            "query": str(query),
            "rank": match.rank,
            "path": str(match.path),
            "score": round(match.score, 6),
            "band": match.band,
            "rarity": None if match.rarity is None else float(f"{match.rarity:.3g}"),
            "width": match.width,
            "height": match.height,
            "payload": match.payload,
        }


# --- groups of copies ----------------------------------------------------------------------------


def groups_as_text(groups: Sequence[Group]) -> str:
    """Lay out groups, the photo to keep first and its copies below it."""
    parts = []
    for number, group in enumerate(groups, start=1):
        rows = [("keep", "", group.keep)]
        rows += [
            ("certain" if copy.certain else "look", f"{copy.score:.3f}", copy.photo)
            for copy in group.copies
        ]
        said = [f"kept: {group.why}" if group.why else "", *map(relation, group.copies)]
        parts.append(f"group {number}")
        parts += [
            f"  {word:<7}  {score:<5}  {photo.width:>5} × {photo.height:<5}  {size(photo.size):>9}"
            f"  {shell_path(photo.path)}  {f'({why})' if why else ''}".rstrip()
            for (word, score, photo), why in zip(rows, said, strict=True)
        ]
    return "\n".join(parts)


def group_as_record(number: int, group: Group) -> dict[str, Any]:
    """Give a group as one record: its number, the photo to keep, and the copies."""
    copies = [
        {
            **_photo_record(copy.photo),
            "certain": copy.certain,
            "reason": copy.reason,
            "exact": copy.exact,
            "score": round(copy.score, 3),
            "turn": copy.turn,
        }
        for copy in group.copies
    ]
    return {"group": number, "keep": _photo_record(group.keep), "why": group.why, "copies": copies}


def groups_as_rows(groups: Sequence[Group]) -> Iterator[dict[str, Any]]:
    """Give each photo of each group as a record, as it fits into a table."""
    for number, group in enumerate(groups, start=1):
        rows = [("keep", group.why, 1.0, group.keep)]
        rows += [
            ("certain" if copy.certain else "look", copy.reason, copy.score, copy.photo)
            for copy in group.copies
        ]
        for word, reason, score, photo in rows:
            yield {
                "group": number,
                "is": word,
                "reason": reason,
                "score": round(score, 3),
                **_photo_record(photo),
            }


# --- bursts --------------------------------------------------------------------------------------


def bursts_as_text(bursts: Sequence[Burst]) -> str:
    """Lay out bursts, the photo to show first."""
    parts = []
    for number, burst in enumerate(bursts, start=1):
        parts.append(f"burst {number}: {1 + len(burst.others)} photos")
        for frame in (burst.best, *burst.others):
            word, photo = "show" if frame is burst.best else "", frame.photo
            parts.append(
                f"  {word:<4}  {frame.seconds:>5.1f} s  {photo.width:>5} × {photo.height:<5}"
                f"  {size(photo.size):>9}  {shell_path(photo.path)}  ({frame.reason})"
            )
    return "\n".join(parts)


def burst_as_record(number: int, burst: Burst) -> dict[str, Any]:
    """Give a burst as one record: its number, the photo to show, and the others."""
    others = [_frame_record(frame) for frame in burst.others]
    return {"burst": number, "show": _frame_record(burst.best), "others": others}


def bursts_as_rows(bursts: Sequence[Burst]) -> Iterator[dict[str, Any]]:
    """Give each photo of each burst as a record, as it fits into a table."""
    for number, burst in enumerate(bursts, start=1):
        for frame in (burst.best, *burst.others):
            word = "show" if frame is burst.best else "other"
            yield {"burst": number, "is": word, **_frame_record(frame)}


def _frame_record(frame: Frame) -> dict[str, Any]:
    return {
        **_photo_record(frame.photo),
        "seconds": round(frame.seconds, 3),
        "sharpness": round(frame.sharpness, 3),
        "clipped": round(frame.clipped, 3),
        "reason": frame.reason,
    }


def _photo_record(photo: IndexedPhoto) -> dict[str, Any]:
    return {
        "path": str(photo.path),
        "width": photo.width,
        "height": photo.height,
        "bytes": photo.size,
    }


# --- what both share -----------------------------------------------------------------------------


def as_json_lines(records: Iterable[dict[str, Any]]) -> str:
    """Write records as JSON, one object a line."""
    return "\n".join(map(json.dumps, records))


def as_csv(records: Iterable[dict[str, Any]]) -> str:
    """Write records as CSV (RFC 4180, but for the lines, which end as on this system).

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    text = io.StringIO()
    writer = None
    for record in records:
        if writer is None:
            writer = csv.DictWriter(text, list(record), lineterminator="\n")
            writer.writeheader()
        writer.writerow({name: _no_formula(value) for name, value in record.items()})
    return text.getvalue().removesuffix("\n")


def _no_formula(value: Any) -> Any:
    starts = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if starts else value


def as_null_separated(paths: Iterable[Path]) -> str:
    """Write paths alone, each ended by a zero byte, for ``xargs -0``."""
    return "".join(f"{path}\0" for path in paths)


def shell_path(path: Path) -> str:
    """Quote a path so that it can be pasted into a shell and does nothing to a terminal.

    A path with control characters is written as bash, zsh and POSIX.1-2024 read it: ``$'…'``.
    """
    name = str(path)
    if visible(name) == name:
        return shlex.quote(name)
    return "$'" + visible(name.replace("\\", "\\\\").replace("'", "\\'")) + "'"


def size(count: int) -> str:
    """Write a number of bytes as people read it."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")
