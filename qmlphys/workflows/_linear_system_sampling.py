"""Expectation values of a post-selected state from shots: Pauli strings, measured bases, error bars."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit
from scipy.linalg import hadamard

from qmlphys import bits
from qmlphys.stats import Estimate
from qmlphys.workflows._linear_system_bounds import singular_value_bounds

__all__ = ["Observable", "estimate", "group", "measured", "parse"]

_PAULIS = {
    "I": np.eye(2, dtype=np.complex128),
    "X": np.array([[0, 1], [1, 0]], dtype=np.complex128),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1.0 + 0j, -1.0]),
}


@dataclass(frozen=True, eq=False)
class Observable:
    """A Hermitian operator on the unknowns as a sum of Pauli strings.

    Parameters
    ----------
    name : str
        What it is called in results.
    terms : dict of str to float
        Real coefficients by Pauli string, leftmost character site 0 (weight 1 in the unknown's index); no identity.
    constant : float
        Coefficient of the identity.
    operator : ndarray, shape (2**s, 2**s)
        The matrix.
    spread : float
        Bound on the operator norm without the constant: errors are judged relative to it.
    """

    name: str
    terms: dict[str, float]
    constant: float
    operator: NDArray[np.complex128]
    spread: float


def parse(observables: Sequence[Any], *, n_unknowns: int) -> list[Observable]:
    """Check observables and write them as sums of Pauli strings.

    Parameters
    ----------
    observables : sequence
        Each a Hermitian matrix of shape (n, n), a Pauli string of s characters, or a list of pairs of such a string and
        a real coefficient; s is the number of bits of an unknown's index.
    n_unknowns : int
        Size n of the system.

    Returns
    -------
    list of Observable
        In the given order.

    Raises
    ------
    TypeError, ValueError
        If one of them is something else.

    Examples
    --------
    >>> parse([np.diag([1.0, -1.0])], n_unknowns=2)[0].terms
    {'Z': 1.0}
    """
    if isinstance(observables, (str, np.ndarray)) or not isinstance(observables, Sequence):
        raise TypeError(
            "Argument `observables` must be a list of observables, but it is a "
            f"{type(observables).__name__}: put a single one into a list."
        )
    n_bits = max(1, (n_unknowns - 1).bit_length())
    return [_observable(item, place, n_unknowns, n_bits) for place, item in enumerate(observables)]


def _observable(item: Any, place: int, n_unknowns: int, n_bits: int) -> Observable:
    """Check one observable."""
    argument = f"observables[{place}]"
    terms: dict[str, float] = {}
    if isinstance(item, str):
        terms[_string(item, argument, n_bits)] = 1.0
        name = item
    elif isinstance(item, Sequence) and len(item) and all(_is_pair(pair) for pair in item):
        for string, coefficient in item:
            value = complex(coefficient)
            if not (math.isfinite(value.real) and value.imag == 0):
                raise ValueError(f"Argument `{argument}` must have real coefficients, but one is {coefficient}.")
            key = _string(string, argument, n_bits)
            terms[key] = terms.get(key, 0.0) + value.real
        name = f"observable {place}"
    else:
        terms = _decompose(_matrix(item, argument, n_unknowns), n_bits)
        name = f"observable {place}"
    operator = np.zeros((2**n_bits, 2**n_bits), dtype=np.complex128)
    for string, value in terms.items():
        operator += value * _dense(string)
    constant = terms.pop("I" * n_bits, 0.0)
    traceless = operator - constant * np.eye(len(operator))
    spread = singular_value_bounds(traceless)[1] if np.abs(traceless).max() > 0 else 0.0
    return Observable(name, {key: value for key, value in terms.items() if value}, constant, operator, spread)


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str)


def _string(string: str, argument: str, n_bits: int) -> str:
    """Check a Pauli string."""
    if len(string) != n_bits or set(string) - set("IXYZ"):
        raise ValueError(
            f"Argument `{argument}` must be a Pauli string of {n_bits} characters I, X, Y or Z, one for each bit of an "
            f"unknown's index, but it is {string!r:.80}."
        )
    return string


def _matrix(item: Any, argument: str, n_unknowns: int) -> NDArray[np.complex128]:
    """Check a matrix."""
    try:
        matrix = np.asarray(item)
    except ValueError:
        matrix = np.empty(0, dtype=object)
    if matrix.dtype.kind not in "biufc":
        raise TypeError(
            f"Argument `{argument}` must be a Hermitian matrix, a Pauli string or a list of (string, coefficient) "
            f"pairs, but it is {item!r:.80}."
        )
    if matrix.shape != (n_unknowns, n_unknowns):
        raise ValueError(
            f"Argument `{argument}` must have the shape of the system's matrix, ({n_unknowns}, {n_unknowns}), but it "
            f"has {matrix.shape}."
        )
    if not np.isfinite(matrix).all():
        raise ValueError(f"Argument `{argument}` must be finite, but it holds nan or inf.")
    if np.abs(matrix - matrix.conj().T).max() > 1e-12 * np.abs(matrix).max():
        raise ValueError(f"Argument `{argument}` must be Hermitian, but it differs from its adjoint.")
    return matrix.astype(np.complex128)


def _dense(string: str) -> NDArray[np.complex128]:
    """Return the matrix of a Pauli string; site 0 has weight 1, so it is the last Kronecker factor."""
    result = np.eye(1, dtype=np.complex128)
    for letter in string:
        result = np.kron(_PAULIS[letter], result)
    return result


def _decompose(matrix: NDArray[np.complex128], n_bits: int) -> dict[str, float]:
    """Write a Hermitian matrix, padded with zeros, as a sum of Pauli strings, by Walsh-Hadamard transforms."""
    size = 2**n_bits
    padded = np.zeros((size, size), dtype=np.complex128)
    padded[: len(matrix), : len(matrix)] = (matrix + matrix.conj().T) / 2
    index = np.arange(size)
    signs = hadamard(size)
    tiny = 1e-14 * np.abs(padded).max()
    terms: dict[str, float] = {}
    for flips in range(size):
        weights = signs @ padded[index, index ^ flips] / size
        for z in range(size):
            # X^x Z^z with a factor i where both act is the string with Y there.
            value = float((weights[z] * 1j ** (flips & z).bit_count()).real)
            if abs(value) > tiny:
                letters = ("IXZY"[((flips >> i) & 1) + 2 * ((z >> i) & 1)] for i in range(n_bits))
                terms["".join(letters)] = value
    return terms


def group(observables: Sequence[Observable], *, n_bits: int) -> list[tuple[str, list[str]]]:
    """Collect Pauli strings that one product basis measures together.

    Parameters
    ----------
    observables : sequence of Observable
        All their strings are collected, the heaviest first, each into the first group that it fits.
    n_bits : int
        Length of the strings.

    Returns
    -------
    list of (basis, strings)
        Basis: a letter X, Y or Z a site. Without any string, one group measured in Z.

    Examples
    --------
    >>> group(parse(["XI", "XX", "ZI"], n_unknowns=4), n_bits=2)
    [('XX', ['XI', 'XX']), ('ZZ', ['ZI'])]
    """
    weights: dict[str, float] = {}
    for observable in observables:
        for string, value in observable.terms.items():
            weights[string] = max(weights.get(string, 0.0), abs(value) / observable.spread)
    groups: list[tuple[list[str], list[str]]] = []
    for string in sorted(weights, key=lambda s: -weights[s]):
        for basis, strings in groups:
            if all("I" in pair or pair[0] == pair[1] for pair in zip(basis, string, strict=True)):
                basis[:] = [b if s == "I" else s for b, s in zip(basis, string, strict=True)]
                strings.append(string)
                break
        else:
            groups.append((list(string), [string]))
    found = [("".join(basis).replace("I", "Z"), strings) for basis, strings in groups]
    return found or [("Z" * n_bits, [])]


def measured(circuit: QuantumCircuit, basis: str) -> QuantumCircuit:
    """Append the measurement of all qubits, the unknowns' bits in a product basis.

    Parameters
    ----------
    circuit : QuantumCircuit
        With the registers `system`, `clock`, `flag`.
    basis : str
        A letter X, Y or Z for each of the first qubits of `system`; further ones are measured in Z.

    Returns
    -------
    QuantumCircuit
        A copy with classical registers of the same names.
    """
    result = circuit.copy()
    registers = {register.name: register for register in circuit.qregs}
    for qubit, letter in zip(registers["system"], basis, strict=False):
        if letter == "Y":
            result.sdg(qubit)
        if letter in "XY":
            result.h(qubit)
    for name in ("system", "clock", "flag"):
        bits_out = ClassicalRegister(registers[name].size, f"{name}_bits")
        result.add_register(bits_out)
        result.measure(registers[name], bits_out)
    result.name = f"{circuit.name}_{basis}"
    return result


def estimate(
    ds: xr.Dataset, observables: Sequence[Observable], groups: Sequence[tuple[str, list[str]]], *, dilated: bool
) -> tuple[Estimate, list[Estimate]]:
    """Turn shots into the success probability and the expectation values of the post-selected state.

    Given the number of successes, the successful shots of a group are independent draws, so their mean is unbiased and
    its error is that of a mean (the delete-one jackknife over all shots gives the same). The groups are independent of
    each other. Two shots are added at the ends of the possible range when the variance is found: without them a handful
    of equal outcomes would claim to be exact.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshots with one parameter a group, from circuits made by `measured`.
    observables : sequence of Observable
        What to estimate.
    groups : sequence of (basis, strings)
        From `group`, in the order of the parameters.
    dilated : bool
        Whether the last system qubit must be 1, as the dilation of a non-Hermitian matrix makes it.

    Returns
    -------
    probability : Estimate
        Of success, over the shots of all groups.
    expectations : list of Estimate
        One an observable; nan where a group had no success.
    """
    spins = ds["spins"].values
    found = bits.spins_to_bits(spins.reshape(len(groups), -1, spins.shape[-1]))
    register = ds["register"].values.astype(str)
    success = (found[:, :, register == "flag_bits"] == 1).all(axis=2)
    success &= (found[:, :, register == "clock_bits"] == 0).all(axis=2)
    system = found[:, :, register == "system_bits"]
    if dilated:
        success &= system[:, :, -1] == 1
        system = system[:, :, :-1]
    n_shots, n_successes = success.size, int(success.sum())
    share = n_successes / n_shots
    shrunk = (n_successes + 1) / (n_shots + 2)
    probability = Estimate(share, math.sqrt(shrunk * (1 - shrunk) / n_shots), n_effective=n_shots)
    expectations = [_mean(observable, groups, system, success) for observable in observables]
    return probability, expectations


def _mean(
    observable: Observable,
    groups: Sequence[tuple[str, list[str]]],
    system: NDArray[np.int8],
    success: NDArray[np.bool_],
) -> Estimate:
    """Estimate one observable from the groups that measure its strings."""
    mean, variance, n_used = observable.constant, 0.0, math.inf
    for place, (_, strings) in enumerate(groups):
        own = [string for string in strings if string in observable.terms]
        if not own:
            continue
        rows = system[place][success[place]]
        if not len(rows):
            return Estimate(math.nan, math.nan, n_effective=0)
        values = np.zeros(len(rows))
        for string in own:
            acts = [site for site, letter in enumerate(string) if letter != "I"]
            values += observable.terms[string] * (1 - 2 * (rows[:, acts].sum(axis=1) & 1))
        possible = _range(observable, own)
        with_ends = np.concatenate([values, possible])
        mean += float(values.mean())
        variance += float(with_ends.var(ddof=1)) / len(rows)
        n_used = min(n_used, len(rows))
    return Estimate(mean, math.sqrt(variance), n_effective=n_used if n_used < math.inf else math.nan)


def _range(observable: Observable, strings: Sequence[str]) -> tuple[float, float]:
    """Return the smallest and the largest value that commuting strings can show together."""
    n_bits = len(strings[0])
    outcomes = np.array(list(itertools.product((0, 1), repeat=n_bits)))
    values = np.zeros(len(outcomes))
    for string in strings:
        acts = [site for site, letter in enumerate(string) if letter != "I"]
        values += observable.terms[string] * (1 - 2 * (outcomes[:, acts].sum(axis=1) & 1))
    return float(values.min()), float(values.max())
