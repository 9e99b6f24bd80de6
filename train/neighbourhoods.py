"""Teaching an encoder which photos are neighbours: targets, batches and losses.

The losses are written in ``keras.ops``, so that they run on every backend of Keras.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backend import import_keras
from .errors import RunError
from .principal import unit_rows
from .progress import Progress

TEMPERATURE = 0.1  # of the targets' cosines
SCALE = 20.0  # of the encoder's cosines at the start; learnt from there
NEAREST = 20  # photos, of which a batch's neighbours are drawn
ACTIVATION_TOP = 6.0  # of ReLU6, which 8-bit activations reach at 255

_BLOCK = 1024  # rows compared at once

Floats = NDArray[Any]


@dataclass(frozen=True)
class Lesson:
    """One stretch of training.

    Attributes:
        steps: batches.
        batch: photos in one, at most.
        rate: AdamW's highest learning rate; it falls along a half cosine.
        decay: of the weights, by AdamW.
        warm_up: steps in which the rate rises.
        average: momentum of the averaged weights, which count in the end; 0 for none.
        neighbours: that come with each photo of a batch.
        rank: whether the neighbours' order is taught beside the cosines.
    """

    steps: int
    batch: int
    rate: float
    decay: float = 0.0
    warm_up: int = 0
    average: float = 0.0
    neighbours: int = 0
    rank: bool = True


def whitened(views: Sequence[Floats]) -> list[Floats]:
    """Shorten the directions of features that variation of a photo moves.

    Args:
        views: float, each of shape = (photos, d): of the photos as they are, then of variations.

    Returns:
        as many arrays of the same shape, float32, rows of length 1.
    """
    rows = [unit_rows(view.astype(np.float32)) for view in views]
    middle = rows[0].mean(axis=0)
    size = middle.size
    scatter = np.zeros((size, size))
    for varied in rows[1:]:
        moved = varied - rows[0]
        scatter += moved.T @ moved
    if (trace := np.trace(scatter)) > 0:
        scatter *= size / trace
    values, axes = np.linalg.eigh(scatter + np.eye(size))
    projection = (axes / np.sqrt(values)).astype(np.float32)
    return [unit_rows((own - middle) @ projection) for own in rows]


def nearest(vectors: Floats) -> NDArray[np.intp]:
    """Find the nearest others of each unit row.

    Returns:
        shape = (rows, NEAREST), fewer where there are fewer rows; in no order.
    """
    count = min(NEAREST, len(vectors) - 1)
    found = np.empty((len(vectors), count), np.intp)
    for start in range(0, len(vectors), _BLOCK):
        cosines = vectors[start : start + _BLOCK] @ vectors.T
        rows = np.arange(len(cosines))
        cosines[rows, rows + start] = -2  # itself
        found[start : start + _BLOCK] = np.argpartition(-cosines, count - 1)[:, :count]
    return found


def batches(
    inputs: Sequence[Floats], targets: Sequence[Floats], lesson: Lesson, seed: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Draw batches of distinct photos for ever, each photo in a view drawn at random.

    Args:
        inputs: of each view, shape = (photos, …). 8-bit activations, shape = (photos, height,
            width, channels), are scaled back and mirrored at random.
        targets: of each view, shape = (photos, d), rows of length 1.
        lesson: how many photos, and how many of them neighbours.
        seed: of all that is drawn.
    """
    generator = np.random.default_rng(seed)
    count = len(targets[0])
    size = min(lesson.batch, count)
    near = nearest(targets[0]) if lesson.neighbours else None
    while True:
        if near is None:
            chosen = generator.choice(count, size, replace=False)
        else:
            chosen = _with_neighbours(near, size, lesson.neighbours, generator)
        view = generator.integers(len(inputs), size=size)
        own = np.stack([inputs[v][i] for v, i in zip(view, chosen, strict=True)])
        wanted = np.stack([targets[v][i] for v, i in zip(view, chosen, strict=True)])
        if own.dtype == np.uint8:
            own = own * np.float32(ACTIVATION_TOP / 255)
            mirrored = generator.random(size) < 0.5
            own[mirrored] = own[mirrored][:, :, ::-1]
        yield own.astype(np.float32), wanted.astype(np.float32)


