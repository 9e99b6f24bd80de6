"""What an encoder file says about itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from ..infer.encoder.digest import graph_digest
from ..infer.photos.decode import RESIZE_RULE
from ..train.data.split import TRAIN
from ..train.network import EMBEDDING_LAYER
from ..train.run_folder import Run

MOST_NAMES = 8000  # characters of class names; beyond that their number alone is written
PRODUCER = "imgsim-edge"


def describe(
    run: Run, split: Mapping[str, tuple[str, str]], quantisation: str, licence: str
) -> dict[str, str]:
    """Write the metadata of an encoder.

    Args:
        run: that it was trained in.
        split: of its photos, as ``read_split`` gives it.
        quantisation: in words.
        licence: of the encoder; empty where nobody stated one.
    """
    own, classes = run.settings, run.classes()
    names = json.dumps(classes, ensure_ascii=False)
    trained_on = [name for name, (_, part) in split.items() if part == TRAIN]
    # Names of folders and no paths: where the photos lay is nobody's business.
    sets = {path.name for path in run.data}
    if len(sets) > 1:  # then a photo's name begins with its set; some may be kept out whole
        sets &= {name.split("/", 1)[0] for name in trained_on}
    start = "random" if own.weights == "none" else "pretrained"
    described = {
        "producer": f"{PRODUCER} {version(PRODUCER)}",
        "backbone": own.backbone,
        "width": f"{own.width:g}",
        "embedding_layer": EMBEDDING_LAYER,
        "preprocessing": f"upright sRGB; {RESIZE_RULE}; scaled to -1 … 1 inside the graph",
        "class_count": str(len(classes)),
        "training_data": f"{len(trained_on)} photos from {', '.join(sorted(sets))}; "
        f"{len(classes)} classes; {start} weights to start from",
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
        # Names of folders need not be valid UTF-8, and protobuf takes nothing else.
        model.metadata_props.add(key=key, value=value.encode("utf-8", "replace").decode())
    content: bytes = model.SerializeToString()
    return content
