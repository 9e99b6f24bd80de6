"""What is worth knowing about labelled photos before hours are spent on them.

Only what cannot work is refused; the rest is told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .find import LabelledPhotos, Sample
from .pixels import Decoded
from .split import FEWEST_TO_SPLIT, Split

EXAMPLES = 3  # named for each finding


@dataclass(frozen=True)
class Finding:
    """A line of the table.

    Attributes:
        what: was found, in two or three words.
        count: how often.
        examples: the first few.
        meaning: what follows from it.
    """

    what: str
    count: int
    examples: tuple[str, ...]
    meaning: str


def check(found: LabelledPhotos, decoded: Decoded, groups: NDArray[np.intp]) -> list[Finding]:
    """Look through a data set.

    Args:
        found: its photos.
        decoded: what decoding them told.
        groups: shape = (photos,), from near_identical_groups.

    Raises:
        DataError: fewer than two classes have photos that can be read.
    """
    samples = found.samples
    readable = [i for i in range(len(samples)) if i not in decoded.failures]
    sizes = Counter(samples[i].label for i in readable)
    gone = sorted(set(found.classes) - set(sizes))
    findings = [
        Finding("photos", len(readable), (), _spread(sizes)),
        _finding("classes", sorted(sizes), "with photos"),
        _finding(
            "unreadable",
            [f"{samples[i].name} ({why})" for i, why in decoded.failures.items()],
            "left out",
        ),
        _finding("missing", found.missing, "named in the CSV but not there, left out"),
        _finding("closed folders", found.closed, "not searched"),
        _finding("outside of classes", ["photos"] * found.unlabelled, "no label, left out"),
        _finding("empty classes", [*found.empty_classes, *gone], "left out"),
        _finding(
            "small classes",
            [f"{label} ({n})" for label, n in sorted(sizes.items()) if n < FEWEST_TO_SPLIT],
            "trained on only, not tested",
        ),
        _finding("alike names", _alike(sizes), "classes that differ only by case: the same?"),
        _finding(
            "in two classes",
            _contradictions(found, decoded, readable),
            "the same pixels under two labels: one of them is wrong",
        ),
        _finding(
            "near-identical",
            [samples[i].name for i in readable if groups[i] != i],
            "copies of another photo, kept on its side of the split",
        ),
    ]
    require_two_classes(list(sizes))
    return [finding for finding in findings if finding and finding.count]


def check_split(known: Container[str], samples: Sequence[Sample], split: Split) -> list[Finding]:
    """Look at what a given split does to a data set.

    Args:
        known: names of the photos in the split file.
        samples: all photos that can be read.
        split: their parts.
    """
    tested = {samples[i].label for i in split.test}
    findings = [
        _finding(
            "not in the split file",
            [sample.name for sample in samples if sample.name not in known],
            "where near-identical photos are, or else trained on",
        ),
        _finding(
            "without test photos",
            sorted({sample.label for sample in samples} - tested),
            "classes that are not tested",
        ),
    ]
    return [finding for finding in findings if finding]


def require_two_classes(classes: Sequence[str]) -> None:
    """Refuse data that there is nothing to tell apart in.

    Raises:
        DataError: fewer than two classes have photos.
    """
    if len(classes) < 2:
        names = ", ".join(classes) or "none"
        raise DataError(
            f"a classifier needs at least two classes with photos, found: {names} "
            "(give the folder that holds one folder for each class)"
        )


def as_table(findings: Sequence[Finding]) -> str:
    """Write findings as lines of text."""
    width = max(len(finding.what) for finding in findings)
    digits = max(len(str(finding.count)) for finding in findings)
    lines = []
    for finding in findings:
        examples = ", ".join(finding.examples)
        more = ", …" if finding.examples and finding.count > len(finding.examples) else ""
        behind = f": {examples}{more}" if examples else ""
        line = f"{finding.what:<{width}}  {finding.count:>{digits}}  {finding.meaning}{behind}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _finding(what: str, found: Sequence[str], meaning: str) -> Finding | None:
    return Finding(what, len(found), tuple(found[:EXAMPLES]), meaning) if found else None


def _spread(sizes: Counter[str]) -> str:
    low, high = min(sizes.values(), default=0), max(sizes.values(), default=0)
    return f"{low} in each class" if low == high else f"{low} to {high} in a class"


def _alike(sizes: Counter[str]) -> list[str]:
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in sorted(sizes):
        spellings[label.casefold().strip()].append(label)
    return [" / ".join(own) for own in spellings.values() if len(own) > 1]


def _contradictions(found: LabelledPhotos, decoded: Decoded, readable: Sequence[int]) -> list[str]:
    same: dict[bytes, list[int]] = defaultdict(list)
    for index in readable:
        same[decoded.digests[index]].append(index)
    samples = found.samples
    return [
        " = ".join(samples[i].name for i in own)
        for own in same.values()
        if len({samples[i].label for i in own}) > 1
    ]