def teach(
    encoder: Any,
    inputs: Sequence[Floats],
    targets: Sequence[Floats],
    lesson: Lesson,
    seed: int,
    title: str,
) -> float:
    """Train an encoder in place, so that its cosines follow those of the targets.

    Args:
        encoder: a Keras model, (batch, …) → (batch, dimension).
        inputs: see :func:`batches`.
        targets: likewise.
        lesson: how.
        seed: of the batches.
        title: of the line that shows how far it is.

    Returns:
        the mean loss of the last tenth of the steps.

    Raises:
        RunError: the loss is not a number any more.
    """
    keras = import_keras()
    falling = lesson.steps - lesson.warm_up
    schedule = keras.optimizers.schedules.CosineDecay(
        lesson.rate / 20 if lesson.warm_up else lesson.rate,
        max(falling, 1),
        alpha=0.02,
        warmup_target=lesson.rate if lesson.warm_up else None,
        warmup_steps=lesson.warm_up,
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=lesson.decay,
        clipnorm=1.0,
        use_ema=lesson.average > 0,
        ema_momentum=lesson.average,
    )
    pupil = _pupil(encoder, lesson.rank)
    pupil.compile(optimizer=optimizer, jit_compile=False)
    progress = Progress(title, lesson.steps)
    losses = []
    drawn = batches(inputs, targets, lesson, seed)
    for step in range(1, lesson.steps + 1):
        own, wanted = next(drawn)
        loss = float(pupil.train_on_batch(own, wanted, return_dict=True)["loss"])
        if not math.isfinite(loss):
            raise RunError(f"{title}: the loss is not a number any more, after {step} steps")
        losses.append(loss)
        progress.update(step, f"loss {loss:.4f}")
    progress.close()
    if lesson.average > 0:
        optimizer.finalize_variable_values(pupil.trainable_variables)
    return float(np.mean(losses[-max(1, lesson.steps // 10) :]))


def _with_neighbours(
    near: NDArray[np.intp], size: int, neighbours: int, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Draw distinct photos, most of them neighbours of others."""
    neighbours = min(neighbours, near.shape[1])
    seeds = generator.choice(len(near), max(1, size // (1 + neighbours)), replace=False)
    drawn = [[s, *generator.choice(near[s], neighbours, replace=False)] for s in seeds]
    chosen = np.unique(drawn)[:size]
    while len(chosen) < size:
        more = generator.choice(len(near), size - len(chosen))
        chosen = np.unique(np.append(chosen, more))
    return chosen


def _pupil(encoder: Any, rank: bool) -> Any:
    """Wrap an encoder in a model whose loss compares the cosines within a batch.

    *Gram*: one minus the correlation of each photo's cosines with its targets' (after "Correlation
    Congruence for Knowledge Distillation", Peng et al. 2019). *Rank*: the Kullback-Leibler
    divergence of the softmax over the other photos from the targets' (after "Learning Deep
    Representations with Probabilistic Knowledge Transfer", Passalis and Tefas 2018).
    """
    keras = import_keras()
    ops = keras.ops

    class Pupil(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            if rank:
                start = keras.initializers.Constant(math.log(SCALE))
                self.log_scale = self.add_weight(shape=(), initializer=start, name="log_scale")
            self.built = True

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.encoder(inputs, training=training)

        def compute_loss(
            self,
            x: Any = None,
            y: Any = None,
            y_pred: Any = None,
            sample_weight: Any = None,
            training: bool = True,
        ) -> Any:
            unit = y_pred / ops.maximum(ops.norm(y_pred, axis=1, keepdims=True), 1e-6)
            cosines, wanted = ops.matmul(unit, ops.transpose(unit)), ops.matmul(y, ops.transpose(y))
            others = 1.0 - ops.eye(ops.shape(unit)[0])
            count = ops.sum(others, axis=1, keepdims=True)

            def centred(values: Any) -> Any:
                mean = ops.sum(values * others, axis=1, keepdims=True) / count
                return (values - mean) * others

            one, other = centred(cosines), centred(wanted)
            lengths = ops.norm(one, axis=1) * ops.norm(other, axis=1)
            gram = 1.0 - ops.mean(ops.sum(one * other, axis=1) / (lengths + 1e-6))
            if not rank:
                return gram
            never = 1e4 * (1.0 - others)
            likely = ops.softmax(wanted / TEMPERATURE - never)
            found = ops.log_softmax(cosines * ops.exp(self.log_scale) - never)
            apart = ops.sum(likely * (ops.log(likely + 1e-9) - found), axis=1)
            return gram + ops.mean(apart)

    return Pupil()
