"""From a few examples to the other photos that show the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, fails
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.arrays import Vectors
from imgsim_edge.infer.errors import UsageError
from imgsim_edge.infer.labels.classifier import Centre, learn
from imgsim_edge.infer.labels.suggest import suggest

CLASSES = ("astronaut", "coffee", "flower", "hubble_deep_field")


@pytest.fixture(scope="session")
def taught(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of four classes of 20 photos, without labels; only to be read."""
    folder = tmp_path_factory.mktemp("taught") / "index"
    with ImageIndex.create(folder) as index:
        index.add([labelled])
    return folder


@pytest.fixture
def index(taught: Path, tmp_path: Path) -> ImageIndex:
    import shutil

    shutil.copytree(taught, tmp_path / "index")
    return ImageIndex.open(tmp_path / "index")


def digests(index: ImageIndex, folder: Path) -> list[bytes]:
    return [photo.digest for photo in index.photos(within=folder)]


def test_one_example_finds_its_class(index: ImageIndex, labelled: Path) -> None:
    for name in CLASSES:
        index.teach(name, yes=digests(index, labelled / name)[:1])
        answers = suggest(index, name, 10).answers
        right = sum(answer.photo.path.parent.name == name for answer in answers)
        assert right >= 8, name
        assert [answer.rank for answer in answers] == list(range(1, 11))


def test_examples_and_what_is_said_not_to_show_it_are_no_answers(
    index: ImageIndex, labelled: Path
) -> None:
    yes = digests(index, labelled / "coffee")[:3]
    no = digests(index, labelled / "flower")[:2]
    index.teach("coffee", yes=yes, no=no)
    found = suggest(index, "coffee", 1000)
    assert len(found.answers) == 75
    assert not {answer.photo.digest for answer in found.answers} & {*yes, *no}
    assert found.quality is not None and found.quality > 0.5  # the sample holds unnamed coffee


def test_a_no_pushes_its_like_down(index: ImageIndex, labelled: Path) -> None:
    coffee, flower = (digests(index, labelled / name) for name in ("coffee", "flower"))
    index.teach("coffee", yes=coffee[:1])

    def places() -> float:
        answers = suggest(index, "coffee", 1000).answers
        return float(np.mean([one.rank for one in answers if one.photo.digest in flower[3:]]))

    before = places()
    index.teach("coffee", no=flower[:3])
    assert places() > before


def test_probabilities_fall_with_rank_and_questions_are_the_doubtful_ones(
    index: ImageIndex, labelled: Path
) -> None:
    index.teach("coffee", yes=digests(index, labelled / "coffee")[:5])
    found = suggest(index, "coffee", 1000)
    chances = [answer.probability for answer in found.answers]
    assert chances == sorted(chances, reverse=True)
    assert 0 < chances[-1] < chances[0] < 1
    distance = {one.photo.id: abs(one.probability - 0.5) for one in found.answers}
    asked = {one.photo.id for one in found.questions}
    assert asked == {one.photo.id for one in found.answers if one.ask}
    assert max(distance[one] for one in asked) <= min(
        value for one, value in distance.items() if one not in asked
    )


def test_answers_can_be_kept_to_a_folder(index: ImageIndex, labelled: Path) -> None:
    index.teach("coffee", yes=digests(index, labelled / "coffee")[:2])
    answers = suggest(index, "coffee", within=labelled / "flower").answers
    assert len(answers) == 20
    assert {one.photo.path.parent.name for one in answers} == {"flower"}


def test_a_label_without_an_example_in_the_index_is_refused(index: ImageIndex) -> None:
    index.teach("cat", yes=[b"elsewhere"])
    with pytest.raises(UsageError, match="no photo of the index is an example"):
        suggest(index, "cat")


