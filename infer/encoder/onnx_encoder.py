"""Stage 3: pixels become unit vectors, by an ONNX encoder.

The contract of an encoder file: one input ``images``, uint8 ``[batch, size, size, 3]``, upright
sRGB; an output ``embeddings``, float32 ``[batch, dimension]``, of unit length; and, where there is
one, an output ``details``, float32 ``[batch, details_dimension]``, of unit length too: a finer
vector of the same photo, by which the best candidates are put in order. Scaling, layout and
normalisation are inside the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Vectors
from ..errors import EncoderError
from ..machine import available_cores, available_memory
from .digest import graph_digest
from .model_check import check_model
from .session import cpu_session, session_options
from .shipped import SHIPPED

if TYPE_CHECKING:  # an index of unchanged files is looked at without Pillow
    from ..arrays import Pixels


INPUT_NAME, OUTPUT_NAME, DETAILS_NAME = "images", "embeddings", "details"
PROBABILITIES_NAME = "probabilities"  # of the classes
FEATURES_NAME = "features"  # by which a photo of none of them is told
EXTRAS = (PROBABILITIES_NAME, FEATURES_NAME)  # both may be there; vectors do without
RUN_BATCH = 4  # photos in one run of the network; more make none of them quicker, but take memory
IMAGE_SIZES = range(32, 1024 + 1)  # pixels, that an encoder may take
DIMENSIONS = range(8, 4096 + 1)  # of the vectors that it may give
_UNIT_TOLERANCE = 1e-2  # |length − 1| of an embedding; half precision stays far below


@dataclass(frozen=True)
class Contract:
    """What an encoder file declares.

    Attributes:
        image_size: side of the photos it takes, in pixels.
        dimension: length of the embeddings it gives.
        details_dimension: length of the details it gives; 0 where it gives none.
        class_count: of the classes whose probabilities it gives; 0 where it gives none.
        features_dimension: length of the features it gives; 0 where it gives none.
        metadata: the file's ``metadata_props``.
    """

    image_size: int
    dimension: int
    details_dimension: int
    class_count: int
    features_dimension: int
    metadata: dict[str, str]


@dataclass(frozen=True)
class Encodings:
    """What an encoder makes of some photos. Rows are of unit length, or all zero.

    Attributes:
        embeddings: float32, shape = (photos, dimension): to find neighbours by.
        details: float32, shape = (photos, details_dimension): to put them in order by; of no
            columns where the encoder gives none.
    """

    embeddings: Vectors
    details: Vectors


def model_path(model: Path | str) -> Path:
    """Find an encoder by the name of a shipped one (``"default"``, ``"fp32"``) or by its path.

    Raises:
        EncoderError: there is no such file.
    """
    for shipped in SHIPPED:
        if shipped.name == str(model):
            return shipped.path
    path = Path(model)
    if not path.is_file():
        names = ", ".join(shipped.name for shipped in SHIPPED)
        raise EncoderError(f"no such model: {path} (give an .onnx file, or one of: {names})")
    return path


class Encoder:
    """An encoder, loaded and ready.

    Args:
        model: the name of a shipped encoder or the path of an ``.onnx`` file.
        threads: cores that one call may use; every core of this process by default. Whoever calls
            it from several threads at once gets the most photos a second with one core each.

    Raises:
        EncoderError: the file is missing, damaged, or not an encoder of the contract.

    All methods may be called from several threads at once.
    """

    def __init__(self, model: Path | str = "default", threads: int | None = None) -> None:
        self.path = model_path(model)
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise EncoderError(f"cannot read the model {self.path}: {error.strerror}") from error
        options = session_options(intra_op_num_threads=threads or available_cores())
        # Waiting threads would otherwise burn cores that have something else to do.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Operators that are harmless each can still build something huge together.
        _bound_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
        try:
            check_model(content)
            self.digest = graph_digest(content)
            self._session = cpu_session(content, options)
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise EncoderError(f"{self.path} is not a usable ONNX model: {reason}") from error
        self._contract = _contract(self._session, self.path)

    @property
    def image_size(self) -> int:
        """Side of the photos it takes, in pixels."""
        return self._contract.image_size

    @property
    def dimension(self) -> int:
        """Length of the embeddings it gives."""
        return self._contract.dimension

    @property
    def details_dimension(self) -> int:
        """Length of the details it gives; 0 where it gives none."""
        return self._contract.details_dimension

    @property
    def class_count(self) -> int:
        """How many classes it gives probabilities of; 0 where it gives none."""
        return self._contract.class_count

    @property
    def features_dimension(self) -> int:
        """Length of the features that tell strangers of all classes; 0 where it gives none."""
        return self._contract.features_dimension

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about its origin (producer, backbone, training data, licence, …)."""
        return self._contract.metadata

    def try_out(self) -> None:
        """Encode some pictures, before an index is made that relies on it.

        Raises:
            EncoderError: it fails, gives no unit vectors, or the same one for all the pictures.
        """
        vectors = self.encode(_trial_pictures(self.image_size)).embeddings
        if np.allclose(vectors[1:], vectors[0], rtol=0.0, atol=1e-6):
            raise EncoderError(f"{self.path} gives the same vector for different pictures")

    def encode(self, images: Pixels) -> Encodings:
        """Encode a batch of photos, of any length: it goes through the network in small parts.

        Args:
            images: uint8, shape = (batch, image_size, image_size, 3), upright sRGB.

        Returns:
            embeddings and details of one run of the network. Rows are of unit length (or all zero,
            where no unit answered); the dot product of two is their cosine similarity.

        Raises:
            ValueError: the batch has another type or shape.
            EncoderError: the network failed or gave something other than unit vectors.
        """
        widths = {OUTPUT_NAME: self.dimension}
        if self.details_dimension:
            widths[DETAILS_NAME] = self.details_dimension
        given = self._run(images, widths)
        for name, vectors in given.items():
            lengths = np.linalg.norm(vectors, axis=1)
            if not np.all((np.abs(lengths - 1.0) < _UNIT_TOLERANCE) | (lengths == 0.0)):
                raise EncoderError(f"{self.path} does not give {name} of unit length")
        none = np.empty((len(images), 0), np.float32)
        return Encodings(given[OUTPUT_NAME], given.get(DETAILS_NAME, none))

    def probabilities_and_features(self, images: Pixels) -> tuple[Vectors, Vectors]:
        """Tell the classes of photos, and what tells strangers, in one run of the network.

        Args:
            images: as for :meth:`encode`.

        Returns:
            probabilities, float32, shape = (batch, class_count), whose rows sum to 1, and features,
            float32, shape = (batch, features_dimension), of any length.

        Raises:
            ValueError: the batch has another type or shape, or it gives no such outputs.
            EncoderError: the network failed or gave something other than probabilities.
        """
        widths = {PROBABILITIES_NAME: self.class_count, FEATURES_NAME: self.features_dimension}
        if not all(widths.values()):
            raise ValueError(f"{self.path} tells no classes")
        given = self._run(images, widths)
        sums = given[PROBABILITIES_NAME].sum(axis=1)
        if not np.all(np.abs(sums - 1) < _UNIT_TOLERANCE) or given[PROBABILITIES_NAME].min() < 0:
            raise EncoderError(f"{self.path} gives probabilities that do not sum to 1")
        return given[PROBABILITIES_NAME], given[FEATURES_NAME]

    def _run(self, images: Pixels, widths: dict[str, int]) -> dict[str, Vectors]:
        """Run some outputs of the network, by name → numbers of a row, in small parts."""
        expected = (self.image_size, self.image_size, 3)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"need uint8 (batch, {expected}), got {images.dtype} {images.shape}")
        given = {name: np.empty((len(images), own), np.float32) for name, own in widths.items()}
        for start in range(0, len(images), RUN_BATCH):
            part = slice(start, start + RUN_BATCH)
            try:
                found = self._session.run(list(given), {INPUT_NAME: images[part]})
            except Exception as error:  # ONNX Runtime's exceptions have no common base
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise EncoderError(f"{self.path} failed: {reason}") from error
            for (name, vectors), own in zip(given.items(), found, strict=True):
                # Broadcasting would spread one row over all photos.
                if own.shape != vectors[part].shape:
                    raise EncoderError(f"{self.path} does not give {name} one row for each photo")
                vectors[part] = own
        return given


