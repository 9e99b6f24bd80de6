"""Indexing with few cores, little memory, or an impatient user: slower, and never worse."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from imgsim_edge.infer import Encoder, ImageIndex
from imgsim_edge.infer.encoder.embed import BATCH, DecodingRoom, embed_files
from imgsim_edge.infer.encoder.onnx_encoder import Encodings
from imgsim_edge.infer.errors import EncoderError, PhotoError
from imgsim_edge.infer.photos.decode import load_photo
from PIL import Image

RUN = "from imgsim_edge.infer.cli import main; main()"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(threads=1)


def vectors_of(paths: list[Path], encoder: Encoder, threads: int) -> list[np.ndarray]:
    files = [file for batch in embed_files(paths, encoder, threads=threads) for file in batch]
    assert [file.path for file in files] == paths
    return [file.vector for file in files if file.vector is not None]


def test_the_number_of_threads_changes_neither_order_nor_vectors(
    collection: Path, encoder: Encoder
) -> None:
    paths = sorted(collection.glob("*.jpg")) * 4
    alone = vectors_of(paths, encoder, threads=1)
    assert len(alone) == len(paths)
    np.testing.assert_array_equal(alone, vectors_of(paths, encoder, threads=5))


def test_a_batch_of_any_length_gives_the_vectors_of_its_photos(
    collection: Path, encoder: Encoder
) -> None:
    pixels = np.stack([load_photo(path).pixels for path in sorted(collection.glob("*.jpg"))[:7]])
    together = encoder.encode(pixels).embeddings
    alone = np.concatenate([encoder.encode(one[None]).embeddings for one in pixels])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert encoder.encode(pixels[:0]).embeddings.shape == (0, encoder.dimension)


def test_photos_are_looked_for_only_as_far_ahead_as_is_worked_on(
    collection: Path, encoder: Encoder
) -> None:
    path, taken = next(collection.glob("*.jpg")), []

    def endless() -> object:
        while True:
            taken.append(path)
            yield path

    batches = embed_files(endless(), encoder)
    assert len(next(batches)) == BATCH
    assert len(taken) <= 5 * BATCH
    batches.close()


def test_photos_being_decoded_never_take_more_than_their_room() -> None:
    room = DecodingRoom(shared=100, alone=1000)
    now, seen, together = 0, [], []
    lock = threading.Lock()

    def decode(need: int) -> None:
        nonlocal now
        for _ in range(50):
            with room.hold(need):
                with lock:
                    now += need
                    seen.append(now if now != need else 0)  # alone, a photo may take more
                time.sleep(0.0005)
                with lock:
                    together.append(now != need)
                    now -= need

    workers = [threading.Thread(target=decode, args=(need,)) for need in (30, 40, 60, 100, 700)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(seen) == 250
    assert max(seen) <= 100
    assert any(together)
    with pytest.raises(MemoryError), room.hold(1001):
        pass


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("photo.jpg", {}, 1000 * 750 * 3),  # what draft() leaves
        ("photo.jpg", {"progressive": True}, 2000 * 1500 * 3),
        ("photo.png", {}, 2000 * 1500 * 4),
        ("photo.webp", {}, 2000 * 1500 * 12),
    ],
)
def test_room_is_asked_for_what_a_format_needs(
    name: str, options: dict[str, bool], least: int, photographs: dict, tmp_path: Path
) -> None:
    file = tmp_path / name
    photographs["china"].resize((2000, 1500)).save(file, **options)
    room = DecodingRoom(shared=1 << 30, alone=least)
    with pytest.raises(PhotoError, match="not enough memory to decode it"):
        load_photo(file, hold=room.hold)
    assert load_photo(file, hold=DecodingRoom(1, least * 3).hold).width == 2000


def test_an_encoder_that_fails_stops_the_run_with_its_name(collection: Path) -> None:
    class Failing(Encoder):
        def encode(self, images: np.ndarray) -> Encodings:
            return super().encode(images[:, :5])

    with pytest.raises(ValueError, match="need uint8"):
        list(embed_files(collection.glob("*.jpg"), Failing()))
    broken = Encoder()
    broken._session = None  # as if the runtime had failed
    with pytest.raises(EncoderError, match="failed"):
        list(embed_files(collection.glob("*.jpg"), broken))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system pins no process")
def test_one_core_is_enough(collection: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, "index", str(collection), "--index", str(tmp_path / "i")]
    one = min(os.sched_getaffinity(0))
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, [one]),
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS holds on Linux alone")
def test_half_a_gigabyte_is_enough(collection: Path, tmp_path: Path) -> None:
    """Address space, as `ulimit -v` sets it; resident memory is far below."""
    import resource

    folder = tmp_path / "photos"
    folder.mkdir()
    for path in collection.glob("*.jpg"):
        (folder / path.name).symlink_to(path)
    large = Image.effect_noise((5000, 4000), 60)
    large.save(folder / "grey.png", compress_level=1)
    Image.merge("RGB", [large] * 3).save(folder / "colour.png", compress_level=1)
    command = [sys.executable, "-c", RUN, "index", str(folder), "--index", str(tmp_path / "index")]
    limit = 512 << 20
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr
    with ImageIndex.open(tmp_path / "index") as index:
        assert len(index) >= len(list(collection.glob("*.jpg"))) + 1


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_many_queries_answer_as_each_of_them_alone(indexed: Path, photographs: dict) -> None:
    queries = [photographs[name].rotate(3) for name in sorted(photographs)]
    with ImageIndex.open(indexed) as index:
        together = index.similar_many(queries, k=3)
        alone = [index.similar(query, k=3) for query in queries]
    assert [[m.path for m in found] for found in together] == [
        [m.path for m in found] for found in alone
    ]


def test_one_bad_query_of_many_is_named(indexed: Path, collection: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(next(collection.glob("*.jpg")).read_bytes()[:99])
    good = tmp_path / "good.jpg"
    good.write_bytes(next(collection.glob("*.jpg")).read_bytes())
    with ImageIndex.open(indexed) as index, pytest.raises(PhotoError, match=r"torn\.jpg"):
        index.similar_many([good, tmp_path / "torn.jpg", good])
