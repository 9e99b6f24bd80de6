"""A tiny encoder for tests in which what a photo looks like does not matter."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SIDE, DIMENSION = 32, 8  # the least that is allowed


def tiny_encoder(
    *,
    seed: int = 0,
    names: str = "",
    images: str = "images",
    embeddings: str = "embeddings",
    batch: str | int = "batch",
    kind: int = TensorProto.UINT8,
    unit: bool = True,
    swapped: bool = False,
    details: int = 0,
    classes: int = 0,
) -> bytes:
    """Build mean colour → linear map → unit length, with what a test wants otherwise."""
    weights = np.random.default_rng(seed).standard_normal((3, DIMENSION)).astype(np.float32)
    n = names
    nodes = [
        helper.make_node("Cast", [images], [f"{n}f"], to=TensorProto.FLOAT),
        helper.make_node("Identity", [images], [f"{n}unused"]),
        helper.make_node("ReduceMean", [f"{n}f"], [f"{n}m"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", [f"{n}m", f"{n}w"], [f"{n}e" if unit else embeddings]),
    ]
    if unit:
        nodes.append(helper.make_node("LpNormalization", [f"{n}e"], [embeddings], axis=1, p=2))
    if swapped:
        nodes[0], nodes[1] = nodes[1], nodes[0]
    outputs = {embeddings: DIMENSION}
    constants = {f"{n}w": weights}
    if details:  # another linear map of the mean colour
        outputs = {"details": details, **outputs}
        constants[f"{n}v"] = np.random.default_rng(seed + 1).standard_normal((3, details))
        nodes += [
            helper.make_node("MatMul", [f"{n}m", f"{n}v"], [f"{n}d"]),
            helper.make_node("LpNormalization", [f"{n}d"], ["details"], axis=1, p=2),
        ]
    if classes:  # the head of a classifier on top of the embeddings
        outputs["probabilities"] = classes
        constants[f"{n}h"] = np.random.default_rng(seed + 2).standard_normal((DIMENSION, classes))
        nodes += [
            helper.make_node("MatMul", [embeddings, f"{n}h"], [f"{n}l"]),
            helper.make_node("Softmax", [f"{n}l"], ["probabilities"], axis=1),
        ]
    graph = helper.make_graph(
        nodes,
        f"{n}graph",
        [helper.make_tensor_value_info(images, kind, [batch, SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, size])
            for name, size in outputs.items()
        ],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content
