"""Measure `imgsim-edge duplicates` on a made library, beside the hashes of imagededup.

    python tests/benchmarks/duplicates.py PHOTOS [PHOTOS ...] [--originals 100] [--library 1600]

What the library is made of, :mod:`duplicates_made` tells. Told are: the precision of what is
certain (each copy that is certain, against the one that is kept) with every wrong pair by name, how
many files of drawn text and of screens would go for another picture, the recall of each kind of
copy (it is in the group of its original), and in how many groups the original stays. For the
hashes (they need `pip install imagededup`) the pairs within each distance are counted.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from duplicates_made import COPIES, ORIGINAL, OTHER_SHOT, SCREEN, TEXTS, make_library
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.duplicates.groups import Group, find_groups

HASHES = ("PHash", "DHash")
DISTANCES = (0, 4, 8, 10)  # bits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--originals", type=int, default=100, help="photos with copies")
    parser.add_argument("--library", type=int, default=1600, help="photos in all, without copies")
    parser.add_argument("--texts", type=int, default=24, help="pages of each kind, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="default")
    parser.add_argument("--work", type=Path, help="keep the files and the index here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        made = work / "made"
        if not made.exists():
            photos = [file for folder in options.photos for file in sorted(folder.rglob("*.jpg"))]
            make_library(
                photos,
                made,
                originals=options.originals,
                library=options.library,
                texts=options.texts,
                seed=options.seed,
            )
        files = sorted(made.iterdir())
        with ImageIndex.create(work / "index", options.model) as index:
            index.add([made])
            started, computed = time.perf_counter(), time.process_time()
            groups = find_groups(index).groups
            took = time.perf_counter() - started, time.process_time() - computed
        print(f"{len(files):,} photos, {took[0]:.0f} s ({took[1]:.0f} s of computing)")
        tell(groups, files)
        measure_hashes(files)


def kind_of(file: Path) -> str:
    return file.stem.rsplit("_", 1)[1]


def photo_of(file: Path) -> str:
    return file.stem.rsplit("_", 1)[0]


def is_drawn(file: Path) -> bool:
    return kind_of(file) == SCREEN or photo_of(file).rsplit("-", 1)[0] in TEXTS


def tell(groups: Sequence[Group], files: Sequence[Path]) -> None:
    wrong: Counter[bool] = Counter()
    found: Counter[bool] = Counter()
    drawn = 0
    reached: set[str] = set()  # files in one group with a file of their photo's original
    stays = asked = 0
    for group in groups:
        members = [group.keep.path, *(copy.photo.path for copy in group.copies)]
        originals = {photo_of(file) for file in members if kind_of(file) == ORIGINAL}
        reached |= {file.name for file in members if photo_of(file) in originals}
        if originals and all(photo_of(file) == photo_of(members[0]) for file in members):
            asked += 1
            stays += kind_of(group.keep.path) == ORIGINAL
            if kind_of(group.keep.path) != ORIGINAL:
                print(f"  stays: {group.keep.path.name} ({group.why})")
        for copy in group.copies:
            found[copy.certain] += 1
            if photo_of(copy.photo.path) != photo_of(group.keep.path):
                wrong[copy.certain] += 1
                drawn += is_drawn(copy.photo.path)
                grade = "certain" if copy.certain else "look"
                print(
                    f"  {grade}: {copy.photo.path.name} for {group.keep.path.name} ({copy.reason})"
                )
    copies = [file for file in files if kind_of(file) not in (ORIGINAL, OTHER_SHOT, SCREEN)]
    for certain, name in ((True, "certain"), (False, "look")):
        right = found[certain] - wrong[certain]
        share = right / found[certain] if found[certain] else 1.0
        print(f"{name}: {found[certain]} copies, {wrong[certain]} wrong, precision {share:.4f}")
    print(f"text and screens that would go for another picture: {drawn}")
    print(f"the original stays in {stays} of {asked} groups")
    for kind in COPIES:
        mine = [file for file in copies if kind_of(file) == kind]
        print(f"  {kind:14} {sum(file.name in reached for file in mine)} of {len(mine)}")
    print(f"recall: {sum(file.name in reached for file in copies) / len(copies):.4f}")


def measure_hashes(files: Sequence[Path]) -> None:
    try:
        import imagededup.methods as methods
    except ImportError:
        print("imagededup is not installed: its hashes are left out")
        return
    photos = np.unique([photo_of(file) for file in files], return_inverse=True)[1]
    print("| imagededup | bits | pairs | precision | recall |\n|---|---|---|---|---|")
    for name in HASHES:
        hasher = getattr(methods, name)(verbose=False)
        hashes = [int(hasher.encode_image(image_file=str(file)), 16) for file in files]
        bits = np.array(hashes, np.uint64)
        right, found = np.zeros(65, np.int64), np.zeros(65, np.int64)
        for n in range(len(files) - 1):
            distances = np.bitwise_count(bits[n + 1 :] ^ bits[n])
            found += np.bincount(distances, minlength=65)
            right += np.bincount(distances[photos[n + 1 :] == photos[n]], minlength=65)
        for most in DISTANCES:
            pairs, good = int(found[: most + 1].sum()), int(right[: most + 1].sum())
            print(
                f"| {name} | ≤ {most} | {pairs} | {good / max(pairs, 1):.3f} "
                f"| {good / int(right.sum()):.3f} |"
            )


if __name__ == "__main__":
    main()
