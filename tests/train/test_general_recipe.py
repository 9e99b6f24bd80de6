"""The general recipe: from labelled photos to a run that `export` takes."""

from __future__ import annotations

import errno
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import Run, tiny_settings
from PIL import Image, ImageOps

pytest.importorskip("tensorflow")

from imgsim_edge.infer import load_photo
from imgsim_edge.train.backend import import_keras
from imgsim_edge.train.classifier.checkpoint import load_model
from imgsim_edge.train.distil import recipe as general
from imgsim_edge.train.distil.losses import (
    Lesson,
    batches,
    direction_loss,
    least_squares,
    likeness_loss,
    nearest,
    order_loss,
    target_vectors,
    teach,
    whitened,
    whitened_within,
)
from imgsim_edge.train.distil.pca_head import principal_components, principal_head, unit_rows
from imgsim_edge.train.distil.teacher import Teacher
from imgsim_edge.train.errors import DataError, RunError, WeightsError
from imgsim_edge.train.network import build_backbone, part_of
from imgsim_edge.train.run_folder import GENERAL, open_run
from imgsim_edge.train.session import Outcome, resume_training, start_training

SIZE = 32  # pixels
TINY = general.Plan(
    tune=Lesson(4, 24, 2e-4, decay=1e-4, warm_up=2, average=0.5),
    order=Lesson(3, 32, 1e-4, warm_up=1, average=0.5, group=16),
    head=Lesson(20, 48, 1e-3, group=16),
    class_epochs=30,
)


@pytest.fixture(scope="module")
def settings(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of a tiny network whose weights are random, but whose activations are of the usual size."""
    network = build_backbone("mobilenet", 0.25, SIZE, "none")
    files = sorted(photos.rglob("*.jpg"))
    tensor = np.stack([load_photo(file, SIZE).pixels for file in files])
    for layer in network.layers[1:]:
        if "_bn" in layer.name:
            values = np.asarray(tensor)
            spread = [values.mean(axis=(0, 1, 2)), values.var(axis=(0, 1, 2))]
            layer.set_weights([*layer.get_weights()[:2], *spread])
        tensor = layer(tensor)
    file = tmp_path_factory.mktemp("weights") / "tiny.weights.h5"
    convolutions = import_keras().Model(network.input, network.layers[-2].output)
    convolutions.save_weights(file)
    return tiny_settings(recipe=GENERAL, weights=str(file), image_size=SIZE)


@pytest.fixture(scope="module")
def photos(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough photos for 64 principal components: some of `labelled` are there mirrored, too."""
    folder = tmp_path_factory.mktemp("photos")
    for file in sorted(labelled.rglob("*.jpg")):
        target = folder / file.relative_to(labelled)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
        if file.stem < "08":
            with Image.open(file) as image:
                ImageOps.mirror(image).save(target.with_stem(f"{file.stem}-mirrored"))
    return folder


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe in seconds instead of an hour."""
    monkeypatch.setattr(general, "Plan", lambda: TINY)


@pytest.fixture(scope="module")
def first_run(photos: Path, tmp_path_factory: pytest.TempPathFactory, settings: Any) -> Outcome:
    """One run by the tiny plan, only to be read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(general, "Plan", lambda: TINY)
        return start_training([photos], tmp_path_factory.mktemp("first") / "run", settings)


@pytest.fixture
def features() -> np.ndarray:
    """Features as a network with ReLU has them: many numbers, few directions that matter."""
    generator = np.random.default_rng(0)
    causes = generator.normal(size=(400, 100)) * np.geomspace(1, 0.05, 100)
    return np.maximum(causes @ generator.normal(size=(100, 300)) + 1, 0).astype(np.float32)


def names_in(folder: Path) -> set[str]:
    """What a folder holds."""
    return {path.name for path in folder.iterdir()}


def cosines(vectors: np.ndarray) -> np.ndarray:
    """The cosines of all pairs of rows."""
    rows = unit_rows(vectors)
    return np.asarray((rows @ rows.T)[np.triu_indices(len(rows), 1)])


def test_a_head_starts_as_the_balanced_principal_components(features: np.ndarray) -> None:
    rows = unit_rows(features)
    mean, spread, axes = principal_components(rows)
    wanted = (rows - mean) @ axes[:, :64] * spread[:64] ** -0.25
    given = np.asarray(principal_head(features, seed=0).predict_on_batch(features))
    assert (given >= 0).all()
    assert np.corrcoef(cosines(given - given.mean(axis=0)), cosines(wanted))[0, 1] > 0.7


def test_a_head_learns_the_order_among_photos_that_are_near_to_each_other(
    features: np.ndarray,
) -> None:
    (wanted,) = whitened_within([features], np.arange(len(features)) % 40)
    near = nearest(wanted, 20)
    head = principal_head(features, seed=0)

    def local_loss() -> float:
        given = np.asarray(head.predict_on_batch(features))
        return float(np.mean([likeness_loss(20)(wanted[own], given[own]) for own in near]))

    before = local_loss()
    lesson = Lesson(150, 160, 2e-3, group=20)
    teach(head, [features], [wanted], lesson, likeness_loss(20), 0, "head")
    assert local_loss() < 0.8 * before


def test_whitening_within_classes_shortens_what_differs_there() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(30), 10)
    between, inside = generator.normal(size=(30, 50))[labels], generator.normal(size=(300, 50))
    between[:, 25:] = 0
    inside[:, :25] = 0
    photos = (between + 2 * inside + 5).astype(np.float32)
    same = labels[:, None] == labels

    def contrast(vectors: np.ndarray) -> float:
        likeness = unit_rows(vectors) @ unit_rows(vectors).T
        return float(likeness[same].mean() - likeness[~same].mean())

    varied = photos[::-1]
    own, moved = whitened_within([photos, varied], labels)
    assert contrast(own) > 1.2 * contrast(photos - photos.mean(axis=0))
    np.testing.assert_allclose(
        moved, own[::-1], atol=1e-6
    )  # by what the first view says, not their own


