"""Labelled folders: the first folder below the one that is given is a photo's class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..photos.scan import ClosedFolder, scan_files


@dataclass(frozen=True)
class LabelledPhotos:
    """The photos of one set and their classes, before any file is opened.

    Attributes:
        folder: of the set.
        paths: of the photos, in the order of names.
        labels: the class of each.
        outside: how many photos lie in the folder itself, in no class.
        closed: folders that could not be listed; their paths are relative to ``folder``.
    """

    folder: Path
    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    outside: int
    closed: tuple[ClosedFolder, ...]


def labelled_photos(folder: Path) -> LabelledPhotos:
    """Find the photos of a set; those in folders inside a class count to that class.

    Raises:
        UsageError: it is no folder, or fewer than two classes have photos.
    """
    if not folder.is_dir():
        kind = "is not a folder" if folder.exists() else "does not exist"
        raise UsageError(f"{folder} {kind}: give a folder that holds one folder for each class")
    paths, labels, closed, outside = [], [], [], 0
    for found in scan_files(folder):
        if isinstance(found, ClosedFolder):
            closed.append(found)
        elif "/" in found.path:
            paths.append(folder / found.path)
            labels.append(found.path.split("/", 1)[0])
        else:
            outside += 1
    if len(set(labels)) < 2:
        raise UsageError(
            f"{folder} has no two classes with photos: give a folder that holds one folder for "
            "each class"
        )
    return LabelledPhotos(folder, tuple(paths), tuple(labels), outside, tuple(closed))
