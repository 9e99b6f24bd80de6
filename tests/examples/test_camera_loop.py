"""The camera example: a video file plays the camera."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from imgsim_edge.infer import ImageIndex
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "infer" / "examples" / "camera" / "seen_before.py"


def watch(video: Path, folder: Path, *options: str) -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, SCRIPT, video, "--index", folder, *options],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def video(photographs: dict[str, Image.Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes, the first of which comes again, ten frames a second."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV comes with the extra train")
    file = tmp_path_factory.mktemp("video") / "camera.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 10, (320, 240))
    for name in ("coffee", "astronaut", "rocket", "hubble_deep_field", "coffee"):
        scene = np.asarray(photographs[name].resize((320, 240)))[..., ::-1].copy()
        for _ in range(10):
            writer.write(scene)
    writer.release()
    return file


def test_every_scene_is_told_of_once(video: Path, tmp_path: Path) -> None:
    told = watch(video, tmp_path / "index", "--fps", "2")
    assert [one["frame"] for one in told] == [0, 2, 4, 6]  # the fifth scene is the first again
    with ImageIndex.open(tmp_path / "index") as index:
        assert len(index) == 4
        assert index.verify() == []
    assert watch(video, tmp_path / "index", "--fps", "2") == []


def test_memory_is_bounded(video: Path, tmp_path: Path) -> None:
    told = watch(video, tmp_path / "index", "--fps", "2", "--keep", "2")
    assert len(told) == 5  # the first scene was forgotten when it came again
    with ImageIndex.open(tmp_path / "index") as index:
        assert len(index) == 2
        assert {str(photo.path) for photo in index.photos()} == {t["name"] for t in told[-2:]}
