"""Fit what turns the scores of `suggest` into probabilities, and tell how true they are.

    python tests/benchmarks/labels_calibration.py SET... --motifs FOLDER... --work DIR

Each SET is a folder of classes; every class is a label. Of the photos in FOLDER, single ones stand
for things that somebody has many photos of: crops of each, turned and in other light, are a label,
too. Some thousand times a label, examples and a collection around them are drawn, for which nothing
else is as it was: sets, sizes and fractions; a part of the labels gets ten answers as well. Then
both lines of constants in `infer/labels/classifier.py` are fitted to them by a logistic regression
in which a label weighs as the root of how many photos show it: were all photos to weigh the same,
labels of many would decide; were all labels to, those of few. For sets that were left out of the
fit it promises too much or too little: what mends that goes into the constants. DIR keeps vectors
and made photos.
"""

from __future__ import annotations

import argparse
import itertools
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.labels.classifier import Centre, Separation, circumstances, separate
from PIL import Image, ImageEnhance, ImageOps

COUNTS = (1, 1, 2, 3, 3, 4, 5, 5, 7, 10, 10, 14, 20, 30)  # examples, some more often
MOTIFS = 30  # of each folder
VIEWS = (9, 12, 16, 20)
FEWEST = 6  # photos of a class
SAMPLE = 2000
FOLDS = 4
RIDGE = 0.9
RECENT = 10  # answers
EDGES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.01)


@dataclass
class Drawn:
    """What one label gave: rows of the regression."""

    of_set: str
    examples: int
    asked: bool
    offset: Any
    slope: Any
    scores: Any
    shows: Any
    weight: Any


def gather(sets: list[Path], motifs: list[Path], work: Path) -> tuple[Any, Any, Any, Any]:
    """Index all sets; give embeddings, details, the set and the class of each photo."""
    views = work / "views"
    if motifs and not views.exists():
        make_views(motifs, views)
    folders = [*sets, *([views] if motifs else [])]
    fresh = not (work / "index").exists()
    with ImageIndex.create(work / "index") if fresh else ImageIndex.open(work / "index") as index:
        index.add(folders)
        photos = list(index.photos())
        ids, embeddings = index.vectors()
        details = index.details(ids.tolist())
    of_set = np.array([str(next(f for f in folders if f in p.path.parents)) for p in photos])
    return embeddings, details, of_set, np.array([str(photo.path.parent) for photo in photos])


def make_views(motifs: list[Path], to: Path) -> None:
    draw = random.Random(0)
    for folder in motifs:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        for number, path in enumerate(draw.sample(paths, min(MOTIFS, len(paths)))):
            place = to / f"{folder.name}-{number}"
            place.mkdir(parents=True)
            image = Image.open(path).convert("RGB")
            for n in range(draw.choice(VIEWS)):
                view(image, draw).save(place / f"{n}.jpg")


def view(image: Image.Image, draw: random.Random) -> Image.Image:
    share, stretch = draw.uniform(0.35, 1), np.exp(draw.uniform(-0.15, 0.15))
    size = [
        min(side, int(side * share**0.5 * by))
        for side, by in zip(image.size, (stretch, 1 / stretch), strict=True)
    ]
    left, top = (draw.randint(0, a - b) for a, b in zip(image.size, size, strict=True))
    image = image.rotate(draw.uniform(-12, 12), Image.Resampling.BICUBIC)
    image = image.crop((left, top, left + size[0], top + size[1]))
    if draw.random() < 0.5:
        image = ImageOps.mirror(image)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = change(image).enhance(draw.uniform(0.6, 1.4))
    return image


