"""Measure `imgsim-edge duplicates` on a made library, beside the hashes of other programs.

    python tests/benchmarks/duplicates.py PHOTOS [PHOTOS ...] [--originals 100] [--library 1600]

What the library is made of, :mod:`duplicates_made` tells. Told are: the precision of what is
certain (each copy that is certain, against the one that is kept) with every wrong pair by name, how
many files of drawn text and of screens would go for another picture, the recall of each kind of
copy (it is in the group of its original), and in how many groups the original stays. To be compared
with hashes (:mod:`duplicates_hashes`), all pairs of files in one group are counted, too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from duplicates_hashes import HEADER, counted, tell_hashes, tell_row
from duplicates_made import (
    COPIES,
    ORIGINAL,
    OTHER_SHOT,
    RESCANNED,
    SCREEN,
    is_drawn,
    kind_of,
    make_library,
    photo_of,
)
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.duplicates.groups import Group, find_groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--originals", type=int, default=100, help="photos with copies")
    parser.add_argument("--library", type=int, default=1600, help="photos in all, without copies")
    parser.add_argument("--texts", type=int, default=24, help="pages of each kind, at most")
    parser.add_argument("--pages", type=Path, help="a folder of pages, each another one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="default")
    parser.add_argument("--hashes", action="store_true", help="measure other programs' hashes, too")
    parser.add_argument("--work", type=Path, help="keep the files and the index here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        made = work / "made"
        if not made.exists():
            photos = [file for folder in options.photos for file in sorted(folder.rglob("*.jpg"))]
            pages = [*options.pages.glob("*.png")] if options.pages else []
            make_library(
                photos,
                made,
                pages=pages,
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
        print(HEADER)
        tell_pairs(groups, files)
        if options.hashes:
            tell_hashes(files)


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
    for kind in (*COPIES, RESCANNED):
        mine = [file for file in copies if kind_of(file) == kind]
        print(f"  {kind:14} {sum(file.name in reached for file in mine)} of {len(mine)}")
    print(f"recall: {sum(file.name in reached for file in copies) / len(copies):.4f}")


def tell_pairs(groups: Sequence[Group], files: Sequence[Path]) -> None:
    """Count pairs of one group as hashes are counted: each file with each."""
    of_photo = Counter(photo_of(file) for file in files)
    of = sum(count * (count - 1) // 2 for count in of_photo.values())
    for name, grades in (("certain", (True,)), ("certain and look", (True, False))):
        kept = [group.keep.path for group in groups]
        copies = [[c.photo.path for c in g.copies if c.certain in grades] for g in groups]
        pairs, right, go = counted(zip(kept, copies, strict=True))
        tell_row(f"imgsim-edge, {name}", "", pairs, right, of, go)


if __name__ == "__main__":
    main()
