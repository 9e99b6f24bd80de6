"""The general recipe: an encoder for photos of any kind, not only of the classes trained on.

A classifier's last layers keep what tells its own classes apart and forget the rest. Here the
network learns to see what wider features see, and its 64 numbers to keep the neighbourhoods:

1. Each training photo is seen as it is and varied. Kept are its pixels, the pooled features of the
   network as it starts, and the features of its teachers, if there are any.
2. The target: all these features, whitened by what variation moves, side by side, in coordinates
   of their first principal components.
3. A linear layer on the pooled features starts as the least squares map to the target, and the
   whole network learns with it. Batch norm keeps its statistics and weights.
4. The head of the encoder starts as the balanced principal components of the trained network's
   features. It and the network, without the first blocks, learn to keep the order of these
   features' cosines, in each view by itself, mostly among photos that are near to each other, where
   64 numbers lose most. The features are whitened by how photos of one class differ; that is all
   that labels decide.
5. The head starts once more, from what the network sees now, and learns the same by itself.
6. The classes' layer is fitted to the 64 numbers, as the run's classifier.

Stages 1, 3 and 4 take nearly all of the time. Each view of stage 1, and the network after stages 3
and 4, are kept until the end, so that a run that is stopped goes on after the last of them.
"""

from __future__ import annotations

import math
import os
import shutil
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...infer.arrays import Pixels
from ..backend import import_keras
from ..classifier.checkpoint import HEAD, Stages
from ..classifier.fit import Task, predict
from ..errors import DataError, RunError, WeightsError
from ..network import (
    EMBEDDING_UNITS,
    NO_WEIGHTS,
    build_backbone,
    build_head,
    join,
    loss_and_accuracy,
    output_units,
)
from ..progress import Progress, say
from ..run_folder import HISTORY, Run, write_csv
from .losses import (
    Floats,
    Lesson,
    direction_loss,
    least_squares,
    likeness_loss,
    order_loss,
    target_vectors,
    teach,
    whitened_within,
)
from .pca_head import fold_components, principal_head
from .teacher import Teacher
from .views import views

TUNE = Lesson(350, 128, 1.5e-4, decay=1e-4, warm_up=30, average=0.99)
ORDER = Lesson(400, 240, 1e-4, decay=1e-4, warm_up=20, average=0.98, group=40)
FIRST_IN_ORDER = "conv_dw_4"  # the first layer that learns the order, after three blocks
HEAD_LESSON = Lesson(4000, 480, 2e-3, decay=1e-2, group=40)

_NETWORK, _ORDER = "network.weights.h5", "order.weights.h5"  # what stages 3 and 4 leave


@dataclass(frozen=True)
class Plan:
    """How long and how carefully; the defaults are for tens of thousands of photos.

    Attributes:
        variations: of each photo.
        tune: the lesson of the whole network.
        order: of the network with its head.
        head: of the head by itself.
        class_epochs: of the classes' layer.
    """

    variations: int = 1
    tune: Lesson = TUNE
    order: Lesson = ORDER
    head: Lesson = HEAD_LESSON
    class_epochs: int = 15