def draw_label(photos: Any, by_set: dict[str, list[str]], generator: Any) -> Drawn | None:
    """Draw a label, examples and a collection; None where there are too few photos."""
    embeddings, details, sets, classes = photos
    own_set = str(generator.choice(sorted(by_set)))
    name = generator.choice(by_set[own_set])
    shown = generator.permutation(np.flatnonzero(classes == name))
    possible = [count for count in COUNTS if count + 3 <= len(shown)]
    if not possible:
        return None
    count = int(generator.choice(possible))
    examples, rest = shown[:count], shown[count:]
    around = classes != name
    if generator.random() < 0.35:  # a collection of few kinds
        few = generator.permutation(sorted(set(sets)))[: generator.integers(0, 3)]
        around &= np.isin(sets, [*few, own_set])
    others = generator.permutation(np.flatnonzero(around))
    if generator.random() < 0.5:
        rest = rest[: max(3, int(len(rest) * generator.random()))]
    if generator.random() < 0.5:
        part = np.exp(generator.uniform(np.log(0.003), np.log(0.35)))
        wanted = int(len(rest) * (1 - part) / part)
    else:
        wanted = int(np.exp(generator.uniform(np.log(300), np.log(8000))))
    collection = generator.permutation(np.concatenate([rest, others[: max(100, wanted)]]))
    if generator.random() < 0.2:
        details = details[:, :0]
    asked = count <= 10 and generator.random() < 0.4
    told = np.empty(0, np.int64)
    found, scores = score(embeddings, details, examples, told, collection, generator)
    if asked:  # ten that stand somewhere near where the photos of the label end
        order = np.argsort(-scores)
        end = np.exp(generator.uniform(np.log(0.1), np.log(1.5))) * (classes[order] == name).sum()
        first = max(0, int(end) - RECENT // 2)
        answered = order[first : first + RECENT]
        yes = classes[collection[answered]] == name
        examples = np.concatenate([examples, collection[answered][yes]])
        told = collection[answered][~yes]
        collection = np.delete(collection, answered)
        if (classes[collection] == name).sum() < 2:
            return None
        found, scores = score(embeddings, details, examples, told, collection, generator)
    shows = classes[collection] == name
    take, weight = some_of(scores, shows, generator)
    scores = (scores[take] - found.middle) / found.spread
    weight /= np.sqrt(3 + shows.sum())
    return Drawn(own_set, len(examples), asked, *circumstances(found), scores, shows[take], weight)


def score(
    embeddings: Any, details: Any, shown: Any, told: Any, collection: Any, generator: Any
) -> tuple[Separation, Any]:
    sample = generator.permutation(collection)[:SAMPLE]
    centre = Centre(embeddings[sample].mean(axis=0), details[sample].mean(axis=0))
    parts = [
        centre.features(embeddings[ids], details[ids]) for ids in (shown, told, sample, collection)
    ]
    found = separate(*parts[:3])
    return found, parts[3] @ found.weights


def some_of(scores: Any, shows: Any, generator: Any) -> tuple[Any, Any]:
    """Draw photos, more of those that matter, and what each weighs to stand for all."""
    order = np.argsort(-scores)
    others = order[~shows[order]]
    parts = (
        (generator.permutation(np.flatnonzero(shows)), 20),
        (others[:15], 15),
        (generator.permutation(others[15:215]), 20),
        (generator.permutation(others[215:]), 8),
    )
    taken = np.concatenate([part[:most] for part, most in parts])
    weights = [np.full(min(most, len(part)), max(1.0, len(part) / most)) for part, most in parts]
    return taken, np.concatenate(weights)


def rows(drawn: list[Drawn]) -> tuple[Any, Any, Any]:
    made = [
        np.hstack([np.tile(one.offset, (len(one.scores), 1)), np.outer(one.scores, one.slope)])
        for one in drawn
    ]
    joined = [np.concatenate([getattr(one, name) for one in drawn]) for name in ("shows", "weight")]
    return np.concatenate(made), joined[0].astype(float), joined[1]


def regression(x: Any, y: Any, weight: Any, ridge: float = RIDGE) -> Any:
    """Fit logistic regression by Newton's method; columns are penalised as if standardised."""
    penalty = ridge * x.std(axis=0) ** 2 + 1e-6
    solution = np.zeros(x.shape[1])
    loss = np.inf
    for _ in range(30):
        logits = x @ solution
        p = 0.5 * (1 + np.tanh(logits / 2))
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.solve(curve, x.T @ (weight * (p - y)) + penalty * solution)
        before = loss
        for halving in range(12):
            moved = solution - step / 2**halving
            logits = x @ moved
            loss = weight @ (np.logaddexp(0, logits) - y * logits)
            loss += (penalty * moved**2).sum() / 2
            if loss <= before:
                break
        solution = moved
        if before - loss < 1e-6 * loss:
            break
    return solution


def left_out(drawn: list[Drawn]) -> Any:
    """Give logits of rows, each by what was fitted without its set."""
    sets = np.random.default_rng(1).permutation(sorted({one.of_set for one in drawn}))
    fold_of = {name: n % FOLDS for n, name in enumerate(sets)}
    logits: list[Any] = [None] * len(drawn)
    for fold in range(FOLDS):
        solution = regression(*rows([one for one in drawn if fold_of[one.of_set] != fold]))
        for n, one in enumerate(drawn):
            if fold_of[one.of_set] == fold:
                logits[n] = rows([one])[0] @ solution
    return logits


def tell(name: str, drawn: list[Drawn], logits: list[Any]) -> None:
    if not drawn:
        return
    p = 1 / (1 + np.exp(-np.concatenate(logits)))
    _, y, weight = rows(drawn)
    told = []
    off = mass = 0.0
    for low, high in itertools.pairwise(EDGES):
        inside = (p >= low) & (p < high)
        if inside.sum() >= 50:
            said, true = (np.average(v[inside], weights=weight[inside]) for v in (p, y))
            told.append(f"{said:.2f} > {true:.2f}")
            off += abs(said - true) * weight[inside].sum()
            mass += weight[inside].sum()
    loss = weight @ (np.logaddexp(0, np.concatenate(logits)) - y * np.concatenate(logits))
    print(
        f"{name:<12} {len(drawn):5} labels, loss {loss / weight.sum():.4f}, "
        f"calibration error {off / max(mass, 1e-9):.3f}; {'  '.join(told)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", type=lambda name: Path(name).resolve())
    parser.add_argument("--motifs", nargs="*", default=[], type=lambda name: Path(name).resolve())
    parser.add_argument("--work", type=lambda name: Path(name).resolve(), required=True)
    parser.add_argument("--labels", type=int, default=3000)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    photos = gather(asked.sets, asked.motifs, asked.work)
    *_, sets, classes = photos
    names = {name: str(of) for name, of in zip(classes, sets, strict=True)}
    by_set: dict[str, list[str]] = {}
    for name, of in sorted(names.items()):
        if (classes == name).sum() >= FEWEST:  # smaller classes are only strangers
            by_set.setdefault(of, []).append(name)
    print(f"{len(classes):,} photos, {len(names):,} classes, {len(by_set)} sets", flush=True)
    generator = np.random.default_rng(0)
    drawn: list[Drawn] = []
    while len(drawn) < asked.labels:
        if one := draw_label(photos, by_set, generator):
            drawn.append(one)
            if len(drawn) % 500 == 0:
                print(f"{len(drawn):,} labels drawn", flush=True)

    logits = left_out(drawn)
    x, y, weight = rows(drawn)
    flat = np.concatenate(logits)
    moved, factor = regression(np.stack([np.ones(len(flat)), flat], axis=1), y, weight, 0.0)
    print(f"of sets left out, logits are {moved:+.3f} and times {factor:.3f}")
    logits = [moved + factor * own for own in logits]
    tell("all", drawn, logits)
    for low, high in ((1, 1), (2, 4), (5, 8), (9, 15), (16, 40)):
        chosen = [n for n, one in enumerate(drawn) if low <= one.examples <= high and not one.asked]
        tell(f"{low} to {high}", [drawn[n] for n in chosen], [logits[n] for n in chosen])
    chosen = [n for n, one in enumerate(drawn) if one.asked]
    tell("answered", [drawn[n] for n in chosen], [logits[n] for n in chosen])

    solution = regression(x, y, weight) * factor
    solution[0] += moved
    cut = len(drawn[0].offset)
    for name, part in (("_OFFSET", solution[:cut]), ("_SLOPE", solution[cut:])):
        print(f"{name} = ({', '.join(f'{value:.3f}' for value in part)})")


if __name__ == "__main__":
    main()
