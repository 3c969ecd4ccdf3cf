"""The toric code as a machine, its anyons and loops, and the sampler that can move in it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats as scipy_stats

from qmlphys.hamiltonians import TransverseIsing
from qmlphys.lattices import chain
from qmlphys.nqs._metropolis import evaluate
from qmlphys.nqs.ansatz import MLP
from qmlphys.nqs.constructions import (
    SparseRBM,
    ToricCode,
    graph_state_rbm,
    toric_code_hamiltonian,
    toric_code_rbm,
    toric_code_sampler,
)
from qmlphys.nqs.samplers import configurations
from qmlphys.nqs.samplers._cluster_moves import ClusterMetropolis
from qmlphys.nqs.states import MonteCarloState


def vector(ansatz):
    """Normalised state vector, site i of weight 2^i."""
    log = evaluate(ansatz, torch.from_numpy(configurations(ansatz.n_sites))).numpy()
    psi = np.exp(log - log.real.max())
    return psi / np.linalg.norm(psi)


def turned_by(psi, string):
    """P psi of a product of X or of Z, bit by bit."""
    numbers = np.arange(len(psi))
    mask = sum(1 << site for site, letter in enumerate(string) if letter != "I")
    if "X" in string:
        return psi[numbers ^ mask]
    return psi * (1 - 2 * (np.bitwise_count(numbers & mask) % 2).astype(np.int8))


def applied(model, psi):
    return sum(coefficient * turned_by(psi, string) for string, coefficient in model.to_pauli())


def value(psi, letter, sites):
    """<psi|P|psi> of a product of one letter, and how far psi is from an eigenstate of it."""
    n = int(np.log2(len(psi)))
    turned = turned_by(psi, "".join(letter if site in sites else "I" for site in range(n)))
    found = np.vdot(psi, turned).real
    return found, np.abs(turned - found * psi).max()


def entropy(psi, sites):
    n = int(np.log2(len(psi)))
    axes = [n - 1 - site for site in sites]
    rest = [axis for axis in range(n) if axis not in axes]
    matrix = psi.reshape((2,) * n).transpose(axes + rest).reshape(2 ** len(axes), -1)
    p = np.linalg.eigvalsh(matrix @ matrix.conj().T)
    p = p[p > 1e-12]
    return float(-(p * np.log(p)).sum())


@pytest.mark.parametrize("size", [2, 3, 5])
def test_geometry(size):
    code = ToricCode(size)
    assert sorted(edge for star in code.stars for edge in star) == sorted(2 * list(range(code.n_sites)))
    assert sorted(edge for face in code.faces for edge in face) == sorted(2 * list(range(code.n_sites)))
    for star in code.stars:
        assert all(len({*star} & {*face}) in (0, 2) for face in code.faces)
    for at in range(size):
        for direction in "xy":
            dual, direct = (code.loop(direction, dual=dual, at=at) for dual in (True, False))
            assert all(len({*dual} & {*face}) in (0, 2) for face in code.faces)
            assert all(len({*direct} & {*star}) in (0, 2) for star in code.stars)
    # A Z loop along x meets an X loop along y once: they are the two logical operators of one qubit.
    assert len({*code.loop("x", dual=False)} & {*code.loop("y", dual=True)}) == 1
    assert len({*code.loop("x", dual=False)} & {*code.loop("x", dual=True)}) == 0


@pytest.mark.parametrize("size", [3, 4])
def test_strings_end_where_they_should(size):
    code = ToricCode(size)
    places = [(x, y) for y in range(size) for x in range(size)]
    for dual, groups in ((True, code.faces), (False, code.stars)):
        for start, end in combinations(places, 2):
            edges = code.string(start, end, dual=dual)
            odd = {place for place, group in zip(places, groups, strict=True) if len({*group} & {*edges}) % 2}
            assert odd == {start, end}
            assert len(edges) == sum(min(abs(a - b), size - abs(a - b)) for a, b in zip(start, end, strict=True))


@pytest.mark.parametrize("size", [2, 3])
def test_ground_state_has_all_stabilizers(size):
    code, psi = ToricCode(size), vector(toric_code_rbm(size))
    for letter, groups in (("X", code.stars), ("Z", code.faces)):
        for group in groups:
            assert value(psi, letter, group) == pytest.approx((1, 0), abs=1e-12)
    model = toric_code_hamiltonian(size)
    assert np.abs(applied(model, psi) + 2 * size**2 * psi).max() < 1e-12
    for direction in "xy":
        assert value(psi, "X", code.loop(direction, dual=True)) == pytest.approx(((-1) ** size, 0), abs=1e-12)


def test_hamiltonian_has_the_known_spectrum():
    energies = np.linalg.eigvalsh(toric_code_hamiltonian(2).to_sparse().toarray())
    # Four classes times the choices of an even number of anyons of each kind among four places.
    found = dict(zip(*np.unique(np.rint(energies), return_counts=True), strict=True))
    assert found == {-8: 4, -4: 4 * 12, 0: 4 * (2 + 36), 4: 4 * 12, 8: 4}
    assert np.abs(energies - np.rint(energies)).max() < 1e-12


ANYONS = {
    "distant m": {"m_pairs": [((0, 0), (2, 1))]},
    "distant e": {"e_pairs": [((0, 0), (1, 1))]},
    "both": {"m_pairs": [((0, 2), (1, 1)), ((0, 0), (1, 0))], "e_pairs": [((0, 0), (2, 2))]},
    "chain of two pairs": {"m_pairs": [((0, 0), (1, 0)), ((1, 0), (1, 1))]},
}


@pytest.mark.parametrize("name", ANYONS)
def test_anyons_sit_where_they_were_put(name):
    size, pairs = 3, ANYONS[name]
    code, psi = ToricCode(size), vector(toric_code_rbm(size, **pairs))
    places = [(x, y) for y in range(size) for x in range(size)]
    n_anyons = 0
    for letter, groups, key in (("X", code.stars, "e_pairs"), ("Z", code.faces, "m_pairs")):
        ends = [place for pair in pairs.get(key, ()) for place in pair]
        for place, group in zip(places, groups, strict=True):
            sign = (-1) ** ends.count(place)
            n_anyons += sign < 0
            assert value(psi, letter, group) == pytest.approx((sign, 0), abs=1e-12)
    model = toric_code_hamiltonian(size)
    energy = -2 * size**2 + 2 * n_anyons
    assert n_anyons >= 2
    assert np.abs(applied(model, psi) - energy * psi).max() < 1e-12


def test_adjacent_m_pair_turns_the_weights_of_one_edge():
    plain, pair = toric_code_rbm(4).rbm().weight, toric_code_rbm(4, m_pairs=[((0, 0), (1, 0))]).rbm().weight
    edges = (plain != pair).any(dim=0).nonzero().flatten().tolist()
    assert edges == [ToricCode(4).up(1, 0)]
    assert torch.equal(pair[:, edges], -plain[:, edges])


def test_closed_strings_lead_to_the_other_ground_states():
    size, code = 2, ToricCode(2)
    states = [
        vector(toric_code_rbm(size, e_edges=[*first, *second]))
        for first in ((), code.loop("x", dual=False))
        for second in ((), code.loop("y", dual=False))
    ]
    gram = np.array([[abs(np.vdot(a, b)) for a in states] for b in states])
    np.testing.assert_allclose(gram, np.eye(4), atol=1e-12)
    model = toric_code_hamiltonian(size)
    for psi in states:
        assert np.abs(applied(model, psi) + 8 * psi).max() < 1e-12
    # An X loop commutes with everything and only its sign is seen: the state of the machine is its eigenstate.
    turned = vector(toric_code_rbm(size, m_edges=code.loop("x", dual=True)))
    assert abs(np.vdot(turned, states[0])) == pytest.approx(1, abs=1e-12)


def test_star_entropy():
    """The star's four spins have the parities of X as their only correlation: 3 ln 2 on the 3 x 3 torus."""
    psi = vector(toric_code_rbm(3))
    for x, y in ((0, 0), (2, 1)):
        assert entropy(psi, ToricCode(3).star(x, y)) == pytest.approx(3 * np.log(2), abs=1e-12)
    # Against a region without any stabilizer inside: as mixed as can be.
    assert entropy(psi, [0, 2]) == pytest.approx(2 * np.log(2), abs=1e-12)


