"""Compare what two machines answered, as answers.py wrote it.

    python compare.py ONE OTHER

Ends with status 1 where vectors of the fp32 encoder differ by more than 1e-3, or answers differ.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

MOST = 1e-3


def ranks(answers: dict[str, Any]) -> dict[str, list[str]]:
    """Give the names that each query found, in their order."""
    found: dict[str, list[str]] = {}
    for match in answers["similar"]:
        found.setdefault(Path(match["query"]).name, []).append(Path(match["path"]).name)
    return found


def groups(answers: dict[str, Any]) -> list[list[str]]:
    """Give the names in each group of duplicates, the one that stays first."""
    return [
        [Path(one["path"]).name for one in (group["keep"], *group["copies"])]
        for group in answers["duplicates"]
    ]


def vectors(folder: Path, model: str) -> np.ndarray:
    """Read vectors in the order of the photos' names."""
    with np.load(folder / f"{model}.npz") as held:
        order = np.argsort([Path(path).name for path in held["paths"]])
        rows: np.ndarray = held["vectors"][order]
    return rows


def main() -> None:
    """Compare and print."""
    folders = [Path(argument) for argument in sys.argv[1:]]
    both = [json.loads((folder / "answers.json").read_text()) for folder in folders]
    for answers in both:
        versions = ", ".join(f"{k} {v}" for k, v in answers["versions"].items())
        print(f"{answers['machine']}: Python {answers['python']}, {versions}")
    exact = [vectors(folder, "fp32") for folder in folders]
    apart = float(np.abs(exact[0] - exact[1]).max())
    print(f"fp32 vectors: largest difference {apart:.1e}")
    small = [vectors(folder, "default") for folder in folders]
    cosines = (small[0] * small[1]).sum(axis=1)
    print(f"int8 vectors: lowest cosine {cosines.min():.6f}, median {np.median(cosines):.6f}")
    one, other = (ranks(answers) for answers in both)
    same = sum(one[query] == other[query] for query in one)
    first = sum(one[query][0] == other[query][0] for query in one)
    shared = sum(len({*one[query]} & {*other[query]}) / len(one[query]) for query in one) / len(one)
    print(f"similar: the same ten in the same order for {same} of {len(one)} queries; the same")
    print(f"  first answer for {first}; {shared:.1%} of the ten in common")
    found = [groups(answers) for answers in both]
    alike = found[0] == found[1]
    print(
        f"duplicates: {len(found[0])} and {len(found[1])} groups, {'' if alike else 'not '}the same"
    )
    pages = [{k: v for k, v in a["browse"].items() if k != "like"} for a in both]
    same_page = "the same list and pictures" if pages[0] == pages[1] else "another list"
    print(f"browse: {pages[0]['photos']} and {pages[1]['photos']} photos, {same_page}")
    if apart > MOST or first < len(one) or not alike or pages[0] != pages[1]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
