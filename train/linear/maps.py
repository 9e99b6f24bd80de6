"""Linear maps that are fitted in closed form, as the weights of dense layers.

All of them start the same way: directions in which photos of one class differ are shortened
(within-class whitening with shrinkage, as in linear discriminant analysis), and what remains is
turned to its principal components. Every class counts the same, so that one large folder of
unsorted photos decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHRINKAGE = 3.0  # times the mean variance within classes, added to all variances
DETAILS_BALANCE = 0.25  # power of a component's spread by which it is divided; 0: plain PCA
EMBEDDING_BALANCE = 0.5
RIDGE = 0.1  # of the mean variance within classes, for the classes' layer
BIAS = 1.5  # standard deviations that lift the embedding's sums: ReLU cuts few of them

Floats = NDArray[Any]
Labels = NDArray[np.intp]


@dataclass(frozen=True)
class LinearMap:
    """The weights of a dense layer.

    Attributes:
        kernel: float32, shape = (inputs, outputs).
        bias: float32, shape = (outputs,).
    """

    kernel: Floats
    bias: Floats

    def __call__(self, rows: Floats) -> Floats:
        """Map rows: float, shape = (n, inputs) → (n, outputs)."""
        return np.asarray(rows @ self.kernel + self.bias)

    def weights(self) -> list[Floats]:
        """Give them as Keras sets them."""
        return [self.kernel, self.bias]


def details_map(features: Floats, labels: Labels, units: int) -> LinearMap:
    """Fit the layer that gives a photo's details: whitened within classes, then PCA, balanced.

    Args:
        features: float, shape = (photos, d).
        labels: shape = (photos,), the class of each.
        units: numbers wanted; fewer where there are fewer photos or features.

    Returns:
        d inputs, min(units, photos − 1, d) outputs, whose mean is near zero.
    """
    return _components(features, labels, min(units, len(features) - 1), DETAILS_BALANCE)[0]


def embedding_layers(
    features: Floats, labels: Labels, hidden: int, units: int, seed: int
) -> tuple[LinearMap, LinearMap]:
    """Fit two dense layers with ReLU behind each that compute a balanced principal component map.

    ReLU loses next to nothing here: each component goes through the hidden layer twice, as +c and
    as −c, and a bias lifts the sums above zero. The last component makes way for that bias, which
    lifts all photos alike.

    Args:
        features: float, shape = (photos, d), d at least ``units``.
        labels: shape = (photos,), the class of each.
        hidden: units of the first layer, at least 2 × (units − 1).
        units: of the second.
        seed: of the rotation that spreads the components over the units.
    """
    count = min(hidden // 2, features.shape[1])
    components, spread = _components(features, labels, count, EMBEDDING_BALANCE)
    used = units - 1
    random = np.random.default_rng(seed).normal(size=(units, units))
    random[:, 0] = 1  # the direction of the bias, to which the others are made orthogonal
    rotation = np.linalg.qr(random)[0][:, 1:].T
    sums = np.zeros((hidden // 2, units))
    sums[:used] = rotation / np.sqrt((spread[:used] ** 2).sum() / units)
    pairs = np.eye(count, hidden // 2)
    first = _composed(components, np.hstack([pairs, -pairs]))
    second = LinearMap(
        np.vstack([sums, -sums]).astype(np.float32), np.full(units, BIAS, np.float32)
    )
    return first, second


def discriminant_layer(vectors: Floats, labels: Labels, classes: int) -> LinearMap:
    """Fit the layer before a softmax by linear discriminant analysis.

    Args:
        vectors: float, shape = (photos, d).
        labels: shape = (photos,), 0 to ``classes`` − 1.
        classes: how many there are; one without photos is never predicted.

    Returns:
        d inputs, ``classes`` outputs: log-probabilities, up to a constant for each photo.
    """
    counts = np.bincount(labels, minlength=classes)
    means = np.zeros((classes, vectors.shape[1]))
    np.add.at(means, labels, vectors)
    means /= np.maximum(counts, 1)[:, None]
    inside = vectors - means[labels]
    scatter = inside.T.astype(np.float64) @ inside / len(vectors)
    scatter += (RIDGE * np.trace(scatter) / len(scatter) + 1e-9) * np.eye(len(scatter))
    kernel = np.linalg.solve(scatter, means.T)
    priors = np.log(np.maximum(counts, 1e-9) / len(vectors))
    bias = priors - (means.T * kernel).sum(axis=0) / 2
    return LinearMap(kernel.astype(np.float32), bias.astype(np.float32))


def _components(
    features: Floats, labels: Labels, count: int, balance: float
) -> tuple[LinearMap, Floats]:
    """Fit whitening and principal components as one map, and tell each output's spread."""
    scale = np.sqrt((features.astype(np.float64) ** 2).sum(axis=1).mean())
    rows = np.asarray(features / scale, np.float32)
    middle = rows.mean(axis=0, dtype=np.float64)
    whitening = _whitening(rows, labels)
    whitened = (rows - middle.astype(np.float32)) @ whitening.astype(np.float32)
    lengths = np.linalg.norm(whitened, axis=1, keepdims=True)
    axes = _principal_axes(whitened / np.maximum(lengths, 1e-9))[:, :count]
    spread = (whitened @ axes.astype(np.float32)).std(axis=0, dtype=np.float64)
    # Of fewer photos than numbers, the last components have no spread up to rounding.
    spread = np.maximum(spread, spread.max(initial=1e-9) * 1e-3)
    gains = (spread / spread[0]) ** -balance / spread[0]
    kernel = whitening @ axes * gains
    fitted = LinearMap((kernel / scale).astype(np.float32), (-middle @ kernel).astype(np.float32))
    return fitted, spread * gains


def _whitening(rows: Floats, labels: Labels) -> Floats:
    """Give the map that shortens directions by how rows of one class differ in them."""
    _, own, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), rows.shape[1]))
    np.add.at(means, own, rows)
    inside = rows - (means / counts[:, None])[own].astype(np.float32)
    inside /= np.sqrt(np.maximum(counts - 1, 1))[own, None].astype(np.float32)
    scatter = (inside.T @ inside).astype(np.float64)
    if (trace := np.trace(scatter)) > 0:
        scatter *= len(scatter) / trace
    values, axes = np.linalg.eigh(scatter + SHRINKAGE * np.eye(len(scatter)))
    return np.asarray(axes / np.sqrt(values))


def _principal_axes(rows: Floats) -> Floats:
    """Give the directions in which rows vary most, as columns, the widest first."""
    centred = rows - rows.mean(axis=0)
    return np.asarray(np.linalg.eigh((centred.T @ centred).astype(np.float64))[1][:, ::-1])


def _composed(first: LinearMap, kernel: Floats) -> LinearMap:
    """Multiply a matrix behind a map into it."""
    return LinearMap(
        (first.kernel @ kernel).astype(np.float32), (first.bias @ kernel).astype(np.float32)
    )
