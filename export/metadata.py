"""What an encoder file says about itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from ..infer.fingerprint import graph_digest
from ..infer.photo import RESIZE_RULE
from ..train.network import EMBEDDING_LAYER
from ..train.run_folder import Run

MOST_NAMES = 8000  # characters of class names; beyond that their number alone is written
PRODUCER = "imgsim-edge"


def describe(run: Run, parts: Mapping[str, int], quantisation: str, licence: str) -> dict[str, str]:
    """Write the metadata of an encoder.

    Args:
        run: that it was trained in.
        parts: name of each part of the split → its number of photos.
        quantisation: in words.
        licence: of the encoder; empty where nobody stated one.
    """
    own, classes = run.settings, run.classes()
    names = json.dumps(classes, ensure_ascii=False)
    # Names of folders and no paths: where the photos lay is nobody's business.
    sets = ", ".join(path.name for path in run.data)
    start = "random" if own.weights == "none" else "pretrained"
    described = {
        "producer": f"{PRODUCER} {version(PRODUCER)}",
        "backbone": own.backbone,
        "width": f"{own.width:g}",
        "embedding_layer": EMBEDDING_LAYER,
        "preprocessing": f"upright sRGB; {RESIZE_RULE}; scaled to -1 … 1 inside the graph",
        "class_count": str(len(classes)),
        "training_data": f"{parts.get('train', 0)} photos of {len(classes)} classes from {sets}; "
        f"{start} weights to start from",
        "quantisation": quantisation,
        "licence": licence or "not stated",
    }
    if len(names) <= MOST_NAMES:
        described["classes"] = names
    return described


def stamp(model: Any, metadata: Mapping[str, str]) -> bytes:
    """Write metadata into an ``onnx.ModelProto``, with the digest of its content.

    Returns:
        the bytes of the file.
    """
    del model.metadata_props[:]
    model.producer_name, model.producer_version = PRODUCER, version(PRODUCER)
    digest = graph_digest(model.SerializeToString())  # metadata is no part of it
    for key, value in sorted({**metadata, "digest": digest}.items()):
        model.metadata_props.add(key=key, value=value)
    content: bytes = model.SerializeToString()
    return content


def counts(split: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Count the photos of each part of a split, as ``read_split`` gives it."""
    parts: dict[str, int] = {}
    for _, part in split.values():
        parts[part] = parts.get(part, 0) + 1
    return parts
