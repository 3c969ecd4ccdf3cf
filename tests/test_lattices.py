"""Geometry against distances between sites, counted by brute force."""

from __future__ import annotations

import dataclasses
import pickle
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmlphys import lattices
from qmlphys.lattices import Lattice, chain, cubic, from_label, honeycomb, square, triangular

MAKERS = {"chain": chain, "square": square, "triangular": triangular, "honeycomb": honeycomb, "cubic": cubic}
# Neighbours of a site in the first four shells of the infinite lattice, and their distances (textbook values).
SHELLS = {
    "chain": [(2, 1.0), (2, 2.0), (2, 3.0), (2, 4.0)],
    "square": [(4, 1.0), (4, 2**0.5), (4, 2.0), (8, 5**0.5)],
    "triangular": [(6, 1.0), (6, 3**0.5), (6, 2.0), (12, 7**0.5)],
    "honeycomb": [(3, 1.0), (6, 3**0.5), (3, 2.0), (6, 7**0.5)],
    "cubic": [(6, 1.0), (12, 2**0.5), (8, 3**0.5), (6, 2.0)],
}
LARGE = {"chain": 11, "square": 9, "triangular": 9, "honeycomb": 7, "cubic": 7}
PERIODS = {  # of the block, in units of the neighbour distance, for size 1
    "chain": [[1.0]],
    "square": [[1.0, 0.0], [0.0, 1.0]],
    "triangular": [[3**0.5 / 2, 0.5], [0.0, 1.0]],
    "honeycomb": [[1.5, 3**0.5 / 2], [0.0, 3**0.5]],
    "cubic": np.eye(3).tolist(),
}

every_lattice = pytest.mark.parametrize("name", sorted(MAKERS))
both_boundaries = pytest.mark.parametrize("periodic", [True, False])


def distances(lattice):
    """Distance between all pairs of sites, the shortest way around the torus where there is one."""
    steps = lattice.coordinates[:, None, :] - lattice.coordinates[None, :, :]
    if not lattice.periodic:
        return np.sqrt((steps**2).sum(axis=2))
    periods = lattice.size * np.array(PERIODS[lattice.name])
    images = np.array(list(product((-1, 0, 1), repeat=lattice.n_dimensions))) @ periods
    return np.sqrt(((steps[:, :, None, :] + images) ** 2).sum(axis=3)).min(axis=2)


@every_lattice
@both_boundaries
@pytest.mark.parametrize("size", [3, 4, 5])
def test_counts(name, periodic, size):
    lattice = MAKERS[name](size, periodic=periodic)
    n_dim = {"chain": 1, "cubic": 3}.get(name, 2)
    n_cells = size**n_dim
    assert lattice.n_dimensions == n_dim
    assert lattice.n_sites == n_cells * (2 if name == "honeycomb" else 1)
    assert np.prod(lattice.shape) == lattice.n_sites
    assert lattice.shape == {"honeycomb": (size, 2 * size)}.get(name, (size,) * n_dim)
    assert lattice.coordinates.shape == (lattice.n_sites, n_dim)
    degree = SHELLS[name][0][0]
    assert lattice.neighbours.shape == (lattice.n_sites, degree)
    if periodic:
        n_edges = lattice.n_sites * degree // 2
        assert (lattice.neighbours >= 0).all()
    else:
        n_edges = {
            "chain": size - 1,
            "square": 2 * size * (size - 1),
            "triangular": (size - 1) * (3 * size - 1),
            "honeycomb": 3 * size**2 - 2 * size,
            "cubic": 3 * size**2 * (size - 1),
        }[name]
    assert lattice.edges.shape == (n_edges, 2)


@every_lattice
@both_boundaries
def test_neighbours_and_edges_agree(name, periodic):
    lattice = MAKERS[name](4, periodic=periodic)
    pairs = Counter((site, int(other)) for site, row in enumerate(lattice.neighbours) for other in row if other >= 0)
    assert set(pairs.values()) == {1}  # no double edge
    assert all(pairs[b, a] for a, b in list(pairs))  # symmetric
    assert all(a != b for a, b in pairs)
    assert sorted(tuple(edge) for edge in lattice.edges.tolist()) == sorted(p for p in pairs if p[0] < p[1])
    assert lattice.edges.tolist() == sorted(lattice.edges.tolist())
    assert lattice.edges.dtype == lattice.neighbours.dtype == np.int64


@every_lattice
@both_boundaries
@pytest.mark.parametrize("size", [3, 4, 6])
def test_neighbours_are_the_sites_at_distance_one(name, periodic, size):
    lattice = MAKERS[name](size, periodic=periodic)
    near = np.abs(distances(lattice) - 1.0) < 1e-9
    found = np.zeros_like(near)
    for a, b in lattice.edges:
        found[a, b] = found[b, a] = True
    np.testing.assert_array_equal(found, near)


