"""What an unfinished run keeps, so that it can go on after a kill.

The plain recipe keeps a checkpoint of each epoch; the linear one, which takes minutes, nothing but
the decoded photos.

A checkpoint is a Keras file (weights and Adam's state) and the entry in ``state.json`` that names
it. The entry is replaced in one step after the file is complete, so at any instant it names a
checkpoint that is whole.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..backend import import_keras
from ..errors import RunError
from ..run_folder import (
    HISTORY,
    Run,
    has_checkpoint,
    read_json,
    resume_command,
    write_csv,
    write_json,
    write_whole,
)

HEAD, TUNE = "head", "tune"  # the two phases
LAST, BEST = "last", "best"

_START = "backbone.keras"


@dataclass(frozen=True)
class State:
    """How far a run is.

    Attributes:
        phase: ``"head"`` or ``"tune"``.
        epoch: how many epochs of the phase are done.
        best_epoch: the one with the least validation loss, 0 where none is better than what the
            phase started from.
        best_loss: the least validation loss of both phases.
        best_accuracy: validation accuracy where that was.
        head_best: ``best_epoch`` of the first phase, once that is over.
        rows: of ``history.csv``, both phases.
    """

    phase: str = HEAD
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_accuracy: float = 0.0
    head_best: int = 0
    rows: tuple[dict[str, Any], ...] = field(default=())


class Checkpoints:
    """The state of a run, on disk and in memory.

    Args:
        run: its folder.

    Raises:
        RunError: the state is damaged.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._folder = run.state_folder
        self.state = self._read()

    def save(self, model: Any, row: dict[str, Any]) -> None:
        """End an epoch: keep the model, and keep it as the best one if it is.

        Args:
            model: a compiled Keras model.
            row: of ``history.csv``, with ``epoch``, ``val_loss`` and ``val_accuracy``.

        Raises:
            RunError: it could not be written; the checkpoint before is still whole.
        """
        before = self.state
        phase = before.phase
        after = replace(before, epoch=row["epoch"], rows=(*before.rows, row))
        names = [LAST]
        if row["val_loss"] < before.best_loss:
            names.append(BEST)
            after = replace(
                after,
                best_epoch=row["epoch"],
                best_loss=row["val_loss"],
                best_accuracy=row["val_accuracy"],
            )
        try:
            for name in names:
                write_whole(self._file(name, phase, after.epoch), model.save)
            self._write(after)
        except RunError as error:
            if not before.rows:
                raise RunError(
                    f"{error}; nothing is learnt yet: start again in a folder that can be "
                    "written and has more room"
                ) from error
            raise RunError(
                f"{error}; what was learnt until then is kept: "
                f"go on with {resume_command(self._run.folder)}"
            ) from error
        keep = {self._file(LAST, phase, after.epoch), self._file(BEST, phase, after.best_epoch)}
        for path in set(self._folder.glob(f"*-{phase}-*.keras")) - keep:
            path.unlink()

    def begin_tuning(self) -> None:
        """Go from the first phase to the second, whose first task is to beat the first's best."""
        before = self.state
        self._write(replace(before, phase=TUNE, epoch=0, best_epoch=0, head_best=before.best_epoch))

    def last(self) -> Any:
        """Load the model of the last epoch of this phase, with Adam's state."""
        return load_model(self._file(LAST, self.state.phase, self.state.epoch))

    def best(self) -> Any:
        """Load the model of the best epoch of this phase."""
        return load_model(self._file(BEST, self.state.phase, self.state.best_epoch))

    def best_classifier(self) -> Path | None:
        """Find the file of the best epoch of fine-tuning; None where the head's best is as good."""
        state = self.state
        if state.phase == HEAD or not state.best_epoch:
            return None
        return self._file(BEST, TUNE, state.best_epoch)

    def best_head(self) -> Any:
        """Load the best head of the first phase."""
        epoch = self.state.best_epoch if self.state.phase == HEAD else self.state.head_best
        return load_model(self._file(BEST, HEAD, epoch))

    def save_start(self, backbone: Any) -> None:
        """Keep the backbone that the run starts from; its source may go away."""
        write_whole(self._folder / _START, backbone.save)

    def start(self) -> Any | None:
        """Load the backbone that the run started from; None before it was kept."""
        path = self._folder / _START
        return load_model(path) if path.is_file() else None

    def _file(self, name: str, phase: str, epoch: int) -> Path:
        return self._folder / f"{name}-{phase}-{epoch:04d}.keras"

    def _write(self, state: State) -> None:
        write_csv(self._run.folder / HISTORY, state.rows)
        write_json(self._run.state_path, asdict(state))  # last: from here on it counts
        self.state = state

    def _read(self) -> State:
        if not has_checkpoint(self._run):
            return State()
        try:
            content = read_json(self._run.state_path)
            return State(**{**content, "rows": tuple(content["rows"])})
        except (TypeError, KeyError) as error:
            raise RunError(
                f"{self._run.state_path} is damaged: start the training again"
            ) from error


def load_model(path: Path) -> Any:
    """Load a Keras model of a run.

    Raises:
        RunError: it is missing or damaged.
    """
    if not path.is_file():
        raise RunError(f"{path} is missing: the training did not get that far")
    try:
        return import_keras().models.load_model(path)
    except Exception as error:  # zipfile, h5py and Keras have no common base
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"{path} is damaged: {reason}") from error
