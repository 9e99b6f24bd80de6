"""How many of the first five answers are of the query's class, class by class.

    python tests/benchmarks/first_answers.py ../shared/photos/evaluate/scene15

Every photo of the folder is a query against all others, as with `imgsim-edge index FOLDER` and then
`imgsim-edge similar PHOTO -k 5` for each of its photos.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from imgsim_edge.infer import ImageIndex

ANSWERS = 5


def main(folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as place,
        ImageIndex.create(Path(place) / "index") as index,
    ):
        index.add([folder])
        right: dict[str, list[int]] = defaultdict(list)
        for photo in index:
            same = [match.path.parent == photo.parent for match in index.similar(photo, ANSWERS)]
            right[photo.parent.name].append(sum(same))
    print(f"{'class':<16} photos  right of the first {ANSWERS}  most of them right")
    for name, counts in sorted(right.items()):
        mean = sum(counts) / len(counts)
        most = sum(count > ANSWERS / 2 for count in counts) / len(counts)
        print(f"{name:<16} {len(counts):>6}  {mean:>20.2f}  {most:>17.0%}")
    means = [sum(counts) / len(counts) for counts in right.values()]
    won = sum(mean > ANSWERS / 2 for mean in means)
    print(f"on average most are right in {won} of {len(means)} classes")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
