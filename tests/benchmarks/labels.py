"""How well a label is learnt from a few examples, and how true are its probabilities.

    python tests/benchmarks/labels.py ../photos/a ../photos/b --results DIR --picture it.png

Every class of every folder is a label in one index of all folders, so that each has the others'
photos as strangers. Examples are drawn anew in each round. Beside the classifier stands a search
with the mean of the examples. Intervals are of 95 %, by drawing the classes again (bootstrap).

DIR keeps the index and one line for each draw: a run that was stopped goes on there, and
``--before DIR2`` draws the calibration of another version's results on the left of the picture.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
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
FIRST = 2  # of the bins that count for the calibration error: photos that are said to be likelier
FEWEST = 50  # photos in a bin that is shown

Record = dict[str, Any]


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


def run(folders: list[Path], rounds: int, most: int | None, place: Path) -> None:
    """Draw what is not in the results yet."""
    place.mkdir(parents=True, exist_ok=True)
    with (
        ImageIndex.open(place / "index")
        if (place / "index").exists()
        else ImageIndex.create(place / "index")
    ) as index:
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
    done = {(one["examples"], one["label"], one["draw"]) for one in read(place)}
    chosen = {}
    for count in COUNTS:
        fitting = [name for name in classes if (labels == name).sum() >= count + LEFT]
        if most is not None and len(fitting) > most:
            fitting = sorted(random.choice(fitting, most, replace=False))
        chosen[count] = fitting
    # Draw by draw, so that what is there when a run is stopped holds all labels.
    with (place / "draws.jsonl").open("a") as out:
        for draw in range(rounds):
            for count in COUNTS:
                for name in chosen[count]:
                    if (count, name, draw) not in done:
                        record = one_draw(features, plain, labels == name, count, draw)
                        record |= {"examples": count, "label": str(name), "draw": draw}
                        out.write(json.dumps(record) + "\n")
                        out.flush()


def one_draw(features: Any, plain: Any, shows: Any, count: int, draw: int) -> Record:
    """Learn from examples, and tell how the others are ranked and what is said of them."""
    random = np.random.default_rng((draw, count, int(np.flatnonzero(shows)[0])))
    examples = random.choice(np.flatnonzero(shows), count, replace=False)
    rest = np.setdiff1d(np.arange(len(shows)), examples)
    right = shows[rest]
    began = time.perf_counter()
    background = random.permutation(rest)[:SAMPLE]
    learnt = learn(features[examples], features[:0], features[background])
    scores = learnt.scores(features[rest])
    seconds = time.perf_counter() - began
    said = learnt.probabilities(scores)
    bins = np.digitize(said, EDGES[1:-1])
    return {
        "mean": ranked(plain[rest] @ plain[examples].mean(0), right),
        "learnt": ranked(scores, right),
        "seconds": round(seconds, 3),
        "photos": np.bincount(bins, minlength=len(EDGES) - 1).tolist(),
        "said": np.bincount(bins, said, len(EDGES) - 1).round(4).tolist(),
        "true": np.bincount(bins, right, len(EDGES) - 1).tolist(),
    }


def read(place: Path) -> list[Record]:
    path = place / "draws.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def tell(records: list[Record]) -> None:
    """Print what came out, a part for each number of examples."""
    for count in COUNTS:
        own = [one for one in records if one["examples"] == count]
        if not own:
            continue
        by_label: dict[str, list[Record]] = defaultdict(list)
        for one in own:
            by_label[one["label"]].append(one)
        draws = [len(rows) for rows in by_label.values()]
        print(
            f"\n{count} examples, {len(by_label)} labels, each drawn "
            f"{min(draws)} to {max(draws)} times, "
            f"{np.median([one['seconds'] for one in own]) * 1e3:.0f} ms each"
        )
        for way in ("mean", "learnt"):
            precision, first, effort = (
                [[one[way][n] for one in rows] for rows in by_label.values()] for n in range(3)
            )
            looks = np.median([np.mean(values) for values in effort])
            print(
                f"  {way:<7} AP {interval(precision)}, first ten {interval(first)}, "
                f"photos to look at for 95 %: {looks:,.0f}"
            )
        saved = [[one["mean"][2] - one["learnt"][2] for one in rows] for rows in by_label.values()]
        print(f"  answers saved on the way to 95 %: {interval(saved)}")
        print(f"  calibration error {calibration_error(own):.3f}; said > true: ", end="")
        print("  ".join(f"{a:.2f} > {b:.2f}" for a, b in curve(own)))


def sums(records: list[Record]) -> tuple[Any, Any, Any]:
    return tuple(
        np.sum([one[name] for one in records], axis=0) for name in ("photos", "said", "true")
    )


def curve(records: list[Record]) -> list[tuple[float, float]]:
    """Give what was said and what was true, bin by bin."""
    photos, said, true = sums(records)
    shown = photos >= FEWEST
    return list(zip(said[shown] / photos[shown], true[shown] / photos[shown], strict=True))


def calibration_error(records: list[Record]) -> float:
    """Average the distance of said and true over the photos that are said to be likely at all."""
    photos, said, true = (part[FIRST:] for part in sums(records))
    return float(np.abs(said - true).sum() / photos.sum())


def draw(panels: list[tuple[str, list[Record]]], path: Path) -> None:
    """Draw what was said against what was true, a panel for each version."""
    from PIL import Image, ImageDraw

    side, edge = 360, 40
    wide = side + 2 * edge
    image = Image.new("RGB", (wide * len(panels), wide), "white")
    pen = ImageDraw.Draw(image)
    for number, (title, records) in enumerate(panels):
        left, top = wide * number + edge, edge

        def at(x: float, y: float, left: int = left, top: int = top) -> tuple[float, float]:
            return left + x * side, top + (1 - y) * side

        pen.rectangle((*at(0, 1), *at(1, 0)), outline="gray")
        pen.line((at(0, 0), at(1, 1)), fill="gray")
        for n in range(0, 11, 2):
            pen.text((at(n / 10, 0)[0] - 8, top + side + 6), f"{n / 10:.1f}", fill="black")
            pen.text((left - 26, at(0, n / 10)[1] - 6), f"{n / 10:.1f}", fill="black")
        pen.text((left, 8), f"{title}right, over what was said", fill="black")
        for n, count in enumerate(COUNTS):
            colour = ("crimson", "darkorange", "green", "royalblue", "purple")[n]
            own = [one for one in records if one["examples"] == count]
            if not own:
                continue
            points = curve(own)
            pen.line([at(x, y) for x, y in points], fill=colour, width=2)
            for x, y in points:
                a, b = at(x, y)
                pen.ellipse((a - 3, b - 3, a + 3, b + 3), fill=colour)
            told = f"{count} examples: {calibration_error(own):.2f}"
            pen.text((at(0, 1)[0] + 8, top + 6 + 14 * n), told, fill=colour)
    image.quantize(32).save(path, optimize=True)
    print(f"\nwrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=lambda name: Path(name).resolve())
    parser.add_argument("--results", type=Path, required=True, help="where draws are kept")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--labels", type=int, help="how many, drawn at random; all by default")
    parser.add_argument("--before", type=Path, help="results of another version, for the picture")
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    if asked.folders:
        run(asked.folders, asked.rounds, asked.labels, asked.results)
    records = read(asked.results)
    tell(records)
    if asked.picture:
        before = [("before: ", read(asked.before))] if asked.before else []
        draw([*before, ("after: " if before else "", records)], asked.picture)


if __name__ == "__main__":
    main()
