"""What is on a photo, of the classes that an encoder was trained to tell apart: or none of them.

An exported file may give, beside its vectors, probabilities of classes, calibrated by a temperature
(Guo et al., On Calibration of Modern Neural Networks, ICML 2017). They sum to one whatever is on
the photo; so the file also gives features of the photo, and says where those of its classes lie,
and from how far away a photo is a stranger.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import Pixels, Vectors
from ..errors import EncoderError
from .onnx_encoder import Encoder

CLASSES_KEY, REGIONS_KEY = "classes", "class_regions"  # of the file's metadata


@dataclass(frozen=True, eq=False)
class ClassRegions:
    """Where in the space of an encoder's features its classes lie.

    A photo is near when most of its features lie in the directions in which known photos differ
    (the idea of ViM: Wang et al., Out-Of-Distribution with Virtual-logit Matching, CVPR 2022) and
    when it is like the mean of a class.

    Attributes:
        centre: mean of the known photos' features, float32, shape = (features,).
        directions: their first principal components, seen from there, each photo of unit length:
            float32, shape = (directions, features).
        means: of each class seen from there, float32, shape = (classes, features), unit length.
        least: nearness below which a photo is a stranger.
    """

    centre: Vectors
    directions: Vectors
    means: Vectors
    least: float

    def nearness(self, features: Vectors) -> Vectors:
        """Tell how near photos are to what is known.

        Args:
            features: float32, shape = (photos, features).

        Returns:
            the mean of the part of each photo that lies in the directions (its squared length) and
            of its cosine with the nearest class: float32, shape = (photos,), in [-0.5, 1].
        """
        moved = features - self.centre
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        moved /= np.where(lengths > 0, lengths, 1)
        inside = ((moved @ self.directions.T) ** 2).sum(axis=1)
        return np.asarray((inside + (moved @ self.means.T).max(axis=1)) / 2, np.float32)

    def to_text(self) -> str:
        """Write it as text for an encoder's metadata."""
        return json.dumps(
            {
                "centre": _packed(self.centre),
                "directions": _packed(self.directions),
                "means": _packed(self.means),
                "least": self.least,
            }
        )

    @classmethod
    def from_text(cls, text: str, classes: int, dimension: int) -> ClassRegions:
        """Read what :meth:`to_text` wrote, for that many features.

        Raises:
            ValueError: it is something else.
        """
        try:
            content = json.loads(text)
            return cls(
                _unpacked(content["centre"]).reshape(dimension),
                _unpacked(content["directions"]).reshape(-1, dimension),
                _unpacked(content["means"]).reshape(classes, dimension),
                float(content["least"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no class regions: {error}") from error


@dataclass(frozen=True)
class ClassChance:
    """A class and how probable it is.

    Attributes:
        name: of the class.
        probability: in [0, 1].
    """

    name: str
    probability: float


@dataclass(frozen=True)
class Classification:
    """What is on a photo.

    Attributes:
        classes: all of them, the most probable first.
        nearness: to what is known, see :meth:`ClassRegions.nearness`, in [-0.5, 1].
        is_stranger: the photo is farther from every class than nearly all photos of a class are:
            it shows none of them, whatever the probabilities say.
    """

    classes: tuple[ClassChance, ...]
    nearness: float
    is_stranger: bool


class PhotoClassifier:
    """An encoder that also tells classes apart, loaded and ready. Safe from several threads.

    Args:
        model: path of an ``.onnx`` file that was exported with its classes.
        threads: as for :class:`Encoder`.

    Raises:
        EncoderError: the file is no encoder, or gives no probabilities of classes.
    """

    def __init__(self, model: Path | str, threads: int | None = None) -> None:
        if Path(model).is_dir():
            raise EncoderError(
                f"{model} is a folder: name an .onnx file, which `imgsim-edge export` makes "
                "of a training"
            )
        self.encoder = Encoder(model, threads)
        count, told = self.encoder.class_count, self.encoder.metadata
        try:
            names = json.loads(told.get(CLASSES_KEY, "null"))
            self._regions = ClassRegions.from_text(
                told.get(REGIONS_KEY, "null"), count, self.encoder.features_dimension
            )
        except ValueError:
            names = None
        if not count or not isinstance(names, list) or len(names) != count:
            raise EncoderError(
                f"{self.encoder.path} tells no classes apart: `imgsim-edge export` makes one that "
                "does of a training, where it is told to"
            )
        self.classes = tuple(map(str, names))

    def classify(self, images: Pixels) -> list[Classification]:
        """Say what is on photos.

        Args:
            images: uint8, shape = (photos, image_size, image_size, 3), upright sRGB.

        Raises:
            ValueError: the batch has another type or shape.
            EncoderError: the network failed.
        """
        probabilities, features = self.encoder.probabilities_and_features(images)
        found = []
        for chances, near in zip(probabilities, self._regions.nearness(features), strict=True):
            order = np.argsort(-chances, kind="stable").tolist()
            named = tuple(ClassChance(self.classes[n], float(chances[n])) for n in order)
            found.append(Classification(named, float(near), bool(near < self._regions.least)))
        return found


def _packed(numbers: Vectors) -> str:
    return base64.b64encode(np.asarray(numbers, "<f2").tobytes()).decode()


def _unpacked(text: str) -> Vectors:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
