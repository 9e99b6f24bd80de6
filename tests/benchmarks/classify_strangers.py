"""How many strangers `classify` tells, and how many photos of its own classes it turns away.

    python tests/benchmarks/classify_strangers.py SET... --weights FILE --keep features.npz

Each SET is a folder of classes. Again and again six classes of a set are drawn, and some photos of
each, as somebody names them; the limit is fitted to them as in an export. Then come all other
photos of these classes, those of other classes of the set, and those of other sets. The network is
MobileNet as it comes, which the linear recipe leaves as it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from imgsim_edge.export.classes import fit_regions
from imgsim_edge.infer.evaluation.labelled import labelled_photos
from imgsim_edge.infer.photos.decode import load_photo
from imgsim_edge.train.network import build_backbone

CLASSES = 6
PHOTOS = (12, 17, 25, 60)  # of each class
VALID = 0.15  # of them
MOST = 80  # photos of a class that are looked at
SIZE, BATCH = 224, 32


def features(sets: list[Path], weights: str, keep: Path) -> None:
    network = build_backbone("mobilenet", 1.0, SIZE, weights)
    vectors, names = [], []
    for folder in sets:
        found = labelled_photos(folder)
        labels = np.array(found.labels)
        chosen = np.concatenate(
            [np.flatnonzero(labels == label)[:MOST] for label in np.unique(labels)]
        )
        for first in range(0, len(chosen), BATCH):
            part = chosen[first : first + BATCH]
            pixels = np.stack([load_photo(found.paths[n], SIZE).pixels for n in part])
            vectors.append(np.asarray(network.predict_on_batch(pixels)))
        names += [(folder.name, labels[n]) for n in chosen]
    np.savez(keep, vectors=np.concatenate(vectors), names=np.array(names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", type=lambda name: Path(name).resolve())
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--keep", type=Path, required=True, help="where features are kept")
    parser.add_argument("--only", nargs="*", help="names of sets that classes are drawn from")
    parser.add_argument("--draws", type=int, default=10, help="for each set and number of photos")
    asked = parser.parse_args()
    if not asked.keep.exists():
        features(asked.sets, asked.weights, asked.keep)
    stored = np.load(asked.keep)
    vectors, (sets, classes) = stored["vectors"], stored["names"].T
    random = np.random.default_rng(0)
    print("photos of a class: own turned away; other classes, other sets called strangers")
    for name in asked.only or np.unique(sets):
        inside = sets == name
        for count in PHOTOS:
            names = [
                label
                for label in np.unique(classes[inside])
                if (inside & (classes == label)).sum() > count + 5
            ]
            if len(names) < 3:
                continue
            told = []
            for _ in range(asked.draws):
                own = random.choice(names, min(CLASSES, len(names)), replace=False)
                trained, valid = [], []
                for label in own:
                    photos = random.permutation(np.flatnonzero(inside & (classes == label)))
                    part = max(1, round(count * VALID))
                    valid.append(photos[:part])
                    trained.append(photos[part:count])
                seen, checked = np.concatenate(trained), np.concatenate(valid)
                of = {label: n for n, label in enumerate(own)}
                places = [
                    np.array([of[label] for label in classes[ids]]) for ids in (seen, checked)
                ]
                regions = fit_regions(
                    vectors[seen], places[0], vectors[checked], places[1], len(own)
                )
                stranger = regions.nearness(vectors) < regions.least
                known = inside & np.isin(classes, own)
                unseen = known.copy()
                unseen[np.concatenate([seen, checked])] = False
                others = inside & ~known
                near = stranger[others].mean() if others.any() else np.nan
                told.append((stranger[unseen].mean(), near, stranger[~inside].mean()))
            away, near, far = np.nanmean(told, axis=0) if len(told) else (np.nan,) * 3
            print(f"{name:<18} {count:3}: {away:.3f}; {near:.3f}, {far:.3f}", flush=True)


if __name__ == "__main__":
    main()