def test_two_weights_a_qubit():
    for size in (2, 5, 32):
        assert toric_code_rbm(size).n_parameters == 2 * (2 * size**2)


def test_sampling_with_anyons():
    pairs = {"m_pairs": [((0, 0), (3, 2))], "e_pairs": [((1, 1), (4, 4))]}
    sampler = toric_code_sampler(6, n_chains=8, m_pairs=pairs["m_pairs"], n_warmup=4)
    state = MonteCarloState(toric_code_rbm(6, **pairs), sampler, n_samples=64, rng=1)
    samples = state.samples()
    expectation = state.expect(toric_code_hamiltonian(6))
    assert expectation.energy.mean == pytest.approx(-2 * 36 + 8, abs=1e-10)
    assert expectation.variance.mean < 1e-20
    assert samples.acceptance == 1.0
    assert len(torch.unique(samples.spins, dim=0)) == 64


def test_2048_spins():
    sampler = toric_code_sampler(32, n_chains=2, n_warmup=1)
    state = MonteCarloState(toric_code_rbm(32), sampler, n_samples=2, rng=1)
    samples = state.samples()
    energies, *_ = state.measure(toric_code_hamiltonian(32), samples)
    assert (energies + 2048).abs().square().max() < 1e-20
    assert samples.spins.to(torch.float64).mean().abs() < 0.2  # far from where the chains began


