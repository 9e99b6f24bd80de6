"""Indexing against what one would write with Keras, on the same photos with the same network.

    loop      load_img(target_size=(224, 224)) → model.predict, one photo at a time
    batched   image_dataset_from_directory(batch_size=32) → model.predict
    index     imgsim-edge's own: files to a committed index

The three take turns in one process. TensorFlow has every core, as it does by default. The network
is MobileNet with pooling and two dense layers, its weights random: they change no speed. It needs
the `train` extra.

    python tests/benchmarks/against_keras.py [--photos 48] [--rounds 5] [--model default]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from common import Spent, measured, report
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.benchmark.synthetic import make_photos

SETS = {"12-megapixel": ((4000, 3000), 1), "320 × 240": ((320, 240), 4)}  # size, times --photos
SIZE = (224, 224)


def network() -> Any:
    photos = keras.Input((*SIZE, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, -1)(photos)
    features = keras.applications.MobileNet(include_top=False, weights=None, pooling="avg")(scaled)
    wide = keras.layers.Dense(512, "relu")(features)
    narrow = keras.layers.Dense(64, "relu")(wide)
    return keras.Model(photos, keras.layers.UnitNormalization()(narrow))


def loop(model: Any, paths: list[Path]) -> None:
    for path in paths:
        image = keras.utils.load_img(path, target_size=SIZE)
        model.predict(keras.utils.img_to_array(image)[None], verbose=0)


def batched(model: Any, folder: Path) -> None:
    photos = keras.utils.image_dataset_from_directory(
        folder, labels=None, shuffle=False, image_size=SIZE, batch_size=32, verbose=False
    )
    model.predict(photos, verbose=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--photos", type=int, default=48, help="of 12 megapixels; 4 times as many small"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    model = network()
    with tempfile.TemporaryDirectory() as temporary:
        for name, (size, times) in SETS.items():
            folder = Path(temporary) / name
            paths = make_photos(folder / "photos", options.photos * times, size)
            spent: dict[str, list[Spent]] = {"loop": [], "batched": [], "index": []}
            for number in range(options.rounds + 1):
                with measured() as result:
                    loop(model, paths)
                spent["loop"].append(result)
                with measured() as result:
                    batched(model, paths[0].parent)
                spent["batched"].append(result)
                place = folder / f"index-{number}"
                with ImageIndex.create(place, options.model) as index, measured() as result:
                    index.add([paths[0].parent])
                spent["index"].append(result)
            for results in spent.values():
                results.pop(0)  # warming up
            print(f"\n{len(paths)} photos, {name}, {options.rounds} rounds, model {options.model}")
            for stage, results in spent.items():
                report(f"{stage}, photos a second", [len(paths) / r.seconds for r in results], "/s")
            for stage in ("loop", "batched"):
                pairs = list(zip(spent["index"], spent[stage], strict=True))
                report(f"index / {stage}", [s.seconds / i.seconds for i, s in pairs], "×")
                report(f"index / {stage}, by CPU time", [s.cpu / i.cpu for i, s in pairs], "×")


if __name__ == "__main__":
    main()
