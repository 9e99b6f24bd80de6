"""Has this camera seen this before?

    python seen_before.py SOURCE [--fps 2] [--score 0.97] [--keep 10000] [--index DIR]

Looks at a camera N times a second. A picture that is like none it remembers is told of on stdout,
one JSON object a line, and remembered in an index of its own; the oldest are forgotten, so that
memory and disk stay bounded however long it runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from imgsim_edge.infer import ImageIndex, Item
from numpy.typing import NDArray


def frames(source: str, fps: float) -> Iterator[NDArray[np.uint8]]:
    """Give pictures of a source, about ``fps`` a second: uint8, shape = (height, width, 3), RGB.

    Args:
        source: ``picamera2`` (a Raspberry Pi's camera), the number of a camera, or a video file,
            which is gone through as quickly as it can be.
        fps: pictures a second.
    """
    if source == "picamera2":
        from picamera2 import Picamera2

        camera = Picamera2()
        # Its "BGR888" lies in memory in the order red, green, blue.
        camera.configure(camera.create_still_configuration({"format": "BGR888"}))
        camera.start()
        while True:
            yield camera.capture_array()
            time.sleep(1 / fps)
    import cv2

    is_camera = source.isdigit()
    video = cv2.VideoCapture(int(source) if is_camera else source)
    if not video.isOpened():
        raise SystemExit(f"error: cannot open {source}: give picamera2, a number or a video file")
    every = 1 if is_camera else max(1, round((video.get(cv2.CAP_PROP_FPS) or fps) / fps))
    number = 0
    while video.grab():
        if number % every == 0:
            yield cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB)
            if is_camera:
                time.sleep(1 / fps)
        number += 1


def main() -> None:
    """Watch until the source ends or Ctrl-C."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("source")
    options.add_argument("--fps", type=float, default=2.0, help="pictures a second")
    options.add_argument("--score", type=float, default=0.97, help="from which on it is the same")
    options.add_argument("--keep", type=int, default=10_000, help="pictures that are remembered")
    options.add_argument("--index", type=Path, default=Path("seen-before"))
    chosen = options.parse_args()
    with ImageIndex.create(chosen.index) as index:
        remembered = deque(sorted(str(photo.path) for photo in index.photos()))
        for number, frame in enumerate(frames(chosen.source, chosen.fps)):
            [vector] = index.embed([frame])  # once, for the question and for the memory
            best = next(iter(index.similar(vector, k=1)), None)
            if best is not None and best.score >= chosen.score:
                continue
            name = f"{time.time_ns():020d}"
            like = {"name": str(best.path), "score": round(best.score, 4)} if best else None
            payload = {"frame": number, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
            index.upsert([Item(name, vector, payload)])
            remembered.append(name)
            while len(remembered) > chosen.keep:
                index.discard([remembered.popleft()])
            sys.stdout.write(json.dumps({"name": name, **payload, "nearest": like}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
