"""Fourier transforms of amplitudes: on any device, on a line, with measurement and feed-forward; phase estimation.

All forms keep the order of the project: qubit ``i`` has the weight ``2**i``, and the transform is

    |j>  ->  2^(-n/2) sum_k exp(+2 pi i j k / 2^n) |k>.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import Gate
from qiskit.circuit.exceptions import CircuitError
from qiskit.circuit.library import UnitaryGate
from qiskit.exceptions import QiskitError

from circuits._line_qft import line_qft
from circuits._rotations import angle, integer, leave_out, one_qubit_parts, tolerance
from circuits._semiclassical import semiclassical_qft

__all__ = ["line_qft", "phase_estimation", "qft", "semiclassical_qft"]

_MAX_QUBITS = 1024
_MAX_CLOCK = 30
_MAX_SYSTEM = 10
_MAX_REPEATS = 2**16


def qft(n: int, *, inverse: bool = False, swaps: bool = True, error: float = 0.0) -> QuantumCircuit:
    """The quantum Fourier transform.

    Parameters
    ----------
    n : int
        Number of qubits, 1 to 1024.
    inverse : bool
        The inverse transform, with exp(-2 pi i j k / 2^n).
    swaps : bool
        With swaps, input and output are in the natural order. Without, qubit m of the result holds the bit of k with
        weight 2^(n - 1 - m); the inverse then takes its input in that reversed order and gives the natural one.
    error : float
        Allowed error in the operator norm, >= 0. Controlled phases are left out, the smallest first, as long as the
        certified bound stays within it; the one-qubit part of each is kept, which makes the error four times smaller
        at no two-qubit gate.

    Returns
    -------
    QuantumCircuit
        With gates h, p, cp, swap. Its ``metadata`` holds ``error_bound`` (the certified bound on the operator norm of
        the difference, 0 for the exact transform), ``n_rotations`` (controlled phases kept) and
        ``n_rotations_left_out``.

    Raises
    ------
    TypeError, ValueError
        If `n` is no integer or out of range, or `error` is negative or not finite.

    References
    ----------
    Coppersmith, IBM Research Report RC 19642 (1994), arXiv:quant-ph/0201067; Barenco, Ekert, Suominen and Torma,
    Phys. Rev. A 54, 139 (1996). The bound is derived in `circuits._rotations.leave_out`.

    Examples
    --------
    >>> exact, approximate = qft(10), qft(10, error=0.1)
    >>> exact.count_ops()["cp"], approximate.count_ops()["cp"], approximate.metadata["error_bound"] <= 0.1
    (45, 34, True)
    """
    n = integer(n, "n", low=1, high=_MAX_QUBITS)
    omitted, bound = leave_out(n, tolerance(error))
    circuit = QuantumCircuit(n, name="qft")
    missing = one_qubit_parts(n, omitted)
    phase = 0.0
    for target in range(n - 1, -1, -1):
        circuit.h(target)
        if missing[target, 0]:
            circuit.p(missing[target, 0], target)
        for control in range(target - 1, -1, -1):
            if (target, control) in omitted:
                phase -= angle(target - control) / 4
            else:
                circuit.cp(angle(target - control), control, target)
        if target and missing[target - 1, 1]:
            circuit.p(missing[target - 1, 1], target - 1)
    circuit.global_phase = phase
    if swaps:
        for qubit in range(n // 2):
            circuit.swap(qubit, n - 1 - qubit)
    if inverse:
        circuit = circuit.inverse()
        circuit.name = "iqft"
    circuit.metadata = {
        "error_bound": bound,
        "n_rotations": n * (n - 1) // 2 - len(omitted),
        "n_rotations_left_out": len(omitted),
    }
    return circuit


def phase_estimation(
    unitary: ArrayLike | QuantumCircuit | Gate,
    n_clock: int,
    *,
    readout: Literal["coherent", "semiclassical"] = "coherent",
    error: float = 0.0,
) -> QuantumCircuit:
    """Phase estimation: the eigenphases of a unitary, as integers in a clock register.

    For U|u> = exp(2 pi i phi)|u>, system qubits in |u> and N = 2^n_clock, the clock holds k with the probability
    (sin(pi N d) / (N sin(pi d)))^2, where d = phi - k/N: it is N phi where that is an integer. Prepare the system by
    composing a circuit in front.

    Parameters
    ----------
    unitary : array_like, shape (2^s, 2^s), 1 <= s <= 10, or QuantumCircuit, or Gate
        The unitary. The powers of a matrix come from repeated squaring, each as one controlled unitary gate, which a
        transpiler must synthesise at about 4^(s + 1) CX; a circuit or gate is repeated under a control, which takes
        2^n_clock - 1 repetitions.
    n_clock : int
        Number of clock qubits: 1 to 30 for a matrix, 1 to 16 for a circuit.
    readout : {"coherent", "semiclassical"}
        The inverse Fourier transform of the clock: as a unitary, without a measurement, or with measurement and
        feed-forward (`semiclassical_qft`) into a classical register ``k``.
    error : float
        Allowed error of the inverse Fourier transform, as in `qft` and `semiclassical_qft`.

    Returns
    -------
    QuantumCircuit
        Registers ``system`` (s qubits) and ``clock`` (n_clock qubits, qubit i of weight 2^i; at the end they hold k if
        the read-out is coherent), and ``k`` if it is not. ``metadata`` holds ``error_bound`` of the transform.

    Raises
    ------
    TypeError, ValueError
        If the matrix is not square of 2^s rows, not finite or not unitary (to 1e-10 in any element of U^dagger U), the
        circuit is no unitary one or has unbound parameters, a number is out of range, or `readout` is not known.

    References
    ----------
    Kitaev, arXiv:quant-ph/9511026; Cleve, Ekert, Macchiavello and Mosca, Proc. R. Soc. Lond. A 454, 339 (1998).

    Examples
    --------
    >>> from qiskit.quantum_info import Statevector
    >>> circuit = phase_estimation([[1, 0], [0, np.exp(2j * np.pi * 5 / 16)]], 4)
    >>> one = QuantumCircuit(*circuit.qregs)
    >>> _ = one.x(0)  # the eigenvector with the phase 5/16
    >>> state = Statevector(circuit.compose(one, front=True))
    >>> state.probabilities_dict(range(1, 5), decimals=9)
    {np.str_('0101'): np.float64(1.0)}
    """
    if readout not in ("coherent", "semiclassical"):
        raise ValueError(f"Argument `readout` must be 'coherent' or 'semiclassical', but it is {readout!r}.")
    given = isinstance(unitary, (QuantumCircuit, Gate))
    n_clock = integer(n_clock, "n_clock", low=1, high=_MAX_REPEATS.bit_length() - 1 if given else _MAX_CLOCK)
    powers: list[Gate]
    if isinstance(unitary, (QuantumCircuit, Gate)):
        controlled = _gate_of(unitary).control(1)
        n_system = controlled.num_qubits - 1
        powers = [controlled] * n_clock
    else:
        matrix = _unitary_matrix(unitary)
        n_system = matrix.shape[0].bit_length() - 1
        powers = _controlled_squares(matrix, n_clock)
    transform = qft(n_clock, inverse=True, swaps=False, error=error) if readout == "coherent" else None
    system, clock = QuantumRegister(n_system, "system"), QuantumRegister(n_clock, "clock")
    circuit = QuantumCircuit(system, clock, name="phase_estimation")
    circuit.h(clock)
    for exponent, power in enumerate(powers):
        # The inverse transform without swaps takes its bits in reverse: no swap is needed anywhere.
        control = clock[n_clock - 1 - exponent if transform is not None else exponent]
        n_times = 2**exponent if given else 1
        # A matrix has its control in the last place (the block in the lower right), a controlled gate in the first.
        qubits = [control, *system] if given else [*system, control]
        for _ in range(n_times):
            circuit.append(power, qubits)
    if transform is None:
        transform = semiclassical_qft(n_clock, inverse=True, error=error)
        circuit.add_register(*transform.cregs)
        circuit.compose(transform, clock, transform.clbits, inplace=True)
    else:
        circuit.compose(transform, clock, inplace=True)
    circuit.metadata = {"error_bound": transform.metadata["error_bound"]}
    return circuit


def _gate_of(unitary: QuantumCircuit | Gate) -> Gate:
    """Return a circuit as a gate that can be controlled; refuse what is not unitary."""
    if unitary.num_qubits < 1:
        raise ValueError("Argument `unitary` must act on at least one qubit, but it acts on none.")
    if unitary.num_clbits:
        raise ValueError(
            "Argument `unitary` must be a unitary circuit, but it has classical bits: remove measurements."
        )
    parameters = unitary.parameters if isinstance(unitary, QuantumCircuit) else unitary.params
    if any(getattr(parameter, "parameters", None) for parameter in parameters):
        raise ValueError(
            "Argument `unitary` must have numbers for all its parameters: bind them with assign_parameters."
        )
    if isinstance(unitary, Gate):
        return unitary
    try:
        return unitary.to_gate()
    except (CircuitError, QiskitError) as problem:
        raise ValueError(f"Argument `unitary` must be a unitary circuit, but it is none: {problem.message}") from None


def _unitary_matrix(unitary: ArrayLike) -> NDArray[np.complex128]:
    """Return a matrix as complex numbers after checking that it is a unitary of qubits."""
    try:
        matrix = np.array(unitary, dtype=np.complex128)
    except (TypeError, ValueError):
        raise TypeError(
            f"Argument `unitary` must be a matrix, a QuantumCircuit or a Gate, but it is {type(unitary).__name__}."
        ) from None
    if (
        matrix.ndim != 2
        or matrix.shape[0] != matrix.shape[1]
        or matrix.shape[0] not in [2**s for s in range(1, _MAX_SYSTEM + 1)]
    ):
        raise ValueError(
            f"Argument `unitary` must have 2, 4, 8, ... or {2**_MAX_SYSTEM} rows and as many columns, "
            f"but its shape is {matrix.shape}."
        )
    if not np.isfinite(matrix).all():
        raise ValueError("Argument `unitary` must be finite, but it holds nan or inf.")
    deviation = float(np.abs(matrix.conj().T @ matrix - np.eye(len(matrix))).max())
    if deviation > 1e-10:
        raise ValueError(f"Argument `unitary` must be unitary, but U^dagger U differs from 1 by {deviation:.2g}.")
    return matrix


def _controlled_squares(matrix: NDArray[np.complex128], n_clock: int) -> list[Gate]:
    """Return controlled U, U^2, U^4, ...; the control is the last qubit."""
    size = len(matrix)
    gates: list[Gate] = []
    power = matrix
    for exponent in range(n_clock):
        # The nearest unitary (the polar factor): squaring doubles the distance from the unitary ones each time.
        left, _, right = np.linalg.svd(power)
        power = left @ right
        block = np.eye(2 * size, dtype=np.complex128)
        block[size:, size:] = power
        gates.append(UnitaryGate(block, label=f"U^{2**exponent}"))
        power = power @ power
    return gates
