"""Sampling of deep Boltzmann machines of any size, whose amplitudes cannot be summed.

With real parameters all terms of psi(s) = sum over h and d of Psi(s, h, d) are positive: they are a probability, and
layers are drawn in turns, each given its neighbours. |psi(s)|^2 is the distribution of spins that two independent
copies of the hidden layers share. Carleo, Nomura and Imada, Nat. Commun. 9, 5322 (2018).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qmlphys import stats
from qmlphys._arguments import whole_number
from qmlphys.hamiltonians import SpinHalf
from qmlphys.nqs.ansatz._base import check_spins
from qmlphys.nqs.ansatz._functions import log_cosh
from qmlphys.nqs.ansatz.dbm import DBM
from qmlphys.stats import Estimate

__all__ = ["amplitude_ratios", "gibbs_energy", "gibbs_samples"]

# Arguments of hidden units that are held at a time.
_BLOCK = 2**22


def amplitude_ratios(
    ansatz: DBM,
    spins: Tensor,
    others: Tensor,
    *,
    n_draws: int = 500,
    n_chains: int = 32,
    n_warmup: int = 100,
    rng: int | np.random.Generator | None = None,
) -> list[Estimate]:
    """Estimate psi(s') / psi(s) of a real deep Boltzmann machine by sampling its hidden layers.

    Deep units d are drawn from their distribution at s; the mean of exp(a.(s' - s)) prod_j cosh theta_j(s', d) / cosh
    theta_j(s, d), in which the first hidden layer is summed, is the ratio, without bias. The error is honest where s'
    is near s, such as one or a few flips; far from it few draws carry the mean, and the series shows it too late.

    Parameters
    ----------
    ansatz : DBM
        With real parameters; any number of units.
    spins, others : Tensor of -1 and +1, shape (n, n_sites)
        s and s', row by row.
    n_draws, n_chains, n_warmup : int, keyword
        Draws of each chain, independent chains a row, and sweeps of a chain before its first draw.
    rng : None, int or numpy.random.Generator, keyword
        Source of randomness.

    Returns
    -------
    list of Estimate
        One a row.

    Raises
    ------
    TypeError
        If `ansatz` is no DBM.
    ValueError
        If its parameters are complex - there is no such distribution then - or the spins do not fit.

    Examples
    --------
    >>> ansatz = DBM(3, n_hidden=4, n_deep=2, scale=0.3, rng=1)
    >>> up, flipped = torch.ones(1, 3), torch.tensor([[-1.0, 1.0, 1.0]])
    >>> [ratio] = amplitude_ratios(ansatz, up, flipped, rng=1)
    >>> exact = (ansatz(flipped) - ansatz(up)).real.exp().item()
    >>> abs(ratio.deviation(exact)) < 4
    True
    """
    _check(ansatz)
    rng = np.random.default_rng(rng)
    check_spins(spins, ansatz.n_sites)
    check_spins(others, ansatz.n_sites)
    if len(spins) != len(others):
        raise ValueError(
            f"Argument `others` must have the {len(spins)} rows of `spins`, but it has {len(others)} of them."
        )
    n_draws, n_chains = whole_number("n_draws", n_draws, least=2), whole_number("n_chains", n_chains)
    n_warmup = whole_number("n_warmup", n_warmup, least=0)
    found = []
    with torch.no_grad():
        for row, other in zip(spins.to(torch.float64), others.to(torch.float64), strict=True):
            machine = _Machine(ansatz)
            state = row.repeat(n_chains, 1)
            deep = machine.random((n_chains, ansatz.n_deep), rng)
            series = torch.empty(n_chains, n_draws, dtype=torch.float64)
            for draw in range(-n_warmup, n_draws):
                deep = machine.hidden_sweep(state, deep, rng)
                if draw >= 0:
                    series[:, draw] = machine.log_ratio(state, other.expand(n_chains, -1), deep).exp()
            found.append(stats.estimate(series.numpy()))
    return found


def gibbs_samples(
    ansatz: DBM,
    n_draws: int,
    *,
    n_chains: int = 64,
    n_warmup: int = 100,
    rng: int | np.random.Generator | None = None,
) -> NDArray[np.int8]:
    """Draw configurations of a real deep Boltzmann machine from |psi|^2, without any amplitude.

    Parameters
    ----------
    ansatz : DBM
        With real parameters; any number of units.
    n_draws : int
        Draws of each chain, one sweep over all layers apart.
    n_chains, n_warmup : int, keyword
        Independent chains, and sweeps of each before its first draw.
    rng : None, int or numpy.random.Generator, keyword
        Source of randomness.

    Returns
    -------
    ndarray of int8, shape (n_chains, n_draws, n_sites)
        -1 and +1. Chains are correlated along the draws, the more so the larger the weights are.

    Raises
    ------
    TypeError
        If `ansatz` is no DBM.
    ValueError
        If its parameters are complex, or a number is out of range.

    Examples
    --------
    >>> gibbs_samples(DBM(3, n_hidden=4, n_deep=2, rng=1), 5, n_chains=2, rng=1).shape
    (2, 5, 3)
    """
    n_draws = whole_number("n_draws", n_draws)
    draws = [spins.to(torch.int8) for spins, *_ in _walk(ansatz, n_draws, n_chains, n_warmup, rng)]
    return torch.stack(draws, dim=1).numpy()


def gibbs_energy(
    hamiltonian: SpinHalf,
    ansatz: DBM,
    *,
    n_draws: int = 500,
    n_chains: int = 64,
    n_warmup: int = 100,
    rng: int | np.random.Generator | None = None,
) -> Estimate:
    """Estimate the energy of a real deep Boltzmann machine of any size.

    Spins come with two copies of the deep units. sum_s' <s|H|s'> Psi(s', d) / Psi(s, d), the mean over both copies, has
    the energy as its mean, without bias; its scatter is not the variance of the energy.

    Parameters
    ----------
    hamiltonian : SpinHalf
        The model; the energy comes in its units and is a total.
    ansatz : DBM
        With real parameters.
    n_draws, n_chains, n_warmup : int, keyword
        As for `gibbs_samples`.
    rng : None, int or numpy.random.Generator, keyword
        Source of randomness.

    Returns
    -------
    Estimate
        With its error, tau and R-hat.

    Raises
    ------
    TypeError
        If `ansatz` is no DBM.
    ValueError
        If its parameters are complex, or sizes do not fit.

    Examples
    --------
    >>> from qmlphys.hamiltonians import TransverseIsing
    >>> from qmlphys.lattices import chain
    >>> from qmlphys.nqs.states import FullSumState
    >>> ansatz, model = DBM(4, n_hidden=4, n_deep=2, scale=0.3, rng=1), TransverseIsing(chain(4))
    >>> energy = gibbs_energy(model, ansatz, n_draws=100, rng=1)
    >>> abs(energy.deviation(FullSumState(ansatz).expect(model).energy.mean)) < 4
    True
    """
    n_draws = whole_number("n_draws", n_draws, least=2)
    if hamiltonian.n_sites != ansatz.n_sites:
        raise ValueError(
            f"Argument `ansatz` must have the {hamiltonian.n_sites} sites of the Hamiltonian, "
            f"but it has {ansatz.n_sites}."
        )
    terms, machine = hamiltonian.flip_terms, None
    signs = np.ones((terms.n_terms, ansatz.n_sites + 1))
    signs[np.arange(terms.n_terms)[:, None], terms.flips] = -1  # -1, the padding, writes into the last column
    turned = torch.from_numpy(signs[:, :-1])
    series = []
    for spins, copies, machine in _walk(ansatz, n_draws, n_chains, n_warmup, rng):
        elements = torch.from_numpy(terms.elements(spins.to(torch.int8).numpy()).real)
        ratios = torch.empty_like(elements)
        step = max(1, _BLOCK // (len(spins) * max(ansatz.n_hidden, ansatz.n_sites)))
        for first in range(0, terms.n_terms, step):
            part = slice(first, first + step)
            flipped = spins[:, None, :] * turned[part]
            logs = [machine.log_ratio(spins[:, None, :], flipped, deep[:, None, :]) for deep in copies]
            ratios[:, part] = torch.stack(logs).exp().mean(dim=0)
        series.append((elements * ratios).sum(dim=1))
    return stats.estimate(torch.stack(series, dim=1).numpy())


def _check(ansatz: DBM) -> None:
    if not isinstance(ansatz, DBM):
        raise TypeError(f"Argument `ansatz` must be a DBM, but it is a {type(ansatz).__name__}.")
    if ansatz.dtype.is_complex:
        raise ValueError(
            "Argument `ansatz` must have real parameters: terms of complex ones are no probabilities to draw from."
        )


@torch.no_grad()
def _walk(
    ansatz: DBM, n_draws: int, n_chains: int, n_warmup: int, rng: int | np.random.Generator | None
) -> Iterator[tuple[Tensor, list[Tensor], _Machine]]:
    """Give the spins of all chains and the two copies of their deep units, one draw after the other."""
    _check(ansatz)
    generator = np.random.default_rng(rng)
    n_chains, n_warmup = whole_number("n_chains", n_chains), whole_number("n_warmup", n_warmup, least=0)
    machine = _Machine(ansatz)
    spins = machine.random((n_chains, ansatz.n_sites), generator)
    copies = [machine.random((n_chains, ansatz.n_deep), generator) for _ in range(2)]
    for draw in range(-n_warmup, n_draws):
        hidden = [machine.draw(machine.theta(spins, deep), generator) for deep in copies]
        copies = [machine.draw(machine.deep_field(h), generator) for h in hidden]
        # Given the new deep units the hidden ones are drawn again, so that all of the layers belong together.
        hidden = [machine.draw(machine.theta(spins, deep), generator) for deep in copies]
        spins = machine.draw(2 * machine.visible + (hidden[0] + hidden[1]) @ machine.weight, generator)
        if draw >= 0:
            yield spins, copies, machine


class _Machine:
    """The parameters of a real machine in float64 in main memory, where all is drawn."""

    def __init__(self, ansatz: DBM) -> None:
        def array(parameter: Tensor | None, size: int) -> Tensor:
            if parameter is None:
                return torch.zeros(size, dtype=torch.float64)
            return parameter.detach().to("cpu", torch.float64)

        self.weight = array(ansatz.hidden.weight, 0)
        self.deep_weight = array(ansatz.deep_weight, 0)
        self.hidden = array(ansatz.hidden.bias, ansatz.n_hidden)
        self.deep = array(ansatz.deep_bias, ansatz.n_deep)
        self.visible = array(None if ansatz.visible is None else ansatz.visible.weight[0], ansatz.n_sites)

    def random(self, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
        """Return -1 and +1 with equal probabilities."""
        return self.draw(torch.zeros(shape, dtype=torch.float64), rng)

    def draw(self, field: Tensor, rng: np.random.Generator) -> Tensor:
        """Return -1 and +1 with probabilities proportional to exp(field x)."""
        uniform = torch.from_numpy(rng.random(tuple(field.shape)))
        return torch.where(uniform < torch.sigmoid(2 * field), 1.0, -1.0).to(torch.float64)

    def theta(self, spins: Tensor, deep: Tensor) -> Tensor:
        """Return what the hidden units see."""
        return spins @ self.weight.T + deep @ self.deep_weight + self.hidden

    def deep_field(self, hidden: Tensor) -> Tensor:
        """Return what the deep units see."""
        return hidden @ self.deep_weight.T + self.deep

    def hidden_sweep(self, spins: Tensor, deep: Tensor, rng: np.random.Generator) -> Tensor:
        """Draw the hidden and then the deep units at fixed spins, and return the deep ones."""
        return self.draw(self.deep_field(self.draw(self.theta(spins, deep), rng)), rng)

    def log_ratio(self, spins: Tensor, others: Tensor, deep: Tensor) -> Tensor:
        """Return log Psi(s', d) - log Psi(s, d) with the hidden units summed; the last axis holds sites and units."""
        change = log_cosh(self.theta(others, deep)).sum(-1) - log_cosh(self.theta(spins, deep)).sum(-1)
        return change + (others - spins) @ self.visible
