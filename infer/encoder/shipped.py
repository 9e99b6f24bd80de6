"""The encoders that come with the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ShippedEncoder:
    """An encoder that comes with the package.

    Attributes:
        name: what ``--model`` and :class:`.Encoder` take.
        file: its name in ``imgsim_edge.models``.
        precision: of its arithmetic: ``"int8"`` or ``"float32"``.
        dimension: numbers in an embedding.
        licence: of the file, as SPDX names it.
        purpose: what it is for.
    """

    name: str
    file: str
    precision: str
    dimension: int
    licence: str
    purpose: str

    @property
    def path(self) -> Path:
        """The file, where the package is installed."""
        from imgsim_edge import models

        return Path(models.__path__[0]) / self.file


SHIPPED = (
    ShippedEncoder(
        "default",
        "mobilenet-64.onnx",
        "int8",
        64,
        "Apache-2.0",
        "photos of any kind; the quickest where the processor multiplies int8",
    ),
    ShippedEncoder(
        "fp32",
        "mobilenet-64-fp32.onnx",
        "float32",
        64,
        "Apache-2.0",
        "the same network unquantised; for processors without int8 dot products",
    ),
)
