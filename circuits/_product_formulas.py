"""Product formulas of exp(-i H t) over Pauli strings, for `circuits.evolution` and phase estimation."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Qubit
from qiskit.quantum_info import SparsePauliOp

from circuits import _arguments
from circuits._multiplexers import Complex

__all__ = ["METHODS", "bounded_terms", "trotter", "trotter_options"]

METHODS = ("exponential", "diagonalised", "trotter", "blocks")
_ORDERS = (1, 2, 4, 6, 8)
_MAX_STEPS = 1_000_000
_MAX_ROTATIONS = 1_000_000

# Weight of a Pauli string, against the largest, that is rounding of the decomposition.
_NO_WEIGHT = 1e-14


def trotter_options(method: str, *, order: int, n_steps: int, prefix: str = "") -> None:
    """Check the options of a product formula, and that other methods are not given any."""
    steps = f"{prefix or 'n_'}steps"
    if order not in _ORDERS or isinstance(order, bool):
        raise ValueError(
            f"Argument `{prefix}order` must be one of {', '.join(map(str, _ORDERS))}, but it is {order!r}."
        )
    _arguments.whole_number(n_steps, steps, low=1, high=_MAX_STEPS)
    if method != "trotter" and (order, n_steps) != (2, 1):
        raise ValueError(
            f"Arguments `{prefix}order` and `{steps}` must be left out, but they are {order} and {n_steps}: "
            f"only the method 'trotter' takes them, and the method is {method!r}."
        )


def _pauli_terms(hamiltonian: Complex) -> list[tuple[str, float]]:
    """Return the Pauli strings of a Hermitian matrix, leftmost character site 0, with their real weights."""
    operator = SparsePauliOp.from_operator(hamiltonian)
    weights = operator.coeffs.real
    largest = float(np.abs(weights).max())
    labels = operator.paulis.to_labels()
    return [(x[::-1], float(c)) for x, c in zip(labels, weights, strict=True) if abs(c) > _NO_WEIGHT * largest]


@cache
def _fractions(order: int) -> tuple[float, ...]:
    """Return the lengths, in steps, of the second-order formulas that make up one step of an even order."""
    if order == 2:
        return (1.0,)
    outer = 1.0 / (4.0 - 4.0 ** (1.0 / (order - 1)))
    inner = _fractions(order - 2)
    return tuple(share * part for share in (outer, outer, 1.0 - 4.0 * outer, outer, outer) for part in inner)


def bounded_terms(
    hamiltonian: Complex, *, order: int, n_steps: int, prefix: str = "", n_times: int = 1
) -> list[tuple[str, float]]:
    """Return the Pauli strings after checking that `n_times` times so many steps do not make an absurd circuit."""
    terms = _pauli_terms(hamiltonian)
    n_rotations = len(terms) * n_steps * n_times * (1 if order == 1 else 2 * len(_fractions(order)))
    if n_rotations > _MAX_ROTATIONS:
        raise ValueError(
            f"Argument `{prefix or 'n_'}steps` must keep the product formula to {_MAX_ROTATIONS} rotations, but "
            f"{n_steps} steps over {len(terms)} Pauli strings take {n_rotations}: take fewer, or another method."
        )
    return terms


def trotter(
    circuit: QuantumCircuit,
    terms: list[tuple[str, float]],
    time: float,
    *,
    order: int,
    n_steps: int,
    control: Qubit | None = None,
    symmetric: bool = False,
) -> None:
    """Append a product formula of exp(-i H t) on the first qubits, or of its controlled form.

    With a control and `symmetric`, each exp(-i c P dt) becomes exp(+i c P Z_c dt / 2), which is exp(-i c P dt / 2) for
    control 1 and its inverse for control 0. Without `symmetric`, a rotation by P alone goes along.
    """
    step = time / n_steps

    def turn(letters: str, angle: float) -> None:
        where = [(circuit.qubits[site], letter) for site, letter in enumerate(letters) if letter != "I"]
        if control is None:
            _pauli_rotation(circuit, where, angle)
            return
        _pauli_rotation(circuit, [*where, (control, "Z")], -angle / 2.0)
        if not symmetric:
            _pauli_rotation(circuit, where, angle / 2.0)

    for _ in range(n_steps):
        if order == 1:
            for letters, weight in terms:
                turn(letters, 2.0 * weight * step)
            continue
        for fraction in _fractions(order):
            for letters, weight in terms[:-1]:
                turn(letters, weight * fraction * step)
            turn(terms[-1][0], 2.0 * terms[-1][1] * fraction * step)
            for letters, weight in reversed(terms[:-1]):
                turn(letters, weight * fraction * step)


def _pauli_rotation(circuit: QuantumCircuit, where: list[tuple[Qubit, str]], angle: float) -> None:
    """Append exp(-i angle P / 2) for the Pauli string P given by its letters other than I."""
    if not where:
        circuit.global_phase -= angle / 2.0
        return
    qubits = [qubit for qubit, _ in where]
    for qubit, letter in where:
        if letter == "X":
            circuit.h(qubit)
        elif letter == "Y":
            circuit.sx(qubit)
    ladder = list(pairwise(qubits))
    for low, high in ladder:
        circuit.cx(low, high)
    circuit.rz(angle, qubits[-1])
    for low, high in reversed(ladder):
        circuit.cx(low, high)
    for qubit, letter in where:
        if letter == "X":
            circuit.h(qubit)
        elif letter == "Y":
            circuit.sxdg(qubit)
