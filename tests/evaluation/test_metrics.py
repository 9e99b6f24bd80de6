"""The retrieval measures say what scikit-learn says, also where scores are equal."""

from __future__ import annotations

import tracemalloc
from itertools import permutations

import numpy as np
import pytest
from imgsim_edge.infer.evaluation import metrics
from imgsim_edge.infer.evaluation.metrics import Retrieval, estimate, measure
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity


def some_photos(count=120, classes=7, dimension=64, seed=0):
    """Make vectors in loose clusters, one for each class, with their labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    centres = random.standard_normal((classes, dimension))
    vectors = centres[labels] + 2.0 * random.standard_normal((count, dimension))
    return vectors.astype(np.float32), [f"class {label}" for label in labels]


def rounded_cosines(vectors):
    return np.rint(cosine_similarity(vectors) * metrics.SCORE_STEPS) / metrics.SCORE_STEPS


def reference(vectors, labels):
    """Average precision of every photo by scikit-learn."""
    scores, labels = rounded_cosines(np.asarray(vectors, dtype=np.float64)), np.asarray(labels)
    values = []
    for query in range(len(labels)):
        others = np.arange(len(labels)) != query
        relevant = labels[others] == labels[query]
        values.append(average_precision_score(relevant, scores[query, others]))
    return np.array(values)


def test_average_precision_is_scikit_learns():
    vectors, labels = some_photos()
    measured = measure(vectors, labels)
    assert measured.of("mAP") == pytest.approx(reference(vectors, labels), abs=1e-6)
    assert 0.2 < measured.of("mAP").mean() < 0.9  # neither trivial nor hopeless


def test_average_precision_with_equal_scores_is_scikit_learns():
    vectors, labels = some_photos(40)
    vectors, labels = np.tile(vectors, (3, 1)), labels + labels[::-1] + labels
    assert measure(vectors, labels).of("mAP") == pytest.approx(reference(vectors, labels))


def test_measures_with_equal_scores_are_the_mean_over_all_orders():
    # Five photos share a place: which of them come first is a matter of chance.
    vectors = np.array([[1, 0]] * 2 + [[0.9, 0.1]] * 5 + [[0, 1]])
    labels = list("aabaabaa")
    tied, rest = range(2, 7), [7]
    first_three = [
        sum(labels[i] == "a" for i in ([1, *order, *rest])[:3]) for order in permutations(tied)
    ]
    first_five = [
        sum(labels[i] == "a" for i in ([1, *order, *rest])[:5]) for order in permutations(tied)
    ]
    measured = measure(vectors, labels, recall_at=[3])
    assert measured.of("recall@3")[0] == pytest.approx(np.mean(first_three) / 5)
    assert measured.of("R-precision")[0] == pytest.approx(np.mean(first_five) / 5)


def test_precision_and_recall_count_the_first_answers():
    vectors, labels = some_photos(90)
    measured = measure(vectors, labels, recall_at=(5, 20))
    scores, classes = cosine_similarity(vectors), np.asarray(labels)
    np.fill_diagonal(scores, -2)
    for query in (0, 17, 89):
        right = (classes == classes[query])[np.argsort(-scores[query])[:-1]]
        total = right.sum()
        wanted = {
            "P@1": float(right[0]),
            "P@10": right[:10].mean(),
            "R-precision": right[:total].mean(),
            "recall@5": right[:5].sum() / total,
            "recall@20": right[:20].sum() / total,
        }
        got = {name: measured.of(name)[query] for name in wanted}
        assert got == pytest.approx(wanted)


def test_the_size_of_a_block_changes_nothing(monkeypatch):
    vectors, labels = some_photos()
    whole = measure(vectors, labels)
    monkeypatch.setattr(metrics, "BLOCK_SCORES", 1)
    assert np.array_equal(measure(vectors, labels).values, whole.values)


def test_memory_stays_far_below_a_matrix_of_all_scores(monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK_SCORES", 1 << 14)
    vectors, labels = some_photos(1500, 30, 16)
    tracemalloc.start()
    try:
        measure(vectors, labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1500 * 1500 * 4 / 5


def test_a_photo_alone_in_its_class_is_no_query_but_an_answer():
    vectors = np.array([[1, 0], [0.8, 0.2], [0.9, 0.1]])
    measured = measure(vectors, ["a", "a", "alone"])
    assert measured.queries.tolist() == [0, 1]
    assert measured.alone == 1
    assert measured.of("mAP").tolist() == [0.5, 0.5]  # the stranger is nearer to both


def test_vectors_that_are_all_zero_are_equally_far_from_all():
    measured = measure(np.zeros((4, 8)), ["a", "a", "b", "b"])
    assert measured.of("mAP").tolist() == pytest.approx([1 / 3] * 4)
    assert measured.of("P@1").tolist() == pytest.approx([1 / 3] * 4)


def test_precision_at_ten_counts_ten_places_even_if_fewer_are_relevant():
    vectors = np.eye(12)
    vectors[0, 1] = vectors[1, 0] = 1
    assert measure(vectors, ["pair"] * 2 + list("cdefghijkl")).of("P@10")[0] == 0.1


def test_another_searchs_answers_come_first_by_its_scores_and_all_others_behind_them():
    vectors, labels = some_photos(60)
    scores, classes = rounded_cosines(vectors), np.asarray(labels)
    np.fill_diagonal(scores, -2)
    order = np.argsort(-scores, axis=1)

    def first(begin, end):
        return lambda queries: [
            (order[query, begin:end], scores[query, order[query, begin:end]]) for query in queries
        ]

    exact = measure(vectors, labels)
    perfect = measure(vectors, labels, first=first(0, 10))
    assert np.array_equal(perfect.values, exact.values)

    missed = measure(vectors, labels, first=first(2, 8))
    for query in range(60):
        other_order = scores[query].copy()
        other_order[order[query, 2:8]] += 4
        others = np.arange(60) != query
        right = (classes == classes[query])[others]
        wanted = average_precision_score(right, other_order[others])
        assert missed.of("mAP")[query] == pytest.approx(wanted)
        assert missed.of("P@1")[query] == (classes[order[query, 2]] == classes[query])


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="3 vectors but 2 labels"):
        measure(np.eye(3), ["a", "b"])
    with pytest.raises(ValueError, match="finite"):
        measure(np.array([[np.nan, 1.0]]), ["a"])
    with pytest.raises(ValueError, match="no photo has another of its class"):
        estimate([measure(np.eye(2), ["a", "b"])])


def retrieval(values, queries=None):
    values = np.asarray(values, dtype=float).reshape(-1, 1)
    numbers = np.arange(len(values)) if queries is None else np.asarray(queries)
    return Retrieval(("mAP",), numbers, values, 0)


def test_an_interval_covers_the_true_mean_about_19_times_of_20():
    random = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        found = estimate([retrieval(random.beta(2, 3, 100))], seed=seed)["mAP"]
        covered += found.low <= 0.4 <= found.high
    assert 180 <= covered <= 198


def test_the_same_seed_gives_the_same_interval():
    one = retrieval(np.random.default_rng(2).random(50))
    assert estimate([one], seed=3) == estimate([one], seed=3)
    assert estimate([one], seed=3) != estimate([one], seed=4)


def test_a_mean_over_sets_counts_each_set_once():
    small, large = retrieval([1.0, 1.0]), retrieval([0.0] * 100)
    assert estimate([small, large])["mAP"].value == 0.5


def test_a_difference_compares_each_query_with_itself():
    random = np.random.default_rng(5)
    base = random.random(200)
    better = retrieval(base + 0.01)
    found = estimate([better], baseline=[retrieval(base)])["mAP"]
    # Far narrower than either mean's own interval, since every query gained the same.
    assert (found.low, found.value, found.high) == pytest.approx((0.01, 0.01, 0.01))
    with pytest.raises(ValueError, match="other queries"):
        estimate([better], baseline=[retrieval(base, range(1, 201))])
