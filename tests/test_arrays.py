"""What pairs connect is put together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from imgsim_edge.infer.arrays import connected
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_components_are_those_of_scipy_named_by_their_smallest_member(
    edges: list[tuple[int, int]],
) -> None:
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    ours = connected(pairs, 30)
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(30, 30))
    _, theirs = connected_components(graph, directed=False)
    expected = [int(np.flatnonzero(theirs == label)[0]) for label in theirs]
    assert ours.tolist() == expected
