"""Stage 1 of training: which photos there are, and what each one is labelled.

Three shapes of data are understood:

* one folder: each folder in it is a class, and every photo below that, however deep, is of it;
* several folders: likewise, and the classes are named ``folder/class``;
* a CSV file with a header and the columns ``path`` and ``label``; paths are relative to the file.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...infer.photos.scan import SKIPPED_FOLDERS, ClosedFolder, scan_files
from ..errors import DataError


@dataclass(frozen=True)
class Sample:
    """A labelled photo.

    Attributes:
        path: of the file.
        name: the path relative to the data, with forward slashes; unique within a data set.
        label: the name of its class.
    """

    path: Path
    name: str
    label: str


@dataclass(frozen=True)
class LabelledPhotos:
    """What was found, before any file is opened.

    Attributes:
        samples: ordered by name.
        empty_classes: class folders without a photo.
        missing: files that a CSV names and that are not there.
        closed: folders that could not be listed, and why.
        unlabelled: photos directly in the data folder, outside of every class folder.
    """

    samples: tuple[Sample, ...]
    empty_classes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    unlabelled: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that have photos, sorted."""
        return tuple(sorted({sample.label for sample in self.samples}))


def find_photos(data: Sequence[Path]) -> LabelledPhotos:
    """Find the labelled photos of one or more folders, or of one CSV file.

    Raises:
        DataError: a path does not exist, two folders have one name, or the CSV is malformed.
    """
    for path in data:
        if not os.path.exists(path):  # noqa: PTH110 - no error for a name that none can have
            raise DataError(f"no such folder or CSV file: {path}")
    if any(path.is_file() for path in data):
        if len(data) > 1:
            raise DataError("give either folders or one CSV file, not a mixture")
        return _from_csv(data[0])
    if len(data) == 1:
        return _from_folders({"": data[0]})
    by_name = {path.resolve().name: path for path in data}
    if len(by_name) < len(data):
        raise DataError("two of the data folders have the same name, by which classes are named")
    return _from_folders(by_name)


def _from_folders(roots: dict[str, Path]) -> LabelledPhotos:
    samples: list[Sample] = []
    empty: list[str] = []
    closed: list[str] = []
    unlabelled = 0
    for prefix, root in sorted(roots.items()):
        labels = set()
        for found in scan_files(root):
            name = f"{prefix}/{found.path}" if prefix else found.path
            if isinstance(found, ClosedFolder):
                closed.append(f"{name or root} ({found.reason})")
            elif "/" not in found.path:
                unlabelled += 1
            else:
                label = found.path.split("/", 1)[0]
                labels.add(label)
                label = f"{prefix}/{label}" if prefix else label
                samples.append(Sample(root / found.path, name, label))
        empty += [f"{prefix}/{name}" if prefix else name for name in _folders(root) - labels]
    samples.sort(key=lambda sample: sample.name)
    return LabelledPhotos(
        tuple(samples), tuple(sorted(empty)), closed=tuple(closed), unlabelled=unlabelled
    )


def _folders(root: Path) -> set[str]:
    """Name the class folders of ``root``, with photos or without."""
    try:
        entries = list(root.iterdir())
    except OSError as error:
        raise DataError(f"cannot read the folder {root}: {error.strerror}") from error
    return {
        entry.name
        for entry in entries
        if entry.is_dir()
        and not entry.name.startswith(".")
        and entry.name.lower() not in SKIPPED_FOLDERS
    }


def _from_csv(table: Path) -> LabelledPhotos:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {table} as a CSV file: {error}") from error
    if not rows or not {"path", "label"} <= set(rows[0]):
        raise DataError(f"{table} needs a header line with the columns path and label, and rows")
    samples: dict[str, Sample] = {}
    missing: list[str] = []
    for number, row in enumerate(rows, start=2):
        name, label = (row["path"] or "").strip(), (row["label"] or "").strip()
        if not name or not label:
            raise DataError(f"{table}, row {number}: the path or the label is empty")
        path = table.parent / name
        name = Path(name).as_posix()
        if name in samples:
            if samples[name].label != label:
                raise DataError(f"{table}, row {number}: {name} has two different labels")
        elif os.path.isfile(path):  # noqa: PTH113 - likewise
            samples[name] = Sample(path, name, label)
        else:
            missing.append(name)
    if not samples:
        raise DataError(
            f"none of the {len(missing)} files that {table} names exists "
            f"(paths are relative to {table.parent}); the first is {missing[0]}"
        )
    ordered = tuple(samples[name] for name in sorted(samples))
    return LabelledPhotos(ordered, missing=tuple(missing))
