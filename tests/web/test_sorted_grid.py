"""Photos on a grid where neighbours are alike."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from imgsim_edge.infer.web.sorted_grid import FEW, NOBODY, Grid, arrange, principal


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50, 1000])
def test_every_photo_has_one_place(count: int) -> None:
    vectors = np.random.default_rng(0).standard_normal((count, 8)).astype(np.float32)
    grid = arrange(principal(lambda: [vectors])).levels[0]
    assert sorted(grid[grid != NOBODY]) == list(range(count))


def beside(grid: Grid, kinds: np.ndarray) -> float:
    """The share of cells whose right neighbour is of their kind."""
    left, right = grid[:, :-1], grid[:, 1:]
    both = (left != NOBODY) & (right != NOBODY)
    return float((kinds[left[both]] == kinds[right[both]]).mean())


def test_photos_of_a_kind_lie_together() -> None:
    random = np.random.default_rng(0)
    kinds = random.integers(0, 20, 2000)
    centres = random.standard_normal((20, 64))
    vectors = (centres[kinds] + 0.3 * random.standard_normal((2000, 64))).astype(np.float32)
    grid = arrange(principal(lambda: [vectors])).levels[0]
    assert beside(grid, kinds) > 0.7
    assert beside(grid, random.permutation(kinds)) < 0.1


def test_a_coarser_cell_shows_one_of_the_four_that_it_stands_for() -> None:
    vectors = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)
    levels = arrange(principal(lambda: [vectors])).levels
    assert max(levels[-1].shape) <= FEW
    for fine, coarse in itertools.pairwise(levels):
        for row, column in np.ndindex(*coarse.shape):
            four = fine[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert coarse[row, column] in four
            assert (coarse[row, column] == NOBODY) == (four == NOBODY).all()


def test_the_progress_ends_at_its_total() -> None:
    told: list[tuple[int, int]] = []
    vectors = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    arrange(principal(lambda: [vectors]), lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, told[-1][1] + 1))


def test_vectors_may_come_in_parts() -> None:
    vectors = np.random.default_rng(0).standard_normal((500, 64)).astype(np.float32) + 3
    vectors[:, 0] *= 9
    whole = principal(lambda: [vectors])
    parts = principal(lambda: np.array_split(vectors, 7))
    assert whole.shape == (500, 16)
    assert np.allclose(np.abs(whole), np.abs(parts), atol=1e-4)
    assert abs(np.corrcoef(whole[:, 0], vectors[:, 0])[0, 1]) > 0.99
