"""Models, and the files that people and other programs may change: plans, journals, lists."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
from imgsim_edge.infer.cleanup.apply import HARDLINK, MOVE, CleanupReport, apply, undo
from imgsim_edge.infer.cleanup.plan import Plan, PlannedFile, PlannedGroup, read_plan, write_plan
from imgsim_edge.infer.encoder.embed import content_digest
from imgsim_edge.infer.encoder.onnx_encoder import Encoder
from imgsim_edge.infer.errors import ImgsimError
from imgsim_edge.infer.labels.sidecar import keywords, merge
from imgsim_edge.infer.photos.ignore import patterns
from onnx import TensorProto, helper, numpy_helper
from target import Target
from tiny import DIMENSION, SIDE, tiny_encoder


class Models(Target):
    """Encoder files."""

    name = "models"

    def __init__(self) -> None:
        self.originals = [tiny_encoder(), tiny_encoder(details=16, classes=3), _convolutions()]

    def judge(self, content: bytes, folder: Path) -> None:
        path = folder / "model.onnx"
        path.write_bytes(content)
        try:
            encoder = Encoder(path, threads=1)
            encoder.try_out()
        except ImgsimError as error:
            self.one_line(str(error))
            return
        assert len(encoder.digest) == 32


def _convolutions() -> bytes:
    """Make a small network of what MobileNets have: padding, convolutions, quantised numbers."""
    random = np.random.default_rng(0)
    weights = {
        "pads": np.array([0, 0, 0, 0, 0, 0, 1, 1]),
        "scale": np.float32(1 / 64),
        "zero": np.int8(0),
        "kernel": random.integers(-100, 100, (8, 3, 3, 3)).astype(np.int8),
        "depthwise": random.standard_normal((8, 1, 3, 3)).astype(np.float32),
        "low": np.float32(0),
        "high": np.float32(6),
        "dense": random.standard_normal((8, DIMENSION)).astype(np.float32),
        "bias": random.standard_normal(DIMENSION).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Pad", ["planes", "pads"], ["padded"]),
        helper.make_node("DequantizeLinear", ["kernel", "scale", "zero"], ["real"]),
        helper.make_node("Conv", ["padded", "real"], ["c1"], strides=[2, 2]),
        helper.make_node("Clip", ["c1", "low", "high"], ["r1"]),
        helper.make_node("Conv", ["r1", "depthwise"], ["c2"], group=8, pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c2"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense", "bias"], ["e"]),
        helper.make_node("LpNormalization", ["e"], ["embeddings"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", DIMENSION])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"licence": "none", "backbone": "tiny"})
    return bytes(model.SerializeToString())


PHOTO, OTHER = b"one photo", b"another one"


class _Album(Target):
    """A folder with some copies, as `apply` and `undo` find it."""

    is_text = True

    def prepare(self, folder: Path) -> None:
        # Beside the folder and not in it, so that the files have the same names in every process.
        self.root = Path("/tmp/imgsim-edge-fuzz") / str(os.getpid())

    def album(self) -> Path:
        shutil.rmtree(self.root, ignore_errors=True)
        album = self.root / "album"
        (album / "old").mkdir(parents=True)
        for name in ("keep.jpg", "a.jpg", "old/b.jpg"):
            (album / name).write_bytes(PHOTO)
        (album / "other.jpg").write_bytes(OTHER)
        return album

    def contents(self) -> Counter[bytes]:
        files = (path for path in self.root.rglob("*") if path.is_file())
        kept = (path for path in files if path.suffix == ".jpg")
        return Counter(hashlib.sha256(path.read_bytes()).digest() for path in kept)

    def plan(self, album: Path) -> Plan:
        def planned(name: str) -> PlannedFile:
            content = (album / name).read_bytes()
            return PlannedFile(album / name, content_digest(content), len(content))

        going = (planned("a.jpg"), planned("old/b.jpg"))
        return Plan((PlannedGroup(planned("keep.jpg"), going),))

    def applied(self, plan: Plan, action: str, journals: str) -> CleanupReport:
        roots, target = [self.root / "album"], self.root / "away"
        return apply(plan, action, self.root / journals, roots=roots, target=target)

    def placed(self, content: bytes) -> bytes:
        """Let the paths in a file name this process's album."""
        return content.replace(b"/ALBUM", str(self.root).encode())


