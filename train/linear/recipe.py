"""The linear recipe: an encoder for photos of any kind, on a backbone that stays as it is.

One pass over the photos gives the pooled features of the pretrained network; three layers are then
fitted to them in closed form, in seconds. Labels say how photos of one class differ, and no more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..classifier.task import Floats, Task, predict
from ..data.split import TEST, TRAIN
from ..errors import DataError, WeightsError
from ..network import (
    DETAILS_UNITS,
    EMBEDDING_LAYER,
    HIDDEN_LAYER,
    HIDDEN_UNITS,
    NO_WEIGHTS,
    OUTPUT_LAYER,
    build_backbone,
    build_head,
    join,
    pooled_features,
    with_details,
)
from ..run_folder import Run
from .maps import LinearMap, details_map, discriminant_layer, embedding_layers


class LinearTrainer:
    """Fits one run by the linear recipe.

    Args:
        run: its folder.
        task: what to learn.
    """

    def __init__(self, run: Run, task: Task) -> None:
        self._task, self._settings = task, run.settings
        self._raw_test_features: Floats | None = None

    def train(self) -> Any:
        """Fit all three layers.

        Returns:
            the classifier with its details, see :func:`~imgsim_edge.train.network.with_details`.

        Raises:
            DataError: too few training photos.
            WeightsError: of the pretrained weights, or there are none to start from.
        """
        own, task = self._settings, self._task
        train, units = task.split.train, own.embedding_units
        if len(train) < units:
            raise DataError(f"{units} training photos are needed at least, there are {len(train)}")
        if own.weights == NO_WEIGHTS:
            raise WeightsError(
                "the linear recipe keeps what pretrained weights see: start from ImageNet's or "
                "from a file"
            )
        backbone = build_backbone(own.backbone, own.width, own.image_size, own.weights)
        channels = backbone.output_shape[1]
        pooled, read = pooled_features(backbone), task.store.read
        features = predict(pooled, read, train, f"features of the {TRAIN} photos")
        tested = predict(backbone, read, task.split.test, f"features of the {TEST} photos")
        self._raw_test_features = tested

        labels, means = task.labels[train], features[:, :channels]
        hidden, embedding = embedding_layers(means, labels, HIDDEN_UNITS, units, own.seed)
        vectors = np.maximum(embedding(np.maximum(hidden(means), 0)), 0)
        layers = {
            HIDDEN_LAYER: hidden,
            EMBEDDING_LAYER: embedding,
            OUTPUT_LAYER: _classes_layer(vectors, labels, task.classes),
        }
        head = build_head(channels, task.classes, units)
        for name, fitted in layers.items():
            head.get_layer(name).set_weights(fitted.weights())
        details = details_map(features, labels, DETAILS_UNITS)
        return with_details(join(backbone, head), details.weights())

    def keep_best_so_far(self) -> bool:
        """Keep nothing: there is nothing before everything is fitted."""
        return False

    def raw_test_features(self) -> Floats:
        """Give the backbone's pooled features of the test part, once trained.

        Returns:
            float32, shape = (photos, channels).
        """
        assert self._raw_test_features is not None
        return self._raw_test_features

    def history(self) -> tuple[dict[str, Any], ...]:
        """Give no rows: there are no epochs."""
        return ()


def _classes_layer(vectors: Floats, labels: Any, classes: int) -> LinearMap:
    fitted = discriminant_layer(vectors, labels, classes)
    if classes != 2:
        return fitted
    difference = [own[..., 1:] - own[..., :1] for own in (fitted.kernel, fitted.bias)]
    return LinearMap(*difference)  # of the sigmoid