class GeneralTrainer:
    """Trains one run by the general recipe, from wherever it is to its end.

    Args:
        run: its folder; what its stages leave is kept in its state folder meanwhile.
        task: what to learn.
        paths: of all photos.
        plan: how.

    Raises:
        DataError: too few training photos, or no photo to validate on.
        WeightsError: of the pretrained weights or the teachers, or there are none to start from.
        RunError: what is kept of the run is damaged.
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
        self._shape = (len(self._paths), own.image_size, own.image_size, 3)  # of a view's pixels
        self._plan = plan or Plan()
        self._stages = Stages(run)
        self._teachers = [Teacher(Path(file), own.threads) for file in own.teachers]
        self._backbone = build_backbone(own.backbone, own.width, own.image_size, own.weights)
        raw = self.predict(self._backbone, task.split.test, "features of the test photos")
        self._raw_test_features = raw
        self._rows: tuple[dict[str, Any], ...] = ()

    def train(self) -> Any:
        """Do the stages that are not done yet.

        Returns:
            the classifier, a Keras model: pixels → probabilities.

        Raises:
            RunError: the disk has no room for the pixels, or a loss is not a number any more.
        """
        plan, seed = self._plan, self._settings.seed
        self._require_room()
        pixels = [self._see(number) for number in range(1 + plan.variations)]
        if not self._restored(_ORDER):
            if not self._restored(_NETWORK):
                self._learn_directions(pixels)
                self._stages.keep(_NETWORK, self._backbone.save_weights)
            self._learn_order(pixels)
            self._stages.keep(_ORDER, self._backbone.save_weights)
        tuned, wanted = self._trained(pixels)
        head = principal_head(tuned[0], seed)
        kept_order = likeness_loss(plan.head.group)
        loss = teach(head, tuned, wanted, plan.head, kept_order, seed, "head")
        say(f"head: {plan.head.steps} steps, loss {loss:.4f}")
        return self._classifier(head, tuned[0])

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
        return predict(model, self._task.store.read, indices, title)

    # Stages --------------------------------------------------------------------------------------

    def _restored(self, stage: str) -> bool:
        """Give the backbone the weights that a stage left; False if it is not done."""
        file = self._stages.kept(stage)
        if file is None:
            return False
        try:
            self._backbone.load_weights(file)
        except (OSError, ValueError, KeyError) as error:
            raise _damaged(file) from error
        return True

    def _require_room(self) -> None:
        numbers = range(1 + self._plan.variations)
        missing = [n for n in numbers if self._stages.kept(_features_of(n)) is None]
        for number in missing:
            self._pixels_of(number).unlink(missing_ok=True)  # of a run stopped meanwhile
        folder = self._run.state_folder
        needed, free = len(missing) * math.prod(self._shape), shutil.disk_usage(folder).free
        if needed > free:
            raise self._stages.stopped(
                f"{folder} needs {needed / 1e9:.1f} GB for views of the photos and has "
                f"{free / 1e9:.1f} GB"
            )

    def _pixels_of(self, number: int) -> Path:
        return self._run.state_folder / f"view-{number}.u8"

    def _see(self, number: int) -> Pixels:
        """Keep a view's pixels, mapped, and the features of the network itself and each teacher.

        Returns:
            uint8, shape = (photos, size, size, 3).
        """
        own, file = self._settings, self._pixels_of(number)
        if self._stages.kept(_features_of(number)) is not None:
            return self._mapped(file)
        seen: list[tuple[Floats, ...]] = []
        progress = Progress(f"features, view {number + 1}", len(self._paths))
        self._backbone.jit_compile = False  # XLA would compile longer than it saves
        try:
            # Written as a stream and mapped afterwards: a full disk under a map kills the process.
            with file.open("wb") as stream:
                for small, large in views(
                    self._paths, number, own.seed, own.image_size, own.threads
                ):
                    stream.write(small.tobytes())
                    pooled = np.asarray(self._backbone.predict_on_batch(small))
                    seen.append((pooled, *(teacher(large) for teacher in self._teachers)))
                    progress.update(sum(len(part[0]) for part in seen))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise self._stages.stopped(f"cannot write {file}: {error.strerror}") from error
        progress.close()
        features = tuple(np.concatenate(parts) for parts in zip(*seen, strict=True))
        self._stages.keep(_features_of(number), lambda part: np.savez(part, *features))
        return self._mapped(file)

    def _mapped(self, file: Path) -> Pixels:
        try:
            return np.memmap(file, np.uint8, "r", shape=self._shape)
        except (OSError, ValueError) as error:
            raise _damaged(file) from error

    def _features(self, number: int) -> tuple[Floats, ...]:
        """Read what :meth:`_see` kept, each float32, shape = (photos, features of a network)."""
        file = self._run.state_folder / _features_of(number)
        try:
            with file.open("rb") as stored, np.load(stored) as parts:
                return tuple(parts.values())
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise _damaged(file) from error

    def _learn_directions(self, pixels: list[Pixels]) -> None:
        lesson, seed = self._plan.tune, self._settings.seed
        seen = [self._features(number) for number in range(len(pixels))]
        targets = target_vectors(list(zip(*seen, strict=True)))
        pooled = np.concatenate([features[0] for features in seen])
        pupil = self._pupil(least_squares(pooled, np.concatenate(targets)))
        loss = teach(pupil, pixels, targets, lesson, direction_loss, seed, "network")
        say(f"network: {lesson.steps} steps, loss {loss:.4f}")

    def _learn_order(self, pixels: list[Pixels]) -> None:
        lesson, seed = self._plan.order, self._settings.seed
        tuned, wanted = self._trained(pixels)
        linear = least_squares(np.concatenate(tuned), np.concatenate(wanted))
        pupil = self._pupil(linear, principal_head(tuned[0], seed))
        loss = teach(pupil, pixels, wanted, lesson, order_loss(lesson.group), seed, "order")
        say(f"order: {lesson.steps} steps, loss {loss:.4f}")

    def _trained(self, pixels: list[Pixels]) -> tuple[list[Floats], list[Floats]]:
        """Give the network's features of each view, and how they are to be compared."""
        everyone = np.arange(len(self._paths))
        tuned = [
            predict(self._backbone, own.__getitem__, everyone, f"trained features, view {number}")
            for number, own in enumerate(pixels, 1)
        ]
        return tuned, whitened_within(tuned, self._task.labels[self._task.split.train])

    def _pupil(self, linear: list[Floats], head: Any = None) -> Any:
        """Put a linear layer on the backbone, and make all weights trainable but batch norm's.

        With a head, its outputs come before those of the linear layer, and the first blocks stay
        as they are: they take half of the time and most of the memory.
        """
        keras = import_keras()
        fixed = head is not None
        for layer in self._backbone.layers:
            fixed = fixed and layer.name != FIRST_IN_ORDER
            layer.trainable = not (fixed or isinstance(layer, keras.layers.BatchNormalization))
        last = keras.layers.Dense(len(linear[1]))
        features = self._backbone.output
        outputs = last(features)
        if head is not None:
            outputs = keras.layers.Concatenate()([head(features), outputs])
        last.set_weights(linear)
        return keras.Model(self._backbone.input, outputs)

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
        keras.utils.set_random_seed(self._settings.seed)  # the same after --resume
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


def _features_of(number: int) -> str:
    return f"view-{number}.npz"


def _damaged(file: Path) -> RunError:
    return RunError(f"{file} is damaged: start the training again with another --out")