@every_lattice
@both_boundaries
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_shells_against_distances(name, periodic, k):
    lattice = MAKERS[name](LARGE[name], periodic=periodic)
    n_partners, distance = SHELLS[name][k - 1]
    pairs = lattice.edges_of_order(k)
    at = np.abs(distances(lattice) - distance) < 1e-9
    expected = np.argwhere(np.triu(at))
    np.testing.assert_array_equal(pairs, expected)
    if periodic:
        assert len(pairs) == lattice.n_sites * n_partners // 2
    else:
        assert 0 < len(pairs) < lattice.n_sites * n_partners // 2


def test_shells_stop_where_the_torus_closes():
    """On a ring of six the third neighbour is one site; the fourth is the second the other way around."""
    assert len(chain(6).edges_of_order(3)) == 3
    with pytest.raises(ValueError, match=r"Argument `k` must be smaller on chain\(6\), but it is 4"):
        chain(6).edges_of_order(4)
    with pytest.raises(ValueError, match=r"Argument `k` must be smaller on square\(3\), but it is 3"):
        square(3).edges_of_order(3)  # two steps one way are one step the other way
    assert len(square(3).edges_of_order(2)) == 18
    assert square(3, periodic=False).edges_of_order(3).tolist() == [[0, 2], [0, 6], [1, 7], [2, 8], [3, 5], [6, 8]]


@pytest.mark.parametrize("k", [0, -1])
def test_order_must_be_positive(k):
    with pytest.raises(ValueError, match=f"Argument `k` must be at least 1, but it is {k}"):
        square(4).edges_of_order(k)


def test_order_must_be_whole():
    with pytest.raises(TypeError):
        square(4).edges_of_order(1.5)


def test_rows_and_columns_of_the_square():
    lattice = square(4)
    row, column = np.divmod(np.arange(16), 4)
    np.testing.assert_array_equal(lattice.coordinates, np.stack([row, column], axis=1))
    assert sorted(lattice.neighbours[5].tolist()) == [1, 4, 6, 9]
    assert lattice.edges[:3].tolist() == [[0, 1], [0, 3], [0, 4]]


def test_triangular_is_a_square_with_one_diagonal():
    diagonals = {tuple(e) for e in triangular(5).edges.tolist()} - {tuple(e) for e in square(5).edges.tolist()}
    assert len(diagonals) == 25
    steps = {tuple(np.mod(np.subtract(divmod(b, 5), divmod(a, 5)), 5).tolist()) for a, b in diagonals}
    assert steps == {(1, 4), (4, 1)}  # one down, one to the left, seen from either end


@both_boundaries
def test_honeycomb_is_a_brick_wall(periodic):
    """As an array (l, 2l): every site is joined along its row, and to one site of the row above or below in turn."""
    l = 4  # noqa: E741 - the field's letter
    lattice = honeycomb(l, periodic=periodic)
    rows, columns = np.divmod(lattice.edges, 2 * l)
    along = rows[:, 0] == rows[:, 1]
    step = np.abs(np.diff(columns[along], axis=1).ravel())
    assert set(step.tolist()) == ({1, 2 * l - 1} if periodic else {1})
    assert np.count_nonzero(along) == (2 * l * l if periodic else l * (2 * l - 1))
    between = lattice.edges[~along]
    assert np.count_nonzero(~along) == (l * l if periodic else l * (l - 1))
    assert np.unique(between).size == between.size  # one such edge a site
    assert set((np.diff(rows[~along], axis=1).ravel() % l).tolist()) == {1, l - 1} if periodic else {1}
    # Sublattices: every edge joins an even and an odd site.
    assert (lattice.edges.sum(axis=1) % 2 == 1).all()


@every_lattice
@both_boundaries
def test_translations_are_symmetries(name, periodic):
    """Moving every site by a row maps edges on edges (where the boundary lets it)."""
    lattice = MAKERS[name](5, periodic=periodic)
    shift = lattice.n_sites // lattice.size
    moved = lattice.edges + shift
    if periodic:
        moved %= lattice.n_sites
    else:
        moved = moved[(moved < lattice.n_sites).all(axis=1)]
    edges = {tuple(edge) for edge in lattice.edges.tolist()}
    assert {tuple(sorted(edge)) for edge in moved.tolist()} <= edges
    assert len(moved) > len(edges) // 2


@pytest.mark.parametrize(
    ("lattice", "length"),
    [(chain(5), 0), (square(4), 4), (triangular(4), 3), (honeycomb(4), 6), (cubic(4), 4)],
    ids=lambda value: getattr(value, "label", ""),
)
def test_shortest_loops(lattice, length):
    """Girth of the infinite lattice, on tori too large to be closed by fewer steps around."""
    if length == 0:
        assert len(lattice.edges) == lattice.n_sites
        return
    start = 0
    shortest = lattice.n_sites
    for first in lattice.neighbours[start]:  # breadth first from one neighbour to the start, without their edge
        seen = {int(first)}
        shell, steps = {int(first)}, 0
        while shell and start not in seen:
            shell = {int(b) for a in shell for b in lattice.neighbours[a] if {a, int(b)} != {start, int(first)}} - seen
            seen |= shell
            steps += 1
        shortest = min(shortest, steps + 1)
    assert shortest == length