def test_whitening_shortens_what_variation_moves(features: np.ndarray) -> None:
    direction = np.random.default_rng(1).normal(size=features.shape[1]).astype(np.float32)
    plain, varied = features, features + 5 * direction
    own, moved = whitened([plain, varied])
    before = (unit_rows(plain) * unit_rows(varied)).sum(axis=1).mean()
    assert (own * moved).sum(axis=1).mean() > before


def test_targets_keep_the_cosines_of_what_all_networks_see(features: np.ndarray) -> None:
    varied = features + np.random.default_rng(1).normal(size=features.shape).astype(np.float32)
    one, two = [features[:, :200], varied[:, :200]], [features[:, 200:], varied[:, 200:]]
    plain, moved = target_vectors([one, two])
    assert plain.shape == moved.shape == (len(features), 256)
    joined = np.hstack([whitened(one)[0], whitened(two)[0]])
    likeness = np.corrcoef(cosines(plain), cosines(joined - joined.mean(axis=0)))[0, 1]
    assert likeness > 0.99
    (few,) = target_vectors([[features[:70]]])
    assert few.shape == (70, 69)


def test_the_linear_layer_starts_as_the_least_squares_map(features: np.ndarray) -> None:
    wanted = features @ np.random.default_rng(0).normal(size=(features.shape[1], 9)) + 3
    kernel, bias = least_squares(features, wanted)
    left = features @ kernel + bias - wanted
    assert left.var() < 0.05 * wanted.var()


def test_losses_are_zero_for_what_is_wanted_and_two_for_its_opposite() -> None:
    wanted = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    np.testing.assert_allclose(direction_loss(wanted, 3 * wanted), np.zeros(6), atol=1e-5)
    np.testing.assert_allclose(direction_loss(wanted, -wanted), np.full(6, 2), atol=1e-5)
    mirrored, noisy = wanted[:, ::-1].copy(), wanted + wanted[::-1] ** 2
    np.testing.assert_allclose(likeness_loss(6)(wanted, mirrored), np.zeros(6), atol=1e-3)
    assert (np.asarray(likeness_loss(6)(wanted, noisy)) > 0.01).all()
    # Photos of two groups are never compared.
    apart = np.vstack([wanted[:3], -wanted[3:]])
    np.testing.assert_allclose(likeness_loss(3)(wanted, apart), np.zeros(6), atol=1e-3)


