"""A plan: which photos stay and which may go, as a file that people can read and change.

Making one changes nothing. :mod:`.cleanup` carries it out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..duplicates.groups import Group
from ..errors import PlanError, one_line
from ..files import whole_file
from ..index.results import IndexedPhoto

FORMAT = 1  # of the file, in its first entry
_KIND = "imgsim_edge_plan"


@dataclass(frozen=True)
class PlannedFile:
    """A file of a plan, as it was when the plan was made.

    Attributes:
        path: absolute.
        digest: BLAKE2b (128 bits) of its bytes.
        size: in bytes.
    """

    path: Path
    digest: bytes
    size: int


@dataclass(frozen=True)
class PlannedGroup:
    """Files that show the same photo.

    Attributes:
        keep: the one that stays.
        remove: those that may go; the ones with the digest of ``keep`` are exact copies of it.
    """

    keep: PlannedFile
    remove: tuple[PlannedFile, ...]


@dataclass(frozen=True)
class Plan:
    """What :func:`.cleanup.apply` is asked to do.

    Attributes:
        groups: no file is in two of them, and none is to stay and to go.
    """

    groups: tuple[PlannedGroup, ...]

    @property
    def files(self) -> int:
        """How many files may go."""
        return sum(len(group.remove) for group in self.groups)

    @property
    def bytes(self) -> int:
        """How much they hold."""
        return sum(file.size for group in self.groups for file in group.remove)


def plan_of(groups: Sequence[Group], *, include_look: bool = False) -> Plan:
    """Plan to keep what :func:`.duplicates.groups.find_groups` proposed, and let the copies go.

    Args:
        groups: of copies.
        include_look: let those go, too, that are not certain to be copies.
    """
    planned = []
    for group in groups:
        going = [copy.photo for copy in group.copies if copy.certain or include_look]
        if going:
            planned.append(PlannedGroup(_planned(group.keep), tuple(map(_planned, going))))
    return Plan(tuple(planned))


def _planned(photo: IndexedPhoto) -> PlannedFile:
    return PlannedFile(photo.path, photo.digest, photo.size)


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan as JSON, so that the file is there whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    content = {
        _KIND: FORMAT,
        "groups": [
            {"keep": _as_json(group.keep), "remove": [_as_json(file) for file in group.remove]}
            for group in plan.groups
        ],
    }
    with whole_file(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="ascii")


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        PlanError: the file cannot be read, is no plan, is of a newer format, or contradicts itself.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise PlanError(f"cannot read the plan {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{path} is not a plan: {one_line(error)}") from error
    if not isinstance(content, dict) or not isinstance(content.get(_KIND), int):
        raise PlanError(f"{path} is not a plan (make one with `imgsim-edge duplicates --plan`)")
    if content[_KIND] > FORMAT:
        raise PlanError(f"{path} was made by a newer version: upgrade imgsim-edge")
    try:
        groups = tuple(
            PlannedGroup(_from_json(g["keep"]), tuple(_from_json(file) for file in g["remove"]))
            for g in content["groups"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PlanError(f"{path} is not a plan: an entry is damaged ({one_line(error)})") from error
    seen: set[Path] = set()
    for file in (file for group in groups for file in (group.keep, *group.remove)):
        if file.path in seen:
            raise PlanError(f"{path} contradicts itself: it names {file.path} twice")
        seen.add(file.path)
    return Plan(groups)


def _as_json(file: PlannedFile) -> dict[str, str | int]:
    return {"path": str(file.path), "digest": file.digest.hex(), "size": file.size}


def _from_json(entry: dict[str, Any]) -> PlannedFile:
    path, size = entry["path"], entry["size"]
    if not isinstance(path, str) or not is_usable(path):
        raise ValueError(f"{path!r} is not an absolute path")
    if type(size) is not int or size < 0:
        raise ValueError(f"{size!r} is not a size")
    return PlannedFile(Path(path), bytes.fromhex(entry["digest"]), size)


def is_usable(path: str) -> bool:
    """Tell whether a text is an absolute path, and one that a file system can be asked for."""
    try:
        return Path(path).is_absolute() and b"\0" not in os.fsencode(path)
    except ValueError:  # half a surrogate pair
        return False
