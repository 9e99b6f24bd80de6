"""Photos → vectors → neighbours: the light runtime of imgsim-edge.

Everything public can be imported from here; each name is loaded when it is first used, so that
importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .encoder.onnx_encoder import Encoder as Encoder
    from .errors import ImgsimError as ImgsimError
    from .index.image_index import ImageIndex as ImageIndex
    from .index.image_index import Match as Match
    from .index.items import Item as Item
    from .photos.decode import Photo as Photo
    from .photos.decode import load_photo as load_photo

_HOME = {
    "Encoder": "encoder.onnx_encoder",
    "ImgsimError": "errors",
    "ImageIndex": "index.image_index",
    "Item": "index.items",
    "Match": "index.image_index",
    "Photo": "photos.decode",
    "load_photo": "photos.decode",
}
__all__ = ["Encoder", "ImageIndex", "ImgsimError", "Item", "Match", "Photo", "load_photo"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
