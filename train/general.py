"""The general recipe: an encoder for photos of any kind, not only of the classes trained on.

A classifier's last layers keep what tells its own classes apart and forget the rest. Here no label
touches the 64 numbers; they learn to keep the *neighbourhoods* that wider features see:

1. Each training photo is seen as it is and varied. Kept are the activations below the blocks that
   are trained, the pooled features, and a teacher's features if there is one.
2. The target: features whitened by what variation moves, the teacher's beside the own.
3. The head starts as a principal component map and learns the targets' cosines.
4. The upper blocks learn them with the head.
5. The head starts again, on the trained blocks' features, and learns to copy their balanced
   principal components: trained on known photos, it moves away from what unknown ones need.
6. The classes' layer is fitted to the 64 numbers, as the run's classifier.

Stages 1 and 4 take nearly all of the time. Nothing is kept of a run that is stopped.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backend import import_keras
from .checkpoint import HEAD
from .errors import DataError, RunError, WeightsError
from .fit import Task, predict
from .neighbourhoods import ACTIVATION_TOP, Floats, Lesson, teach, whitened
from .network import (
    EMBEDDING_UNITS,
    NO_WEIGHTS,
    build_backbone,
    build_head,
    join,
    loss_and_accuracy,
    output_units,
)
from .principal import balanced_map, fold_components, principal_head, unit_rows
from .progress import Progress, say
from .run_folder import HISTORY, Run, write_csv
from .teacher import Teacher
from .views import BATCH, views

START = Lesson(200, 512, 4e-4, decay=1e-3)
TUNE = Lesson(250, 96, 2e-4, decay=1e-4, warm_up=20, average=0.97, neighbours=3)
COPY = Lesson(300, 512, 1e-3, rank=False)


@dataclass(frozen=True)
class Plan:
    """How long and how carefully; the defaults are for tens of thousands of photos.

    Attributes:
        variations: of each photo.
        first_block: of MobileNet's 13, the first that is trained.
        start: the lesson of the head alone.
        tune: of the upper blocks and the head.
        copy: of the new head.
        class_epochs: of the classes' layer.
    """

    variations: int = 1
    first_block: int = 12
    start: Lesson = START
    tune: Lesson = TUNE
    copy: Lesson = COPY
    class_epochs: int = 15


@dataclass(frozen=True)
class View:
    """What one view of all training photos gives.

    Attributes:
        activations: uint8, shape = (photos, height, width, channels), 255 for ACTIVATION_TOP.
        pooled: float32, shape = (photos, features).
        taught: float32, shape = (photos, the teacher's features), None without a teacher.
    """

    activations: NDArray[np.uint8]
    pooled: Floats
    taught: Floats | None


class GeneralTrainer:
    """Trains one run by the general recipe.

    Args:
        run: its folder; activations are kept in its state folder meanwhile.
        task: what to learn.
        paths: of all photos.
        plan: how.

    Raises:
        DataError: too few training photos, or no photo to validate on.
        WeightsError: of the pretrained weights or the teacher, or there are none to start from.
    """

    def __init__(self, run: Run, task: Task, paths: list[Path], plan: Plan | None = None) -> None:
        own = run.settings
        if len(task.split.train) < EMBEDDING_UNITS:
            raise DataError(
                f"the general recipe needs {EMBEDDING_UNITS} training photos at least, "
                f"there are {len(task.split.train)}"
            )
        if own.weights == NO_WEIGHTS:
            raise WeightsError(
                "the general recipe keeps what pretrained weights see: start it from "
                "--weights imagenet or --weights FILE"
            )
        if not len(task.split.valid):
            raise DataError("every class is too small to split: three distinct photos are needed")
        self._run, self._task, self._settings = run, task, own
        self._paths = [paths[index] for index in task.split.train]
        self._plan = plan or Plan()
        self._teacher = Teacher(Path(own.teacher), own.threads) if own.teacher else None
        self._backbone = build_backbone(own.backbone, own.width, own.image_size, own.weights)
        raw = self.predict(self._backbone, task.split.test, "features of the test photos")
        self._raw_test_features = raw
        self._rows: tuple[dict[str, Any], ...] = ()

    def train(self) -> Any:
        """Do all stages.

        Returns:
            the classifier, a Keras model: pixels → probabilities.

        Raises:
            RunError: the disk has no room for the activations, or a loss is not a number any more.
        """
        plan, seed = self._plan, self._settings.seed
        lower, upper = split_backbone(self._backbone, plan.first_block)
        seen = [self._observe(number, lower, upper) for number in range(1 + plan.variations)]
        targets = target_vectors(seen)
        activations = [view.activations for view in seen]
        pooled = [view.pooled for view in seen]

        head = principal_head(pooled[0], seed)
        loss = teach(head, pooled, targets, plan.start, seed, "head")
        say(f"head: {plan.start.steps} steps, loss {loss:.4f}")
        encoder = import_keras().Model(upper.input, head(upper.output))
        loss = teach(encoder, activations, targets, plan.tune, seed, "upper blocks")
        say(f"upper blocks: {plan.tune.steps} steps, loss {loss:.4f}")

        tuned = _features(upper, activations[0])
        head = principal_head(tuned, seed, balanced=True)
        loss = teach(head, [tuned], [balanced_map(tuned)], plan.copy, seed, "head again")
        say(f"head again: {plan.copy.steps} steps, loss {loss:.4f}")
        return self._classifier(head, tuned)

    def raw_test_features(self) -> Floats:
        """Give the features of the test part before training.

        Returns:
            float32, shape = (photos, channels).
        """
        return self._raw_test_features

    def history(self) -> tuple[dict[str, Any], ...]:
        """Give the rows of ``history.csv``, one for each epoch of the classes' layer."""
        return self._rows

    def predict(self, model: Any, indices: NDArray[np.intp], title: str) -> Floats:
        """Run photos through a model, unvaried.

        Returns:
            float32, shape = (photos, outputs).
        """
        return predict(model, self._task.store, indices, title)

    # Stages --------------------------------------------------------------------------------------

    def _observe(self, number: int, lower: Any, upper: Any) -> View:
        own, count = self._settings, len(self._paths)
        shape = (count, *lower.output_shape[1:])
        file = self._run.state_folder / f"activations-{number}.u8"
        needed, free = int(np.prod(shape)), shutil.disk_usage(file.parent).free
        if needed > free:
            raise RunError(
                f"{file.parent} needs {needed / 1e9:.1f} GB for activations and has "
                f"{free / 1e9:.1f} GB: choose an --out with more room"
            )
        pooled: list[Floats] = []
        taught: list[Floats] = []
        progress = Progress(f"features, view {number + 1}", count)
        lower.jit_compile = upper.jit_compile = False  # XLA would compile longer than it saves
        try:
            # Written as a stream and mapped afterwards: a full disk under a map kills the process.
            with file.open("wb") as stream:
                for small, large in views(
                    self._paths, number, own.seed, own.image_size, own.threads
                ):
                    low = np.asarray(lower.predict_on_batch(small))
                    stream.write((low * (255 / ACTIVATION_TOP) + 0.5).astype(np.uint8).tobytes())
                    pooled.append(np.asarray(upper.predict_on_batch(low)))
                    if self._teacher is not None:
                        taught.append(self._teacher(large))
                    progress.update(sum(map(len, pooled)))
        except OSError as error:
            raise RunError(f"cannot write {file}: {error.strerror}") from error
        progress.close()
        return View(
            np.memmap(file, np.uint8, "r", shape=shape),
            np.concatenate(pooled),
            np.concatenate(taught) if taught else None,
        )

    def _classifier(self, head: Any, tuned: Floats) -> Any:
        """Join the trained parts, and fit the classes' layer to the embeddings."""
        keras = import_keras()
        classes, split, labels = self._task.classes, self._task.split, self._task.labels
        whole = build_head(tuned.shape[1], classes)
        for name, weights in fold_components(head):
            whole.get_layer(name).set_weights(weights)
        classifier = join(self._backbone, whole)
        vectors = np.asarray(head.predict_on_batch(tuned))
        valid = head.predict_on_batch(self.predict(self._backbone, split.valid, "validating"))
        layer = whole.layers[-1]
        scale = float(vectors.std())  # units of one standard deviation are learnt from best
        inputs = keras.Input((EMBEDDING_UNITS,))
        last = keras.layers.Dense(output_units(classes), activation=layer.activation)
        fitted = keras.Model(inputs, last(inputs))
        loss, accuracy = loss_and_accuracy(classes)
        fitted.compile(keras.optimizers.Adam(3e-3), loss, metrics=[accuracy], jit_compile=False)
        self._fit_classes(
            fitted,
            (vectors / scale, labels[split.train]),
            (valid / scale, labels[split.valid]),
        )
        kernel, bias = last.get_weights()
        layer.set_weights([kernel / scale, bias])
        return classifier

    def _fit_classes(
        self, layer: Any, train: tuple[Floats, Any], valid: tuple[Floats, Any]
    ) -> None:
        rows = []
        began = time.monotonic()
        one_column = layer.output_shape[1] == 1
        own, known = (labels[:, None] if one_column else labels for _, labels in (train, valid))
        epochs = self._plan.class_epochs
        history = layer.fit(
            train[0],
            own,
            batch_size=256,
            epochs=epochs,
            verbose=0,
            validation_data=(valid[0], known),
        ).history
        seconds = (time.monotonic() - began) / epochs
        for epoch in range(epochs):
            row: dict[str, Any] = {"phase": HEAD, "epoch": epoch + 1}
            row |= {name: float(values[epoch]) for name, values in history.items()}
            rows.append({**row, "seconds": round(seconds, 1)})
        self._rows = tuple(rows)
        write_csv(self._run.folder / HISTORY, self._rows)


def split_backbone(backbone: Any, first_block: int) -> tuple[Any, Any]:
    """Divide MobileNet below one of its blocks; the parts share its layers.

    Args:
        backbone: from ``build_backbone``.
        first_block: of the upper part, 2 to 13.

    Returns:
        Keras models: pixels → activations, and activations → pooled features. Only the upper one
        is trainable; batch norm keeps its statistics in both.
    """
    keras = import_keras()
    names = [layer.name for layer in backbone.layers]
    cut = names.index(f"conv_pw_{first_block - 1}_relu")
    lower = keras.Model(backbone.input, backbone.layers[cut].output)
    for layer in lower.layers:
        layer.trainable = False
    tensor = inputs = keras.Input(lower.output_shape[1:])
    for layer in backbone.layers[cut + 1 :]:
        fixed = isinstance(layer, keras.layers.BatchNormalization)
        tensor = layer(tensor, training=False) if fixed else layer(tensor)
    return lower, keras.Model(inputs, tensor)


def _features(upper: Any, activations: NDArray[np.uint8]) -> Floats:
    def of(part: NDArray[np.uint8]) -> Floats:
        return np.asarray(upper.predict_on_batch(part * np.float32(ACTIVATION_TOP / 255)))

    return np.concatenate(
        [of(activations[at : at + BATCH]) for at in range(0, len(activations), BATCH)]
    )


def target_vectors(seen: list[View]) -> list[Floats]:
    """Give each view the unit vectors whose cosines are to be learnt.

    Returns:
        float32, each of shape = (photos, features), the teacher's beside the own.
    """
    own = whitened([view.pooled for view in seen])
    taught = [view.taught for view in seen if view.taught is not None]
    if not taught:
        return own
    return [unit_rows(np.hstack(pair)) for pair in zip(own, whitened(taught), strict=True)]
