"""Make thirty photos of twelve: themselves, crops of all and grey copies of some."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

GREY = 6


def main() -> None:
    """Read photos from one folder and write to another."""
    source, target = map(Path, sys.argv[1:])
    target.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(sorted(source.glob("*.jpg"))):
        (target / file.name).write_bytes(file.read_bytes())
        with Image.open(file) as photo:
            width, height = photo.size
            box = (width // 10, height // 10, width - width // 10, height - height // 10)
            photo.crop(box).save(target / f"{file.stem}-crop.jpg", quality=88)
            if number < GREY:
                photo.convert("L").save(target / f"{file.stem}-grey.jpg", quality=88)


if __name__ == "__main__":
    main()
