"""Find the first photo of a thing by a second one of it, among thousands of others.

Second photos are made from first ones, six of each: seen from the side, cropped, in another light,
partly covered, photographed from a screen, and all of it at once. A photo counts as found where the
first answer is the one it was made of. Any folder of photos will do; small ones are quickest.

    python tests/benchmarks/second_photos.py PHOTOS --model default
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from baselines import Encoded, encoded
from imgsim_edge.infer.encoder.details import details_of
from imgsim_edge.infer.encoder.onnx_encoder import Encoder
from imgsim_edge.infer.photos.scan import FoundFile, scan_files
from imgsim_edge.infer.search.rerank import CANDIDATES, final_scores
from imgsim_edge.infer.search.scores import centred
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Values = NDArray[np.floating]
Change = Callable[[Image.Image, np.random.Generator, Image.Image], Image.Image]
STAGES = ("embeddings", "details", "with averages", "among the candidates")


def from_the_side(
    image: Image.Image, random: np.random.Generator, other: Image.Image, reach: float = 0.18
) -> Image.Image:
    """Move every corner inwards by up to ``reach`` of the sides, before another, blurred photo."""
    width, height = image.size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    moved = corners + inwards * random.uniform(0, reach, (4, 2)) * (width, height)
    how = (image.size, Image.Transform.PERSPECTIVE, _homography(moved, corners))
    ground = other.resize(image.size).filter(ImageFilter.GaussianBlur(8))
    mask = Image.new("L", image.size, 255).transform(*how)
    ground.paste(image.transform(*how, Image.Resampling.BICUBIC), mask=mask)
    return ground


def cropped(image: Image.Image, random: np.random.Generator, _: Image.Image) -> Image.Image:
    """Keep 35 to 70 % of the area, of another aspect."""
    width, height = image.size
    own_width, own_height = _extent(random.uniform(0.35, 0.7), random.uniform(-0.25, 0.25))
    left, top = random.uniform(0, 1 - own_width), random.uniform(0, 1 - own_height)
    box = (left * width, top * height, (left + own_width) * width, (top + own_height) * height)
    return image.crop(tuple(map(int, box)))  # type: ignore[arg-type]


def relit(image: Image.Image, random: np.random.Generator, _: Image.Image) -> Image.Image:
    """Change gamma and colour temperature, and let a shadow fall from one side."""
    values = (np.asarray(image, np.float32) / 255) ** np.exp(random.uniform(-0.7, 0.7))
    warmth = random.uniform(-0.25, 0.25)
    values = values * (1 + warmth, 1 + random.uniform(-0.05, 0.05), 1 - warmth)
    angle, depth = random.uniform(0, 2 * np.pi), random.uniform(0.2, 0.6)
    rows, columns = np.mgrid[-1 : 1 : values.shape[0] * 1j, -1 : 1 : values.shape[1] * 1j]
    slope = (np.cos(angle) * columns + np.sin(angle) * rows) / np.sqrt(2)
    return _image(values * (1 - depth * (slope + 1) / 2)[..., None])


def covered(image: Image.Image, random: np.random.Generator, other: Image.Image) -> Image.Image:
    """Put a part of another photo in front of 20 to 40 % of it."""
    seen = image.copy()
    extent = _extent(random.uniform(0.2, 0.4), random.uniform(-0.5, 0.5))
    size = (int(extent[0] * seen.width), int(extent[1] * seen.height))
    left, top = (
        random.integers(0, seen.width - size[0] + 1),
        random.integers(0, seen.height - size[1] + 1),
    )
    seen.paste(other.resize(size), (int(left), int(top)))
    return seen


def from_a_screen(
    image: Image.Image, random: np.random.Generator, other: Image.Image
) -> Image.Image:
    """Add what a camera sees of a screen: its lines beating with the sensor, glare, noise."""
    values = np.asarray(from_the_side(image, random, other, 0.08), np.float32) / 255
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]].astype(np.float32)
    for _ in range(2):
        angle, period = random.uniform(0, np.pi), random.uniform(2.5, 9)
        wave = np.sin(2 * np.pi * (np.cos(angle) * columns + np.sin(angle) * rows) / period)
        values = values * (1 + wave[..., None] * random.uniform(0.02, 0.1, 3))
    y, x = random.uniform(0, values.shape[0]), random.uniform(0, values.shape[1])
    distance = ((rows - y) ** 2 + (columns - x) ** 2) / (0.25 * max(values.shape)) ** 2
    values = 0.08 + 0.85 * values + random.uniform(0.1, 0.5) * np.exp(-distance)[..., None]
    values = values * (1 - 0.15 * random.uniform(0, 1), 1, 1 + 0.15 * random.uniform(0, 1))
    values += random.normal(0, 0.03, values.shape)
    seen = _image(values).filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.0)))
    return _encoded(seen, int(random.integers(40, 70)))


def everything(image: Image.Image, random: np.random.Generator, other: Image.Image) -> Image.Image:
    """Do all of it at once, each a little milder than alone."""
    seen = relit(from_the_side(image, random, other, 0.12), random, other)
    if random.random() < 0.5:
        seen = cropped(seen, random, other)
    return _encoded(covered(seen, random, other), int(random.integers(40, 80)))


CHANGES: dict[str, Change] = {
    "from the side": from_the_side,
    "cropped": cropped,
    "relit": relit,
    "covered": covered,
    "from a screen": from_a_screen,
    "all at once": everything,
}


def _extent(area: float, log_aspect: float) -> tuple[float, float]:
    aspect = np.exp(log_aspect)
    return min(1.0, float(np.sqrt(area * aspect))), min(1.0, float(np.sqrt(area / aspect)))


def _homography(source: Values, target: Values) -> list[float]:
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    found: list[float] = np.linalg.solve(np.array(rows, float), target.ravel()).tolist()
    return found


def _image(values: Values) -> Image.Image:
    return Image.fromarray((values.clip(0, 1) * 255 + 0.5).astype(np.uint8))


def _encoded(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def make(photos: list[Path], firsts: list[int], folder: Path, seed: int) -> list[Path]:
    """Make the second photos of some, those of each change after the other."""
    paths = []
    for name, change in CHANGES.items():
        for number, first in enumerate(firsts):
            random = np.random.default_rng((seed, number, len(paths)))
            other = photos[int(random.integers(len(photos)))]
            with Image.open(photos[first]) as image, Image.open(other) as cover:
                seen = change(image.convert("RGB"), random, cover.convert("RGB"))
            paths.append(folder / f"{number:05d}-{name}.png")
            seen.save(paths[-1])
    return paths


def found_first(pool: Encoded, seconds: Encoded, firsts: list[int]) -> NDArray[np.bool_]:
    """Tell, for each second photo and stage, whether the first one is the first answer.

    Returns:
        bool, shape = (second photos, stages); the last column: whether it is a candidate at all.
    """
    vectors, codes = pool
    others, other_codes = seconds
    middle = vectors.mean(axis=0)
    embeddings, queries = centred(vectors, middle), centred(others, middle)
    details = asked = None
    if codes is not None and other_codes is not None:
        middle = details_of(codes).mean(axis=0)
        details = centred(details_of(codes), middle)
        asked = centred(details_of(other_codes), middle)
    found = np.zeros((len(queries), len(STAGES)), bool)
    for row, query in enumerate(queries):
        first = firsts[row % len(firsts)]
        best = np.argsort(-(embeddings @ query), kind="stable")[:CANDIDATES]
        answers = [best[0]] * 3
        if details is not None and asked is not None:
            answers[1] = best[np.argmax(details[best] @ asked[row])]
            answers[2] = best[np.argmax(final_scores(asked[row], details[best]))]
        found[row] = [*(one == first for one in answers), first in best]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path, help="a folder; all photos below it are searched")
    parser.add_argument("--model", action="append", default=[], help="an encoder; may be repeated")
    parser.add_argument("--firsts", type=int, default=400, help="photos that are seen again")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = [one for one in scan_files(arguments.photos) if isinstance(one, FoundFile)]
    photos = sorted(arguments.photos / one.path for one in found)
    drawn = np.random.default_rng(arguments.seed).permutation(len(photos))[: arguments.firsts]
    firsts = list(map(int, drawn))
    with tempfile.TemporaryDirectory() as folder:
        seconds = make(photos, firsts, Path(folder), arguments.seed)
        print(f"{len(seconds)} second photos of {len(firsts)}, among {len(photos)}")
        for model in arguments.model or ["default"]:
            encoder = Encoder(model, threads=1)
            print(f"{model}: encoding", file=sys.stderr)
            result = found_first(encoded(photos, encoder), encoded(seconds, encoder), firsts)
            print(f"\n{model:<14} " + " ".join(f"{stage:>22}" for stage in STAGES))
            for place, name in enumerate([*CHANGES, "mean"]):
                own = result[place * len(firsts) :][: len(firsts)] if name in CHANGES else result
                print(f"{name:<14} " + " ".join(f"{one:>22.3f}" for one in own.mean(axis=0)))


if __name__ == "__main__":
    main()
