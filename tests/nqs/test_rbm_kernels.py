"""Compiled kernels and look-up tables of restricted Boltzmann machines against plain log psi differences."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from qmlphys.nqs import _lookup
from qmlphys.nqs import _rbm_kernels as kernels
from qmlphys.nqs._lookup import Lookup, Machine, fits
from qmlphys.nqs.ansatz._base import RBMParameters

DTYPES = [torch.float64, torch.complex128]


def machine_of(n_sites, n_hidden, *, dtype, scale=0.3, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return scale * torch.randn(*shape, dtype=dtype, generator=generator)

    signs = torch.ones(n_sites, dtype=torch.float64)
    return RBMParameters(normal(n_sites), normal(n_hidden, n_sites), normal(n_hidden), signs)


def log_psi(parameters, spins):
    """Plain twin: the defining formula, with a stable log cosh."""
    visible, weight, hidden = (x.numpy() for x in (parameters.visible, parameters.weight, parameters.hidden))
    theta = spins @ weight.T + hidden
    sign = np.where(theta.real >= 0, 1, -1)
    return spins @ visible + (sign * theta + np.log1p(np.exp(-2 * sign * theta))).sum(axis=-1)


def random_spins(n, n_sites, seed=1):
    return np.random.default_rng(seed).choice(np.array([-1, 1], dtype=np.int8), size=(n, n_sites))


def plain_ratios(parameters, spins, sites):
    """Twin of the ratio kernels."""
    out = np.zeros((len(spins), len(sites)), dtype=np.complex128)
    for k, row in enumerate(sites):
        flipped = spins.copy()
        flipped[:, row[row >= 0]] *= -1
        out[:, k] = log_psi(parameters, flipped) - log_psi(parameters, spins)
    return out


def plain_sweep(parameters, spins, sites, chosen, thresholds, exchange):
    """Twin of the sweep kernels."""
    spins, n_accepted = spins.copy(), 0
    for chain, row in enumerate(spins):
        for move, threshold in zip(sites[chosen[chain]], thresholds[chain], strict=True):
            proposal = row.copy()
            proposal[move] *= -1
            if exchange and row[move[0]] == row[move[1]]:
                continue
            if threshold < 2 * (log_psi(parameters, proposal) - log_psi(parameters, row)).real:
                row[:] = proposal
                n_accepted += 1
    return spins, n_accepted


def difference(logarithms, expected):
    """Largest difference of two arrays of complex logarithms; 2 pi i does not count."""
    return np.abs(np.exp(np.asarray(logarithms) - expected) - 1).max()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_hidden", [1, 3, 4, 7, 33, 64, 131])
def test_ratios_are_differences_of_log_psi(dtype, n_hidden):
    n_sites = 9
    parameters = machine_of(n_sites, n_hidden, dtype=dtype)
    spins = random_spins(20, n_sites)
    sites = np.array([[-1, -1, -1], [4, -1, -1], [0, -1, -1], [2, 7, -1], [8, 1, -1], [3, 4, 5]])
    expected = plain_ratios(parameters, spins, sites)
    assert np.abs(expected[:, 1:].real).max() > 0.1
    wanted = torch.ones(expected.shape, dtype=torch.bool)
    for table in (Machine(parameters), Lookup(parameters)):
        found = table.log_ratios(torch.from_numpy(spins), torch.from_numpy(sites), wanted)
        assert found.dtype == dtype
        # Sums of up to 131 logarithms of size 1.
        assert difference(found, expected) < 1e-12


@pytest.mark.parametrize("dtype", DTYPES)
def test_only_what_is_wanted_is_computed(dtype):
    parameters = machine_of(5, 6, dtype=dtype)
    spins, sites = torch.from_numpy(random_spins(8, 5)), torch.arange(5)[:, None]
    wanted = torch.from_numpy(np.random.default_rng(3).random((8, 5)) < 0.5)
    for table in (Machine(parameters), Lookup(parameters)):
        found = table.log_ratios(spins, sites, wanted)
        assert ((found != 0) == wanted).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_weights_neither_overflow_nor_underflow(dtype):
    # 900 factors of up to e^(+-80): the product may be e^(+-10000), a double ends at e^709.
    parameters = machine_of(6, 900, dtype=dtype, scale=12.0)
    spins, sites = random_spins(30, 6), np.array([[0, -1], [3, -1], [1, 5]])
    machine = Machine(parameters)
    assert fits(parameters, 2)
    assert 1 <= machine._block(2) < 900
    expected = plain_ratios(parameters, spins, sites)
    assert expected.real.max() > 720
    assert expected.real.min() < -720
    for table in (machine, Lookup(parameters)):
        found = table.log_ratios(
            torch.from_numpy(spins), torch.from_numpy(sites), torch.ones((30, 3), dtype=torch.bool)
        )
        # Sums of 900 logarithms of up to 80 each: both sides round, and the exponential magnifies it.
        assert np.abs(found.real.numpy() - expected.real).max() < 1e-9
        assert difference(found, expected) < 1e-8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["flip", "pair", "exchange"])
def test_sweeps_make_the_moves_of_the_twin(dtype, kind):
    n_sites, n_steps = 7, 40
    parameters = machine_of(n_sites, 13, dtype=dtype)
    spins = random_spins(25, n_sites)
    rng = np.random.default_rng(5)
    sites = np.arange(n_sites)[:, None] if kind == "flip" else np.stack(np.triu_indices(n_sites, 1), axis=1)
    chosen = rng.integers(len(sites), size=(25, n_steps), dtype=np.int32)
    thresholds = -rng.standard_exponential((25, n_steps))
    expected, n_accepted = plain_sweep(parameters, spins, sites, chosen, thresholds, kind == "exchange")
    assert 0.1 < n_accepted / chosen.size < 0.9
    found = spins.copy()
    arguments = {"sites": sites, "chosen": chosen, "thresholds": thresholds, "exchange": kind == "exchange"}
    assert Machine(parameters).sweep(found, **arguments) == n_accepted
    np.testing.assert_array_equal(found, expected)
    if kind == "exchange":
        np.testing.assert_array_equal(found.sum(axis=1), spins.sum(axis=1))
        assert (found != spins).any()


def test_saturated_units_come_back():
    # theta = 32 at the start, where tanh theta is 1 to the last bit: a table of tanh would never leave it.
    n_sites = 64
    weight = torch.full((1, n_sites), 0.5, dtype=torch.float64)
    zero = torch.zeros(n_sites, dtype=torch.float64)
    parameters = RBMParameters(-0.45 * torch.ones_like(zero), weight, zero[:1], torch.ones_like(zero))
    spins = np.ones((1, n_sites), dtype=np.int8)
    assert np.tanh(32.0) == 1.0
    sites = np.arange(n_sites)[:, None]
    chosen = np.arange(n_sites, dtype=np.int32)[None, :]
    # 2 log ratio of each flip from all up to all down: taken exactly where the threshold lies just below it.
    path = np.ones((n_sites + 1, n_sites), dtype=np.int8)
    for k in range(n_sites):
        path[k + 1 :, k] = -1
    steps = 2 * np.diff(log_psi(parameters, path))
    assert steps.min() < -0.1
    assert steps.max() > 3
    for shift, n_accepted in ((-1e-9, n_sites), (1e-9, 0)):
        found = spins.copy()
        assert (
            Machine(parameters).sweep(
                found, sites=sites, chosen=chosen, thresholds=steps[None, :] + shift, exchange=False
            )
            == n_accepted
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_change_a_bit(dtype, monkeypatch):
    monkeypatch.setattr(_lookup, "_SERIAL_WORK", 1)
    parameters = machine_of(10, 20, dtype=dtype)
    rng = np.random.default_rng(2)
    chosen = rng.integers(10, size=(17, 30), dtype=np.int32)
    thresholds = -rng.standard_exponential((17, 30))
    sites = np.arange(10)[:, None]
    results = []
    n_threads = torch.get_num_threads()
    try:
        for n in (1, 2, 5):
            torch.set_num_threads(n)
            machine, spins = Machine(parameters), random_spins(17, 10)
            n_accepted = machine.sweep(spins, sites=sites, chosen=chosen, thresholds=thresholds, exchange=False)
            wanted = torch.ones((17, 10), dtype=torch.bool)
            ratios = machine.log_ratios(torch.from_numpy(spins), torch.from_numpy(sites), wanted)
            results.append((n_accepted, spins.tobytes(), ratios.numpy().tobytes()))
    finally:
        torch.set_num_threads(n_threads)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 80.0])
def test_weights_that_do_not_fit_are_found(value):
    parameters = machine_of(3, 4, dtype=torch.complex128)
    assert fits(parameters, 2)
    parameters.weight[1, 2] = value
    assert not fits(parameters, 2)


def test_warm_up_compiles_once_and_says_so(monkeypatch, caplog):
    calls = []

    class Kernel:
        signatures: tuple = ()

        def __call__(self, *arguments):
            calls.append(len(arguments))
            self.signatures = ("compiled",)

    for name in ("sweep_real", "ratios_real"):
        monkeypatch.setattr(kernels, name, Kernel())
    monkeypatch.setattr(kernels, "_is_cached", lambda kernel: False)
    with caplog.at_level(logging.INFO, logger="qmlphys"):
        kernels.warm_up(is_complex=False)
        kernels.warm_up(is_complex=False)
    assert calls == [11, 9]
    assert [record.message.split()[0] for record in caplog.records] == ["compiling"]


@pytest.mark.parametrize("is_complex", [False, True])
def test_warm_up_compiles_what_is_used(is_complex):
    kernels.warm_up(is_complex=is_complex)
    sweep, ratios = (
        (kernels.sweep_complex, kernels.ratios_complex) if is_complex else (kernels.sweep_real, kernels.ratios_real)
    )
    before = len(sweep.signatures), len(ratios.signatures)
    dtype = torch.complex128 if is_complex else torch.float64
    machine = Machine(machine_of(4, 4, dtype=dtype))
    spins, sites = random_spins(3, 4), np.array([[0, 1], [2, 3]])
    machine.sweep(
        spins, sites=sites, chosen=np.zeros((3, 2), dtype=np.int32), thresholds=-np.ones((3, 2)), exchange=True
    )
    machine.log_ratios(torch.from_numpy(spins), torch.from_numpy(sites), torch.ones((3, 2), dtype=torch.bool))
    assert (len(sweep.signatures), len(ratios.signatures)) == before
    assert kernels._is_cached(sweep)
