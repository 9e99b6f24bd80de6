"""`evaluate`: labelled folders in, how well photos of one class find each other out."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, fails
from imgsim_edge.infer import ImageIndex
from imgsim_edge.infer.encoder.onnx_encoder import Encoder
from imgsim_edge.infer.evaluation import stages
from imgsim_edge.infer.evaluation.labelled import labelled_photos
from imgsim_edge.infer.evaluation.retrieval import evaluate, worst_queries
from imgsim_edge.infer.evaluation.stages import (
    AVERAGED,
    CENTRED,
    DETAILS,
    EMBEDDINGS,
    GRAPH,
    Stages,
)
from imgsim_edge.infer.output.html import figure, pictures
from imgsim_edge.infer.search.exact import Nearest
from imgsim_edge.infer.search.hnsw import Graph
from imgsim_edge.infer.search.rerank import final_scores
from PIL import Image
from sklearn.metrics import average_precision_score
from tiny import tiny_encoder

MEASURES = ["mAP", "P@1", "P@10", "R-precision", "recall@10", "recall@100"]


@pytest.fixture(scope="module")
def labelled(photographs: dict[str, Image.Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with a class of four crops for each of six photographs, some of them in a subfolder."""
    folder = tmp_path_factory.mktemp("labelled") / "set"
    for name, image in sorted(photographs.items())[:6]:
        (folder / name / "more").mkdir(parents=True)
        width, height = image.size
        for number in range(4):
            cut = image.crop((width * number // 8, height * number // 8, width, height))
            place = folder / name / ("more" if number % 2 else "")
            cut.save(place / f"{number}.jpg", quality=90)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder that sees mean colours alone, in photos of another size than the shipped one."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    path.write_bytes(tiny_encoder())
    return path


def test_a_photos_class_is_the_first_folder_below_the_set(labelled: Path) -> None:
    photos = labelled_photos(labelled)
    assert len(photos.paths) == 24
    for path, label in zip(photos.paths, photos.labels, strict=True):
        assert path.relative_to(labelled).parts[0] == label


def test_average_precision_is_scikit_learns_on_real_photos(labelled: Path) -> None:
    (found,) = evaluate(labelled_photos(labelled), {"default": Encoder()})
    vectors, measured = found.collection.vectors, found.stages[EMBEDDINGS]
    cosines = np.rint((vectors @ vectors.T).astype(np.float64) * 2**20)
    labels = np.asarray(found.photos.labels)
    for query, value in zip(measured.queries, measured.of("mAP"), strict=True):
        others = np.arange(24) != query
        right = labels[others] == labels[query]
        assert value == pytest.approx(average_precision_score(right, cosines[query, others]))


def test_each_set_is_ranked_within_itself_and_the_mean_counts_each_once(
    run: Run, labelled: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    for name in ("a", "b"):
        (other / name).mkdir(parents=True)
        for photo in sorted(labelled.glob("*/0.jpg"))[:2]:  # each class holds the same two
            (other / name / f"{photo.parent.name}.jpg").write_bytes(photo.read_bytes())
    done = run("evaluate", labelled, other, "--json")
    first, second, together, mean = map(json.loads, done.stdout.splitlines())
    assert done.stderr == ""
    assert list(first["final"]) == MEASURES
    assert first["final"] == list(first["stages"].values())[-1]
    assert (first["set"], first["photos"], first["queries"]) == (str(labelled), 24, 24)
    assert (second["photos"], second["classes"]) == (4, 2)
    # The twin in the other class comes first, the only relevant photo after it.
    assert second["final"]["P@1"]["value"] == 0.0
    assert (mean["set"], mean["sets"], mean["together"]) == (None, 2, False)
    assert (together["set"], together["sets"], together["together"]) == (None, 2, True)
    assert (together["photos"], together["classes"], together["queries"]) == (28, 8, 28)
    average = (first["final"]["mAP"]["value"] + second["final"]["mAP"]["value"]) / 2
    assert mean["final"]["mAP"]["value"] == pytest.approx(average)


def test_encoders_stand_side_by_side_on_the_same_photos(
    run: Run, labelled: Path, tiny: Path
) -> None:
    both = run("evaluate", labelled, "--model", "default", "--model", tiny, "--json")
    ours, colours = map(json.loads, both.stdout.splitlines())
    alone = json.loads(run("evaluate", labelled, "--model", tiny, "--json").stdout)
    assert colours["final"] == alone["final"]
    assert list(alone["stages"]) == [EMBEDDINGS, CENTRED, GRAPH]
    assert (ours["dimension"], colours["dimension"]) == (64, 8)
    assert (ours["gain"], alone["gain"]) == (None, None)
    gain = colours["final"]["mAP"]["value"] - ours["final"]["mAP"]["value"]
    assert colours["gain"]["mAP"]["value"] == pytest.approx(gain)
    assert gain < 0  # colours alone tell less


def test_the_table_has_a_column_for_each_encoder_and_a_row_for_each_class(
    run: Run, labelled: Path, tiny: Path
) -> None:
    done = run("evaluate", labelled, "--model", "default", "--model", tiny, "--per-class")
    lines = done.stdout.splitlines()
    assert lines[0] == f"{labelled}: 24 photos, 6 classes, 24 queries"
    assert lines[1].split() == ["after", "each", "stage", "P@1", "P@10", "mAP"]
    assert ["answers", "default", str(tiny)] in [line.split() for line in lines]
    for name in [*MEASURES, *(folder.name for folder in labelled.iterdir())]:
        assert any(line.strip().startswith(f"{name} ") for line in lines), name


@pytest.fixture(scope="module")
def detailed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that gives details, too."""
    path = tmp_path_factory.mktemp("detailed") / "detailed.onnx"
    path.write_bytes(tiny_encoder(details=16))
    return path


def test_every_stage_of_the_way_through_an_index_is_measured(
    labelled: Path, detailed: Path, tmp_path: Path
) -> None:
    steps: list[tuple[int, int]] = []
    (found,) = evaluate(
        labelled_photos(labelled),
        {"detailed": Encoder(detailed)},
        progress=lambda done, total: steps.append((done, total)),
    )
    assert steps[-1] == (6 * 24, 6 * 24)  # embedded, then measured at each stage
    assert list(found.stages) == [EMBEDDINGS, CENTRED, GRAPH, DETAILS, AVERAGED]
    assert found.final is found.stages[AVERAGED]
    assert found.graph is not None
    assert found.graph.recall == 1.0  # 24 photos: it cannot miss one
    assert found.stages[GRAPH].values == pytest.approx(found.stages[CENTRED].values)

    # What is measured is what an index answers.
    with ImageIndex.create(tmp_path / "index", detailed) as index:
        index.add([labelled])
        photo_of = {photo.path: photo for photo in index.photos()}
        queries = list(range(24))
        answers = index.similar_many([photo_of[found.photos.paths[q]] for q in queries], 24)
    for query, matches in zip(queries, answers, strict=True):
        rows, scores = found.collection.answers(np.array([query]))[0]
        expected = dict(zip((found.photos.paths[row] for row in rows), scores, strict=True))
        assert {m.path: m.score for m in matches} == pytest.approx(expected)


def test_answers_are_counted_by_their_bands(labelled: Path, detailed: Path, tmp_path: Path) -> None:
    (found,) = evaluate(labelled_photos(labelled), {"detailed": Encoder(detailed)})
    counted = {name: [0, 0] for name in found.bands}
    label_of = dict(zip(found.photos.paths, found.photos.labels, strict=True))
    with ImageIndex.create(tmp_path / "index", detailed) as index:
        index.add([labelled])
        photos = list(index.photos())
        for photo, matches in zip(photos, index.similar_many(photos, 10), strict=True):
            for match in matches:
                counted[match.band][0] += label_of[match.path] == label_of[photo.path]
                counted[match.band][1] += 1
    assert {name: [one.right, one.answers] for name, one in found.bands.items()} == counted
    assert sum(one.answers for one in found.bands.values()) == 240


def test_what_the_graph_misses_is_lost(
    labelled: Path, detailed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = evaluate(labelled_photos(labelled), {"detailed": Encoder(detailed)})
    labels, vectors, codes = found.photos.labels, found.collection.vectors, found.collection.codes
    monkeypatch.setattr(stages, "candidates_for", lambda _: 15)
    lossy, without = Stages(vectors, codes), Stages(vectors, codes)
    true_nearest = Graph.nearest

    def worse(graph: Graph, queries: np.ndarray, k: int) -> list[Nearest]:
        """Answer with what follows the three photos that should have been the first answers."""
        answers = true_nearest(graph, queries, k + 3)
        return [
            Nearest(*(np.delete(one, [1, 2, 3], axis=0) for one in (a.ids, a.scores, a.vectors)))
            for a in answers
            if a is not None
        ]

    monkeypatch.setattr(Graph, "nearest", worse)
    measured = lossy.measured(labels)
    for stage in (EMBEDDINGS, CENTRED):
        assert np.array_equal(measured[stage].values, found.stages[stage].values)
    for stage in (GRAPH, DETAILS, AVERAGED):
        assert measured[stage].of("P@1").mean() < found.stages[stage].of("P@1").mean()

    monkeypatch.setattr(
        Graph, "nearest", lambda _, queries, *__: [None] * len(queries)
    )  # an index answers exactly then
    exact = without.measured(labels)
    assert exact[GRAPH].values == pytest.approx(found.stages[CENTRED].values)


def test_encoders_of_one_size_are_rounded_each_by_itself(labelled: Path, detailed: Path) -> None:
    other = detailed.with_name("other.onnx")
    other.write_bytes(tiny_encoder(details=8, seed=3))
    photos = labelled_photos(labelled)
    (alone,) = evaluate(photos, {"other": Encoder(other)})
    _, beside = evaluate(photos, {"detailed": Encoder(detailed), "other": Encoder(other)})
    assert np.array_equal(alone.collection.codes, beside.collection.codes)


def test_unreadable_photos_are_named_and_left_out(run: Run, labelled: Path, tmp_path: Path) -> None:
    for name in ("chelsea", "coffee"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for photo in (labelled / name).glob("**/*.jpg"):
            (tmp_path / "set" / name / photo.name).write_bytes(photo.read_bytes())
    (tmp_path / "set" / "chelsea" / "broken.jpg").write_bytes(b"no photo")
    (tmp_path / "set" / "stray.jpg").write_bytes(b"no class")
    (tmp_path / "set" / "lonely").mkdir()
    (tmp_path / "set" / "lonely" / "one.jpg").write_bytes(
        (labelled / "astronaut" / "0.jpg").read_bytes()
    )
    done = run("evaluate", "set", "--json", "--no-graph")
    answer = json.loads(done.stdout)
    assert done.stderr.splitlines() == [
        "left out, being in no class folder: 1 in set",
        "cannot read set/chelsea/broken.jpg: not an image of a known format",
    ]
    assert (answer["photos"], answer["queries"], answer["alone"]) == (9, 8, 1)
    assert (answer["outside"], answer["graph_recall"]) == (1, None)
    assert list(answer["stages"]) == [EMBEDDINGS, CENTRED, DETAILS, AVERAGED]
    assert [u["path"] for u in answer["unreadable"]] == ["set/chelsea/broken.jpg"]


def test_the_worst_queries_come_with_their_nearest_photos(labelled: Path) -> None:
    (found,) = evaluate(labelled_photos(labelled), {"default": Encoder()}, through_graph=False)
    details = found.collection.details
    assert details is not None
    answered = worst_queries(found, count=5, answers=3)
    lowest = sorted(found.final.of("mAP"))[:5]
    assert [one.average_precision for one in answered] == pytest.approx(lowest)
    for one in answered:
        others = np.delete(details, one.query, axis=0)  # all are candidates, there are so few
        scores = final_scores(details[one.query], others)
        assert list(one.scores) == pytest.approx(sorted(scores, reverse=True)[:3], abs=1e-6)


class _Page(HTMLParser):
    """Collects what a page shows and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.figures: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "figure":
            self.figures.append(dict(attrs)["class"] or "")


def test_the_page_shows_the_worst_queries_and_loads_nothing(
    run: Run, labelled: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    done = run("evaluate", labelled, "--html", out, "--worst", 3)
    assert "mAP" in done.stdout
    text = out.read_text(encoding="utf-8")
    page = _Page(text)
    assert len(page.figures) == 3 * (1 + 7)
    assert page.figures.count("") == 3  # the queries
    assert "wrong" in page.figures
    assert "right" in page.figures
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert not {"script", "link", "iframe"} & set(page.tags)
    for folder in labelled.iterdir():
        assert f"<td>{folder.name}</td>" in text


def test_a_page_of_photos_with_hostile_names_stays_harmless(
    run: Run, labelled: Path, tmp_path: Path
) -> None:
    evil = "<script>alert(1)<&script>"
    for name in (evil, "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number, photo in enumerate(sorted(labelled.glob("co*/*.jpg"))):
            (tmp_path / "set" / name / f"{name}{number}.jpg").write_bytes(photo.read_bytes())
    assert run("evaluate", "set", "--html", "page.html").status == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "script" not in _Page(text).tags
    assert "&lt;script&gt;alert(1)&lt;&amp;script&gt;" in text


def test_a_photo_that_vanished_leaves_a_word_in_its_place(labelled: Path, tmp_path: Path) -> None:
    shown = pictures([labelled / "coffee" / "0.jpg", tmp_path / "gone.jpg"])
    there, gone = shown.values()
    assert (there or "").startswith("data:image/jpeg;base64,")
    assert gone is None
    assert "cannot be read" in figure(gone, "gone")


def test_what_cannot_be_evaluated_is_one_line(run: Run, labelled: Path, tmp_path: Path) -> None:
    fails(run("evaluate", "nowhere"), "nowhere does not exist")
    fails(run("evaluate", labelled / "coffee"), "no two classes")
    for name in ("a", "b"):
        (tmp_path / "pairless" / name).mkdir(parents=True)
        (tmp_path / "pairless" / name / "only.jpg").write_bytes(
            (labelled / "coffee" / "0.jpg").read_bytes()
        )
    fails(run("evaluate", "pairless"), "no class in pairless has two photos")
    fails(run("evaluate", labelled, "--model", "none.onnx"), "no such model")
