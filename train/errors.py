"""What can go wrong in training, beyond the errors of the runtime."""

from __future__ import annotations

from ..infer.errors import ImgsimError


class DataError(ImgsimError):
    """Labelled photos that cannot be trained on as they are."""


class RunError(ImgsimError):
    """A run folder that is missing, half-written, damaged, or of another format."""


class WeightsError(ImgsimError):
    """Pretrained weights that are missing or belong to another architecture."""


class MissingExtraError(ImgsimError):
    """The packages of the extra ``train`` are not installed."""
