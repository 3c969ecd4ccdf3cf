"""Graph states, the maximally entangled one among them, and GHZ states."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qmlphys.lattices import Lattice
from qmlphys.nqs.ansatz._arguments import count
from qmlphys.nqs.constructions._sparse import SparseRBM

__all__ = ["Graph", "checked_graph", "ghz_rbm", "graph_state_rbm", "maximal_entanglement_rbm"]

Graph = Lattice | tuple[int, Sequence[Sequence[int]]]

QUARTER = 0.25j * math.pi


def graph_state_rbm(graph: Graph) -> SparseRBM:
    """Return the graph state prod_(i, j) CZ_ij |+>^n as a restricted Boltzmann machine with one hidden unit an edge.

    Every amplitude has the same modulus and the sign (-1)^(edges whose two spins are both -1).

    Parameters
    ----------
    graph : Lattice, or tuple of (int, sequence of pairs of int)
        A lattice with its nearest-neighbour edges; or the number of sites and the edges, each at most once, in either
        order. A ring or a chain gives the cluster states.

    Returns
    -------
    SparseRBM
        Complex, with 3 parameters an edge: b = -i pi/4 and two weights i pi/4. A graph without edges has a visible bias
        of zeros instead.

    Raises
    ------
    TypeError
        If `graph` is neither.
    ValueError
        If an edge joins a site to itself, comes twice, or has a site that does not exist.

    Notes
    -----
    One hidden unit with |b| = |w| = pi/4 is a CZ gate up to a constant: Gao and Duan, Nat. Commun. 8, 662 (2017).
    2 cos(pi/4 (s + t - 1)) is -sqrt 2 where both spins are -1 and else sqrt 2. Spin -1 is bit 1 here; where spin +1 is,
    the same gate has b = +i pi/4. Here b = w = i pi/4 would put the sign where both spins are +1: CZ followed by a Z on
    both sites, which turns the sign of the stabilisers of all sites of odd degree. The stabilisers are
    K_i = X_i prod_(j next to i) Z_j, all of the value +1.

    Examples
    --------
    >>> import torch
    >>> cluster = graph_state_rbm((3, [(0, 1), (1, 2)]))
    >>> cluster.n_parameters
    6
    >>> cluster(torch.tensor([[1, 1, 1], [-1, -1, 1], [-1, -1, -1]])).exp().real.sign().tolist()
    [1.0, -1.0, 1.0]
    """
    n_sites, edges = checked_graph(graph)
    return _graph_state(n_sites, edges)


def _graph_state(n_sites: int, edges: Sequence[tuple[int, int]]) -> SparseRBM:
    if not edges:
        return SparseRBM.from_parameters(n_sites, [], weights=np.zeros(0, complex), visible=np.zeros(n_sites, complex))
    return SparseRBM.from_parameters(
        n_sites, edges, weights=np.full(2 * len(edges), QUARTER), hidden=np.full(len(edges), -QUARTER)
    )


def maximal_entanglement_rbm(n_sites: int, *, with_chain: bool = False) -> SparseRBM:
    """Return the graph state that joins site j with site j + n/2: maximal entropy for all contiguous blocks of a ring.

    S_A = n_A ln 2 for every block of n_A <= n/2 neighbours, also those that go over the end: no block holds both ends
    of an edge. The parameters are linear in n - n weights and n/2 hidden biases - while a matrix product state of the
    same entropy needs a bond of 2^(n/2). A dense `RBM` of the same state stores n^2/2 weights.

    Parameters
    ----------
    n_sites : int
        An even number of sites, at least 2.
    with_chain : bool, keyword
        Whether the gates between neighbours on the ring are added, n more hidden units. A trap: gates inside a block
        change nothing, but those across its ends can undo entanglement. On 4 sites a block of two is left with ln 2, on
        6 sites a block of three with 2 ln 2.

    Returns
    -------
    SparseRBM
        Complex.

    Raises
    ------
    ValueError
        If `n_sites` is odd, or below 4 with the chain.

    Notes
    -----
    Deng, Li and Das Sarma, Phys. Rev. X 7, 021021 (2017): machines of long range can have volume-law entanglement with
    few parameters. The entropy of a graph state is the rank over GF(2) of the adjacency between a block and the rest,
    times ln 2: Hein, Eisert and Briegel, Phys. Rev. A 69, 062311 (2004).

    Examples
    --------
    >>> maximal_entanglement_rbm(10).n_parameters, maximal_entanglement_rbm(20).n_parameters
    (15, 30)
    """
    n_sites = count("n_sites", n_sites, least=2)
    if n_sites % 2:
        raise ValueError(f"Argument `n_sites` must be even, but it is {n_sites}.")
    if not isinstance(with_chain, bool):
        raise TypeError(f"Argument `with_chain` must be True or False, but it is {with_chain!r}.")
    half = n_sites // 2
    edges = [(site, site + half) for site in range(half)]
    if with_chain:
        if n_sites < 4:
            raise ValueError(f"Argument `n_sites` must be at least 4 with the chain's gates, but it is {n_sites}.")
        edges += [(site, (site + 1) % n_sites) for site in range(n_sites)]
    return _graph_state(n_sites, edges)


def ghz_rbm(n_sites: int, *, phase: float = 0.0) -> SparseRBM:
    """Return the state |all up> + exp(i phase) |all down> as a restricted Boltzmann machine.

    n - 1 hidden units with weights i pi/4 and -i pi/4 on neighbouring sites: 2 cos(pi/4 (s - t)) is 2 for equal spins
    and 0 for unequal ones. In floating point these zeros are 1e-16, so that log psi stays finite.

    Parameters
    ----------
    n_sites : int
        Number of sites, at least 2.
    phase : float, keyword
        In radians; pi gives the sign -1 between both.

    Returns
    -------
    SparseRBM
        Complex, with 2 (n - 1) weights, and n visible biases where there is a phase. Single flips never leave one of
        the two configurations: sample with `ClusterMetropolis`, whose only move is all sites.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> import torch
    >>> ghz = ghz_rbm(3)
    >>> psi = ghz(torch.tensor([[1, 1, 1], [1, 1, -1], [-1, -1, -1]])).exp().abs() / 4
    >>> [round(x, 12) for x in psi.tolist()]
    [1.0, 0.0, 1.0]
    """
    n_sites = count("n_sites", n_sites, least=2)
    if isinstance(phase, bool) or not isinstance(phase, int | float) or not math.isfinite(phase):
        raise ValueError(f"Argument `phase` must be a finite number, but it is {phase!r}.")
    visible = None
    if phase:
        # One site is enough to tell both configurations apart.
        visible = np.zeros(n_sites, dtype=complex)
        visible[0] = -0.5j * phase
    edges = [(site, site + 1) for site in range(n_sites - 1)]
    return SparseRBM.from_parameters(n_sites, edges, weights=np.tile([QUARTER, -QUARTER], n_sites - 1), visible=visible)


def checked_graph(graph: Graph) -> tuple[int, list[tuple[int, int]]]:
    """Return the number of sites and the edges of a graph."""
    if isinstance(graph, Lattice):
        return graph.n_sites, [(int(i), int(j)) for i, j in graph.edges]
    if not isinstance(graph, tuple | list) or len(graph) != 2:
        raise TypeError(f"Argument `graph` must be a Lattice or a pair (n_sites, edges), but it is {graph!r}.")
    n_sites, edges = count("graph", graph[0]), []
    for edge in graph[1]:
        pair = [count("graph", site, least=0) for site in edge]
        if len(pair) != 2 or pair[0] == pair[1] or max(pair) >= n_sites:
            raise ValueError(
                f"Argument `graph` must have edges between two different sites from 0 to {n_sites - 1}, "
                f"but one is {tuple(edge)!r}."
            )
        edges.append((pair[0], pair[1]))
    if len({frozenset(edge) for edge in edges}) < len(edges):
        twice = next(edge for k, edge in enumerate(edges) if {*edge} in [{*other} for other in edges[:k]])
        raise ValueError(f"Argument `graph` must have every edge once, but {twice} comes twice.")
    return n_sites, edges
