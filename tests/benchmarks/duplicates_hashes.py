"""Perceptual hashes on a library whose copies are known, as other programs compare them.

    python tests/benchmarks/duplicates_hashes.py MADE

MADE is the folder `made` below `--work` of :mod:`duplicates`. The hashes of imagededup are its own
(they need `pip install imagededup`). Those of czkawka are made here, as it describes them: the
image in grey, reduced with Lanczos to one column more than the hash is wide, one bit for each pixel
that is darker than the one to its right; with the distances of its presets (`SIMILAR_VALUES` in
`czkawka_core`, from "very high" to "medium"). Told are the pairs of files within each distance: how
many are pairs of one picture, and how many of all such pairs are found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from duplicates_made import photo_of
from numpy.typing import NDArray
from PIL import Image

IMAGEDEDUP = ("PHash", "DHash", "AHash", "WHash")
IMAGEDEDUP_BITS = (0, 4, 8, 10)  # 10 is its default
CZKAWKA_BITS = {8: (1, 2, 5, 7), 16: (2, 5, 15, 30), 32: (4, 10, 20, 40), 64: (6, 20, 40)}

Hashes = NDArray[np.uint8]  # shape = (files, bytes)
Hash = Callable[[Path], Hashes]


def main() -> None:
    tell_hashes(sorted(Path(sys.argv[1]).iterdir()))


def tell_hashes(files: Sequence[Path]) -> None:
    photos = np.unique([photo_of(file) for file in files], return_inverse=True)[1]
    print("| hash | bits that differ | pairs | precision | recall |\n|---|---|---|---|---|")
    for name, hashed, distances in hashers():
        right, found, of = pairs_within(np.stack([hashed(file) for file in files]), photos)
        for most in distances:
            pairs, good = int(found[: most + 1].sum()), int(right[: most + 1].sum())
            precision, recall = good / max(pairs, 1), good / max(of, 1)
            print(f"| {name} | ≤ {most} | {pairs:,} | {precision:.3f} | {recall:.3f} |", flush=True)


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
    def hashed(file: Path) -> Hashes:
        text = hasher.encode_image(image_file=str(file))  # type: ignore[attr-defined]
        return np.frombuffer(bytes.fromhex(text), np.uint8)

    return hashed


def _gradient(size: int) -> Hash:
    def hashed(file: Path) -> Hashes:
        with Image.open(file) as image:
            grey = image.convert("L").resize((size + 1, size), Image.Resampling.LANCZOS)
        pixels = np.asarray(grey)
        return np.packbits(pixels[:, :-1] < pixels[:, 1:])

    return hashed


def pairs_within(
    hashes: Hashes, photos: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Count pairs of one picture, and all pairs, by their distance; and pairs of one picture."""
    words = hashes.view(np.uint64)
    bits = 8 * hashes.shape[1]
    right, found = np.zeros(bits + 1, np.int64), np.zeros(bits + 1, np.int64)
    for n in range(len(hashes) - 1):
        distances = np.bitwise_count(words[n + 1 :] ^ words[n]).sum(axis=1, dtype=np.int64)
        found += np.bincount(distances, minlength=bits + 1)
        right += np.bincount(distances[photos[n + 1 :] == photos[n]], minlength=bits + 1)
    return right, found, int(right.sum())


if __name__ == "__main__":
    main()
