"""What a training leaves behind in its folder, and how it is read again.

========================  ==========================================================================
``config.json``           data, settings, versions of the packages; written first
``split.csv``             which photo is in which part
``classes.json``          class names, in the order of the network's outputs
``classifier.keras``      the network with the best weights; written last but for the report
``history.csv``           a row for each epoch
``metrics.json``          numbers of the test part
``report.html``           the same to look at
``state/``                what ``--resume`` needs: checkpoints, a given split; removed at the end
========================  ==========================================================================
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from ..infer.errors import UsageError
from ..infer.files import replacing
from .errors import RunError

CONFIG, SPLIT, CLASSES = "config.json", "split.csv", "classes.json"
CLASSIFIER, HISTORY, METRICS, REPORT = (
    "classifier.keras",
    "history.csv",
    "metrics.json",
    "report.html",
)
STATE = "state"
_STATE_FILE, _GIVEN_SPLIT = "state.json", "given-split.csv"  # in the state folder
PLAIN, LINEAR = "plain", "linear"  # recipes
FORMAT = 1  # of the folder; a newer one is refused
LARGEST_SEED = 2**32 - 1  # that numpy.random.seed takes

_PACKAGES = (  # those whose versions decide the result
    "imgsim-edge",
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "ml-dtypes",
    "protobuf",
    "h5py",
    "albumentations",
    "albucore",
    "opencv-python-headless",
    "scipy",
    "numpy",
    "pillow",
    "tf2onnx",
    "onnx",
    "onnxruntime",
)


@dataclass(frozen=True)
class Settings:
    """Everything that decides how a classifier is trained.

    The linear recipe goes by backbone, width, image_size, weights, embedding_units, seed and
    threads.

    Attributes:
        recipe: ``"plain"``, for the classes of the data, or ``"linear"``, for photos of any kind.
        backbone: a key of ``network.BACKBONES``.
        width: multiplier of its channel counts.
        image_size: side of the photos in pixels.
        weights: ``"imagenet"``, ``"none"`` or a file.
        embedding_units: numbers in an embedding.
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

    Raises:
        UsageError: a value that nothing can be trained with.
    """

    recipe: str = PLAIN
    backbone: str = "mobilenet"
    width: float = 1.0
    image_size: int = 224
    weights: str = "none"
    embedding_units: int = 64
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

    def __post_init__(self) -> None:
        for name, value in (
            ("width", self.width),
            ("head rate", self.head_rate),
            ("tune rate", self.tune_rate),
        ):
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"the {name} must be a number above 0, not {value:g}")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise UsageError(f"the seed must be from 0 to {LARGEST_SEED}, not {self.seed}")


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
    def state_path(self) -> Path:
        """Where it is written how far the run is; there from the first checkpoint to the end."""
        return self.state_folder / _STATE_FILE

    @property
    def given_split_path(self) -> Path:
        """Where a split file lies that the run was started with; it may begin anew after a kill."""
        return self.state_folder / _GIVEN_SPLIT

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


def create_run(
    folder: Path, data: Sequence[Path], settings: Settings, split_file: Path | None = None
) -> Run:
    """Start a new run folder.

    Args:
        folder: must be new or empty.
        data: what is trained on.
        settings: how.
        split_file: a split to use, of which the folder keeps a copy.

    Raises:
        RunError: the folder is not empty or cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(
                f"{folder} exists already: choose another folder, or go on with "
                f"{resume_command(folder)}"
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
    try:
        if split_file is not None:
            write_whole(run.given_split_path, lambda part: shutil.copyfile(split_file, part))
        write_json(folder / CONFIG, content)
    except RunError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return run


def make_state_folder(run: Run) -> None:
    """Make the folder for checkpoints and pixels, if it is gone.

    Raises:
        RunError: it cannot be made.
    """
    try:
        run.state_folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write to {run.folder}: {error.strerror}") from error


def open_run(folder: Path) -> Run:
    """Open a run folder, finished or not.

    Raises:
        RunError: it is none, it is damaged, or it was written by a newer version.
    """
    if not os.path.isfile(folder / CONFIG):  # noqa: PTH113 - no error for a name that none can have
        raise RunError(
            f"{folder} is no training run: it has no {CONFIG} (make one with `imgsim-edge train`)"
        )
    content = read_json(folder / CONFIG)
    try:
        if content["format"] > FORMAT:
            raise RunError(f"{folder} was written by a newer imgsim-edge: update this one")
        data = tuple(map(Path, _texts(content["data"])))
        _texts(list(content["packages"].values()))
        return Run(folder, data, _settings(content["settings"]), content["packages"])
    except (KeyError, TypeError, AttributeError, UsageError) as error:
        raise RunError(f"{folder / CONFIG} is damaged: start the training again") from error


def resume_command(folder: Path) -> str:
    """Give the command that goes on with a run, quoted so that a shell takes it."""
    return f"imgsim-edge train --resume {shlex.quote(str(folder))}"


def has_checkpoint(run: Run) -> bool:
    """Tell whether a run is unfinished and has learnt anything that it could go on from."""
    return run.state_path.is_file()


def read_json(path: Path) -> Any:
    """Read a JSON file of a run.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
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
    try:
        with replacing(path) as part:
            write(part)
    except (OSError, RuntimeError) as error:  # h5py wraps a full disk in a RuntimeError
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise RunError(f"cannot write {path}: {reason}") from error


def remove_state(run: Run) -> None:
    """Remove what only an unfinished run needs."""
    with suppress(OSError):
        run.state_path.unlink()  # first: a kill on the way must not undo the end
    shutil.rmtree(run.state_folder, ignore_errors=True)


def _write_text(path: Path, text: str) -> None:
    # Names of files need not be valid UTF-8; this gives their bytes back.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        file.write(text)


def _settings(content: Mapping[str, Any]) -> Settings:
    """Read settings; what the version that wrote them did not know has its default.

    Raises:
        TypeError: a value is of another type than its default.
    """
    defaults = {field.name: field.default for field in fields(Settings)}
    own: dict[str, Any] = {}
    for name, value in content.items():
        if name not in defaults:
            continue
        kind = type(defaults[name])
        if type(value) is kind or (kind is float and type(value) is int):
            own[name] = kind(value)
        else:
            raise TypeError(f"{name} is no {kind.__name__}")
    return Settings(**own)


def _texts(values: Any) -> list[str]:
    """Pass on a list of texts; a TypeError for anything else."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("no list of texts")
    return values


def _packages() -> dict[str, str]:
    return {name: version for name in _PACKAGES if (version := _version(name))}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # TensorFlow has one of two names
        return ""
