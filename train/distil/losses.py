"""Teaching a network the directions in which wider features see photos.

The losses are written in ``keras.ops``, so that they run on every backend of Keras.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backend import import_keras
from ..data.pixels import ordered_map
from ..errors import RunError
from ..network import EMBEDDING_UNITS
from ..progress import Progress
from .pca_head import principal_components, unit_rows

TARGET_COMPONENTS = 256  # principal components of the targets that are taught

_RIDGE = 0.03  # of the mean variance of a feature: what damps the least squares
_BLOCK = 1024  # rows compared at once

Floats = NDArray[Any]
Loss = Callable[[Any, Any], Any]  # (wanted, given), both (batch, d) → (batch,)


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
        group: photos that are compared with each other, all in one view; 0 for no groups. Of the
            groups of a batch, every fourth is drawn at random, the others are photos near to each
            other.
    """

    steps: int
    batch: int
    rate: float
    decay: float = 0.0
    warm_up: int = 0
    average: float = 0.0
    group: int = 0


def whitened(views: Sequence[Floats]) -> list[Floats]:
    """Shorten the directions of features that variation of a photo moves.

    Args:
        views: float, each of shape = (photos, d): of the photos as they are, then of variations.

    Returns:
        as many arrays of the same shape, float32, rows of length 1.
    """
    rows = [unit_rows(view.astype(np.float32)) for view in views]
    middle = rows[0].mean(axis=0)
    scatter = np.zeros((middle.size, middle.size))
    for varied in rows[1:]:
        moved = varied - rows[0]
        scatter += moved.T @ moved
    projection = _whitening(scatter)
    return [unit_rows((own - middle) @ projection) for own in rows]


def whitened_within(views: Sequence[Floats], labels: NDArray[np.intp]) -> list[Floats]:
    """Shorten the directions of features in which photos of one class differ.

    Every class counts the same, so that one large folder of unsorted photos decides nothing.

    Args:
        views: float, each of shape = (photos, d): of the photos as they are, which alone say what
            differs, then of variations.
        labels: shape = (photos,), the class of each.

    Returns:
        as many arrays of the same shape, float32, rows of length 1.
    """
    rows = [unit_rows(view.astype(np.float32)) for view in views]
    _, own, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), rows[0].shape[1]))
    np.add.at(means, own, rows[0])
    differences = rows[0] - (means / counts[:, None])[own]
    differences /= np.sqrt(np.maximum(counts - 1, 1))[own, None]
    middle, projection = rows[0].mean(axis=0), _whitening(differences.T @ differences)
    return [np.asarray(unit_rows((view - middle) @ projection), np.float32) for view in rows]


def target_vectors(features: Sequence[Sequence[Floats]]) -> list[Floats]:
    """Join what several networks see into what one is to learn.

    Args:
        features: for each network, for each view, float, shape = (photos, its features); the
            first view is the photos as they are.

    Returns:
        for each view, float32, shape = (photos, components): the networks' whitened features side
        by side, each network counting the same, in coordinates of their first principal
        components; TARGET_COMPONENTS of them, fewer where there are fewer photos or features.
    """
    joined = [np.hstack(view) for view in zip(*map(whitened, features), strict=True)]
    mean, _, axes = principal_components(joined[0])
    kept = axes[:, : min(TARGET_COMPONENTS, len(joined[0]) - 1)].astype(np.float32)
    return [np.asarray((view - mean) @ kept, np.float32) for view in joined]


def least_squares(inputs: Floats, wanted: Floats) -> list[Floats]:
    """Fit a linear map, damped a little (ridge regression).

    Args:
        inputs: float, shape = (rows, n).
        wanted: float, shape = (rows, d).

    Returns:
        kernel and bias of a Dense layer, float32, shapes (n, d) and (d,).
    """
    middle, centre = inputs.mean(axis=0), wanted.mean(axis=0)
    centred = inputs - middle
    scatter = centred.T @ centred
    damped = scatter + _RIDGE * np.trace(scatter) / len(scatter) * np.eye(len(scatter))
    kernel = np.linalg.solve(damped, centred.T @ (wanted - centre)).astype(np.float32)
    return [kernel, (centre - middle @ kernel).astype(np.float32)]


def direction_loss(wanted: Any, given: Any) -> Any:
    """Tell how far vectors point from where they should: one minus the cosine.

    Args:
        wanted: tensor, shape = (batch, d).
        given: likewise.

    Returns:
        shape = (batch,), 0 to 2.
    """
    ops = import_keras().ops
    return 1.0 - ops.sum(_unit(wanted) * _unit(given), axis=1)


def likeness_loss(group: int) -> Loss:
    """Build a loss that tells how far cosines within groups are from those that they should follow.

    One minus the correlation of each photo's cosines with the wanted ones (after "Correlation
    Congruence for Knowledge Distillation", Peng et al. 2019), so the two may be of any length,
    offset and dimension.

    Args:
        group: photos in a group; the rows of a batch are its groups, one after the other.

    Returns:
        (wanted, given), tensors of shapes (batch, d) and (batch, any) → shape = (batch,), 0 to 2.
    """
    ops = import_keras().ops
    others = 1.0 - np.eye(group, dtype=np.float32)

    def centred_cosines(vectors: Any) -> Any:
        unit = ops.reshape(_unit(vectors), (-1, group, vectors.shape[-1]))
        cosines = ops.matmul(unit, ops.transpose(unit, (0, 2, 1)))
        mean = ops.sum(cosines * others, axis=2, keepdims=True) / (group - 1)
        return (cosines - mean) * others

    def loss(wanted: Any, given: Any) -> Any:
        one, other = centred_cosines(given), centred_cosines(wanted)
        lengths = ops.norm(one, axis=2) * ops.norm(other, axis=2)
        return ops.reshape(1.0 - ops.sum(one * other, axis=2) / (lengths + 1e-6), (-1,))

    return loss


