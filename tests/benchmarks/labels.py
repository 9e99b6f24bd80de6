"""How well a label is learnt from a few examples, on labelled folders, and how fast.

    python tests/benchmarks/labels.py ../photos/a ../photos/b --pictures calibration.png

Every class of every folder is a label in one index of all folders, so that each has the others'
photos as strangers. Examples are drawn anew in each round. Beside the classifier stands a search
with the mean of the examples. Intervals are of 95 %, by drawing the classes again (bootstrap).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.evaluation.labelled import labelled_photos
from imgsim_edge.infer.labels.classifier import Centre, learn

COUNTS = (1, 3, 5, 10, 30)
LEFT = 5  # photos of a class that no example is drawn from, at least
SAMPLE = 2000
EDGES = (0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1)


def ranked(scores: Any, right: Any) -> tuple[float, float, int]:
    """Give average precision, precision of the first ten, and photos looked at for 95 %."""
    hits = right[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    needed = int(np.ceil(0.95 * hits.sum()))
    effort = int(np.searchsorted(np.cumsum(hits), needed)) + 1
    return float(precision[hits].mean()), float(hits[:10].mean()), effort


def interval(by_class: list[list[float]]) -> str:
    means = np.array([np.mean(values) for values in by_class])
    drawn = np.random.default_rng(0).choice(means, (1000, len(means))).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{means.mean():.3f} ({low:.3f} to {high:.3f})"


def quality(folders: list[Path], rounds: int, most: int | None, picture: Path | None) -> None:
    with (
        tempfile.TemporaryDirectory() as place,
        ImageIndex.create(Path(place) / "index") as index,
    ):
        index.add(folders)
        photos = list(index.photos())
        ids, embeddings = index.vectors()
        details = index.details(ids.tolist())
    label_of = {}
    for number, folder in enumerate(folders):
        found = labelled_photos(folder)
        names = zip(found.paths, found.labels, strict=True)
        label_of |= {path: f"{number}/{label}" for path, label in names}
    labels = np.array([label_of.get(photo.path, "") for photo in photos])
    classes = [name for name in np.unique(labels) if name]
    print(f"{len(photos):,} photos, {len(classes)} labels, {details.shape[1]} details a photo")
    random = np.random.default_rng(0)
    drawn = random.permutation(len(ids))[:SAMPLE]
    centre = Centre(embeddings[drawn].mean(axis=0), details[drawn].mean(axis=0))
    features = centre.features(embeddings, details)
    plain = Centre(centre.embedding, details[0, :0]).features(embeddings, details[:, :0])
    everything = []
    for count in COUNTS:
        fitting = [name for name in classes if (labels == name).sum() >= count + LEFT]
        if most is not None and len(fitting) > most:
            fitting = sorted(random.choice(fitting, most, replace=False))
        results: dict[str, list[list[tuple[float, float, int]]]] = {"mean": [], "learnt": []}
        chances, truths, seconds = [], [], []
        for name in fitting:
            for values in results.values():
                values.append([])
            for _ in range(rounds):
                examples = random.choice(np.flatnonzero(labels == name), count, replace=False)
                rest = np.setdiff1d(np.arange(len(labels)), examples)
                right = labels[rest] == name
                results["mean"][-1].append(ranked(plain[rest] @ plain[examples].mean(0), right))
                began = time.perf_counter()
                background = random.permutation(rest)[:SAMPLE]
                learnt = learn(features[examples], features[:0], features[background])
                scores = learnt.scores(features[rest])
                seconds.append(time.perf_counter() - began)
                results["learnt"][-1].append(ranked(scores, right))
                chances.append(learnt.probabilities(scores))
                truths.append(right)
        if not fitting:
            continue
        print(f"\n{count} examples, {len(fitting)} labels, {np.median(seconds) * 1e3:.0f} ms each")
        saved = [
            float(np.mean([a[2] - b[2] for a, b in zip(*pair, strict=True)]))
            for pair in zip(results["mean"], results["learnt"], strict=True)
        ]
        for way, outcome in results.items():
            precision, first, effort = (
                [[one[n] for one in rows] for rows in outcome] for n in range(3)
            )
            print(
                f"  {way:<7} AP {interval(precision)}, first ten {interval(first)}, "
                f"photos to look at for 95 %: {np.median([np.mean(one) for one in effort]):,.0f}"
            )
        print(f"  answers saved on the way to 95 %: {interval([[value] for value in saved])}")
        p, y = np.concatenate(chances), np.concatenate(truths)
        bins = np.digitize(p, EDGES[1:-1])
        shown = [n for n in range(len(EDGES) - 1) if (bins == n).sum() >= 50]
        points = [(p[bins == n].mean(), y[bins == n].mean()) for n in shown]
        print("  said > true: " + "  ".join(f"{a:.2f} > {b:.2f}" for a, b in points))
        everything.append((count, points))
    if picture:
        draw(everything, picture)


def draw(curves: list[tuple[int, list[tuple[float, float]]]], path: Path) -> None:
    """Draw what was said against what was true."""
    from PIL import Image, ImageDraw

    side, edge = 480, 40
    image = Image.new("RGB", (side + 2 * edge + 120, side + 2 * edge), "white")
    pen = ImageDraw.Draw(image)

    def at(x: float, y: float) -> tuple[float, float]:
        return edge + x * side, edge + (1 - y) * side

    pen.rectangle((*at(0, 1), *at(1, 0)), outline="gray")
    pen.line((at(0, 0), at(1, 1)), fill="gray")
    for n in range(11):
        pen.text((at(n / 10, 0)[0] - 8, edge + side + 6), f"{n / 10:.1f}", fill="black")
        pen.text((8, at(0, n / 10)[1] - 6), f"{n / 10:.1f}", fill="black")
    pen.text((edge, 10), "fraction that is right, over the probability that was said", fill="black")
    for n, (count, points) in enumerate(curves):
        colour = ("crimson", "darkorange", "green", "royalblue", "purple")[n]
        pen.line([at(x, y) for x, y in points], fill=colour, width=2)
        for x, y in points:
            left, top = at(x, y)
            pen.ellipse((left - 3, top - 3, left + 3, top + 3), fill=colour)
        pen.text((edge + side + 12, edge + 20 * n), f"{count} examples", fill=colour)
    image.save(path)
    print(f"\nwrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=lambda name: Path(name).resolve())
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--labels", type=int, help="how many, drawn at random; all by default")
    parser.add_argument("--pictures", type=Path)
    asked = parser.parse_args()
    quality(asked.folders, asked.rounds, asked.labels, asked.pictures)


if __name__ == "__main__":
    main()
