"""Deep Boltzmann machines: exact sums, derivatives, rotated states, and sampling without amplitudes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats as scipy_stats

from qmlphys.hamiltonians import Heisenberg, PauliSum, TransverseIsing
from qmlphys.lattices import chain
from qmlphys.nqs import VMC
from qmlphys.nqs._metropolis import evaluate
from qmlphys.nqs.ansatz import MLP, RBM, Marshall, dbm
from qmlphys.nqs.ansatz.dbm import DBM
from qmlphys.nqs.constructions import SparseRBM, graph_state_rbm, rotated_dbm, to_matrix_product_state
from qmlphys.nqs.samplers import configurations
from qmlphys.nqs.samplers._deep_gibbs import amplitude_ratios, gibbs_energy, gibbs_samples
from qmlphys.nqs.states import FullSumState
from qmlphys.nqs.tangent import Tangent, assign_flat, flat_parameters


def shaken(ansatz, seed=1, scale=0.4):
    rng, flat = np.random.default_rng(seed), flat_parameters(ansatz)
    noise = rng.normal(size=len(flat)) + (1j * rng.normal(size=len(flat)) if flat.is_complex() else 0)
    assign_flat(ansatz, scale * torch.from_numpy(noise))
    return ansatz


def all_spins(ansatz):
    return torch.from_numpy(configurations(ansatz.n_sites))


def brute_force(ansatz):
    """The sum over both hidden layers, term by term."""

    def array(parameter, size):
        return np.zeros(size) if parameter is None else parameter.detach().numpy().reshape(-1)

    w, u = ansatz.hidden.weight.detach().numpy(), ansatz.deep_weight.detach().numpy()
    b, c = array(ansatz.hidden.bias, ansatz.n_hidden), array(ansatz.deep_bias, ansatz.n_deep)
    a = array(None if ansatz.visible is None else ansatz.visible.weight, ansatz.n_sites)
    h = np.array(list(product([1, -1], repeat=ansatz.n_hidden)))
    d = np.array(list(product([1, -1], repeat=ansatz.n_deep)))
    energies = (h @ b)[:, None] + d @ c + h @ u.T @ d.T
    return np.array([np.exp(a @ s + (h @ w @ s)[:, None] + energies).sum() for s in configurations(ansatz.n_sites)])


@pytest.mark.parametrize("dtype", ["float64", "complex128", "float32"])
@pytest.mark.parametrize(("n_hidden", "n_deep"), [(5, 2), (2, 5), (1, 1), (4, 4)])
@pytest.mark.parametrize("biases", [True, False])
def test_log_psi_is_the_sum_over_both_layers(dtype, n_hidden, n_deep, biases):
    kwargs = {"visible_bias": biases, "hidden_bias": biases, "deep_bias": biases}
    ansatz = shaken(DBM(4, n_hidden=n_hidden, n_deep=n_deep, dtype=dtype, **kwargs))
    found = ansatz(all_spins(ansatz)).detach().exp().numpy()
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    exact = brute_force(ansatz)
    assert np.abs(found - exact).max() < tolerance * np.abs(exact).max()


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_sum_in_pieces_is_the_same(dtype, monkeypatch):
    ansatz = shaken(DBM(4, n_hidden=7, n_deep=6, dtype=dtype))
    whole = evaluate(ansatz, all_spins(ansatz))
    monkeypatch.setattr(dbm, "_BLOCK", 16 * 7 * 5)  # five configurations of the deep units at a time
    torch.testing.assert_close(evaluate(ansatz, all_spins(ansatz)), whole, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize(("n_hidden", "n_deep"), [(4, 2), (2, 4)])
def test_derivatives(dtype, n_hidden, n_deep):
    ansatz = shaken(DBM(4, n_hidden=n_hidden, n_deep=n_deep, dtype=dtype))
    spins, flat, step = all_spins(ansatz), flat_parameters(ansatz), 1e-6
    jacobian = Tangent(ansatz, spins).jacobian()
    for k in range(ansatz.n_parameters):
        direction = torch.zeros_like(flat)
        direction[k] = step
        assign_flat(ansatz, flat + direction)
        ahead = ansatz(spins).detach()
        assign_flat(ansatz, flat - direction)
        found = (ahead - ansatz(spins).detach()) / (2 * step)
        torch.testing.assert_close(found, jacobian[:, k].to(torch.complex128), rtol=1e-6, atol=1e-7)
    assign_flat(ansatz, flat)


def test_amplitudes_that_are_zero_have_no_logarithm_and_no_nan():
    """psi = sum over d of exp(i pi d / 2) cosh(...) with no coupling is 2 cos(pi / 2): zero up to rounding."""
    ansatz = DBM.from_parameters(np.zeros((1, 2)), np.zeros((1, 1)), deep=[0.5j * np.pi])
    value = ansatz(torch.ones(1, 2))
    assert value.real.item() < -35
    assert not torch.isnan(Tangent(ansatz, torch.ones(1, 2)).jacobian()).any()


def test_training_reaches_a_ground_state():
    ansatz, model = DBM(6, n_hidden=6, n_deep=2, scale=0.1, rng=1), TransverseIsing(chain(6))
    vmc = VMC(model, FullSumState(ansatz))
    vmc.run(60)
    exact = np.linalg.eigvalsh(model.to_sparse().toarray())[0]
    assert FullSumState(ansatz).expect(model).energy.mean == pytest.approx(exact, rel=1e-3)


def test_machines_without_a_sum_are_refused():
    ansatz = DBM(4, n_hidden=17, n_deep=17)
    with pytest.raises(ValueError, match="at most 16 for log psi"):
        ansatz(torch.ones(1, 4))


def test_sixteen_units_are_summed():
    ansatz = DBM(2, n_hidden=18, n_deep=16, scale=0.05, rng=1)
    # Without the weights to the deep units the sum is that of one layer.
    with torch.no_grad():
        ansatz.deep_weight.zero_()
    plain = RBM(2, alpha=9)
    with torch.no_grad():
        plain.hidden.weight.copy_(ansatz.hidden.weight)
    spins = all_spins(ansatz)
    expected = evaluate(plain, spins) + 16 * np.log(2)
    torch.testing.assert_close(evaluate(ansatz, spins), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"n_hidden": 0, "n_deep": 1}, "n_hidden"),
        ({"n_hidden": 1, "n_deep": 0}, "n_deep"),
        ({"n_hidden": 1, "n_deep": 1, "dtype": "int8"}, "dtype"),
    ],
)
def test_bad_sizes(kwargs, match):
    with pytest.raises(ValueError, match=match):
        DBM(4, **kwargs)


@pytest.mark.parametrize(
    ("arguments", "kwargs", "match"),
    [
        ((np.zeros(3), np.zeros((1, 3))), {}, "`weight` must have shape"),
        ((np.zeros((3, 2)), np.zeros((1, 2))), {}, "`deep_weight` must hold finite numbers in the shape"),
        ((np.full((1, 2), np.inf), np.zeros((1, 1))), {}, "`weight` must hold finite"),
        ((np.zeros((1, 2)), np.zeros((1, 1))), {"visible": [1.0]}, "`visible`"),
        ((np.zeros((1, 2)), np.zeros((1, 1))), {"hidden": [1.0, 2.0]}, "`hidden`"),
        ((np.zeros((1, 2)), np.zeros((1, 1))), {"deep": ["x"]}, "`deep`"),
    ],
)
def test_bad_parameters(arguments, kwargs, match):
    with pytest.raises(ValueError, match=match):
        DBM.from_parameters(*arguments, **kwargs)


def rotated(psi, gates):
    """Gates on single sites of a state vector."""
    n = int(np.log2(len(psi)))
    tensor = psi.reshape((2,) * n)
    for site, gate in gates.items():
        axis = n - 1 - site
        tensor = np.moveaxis(np.tensordot(gate, tensor, axes=(1, axis)), 0, axis)
    return tensor.ravel()


def check_rotation(machine, gates):
    psi = rotated(evaluate(machine, all_spins(machine)).exp().numpy(), gates)
    ansatz = rotated_dbm(machine, gates)
    log = evaluate(ansatz, all_spins(ansatz)).numpy()
    found = np.exp(log - log.real.max())
    scale = np.vdot(psi, found) / np.vdot(psi, psi)
    assert np.abs(found / scale - psi).max() < 1e-12 * np.abs(psi).max()
    return ansatz


HADAMARD = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
GATES = {
    "hadamard": HADAMARD,
    "phase": np.diag([1, 1j]),
    "flip": np.array([[0, 1], [1, 0]]),
    "projector": np.array([[1, 0], [0, 0]]),
    "not unitary": np.array([[1, 2], [0, 1j]]),
    "pi / 8": np.array([[np.cos(np.pi / 8), -1j * np.sin(np.pi / 8)], [-1j * np.sin(np.pi / 8), np.cos(np.pi / 8)]]),
}


@pytest.mark.parametrize("name", GATES)
def test_gates_on_a_random_machine(name):
    machine = shaken(SparseRBM(5, [(0, 1, 2), (2, 3), (4,), (0, 4)], dtype="complex128"), scale=0.5)
    check_rotation(machine, {0: GATES[name], 3: GATES[name]})


def test_cluster_state_in_two_dimensions_after_rotations_of_all_sites():
    """The state of Gao and Duan on 3 x 3 sites, one gate exp(-i pi X / 8) a site."""
    edges = [(3 * y + x, 3 * y + x + 1) for y in range(3) for x in range(2)]
    edges += [(3 * y + x, 3 * y + x + 3) for y in range(2) for x in range(3)]
    ansatz = check_rotation(graph_state_rbm((9, edges)), dict.fromkeys(range(9), GATES["pi / 8"]))
    assert ansatz.n_deep == 9
    assert ansatz.n_hidden == len(edges) + 9  # one unit an edge and one a gate
    # Amplitudes of a graph state are of one modulus: the rotations have made something else of it.
    moduli = np.exp(evaluate(ansatz, all_spins(ansatz)).real.numpy())
    assert moduli.std() / moduli.mean() > 0.1


def test_signs_of_the_machine_are_kept():
    check_rotation(Marshall(RBM(4, scale=0.5, rng=1), 4), {0: HADAMARD, 1: GATES["pi / 8"]})


def test_rotated_state_measures_like_any_ansatz():
    """A cluster ring in the basis of X: its stabilizers have X and Z exchanged."""
    n = 6
    ansatz = rotated_dbm(graph_state_rbm((n, [(i, (i + 1) % n) for i in range(n)])), dict.fromkeys(range(n), HADAMARD))
    strings = [
        "".join("Z" if j == i else "X" if (j - i) % n in (1, n - 1) else "I" for j in range(n)) for i in range(n)
    ]
    model = PauliSum([(string, -1.0) for string in strings])
    expectation = FullSumState(ansatz).expect(model)
    assert expectation.energy.mean == pytest.approx(-n, abs=1e-10)


def test_a_product_state_needs_no_units_of_its_own():
    machine = SparseRBM.from_parameters(3, [], weights=np.zeros(0), visible=np.array([0.3, -0.2, 0.1]))
    check_rotation(machine, {1: np.outer([1, 2], [1, 3])})
    check_rotation(machine, {1: HADAMARD})


def test_bad_gates():
    machine = graph_state_rbm((3, [(0, 1)]))
    with pytest.raises(TypeError, match="restricted Boltzmann machine"):
        rotated_dbm(MLP(3, widths=(2,), rng=1), {0: HADAMARD})
    with pytest.raises(ValueError, match="1 to 16 gates on sites from 0 to 2"):
        rotated_dbm(machine, {})
    with pytest.raises(ValueError, match="1 to 16 gates on sites from 0 to 2"):
        rotated_dbm(machine, {3: HADAMARD})
    for gate in (np.eye(3), np.zeros((2, 2)), [[1, np.nan], [0, 1]], [["a", "b"], ["c", "d"]]):
        with pytest.raises(ValueError, match="2 x 2 matrices"):
            rotated_dbm(machine, {0: gate})


def test_sampled_ratios():
    ansatz = shaken(DBM(5, n_hidden=6, n_deep=4))
    rows = all_spins(ansatz)[[0, 3, 17, 30]].to(torch.float64)
    others = rows.clone()
    others[:, 1] *= -1
    others[2, 4] *= -1
    exact = (evaluate(ansatz, others) - evaluate(ansatz, rows)).real.exp().numpy()
    found = amplitude_ratios(ansatz, rows, others, n_draws=400, rng=1)
    assert max(abs(ratio.deviation(value)) for ratio, value in zip(found, exact, strict=True)) < 5
    assert max(ratio.error / ratio.mean for ratio in found) < 0.05
    # The negative control: the ratios of other rows are not theirs.
    assert max(abs(ratio.deviation(value)) for ratio, value in zip(found, exact[::-1], strict=True)) > 20


def chi_squared(draws, weights):
    codes = ((draws.reshape(-1, draws.shape[-1]) < 0) * (1 << np.arange(draws.shape[-1]))).sum(axis=1)
    return scipy_stats.chisquare(
        np.bincount(codes, minlength=len(weights)), len(codes) * weights / weights.sum()
    ).pvalue


def test_gibbs_samples_have_the_right_distribution():
    ansatz = shaken(DBM(4, n_hidden=5, n_deep=3), scale=0.25)
    draws = gibbs_samples(ansatz, 1, n_chains=10_000, n_warmup=80, rng=1)[:, -1]
    psi = brute_force(ansatz)
    assert chi_squared(draws, psi**2) > 1e-4
    assert chi_squared(draws, psi) < 1e-12  # the negative control: psi instead of |psi|^2


@pytest.mark.parametrize("model", [TransverseIsing(chain(5), field=0.8), Heisenberg(chain(5))])
def test_sampled_energy(model):
    ansatz = shaken(DBM(5, n_hidden=6, n_deep=3), scale=0.3)
    energy = gibbs_energy(model, ansatz, n_draws=300, rng=2)
    exact = FullSumState(ansatz).expect(model).energy.mean
    assert abs(energy.deviation(exact)) < 5
    assert energy.error < 0.05 * abs(exact)
    assert abs(energy.deviation(exact + 1)) > 5


def test_machines_beyond_every_sum_are_sampled():
    """40 deep units without weights to them change nothing: the energy is that of one layer."""
    ansatz = shaken(DBM(6, n_hidden=20, n_deep=40, deep_bias=False), scale=0.15)
    with torch.no_grad():
        ansatz.deep_weight.zero_()
    plain, model = RBM(6, alpha=20 / 6), TransverseIsing(chain(6))
    with torch.no_grad():
        plain.hidden.weight.copy_(ansatz.hidden.weight)
        plain.hidden.bias.copy_(ansatz.hidden.bias)
        plain.visible.weight.copy_(ansatz.visible.weight)
    exact = FullSumState(plain).expect(model).energy.mean
    assert abs(gibbs_energy(model, ansatz, n_draws=300, rng=3).deviation(exact)) < 5


def test_bad_input_of_the_estimators():
    ansatz, rows = DBM(3, n_hidden=2, n_deep=2, rng=1), torch.ones(2, 3)
    imaginary = DBM(3, n_hidden=2, n_deep=2, dtype="complex128")
    for function in (
        lambda a: amplitude_ratios(a, rows, rows),
        lambda a: gibbs_samples(a, 2),
        lambda a: gibbs_energy(TransverseIsing(chain(3)), a),
    ):
        with pytest.raises(ValueError, match="real parameters"):
            function(imaginary)
        with pytest.raises(TypeError, match="must be a DBM"):
            function(RBM(3))
    with pytest.raises(ValueError, match="2 rows of `spins`"):
        amplitude_ratios(ansatz, rows, rows[:1])
    with pytest.raises(ValueError, match="-1 and"):
        amplitude_ratios(ansatz, rows, 0 * rows)
    with pytest.raises(ValueError, match="n_draws"):
        gibbs_samples(ansatz, 0)
    with pytest.raises(ValueError, match="n_chains"):
        gibbs_samples(ansatz, 1, n_chains=0)
    with pytest.raises(ValueError, match="4 sites of the Hamiltonian"):
        gibbs_energy(TransverseIsing(chain(4)), ansatz)


def test_deep_machine_is_no_restricted_one():
    with pytest.raises(TypeError, match="restricted Boltzmann machine"):
        to_matrix_product_state(DBM(3, n_hidden=2, n_deep=1))