class Plans(_Album):
    """Plans, carried out and taken back."""

    name = "plans"

    def __init__(self) -> None:
        self.root = Path("/tmp/imgsim-edge-fuzz") / f"{os.getpid()}-plan"
        path = self.root / "plan.json"
        write_plan(self.plan(self.album()), path)
        self.originals = [path.read_bytes().replace(str(self.root).encode(), b"/ALBUM")]
        shutil.rmtree(self.root)

    def judge(self, content: bytes, folder: Path) -> None:
        self.album()
        before, path = self.contents(), self.root / "plan.json"
        path.write_bytes(self.placed(content))
        for action in (MOVE, HARDLINK):
            try:
                plan = read_plan(path)
                report = self.applied(plan, action, "journals")
            except ImgsimError as error:
                self.one_line(str(error))
            else:
                for refused in report.refused:
                    self.one_line(refused.reason)
                assert self.contents() == before, f"{action} lost something"
                if report.done:
                    back = undo(self.root / "journals")
                    assert len(back.done) == len(report.done), back.refused
            assert self.contents() == before, f"undoing {action} lost something"


class Journals(_Album):
    """Journals, taken back."""

    name = "journals"

    def __init__(self) -> None:
        self.root = Path("/tmp/imgsim-edge-fuzz") / f"{os.getpid()}-journal"
        self.originals = []
        for action in (MOVE, HARDLINK):
            album = self.album()
            report = self.applied(self.plan(album), action, "journals")
            content = report.journal.read_bytes()
            self.originals.append(content.replace(str(self.root).encode(), b"/ALBUM"))
        shutil.rmtree(self.root)

    def judge(self, content: bytes, folder: Path) -> None:
        album = self.album()
        action = HARDLINK if b'"hardlink"' in content else MOVE
        report = self.applied(self.plan(album), action, "real")
        assert len(report.done) == 2
        before, path = self.contents(), self.root / "journal.jsonl"
        path.write_bytes(self.placed(content))
        try:
            back = undo(self.root / "journals", path)
        except ImgsimError as error:
            self.one_line(str(error))
        else:
            for refused in back.refused:
                self.one_line(refused.reason)
        # A second copy may go where the journal says that the first one is back.
        assert set(self.contents()) == set(before), "something was lost"


class Sidecars(Target):
    """XMP sidecars, read and brought up to date."""

    name, is_text = "sidecars (XMP)", True

    def prepare(self, folder: Path) -> None:
        self.photo = folder / "photo.jpg"
        self.sidecar = folder / "photo.jpg.xmp"

    def __init__(self) -> None:
        import tempfile

        with tempfile.TemporaryDirectory() as place:
            merge(Path(place) / "photo.jpg", ["cat", "Ä & b"])
            own = (Path(place) / "photo.jpg.xmp").read_bytes()
        hierarchy = (
            b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/'
            b'22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:lr="http://ns.adobe.com/'
            b'lightroom/1.0/"><lr:hierarchicalSubject><rdf:Bag><rdf:li>animals|cat</rdf:li></rdf:'
            b"Bag></lr:hierarchicalSubject></rdf:Description></rdf:RDF></x:xmpmeta>"
        )
        self.originals = [own, hierarchy]

    def judge(self, content: bytes, folder: Path) -> None:
        self.sidecar.write_bytes(content)
        try:
            keywords(self.sidecar)
            merge(self.photo, ["dog"])
            assert "dog" in keywords(self.sidecar)
        except ImgsimError as error:
            self.one_line(str(error))
            assert self.sidecar.read_bytes() == content
        assert len(list(folder.iterdir())) == 1


class Ignored(Target):
    """Lists of what is passed over."""

    name, is_text = "lists of what to pass over", True
    originals = (b"*.tmp\n# words\n/old/**/x?.jpg\n[a-c]*/\nraw/**\n**/thumbs/*.png\n",)

    def judge(self, content: bytes, folder: Path) -> None:
        from imgsim_edge.infer.photos.ignore import IGNORE_FILE, patterns_in

        (folder / IGNORE_FILE).write_bytes(content)
        path = "/".join(["old", "a"] * 12 + ["xy.jpg"])
        for pattern in patterns_in(str(folder), ""):
            pattern.fits(path, "xy.jpg", False)
        patterns(["*.jpg"])


class Splits(Target):
    """Split files of a training."""

    name, is_text = "split files", True
    originals = (
        b'path,label,part\r\na/1.jpg,a,train\r\nb/2.jpg,b,test\r\n"b/3,4.jpg",b,valid\r\n',
    )

    def judge(self, content: bytes, folder: Path) -> None:
        from imgsim_edge.train.data.split import read_split

        (folder / "split.csv").write_bytes(content)
        try:
            read_split(folder / "split.csv")
        except ImgsimError as error:
            self.one_line(str(error))


def targets() -> list[Target]:
    """Give the kinds of files that are neither photos nor parts of an index."""
    return [Models(), Plans(), Journals(), Sidecars(), Ignored(), Splits()]
