"""Stage 5 of training: weights.

First the head on the frozen backbone's features, then the last convolutions as well. Every epoch
ends with a checkpoint that holds the weights and Adam's state; what happens in an epoch depends on
nothing but that, the seed and the epoch's number, so a resumed run goes on as if never stopped.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...infer.progress import ProgressBar, say
from ..backend import import_keras
from ..data.augment import Augmenter
from ..data.pixels import ordered_map
from ..errors import DataError, RunError
from ..linear.maps import details_map
from ..network import (
    DETAILS_UNITS,
    PREDICT_BATCH,
    build_backbone,
    build_head,
    join,
    loss_and_accuracy,
    output_units,
    pooled_features,
    unfreeze,
    with_details,
)
from ..run_folder import CLASSIFIER, Run, write_whole
from .checkpoint import HEAD, TUNE, Checkpoints
from .task import Floats, Task, predict

_LEAST = 1e-7  # probability, as Keras clips it in its losses

Batch = tuple[NDArray[Any], Floats, Floats]  # inputs, labels, weights


class PlainTrainer:
    """Trains one run for the classes of its data: the head first, then the last convolutions.

    Args:
        run: its folder.
        task: what to learn.
    """

    def __init__(self, run: Run, task: Task) -> None:
        self._run, self._task, self._settings = run, task, run.settings
        self._keras = import_keras()
        self._checkpoints = Checkpoints(run)
        own = run.settings
        self._augmenter = Augmenter(own.seed) if own.augment else None
        even = np.ones(task.classes, np.float32)
        self._weights = class_weights(task) if own.class_weights else even
        self._backbone: Any = None  # until training starts
        self._raw_test_features: Floats | None = None

    def train(self) -> Any:
        """Do what is left of both phases, and fit the details to what the network sees then.

        Returns:
            the classifier with the best weights and its details, see
            :func:`~imgsim_edge.train.network.with_details`.

        Raises:
            DataError: no photo to validate on.
            WeightsError: of the pretrained weights.
            RunError: a checkpoint is damaged or cannot be written, or the head's loss is not a
                number any more.
            KeyboardInterrupt: the user stopped it; :meth:`best_so_far` has what was learnt.
        """
        if not len(self._task.split.valid):
            raise DataError("every class is too small to split: three distinct photos are needed")
        self._begin()
        self.raw_test_features()  # while the backbone is as it came
        if self._checkpoints.state.phase == HEAD:
            self._train_head()
            self._checkpoints.begin_tuning()
        if self._settings.tune_epochs:
            self._tune()
        return self._detailed(self.best_so_far())

    def best_so_far(self) -> Any | None:
        """Give the classifier of the best epoch until now, or None before the first one."""
        state = self._checkpoints.state
        if state.phase == TUNE and state.best_epoch:
            return self._checkpoints.best()
        if state.phase == TUNE or state.best_epoch:
            # Fine-tuning has not made it better, or not yet.
            return join(self._checkpoints.start(), self._checkpoints.best_head())
        return None

    def keep_best_so_far(self) -> bool:
        """Write :meth:`best_so_far` into the run folder; False before the first epoch's end."""
        whole = self._checkpoints.best_classifier()
        if whole is not None:  # a stop by the user should not take the seconds of loading it
            write_whole(self._run.classifier_path, lambda part: shutil.copyfile(whole, part))
            return True
        best = self.best_so_far()
        if best is not None:
            save_classifier(self._run, best)
        return best is not None

    def raw_test_features(self) -> Floats:
        """Give the features of the test part before any fine-tuning.

        Returns:
            float32, shape = (photos, channels).
        """
        if self._raw_test_features is None:
            self._raw_test_features = self.predict(
                self._backbone, self._task.split.test, "features of the test photos"
            )
        return self._raw_test_features

    def history(self) -> tuple[dict[str, Any], ...]:
        """Give the rows of ``history.csv``, one for each epoch of both phases."""
        return self._checkpoints.state.rows

    def predict(self, model: Any, indices: NDArray[np.intp], title: str) -> Floats:
        """Run photos through a model, unvaried.

        Returns:
            float32, shape = (photos, outputs).
        """
        return predict(model, self._task.store.read, indices, title)

    def _begin(self) -> None:
        """Load or build the backbone that the run starts from."""
        own = self._settings
        self._backbone = self._checkpoints.start()
        if self._backbone is None:
            self._backbone = build_backbone(own.backbone, own.width, own.image_size, own.weights)
            self._checkpoints.save_start(self._backbone)

    def _detailed(self, classifier: Any) -> Any:
        train = self._task.split.train
        features = self.predict(pooled_features(classifier), train, "features for details")
        fitted = details_map(features, self._task.labels[train], DETAILS_UNITS)
        return with_details(classifier, fitted.weights())

    # The two phases ------------------------------------------------------------------------------

    def _train_head(self) -> None:
        if self._checkpoints.state.epoch:
            head = self._checkpoints.last()
        else:
            channels, units = self._backbone.output_shape[1], self._settings.embedding_units
            head = build_head(channels, self._task.classes, units)
            self._compile(head, self._settings.head_rate)
        split = self._task.split
        valid = self.predict(self._backbone, split.valid, "features of the validation photos")
        kept: Floats | None = None

        def feed(epoch: int) -> Iterator[Batch]:
            nonlocal kept
            if self._augmenter is not None:
                features = self._varied_features(epoch)
            else:
                if kept is None:
                    kept = self.predict(self._backbone, split.train, "features")
                features = kept
            for rows in self._order(len(split.train), epoch, HEAD):
                yield features[rows], *self._targets(split.train[rows])

        self._phase(head, feed, lambda: np.asarray(head.predict_on_batch(valid)))

    def _tune(self) -> None:
        if self._checkpoints.state.epoch:
            classifier = self._checkpoints.last()
        else:
            classifier = join(self._backbone, self._checkpoints.best_head())
            unfreeze(classifier, self._settings.tune_depth)
            self._compile(classifier, self._settings.tune_rate)
        split = self._task.split

        def feed(epoch: int) -> Iterator[Batch]:
            # The first phase has seen the lower numbers' variations.
            number = self._settings.head_epochs + epoch
            batches = list(self._order(len(split.train), epoch, TUNE))
            pixels = self._varied(split.train, batches, number)
            for rows, images in zip(batches, pixels, strict=True):
                yield images, *self._targets(split.train[rows])

        self._phase(classifier, feed, lambda: self.predict(classifier, split.valid, "validating"))

    def _phase(
        self, model: Any, feed: Callable[[int], Iterator[Batch]], validate: Callable[[], Floats]
    ) -> None:
        phase = self._checkpoints.state.phase
        epochs = self._settings.head_epochs if phase == HEAD else self._settings.tune_epochs
        rate = self._settings.head_rate if phase == HEAD else self._settings.tune_rate
        steps = math.ceil(len(self._task.split.train) / self._settings.batch)
        done = self._checkpoints.state.epoch * steps
        with ProgressBar(f"{phase}, steps", epochs * steps, done) as progress:
            diverged = False
            valid_labels = self._task.labels[self._task.split.valid]
            for epoch in range(self._checkpoints.state.epoch, epochs):
                best = self._checkpoints.state
                if epoch - best.best_epoch >= self._settings.patience:
                    break
                began = time.monotonic()
                model.optimizer.learning_rate = rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
                seen, train_loss, train_accuracy = 0, 0.0, 0.0
                for step, (inputs, labels, weights) in enumerate(feed(epoch), start=1):
                    logs = model.train_on_batch(inputs, labels, weights, return_dict=True)
                    seen += len(labels)  # the last batch may be smaller: a mean over photos
                    train_loss += (logs["loss"] - train_loss) * len(labels) / seen
                    train_accuracy += (logs["accuracy"] - train_accuracy) * len(labels) / seen
                    note = f"epoch {epoch + 1}/{epochs}, loss {train_loss:.4f}, "
                    note += f"accuracy {train_accuracy:.3f}"
                    if math.isfinite(best.best_loss):
                        note += f", best validation loss {best.best_loss:.4f}"
                    progress.update(epoch * steps + step, note=note)
                loss, accuracy = _loss_and_accuracy(validate(), valid_labels)
                diverged = not math.isfinite(loss)
                if diverged:
                    break
                row = {
                    "phase": phase,
                    "epoch": epoch + 1,
                    "learning_rate": float(model.optimizer.learning_rate),
                    "loss": float(train_loss),
                    "accuracy": float(train_accuracy),
                    "val_loss": loss,
                    "val_accuracy": accuracy,
                    "seconds": round(time.monotonic() - began, 1),
                }
                self._checkpoints.save(model, row)
        if diverged and phase == HEAD:
            raise RunError("the loss is not a number any more: train with a lower head rate")
        if diverged:
            say("fine-tuning diverged, the best until then is kept: a lower tune rate may help")
        last = self._checkpoints.state
        best_one = f"best at {last.best_epoch}" if last.best_epoch else "none better than before"
        say(
            f"{phase}: {last.epoch} epochs, {best_one}, validation loss {last.best_loss:.4f}, "
            f"accuracy {last.best_accuracy:.3f}"
        )

    # Photos --------------------------------------------------------------------------------------

    def _order(self, count: int, epoch: int, phase: str) -> Iterator[NDArray[np.intp]]:
        seed = (self._settings.seed, 0 if phase == HEAD else 1, epoch)
        order = np.random.default_rng(seed).permutation(count)
        for start in range(0, count, self._settings.batch):
            yield order[start : start + self._settings.batch]

    def _targets(self, indices: NDArray[np.intp]) -> tuple[Floats, Floats]:
        labels = self._task.labels[indices]
        shaped = labels[:, None] if output_units(self._task.classes) == 1 else labels
        return shaped.astype(np.float32), self._weights[labels].astype(np.float32)

    def _varied(
        self, indices: NDArray[np.intp], batches: list[NDArray[np.intp]], epoch: int
    ) -> Iterator[NDArray[np.uint8]]:
        def make(rows: NDArray[np.intp]) -> NDArray[np.uint8]:
            pixels = self._task.store.read(indices[rows])
            if self._augmenter is None:
                return pixels
            return np.stack(
                [
                    self._augmenter(own, epoch, int(index))
                    for own, index in zip(pixels, indices[rows], strict=True)
                ]
            )

        return ordered_map(make, batches, self._settings.threads)

    def _varied_features(self, epoch: int) -> Floats:
        train = self._task.split.train
        rows = np.arange(len(train))
        batches = [rows[at : at + PREDICT_BATCH] for at in range(0, len(rows), PREDICT_BATCH)]
        with ProgressBar(f"features, epoch {epoch + 1}", len(batches)) as progress:
            parts = []
            self._backbone.jit_compile = False
            for done, pixels in enumerate(self._varied(train, batches, epoch), start=1):
                parts.append(np.asarray(self._backbone.predict_on_batch(pixels)))
                progress.update(done)
        return np.concatenate(parts)

    def _compile(self, model: Any, rate: float) -> None:
        loss, accuracy = loss_and_accuracy(self._task.classes)
        model.compile(
            self._keras.optimizers.Adam(rate),
            loss,
            metrics=[accuracy],
            jit_compile=False,  # as above
        )


def save_classifier(run: Run, classifier: Any) -> Any:
    """Write the trained network into the run folder, without Adam's state.

    Returns:
        what was written; its layers belong to no other model, so that it can be cut.
    """
    plain = import_keras().Model.from_config(classifier.get_config())
    plain.set_weights(classifier.get_weights())
    write_whole(run.folder / CLASSIFIER, plain.save)
    return plain


def class_weights(task: Task) -> Floats:
    """Weigh classes so that each counts the same in sum, and the mean weight of a photo is 1."""
    counts = np.bincount(task.labels[task.split.train], minlength=task.classes)
    present = np.maximum(counts, 1)
    return np.asarray(counts.sum() / (np.count_nonzero(counts) * present), dtype=np.float32)


def _loss_and_accuracy(probabilities: Floats, labels: NDArray[np.intp]) -> tuple[float, float]:
    if probabilities.shape[1] == 1:
        probabilities = np.concatenate([1 - probabilities, probabilities], axis=1)
    own = probabilities[np.arange(len(labels)), labels]
    loss = float(-np.log(np.clip(own, _LEAST, 1.0)).mean())
    return loss, float((probabilities.argmax(axis=1) == labels).mean())
