"""Labels and their examples are kept in the index, and belong to contents."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.errors import UsageError


@pytest.fixture
def index(indexed: Path, collection: Path, tmp_path: Path) -> ImageIndex:
    shutil.copytree(indexed, tmp_path / "index")
    return ImageIndex.open(tmp_path / "index")


def test_what_was_taught_is_there_when_the_index_is_opened_again(index: ImageIndex) -> None:
    one, two, three = [photo.digest for photo in index.photos()][:3]
    index.teach("Shrek", yes=[one, two], no=[three])
    with ImageIndex.open(index.folder) as again:
        assert again.examples("Shrek") == {one: True, two: True, three: False}
        (label,) = again.labels()
        assert (label.name, label.yes, label.no) == ("Shrek", 2, 1)
        assert again.verify() == []


def test_the_last_word_counts_and_can_be_taken_back(index: ImageIndex) -> None:
    one, two, other = [photo.digest for photo in index.photos()][:3]
    index.teach("cat", yes=[one, two])
    index.teach("cat", no=[one])
    assert index.examples("cat") == {one: False, two: True}
    assert index.unteach("cat", [one, other]) == 1
    assert index.examples("cat") == {two: True}


def test_a_label_is_renamed_and_forgotten_with_its_examples(index: ImageIndex) -> None:
    one, two = [photo.digest for photo in index.photos()][:2]
    index.teach("cat", yes=[one])
    index.teach("dog", yes=[two])
    with pytest.raises(UsageError, match="already"):
        index.rename_label("cat", "dog")
    index.rename_label("cat", "Shrek")
    assert [label.name for label in index.labels()] == ["Shrek", "dog"]
    assert index.forget_label("Shrek") == 1
    index.teach("Shrek")
    assert index.examples("Shrek") == {}


def test_photos_are_found_by_their_contents(index: ImageIndex) -> None:
    photos = list(index.photos())
    wanted = [photos[4], photos[1]]
    found = index.photos_of([photo.digest for photo in wanted] + [b"unknown"])
    assert found == [photos[1], photos[4]]


@pytest.mark.parametrize("name", ["", " ", "two\nlines", " cat"])
def test_a_name_is_one_line_of_text(index: ImageIndex, name: str) -> None:
    with pytest.raises(UsageError, match="no name"):
        index.teach(name)


def test_an_unknown_label_is_refused_with_those_that_there_are(index: ImageIndex) -> None:
    index.teach("cat")
    for ask in (index.examples, index.forget_label):
        with pytest.raises(UsageError, match=r"no label 'dog' \(there are: cat\)"):
            ask("dog")
