"""Bad input and numbers that run away: one clear sentence, and nothing lost."""

from __future__ import annotations

import os
import re
import signal

import numpy as np
import pytest
import torch

from qmlphys import nqs
from qmlphys.hamiltonians import Heisenberg, Ising, PauliSum, SpinHalf, TransverseIsing
from qmlphys.lattices import chain
from qmlphys.nqs import (
    RBM,
    VMC,
    Ansatz,
    Exact,
    FullSumState,
    Metropolis,
    MonteCarloState,
    NaturalGradient,
    VMCError,
)
from qmlphys.nqs.ansatz import Dense
from qmlphys.nqs.tangent import flat_parameters

N = 6
MODEL = TransverseIsing(chain(N))


class Complex(SpinHalf):
    """A sum that was never checked: i X is not Hermitian."""

    lattice = None
    n_sites = N
    label = "i X"

    def to_pauli(self):
        return [("XIIIII", 1j), ("ZIIIII", 1.0)]


class Moody(Ansatz):
    """A small network that can be told to fail, in its value or in its derivative."""

    derivative = "real"

    def __init__(self):
        super().__init__(N)
        self.layer = Dense(N, N, scale=0.1, generator=torch.Generator().manual_seed(1))
        self.value = 0.0
        self.slope = False
        self.interrupts = 0

    def log_psi(self, spins):
        for _ in range(self.interrupts):
            self.interrupts -= 1
            os.kill(os.getpid(), signal.SIGINT)
        total = torch.log(torch.cosh(self.layer(spins))).sum(1)
        if self.slope:
            zero = total - total.detach()
            total = total.detach() + torch.sqrt(zero.abs())  # its slope at zero is infinite
        total = total + self.value
        return torch.complex(total, torch.zeros_like(total))


def state_of(ansatz=None, **settings):
    return MonteCarloState(RBM(N, rng=1) if ansatz is None else ansatz, Exact(), n_samples=32, rng=1, **settings)


@pytest.mark.parametrize("call", [lambda h: VMC(h, state_of()), lambda h: state_of().expect(h),
                                  lambda h: state_of().gradient(h), lambda h: FullSumState(RBM(N, rng=1)).expect(h),
                                  lambda h: state_of().snapshots(2, parameter=1.0, hamiltonian=h)],
                         ids=["vmc", "expect", "gradient", "full-sum", "snapshots"])  # fmt: skip
def test_hamiltonians_that_do_not_fit(call):
    with pytest.raises(TypeError, match=r"Argument `hamiltonian` must be a quantum model.*Ising"):
        call(Ising(chain(N)))
    with pytest.raises(TypeError, match="Argument `hamiltonian` must be a quantum model"):
        call(MODEL.to_sparse())
    with pytest.raises(ValueError, match=r"must have the ansatz's 6 sites, but .* has 8"):
        call(TransverseIsing(chain(8)))
    with pytest.raises(ValueError, match="must be Hermitian, but i X is non-Hermitian: 1 of its 2"):
        call(Complex())


def test_pauli_sums_with_complex_coefficients_are_refused_at_once():
    with pytest.raises(ValueError, match="non-Hermitian"):
        PauliSum([("XI", 1j)])
    # Y makes matrix elements imaginary, not the sum non-Hermitian.
    state_of().expect(PauliSum([("XYYYIZ", 1.0), ("YIIIII", 0.5), ("YIIXZI", 0.5)]))