def test_unlabelled_photos_of_the_class_in_the_sample_do_not_spoil_it() -> None:
    random = np.random.default_rng(0)
    centre = Centre(np.zeros(16, np.float32), np.empty(0, np.float32))

    def photos(count: int, shown: bool) -> Vectors:
        vectors = random.standard_normal((count, 16)).astype(np.float32)
        vectors[:, 0] += 4 * shown
        return centre.features(vectors, np.empty((count, 0), np.float32))

    # A third of the sample shows the thing, too, and counts as "not".
    sample = np.vstack([photos(200, True), photos(400, False)])
    learnt = learn(photos(10, True), photos(0, True), sample)
    scores = learnt.scores(sample)
    assert np.mean(scores[:200] > np.median(scores[200:])) > 0.97
    unseen = learnt.scores(photos(500, True))
    assert np.mean(unseen > np.median(scores[200:])) > 0.97


def test_new_photos_are_suggested_for_when_they_are_indexed(
    run: Run, labelled: Path, tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "photos"
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for path in sorted((labelled / name).iterdir())[: 10 if name == "coffee" else 20]:
            shutil.copy(path, folder / name)
    run("index", folder)
    run("teach", "coffee", folder / "coffee")
    later = sorted((labelled / "coffee").iterdir())[10:]
    for path in later:
        shutil.copy(path, folder / "coffee")
    done = run("index", "--json")
    told = json.loads(done.stdout)
    assert told["added"] == len(later)
    count = told["suggested"]["coffee"]
    assert 1 <= count <= len(later)
    assert f"coffee: {count} new photo" in done.stderr
    assert json.loads(run("index", "--json").stdout)["suggested"] == {}


def test_suggestions_see_one_committed_state(index: ImageIndex, labelled: Path) -> None:
    index.teach("coffee", yes=digests(index, labelled / "coffee")[:5])
    with index.frozen() as frozen:
        before = [one.photo.id for one in suggest(frozen, "coffee", 5).answers]
        index.teach("coffee", yes=digests(index, labelled / "coffee"))
        assert [one.photo.id for one in suggest(frozen, "coffee", 5).answers] == before
    assert not {one.photo.id for one in suggest(index, "coffee", 5).answers} & set(before)


def test_the_commands_teach_suggest_ask_and_take_back(
    run: Run, labelled: Path, taught: Path, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(taught, tmp_path / "index")
    coffee = sorted((labelled / "coffee").iterdir())
    told = run("teach", "coffee", *coffee[:2], "--not", labelled / "flower")
    assert (told.status, told.stdout) == (0, "coffee: 2 photos, 20 that are not\n")
    found = run("suggest", "coffee", "-k", "5", "--json")
    assert found.status == 0, found.stderr
    answers = [json.loads(line) for line in found.stdout.splitlines()]
    assert [Path(answer["path"]).parent.name for answer in answers] == ["coffee"] * 5
    assert run("suggest", "coffee", "-k", "3").stdout.count("coffee/") == 3
    assert "20 examples taken back" in run("unteach", "coffee", labelled / "flower").stderr
    assert run("labels", "--rename", "coffee", "cup").stdout == "cup: 2 photos, 0 that are not\n"
    assert run("labels", "--forget", "cup").stdout == ""


def test_similar_photos_can_be_kept_to_a_label(run: Run, index: ImageIndex, labelled: Path) -> None:
    told = sorted((labelled / "coffee").iterdir())[:4]
    index.teach("cup", yes=[index.find(path).digest for path in told])
    assert [photo.path for photo in index.photos(label="cup")] == told
    found = run("similar", labelled / "coffee" / "19.jpg", "--label", "cup", "--json", "--all")
    assert {json.loads(line)["path"] for line in found.stdout.splitlines()} == set(map(str, told))
    fails(run("similar", told[0], "--label", "dog"), "no label 'dog'", "cup")


def test_errors_are_one_line(run: Run, taught: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(taught, tmp_path / "index")
    fails(run("suggest", "cat"), "no label 'cat'", "teach")
    fails(run("teach", "cat", tmp_path / "nowhere.jpg"), "is not in the index", "imgsim-edge index")
    fails(run("unteach", "cat", tmp_path / "nowhere.jpg"), "is not in the index")
    fails(run("labels", "--forget", "cat"), "no label 'cat'")
