"""Dense layers that compute a principal component map, which is where the general head starts.

A linear map to 64 numbers finds photos of unseen kinds better than a head trained from random
weights does. ReLU layers compute it nearly without loss: each component goes through the hidden
layer twice, as +c and as -c, and a bias lifts the 64 sums above zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backend import import_keras
from ..network import EMBEDDING_LAYER, EMBEDDING_UNITS, HIDDEN_UNITS

COMPONENTS = 384  # principal components that the hidden layer may use
PAIRED = HIDDEN_UNITS // 2  # of them are used at the start, as +c and -c
COMPONENTS_LAYER, HIDDEN_LAYER = "components", "hidden"

_BIAS = 1.5  # standard deviations of the sums: ReLU cuts few of them

Floats = NDArray[Any]


def unit_rows(rows: Floats) -> Floats:
    """Scale the rows of a matrix, shape = (n, d), to length 1."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))


def principal_head(features: Floats, seed: int) -> Any:
    """Build a head that starts as the map to the first principal components, balanced.

    Components are divided by the square root of their spread; the last of them makes way, so that
    the bias lifts all photos alike.

    Args:
        features: float, shape = (photos, d), d at least 64: what the components are fitted on.
        seed: of the rotation that spreads the components over the units.

    Returns:
        a Keras model, (batch, d) → Dense ``components``, fixed → Dense 512 ReLU → Dense 64 ReLU.
    """
    keras = import_keras()
    generator = np.random.default_rng(seed)
    length = float(np.sqrt((features**2).sum(axis=1)).mean())
    mean, values, axes = principal_components(features / length)
    axes = axes[:, :COMPONENTS]
    count = axes.shape[1]
    gain = 1 / np.sqrt(values[:EMBEDDING_UNITS].mean())
    dense = keras.layers.Dense
    head = keras.Sequential(
        [
            keras.Input((features.shape[1],)),
            dense(count, trainable=False, name=COMPONENTS_LAYER),
            dense(HIDDEN_UNITS, activation="relu", name=HIDDEN_LAYER),
            dense(EMBEDDING_UNITS, activation="relu", name=EMBEDDING_LAYER),
        ]
    )
    head.get_layer(COMPONENTS_LAYER).set_weights([axes * gain / length, -mean @ axes * gain])
    pairs = np.eye(count, PAIRED)
    head.get_layer(HIDDEN_LAYER).set_weights([np.hstack([pairs, -pairs]), np.zeros(HIDDEN_UNITS)])
    spread = np.sqrt(values[:EMBEDDING_UNITS]) * gain
    random = generator.normal(size=(EMBEDDING_UNITS, EMBEDDING_UNITS))
    random[:, 0] = 1  # the direction of the bias, to which the others are made orthogonal
    shares = spread**-0.5 / np.sqrt(spread.mean())
    sums = np.zeros((PAIRED, EMBEDDING_UNITS))
    sums[: EMBEDDING_UNITS - 1] = shares[:-1, None] * np.linalg.qr(random)[0][:, 1:].T
    bias = np.full(EMBEDDING_UNITS, _BIAS)
    head.get_layer(EMBEDDING_LAYER).set_weights([np.vstack([sums, -sums]), bias])
    return head


def fold_components(head: Any) -> list[tuple[str, list[Floats]]]:
    """Multiply the fixed first layer of a head into its hidden layer.

    Returns:
        name of a layer of the plain head → its kernel and bias, for hidden and embedding.
    """
    first, hidden, last = (
        head.get_layer(name).get_weights()
        for name in (COMPONENTS_LAYER, HIDDEN_LAYER, EMBEDDING_LAYER)
    )
    folded = [first[0] @ hidden[0], first[1] @ hidden[0] + hidden[1]]
    return [(HIDDEN_LAYER, folded), (EMBEDDING_LAYER, last)]


def principal_components(rows: Floats) -> tuple[Floats, Floats, Floats]:
    """Find the directions in which the rows of a matrix vary most.

    Args:
        rows: float, shape = (n, d).

    Returns:
        the mean, shape = (d,); variances, falling, shape = (d,), above zero; the directions, of
        unit length, as columns, shape = (d, d).
    """
    mean = rows.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov((rows - mean).T))
    # Of fewer photos than numbers, the last variances are zero up to rounding.
    return mean, np.maximum(values[::-1], values[-1] * 1e-6), axes[:, ::-1]