@lru_cache(maxsize=1)
def _bound_memory() -> None:
    """Lend ONNX Runtime half of this process's memory, for all encoders together."""
    import onnxruntime as ort

    kind, use = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, ort.OrtMemType.DEFAULT
    ort.create_and_register_allocator(
        ort.OrtMemoryInfo("Cpu", kind, 0, use),
        ort.OrtArenaCfg({"max_mem": available_memory() // 2}),
    )


def _trial_pictures(size: int) -> Pixels:
    """Make plain pictures and one of coloured blocks: uint8, shape = (8, size, size, 3)."""
    colours = np.array(
        [[20, 20, 20], [240, 240, 240], [200, 60, 40], [40, 90, 200], [60, 160, 60], [230, 200, 60]]
    )
    plain = np.broadcast_to(colours[:, None, None], (len(colours), size, size, 3))
    number = np.arange(size) * 8 // size  # of the block that a pixel lies in
    blocks = 37 * number[:, None, None] + 91 * number[:, None] + np.array([0, 80, 160])
    ramp = np.linspace(0, 255, size)[:, None, None] * np.array([1.0, 0.5, 0.2])
    ramps = np.broadcast_to(ramp, (size, size, 3))
    return np.concatenate([plain, [blocks % 256, ramps]]).astype(np.uint8)


def _contract(session: object, path: Path) -> Contract:
    inputs = session.get_inputs()  # type: ignore[attr-defined]
    given = {one.name: one for one in session.get_outputs()}  # type: ignore[attr-defined]
    outputs = {name: one for name, one in given.items() if name not in EXTRAS}
    embeddings, details = outputs.get(OUTPUT_NAME), outputs.get(DETAILS_NAME)
    problem = ""
    if len(inputs) != 1 or inputs[0].name != INPUT_NAME or inputs[0].type != "tensor(uint8)":
        problem = f"its input must be {INPUT_NAME!r} of uint8"
    elif embeddings is None or len(outputs) != (1 if details is None else 2):
        problem = f"its outputs must be {OUTPUT_NAME!r} and, if it has any, {DETAILS_NAME!r}"
    elif any(one.type != "tensor(float)" for one in outputs.values()):
        problem = "its outputs must be of float32"
    else:
        taken = inputs[0].shape
        if (
            len(taken) != 4
            or taken[1] != taken[2]
            or taken[3] != 3
            or not isinstance(taken[1], int)
        ):
            problem = f"its input must be [batch, size, size, 3], not {taken}"
        elif taken[1] not in IMAGE_SIZES:
            problem = (
                f"its image size must be {IMAGE_SIZES[0]} to {IMAGE_SIZES[-1]}, not {taken[1]}"
            )
        elif isinstance(taken[0], int):
            problem = f"its batch axis must be dynamic, not {taken[0]}"
        else:
            for name, one in outputs.items():
                if len(one.shape) != 2 or not isinstance(one.shape[1], int):
                    problem = f"its output {name!r} must be [batch, dimension], not {one.shape}"
                elif one.shape[1] not in DIMENSIONS:
                    least, most = DIMENSIONS[0], DIMENSIONS[-1]
                    problem = f"its output {name!r} must have {least} to {most} numbers"
    if problem:
        raise EncoderError(
            f"{path} is not an encoder: {problem} (make one with `imgsim-edge export`)"
        )
    metadata = dict(session.get_modelmeta().custom_metadata_map)  # type: ignore[attr-defined]
    return Contract(
        image_size=inputs[0].shape[1],
        dimension=outputs[OUTPUT_NAME].shape[1],
        details_dimension=0 if details is None else details.shape[1],
        class_count=_width(given.get(PROBABILITIES_NAME), path),
        features_dimension=_width(given.get(FEATURES_NAME), path),
        metadata=metadata,
    )


def _width(output: Any | None, path: Path) -> int:
    """Give how many numbers a photo an output has that may be missing; 0 then."""
    if output is None:
        return 0
    shape, kind = output.shape, output.type
    if kind != "tensor(float)" or len(shape) != 2 or not isinstance(shape[1], int):
        raise EncoderError(
            f"{path} is not an encoder: its output {output.name!r} must be float32 "
            f"[batch, numbers], not {kind} {shape}"
        )
    return shape[1]