def order_loss(group: int) -> Loss:
    """Build the loss of an encoder's outputs with wide vectors of the same photos behind them.

    The embeddings are to keep the order of the wanted cosines (:func:`likeness_loss`), the wide
    vectors their direction (:func:`direction_loss`): without these, the network gives up what the
    few numbers of an embedding do not need, and is worse for photos of other kinds.

    Args:
        group: photos in a group.

    Returns:
        (wanted, given), tensors of shapes (batch, d) and (batch, EMBEDDING_UNITS + d) →
        shape = (batch,), 0 to 4.
    """
    likeness = likeness_loss(group)

    def loss(wanted: Any, given: Any) -> Any:
        embeddings, wide = given[:, :EMBEDDING_UNITS], given[:, EMBEDDING_UNITS:]
        return likeness(wanted, embeddings) + direction_loss(wanted, wide)

    return loss


def nearest(vectors: Floats, count: int) -> NDArray[np.intp]:
    """Find the rows nearest to each unit row, itself among them.

    Returns:
        shape = (rows, count); in no order.
    """
    found = np.empty((len(vectors), count), np.intp)
    for start in range(0, len(vectors), _BLOCK):
        cosines = vectors[start : start + _BLOCK] @ vectors.T
        found[start : start + _BLOCK] = np.argpartition(-cosines, count - 1)[:, :count]
    return found


def batches(
    inputs: Sequence[Floats], targets: Sequence[Floats], lesson: Lesson, seed: int
) -> Iterator[tuple[Floats, NDArray[np.float32]]]:
    """Draw the batches of a lesson: each photo, or each group, in a view drawn at random.

    No photo is twice in a group, nor in a batch without groups.

    Args:
        inputs: of each view, shape = (photos, …). Pixels, uint8 of shape = (photos, height, width,
            channels), are mirrored at random.
        targets: of each view, float32, shape = (photos, d); of length 1 where groups are drawn.
        lesson: how many batches, of how many photos, in which groups.
        seed: of all that is drawn.
    """
    count = len(targets[0])
    size = min(lesson.batch, count)
    near = [nearest(own, lesson.group) for own in targets] if lesson.group else []

    def choose(generator: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        if not near:
            chosen = np.sort(generator.choice(count, size, replace=False))  # as on the disk
            return generator.integers(len(inputs), size=size), chosen
        view = generator.integers(len(inputs), size=lesson.batch // lesson.group)
        rows = generator.integers(count, size=len(view))
        groups = [near[v][row] for v, row in zip(view, rows, strict=True)]
        for position in range(0, len(groups), 4):
            groups[position] = generator.choice(count, lesson.group, replace=False)
        return view.repeat(lesson.group), np.concatenate(groups)

    def draw(step: int) -> tuple[Floats, NDArray[np.float32]]:
        generator = np.random.default_rng((seed, step))
        view, chosen = choose(generator)
        own = np.stack([inputs[v][i] for v, i in zip(view, chosen, strict=True)])
        if own.ndim == 4:
            mirrored = generator.random(len(chosen)) < 0.5
            own[mirrored] = own[mirrored][:, :, ::-1]
        return own, np.stack([targets[v][i] for v, i in zip(view, chosen, strict=True)])

    return ordered_map(draw, range(lesson.steps), threads=1)  # beside the training


def teach(
    model: Any,
    inputs: Sequence[Floats],
    targets: Sequence[Floats],
    lesson: Lesson,
    loss: Loss,
    seed: int,
    title: str,
) -> float:
    """Train a model in place.

    Args:
        model: a Keras model, (batch, …) → (batch, dimension).
        inputs: see :func:`batches`.
        targets: likewise.
        lesson: how.
        loss: of what it gives.
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
    model.compile(optimizer=optimizer, loss=loss, jit_compile=False)
    progress = Progress(title, lesson.steps)
    losses: list[float] = []
    for own, wanted in batches(inputs, targets, lesson, seed):
        losses.append(float(model.train_on_batch(own, wanted, return_dict=True)["loss"]))
        if not math.isfinite(losses[-1]):
            raise RunError(f"{title}: the loss is not a number any more, after {len(losses)} steps")
        progress.update(len(losses), f"loss {losses[-1]:.4f}")
    progress.close()
    if lesson.average > 0:
        optimizer.finalize_variable_values(model.trainable_variables)
    return float(np.mean(losses[-max(1, lesson.steps // 10) :]))


def _whitening(scatter: Floats) -> NDArray[np.float32]:
    """Give the map that shortens directions by the scatter in them, those without it not at all."""
    size = len(scatter)
    if (trace := np.trace(scatter)) > 0:
        scatter = scatter * (size / trace)
    values, axes = np.linalg.eigh(scatter + np.eye(size))
    return np.asarray(axes / np.sqrt(values), np.float32)


def _unit(vectors: Any) -> Any:
    ops = import_keras().ops
    return vectors / ops.maximum(ops.norm(vectors, axis=1, keepdims=True), 1e-6)