def test_sectors_that_the_hamiltonian_leaves():
    with pytest.raises(ValueError, match="must conserve the sum of the spins, which the samples keep at 2"):
        FullSumState(RBM(N, rng=1), magnetization=2).expect(MODEL)
    with pytest.raises(ValueError, match="must conserve the sum of the spins, which the samples keep at 0"):
        VMC(MODEL, MonteCarloState(RBM(N, rng=1), Metropolis(8, moves="exchange"), n_samples=8))
    with pytest.raises(ValueError, match="must conserve the product of the spins, which the samples keep at \\+1"):
        VMC(MODEL, MonteCarloState(RBM(N, rng=1), Metropolis(8, moves="pair"), n_samples=8))
    with pytest.raises(ValueError, match="product of the spins, which the samples keep at -1"):
        FullSumState(RBM(N, rng=1), parity=-1).expect(MODEL)
    model = Heisenberg(chain(N))
    VMC(model, MonteCarloState(RBM(N, rng=1), Metropolis(8, moves="exchange"), n_samples=8)).run(1)
    VMC(MODEL.rotated("X"), MonteCarloState(RBM(N, rng=1), Metropolis(8, moves="pair"), n_samples=8)).run(1)
    for magnetization in (1, 8):
        with pytest.raises(ValueError, match="`magnetization` must be even and between -6 and 6"):
            FullSumState(RBM(N, rng=1), magnetization=magnetization)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: MonteCarloState("x", Exact(), n_samples=8), TypeError, "`ansatz` must be an Ansatz"),
        (lambda: MonteCarloState(RBM(N), "x", n_samples=8), TypeError, "`sampler` must be a Sampler"),
        (lambda: MonteCarloState(RBM(N), Exact(), n_samples=1), ValueError, "`n_samples` must be between 2"),
        (lambda: MonteCarloState(RBM(N), Exact(), n_samples=2.5), TypeError, "`n_samples` must be an integer"),
        (
            lambda: MonteCarloState(RBM(N), Metropolis(8), n_samples=12),
            ValueError,
            "multiple of the sampler's 8 chains",
        ),
        (lambda: state_of(chunk=0), ValueError, "`chunk` must be between 1"),
        (lambda: state_of(device="nowhere"), ValueError, "`device` must name a device"),
        (lambda: FullSumState(RBM(N), rng=-1), ValueError, "`rng` must be between 0"),
        (lambda: FullSumState(RBM(N), rng="x"), TypeError, "`rng` must be"),
        (lambda: FullSumState(RBM(30)), ValueError, "at most 24"),
        (lambda: state_of(RBM(30)).samples(), ValueError, "at most 24"),
        (lambda: MonteCarloState(RBM(30), Metropolis(4), n_samples=4).vector(), ValueError, "at most 24"),
        (lambda: state_of().snapshots(0, parameter=1.0, hamiltonian=MODEL), ValueError, "`n_draws` must be between 1"),
        (
            lambda: MonteCarloState(RBM(N), Metropolis(8), n_samples=8).snapshots(
                1, parameter=1.0, hamiltonian=MODEL, n_chains=4
            ),
            ValueError,
            "`n_chains` must be the sampler's 8 or left out, but it is 4",
        ),
        (lambda: VMC(MODEL, RBM(N)), TypeError, "`state` must be a MonteCarloState or a FullSumState"),
        (lambda: VMC(MODEL, state_of(), natural_gradient="sr"), TypeError, "`natural_gradient` must be"),
        (lambda: VMC(MODEL, state_of(), step_size=-1.0), ValueError, "`step_size` must be finite"),
        (lambda: VMC(MODEL, state_of(), step_size="x"), TypeError, "`step_size` must be a number or a schedule"),
        (lambda: VMC(MODEL, state_of()).run(-1), ValueError, "`n_steps` must be between 0"),
        (lambda: VMC(MODEL, state_of()).run(1, target=-1.0), ValueError, "`target` must be a finite number >= 0"),
        (lambda: VMC(MODEL, state_of()).run(1, target_error=np.nan), ValueError, "`target_error` must be a finite"),
        (lambda: VMC(MODEL, state_of()).run(1, checkpoint="/no/where/x.pt"), FileNotFoundError, "existing folder"),
        (lambda: nqs.nothing, AttributeError, "no attribute 'nothing'"),
    ],
)
def test_bad_arguments_are_one_sentence(make, error, match):
    with pytest.raises(error, match=match) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("full_sum", [True, False], ids=["full-sum", "metropolis"])
