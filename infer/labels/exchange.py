"""Confirmed labels on their way to other programs, and back.

As CSV or JSON (one object a line), as a folder of links with a folder for each label, which
training reads, and as keywords in XMP sidecars. Photos themselves are never touched.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..catalogue.database import CATALOGUE_FILE
from ..errors import Problem, UsageError
from ..files import whole_file
from ..index.image_index import ImageIndex, IndexedPhoto
from ..photos.scan import ClosedFolder, scan_files
from .sidecar import keywords, merge, sidecar_of

COLUMNS = ("path", "label")


@dataclass(frozen=True)
class LabelExchange:
    """What became of an export or an import.

    Attributes:
        count: photos with a label that were written or read; of sidecars, those that changed.
        problems: files that could not be used, or photos that are not in the index.
    """

    count: int
    problems: list[Problem] = field(default_factory=list)


def confirmed(index: ImageIndex) -> list[tuple[IndexedPhoto, list[str]]]:
    """List the photos that were said to show something, with their labels, in the order of ids."""
    of_digest: dict[bytes, list[str]] = {}
    for label in index.labels():
        for digest, shows in index.examples(label.name).items():
            if shows:
                of_digest.setdefault(digest, []).append(label.name)
    return [(photo, of_digest[photo.digest]) for photo in index.photos_of(of_digest)]


def export_labels(index: ImageIndex, path: Path) -> LabelExchange:
    """Write the confirmed labels for other programs.

    Args:
        index: whose labels they are.
        path: a name that ends in ``.csv`` or ``.json`` for one line for each label of a photo; one
            without such an end for a new folder of links, with a folder for each label.

    Raises:
        UsageError: the name ends otherwise, or it cannot be written.
    """
    return _write_file(index, path) if path.suffix else _make_links(index, path)


def _write_file(index: ImageIndex, path: Path) -> LabelExchange:
    labelled = confirmed(index)
    _write_table(path, [(str(photo.path), label) for photo, own in labelled for label in own])
    return LabelExchange(len(labelled))


def _make_links(index: ImageIndex, folder: Path) -> LabelExchange:
    labelled = confirmed(index)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty: name a new folder")
        for photo, labels in labelled:
            for label in labels:
                if label in (".", "..") or "/" in label or os.sep in label:
                    raise UsageError(f"label {label!r} cannot be the name of a folder: rename it")
                home = folder / label
                home.mkdir(exist_ok=True)
                (home / f"{photo.id}-{photo.path.name}").symlink_to(photo.path)
    except OSError as error:
        raise UsageError(f"cannot make links in {folder}: {error.strerror or error}") from error
    return LabelExchange(len(labelled))


def export_for_training(index: ImageIndex, path: Path) -> LabelExchange:
    """Write a CSV file of the photos that have one label: what `train` reads.

    A photo with two labels is of no one class, and is a problem that is told of.

    Raises:
        UsageError: fewer than two labels have such photos that are there, or it cannot be written.
    """
    rows, problems = [], []
    for photo, labels in confirmed(index):
        if len(labels) > 1:
            problems.append(Problem(photo.path, f"has several labels: {', '.join(labels)}"))
        elif not photo.path.is_file():
            problems.append(Problem(photo.path, "is not there"))
        else:
            rows.append((str(photo.path), labels[0]))
    if len({label for _, label in rows}) < 2:
        raise UsageError(
            "training tells labels apart: teach at least two by photos that have no other label"
        )
    _write_table(path, rows)
    return LabelExchange(len(rows), problems)


def export_sidecars(index: ImageIndex) -> LabelExchange:
    """Bring the XMP sidecars of all photos up to date with their labels; see ``sidecar.merge``."""
    labels_of = {photo.id: labels for photo, labels in confirmed(index)}
    count, problems = 0, []
    for photo in index.photos():
        labels = labels_of.get(photo.id, [])
        if not labels and not sidecar_of(photo.path).is_file():
            continue
        try:
            count += merge(photo.path, labels) is not None
        except UsageError as error:
            problems.append(Problem(sidecar_of(photo.path), str(error)))
    return LabelExchange(count, problems)


def import_labels(index: ImageIndex, source: Path) -> LabelExchange:
    """Teach the labels of a file, of a folder with one for each label, or of another index.

    Args:
        index: that learns them.
        source: a ``.csv`` or ``.json`` file, a folder of photos or links, or the folder of another
            index, of which also is taken what was said not to show a label.

    Raises:
        UsageError: the source cannot be read, or is none of these.
    """
    if (source / CATALOGUE_FILE).is_file():
        return _take_over(index, source)
    pairs = _in_folder(source) if source.is_dir() else _in_file(source)
    problems, found = [], []
    for path, label in pairs:
        photo = index.find(path)
        if photo is None:
            problems.append(Problem(path, "not in the index"))
        else:
            found.append((photo.digest, label))
    return LabelExchange(_teach(index, found), problems)


def _take_over(index: ImageIndex, source: Path) -> LabelExchange:
    """Take the examples of another index over: they are about contents, whatever encoder it has."""
    with ImageIndex.open(source) as other:
        told = {label.name: other.examples(label.name) for label in other.labels()}
    for name, verdicts in told.items():
        index.teach(name, *([d for d, v in verdicts.items() if v is way] for way in (True, False)))
    return LabelExchange(len({digest for verdicts in told.values() for digest in verdicts}))


def import_sidecars(index: ImageIndex) -> LabelExchange:
    """Teach the keywords of the XMP sidecars beside the photos of the index."""
    problems, found = [], []
    for photo in index.photos():
        sidecar = sidecar_of(photo.path)
        if sidecar.is_file():
            try:
                found += [(photo.digest, word) for word in keywords(sidecar)]
            except UsageError as error:
                problems.append(Problem(sidecar, str(error)))
    return LabelExchange(_teach(index, found), problems)


def _teach(index: ImageIndex, found: Iterable[tuple[bytes, str]]) -> int:
    by_label: dict[str, list[bytes]] = {}
    for digest, label in found:
        by_label.setdefault(" ".join(label.split()), []).append(digest)
    by_label.pop("", None)
    for label, digests in by_label.items():
        index.teach(label, yes=digests)
    return len({digest for digests in by_label.values() for digest in digests})


def _kind(path: Path) -> str:
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("csv", "json"):
        raise UsageError(f"{path} is neither a .csv nor a .json file, nor a folder")
    return kind


def _write_table(path: Path, pairs: list[tuple[str, str]]) -> None:
    kind = _kind(path)
    with (
        whole_file(path) as part,
        part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        if kind == "csv":
            writer = csv.writer(file)
            writer.writerows([COLUMNS, *pairs])
        else:
            file.writelines(json.dumps(dict(zip(COLUMNS, p, strict=True))) + "\n" for p in pairs)


def _in_file(path: Path) -> Iterator[tuple[Path, str]]:
    kind = _kind(path)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = csv.DictReader(file) if kind == "csv" else map(json.loads, file)
            for row in rows:
                yield Path(row["path"]), str(row["label"])
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UsageError(f"{path} does not hold a path and a label in each line") from error


def _in_folder(folder: Path) -> Iterator[tuple[Path, str]]:
    for found in scan_files(folder):
        if not isinstance(found, ClosedFolder) and "/" in found.path:
            yield Path(os.path.realpath(folder / found.path)), found.path.split("/", 1)[0]
