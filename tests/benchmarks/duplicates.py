"""Measure `imgsim-edge duplicates` on made near-duplicates, beside the hashes of imagededup.

    python tests/benchmarks/duplicates.py PHOTOS [--every 4] [--model default]

Of every fourth photo below PHOTOS ten copies are made, each changed in one way; all other photos
are there to be confused with. Every pair of files that show the same photo is to be found. For the
hashes (they need `pip install imagededup`; no weights are loaded) every threshold is tried, with
the pairs as they are and with the groups that they connect, and the best F1 counts; imgsim-edge
runs once, as it comes. Photos whose files have the same bytes count as one photo.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.duplicates.groups import find_groups
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

ORIGINAL, MIRRORED = "original", "mirrored"
HASHES = ("PHash", "DHash", "AHash", "WHash")
GROUPED_UP_TO = 12  # bits; beyond, the groups of a hash are all photos in one


@dataclass(frozen=True)
class Score:
    """How well pairs were found."""

    right: int
    found: int
    wanted: int

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.wanted

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.found + self.wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--every", type=int, default=4, help="copies are made of every n-th photo")
    parser.add_argument("--model", default="default")
    parser.add_argument("--work", type=Path, help="keep the files and the index here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        made = work / "made"
        if not made.exists():
            make_collection(options.photos, made, options.every)
        files = sorted(made.iterdir())
        kinds = Counter(kind_of(file) for file in files)
        print(f"{len(files):,} files: {dict(sorted(kinds.items()))}")
        upright = [file for file in files if kind_of(file) != MIRRORED]
        rows = [measure_ours(made, work, options.model, files, any_orientation=True)]
        rows += measure_hashes(files)
        print_table("All copies, mirrored ones among them (--any-orientation)", rows)
        rows = [measure_ours(made, work, options.model, upright, any_orientation=False)]
        rows += measure_hashes(upright)
        print_table("All copies but the mirrored", rows)


# --- the files -----------------------------------------------------------------------------------


def make_collection(photos: Path, folder: Path, every: int) -> None:
    folder.mkdir(parents=True)
    seen: set[bytes] = set()
    for number, file in enumerate(sorted(photos.rglob("*.jpg"))):
        digest = hashlib.blake2b(file.read_bytes()).digest()
        if digest in seen:
            continue
        seen.add(digest)
        name = f"{number:05d}-{file.stem.replace('_', '-')}"
        shutil.copy2(file, folder / f"{name}_{ORIGINAL}.jpg")
        if number % every == 0:
            with Image.open(file) as image:
                make_copies(image.convert("RGB"), folder, name, random.Random(number))


def make_copies(image: Image.Image, folder: Path, name: str, draw: random.Random) -> None:
    def save(
        kind: str, copy: Image.Image, quality: int = 90, exif: Image.Exif | None = None
    ) -> None:
        more = {"exif": exif} if exif else {}
        copy.save(folder / f"{name}_{kind}.jpg", quality=quality, **more)

    width, height = image.size
    save("recompressed", image, quality=draw.randint(25, 60))
    scale = draw.uniform(0.5, 0.8)
    save("resized", image.resize((round(width * scale), round(height * scale))))
    save("cropped5to10", crop(image, draw, 0.05, 0.10))
    save("cropped10to20", crop(image, draw, 0.10, 0.20))
    save("brightened", ImageEnhance.Brightness(image).enhance(draw.uniform(1.2, 1.5)))
    save("greyed", ImageOps.grayscale(image))
    save("watermarked", watermark(image))
    save("screenshot", screenshot(image, draw))
    orientation, turn = draw.choice(
        [
            (3, Image.Transpose.ROTATE_180),
            (6, Image.Transpose.ROTATE_90),
            (8, Image.Transpose.ROTATE_270),
        ]
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    save("exifrotated", image.transpose(turn), exif=exif)
    save(MIRRORED, ImageOps.mirror(image))


def crop(image: Image.Image, draw: random.Random, least: float, most: float) -> Image.Image:
    """Cut a share of the width and of the height off, anywhere."""
    width, height = image.size
    left_over = round(width * (1 - draw.uniform(least, most)))
    upper = round(height * (1 - draw.uniform(least, most)))
    x, y = draw.randint(0, width - left_over), draw.randint(0, height - upper)
    return image.crop((x, y, x + left_over, y + upper))


def watermark(image: Image.Image) -> Image.Image:
    width, height = image.size
    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    large = ImageFont.load_default(size=max(10, height // 7))
    small = ImageFont.load_default(size=max(8, height // 12))
    middle = (width // 2, height // 2)
    pen.text(middle, "SAMPLE PHOTO", font=large, fill=(255, 255, 255, 150), anchor="mm")
    corner = (width - 3, height - 3)
    pen.text(corner, "© someone", font=small, fill=(255, 255, 255, 200), anchor="rs")
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def screenshot(image: Image.Image, draw: random.Random) -> Image.Image:
    """Put a plain border of 2–12 % around, with a clock in the upper one."""
    width, height = image.size
    side, above = round(width * draw.uniform(0.02, 0.10)), round(height * draw.uniform(0.05, 0.12))
    below = round(height * draw.uniform(0.02, 0.12))
    colour = draw.choice([(255, 255, 255), (32, 33, 36), (0, 0, 0), (240, 240, 240)])
    screen = Image.new("RGB", (width + 2 * side, height + above + below), colour)
    screen.paste(image, (side, above))
    ImageDraw.Draw(screen).text((side, 2), "12:04", fill=(128, 128, 128))
    return screen


def kind_of(file: Path) -> str:
    return file.stem.rsplit("_", 1)[1]


def photo_of(file: Path) -> str:
    return file.stem.rsplit("_", 1)[0]


# --- the methods ---------------------------------------------------------------------------------


def measure_ours(
    made: Path, work: Path, model: str, files: list[Path], *, any_orientation: bool
) -> tuple[str, str, Score]:
    with ImageIndex.create(work / "index", model) as index:
        index.add([made])
        wanted = set(files)
        index.remove([file for file in made.iterdir() if file not in wanted])
        started = time.process_time()
        groups = find_groups(index, any_orientation=any_orientation).groups
        print(f"{time.process_time() - started:.0f} s of computing for {len(index):,} photos")
    members = [[g.keep.path, *(copy.photo.path for copy in g.copies)] for g in groups]
    group_of = {path.name: n for n, paths in enumerate(members) for path in paths}
    together: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for file in files:
        kind, original = kind_of(file), f"{photo_of(file)}_{ORIGINAL}.jpg"
        if kind != ORIGINAL:
            every[kind] += 1
            mine = group_of.get(file.name)
            together[kind] += mine is not None and mine == group_of.get(original)
    print("in one group with the original:")
    for kind, count in sorted(every.items()):
        print(f"  {kind:14} {together[kind] / count:.3f}")
    for paths in members:
        if len({photo_of(path) for path in paths}) > 1:
            print("  mixed:", *sorted({photo_of(path) for path in paths}))
    option = "--any-orientation" if any_orientation else "as it comes"
    return "imgsim-edge duplicates", option, score_groups(members, files)


def measure_hashes(files: list[Path]) -> list[tuple[str, str, Score]]:
    try:
        import imagededup.methods as methods
    except ImportError:
        print("imagededup is not installed: its hashes are left out")
        return []
    rows = []
    for name in HASHES:
        hasher = getattr(methods, name)(verbose=False)
        bits = [int(hasher.encode_image(image_file=str(file)), 16) for file in files]
        rows.append((f"imagededup {name}", *best_threshold(np.array(bits, np.uint64), files)))
    return rows


def best_threshold(hashes: np.ndarray, files: list[Path]) -> tuple[str, Score]:
    photos = np.unique([photo_of(file) for file in files], return_inverse=True)[1]
    right, found = np.zeros(65, np.int64), np.zeros(65, np.int64)
    near: list[tuple[int, int, int]] = []
    for n in range(len(files) - 1):
        distances = np.bitwise_count(hashes[n + 1 :] ^ hashes[n])
        found += np.bincount(distances, minlength=65)
        right += np.bincount(distances[photos[n + 1 :] == photos[n]], minlength=65)
        close = np.flatnonzero(distances <= GROUPED_UP_TO)
        near += [(int(distances[m]), n, n + 1 + int(m)) for m in close]
    wanted = int(right.sum())
    tried = [
        (
            f"≤ {bits} bits, pairs",
            Score(int(right[: bits + 1].sum()), int(found[: bits + 1].sum()), wanted),
        )
        for bits in range(65)
    ]
    near.sort()
    leader = list(range(len(files)))

    def find(n: int) -> int:
        while leader[n] != n:
            leader[n] = leader[leader[n]]
            n = leader[n]
        return n

    at = 0
    for bits in range(GROUPED_UP_TO + 1):
        while at < len(near) and near[at][0] <= bits:
            leader[find(near[at][1])] = find(near[at][2])
            at += 1
        groups: dict[int, list[Path]] = {}
        for n, file in enumerate(files):
            groups.setdefault(find(n), []).append(file)
        tried.append((f"≤ {bits} bits, groups", score_groups(groups.values(), files)))
    return max(tried, key=lambda option: option[1].f1)


def score_groups(groups: Iterable[list[Path]], files: list[Path]) -> Score:
    right = found = 0
    for paths in groups:
        found += len(paths) * (len(paths) - 1) // 2
        right += sum(n * (n - 1) // 2 for n in Counter(map(photo_of, paths)).values())
    wanted = sum(n * (n - 1) // 2 for n in Counter(map(photo_of, files)).values())
    return Score(right, found, wanted)


def print_table(title: str, rows: list[tuple[str, str, Score]]) -> None:
    print(f"\n{title}:\n\n| method | threshold | precision | recall | F1 |\n|---|---|---|---|---|")
    for name, threshold, score in rows:
        print(
            f"| {name} | {threshold} | {score.precision:.4f} | {score.recall:.4f} "
            f"| {score.f1:.4f} |"
        )
    print(flush=True)


if __name__ == "__main__":
    main()
