"""Perceptual hashes on a library whose copies are known, as other programs compare them.

    python tests/benchmarks/duplicates_hashes.py MADE

MADE is the folder `made` below `--work` of :mod:`duplicates`. The hashes of imagededup are its own
(`pip install imagededup`), and so are the groups of czkawka with hashes of 8 × 8 (`pip install
czkawka`, which binds `czkawka_core` at that size). Its hashes of all sizes are made here, too, as
it describes them: the image in grey, reduced with Lanczos to one column more than the hash is wide,
one bit for each pixel that is darker than the one to its right; with the distances of its presets
(`SIMILAR_VALUES`, from "very high" to "medium"). In how many bits the two differ at 8 × 8 is told.

Told are the pairs of files within each distance: how many are pairs of one picture, how many of all
such pairs are found, and how many files of text and of screens would go for another picture: as
imagededup's `find_duplicates_to_remove`, the first file stays and all that are near to it go.
"""

from __future__ import annotations

import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from duplicates_made import is_drawn, photo_of
from numpy.typing import NDArray
from PIL import Image

IMAGEDEDUP = ("PHash", "DHash", "AHash", "WHash")
IMAGEDEDUP_BITS = (0, 4, 8, 10)  # 10 is its default
CZKAWKA_SIZE = 8  # of the hashes that its binding makes
CZKAWKA_BITS = {8: (1, 2, 5, 7), 16: (2, 5, 15, 30), 32: (4, 10, 20, 40), 64: (6, 20, 40)}

Hashes = NDArray[np.uint8]  # shape = (files, bytes)
Hash = Callable[[Image.Image], Hashes]


HEADER = (
    "| by | bits that differ | pairs | precision | recall | text and screens that would go |\n"
    "|---|---|---|---|---|---|"
)


def main() -> None:
    print(HEADER)
    tell_hashes(sorted(Path(sys.argv[1]).iterdir()))


def tell_row(name: str, bits: str, pairs: int, right: int, of: int, go: int) -> None:
    precision, recall = right / max(pairs, 1), right / max(of, 1)
    print(f"| {name} | {bits} | {pairs:,} | {precision:.3f} | {recall:.3f} | {go} |", flush=True)


def tell_hashes(files: Sequence[Path]) -> None:
    photos = np.unique([photo_of(file) for file in files], return_inverse=True)[1]
    same = np.triu(photos[:, None] == photos, 1)
    of = int(same.sum())
    drawn = np.array([is_drawn(file) for file in files])
    known = list(hashers())
    hashes: list[list[Hashes]] = [[] for _ in known]
    for file in files:
        with Image.open(file) as image:
            picture = image.convert("RGB")
        for (_, hashed, _), mine in zip(known, hashes, strict=True):
            mine.append(hashed(picture))
    for (name, _, bits), mine in zip(known, hashes, strict=True):
        distances = distances_of(np.stack(mine))
        for most in bits:
            near = np.triu(distances <= most, 1)
            go = would_go(distances <= most, drawn, photos)
            tell_row(name, f"≤ {most}", int(near.sum()), int((near & same).sum()), of, go)
    tell_czkawka(files, of)


def would_go(near: NDArray[np.bool_], drawn: NDArray[np.bool_], photos: NDArray[np.int64]) -> int:
    """Count drawn files that go for another picture: the first of those that are near stays."""
    gone = np.zeros(len(near), dtype=bool)
    wrong = 0
    for n, row in enumerate(near):
        if not gone[n]:
            going = row & ~gone
            going[n] = False
            wrong += int((going & drawn & (photos != photos[n])).sum())
            gone |= going
    return wrong


def tell_czkawka(files: Sequence[Path], of: int) -> None:
    """Run czkawka itself on the folder that the files lie in."""
    try:
        import czkawka
    except ImportError as error:
        print(f"czkawka itself is left out: {error}", file=sys.stderr)
        return
    finder = czkawka.ImageSimilarity()
    finder.set_directories([files[0].parent])
    for most in CZKAWKA_BITS[CZKAWKA_SIZE]:
        finder.set_similarity(most)
        found = [sorted(group) for group in finder.find_similar()]
        pairs, right, go = counted((group[0], group[1:]) for group in found)
        name = f"czkawka itself, {CZKAWKA_SIZE} × {CZKAWKA_SIZE}, groups"
        tell_row(name, f"≤ {most}", pairs, right, of, go)
    made = _gradient(CZKAWKA_SIZE)
    differ = [
        int(np.bitwise_count(made(Image.open(file)) ^ _of_base64(finder.hash_image(file))).sum())
        for file in files[:: max(1, len(files) // 200)]
    ]
    print(
        f"its hashes and the ones made here differ in {np.mean(differ):.1f} bits of 64", flush=True
    )


def counted(groups: Iterable[tuple[Path, Sequence[Path]]]) -> tuple[int, int, int]:
    """Count the pairs of groups, those of one picture, and drawn files that go for another one.

    Args:
        groups: the file that stays, and those that go.
    """
    pairs = right = wrong = 0
    for kept, copies in groups:
        of_photo = Counter(map(photo_of, (kept, *copies)))
        pairs += len(copies) * (len(copies) + 1) // 2
        right += sum(count * (count - 1) // 2 for count in of_photo.values())
        wrong += sum(is_drawn(file) and photo_of(file) != photo_of(kept) for file in copies)
    return pairs, right, wrong


def hashers() -> Iterator[tuple[str, Hash, Sequence[int]]]:
    try:
        import imagededup.methods.hashing as methods
    except ImportError as error:
        print(f"imagededup's hashes are left out: {error}", file=sys.stderr)
    else:
        for name in IMAGEDEDUP:
            hasher = getattr(methods, name)(verbose=False)
            yield f"imagededup {name}", _of_imagededup(hasher), IMAGEDEDUP_BITS
    for size, distances in CZKAWKA_BITS.items():
        yield f"czkawka gradient {size} × {size}", _gradient(size), distances


def _of_imagededup(hasher: object) -> Hash:
    def hashed(image: Image.Image) -> Hashes:
        text = hasher.encode_image(image_array=np.asarray(image))  # type: ignore[attr-defined]
        return np.frombuffer(bytes.fromhex(text), np.uint8)

    return hashed


def _gradient(size: int) -> Hash:
    def hashed(image: Image.Image) -> Hashes:
        grey = image.convert("L").resize((size + 1, size), Image.Resampling.LANCZOS)
        pixels = np.asarray(grey)
        return np.packbits(pixels[:, :-1] < pixels[:, 1:], bitorder="little")

    return hashed


def _of_base64(text: str) -> Hashes:
    return np.frombuffer(b64decode(text + "=" * (-len(text) % 4)), np.uint8)


def distances_of(hashes: Hashes) -> NDArray[np.uint16]:
    """Count the bits in which hashes differ: shape = (files, files)."""
    words = hashes.view(np.uint64)
    return np.stack([np.bitwise_count(words ^ row).sum(axis=1, dtype=np.uint16) for row in words])


if __name__ == "__main__":
    main()