@pytest.mark.slow
def test_2048_spins_in_many_chains_and_with_anyons():
    pairs = {"m_pairs": [((0, 0), (9, 30))], "e_pairs": [((1, 2), (20, 13))]}
    for kwargs, energy in (({}, -2048), (pairs, -2040)):
        sampler = toric_code_sampler(32, n_chains=16, m_pairs=kwargs.get("m_pairs", ()))
        state = MonteCarloState(toric_code_rbm(32, **kwargs), sampler, n_samples=64, rng=1)
        expectation = state.expect(toric_code_hamiltonian(32))
        assert expectation.energy.mean == pytest.approx(energy, abs=1e-9)
        assert expectation.variance.mean < 1e-20


def in_a_field(rng):
    """A state near the 2 x 2 toric code: its weights, and a visible bias that prefers spin up."""
    ansatz = toric_code_rbm(2)
    visible = 0.15 * rng.normal(size=8) + 0.1
    return SparseRBM.from_parameters(
        8, ToricCode(2).faces, weights=ansatz.weight.detach().numpy(), visible=visible.astype(complex)
    )


def chi_squared(ansatz, sampler, seed):
    """p value of draws that are far apart against the exact distribution."""
    state = MonteCarloState(ansatz, sampler, n_samples=4000, rng=seed)
    samples = state.samples().spins.numpy()
    codes = ((samples < 0) * (1 << np.arange(8))).sum(axis=1)
    exact = np.abs(vector(ansatz)) ** 2
    allowed = exact > 1e-12
    observed = np.bincount(codes, minlength=256)
    assert observed[~allowed].sum() == 0
    return scipy_stats.chisquare(observed[allowed], 4000 * exact[allowed] / exact[allowed].sum()).pvalue


@pytest.mark.parametrize("network", [False, True])
def test_sampler_has_the_right_distribution(network):
    ansatz = in_a_field(np.random.default_rng(3))
    if network:  # by the road of other ansätze
        ansatz.rbm = lambda: None
    sampler = toric_code_sampler(2, n_chains=400, n_sweeps=8, n_warmup=16)
    assert chi_squared(ansatz, sampler, 4) > 1e-4


def test_sampler_without_loops_is_found_out():
    """The negative control: stars alone never leave one of the four classes."""
    ansatz = in_a_field(np.random.default_rng(3))
    sampler = ClusterMetropolis(400, moves=tuple(ToricCode(2).stars), n_sweeps=8, n_warmup=16)
    assert chi_squared(ansatz, sampler, 4) < 1e-12


def test_moves_that_are_always_accepted_reach_both_parities():
    """Without void proposals the number of flipped stars would stay even, and half of the states unseen."""
    state = MonteCarloState(toric_code_rbm(2), toric_code_sampler(2, n_chains=400), n_samples=4000, rng=5)
    codes = ((state.samples().spins.numpy() < 0) * (1 << np.arange(8))).sum(axis=1)
    observed = np.unique(codes, return_counts=True)[1]
    assert len(observed) == 2 ** (3 + 2)  # three independent stars, two loops
    assert scipy_stats.chisquare(observed).pvalue > 1e-4