def test_embeddings_are_judged_by_order_and_what_is_behind_them_by_direction() -> None:
    wanted = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    noisy = wanted + wanted[::-1] ** 2

    def loss(embeddings: np.ndarray, wide: np.ndarray) -> np.ndarray:
        padded = np.pad(embeddings, ((0, 0), (0, 64 - embeddings.shape[1])))
        return np.asarray(order_loss(6)(wanted, np.hstack([padded, wide])))

    np.testing.assert_allclose(loss(wanted[:, ::-1], 3 * wanted), np.zeros(6), atol=1e-3)
    np.testing.assert_allclose(loss(wanted[:, ::-1], -wanted), np.full(6, 2), atol=1e-3)
    assert (loss(noisy, wanted) > 0.01).all()


def test_a_network_learns_directions_that_no_linear_map_gives(features: np.ndarray) -> None:
    keras = import_keras()
    keras.utils.set_random_seed(0)
    wanted = np.abs(features - features.mean(axis=0))[:, :8].astype(np.float32)
    inputs = keras.Input((features.shape[1],))
    layer, last = keras.layers.Dense(64, activation="relu"), keras.layers.Dense(8)
    model = keras.Model(inputs, last(layer(inputs)))
    last.set_weights(least_squares(np.asarray(layer(features)), wanted))
    before = np.asarray(direction_loss(wanted, model.predict_on_batch(features))).mean()
    lesson = Lesson(100, 200, 1e-3, warm_up=5, average=0.9)
    teach(model, [features], [wanted], lesson, direction_loss, 0, "network")
    after = np.asarray(direction_loss(wanted, model.predict_on_batch(features))).mean()
    assert after < 0.8 * before


def test_batches_bring_distinct_photos_with_their_targets() -> None:
    numbers = np.arange(30, dtype=np.uint8)
    plain = np.broadcast_to(numbers[:, None, None, None], (30, 2, 4, 3)).copy()
    plain[:, :, 0] = 200  # the left edge, by which a mirrored photo is known
    varied = plain + 100
    targets = [np.stack([numbers, numbers * 0 + view], axis=1) for view in (0, 100)]
    mirrored = views_seen = 0
    for own, wanted in batches([plain, varied], targets, Lesson(5, 20, 1e-3), seed=0):
        assert own.shape == (20, 2, 4, 3)
        assert len(set(wanted[:, 0].tolist())) == 20
        np.testing.assert_array_equal(own[:, 0, 1, 0], wanted.sum(axis=1, dtype=np.uint8))
        edges = own[:, 0, 0, 0] != own[:, 0, 1, 0]
        mirrored += int((~edges).sum())
        views_seen += int((wanted[:, 1] > 0).sum())
    assert 20 < mirrored < 80
    assert 20 < views_seen < 80


def test_three_groups_of_four_hold_photos_near_to_each_other_in_one_view(
    features: np.ndarray,
) -> None:
    plain = unit_rows(features - features.mean(axis=0)).astype(np.float32)
    targets = [plain, plain[::-1].copy()]
    near = [nearest(own, 10) for own in targets]
    assert all(row in own[row] for own in near for row in range(len(plain)))
    numbers = np.arange(len(plain), dtype=np.float32)[:, None]
    inputs, lesson = [numbers, numbers + 1000], Lesson(10, 80, 1e-3, group=10)
    seen = set()
    for drawn, wanted in batches(inputs, targets, lesson, seed=0):
        views, photos = np.divmod(drawn.astype(int).reshape(8, 10), 1000)
        assert (views == views[:, :1]).all()
        np.testing.assert_array_equal(wanted.reshape(8, 10, -1), np.stack(targets)[views, photos])
        assert [len(set(group)) for group in photos.tolist()] == [10] * 8
        known = [
            any(set(group) == set(own) for own in near[view].tolist())
            for view, group in zip(views[:, 0], photos.tolist(), strict=True)
        ]
        assert known == [False, True, True, True] * 2
        seen |= set(views[:, 0].tolist())
    assert seen == {0, 1}


