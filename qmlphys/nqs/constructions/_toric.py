"""The toric code: its Hamiltonian, its states with any anyons, and a sampler for them.

The qubits sit on the 2 l^2 edges of an l x l torus. Edge 2 (x + l y) leaves vertex (x, y) to the right, edge
2 (x + l y) + 1 leaves it upwards; face (x, y) has vertex (x, y) as its lower left corner. All coordinates are modulo l.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qmlphys.hamiltonians import PauliSum
from qmlphys.nqs.ansatz._arguments import count
from qmlphys.nqs.constructions._sparse import SparseRBM
from qmlphys.nqs.samplers._cluster_moves import ClusterMetropolis

__all__ = ["ToricCode", "toric_code_hamiltonian", "toric_code_rbm", "toric_code_sampler"]

Pairs = Sequence[Sequence[Sequence[int]]]

_QUARTER = 0.25j * math.pi


class ToricCode:
    """Geometry of the l x l torus: which edges stars, faces and loops are made of.

    Parameters
    ----------
    l : int
        Vertices along each side, at least 2.

    Attributes
    ----------
    l, n_sites : int
        Side, and number of edges, 2 l^2.

    Examples
    --------
    >>> code = ToricCode(3)
    >>> code.n_sites, code.star(0, 0), code.face(0, 0)
    (18, (0, 4, 1, 13), (0, 6, 1, 3))
    """

    def __init__(self, l: int) -> None:  # noqa: E741 - the field's letter
        self.l = count("l", l, least=2)
        self.n_sites = 2 * self.l**2

    def right(self, x: int, y: int) -> int:
        """Edge from vertex (x, y) to (x + 1, y)."""
        return 2 * (x % self.l + self.l * (y % self.l))

    def up(self, x: int, y: int) -> int:
        """Edge from vertex (x, y) to (x, y + 1)."""
        return self.right(x, y) + 1

    def star(self, x: int, y: int) -> tuple[int, ...]:
        """Return the four edges at vertex (x, y)."""
        return self.right(x, y), self.right(x - 1, y), self.up(x, y), self.up(x, y - 1)

    def face(self, x: int, y: int) -> tuple[int, ...]:
        """Return the four edges around face (x, y)."""
        return self.right(x, y), self.right(x, y + 1), self.up(x, y), self.up(x + 1, y)

    @property
    def stars(self) -> list[tuple[int, ...]]:
        """The stars of all l^2 vertices, vertex (x, y) at place x + l y."""
        return [self.star(x, y) for y in range(self.l) for x in range(self.l)]

    @property
    def faces(self) -> list[tuple[int, ...]]:
        """The edges of all l^2 faces, face (x, y) at place x + l y."""
        return [self.face(x, y) for y in range(self.l) for x in range(self.l)]

    def loop(self, direction: str, *, dual: bool, at: int = 0) -> tuple[int, ...]:
        """Return a loop around the torus that no local operators make.

        Parameters
        ----------
        direction : {"x", "y"}
            Where it runs to.
        dual : bool, keyword
            False for a path along l edges from vertex to vertex, on which a product of Z commutes with all stars; True
            for the l edges that a path from face to face crosses, on which a product of X commutes with all faces.
        at : int, keyword
            Row or column of it.
        """
        if direction not in ("x", "y"):
            raise ValueError(f"Argument `direction` must be 'x' or 'y', but it is {direction!r}.")
        steps = range(self.l)
        if (direction == "x") != dual:
            return tuple(self.right(k, at) if direction == "x" else self.right(at, k) for k in steps)
        return tuple(self.up(k, at) if direction == "x" else self.up(at, k) for k in steps)

    def string(self, start: Sequence[int], end: Sequence[int], *, dual: bool) -> list[int]:
        """Return the edges of a shortest path between two vertices, or that one between two faces crosses.

        Parameters
        ----------
        start, end : pair of int
            (x, y) of vertices, or of faces where `dual`. The path runs along x first.
        dual : bool, keyword
            Whether it leads from face to face.
        """
        x, y = start
        edges = []
        for step in self._steps(x, end[0]):
            # From face (x, y) to the right one crosses the upward edge of its right side, at x + 1.
            edges.append(self.up(max(x, x + step), y) if dual else self.right(min(x, x + step), y))
            x += step
        for step in self._steps(y, end[1]):
            edges.append(self.right(x, max(y, y + step)) if dual else self.up(x, min(y, y + step)))
            y += step
        return edges

    def _steps(self, start: int, end: int) -> list[int]:
        ahead = (end - start) % self.l
        return [1] * ahead if ahead <= self.l - ahead else [-1] * (self.l - ahead)

    def flipped(self, name: str, pairs: Pairs, edges: Sequence[int], *, dual: bool) -> NDArray[np.bool_]:
        """Return the edges, bool (n_sites,), that an odd number of strings of the arguments run over."""
        odd = np.zeros(self.n_sites, dtype=bool)
        for pair in pairs:
            odd[self.string(*self._checked_pair(f"{name}_pairs", pair), dual=dual)] ^= True
        for edge in edges:
            number = count(f"{name}_edges", edge, least=0)
            if number >= self.n_sites:
                raise ValueError(
                    f"Argument `{name}_edges` must hold edges from 0 to {self.n_sites - 1}, but it holds {number}."
                )
            odd[number] ^= True
        return odd

    def _checked_pair(self, name: str, pair: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
        places = [tuple(count(name, number, least=0) for number in place) for place in pair]
        if len(places) != 2 or any(len(place) != 2 or max(place) >= self.l for place in places):
            raise ValueError(
                f"Argument `{name}` must hold pairs of places (x, y) from 0 to {self.l - 1}, but it holds {pair!r}."
            )
        if places[0] == places[1]:
            raise ValueError(
                f"Argument `{name}` must hold pairs of different places, for two anyons at one place are none, "
                f"but it holds {pair!r}."
            )
        return [(place[0], place[1]) for place in places]


def toric_code_hamiltonian(l: int) -> PauliSum:  # noqa: E741 - the field's letter
    """Return the toric code, H = - sum over vertices of XXXX - sum over faces of ZZZZ.

    The ground states have the energy -2 l^2 and are fourfold; each anyon costs 2.

    Parameters
    ----------
    l : int
        Vertices along each side of the torus, at least 2. Edge 2 (x + l y) leaves vertex (x, y) to the right, edge
        2 (x + l y) + 1 upwards; see `ToricCode`.

    Returns
    -------
    PauliSum
        On 2 l^2 sites.

    Raises
    ------
    ValueError
        If `l` is below 2.

    Notes
    -----
    Kitaev, Ann. Phys. 303, 2 (2003), Eq. (7).

    Examples
    --------
    >>> len(toric_code_hamiltonian(3).to_pauli()), toric_code_hamiltonian(3).n_sites
    (18, 18)
    """
    code = ToricCode(l)
    terms = []
    for letter, groups in (("X", code.stars), ("Z", code.faces)):
        for group in groups:
            string = ["I"] * code.n_sites
            for edge in group:
                string[edge] = letter
            terms.append(("".join(string), -1.0))
    return PauliSum(terms, label=f"toric code on {code.l} x {code.l} vertices")


def toric_code_rbm(
    l: int,  # noqa: E741 - the field's letter
    *,
    m_pairs: Pairs = (),
    e_pairs: Pairs = (),
    m_edges: Sequence[int] = (),
    e_edges: Sequence[int] = (),
) -> SparseRBM:
    """Return an eigenstate of the toric code as a restricted Boltzmann machine: one hidden unit a face.

    The unit of a face has the weight i pi/4 to each of its four edges and no bias: 2 cos(pi/4 sum s) is -2 or 2 where
    the product of the four spins is +1, and 0 where it is -1. Flipping a star changes an even number of these signs, so
    all stars have the value +1. That is two weights a qubit. In floating point the zeros are 1e-16, so log psi stays
    finite.

    Parameters
    ----------
    l : int
        Vertices along each side of the torus, at least 2; edges are numbered as in `ToricCode`.
    m_pairs : sequence of pairs of (x, y), keyword
        Pairs of faces with the value -1, anyons m: the signs of the weights of every edge that the string between both
        crosses are turned, in the two faces beside the edge; adjacent faces take one edge. Two anyons at one place are
        none.
    e_pairs : sequence of pairs of (x, y), keyword
        Pairs of vertices with the value -1, anyons e: the string of edges between both has a visible bias i pi/2,
        which is a Z up to a constant.
    m_edges, e_edges : sequence of int, keyword
        Further edges whose signs are turned, or that have a bias: strings of any form. Closed ones around the torus
        (`ToricCode.loop`) lead to the other ground states.

    Returns
    -------
    SparseRBM
        Complex, with 4 l^2 weights, and 2 l^2 visible biases where there are anyons e. Sample it with
        `toric_code_sampler`: every single flip has amplitude zero. A product of X around the torus has the value
        (-1)^l, times -1 for each e string that it crosses.

    Raises
    ------
    ValueError
        If a place does not exist, or a pair is of one place.

    Notes
    -----
    Deng, Li and Das Sarma, Phys. Rev. B 96, 195145 (2017), for topological states; Kitaev, Ann. Phys. 303, 2 (2003),
    for strings and anyons.

    Examples
    --------
    >>> import torch
    >>> code = toric_code_rbm(3)
    >>> code.n_parameters, code.n_sites
    (36, 18)
    >>> up = torch.ones(1, 18)
    >>> bool(code(up).real > 6), bool(toric_code_rbm(3, m_pairs=[((0, 0), (2, 1))])(up).real < -60)
    (True, True)
    """
    code = ToricCode(l)
    turned = code.flipped("m", m_pairs, m_edges, dual=True)
    faces = code.faces
    weights = np.where(turned[np.array(faces).ravel()], -_QUARTER, _QUARTER)
    visible = None
    if len(e_pairs) or len(e_edges):
        visible = np.where(code.flipped("e", e_pairs, e_edges, dual=False), 2 * _QUARTER, 0)
    return SparseRBM.from_parameters(code.n_sites, faces, weights=weights, visible=visible)


def toric_code_sampler(
    l: int,  # noqa: E741 - the field's letter
    *,
    n_chains: int = 16,
    m_pairs: Pairs = (),
    m_edges: Sequence[int] = (),
    n_sweeps: float = 1,
    n_warmup: float = 10,
) -> ClusterMetropolis:
    """Return a sampler for states of the toric code: it flips whole stars, and loops around the torus.

    Both keep the values of all faces, stars connect all configurations of one class, loops the four classes. Under
    `toric_code_rbm` every proposal is accepted; other states near it can be sampled as well.

    Parameters
    ----------
    l : int
        Vertices along each side of the torus.
    n_chains : int, keyword
        Independent chains.
    m_pairs, m_edges : keyword
        As for the state: chains start from a configuration with these anyons.
    n_sweeps, n_warmup : float, keyword
        As for `ClusterMetropolis`; in one sweep each of the l^2 stars is proposed once in the mean.

    Returns
    -------
    ClusterMetropolis

    Raises
    ------
    ValueError
        If a number or a place is out of range.

    Examples
    --------
    >>> from qmlphys.nqs.states import MonteCarloState
    >>> state = MonteCarloState(toric_code_rbm(4), toric_code_sampler(4), n_samples=64, rng=1)
    >>> expectation = state.expect(toric_code_hamiltonian(4))
    >>> round(expectation.energy.mean, 9), expectation.variance.mean < 1e-20
    (-32.0, True)
    """
    code = ToricCode(l)
    loops = [code.loop(direction, dual=True) for direction in ("x", "y")]
    initial = np.where(code.flipped("m", m_pairs, m_edges, dual=True), -1, 1)
    return ClusterMetropolis(
        n_chains,
        moves=(*code.stars, *loops),
        initial=tuple(int(spin) for spin in initial),
        n_sweeps=n_sweeps,
        n_warmup=n_warmup,
    )
