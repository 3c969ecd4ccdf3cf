"""Local energies: E_loc(s) = sum over s' of <s|H|s'> psi(s') / psi(s)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from qmlphys.bits import MAX_BITS
from qmlphys.nqs import _rbm_kernels as kernels
from qmlphys.nqs._lookup import MAX_EXPONENT, Lookup, Machine, fits
from qmlphys.nqs._metropolis import evaluate, spins_of
from qmlphys.nqs.ansatz._base import Ansatz, RBMParameters, check_spins

if TYPE_CHECKING:
    from qmlphys.hamiltonians import FlipTerms, SpinHalf

__all__ = ["energy_terms", "flip_ratios", "local_energies", "warm_up"]

# Matrix elements that are held at a time.
_BLOCK = 2**21


@dataclass(frozen=True, eq=False)
class _Terms:
    """The terms of a Hamiltonian as tensors on one device.

    Attributes
    ----------
    flips : Tensor of int64, shape (n_terms, max_flips)
        Flipped sites, filled up with -1; row 0 is the diagonal.
    signs : Tensor of int8, shape (n_terms, n_sites)
        -1 where a term flips.
    masks : Tensor of int64, shape (n_terms,), or None
        The flipped sites as bits, where an integer can hold them.
    zsites : Tensor of int64, shape (n_strings, max_z)
        Sites whose spins multiply a string; `n_sites` is the padding.
    selector : Tensor of float64 or complex128, shape (n_strings, n_terms)
        The coefficient of each string, in the column of its term.
    """

    flips: Tensor
    signs: Tensor
    masks: Tensor | None
    zsites: Tensor
    selector: Tensor

    @classmethod
    def of(cls, terms: FlipTerms, device: torch.device) -> _Terms:
        """Compile the terms for a device."""
        n_sites, n_terms = terms.n_sites, terms.n_terms
        rows = np.arange(n_terms)[:, None]
        signs = np.ones((n_terms, n_sites + 1), dtype=np.int8)
        signs[rows, terms.flips] = -1  # -1, the padding, writes into the last column
        masks = np.where(terms.flips >= 0, np.int64(1) << np.maximum(terms.flips, 0), 0).sum(axis=1)
        coefficients = terms.coefficients.real if terms.is_real else terms.coefficients
        selector = np.zeros((terms.n_strings, n_terms), dtype=coefficients.dtype)
        selector[np.arange(terms.n_strings), terms.owner] = coefficients
        zsites = np.where(terms.zsites < 0, n_sites, terms.zsites)
        arrays = (terms.flips.copy(), signs[:, :-1].copy(), masks, zsites, selector)
        flips, signs_, masks_, zsites_, selector_ = (torch.from_numpy(array).to(device) for array in arrays)
        return cls(flips, signs_, masks_ if n_sites <= MAX_BITS else None, zsites_, selector_)

    def elements(self, spins: Tensor) -> Tensor:
        """Matrix elements of all terms, float64 or complex128 (n, n_terms)."""
        padded = torch.cat((spins, torch.ones_like(spins[:, :1])), dim=1)
        products = torch.ones((len(spins), len(self.zsites)), dtype=torch.int8, device=spins.device)
        for column in self.zsites.T:
            products *= padded[:, column]
        return products.to(self.selector.dtype) @ self.selector


_compiled: WeakKeyDictionary[FlipTerms, dict[torch.device, _Terms]] = WeakKeyDictionary()


def _terms_of(hamiltonian: SpinHalf, device: torch.device) -> _Terms:
    """Terms of a Hamiltonian on a device, compiled once."""
    tables = _compiled.setdefault(hamiltonian.flip_terms, {})
    if device not in tables:
        tables[device] = _Terms.of(hamiltonian.flip_terms, device)
    return tables[device]


def local_energies(
    hamiltonian: SpinHalf, ansatz: Ansatz, spins: Tensor, log_psi: Tensor, *, chunk: int | None = None
) -> Tensor:
    """Local energies of configurations.

    For a restricted Boltzmann machine the ratios psi(s') / psi(s) come in closed form. For other ansätze each
    configuration s' that has a matrix element goes through the network; on up to 62 sites once, however many s it is
    connected to, and not at all where it is one of the s.

    Parameters
    ----------
    hamiltonian : SpinHalf
        The model; energies come in its units and are totals, not per site.
    ansatz : Ansatz
        The state.
    spins : Tensor of -1 and +1, shape (n, n_sites)
        Configurations s, on the device of the ansatz.
    log_psi : Tensor of complex128, shape (n,)
        Their log psi.
    chunk : int, optional, keyword
        Configurations that go through the network at a time, to bound the memory; the result does not depend on it.

    Returns
    -------
    Tensor of complex128, shape (n,)
        E_loc(s). Where psi(s) = 0 it is not defined, and nan or inf.

    Raises
    ------
    ValueError
        If shapes do not fit, a value of `spins` is neither -1 nor +1, or `chunk` < 1.

    Notes
    -----
    Carleo and Troyer, Science 355, 602 (2017), equation (S5).

    Examples
    --------
    >>> from qmlphys.hamiltonians import TransverseIsing
    >>> from qmlphys.lattices import chain
    >>> from qmlphys.nqs.ansatz import RBM
    >>> ansatz = RBM(4, scale=0.0)  # the same amplitude everywhere: every flip has the ratio 1
    >>> spins = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1]])
    >>> local_energies(TransverseIsing(chain(4), field=0.5), ansatz, spins, ansatz(spins).detach()).real.tolist()
    [-6.0, 2.0]
    """
    if hamiltonian.n_sites != ansatz.n_sites:
        raise ValueError(
            f"Argument `ansatz` must have the {hamiltonian.n_sites} sites of the Hamiltonian, "
            f"but it has {ansatz.n_sites}."
        )
    check_spins(spins, hamiltonian.n_sites)
    if log_psi.shape != spins.shape[:1]:
        raise ValueError(
            f"Argument `log_psi` must have shape ({len(spins)},), one value a configuration, but it is "
            f"{tuple(log_psi.shape)}."
        )
    if chunk is not None and chunk < 1:
        raise ValueError(f"Argument `chunk` must be at least 1, but it is {chunk!r}.")
    if not len(spins):
        return torch.zeros(0, dtype=torch.complex128, device=spins.device)
    parts = energy_terms(hamiltonian, ansatz, spins, log_psi, chunk=chunk)
    return torch.cat([(terms[:, 0] + terms[:, 1:].sum(dim=1)).to(torch.complex128) for terms in parts])


@torch.no_grad()
def energy_terms(
    hamiltonian: SpinHalf, ansatz: Ansatz, spins: Tensor, log_psi: Tensor, *, chunk: int | None = None
) -> Iterator[Tensor]:
    """Local energies term by term, in blocks of configurations that bound the memory.

    Parameters
    ----------
    hamiltonian, ansatz, spins, log_psi, chunk
        As for `local_energies`, which checks them.

    Yields
    ------
    Tensor of float64 or complex128, shape (rows, n_terms)
        <s|H|s'> psi(s') / psi(s), s' following the terms of ``hamiltonian.flip_terms``: the first is the diagonal.

    Examples
    --------
    >>> from qmlphys.hamiltonians import TransverseIsing
    >>> from qmlphys.lattices import chain
    >>> from qmlphys.nqs.ansatz import RBM
    >>> flat, up = RBM(3, scale=0.0), torch.ones(1, 3)
    >>> (terms,) = energy_terms(TransverseIsing(chain(3), field=0.5), flat, up, flat(up).detach())
    >>> terms.real.tolist()
    [[-3.0, -0.5, -0.5, -0.5]]
    """
    spins = spins.to(torch.int8)
    terms = _terms_of(hamiltonian, spins.device)
    ratios = _Ratios(ansatz, terms, chunk)
    n_rows = max(1, _BLOCK // max(terms.selector.shape))
    for part, log_psi_part in zip(spins.split(n_rows), log_psi.detach().split(n_rows), strict=True):
        elements = terms.elements(part)
        wanted = elements != 0
        wanted[:, 0] = False
        found = torch.where(wanted, elements * ratios(part, log_psi_part, wanted), 0.0)
        found[:, 0] = elements[:, 0]
        yield found


class _Ratios:
    """psi(s') / psi(s) of all terms of a Hamiltonian, by the fastest way that the ansatz has."""

    def __init__(self, ansatz: Ansatz, terms: _Terms, chunk: int | None) -> None:
        self._ansatz, self._terms, self._chunk = ansatz, terms, chunk
        parameters = ansatz.rbm()
        self._lookup: Machine | Lookup | None = None
        if parameters is not None and fits(parameters, terms.flips.shape[1]):
            self._lookup = _lookup(parameters)
            self._signs = torch.where(terms.signs < 0, parameters.signs, 1.0).prod(dim=1)

    def __call__(self, spins: Tensor, log_psi: Tensor, wanted: Tensor) -> Tensor:
        """Return ratios (n, n_terms); what was not wanted is arbitrary."""
        if self._lookup is not None:
            return self._lookup.log_ratios(spins, self._terms.flips, wanted).exp() * self._signs
        rows, columns = torch.nonzero(wanted, as_tuple=True)
        if self._terms.masks is None:
            found = self._of_rows(spins, rows, columns)
        else:
            found = self._of_codes(spins, log_psi, self._terms.masks, rows, columns)
        ratios = torch.zeros(wanted.shape, dtype=torch.complex128, device=spins.device)
        # exp(-inf + i nan) is nan, but the ratio is 0 whatever the phase is.
        value = torch.where(torch.isneginf(found.real), 0.0, (found - log_psi[rows]).exp())
        ratios[rows, columns] = value
        return ratios

    def _of_rows(self, spins: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Log psi of spins[rows] under the flips of terms `columns`."""
        size = max(1, _BLOCK // spins.shape[1])
        parts = [
            evaluate(self._ansatz, spins[row] * self._terms.signs[column], self._chunk)
            for row, column in zip(rows.split(size), columns.split(size), strict=True)
        ]
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.complex128, device=spins.device)

    def _of_codes(self, spins: Tensor, log_psi: Tensor, masks: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the same, with every configuration evaluated at most once."""
        places = torch.arange(spins.shape[1], device=spins.device)
        own = ((spins < 0).long() << places).sum(dim=1)
        codes, inverse = torch.unique(own[rows] ^ masks[columns], return_inverse=True)
        own, order = own.sort()
        nearest = torch.searchsorted(own, codes).clamp(max=len(own) - 1)
        known = own[nearest] == codes
        values = log_psi[order[nearest]].to(torch.complex128)
        unknown = codes[~known]
        if len(unknown):
            size = max(1, _BLOCK // spins.shape[1])
            values[~known] = torch.cat(
                [evaluate(self._ansatz, spins_of(part, spins.shape[1]), self._chunk) for part in unknown.split(size)]
            )
        return values[inverse]


def flip_ratios(parameters: RBMParameters, spins: Tensor) -> Tensor:
    """Ratios psi(s with site i flipped) / psi(s) of a restricted Boltzmann machine, in closed form.

    Parameters
    ----------
    parameters : RBMParameters
        The machine, on any device.
    spins : Tensor of -1 and +1, shape (n, n_sites)
        Configurations s, on the same device.

    Returns
    -------
    Tensor of float64 or complex128, shape (n, n_sites)
        In the dtype of the machine.

    Raises
    ------
    ValueError
        If the shape does not fit, a value is neither -1 nor +1, or a weight is so large that a factor overflows.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import RBM
    >>> flip_ratios(RBM(3, scale=0.0).rbm(), torch.tensor([[1, -1, 1]])).tolist()
    [[1.0, 1.0, 1.0]]
    """
    n_sites = len(parameters.visible)
    check_spins(spins, n_sites)
    spins = spins.to(torch.int8)
    if not fits(parameters, 1):
        raise ValueError(
            f"Argument `parameters` must have finite weights of real parts up to {MAX_EXPONENT / 2:g}, "
            f"but one is {parameters.weight.real.abs().max():g}."
        )
    sites = torch.arange(n_sites, device=spins.device)[:, None]
    wanted = torch.ones((len(spins), n_sites), dtype=torch.bool, device=spins.device)
    return _lookup(parameters).log_ratios(spins, sites, wanted).exp() * parameters.signs


def _lookup(parameters: RBMParameters) -> Machine | Lookup:
    """Closed forms where the parameters are."""
    return Machine(parameters) if parameters.weight.device.type == "cpu" else Lookup(parameters)


def warm_up(ansatz: Ansatz) -> None:
    """Compile what sampling and local energies of this ansatz need, so that no later step waits for it.

    A first compilation is announced through the logger ``qmlphys``. Ansätze without compiled kernels need nothing.

    Parameters
    ----------
    ansatz : Ansatz
        The state.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import RBM
    >>> warm_up(RBM(4))
    """
    if ansatz.device.type == "cpu" and (parameters := ansatz.rbm()) is not None:
        kernels.warm_up(is_complex=parameters.weight.is_complex())
