"""Keras on TensorFlow, imported when it is first needed and kept quiet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from .errors import MissingExtraError

INSTALL = 'training and export need more packages: pip install "imgsim-edge[train]"'


def require_extra() -> None:
    """Find out, without importing them, whether the packages of the extra are there.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    for package in ("tensorflow", "keras", "tf2onnx", "onnx", "albumentations"):
        if find_spec(package) is None:
            raise MissingExtraError(INSTALL)


def import_keras() -> Any:
    """Import Keras with its TensorFlow backend and return the module.

    Raises:
        MissingExtraError: Keras or TensorFlow is not installed.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user's ~/.keras/keras.json names
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _silent_libraries():
            import keras
            import tensorflow
    except ImportError as error:
        raise MissingExtraError(INSTALL) from error
    tensorflow.get_logger().setLevel("ERROR")
    return keras


@contextmanager
def _silent_libraries() -> Iterator[None]:
    """Keep off stderr what TensorFlow's libraries say before any setting reaches them."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def configure(threads: int, seed: int) -> None:
    """Set how many cores TensorFlow uses, and every random seed.

    With one thread, results repeat exactly on one machine; with several, sums are added up in
    varying order.

    Args:
        threads: cores for one operation and for operations side by side.
        seed: of Python's, numpy's and TensorFlow's generators.
    """
    keras = import_keras()
    import tensorflow

    try:
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        pass  # TensorFlow has started in this process already and keeps what it started with
    keras.utils.set_random_seed(seed)
    if threads == 1:
        tensorflow.config.experimental.enable_op_determinism()