def test_nan_in_the_energy_stops_and_restores(value, full_sum, tmp_path):
    ansatz = Moody()
    state = FullSumState(ansatz) if full_sum else MonteCarloState(ansatz, Metropolis(8), n_samples=32, rng=1)
    vmc = VMC(MODEL, state, natural_gradient=NaturalGradient(momentum=0.5))
    seen = []

    def spoil(vmc):
        seen.append(flat_parameters(ansatz))
        if vmc.n_steps == 5:
            ansatz.value = value

    path = tmp_path / "vmc.pt"
    with pytest.raises(VMCError, match=r"Step 5 of TransverseIsing.*(nan|not finite)") as caught:
        vmc.run(10, callback=spoil, checkpoint=path, checkpoint_every=1000)
    assert caught.value.step == 5
    assert caught.value.where == "energy"
    assert re.search("parameters of step 4", str(caught.value))
    # The parameters that the failing energy belonged to are gone; those of the last finite energy are back.
    assert torch.equal(flat_parameters(ansatz), seen[3])
    assert vmc.n_steps == 4
    assert np.isfinite(vmc.history().energy).all()
    ansatz.value = 0.0
    again = Moody()
    other = FullSumState(again) if full_sum else MonteCarloState(again, Metropolis(8), n_samples=32, rng=1)
    resumed = VMC.resume(path, MODEL, other)
    assert torch.equal(flat_parameters(again), seen[3])
    vmc.run(3)
    resumed.run(3)
    assert vmc.n_steps == 7
    assert torch.equal(flat_parameters(ansatz), flat_parameters(again))


def test_nan_at_the_first_step_leaves_the_parameters():
    ansatz = Moody()
    ansatz.value = np.nan
    before = flat_parameters(ansatz)
    vmc = VMC(MODEL, MonteCarloState(ansatz, Metropolis(8), n_samples=32, rng=1))
    with pytest.raises(VMCError, match="32 of 32 local energies are nan or inf, the first at sample 0"):
        vmc.run(3)
    assert torch.equal(flat_parameters(ansatz), before)
    assert vmc.n_steps == 0
    with pytest.raises(FloatingPointError, match="32 of 32 local energies"):
        vmc.estimate(32)
    with pytest.raises(FloatingPointError, match="local energies"):
        vmc.state.snapshots(4, parameter=1.0, hamiltonian=MODEL)


def test_an_infinite_derivative_stops_with_the_parameters_of_its_step():
    ansatz = Moody()
    vmc = VMC(MODEL, FullSumState(ansatz))
    vmc.run(3)
    before = flat_parameters(ansatz)
    ansatz.slope = True
    with pytest.raises(VMCError, match="Step 3") as caught:
        vmc.run(3)
    assert caught.value.where == "step"
    assert torch.equal(flat_parameters(ansatz), before)
    ansatz.slope = False
    vmc.run(1)
    assert vmc.n_steps == 4


def test_a_step_that_is_much_too_large_is_an_error_and_not_a_number():
    vmc = VMC(MODEL, FullSumState(RBM(N, alpha=2, scale=0.3, rng=1)), step_size=1.7e308)
    with pytest.raises(VMCError, match=r"Step [0-9]+"):
        vmc.run(20)
    assert torch.isfinite(flat_parameters(vmc.state.ansatz)).all()
    assert np.isfinite(vmc.estimate().energy.mean)


def test_a_second_ctrl_c_ends_at_once_and_leaves_the_last_file(tmp_path):
    path = tmp_path / "vmc.pt"
    ansatz = Moody()
    vmc = VMC(MODEL, FullSumState(ansatz))

    def callback(vmc):
        if vmc.n_steps == 3:
            ansatz.interrupts = 2

    with pytest.raises(KeyboardInterrupt):
        vmc.run(9, checkpoint=path, checkpoint_every=0.0, callback=callback)
    # The fourth step was broken off: the file is that of the third, written between steps.
    assert VMC.resume(path, MODEL, FullSumState(Moody())).n_steps == 3
    assert vmc.n_steps == 3
    assert vmc.run(1).sizes["step"] == 4


@pytest.mark.parametrize("name", [*nqs.__all__, *nqs._MODULES])
def test_lazy_names_are_there(name):
    value = getattr(nqs, name)
    assert name in dir(nqs)
    if name in nqs._HOMES:
        assert value.__name__ == name
    else:
        assert value.__name__ == f"qmlphys.nqs.{name}"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_device_is_all_that_changes():
    found = []
    for device in ("cpu", "cuda"):
        state = FullSumState(RBM(8, alpha=2, scale=0.1, rng=1), device=device)
        vmc = VMC(TransverseIsing(chain(8)), state)
        vmc.run(20)
        found.append(vmc.estimate().energy.mean)
    assert found[0] == pytest.approx(found[1], rel=1e-9)