# --- names ------------------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(MAKERS)), st.integers(3, 200), st.booleans())
def test_labels_round_trip(name, size, periodic):
    lattice = MAKERS[name](size, periodic=periodic)
    assert from_label(lattice.label) == lattice
    assert str(lattice) == lattice.label
    assert eval(lattice.label, dict(MAKERS)) == lattice  # noqa: S307 - the label is the call that makes the lattice


def test_labels():
    assert square(16).label == "square(16)"
    assert honeycomb(3, periodic=False).label == "honeycomb(3, periodic=False)"


@pytest.mark.parametrize(
    "label",
    [
        *("", "square", "square(16", "square(4)(4)", "Lattice(4)", "square(-4)", "square(4.0)", "square(04)"),
        *("square(4, periodic=True)", "square(4);import os", "kagome(4)", " square(4)", "square(4)\n"),
        *("square(999999999)", "square(١٢)"),
    ],
)
def test_bad_labels(label):
    with pytest.raises(ValueError, match="Argument `label` must name a lattice"):
        from_label(label)


@pytest.mark.parametrize("label", ["square(2)", "square(99999)"])
def test_labels_of_lattices_that_cannot_be(label):
    with pytest.raises(ValueError, match="Argument `size` must"):
        from_label(label)


# --- arguments --------------------------------------------------------------------------------------------------------


@every_lattice
@pytest.mark.parametrize("size", [2, 1, 0, -5])
def test_too_small(name, size):
    with pytest.raises(ValueError, match=f"Argument `size` must be at least 3, but it is {size}"):
        MAKERS[name](size)


@pytest.mark.parametrize("size", [3.0, "4", None, np.nan, [4], (4, 4)])
def test_size_must_be_whole(size):
    with pytest.raises(TypeError, match="Argument `size` must be an integer, but it is"):
        square(size)


def test_true_is_no_size():
    with pytest.raises(ValueError, match="Argument `size` must be at least 3, but it is True"):
        square(True)


def test_too_large():
    """Bounded before anything is allocated."""
    assert lattices.MAX_SITES == 2**24
    assert square(4096).n_sites == 2**24
    for make, size in [(square, 4097), (cubic, 257), (honeycomb, 2897), (chain, 2**24 + 1), (chain, 10**30)]:
        with pytest.raises(ValueError, match="Argument `size` must give at most 16777216 sites"):
            make(size)


def test_bad_names_and_boundaries():
    with pytest.raises(ValueError, match=r"Argument `name` must be one of .*'chain'.*, but it is 'kagome'"):
        Lattice("kagome", 4)
    for periodic in (1, "no", None):
        with pytest.raises(TypeError, match="Argument `periodic` must be True or False, but it is"):
            square(4, periodic=periodic)


def test_boundary_is_a_keyword():
    with pytest.raises(TypeError):
        square(4, False)


# --- frozen values ----------------------------------------------------------------------------------------------------


@every_lattice
def test_nothing_can_be_changed(name):
    lattice = MAKERS[name](4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        lattice.size = 5
    for array in (lattice.edges, lattice.neighbours, lattice.coordinates, lattice.edges_of_order(1)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@every_lattice
def test_equality_hash_and_pickle(name):
    make = MAKERS[name]
    lattice = make(4)
    assert lattice.edges is lattice.edges  # made once
    copy = pickle.loads(pickle.dumps(lattice))  # noqa: S301 - our own bytes
    assert copy == lattice == make(np.int64(4))
    assert hash(copy) == hash(make(4))
    assert len({make(4), make(5), make(4, periodic=False), copy}) == 3
    np.testing.assert_array_equal(copy.edges, lattice.edges)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(MAKERS)), st.integers(3, 12), st.booleans())
def test_any_size_is_connected_and_regular(name, size, periodic):
    lattice = MAKERS[name](size if name != "cubic" else min(size, 6), periodic=periodic)
    degree = (lattice.neighbours >= 0).sum(axis=1)
    assert degree.sum() == 2 * len(lattice.edges)
    assert degree.min() >= 1
    assert not periodic or degree.min() == degree.max()
    reached = np.zeros(lattice.n_sites, dtype=bool)
    shell = np.array([0])
    while shell.size:
        reached[shell] = True
        around = lattice.neighbours[shell]
        shell = np.unique(around[around >= 0])
        shell = shell[~reached[shell]]
    assert reached.all()
