"""Features of networks whose features are known, and of those that may not have any to spare."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from qmlphys import nqs
from qmlphys.entanglement import affine_features, check_features

N = 12


def weights(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


W = weights(3, N)


def spans(found, expected):
    """Whether the rows of two matrices span the same space."""
    both = np.concatenate([found / np.linalg.norm(found, axis=1, keepdims=True), expected])
    ranks = [np.linalg.matrix_rank(m, tol=1e-8) for m in (found, expected, both)]
    return ranks[0] == ranks[1] == ranks[2]


SINGLE = {
    "tanh": torch.tanh,
    "sin": torch.sin,
    "gelu": nn.functional.gelu,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softplus": nn.functional.softplus,
    "square": torch.square,
    "in place": lambda x: (x + 0).tanh_(),
}


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("a", [1.0, 1j])
def test_single_nonlinearities(name, a):
    found = affine_features(lambda x: torch.exp(a * SINGLE[name](x @ W[0] + 0.3)), n_sites=N)
    assert (found.n_nonlinearities, found.rank, found.n_read, found.bounds_nothing) == (1, 1, N, False)
    assert spans(found.matrix, W[:1].numpy())
    assert found.largest_change < 1e-10
    assert found.kinks == (("relu",) if name == "relu" else ())
    assert "1 scalar nonlinearity and 1 affine feature of 12 spins: S_A <= c 1 ln 12" in found.sentence


KNOWN = {
    # function, k, rows that span the features
    "affine output": (lambda x: x @ W[0] + torch.tanh(x @ W[1]), 1, W[:2]),
    "residual": (lambda x: torch.tanh(x @ W[0] + torch.tanh(x @ W[1])), 2, W[:2]),
    "affine argument that cancels": (lambda x: torch.sin((x @ W[0] + torch.tanh(x @ W[1])) - x @ W[0]), 1, W[1:2]),
    "product": (lambda x: (x @ W[0]) * (x @ W[1]), 2, W[:2]),
    "product with a constant": (lambda x: torch.tanh((x @ W[0]) * torch.sin(W[1, 0])), 1, W[:1]),
    "product of affine and nonlinear": (lambda x: (x @ W[0]) * torch.tanh(x @ W[1]), 2, W[:2]),
    "quotient": (lambda x: (x @ W[0]) / (2 + (x @ W[1]) ** 2), 2, W[:2]),
    "one scalar, many functions": (lambda x: torch.sin(x @ W[0]) * torch.tanh(2 * (x @ W[0])).exp(), 1, W[:1]),
    "the same scalar with a shift and a factor": (
        lambda x: torch.sin(x @ W[0]) + torch.sin(5 - 3 * (x @ W[0])),
        1,
        W[:1],
    ),
    "complex": (lambda x: torch.tanh(x.to(torch.complex128) @ torch.complex(W[0], W[1])), 1, W[:2]),
    "real and imaginary part": (lambda x: torch.complex(torch.tanh(x @ W[0]), torch.sin(x @ W[1])), 2, W[:2]),
    "only one part": (lambda x: torch.sin(torch.complex(x @ W[0], x @ W[1]).real), 1, W[:1]),
    "complex after two real ones": (
        lambda x: torch.complex(torch.tanh(x @ W[0]), torch.sin(x @ W[1])).abs(),
        3,
        W[:2],
    ),
    "softmax": (lambda x: torch.softmax(x @ W.T, dim=1)[:, 0], 3, W),
    "norm": (lambda x: torch.linalg.vector_norm(x @ W[:2].T, dim=1), 2, W[:2]),
    "condition": (lambda x: torch.where(x @ W[0] > 0, x @ W[1], 0.0), 2, W[:2]),
    "lookup": (lambda x: W[0][(x @ W[1] > 0).long()] + torch.tanh(x @ W[2]), 2, W[1:]),
    "hidden on spins": (
        lambda x: torch.tanh(x @ W[0]) + x[:, 0] ** 2,
        2,
        torch.stack([W[0], torch.eye(N)[0].double()]),
    ),
    "constant": (lambda x: 0 * x[:, 0] + 1, 0, None),
    "linear": (lambda x: (x.roll(1, 1) + x.flip(1)) @ W[0], 0, (W[0].roll(-1) + W[0].flip(0))[None]),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_functions(name):
    function, k, rows = KNOWN[name]
    found = affine_features(function, n_sites=N)
    if name == "condition":
        assert found.n_nonlinearities >= 1  # its two scalars show at some inputs only
    elif name == "lookup":
        assert found.n_nonlinearities >= 1
    else:
        assert found.n_nonlinearities == k
    if rows is None:
        assert (found.rank, found.n_read) == (0, 0)
    else:
        assert spans(found.matrix, rows.numpy())
        assert found.rank == len(rows)
    assert found.largest_change < 1e-10
    if name != "complex":
        assert found.rank <= k + 1


def test_modules_of_single_precision_are_taken_to_double():
    layer = nn.Linear(N, 2, dtype=torch.complex64)
    network = nn.Sequential(Cast(), layer, nn.Tanh(), nn.Linear(2, 1, dtype=torch.complex64))
    found = affine_features(network, n_sites=N)
    assert (found.n_nonlinearities, found.rank) == (2, 4)
    assert found.largest_change < 1e-10
    assert layer.weight.dtype == torch.complex64
    with pytest.raises(RuntimeError, match="less than double precision"):
        affine_features(lambda x: torch.tanh(x.float() @ W[0].float()), n_sites=N)


class Cast(nn.Module):
    def forward(self, x):
        return x.to(torch.complex128)


def test_spins_alone_cannot_tell():
    function = KNOWN["hidden on spins"][0]
    spins = torch.from_numpy(1.0 - 2.0 * ((np.arange(2**N)[:, None] >> np.arange(N)) & 1))
    hidden = torch.tanh(spins @ W[0])
    torch.testing.assert_close(function(spins) - hidden, torch.ones(2**N, dtype=torch.float64))
    assert check_features(function, W[:1].numpy()) > 0.1
    assert check_features(function, affine_features(function, n_sites=N).matrix) < 1e-10


def test_a_missing_feature_is_seen():
    network = nn.Sequential(nn.Linear(N, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    found = affine_features(network, n_sites=N)
    assert (found.n_nonlinearities, found.rank, found.largest_change < 1e-10) == (6, 3, True)
    np.testing.assert_allclose(found.matrix, network[0].weight.detach().numpy(), atol=1e-12)
    for row in range(3):
        assert check_features(network, np.delete(found.matrix, row, axis=0)) > 1e-4
    again = affine_features(network, n_sites=N, rng=7)
    assert (again.n_nonlinearities, again.rank) == (6, 3)


def test_usual_layers():
    torch.manual_seed(0)
    convolution = nn.Sequential(
        nn.Unflatten(1, (1, N)),
        nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular"),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(N, 1),
    )
    found = affine_features(convolution, n_sites=N)
    assert (found.n_nonlinearities, found.rank, found.bounds_nothing) == (N, N, True)
    assert math.isnan(found.largest_change)
    assert "says nothing" in found.sentence
    normalised = nn.Sequential(nn.Linear(N, 4), nn.LayerNorm(4), nn.Linear(4, 1))
    found = affine_features(normalised, n_sites=N)
    assert (found.n_nonlinearities, found.rank) == (4, 4)
    assert next(normalised.parameters()).dtype == torch.float32  # a copy was taken to double precision
    attention = nn.MultiheadAttention(2, 1, batch_first=True).eval()

    def attend(x):
        tokens = x[:, :4].reshape(-1, 2, 2)
        return attention(tokens, tokens, tokens, need_weights=False)[0].sum((1, 2))

    attention.double()
    found = affine_features(attend, n_sites=N)
    assert (found.rank, found.n_read, found.bounds_nothing) == (4, 4, True)
    assert "(8 of the 12 are never read)" in found.sentence
    assert found.largest_change < 1e-10


class Transformer(nn.Module):
    """Patches of 6 spins every 5, as in the paper on the bound."""

    def __init__(self, n_sites, *, width=8, n_layers=1):
        super().__init__()
        self.n_sites = n_sites
        self.embedding = nn.Linear(6, width)
        self.places = nn.Parameter(torch.randn((n_sites - 6) // 5 + 1, width))
        layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
        self.heads = nn.Linear(width, 2, bias=False)

    def forward(self, x):
        tokens = self.layers(self.embedding(x.unfold(1, 6, 5)) + self.places)
        out = self.heads(tokens.mean(1))
        return torch.exp(torch.complex(out[:, 0], out[:, 1]))


def test_embedding_of_the_transformer_leaves_nothing_to_bound():
    torch.manual_seed(1)
    for n_sites, n_read in ((11, 11), (12, 11)):
        found = affine_features(Transformer(n_sites).eval())
        assert (found.rank, found.n_read, found.bounds_nothing) == (n_read, n_read, True)
        assert found.n_nonlinearities > 2 * n_sites
    assert "(1 of the 12 is never read)" in found.sentence
    assert found.largest_change < 1e-10
    # An embedding in fewer numbers than spins leaves some.
    found = affine_features(Transformer(11, width=4).eval())
    assert (found.rank, found.bounds_nothing) == (8, False)
    assert found.largest_change < 1e-10


ANSAETZE = {
    "RBM": (lambda: nqs.RBM(8, alpha=0.5, visible_bias=False, rng=0), 4, 4),
    "RBM with visible biases": (lambda: field(nqs.RBM(8, alpha=0.5, rng=0)), 4, 5),
    "complex RBM": (lambda: nqs.RBM(8, alpha=0.25, dtype="complex128", rng=0), 2, 4),
    "MLP": (lambda: nqs.MLP(8, widths=(3, 2), phase=True, rng=0), 5, 3),
    "complex MLP": (lambda: nqs.MLP(8, widths=(3, 2), dtype="complex128", activation="log_cosh", rng=0), 5, 6),
    "Jastrow": (lambda: nqs.Jastrow(5, rng=0), None, 5),
    "CNN": (lambda: nqs.CNN(6, channels=2, kernel_size=3, rng=0), None, 6),
    "TranslationRBM": (lambda: nqs.TranslationRBM(6, rng=0), 6, 6),
    "Autoregressive": (lambda: nqs.Autoregressive(5, phase=True, rng=0), None, 5),
    "MPSAnsatz": (lambda: nqs.MPSAnsatz(5, bond=2, rng=0), None, 5),
    "VisionTransformer": (lambda: nqs.VisionTransformer(4, d_model=4, n_heads=2, n_layers=1, rng=0), None, 4),
    "float32": (lambda: nqs.MLP(8, widths=(3,), dtype="float32", rng=0), 3, 3),
}


def field(ansatz):
    with torch.no_grad():
        ansatz.visible.weight.copy_(torch.linspace(-1, 1, 8)[None])
    return ansatz


@pytest.mark.parametrize("name", ANSAETZE)
def test_the_projects_own_states(name):
    make, k, mu = ANSAETZE[name]
    ansatz = make()
    found = affine_features(ansatz)
    assert found.rank == mu
    assert found.bounds_nothing == (mu == ansatz.n_sites)
    if k is not None:
        assert found.n_nonlinearities == k
        assert mu <= (2 * k + 2 if ansatz.dtype.is_complex else k + 1)
    if mu < ansatz.n_sites:
        assert found.largest_change < 1e-10
        assert affine_features(ansatz.log_psi, n_sites=ansatz.n_sites).rank == mu


def branching(x):
    return torch.tanh(x[:, 0]) if x.sum() > 0 else torch.sin(x[:, 0])


@pytest.mark.parametrize(
    ("module", "keywords", "error", "text"),
    [
        (3, {}, TypeError, "must be a torch module or a function"),
        (nn.Linear(3, 1), {}, ValueError, "`n_sites` must be given"),
        (nn.Linear(3, 1), {"n_sites": 0}, ValueError, "`n_sites` must be between 1"),
        (lambda x: torch.rand_like(x).tanh().sum(1), {"n_sites": 3}, ValueError, "same output for the same input"),
        (nn.Sequential(nn.Linear(9, 9), nn.Dropout(), nn.Tanh()), {"n_sites": 9}, ValueError, "call its `eval\\(\\)`"),
        (branching, {"n_sites": 3}, ValueError, "must not turn what depends on its input into Python numbers"),
        (lambda x: torch.log(x).sum(1), {"n_sites": 8}, ValueError, "must be finite at real inputs"),
        (lambda x: x.detach().numpy(), {"n_sites": 3}, TypeError, "must return a tensor"),
    ],
)
def test_bad_modules(module, keywords, error, text):
    with pytest.raises(error, match=text):
        affine_features(module, **keywords)


@pytest.mark.parametrize(
    ("matrix", "keywords", "text"),
    [
        ([1.0, 2.0], {}, "`matrix` must be finite, of shape"),
        ([[np.inf, 2.0]], {}, "`matrix` must be finite"),
        (np.eye(2), {}, "must have a null space, but its rank is 2"),
        ([[1.0, 0.0]], {"n_moves": 0}, "`n_moves` must be between 1"),
    ],
)
def test_bad_arguments_of_the_check(matrix, keywords, text):
    with pytest.raises(ValueError, match=text):
        check_features(lambda x: x.sum(1), matrix, **keywords)
