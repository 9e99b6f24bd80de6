"""The right photo comes first, whatever was done to it."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.errors import UsageError
from PIL import Image, ImageEnhance


def variants(image: Image.Image) -> dict[str, bytes]:
    """Encoded versions of a photo that people would call the same photo."""
    width, height = image.size
    turned = Image.Exif()
    turned[0x0112] = 6

    def saved(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        return file.getvalue()

    return {
        "compressed": saved(image, quality=25),
        "small": saved(image.resize((width // 3, height // 3))),
        "another format": saved(image, "WEBP", quality=70),
        "cropped": saved(image.crop((width // 8, height // 10, width - width // 9, height))),
        "turned by its flag": saved(image.transpose(Image.Transpose.ROTATE_90), exif=turned),
        "brighter": saved(ImageEnhance.Brightness(image).enhance(1.25)),
    }


def test_every_variant_of_a_photo_finds_that_photo(
    indexed: Path, photographs: dict[str, Image.Image]
) -> None:
    with ImageIndex.open(indexed) as index:
        for name, image in photographs.items():
            for kind, content in variants(image).items():
                best = index.similar(content, 2)
                assert {match.path.stem for match in best} == {name, f"{name}-crop"}, (name, kind)


def test_a_photo_of_the_index_finds_its_twin_and_not_itself(
    indexed: Path, collection: Path, photographs: dict[str, Image.Image]
) -> None:
    with ImageIndex.open(indexed) as index:
        for name in photographs:
            matches = index.similar(collection / f"{name}.jpg", 20)
            assert matches[0].path == collection / f"{name}-crop.jpg"
            assert len(matches) == 2 * len(photographs) - 1
            assert collection / f"{name}.jpg" not in [match.path for match in matches]


def test_matches_are_ranked_scored_and_sized(indexed: Path, collection: Path) -> None:
    with ImageIndex.open(indexed) as index:
        matches = index.similar(collection / "coffee.jpg", 5)
    assert [match.rank for match in matches] == [1, 2, 3, 4, 5]
    assert all(-1.0 <= match.score <= 1.0 for match in matches)
    assert sorted((match.score for match in matches), reverse=True) == [m.score for m in matches]
    with Image.open(matches[0].path) as image:
        assert (matches[0].width, matches[0].height) == image.size


def test_every_kind_of_query_gives_the_same_answer(indexed: Path, collection: Path) -> None:
    path = collection / "rocket.jpg"
    with ImageIndex.open(indexed) as index, Image.open(path) as image:
        content = path.read_bytes()
        expected = [(m.path, round(m.score, 4)) for m in index.similar(content, 4)]
        assert expected[0] == (path, 1.0)
        for query in (io.BytesIO(content), image):
            answer = index.similar(query, 4)
            assert [(m.path, round(m.score, 4)) for m in answer] == expected
        by_pixels = index.similar(np.asarray(image.convert("RGB")), 4)
        assert by_pixels[0].path == path
        assert by_pixels[0].score > 0.999
        vector = index.encoder.encode(
            np.stack([np.asarray(image.resize((224, 224), Image.Resampling.LANCZOS))])
        ).embeddings[0]
        assert index.similar(vector, 4)[0].path == path


def test_vectors_of_the_wrong_shape_are_refused(indexed: Path) -> None:
    with ImageIndex.open(indexed) as index:
        for wrong in (np.ones(63), np.zeros(64), np.full(64, np.nan)):
            with pytest.raises(UsageError, match="64 finite numbers"):
                index.similar(wrong)


def test_several_queries_at_once_answer_like_one_by_one(indexed: Path, collection: Path) -> None:
    queries = sorted(collection.glob("*.jpg"))
    with ImageIndex.open(indexed) as index:
        assert index.similar_many(queries, 5) == [index.similar(query, 5) for query in queries]


def test_many_threads_get_the_answers_of_one(indexed: Path, collection: Path) -> None:
    queries = [path.read_bytes() for path in sorted(collection.glob("*.jpg"))]
    with ImageIndex.open(indexed) as index:
        expected = [index.similar(query, 5) for query in queries]
        answers: list[object] = [None] * len(queries)

        def ask(number: int) -> None:
            answers[number] = index.similar(queries[number], 5)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(queries))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == expected
