"""Random states: what they are drawn from, what they read, and their amplitudes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qmlphys import bits
from qmlphys.entanglement import affine_features
from qmlphys.nqs import RBM
from qmlphys.nqs.ensembles import (
    amplitudes,
    cosnet,
    random_mlp,
    random_transformer,
    single_nonlinearity,
    tanh_network,
)

PHI = {
    "tanh": np.tanh,
    "sin": np.sin,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * np.vectorize(math.erf)(x / math.sqrt(2)) / 2 + x / 2,
}


def spins_of(n):
    return bits.integers_to_spins(np.arange(2**n), n).astype(float)


def unit(psi):
    return psi / np.linalg.norm(psi)


def check_deviation(values, deviation):
    assert values.std() == pytest.approx(deviation, rel=5 / math.sqrt(2 * values.size))
    assert abs(values.mean()) < 5 * deviation / math.sqrt(values.size)


# What is drawn


@pytest.mark.parametrize("phi", PHI)
@pytest.mark.parametrize("scale", [1, 1j])
def test_single_nonlinearity(phi, scale):
    state = single_nonlinearity(5, phi, scale=scale, rng=3)
    w, b = state.weight.detach().numpy()[0], state.bias.item()
    expected = np.exp(scale * PHI[phi](spins_of(5) @ w + b))
    np.testing.assert_allclose(amplitudes(state, 5), unit(expected), atol=1e-14)


def test_several_nonlinearities_add_in_the_exponent():
    state = single_nonlinearity(4, "sin", k=3, rng=3)
    inner = spins_of(4) @ state.weight.detach().numpy().T + state.bias.detach().numpy()
    np.testing.assert_allclose(amplitudes(state, 4), unit(np.exp(np.sin(inner).sum(1))), atol=1e-14)
    assert affine_features(state).n_nonlinearities == 3


def test_distributions_of_the_single_nonlinearity_and_the_perceptron():
    state = single_nonlinearity(100, k=200, rng=1)
    check_deviation(state.weight.detach().numpy(), 1.0)
    check_deviation(state.bias.detach().numpy(), 1.0)
    network = random_mlp(50, width=300, depth=2, rng=2)
    for weight, fan_in in zip(network.weights, (50, 300, 300), strict=True):
        check_deviation(weight.detach().numpy(), 1 / math.sqrt(fan_in))
    check_deviation(np.concatenate([bias.detach().numpy() for bias in network.biases]), 0.2)


@pytest.mark.parametrize("phi", ["tanh", "sin"])
def test_perceptron(phi):
    network = random_mlp(5, phi, rng=4)
    x = spins_of(5)
    for k, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        x = (PHI[phi](x) if k else x) @ weight.detach().numpy().T + bias.detach().numpy()
    np.testing.assert_allclose(amplitudes(network, 5), unit(x @ [1, 1j]), atol=1e-14)


@pytest.mark.parametrize(("make", "phi"), [(cosnet, np.cos), (tanh_network, np.tanh)])
@pytest.mark.parametrize("complex_valued", [True, False])
def test_sums_of_cosines_and_of_tanh(make, phi, complex_valued):
    network = make(6, 9, sigma_w=2.0, sigma_a=0.5, complex_valued=complex_valued, rng=5)
    a, w, b = (getattr(network, name).detach().numpy() for name in "awb")
    parts = [phi(spins_of(6) @ w[k].T + b[k]) @ a[k] for k in range(len(a))]
    assert len(parts) == 1 + complex_valued
    psi = parts[0] + 1j * (parts[1] if complex_valued else 0)
    np.testing.assert_allclose(amplitudes(network, 6), unit(psi), atol=1e-13)


@pytest.mark.parametrize("make", [cosnet, tanh_network])
def test_distributions_of_the_sums(make):
    network = make(20, 3000, rng=6)
    check_deviation(network.w.detach().numpy(), math.sqrt(100 / 20))
    check_deviation(network.a.detach().numpy(), math.sqrt(1 / 3000))
    b = network.b.detach().numpy()
    check_deviation(b, math.pi / math.sqrt(3))
    assert np.abs(b).max() <= math.pi


@pytest.mark.parametrize("make", [cosnet, tanh_network])
@pytest.mark.parametrize(("n", "complex_valued"), [(7, True), (8, False), (1, True)])
def test_quick_way_of_sums_is_the_network(make, n, complex_valued):
    network = make(n, 30, complex_valued=complex_valued, rng=7)
    with torch.no_grad():
        slow = network(torch.from_numpy(spins_of(n))).numpy()
    np.testing.assert_allclose(network.all_values(), slow, atol=1e-12)


def test_quick_way_of_tangents_is_right_where_they_are_saturated_and_refuses_beyond():
    network = tanh_network(6, 20, sigma_w=60.0, rng=7)
    with torch.no_grad():
        slow = network(torch.from_numpy(spins_of(6))).numpy()
        inputs = torch.from_numpy(spins_of(6)) @ network.w[0].T
    assert inputs.abs().max() > 100
    np.testing.assert_allclose(network.all_values(), slow, atol=1e-12)
    assert tanh_network(6, 20, sigma_w=600.0, rng=7).all_values() is None


def test_transformer_by_torch_modules():
    # The same layer from torch's own parts: nn.TransformerEncoderLayer, which is normalised afterwards by default.
    state = random_transformer(16, rng=8)
    x = torch.from_numpy(np.random.default_rng(0).choice([-1.0, 1.0], (5, 16)))
    y = torch.stack([x[:, first : first + 6] for first in (0, 5, 10)], dim=1) @ state.embedding.T + state.positions
    for layer in state.layers:
        twin = torch.nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, dtype=torch.float64)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.zero_()
            twin.norm1.weight.fill_(1.0)
            twin.norm2.weight.fill_(1.0)
            for mine, theirs in (
                (layer.joint, twin.self_attn.in_proj_weight),
                (layer.mix, twin.self_attn.out_proj.weight),
                (layer.wide, twin.linear1.weight),
                (layer.narrow, twin.linear2.weight),
            ):
                theirs.copy_(mine)
        y = twin(y)
    heads = state.heads.numpy()
    np.testing.assert_allclose(np.linalg.norm(heads, axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(
        state(x).detach().numpy(), y.mean(1).detach().numpy() @ heads.T @ [1, 1j], rtol=1e-10, atol=1e-12
    )
    assert not state.heads.requires_grad


def test_transformer_distributions():
    state = random_transformer(21, rng=9)
    layer = state.layers[2]
    for values, deviation in (
        (state.embedding, 1 / math.sqrt(6)),
        (state.positions, 1.0),
        (layer.joint, 1 / math.sqrt(32)),
        (layer.wide, 1 / math.sqrt(32)),
        (layer.narrow, 1 / math.sqrt(64)),
    ):
        check_deviation(values.detach().numpy(), deviation)


# What is read


@pytest.mark.parametrize(("n", "n_read"), [(11, 11), (16, 16), (21, 21), (22, 21), (26, 26)])
def test_spins_that_the_transformer_reads(n, n_read):
    state = random_transformer(n, rng=1)
    assert state.n_read == n_read
    x = torch.from_numpy(np.random.default_rng(2).choice([-1.0, 1.0], n))
    rows = x.repeat(n + 1, 1)
    rows[range(n), range(n)] *= -1
    with torch.no_grad():
        changed = (state(rows[:-1]) - state(rows[-1:])).abs() > 1e-9
    assert changed.tolist() == [True] * n_read + [False] * (n - n_read)


def test_amplitudes_where_a_spin_is_not_read():
    state = random_transformer(9, patch=4, stride=2, n_layers=1, rng=3)  # reads 8
    with torch.no_grad():
        psi = np.exp(state(torch.from_numpy(spins_of(9))).numpy())
    np.testing.assert_allclose(amplitudes(state, 9, chunk=100), unit(psi), atol=1e-14)
    np.testing.assert_allclose(amplitudes(state, 9)[:256], amplitudes(state, 9)[256:], atol=1e-15)


@pytest.mark.parametrize(
    ("make", "k", "rank"),
    [
        (lambda: single_nonlinearity(9, "gelu", scale=1j, rng=1), 1, 1),
        (lambda: random_mlp(9, rng=1), 6, 3),
        (lambda: cosnet(9, 2, rng=1), 4, 4),
        (lambda: tanh_network(9, 2, complex_valued=False, rng=1), 2, 2),
    ],
)
def test_affine_features_are_those_of_the_construction(make, k, rank):
    found = affine_features(make())
    assert (found.n_nonlinearities, found.rank, found.bounds_nothing) == (k, rank, False)


def test_embedding_of_the_transformer_sees_every_spin():
    found = affine_features(random_transformer(11, n_layers=1, rng=1))
    assert found.rank == 11
    assert found.bounds_nothing


# Amplitudes


def test_seeds():
    for make in (
        single_nonlinearity,
        random_mlp,
        lambda n, rng: random_transformer(n, patch=3, stride=2, n_layers=1, rng=rng),
        lambda n, rng: cosnet(n, 3, rng=rng),
    ):
        first, again, other = (amplitudes(make(5, rng=seed), 5) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 1e-3
        generator = np.random.default_rng(1)
        np.testing.assert_array_equal(amplitudes(make(5, rng=generator), 5), first)
        assert np.abs(amplitudes(make(5, rng=generator), 5) - first).max() > 1e-3


def test_an_ansatz_gives_log_psi():
    ansatz = RBM(5, scale=0.4, dtype="complex128", rng=1)
    with torch.no_grad():
        psi = np.exp(ansatz(torch.from_numpy(spins_of(5))).numpy())
    np.testing.assert_allclose(amplitudes(ansatz, 5, chunk=7), unit(psi), atol=1e-14)


def test_large_and_small_logarithms():
    def log_psi(spins):
        return 1e4 * spins.sum(1) + 5e5

    psi = amplitudes(log_psi, 3, gives="log_psi")
    np.testing.assert_array_equal(psi, np.eye(8)[0])
    tiny = amplitudes(lambda spins: 1e-200 * (1.5 + 0.5 * spins.sum(1).sign()), 3)
    assert np.linalg.norm(tiny) == pytest.approx(1, abs=1e-14)
    assert tiny[0] == pytest.approx(2 * tiny[7])
    zeros = amplitudes(lambda spins: torch.where(spins[:, 0] > 0, 0.0, -math.inf), 2, gives="log_psi")
    np.testing.assert_allclose(zeros, [math.sqrt(0.5), 0, math.sqrt(0.5), 0], atol=1e-15)


def test_single_precision_is_near_double():
    double = amplitudes(random_transformer(11, rng=1), 11)
    single = amplitudes(random_transformer(11, dtype="float32", rng=1), 11)
    assert 0 < np.abs(double - single).max() < 1e-4 * np.abs(double).max()


# Bad input


def test_bad_ensembles():
    cases = [
        (ValueError, "`n` must be", lambda: single_nonlinearity(0)),
        (ValueError, "`phi` must be one of", lambda: single_nonlinearity(4, "sigmoid")),
        (TypeError, "`scale` must be a number", lambda: single_nonlinearity(4, scale="i")),
        (ValueError, "`scale` must be finite", lambda: single_nonlinearity(4, scale=0)),
        (ValueError, "`k` must be", lambda: single_nonlinearity(4, k=0)),
        (ValueError, "`width` must be", lambda: random_mlp(4, width=0)),
        (ValueError, "`depth` must be", lambda: random_mlp(4, depth=0)),
        (ValueError, "`bias` must be at least 0", lambda: random_mlp(4, bias=-1)),
        (ValueError, "`n` must be between 6", lambda: random_transformer(5)),
        (ValueError, "`stride` must be", lambda: random_transformer(6, stride=0)),
        (ValueError, "`d_model` must be a multiple", lambda: random_transformer(6, d_model=30)),
        (ValueError, "`dtype` must be", lambda: random_transformer(6, dtype="complex128")),
        (ValueError, "`hidden` must be", lambda: cosnet(6, 0)),
        (ValueError, "`sigma_w` must be positive", lambda: cosnet(6, 2, sigma_w=0)),
        (TypeError, "`complex_valued` must be", lambda: tanh_network(6, 2, complex_valued=2)),
    ]
    for error, match, call in cases:
        with pytest.raises(error, match=match):
            call()


def test_bad_amplitudes():
    cases = [
        (ValueError, "`n` must be between 1 and 24", lambda: amplitudes(torch.sum, 25)),
        (TypeError, "`state` must be a module", lambda: amplitudes(3, 2)),
        (ValueError, "number of sites of the state", lambda: amplitudes(cosnet(4, 2), 5)),
        (ValueError, "`gives` must be", lambda: amplitudes(torch.ones_like, 2, gives="phase")),
        (ValueError, "one number a string", lambda: amplitudes(torch.ones_like, 2)),
        (ValueError, "not all 0", lambda: amplitudes(lambda s: 0 * s[:, 0], 2)),
        (ValueError, "below infinity", lambda: amplitudes(lambda s: math.inf * s[:, 0], 2, gives="log_psi")),
        (ValueError, "`chunk` must be", lambda: amplitudes(lambda s: s[:, 0], 2, chunk=0)),
    ]
    for error, match, call in cases:
        with pytest.raises(error, match=match):
            call()