def test_it_makes_a_run_whose_embedding_keeps_the_neighbourhoods_of_its_features(
    first_run: Outcome, photos: Path
) -> None:
    folder = first_run.run.folder
    assert open_run(folder).settings.recipe == GENERAL
    assert (folder / "report.html").is_file()
    assert not (folder / "state").exists()
    assert first_run.metrics is not None
    classifier = load_model(first_run.run.classifier_path)
    pixels = np.stack([load_photo(file, SIZE).pixels for file in sorted(photos.rglob("*.jpg"))])
    wanted = np.asarray(part_of(classifier, "features").predict_on_batch(pixels))
    given = np.asarray(part_of(classifier, "embedding").predict_on_batch(pixels))
    centred = [vectors - vectors.mean(axis=0) for vectors in (given, wanted)]
    assert np.corrcoef(*map(cosines, centred))[0, 1] > 0.5
    assert classifier.get_layer("embedding").output.shape[1] == 64
    assert classifier.output_shape[1] == 4
    with pytest.raises(RunError, match="is finished"):
        resume_training(folder)


def test_all_convolutions_learn_directions_and_the_later_ones_the_order(
    photos: Path, tmp_path: Path, settings: Any, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning: dict[str, str] = {}

    def watched(model: Any, *rest: Any) -> float:
        learning[rest[-1]] = " ".join(weights.path for weights in model.trainable_weights)
        return teach(model, *rest)

    monkeypatch.setattr(general, "teach", watched)
    start_training([photos], tmp_path / "run", settings)
    assert list(learning) == ["network", "order", "head"]
    assert "conv1/" in learning["network"] and "conv_pw_13/" in learning["network"]
    assert "conv_pw_3/" not in learning["order"] and "conv_dw_4/" in learning["order"]
    assert "embedding/" in learning["order"] and "embedding/" in learning["head"]
    assert not any("_bn/" in names for names in learning.values())


def test_the_same_seed_gives_the_same_weights_on_one_thread(
    first_run: Outcome, photos: Path, tmp_path: Path, settings: Any, tiny: None
) -> None:
    again = start_training([photos], tmp_path / "again", settings).run
    one, two = (load_model(run.classifier_path).get_weights() for run in (first_run.run, again))
    for left, right in zip(one, two, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_run_goes_on_after_its_last_stage(
    first_run: Outcome,
    photos: Path,
    tmp_path: Path,
    settings: Any,
    tiny: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, done = tmp_path / "run", []

    def stopped_once(work: Any, name: Any) -> Any:
        def stop(*arguments: Any) -> Any:
            if (stage := name(*arguments)) not in done:
                done.append(stage)
                raise KeyboardInterrupt
            return work(*arguments)

        return stop

    monkeypatch.setattr(general, "views", stopped_once(general.views, lambda *a: f"view {a[1]}"))
    monkeypatch.setattr(general, "teach", stopped_once(teach, lambda *a: a[-1]))
    with pytest.raises(KeyboardInterrupt):
        start_training([photos], folder, settings)
    kept = [names_in(folder / "state")]
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            resume_training(folder)
        kept.append(names_in(folder / "state"))
    assert done == ["view 0", "view 1", "network", "order", "head"]
    new = [later - earlier for earlier, later in pairwise(kept)]
    assert "view-0.npz" in new[0] and "view-1.npz" in new[1]
    assert new[2:] == [{"network.weights.h5"}, {"order.weights.h5"}]
    assert f"go on with: imgsim-edge train --resume {folder}" in capsys.readouterr().err

    def fail(*arguments: Any) -> Any:
        raise AssertionError(arguments[-1])

    monkeypatch.setattr(general, "views", fail)
    assert names_in(resume_training(folder).run.folder) == names_in(first_run.run.folder)
    one, two = (load_model(path / "classifier.keras") for path in (folder, first_run.run.folder))
    for left, right in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_disk_that_gets_full_keeps_the_stages_that_are_done(
    photos: Path, tmp_path: Path, settings: Any, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stands in for a full disk: no file system of a few megabytes can be had without root.
    def views(*arguments: Any) -> Any:
        if arguments[1] == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return seen(*arguments)

    seen = general.views
    monkeypatch.setattr(general, "views", views)
    with pytest.raises(RunError, match=r"view-1.u8: No space .* are kept: go on with .*--resume"):
        start_training([photos], tmp_path / "run", settings)
    assert "view-0.npz" in names_in(tmp_path / "run" / "state")
    (tmp_path / "run" / "state" / "view-0.npz").write_bytes(b"PK\3\4 and no more")
    monkeypatch.undo()
    monkeypatch.setattr(general, "Plan", lambda: TINY)
    with pytest.raises(RunError, match=r"view-0.npz is damaged: .* another --out"):
        resume_training(tmp_path / "run")


def test_too_small_a_disk_is_told_before_anything_is_seen(
    photos: Path, tmp_path: Path, settings: Any, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nearly(NamedTuple):
        free: int

    monkeypatch.setattr("shutil.disk_usage", lambda _: Nearly(1000))
    with pytest.raises(RunError, match=r"has 0.0 GB: choose an --out .* more room"):
        start_training([photos], tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("side", [260, 130])
def test_a_teacher_sees_photos_at_the_side_that_it_takes(tmp_path: Path, side: int) -> None:
    import onnx
    from onnx import TensorProto, helper

    # Its features: the mean of each channel over 10 by 10 squares.
    square = [side // 10] * 2
    nodes = [
        helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=square, strides=square),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 300])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "teacher.onnx")
    squares = np.random.default_rng(0).integers(0, 256, (20, 10, 10, 3), np.uint8)
    photos = squares.repeat(26, axis=1).repeat(26, axis=2)
    features = Teacher(tmp_path / "teacher.onnx", threads=1)(photos)
    wanted = (squares.transpose(0, 3, 1, 2).reshape(20, 300).astype(np.float32) - 127) / 128
    # Made smaller, a square takes a little of its neighbours.
    np.testing.assert_allclose(features, wanted, atol=1e-5 if side == 260 else 0.1)


def test_a_teacher_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such teacher"):
        Teacher(tmp_path / "none.onnx", threads=1)
    (tmp_path / "text.onnx").write_text("nothing")
    with pytest.raises(WeightsError, match="cannot teach"):
        Teacher(tmp_path / "text.onnx", threads=1)


def test_random_weights_are_refused(photos: Path, tmp_path: Path, settings: Any) -> None:
    with pytest.raises(WeightsError, match="pretrained weights"):
        start_training([photos], tmp_path / "run", replace(settings, weights="none"))


def test_too_few_photos_are_refused(
    labelled: Path, tmp_path: Path, settings: Any, tiny: None
) -> None:
    for name in ("coffee", "flower"):
        (tmp_path / "few" / name).mkdir(parents=True)
        for file in sorted((labelled / name).iterdir())[:10]:
            (tmp_path / "few" / name / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DataError, match="64 training photos at least"):
        start_training([tmp_path / "few"], tmp_path / "run", settings)


def test_options_of_the_plain_recipe_are_refused(run: Run, tmp_path: Path, labelled: Path) -> None:
    common = ("train", labelled, "--out", tmp_path / "out", "--weights", "none")
    done = run(*common, "--recipe", "general", "--head-epochs", 3)
    assert done.status == 1
    assert "--head-epochs and --recipe general exclude each other" in done.stderr
    done = run(*common, "--teacher", tmp_path / "t.onnx")
    assert done.status == 1
    assert "--recipe general only" in done.stderr
