"""Tangent kernels against finite differences, closed forms and each other; training against its linear theory.

One long file: all of it shares the cosine network and its numeric derivatives.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from qmlphys import bits, exact
from qmlphys.hamiltonians import TransverseIsing
from qmlphys.hamiltonians.fermi_hubbard import fermi_hubbard_ground_state
from qmlphys.lattices import chain
from qmlphys.nqs import CNN, MLP, RBM, Autoregressive, MPSAnsatz, Tangent, VisionTransformer
from qmlphys.nqs.ensembles import single_nonlinearity
from qmlphys.nqs.neural_tangent import (
    CosNetParameters,
    LinearFlow,
    StringSet,
    TangentCosNet,
    cosnet_tangent_kernel,
    linear_flow,
    tangent_kernels,
    train_supervised,
)


class CosNetModule(torch.nn.Module):
    """The network written once more, for automatic differentiation."""

    def __init__(self, parameters):
        super().__init__()
        for name in "awb":
            setattr(self, name, torch.nn.Parameter(torch.from_numpy(getattr(parameters, name).copy())))

    def forward(self, spins):
        inner = torch.einsum("phi,ni->nph", self.w, spins) / math.sqrt(spins.shape[1]) + self.b
        parts = (self.a * torch.cos(inner)).sum(-1) / math.sqrt(self.a.shape[1])
        return torch.complex(parts[:, 0], parts[:, 1])


def tfim(n):
    """Ground state of the critical ring of n sites, in the order of integers."""
    return exact.ground_state(TransverseIsing(chain(n), field=1.0), vectors=True).vector


# Strings


def test_string_sets_hold_every_string_in_the_order_of_integers():
    for n in (1, 2, 5):
        np.testing.assert_array_equal(StringSet.all(n).spins, bits.integers_to_spins(np.arange(2**n), n))


def test_string_sets_of_a_sector():
    state = fermi_hubbard_ground_state((2, 2), 2, n_down=1)
    strings = StringSet(state.up, state.down)
    assert len(strings) == len(state.amplitudes) == 24
    np.testing.assert_array_equal(strings.spins, state.spins)


# The network and its gradient


@pytest.mark.parametrize("cut", [True, False])
def test_values_and_kernels_are_those_of_the_plain_network(cut):
    whole = StringSet.all(5)
    strings = whole if cut else StringSet(whole.spins[3:20])
    network = TangentCosNet.random(5, width=7, sigma_w=1.7, sigma_a=0.6, rng=3)
    module = CosNetModule(network.parameters)
    psi = module(torch.from_numpy(strings.spins)).detach().numpy()
    np.testing.assert_allclose(network.values(strings), psi, atol=1e-13)
    theta, phi = tangent_kernels(module, strings.spins)
    own_theta, own_phi = network.tangent_kernels(strings)
    np.testing.assert_allclose(own_theta, theta, atol=1e-12)
    np.testing.assert_allclose(own_phi, phi, atol=1e-12)
    assert np.abs(phi).max() > 0.1  # it vanishes for the infinite width only


@pytest.mark.parametrize("cut", [True, False])
def test_gradient_is_that_of_the_loss(cut):
    strings = StringSet.all(4) if cut else StringSet(StringSet.all(4).spins[2:11])
    network = TangentCosNet.random(4, width=5, sigma_w=1.3, sigma_a=0.8, rng=4)
    generator = np.random.default_rng(5)
    target = generator.standard_normal((2, len(strings))).T @ [1, 1j]
    gradient = network.gradient(strings, network.values(strings) - target)
    module = CosNetModule(network.parameters)
    loss = (module(torch.from_numpy(strings.spins)) - torch.from_numpy(target)).abs().square().sum()
    loss.backward()
    for name in "awb":
        np.testing.assert_allclose(getattr(gradient, name), getattr(module, name).grad.numpy(), atol=1e-12)


def test_random_networks_have_the_distribution_they_say():
    network = TangentCosNet.random(6, width=20_000, sigma_w=1.5, sigma_a=0.7, rng=8)
    p = network.parameters
    for values, deviation in ((p.a, 0.7), (p.w, 1.5), (p.b, np.pi / math.sqrt(3))):
        assert values.std() == pytest.approx(deviation, rel=5 / math.sqrt(2 * values.size))
        assert abs(values.mean()) < 5 * deviation / math.sqrt(values.size)
    assert np.abs(p.b).max() <= np.pi
    assert not np.array_equal(p.a[0], p.a[1])


# Empirical kernels


def numeric_derivatives(ansatz, spins):
    """Central differences by every real parameter, real and imaginary parts apart."""
    rows = torch.as_tensor(spins)
    columns = []
    with torch.no_grad():
        for parameter in ansatz.parameters():
            flat = parameter.view(-1)
            for k in range(flat.numel()):
                for direction in (1.0, 1j) if parameter.is_complex() else (1.0,):
                    kept, found = flat[k].clone(), []
                    for sign in (1, -1):
                        flat[k] = kept + sign * 1e-5 * direction
                        found.append(ansatz.log_psi(rows).numpy())
                    flat[k] = kept
                    columns.append((found[0] - found[1]) / 2e-5)
    return np.stack(columns, axis=1)


ANSATZE = {
    "rbm": lambda: RBM(4, scale=0.4, rng=1),
    "rbm-complex": lambda: RBM(4, scale=0.4, dtype="complex128", rng=1),
    "mlp-phase": lambda: MLP(4, widths=[3], phase=True, rng=1),
    "mlp-complex": lambda: MLP(4, widths=[3], activation="log_cosh", dtype="complex128", scale=0.3, rng=1),
    "cnn": lambda: CNN(4, channels=2, kernel_size=3, phase=True, rng=1),
    "transformer": lambda: VisionTransformer(4, d_model=4, n_heads=2, n_layers=1, phase=True, rng=1),
    "autoregressive": lambda: Autoregressive(4, phase=True, rng=1),
    "mps": lambda: MPSAnsatz(4, bond=2, dtype="complex128", rng=1),
}


@pytest.mark.parametrize("name", ANSATZE)
def test_kernels_of_every_ansatz_are_those_of_finite_differences(name):
    ansatz = ANSATZE[name]()
    spins = StringSet.all(4).spins[[0, 3, 5, 6, 9, 14]]
    slopes = numeric_derivatives(ansatz, spins)
    theta, phi = tangent_kernels(ansatz, spins, of="log_psi")
    size = np.abs(theta).max()
    np.testing.assert_allclose(theta, slopes @ slopes.conj().T, atol=1e-7 * size)
    np.testing.assert_allclose(phi, slopes @ slopes.T, atol=1e-7 * size)
    log_psi = ansatz.log_psi(torch.from_numpy(spins)).detach().numpy()
    psi = np.exp(log_psi - log_psi.real.max())
    theta, phi = tangent_kernels(ansatz, spins)
    np.testing.assert_allclose(theta, (psi[:, None] * slopes) @ (psi[:, None] * slopes).conj().T, atol=1e-7 * size)
    np.testing.assert_allclose(phi, (psi[:, None] * slopes) @ (psi[:, None] * slopes).T, atol=1e-7 * size)
    if ansatz.derivative == "holomorphic":
        assert np.abs(phi).max() < 1e-12 * size  # d/d Im p = i d/d Re p


def test_kernel_of_log_psi_agrees_with_the_tangent_of_the_vmc():
    ansatz = MLP(5, widths=[4], phase=True, rng=2)
    spins = StringSet.all(5).spins
    jacobian = Tangent(ansatz, torch.from_numpy(spins)).jacobian().numpy()
    theta, _ = tangent_kernels(ansatz, spins, of="log_psi")
    np.testing.assert_allclose(theta, jacobian @ jacobian.conj().T, atol=1e-12)


def test_chunks_and_rectangles_change_nothing():
    ansatz = MLP(5, widths=[4], phase=True, rng=2)
    spins = StringSet.all(5).spins
    theta, phi = tangent_kernels(ansatz, spins)
    for chunk in (7, 20):
        again = tangent_kernels(ansatz, spins, chunk=chunk)
        np.testing.assert_allclose(again, (theta, phi), atol=1e-13)
    part = tangent_kernels(ansatz, spins[:9], y=torch.from_numpy(spins), chunk=16)
    np.testing.assert_allclose(part, (theta[:9], phi[:9]), atol=1e-13)


def test_a_complex_output_is_not_seeded_by_one_number():
    # What a single reverse pass through the complex output would give is the real part's derivative alone.
    module = CosNetModule(TangentCosNet.random(3, width=4, sigma_w=1.0, rng=1).parameters)
    spins = StringSet.all(3).spins
    theta, _ = tangent_kernels(module, spins)
    module.zero_grad()
    module(torch.from_numpy(spins[:1])).real.sum().backward()
    half = sum(float((p.grad**2).sum()) for p in module.parameters())
    assert theta[0, 0].real > 1.2 * half


def test_log_psi_of_a_module_that_gives_psi_and_frozen_parameters():
    module = CosNetModule(TangentCosNet.random(3, width=4, sigma_w=1.0, rng=1).parameters)
    spins = StringSet.all(3).spins
    psi = module(torch.from_numpy(spins)).detach().numpy()
    theta, _ = tangent_kernels(module, spins)
    of_log, _ = tangent_kernels(module, spins, of="log_psi")
    np.testing.assert_allclose(of_log, theta / np.outer(psi, psi.conj()), atol=1e-10 * np.abs(of_log).max())
    module.w.requires_grad_(False)
    module.b.requires_grad_(False)
    theta, _ = tangent_kernels(module, spins)
    p = module.a.detach().numpy()
    w, b = module.w.detach().numpy(), module.b.detach().numpy()
    cos = np.cos(np.einsum("phi,ni->nph", w, spins) / math.sqrt(3) + b[None])
    np.testing.assert_allclose(theta, np.einsum("nph,mph->nm", cos, cos) / p.shape[1], atol=1e-12)


def test_random_states_say_what_they_give():
    state = single_nonlinearity(4, "sin", scale=1j, rng=1)
    spins = StringSet.all(4).spins
    w, b = state.weight.detach().numpy()[0], state.bias.item()
    slopes = 1j * np.cos(spins @ w + b)[:, None] * np.hstack([spins, np.ones((16, 1))])
    psi = np.exp(1j * np.sin(spins @ w + b))[:, None]
    np.testing.assert_allclose(tangent_kernels(state, spins, of="log_psi")[0], slopes @ slopes.conj().T, atol=1e-12)
    theta, phi = tangent_kernels(state, spins)  # |psi| = 1: the scale is 1
    np.testing.assert_allclose(theta, (psi * slopes) @ (psi * slopes).conj().T, atol=1e-12)
    np.testing.assert_allclose(phi, (psi * slopes) @ (psi * slopes).T, atol=1e-12)


# The infinite width


def test_closed_form_is_the_mean_over_networks():
    # Equations in the docstring of cosnet_tangent_kernel; each entry is a mean over H independent units.
    n, width = 5, 60_000
    strings = StringSet.all(n)
    network = TangentCosNet.random(n, width=width, sigma_w=1.4, sigma_a=0.7, rng=11)
    theta, phi = network.tangent_kernels(strings)
    limit = cosnet_tangent_kernel(strings.spins, sigma_w=1.4, sigma_a=0.7)
    spread = 3.0 / math.sqrt(width)  # entries of one unit scatter by less than 3
    assert np.abs(theta - limit).max() < 5 * spread
    assert np.abs(phi).max() < 5 * spread
    for wrong in (cosnet_tangent_kernel(strings.spins, sigma_w=1.0, sigma_a=0.7), limit / 2):
        assert np.abs(theta - wrong).max() > 10 * spread


def test_closed_form_by_plain_loops():
    generator = np.random.default_rng(0)
    x, y = generator.choice([-1.0, 1.0], (4, 6)), generator.choice([-1.0, 1.0], (3, 6))
    kernel = cosnet_tangent_kernel(x, y, sigma_w=1.1, sigma_a=0.6)
    for i in range(4):
        for j in range(3):
            decay = math.exp(-(1.1**2) * ((x[i] - y[j]) ** 2).sum() / 12)
            assert kernel[i, j] == pytest.approx(2 * 0.5 * (1 + 0.36 * (1 + x[i] @ y[j] / 6)) * decay, rel=1e-13)


def kernel_distances(n, widths, seeds):
    strings = StringSet.all(n)
    limit = cosnet_tangent_kernel(strings.spins, sigma_w=math.sqrt(n))
    found = []
    for width in widths:
        kernels = [
            TangentCosNet.random(n, width=width, sigma_w=math.sqrt(n), rng=seed).tangent_kernels(strings)[0]
            for seed in range(seeds)
        ]
        squares = [np.linalg.norm(kernel - limit) ** 2 for kernel in kernels]
        found.append(math.sqrt(np.mean(squares)) / np.linalg.norm(limit))
    return np.array(found)


def slope_of(widths, distances):
    return np.polyfit(np.log(widths), np.log(distances), 1)[0]


def test_distance_to_the_infinite_width_falls_as_the_square_root():
    widths = [1024, 2048, 4096, 8192, 16384]
    assert slope_of(widths, kernel_distances(5, widths, 4)) == pytest.approx(-0.5, abs=0.1)


# Linear flow


def random_kernels(n, n_parameters, rng):
    generator = np.random.default_rng(rng)
    jacobian = generator.standard_normal((n, n_parameters)) + 1j * generator.standard_normal((n, n_parameters))
    return jacobian, jacobian @ jacobian.conj().T, jacobian @ jacobian.T


def test_linear_flow_is_the_matrix_exponential():
    _, theta, _ = random_kernels(5, 9, 1)
    generator = np.random.default_rng(2)
    start, aim = generator.standard_normal((2, 5)) + 1j * generator.standard_normal((2, 5))
    times = [0.0, 0.01, 0.2]
    found = linear_flow(theta, start, target=aim, times=times, rate=0.3)
    for time, psi in zip(times, found, strict=True):
        np.testing.assert_allclose(psi, aim + expm(-0.3 * time * theta) @ (start - aim), atol=1e-12)


@pytest.mark.parametrize("real", [False, True])
def test_flow_with_both_kernels_is_gradient_descent_of_a_linear_model(real):
    # psi = J p with real p: the gradient of L = sum |psi - aim|^2 is 2 Re J^H delta, and dp/dt = -eta dL/dp ...
    generator = np.random.default_rng(3)
    jacobian, theta, phi = random_kernels(4, 11, 4)
    if real:  # half of the parameters move the real part, the others the imaginary part
        jacobian = np.hstack([jacobian.real, 1j * jacobian.imag])
        theta, phi = jacobian @ jacobian.conj().T, jacobian @ jacobian.T
    p, aim = generator.standard_normal(jacobian.shape[1]), np.array([1.0, 1j, -0.4 + 0.2j, 2.0])
    step = 0.02 / np.linalg.norm(theta)
    start = jacobian @ p - aim
    for _ in range(50):
        p = p - step * 2 * (jacobian.conj().T @ (jacobian @ p - aim)).real
    # ... moves delta by -eta (Theta delta + Phi delta*) a unit of time.
    residual = LinearFlow(theta, phi).residuals(start, [50], step=step)[0]
    np.testing.assert_allclose(residual, jacobian @ p - aim, atol=1e-12)
    smooth = LinearFlow(theta, phi).residuals(start, [50 * step])[0]
    assert np.abs(smooth - residual).max() < 0.03 * np.abs(residual).max()


def test_losses_weights_and_times_of_the_flow():
    _, theta, phi = random_kernels(6, 30, 5)
    delta = np.random.default_rng(6).standard_normal(6) + 0j
    for flow in (LinearFlow(theta), LinearFlow(theta, phi)):
        rates, weights = flow.weights(delta)
        np.testing.assert_array_equal(rates, flow.rates)
        assert weights.sum() == pytest.approx(np.linalg.norm(delta) ** 2, rel=1e-12)
        times = [0.0, 0.003, 0.02]
        losses = [np.linalg.norm(row) ** 2 for row in flow.residuals(delta, times)]
        np.testing.assert_allclose(flow.losses(delta, times), losses, rtol=1e-10)
        time = flow.time_to(1e-3, delta)
        assert flow.losses(delta, [time])[0] == pytest.approx(1e-3, rel=1e-9)
    assert LinearFlow(theta).time_to(100.0, delta) == 0


def test_a_state_outside_the_tangent_space_is_never_learned():
    _, theta, _ = random_kernels(6, 3, 7)
    delta = np.random.default_rng(8).standard_normal(6)
    assert LinearFlow(theta).time_to(1e-6, delta) == math.inf


def test_rates_are_those_of_hypercube_waves():
    # Theta depends on the Hamming distance only, so the parities chi_S are its eigenvectors: Krawtchouk sums.
    n, sigma_w = 6, 1.3
    strings = StringSet.all(n).spins
    kernel = cosnet_tangent_kernel(strings, sigma_w=sigma_w)
    expected = []
    for k in range(n + 1):
        parity = strings[:, :k].prod(axis=1)
        image = kernel @ parity
        np.testing.assert_allclose(image, image[0] * parity * parity[0], atol=1e-12 * abs(image[0]) + 1e-13)
        expected += [image[0] * parity[0]] * math.comb(n, k)
    np.testing.assert_allclose(LinearFlow(kernel).rates, np.sort(expected), atol=1e-12)


def test_small_sigma_w_makes_the_training_hopeless():
    # With q = exp(-2 sigma_w^2 / n) the parity of k spins decays at a rate of order (1 - q)^k.
    n = 8
    strings, psi = StringSet.all(n).spins, tfim(n)
    times = {}
    for sigma_w in (math.sqrt(n), 1.0, 0.5, 0.25):
        flow = LinearFlow(cosnet_tangent_kernel(strings, sigma_w=sigma_w))
        times[sigma_w] = flow.time_to(1e-6, psi) * flow.rates[-1]  # in steps of 1 / (largest rate)
        if sigma_w == 0.25:
            assert flow.rates[0] / flow.rates[-1] < 1e-12
    found = list(times.values())
    assert found[0] < 100
    assert found[1] > 30 * found[0]
    assert found[2] > 1e3 * found[1]
    assert found[3] > 1e3 * found[2]


# Training


def test_training_follows_its_linear_flow_at_a_small_size():
    n = 5
    strings = StringSet.all(n)
    start = TangentCosNet.random(n, width=4096, sigma_w=math.sqrt(n), rng=1)
    target = np.exp(0.7j) * tfim(n)
    result = train_supervised(start, target, strings=strings, method="flow", step=0.8, stop_loss=1e-8)
    assert result.converged
    assert result.deviation() < 0.02
    assert result.drift < 0.02
    assert result.infidelity[-1] <= 1e-8
    assert result.loss[0] == 1
    assert len(result.rates) == 2 * len(strings)
    np.testing.assert_allclose(abs(np.vdot(target, result.psi)), np.linalg.norm(result.psi), rtol=1e-8)
    data = result.to_dataset()
    np.testing.assert_array_equal(data["loss"], result.loss)
    assert data.attrs["width"] == 4096


def test_a_narrow_network_does_not():
    n = 5
    start = TangentCosNet.random(n, width=12, sigma_w=math.sqrt(n), rng=1)
    result = train_supervised(start, tfim(n), strings=StringSet.all(n), max_steps=200)
    assert result.drift > 0.02
    assert result.deviation(down_to=1e-2) > 0.02


def test_descent_does_what_its_steps_say():
    strings = StringSet.all(3)
    start = TangentCosNet.random(3, width=6, sigma_w=1.5, rng=2)
    target = np.arange(1.0, 9.0) * (1 + 0.2j)
    result = train_supervised(start, target, strings=strings, step=0.9, max_steps=3, stop_loss=1e-12)
    parameters, aim = start.parameters, target / np.linalg.norm(target)
    for k in range(3):
        residual = TangentCosNet(parameters).values(strings) - start.values(strings) - aim
        assert result.loss[k] == pytest.approx((np.abs(residual) ** 2).sum(), rel=1e-12)
        gradient = TangentCosNet(parameters).gradient(strings, residual)
        parameters = CosNetParameters(
            *(getattr(parameters, x) - result.step * getattr(gradient, x) for x in ("a", "w", "b"))
        )
    np.testing.assert_allclose(result.network.parameters.w, parameters.w, atol=1e-13)
    assert not result.converged
    assert result.step == pytest.approx(0.9 / result.rates[-1])


def test_single_modes_decay_at_their_own_rates():
    n = 5
    strings = StringSet.all(n)
    start = TangentCosNet.random(n, width=8_000, sigma_w=math.sqrt(n), rng=3)
    kernel, _ = start.tangent_kernels(strings)
    rates, vectors = np.linalg.eigh(kernel)
    for mode in (0, 10, len(rates) - 1):
        done = train_supervised(start, vectors[:, mode], strings=strings, method="flow", max_steps=4)
        slope = np.polyfit(done.time, np.log(done.loss), 1)[0]
        assert slope == pytest.approx(-2 * rates[mode], rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["descent", "flow"])
@pytest.mark.parametrize("system", ["tfim", "hubbard"])
def test_training_at_width_4096(system, method):
    if system == "tfim":
        n, strings, target = 10, StringSet.all(10), tfim(10)
    else:
        state = fermi_hubbard_ground_state((2, 3), 3, n_down=3, interaction=4.0)
        n, strings, target = 12, StringSet(state.up, state.down), state.amplitudes
        assert len(strings) == 400
    start = TangentCosNet.random(n, width=4096, sigma_w=math.sqrt(n), rng=1)
    result = train_supervised(start, target, strings=strings, method=method, step=0.7, stop_loss=3e-9)
    assert result.converged
    assert result.drift <= 0.02
    assert result.deviation(down_to=1e-6) <= 0.02
    assert result.infidelity[-1] <= 1e-8


@pytest.mark.slow
def test_distance_to_the_infinite_width_of_ten_sites():
    widths = [1024, 4096, 16384]
    assert slope_of(widths, kernel_distances(10, widths, 1)) == pytest.approx(-0.5, abs=0.1)


# Bad input


def test_bad_networks():
    for keywords, match in (
        ({"width": 0, "sigma_w": 1.0}, "`width`"),
        ({"width": 2, "sigma_w": 0.0}, "`sigma_w` must be positive"),
        ({"width": 2, "sigma_w": 1.0, "sigma_a": -1.0}, "`sigma_a` must be positive"),
    ):
        with pytest.raises(ValueError, match=match):
            TangentCosNet.random(3, **keywords)
    with pytest.raises(TypeError, match="`sigma_w` must be a number"):
        TangentCosNet.random(3, width=2, sigma_w="wide")
    with pytest.raises(ValueError, match="must have 3 sites"):
        TangentCosNet.random(3, width=2, sigma_w=1.0).values(StringSet.all(4))


def test_bad_strings():
    with pytest.raises(ValueError, match="`low` must have shape"):
        StringSet([1, -1])
    with pytest.raises(ValueError, match="`high` must hold -1 and"):
        StringSet([[1, -1]], [[0, 1]])
    with pytest.raises(ValueError, match="`n_sites` must be between 1 and 24"):
        StringSet.all(25)


def test_bad_kernels():
    spins = [[1, 1], [1, -1]]
    layer = torch.nn.Linear(2, 1)
    cases = [
        (TypeError, "`module` must be", lambda: tangent_kernels(len, spins)),
        (ValueError, "`of` must be", lambda: tangent_kernels(layer, spins, of="phase")),
        (ValueError, "`gives` must be", lambda: tangent_kernels(layer, spins, gives="phase")),
        (ValueError, "`chunk` must be", lambda: tangent_kernels(layer, spins, chunk=0)),
        (ValueError, "`x` must hold", lambda: tangent_kernels(layer, [[0, 1]])),
        (ValueError, "`y` must have 2 sites", lambda: tangent_kernels(layer, spins, y=[[1, 1, 1]])),
        (ValueError, "not frozen", lambda: tangent_kernels(torch.nn.Tanh(), spins)),
        (ValueError, "one number a string", lambda: tangent_kernels(torch.nn.Linear(2, 3), spins)),
        (ValueError, "`y` must have 2 sites", lambda: cosnet_tangent_kernel(spins, [[1]], sigma_w=1.0)),
        (ValueError, "`sigma_w` must be positive", lambda: cosnet_tangent_kernel(spins, sigma_w=-1.0)),
    ]
    for error, match, call in cases:
        with pytest.raises(error, match=match):
            call()


def test_bad_flows():
    flow = LinearFlow(np.eye(2))
    cases = [
        ("`theta` must be a square", lambda: LinearFlow(np.ones((2, 3)))),
        ("`theta` must be Hermitian", lambda: LinearFlow([[1.0, 2.0], [0.0, 1.0]])),
        ("`theta` must be finite", lambda: LinearFlow([[np.nan]])),
        ("`phi` must have the shape", lambda: LinearFlow(np.eye(2), np.eye(3))),
        ("`phi` must be symmetric", lambda: LinearFlow(np.eye(2), [[0, 1j], [-1j, 0]])),
        ("`residual` must hold 2 finite", lambda: flow.losses([1.0], [0.0])),
        ("`times` must hold", lambda: flow.losses([1.0, 0.0], [-1.0])),
        ("`loss` must be positive", lambda: flow.time_to(0.0, [1.0, 0.0])),
        ("`target` must have the shape", lambda: linear_flow(np.eye(2), [1.0, 0.0], target=[1.0], times=[0.0])),
        (
            "`rate` must be positive",
            lambda: linear_flow(np.eye(1), [1.0], target=[1.0], times=[0.0], rate=0.0),
        ),
    ]
    for match, call in cases:
        with pytest.raises(ValueError, match=match):
            call()


def test_bad_training():
    strings = StringSet.all(2)
    network = TangentCosNet.random(2, width=2, sigma_w=1.0, rng=0)
    cases = [
        (TypeError, "`network` must be", {"network": "net"}),
        (TypeError, "`strings` must be", {"strings": strings.spins}),
        (ValueError, "at most 4096 strings", {"strings": StringSet.all(13)}),
        (ValueError, "`target` must have shape", {"target": np.ones(3)}),
        (ValueError, "`target` must be finite", {"target": np.zeros(4)}),
        (ValueError, "`method` must be", {"method": "adam"}),
        (ValueError, "`step` must lie", {"step": 2.0}),
        (ValueError, "`stop_loss` must be positive", {"stop_loss": 0.0}),
        (ValueError, "`max_steps` must be", {"max_steps": 0}),
    ]
    for error, match, changed in cases:
        arguments = {"network": network, "target": np.ones(4), "strings": strings} | changed
        with pytest.raises(error, match=match):
            train_supervised(arguments.pop("network"), arguments.pop("target"), **arguments)
    result = train_supervised(network, np.ones(4), strings=strings, max_steps=1)
    with pytest.raises(ValueError, match="`down_to` must be at most"):
        result.deviation(down_to=2.0)
