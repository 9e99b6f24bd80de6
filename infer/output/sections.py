"""Answers on their way to people: what a contact sheet, a page and a terminal have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..search.rarity import in_words

if TYPE_CHECKING:
    from ..duplicates.bursts import Burst
    from ..duplicates.groups import Copy, Group
    from ..index.image_index import IndexedPhoto, Match


@dataclass(frozen=True)
class Shown:
    """A photo and what is said about it.

    Attributes:
        path: of the photo.
        caption: one or two words to see at once: a score, or what becomes of it.
        details: the rest, in one line.
        is_reference: the one that the others of its section are compared with.
    """

    path: Path
    caption: str
    details: str
    is_reference: bool = False


@dataclass(frozen=True)
class Section:
    """Photos that belong together: a query with its answers, or a group of copies.

    Attributes:
        title: in one line.
        shown: the photos.
    """

    title: str
    shown: tuple[Shown, ...]


def of_matches(query: str, query_file: Path | None, matches: Sequence[Match]) -> Section:
    """Show a query and its answers."""
    shown = [] if query_file is None else [Shown(query_file, "query", "", True)]
    for match in matches:
        rare = "" if match.rarity is None else f", {in_words(match.rarity)} random pairs"
        details = f"{match.score:.3f}, {match.width} × {match.height}{rare}"
        shown.append(Shown(match.path, f"{match.rank}. {match.band}", details))
    return Section(f"Similar to {query}", tuple(shown))


def of_group(number: int, group: Group) -> Section:
    """Show a group of copies, the one to keep first."""
    shown = [Shown(group.keep.path, "keep", _facts(group.keep), True)]
    shown += [Shown(copy.photo.path, relation(copy), _facts(copy.photo)) for copy in group.copies]
    return Section(f"Group {number}: {len(shown)} photos", tuple(shown))


def of_burst(number: int, burst: Burst) -> Section:
    """Show a burst, the photo to show first."""
    shown = [
        Shown(frame.photo.path, frame.reason, _facts(frame.photo), frame is burst.best)
        for frame in (burst.best, *burst.others)
    ]
    return Section(f"Burst {number}: {len(shown)} photos", tuple(shown))


def relation(copy: Copy) -> str:
    """Say what a copy is to the photo that is kept."""
    return copy.reason


def _facts(photo: IndexedPhoto) -> str:
    return f"{photo.width} × {photo.height}, {photo.size:,} bytes"