def test_sampler_goes_on_from_a_checkpoint():
    first = MonteCarloState(toric_code_rbm(3), toric_code_sampler(3, n_chains=4), n_samples=8, rng=1)
    first.samples()
    second = MonteCarloState(toric_code_rbm(3), toric_code_sampler(3, n_chains=4), n_samples=8, rng=2)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.samples().spins, second.samples().spins)


def test_chains_do_not_start_where_the_amplitude_is_zero():
    state = MonteCarloState(
        toric_code_rbm(4, m_pairs=[((0, 0), (2, 2))]), toric_code_sampler(4, n_chains=2), n_samples=4, rng=1
    )
    with pytest.raises(ValueError, match="zero up to rounding"):
        state.samples()


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"moves": ()}, "at least one move"),
        ({"moves": ((0, 0),)}, "different sites"),
        ({"moves": ((),)}, "at least one move"),
        ({"moves": ((0,),), "initial": (0, 1)}, "-1 and"),
        ({"moves": ((0,),), "n_sweeps": 0}, "n_sweeps"),
        ({"moves": ((0,),), "n_warmup": float("inf")}, "n_warmup"),
    ],
)
def test_bad_arguments_of_the_sampler(kwargs, match):
    with pytest.raises(ValueError, match=match):
        ClusterMetropolis(4, **kwargs)


def test_arguments_of_the_sampler_that_do_not_fit():
    with pytest.raises(TypeError, match="n_sweeps"):
        ClusterMetropolis(4, moves=((0,),), n_sweeps="1")
    rng, ansatz = np.random.default_rng(1), graph_state_rbm((3, [(0, 1)]))
    with pytest.raises(ValueError, match="sites from 0 to 2"):
        ClusterMetropolis(4, moves=((0, 3),)).start(ansatz, rng)
    with pytest.raises(ValueError, match="the ansatz's 3 sites"):
        ClusterMetropolis(4, moves=((0,),), initial=(1, 1)).start(ansatz, rng)
    sampler = ClusterMetropolis(4, moves=((0,),))
    state = sampler.start(ansatz, rng)
    with pytest.raises(ValueError, match="multiple of the 4 chains"):
        sampler.draw(ansatz, state, 6, rng)
    with pytest.raises(ValueError, match="4 chains of 5 sites"):
        sampler.draw(MLP(5, widths=(3,), rng=1), state, 4, rng)


def test_single_flips_as_clusters_equal_ordinary_sampling():
    """One-site clusters on a positive state give its energy."""
    ansatz, model = SparseRBM(6, [(i, (i + 1) % 6) for i in range(6)], scale=0.4, rng=1), TransverseIsing(chain(6))
    sampler = ClusterMetropolis(100, moves=tuple((i,) for i in range(6)), n_sweeps=2)
    energy = MonteCarloState(ansatz, sampler, n_samples=4000, rng=1).expect(model).energy
    psi = vector(ansatz)
    assert abs(energy.deviation(np.vdot(psi, model.to_sparse() @ psi).real)) < 5


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"m_pairs": [((0, 0), (0, 0))]}, "different places"),
        ({"m_pairs": [((0, 0), (0, 3))]}, "from 0 to 2"),
        ({"e_pairs": [((0, 0),)]}, "`e_pairs` must hold pairs"),
        ({"e_pairs": [((0, 0, 1), (0, 1))]}, "`e_pairs` must hold pairs"),
        ({"e_edges": [18]}, "`e_edges` must hold edges from 0 to 17"),
        ({"m_edges": [-1]}, "m_edges"),
    ],
)
def test_bad_anyons(kwargs, match):
    with pytest.raises(ValueError, match=match):
        toric_code_rbm(3, **kwargs)


def test_bad_sizes():
    for function in (ToricCode, toric_code_rbm, toric_code_hamiltonian, toric_code_sampler):
        with pytest.raises(ValueError, match="`l`"):
            function(1)
    with pytest.raises(ValueError, match="'x' or 'y'"):
        ToricCode(2).loop("z", dual=True)
