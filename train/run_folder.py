"""What a training leaves behind in its folder, and how it is read again.

========================  ==========================================================================
``config.json``           data, settings, versions of the packages; written first
``split.csv``             which photo is in which part
``classes.json``          class names, in the order of the network's outputs
``classifier.keras``      the network with the best weights; written last but for the report
``history.csv``           a row for each epoch
``metrics.json``          numbers of the test part
``report.html``           the same to look at
``state/``                checkpoints for ``--resume``; removed at the end
========================  ==========================================================================
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from .errors import RunError

CONFIG, SPLIT, CLASSES = "config.json", "split.csv", "classes.json"
CLASSIFIER, HISTORY, METRICS, REPORT = (
    "classifier.keras",
    "history.csv",
    "metrics.json",
    "report.html",
)
STATE = "state"
PLAIN, GENERAL = "plain", "general"  # recipes
FORMAT = 1  # of the folder; a newer one is refused

_PACKAGES = (  # those whose versions decide the result
    "imgsim-edge",
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "albumentations",
    "opencv-python-headless",
    "numpy",
    "pillow",
    "h5py",
)


@dataclass(frozen=True)
class Settings:
    """Everything that decides how a classifier is trained.

    The general recipe goes by backbone, width, image_size, weights, teachers, seed and threads.

    Attributes:
        recipe: ``"plain"``, for the classes of the data, or ``"general"``, for photos of any kind.
        teachers: ONNX files for the general recipe.
        backbone: a key of ``network.BACKBONES``.
        width: multiplier of its channel counts.
        image_size: side of the photos in pixels.
        weights: ``"imagenet"``, ``"none"`` or a file.
        augment: whether training photos are varied.
        class_weights: whether rare classes count more.
        head_epochs: at most, on the frozen backbone.
        tune_epochs: at most, of fine-tuning.
        tune_depth: convolutions of the backbone that fine-tuning changes, counted from its end.
        batch: photos in a step.
        head_rate: Adam's learning rate at the start of the first phase,
        tune_rate: and of the second; both decay along a half cosine.
        patience: epochs without a better validation loss after which a phase ends.
        seed: of the split, the weights, the order and the augmentation.
        threads: cores.
    """

    recipe: str = PLAIN
    teachers: tuple[str, ...] = ()
    backbone: str = "mobilenet"
    width: float = 1.0
    image_size: int = 224
    weights: str = "none"
    augment: bool = True
    class_weights: bool = True
    head_epochs: int = 8
    tune_epochs: int = 8
    tune_depth: int = 8
    batch: int = 32
    head_rate: float = 1e-3
    tune_rate: float = 1e-5
    patience: int = 4
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class Run:
    """A training's folder.

    Attributes:
        folder: where it is.
        data: the folders or the CSV file that it was trained on.
        settings: how.
        packages: name → version of what did it.
    """

    folder: Path
    data: tuple[Path, ...]
    settings: Settings
    packages: Mapping[str, str]

    @property
    def state_folder(self) -> Path:
        """Where checkpoints and decoded pixels are kept while it runs."""
        return self.folder / STATE

    @property
    def classifier_path(self) -> Path:
        """Where the trained network is."""
        return self.folder / CLASSIFIER

    def classes(self) -> tuple[str, ...]:
        """Read the class names.

        Raises:
            RunError: they are missing or damaged.
        """
        content = read_json(self.folder / CLASSES)
        if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
            raise RunError(f"{self.folder / CLASSES} is damaged: it must be a list of names")
        return tuple(content)


def create_run(folder: Path, data: Sequence[Path], settings: Settings) -> Run:
    """Start a new run folder.

    Raises:
        RunError: the folder is not empty or cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(
                f"{folder} exists already: choose another --out, or go on with --resume {folder}"
            )
        (folder / STATE).mkdir(parents=True)
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror}") from error
    run = Run(folder, tuple(path.resolve() for path in data), settings, _packages())
    content = {
        "format": FORMAT,
        "data": [str(path) for path in run.data],
        "settings": asdict(settings),
        "python": platform.python_version(),
        "packages": dict(run.packages),
    }
    write_json(folder / CONFIG, content)
    return run


def open_run(folder: Path) -> Run:
    """Open a run folder, finished or not.

    Raises:
        RunError: it is none, it is damaged, or it was written by a newer version.
    """
    if not (folder / CONFIG).is_file():
        raise RunError(
            f"{folder} is no training run: it has no {CONFIG} (make one with `imgsim-edge train`)"
        )
    content = read_json(folder / CONFIG)
    try:
        if content["format"] > FORMAT:
            raise RunError(f"{folder} was written by a newer imgsim-edge: update this one")
        known = {field.name for field in fields(Settings)}
        settings = Settings(**{k: v for k, v in content["settings"].items() if k in known})
        data = tuple(Path(path) for path in content["data"])
        return Run(folder, data, settings, content["packages"])
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder / CONFIG} is damaged: start the training again") from error


def read_json(path: Path) -> Any:
    """Read a JSON file of a run.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: the training did not get that far") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error}") from error


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_whole(path, lambda part: _write_text(part, text))


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file, whole or not at all, with the keys of the first row as header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, lambda part: _write_text(part, text.getvalue()))


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` make a file beside ``path``, then put it there in one step.

    Raises:
        RunError: it could not be written, for want of space or permission; what was at ``path``
            before is still there.
    """
    part = path.with_name(f"part-{path.name}")  # the suffix stays: Keras goes by it
    try:
        write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # h5py wraps a full disk in a RuntimeError
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise RunError(f"cannot write {path}: {reason}") from error
    finally:
        part.unlink(missing_ok=True)


def remove_state(run: Run) -> None:
    """Remove what only an unfinished run needs."""
    shutil.rmtree(run.state_folder, ignore_errors=True)


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _packages() -> dict[str, str]:
    return {name: version for name in _PACKAGES if (version := _version(name))}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # TensorFlow has one of two names
        return ""
