"""The algorithm of Harrow, Hassidim and Lloyd (arXiv:0811.3171) as a circuit: |b> in, A^{-1} |b> out.

Site i is qubit i and has the weight 2**i. The registers are `system`, `clock` and `flag`, in this order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import Qubit
from qiskit.circuit.library import DiagonalGate, UnitaryGate

from circuits import _arguments, _estimation
from circuits._multiplexers import Complex, Real, flag_rotations
from circuits._product_formulas import METHODS, trotter_options
from circuits.state_preparation import schmidt, staircase

__all__ = ["clock_window", "hhl", "spectral_norm_bounds"]

_MAX_CLOCK = 14
_WINDOWS = ("uniform", "sine")

# How far, in grid spacings, an eigenvalue that is known may lie off the clock's grid and still count as on it.
_ON_GRID = 1e-9


def hhl(
    matrix: ArrayLike,
    vector: ArrayLike,
    *,
    n_clock: int,
    evolution: str = "exponential",
    time: float | None = None,
    window: str = "uniform",
    reciprocal: ArrayLike | None = None,
    trotter_order: int = 2,
    trotter_steps: int = 1,
) -> QuantumCircuit:
    r"""Solve A x = b: phase estimation, a flag turned by the reciprocal of the clock's value, phase estimation undone.

    With U = exp(+i A t) and N = 2**n_clock, the clock's value k in [-N/2, N/2), in two's complement, stands for the
    eigenvalue 2 pi k / (N t). An eigenvector with eigenvalue lambda gives the clock amplitudes

        alpha_k(lambda) = sum_j w_j exp(i j (lambda t - 2 pi k / N)) / sqrt(N)

    with the window w of `clock_window`. After the circuit the amplitudes with clock 0 and flag 1 are f(A) b / ||b||,

        f(lambda) = sum_k g_k abs(alpha_k(lambda))**2,

    with the flag amplitudes g_k of `reciprocal`. For a spectrum on the grid and the uniform window this is exactly
    scale * A^{-1} b / ||b||. Counts of CX and CZ together, all in (preparation of b, both phase estimations, flag),
    for generic complex matrices, as built, uniform window: exponential 84 (4 rows, 4 clock qubits) and 578 (8 rows, 6
    clock qubits), diagonalised on the grid 48 and 162.

    Parameters
    ----------
    matrix : array_like of float or complex, shape (2**s, 2**s), s = 1 to 7
        The Hermitian matrix A. For another matrix take the dilation [[0, A], [A^H, 0]]. A singular one is not refused,
        since no eigenvalue is asked for: k = 0 never raises the flag, so the null space is left out, as by the
        pseudo-inverse.
    vector : array_like of float or complex, shape (2**s,)
        The right-hand side b; its norm is divided out.
    n_clock : int, 2 to 14
        Number of clock qubits.
    evolution : {"exponential", "diagonalised", "trotter", "blocks"}
        How U is made. "exponential": from matrix exponentials; no eigenvalue of A is asked for. Synthesis of a
        controlled power demultiplexes two unitaries and thereby diagonalises *their* product; each power is
        synthesised on its own, and nothing is multiplied together across powers. "diagonalised": **a demonstration
        only**, since the eigenproblem is solved classically; where the spectrum lies on the grid, the flag is turned
        for the known eigenvalues alone. "trotter": product formulas over the Pauli strings of A; the power 2**k takes
        2**k times the steps, so that all powers belong to one effective A. "blocks": opaque `UnitaryGate` and
        `DiagonalGate`, for simulators; gate counts mean nothing then.
    time : float, optional
        t > 0, in inverse units of A. Without it, bounds of the spectral norm choose one at which nothing wraps.
    window : {"uniform", "sine"}
        The clock's first state: equal amplitudes, or sqrt(2/N) sin(pi (j + 1/2) / N), whose tails fall off with the
        fourth power of the distance instead of the second.
    reciprocal : array_like of float, shape (N,), optional
        Flag amplitudes g_k in [-1, 1], indexed by the unsigned value k mod N. Without it C / lambda_k, with C the
        largest that fits (the smallest known eigenvalue for "diagonalised" on the grid), and 0 for k = 0.
    trotter_order : {1, 2, 4, 6, 8}
        Order of the product formula; only "trotter" takes it.
    trotter_steps : int, 1 to 1000000
        Steps in the time t; only "trotter" takes it.

    Returns
    -------
    QuantumCircuit
        Registers `system` (s qubits), `clock` (n_clock) and `flag` (1) in this order: the solution is
        ``state.reshape(2, N, 2**s)[1, 0]``. Amplitudes with another clock or flag value carry no meaning.
        ``metadata``: "time"; "window"; "evolution"; "scale" (C above, None with a `reciprocal` of the caller's);
        "demonstration" (True for "diagonalised", which also stands in the name).

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, `matrix` is not Hermitian, or phases surely wrap at `time`.

    References
    ----------
    Harrow, Hassidim and Lloyd, arXiv:0811.3171; synthesis: Shende, Bullock and Markov, quant-ph/0406176.

    Examples
    --------
    >>> import numpy as np
    >>> from qiskit.quantum_info import Statevector
    >>> circuit = hhl([[1.5, 0.5], [0.5, 1.5]], [1.0, 0.0], n_clock=3, time=np.pi / 4)
    >>> found = Statevector(circuit).data.reshape(2, 8, 2)[1, 0] / circuit.metadata["scale"]
    >>> np.round(found.real, 12).tolist()
    [0.75, -0.25]
    """
    hamiltonian = _arguments.hermitian(matrix)
    n_rows = hamiltonian.shape[0]
    rhs = _arguments.state(vector, size=n_rows)
    _arguments.whole_number(n_clock, "n_clock", low=2, high=_MAX_CLOCK)
    _arguments.choice(evolution, "evolution", METHODS)
    _arguments.choice(window, "window", _WINDOWS)
    trotter_options(evolution, order=trotter_order, n_steps=trotter_steps, prefix="trotter_")
    time = _checked_time(hamiltonian, time, n_clock)
    n_values = 2**n_clock
    table = None if reciprocal is None else _checked_table(reciprocal, n_values)

    system = QuantumRegister(n_rows.bit_length() - 1, "system")
    clock, flag = QuantumRegister(n_clock, "clock"), QuantumRegister(1, "flag")
    circuit = QuantumCircuit(system, clock, flag)
    estimate = QuantumCircuit(system, clock)
    uniform = window == "uniform"
    # What comes before phase estimation: it is prepared together with |b>.
    first, first_matrix = QuantumCircuit(system), np.eye(n_rows, dtype=np.complex128)
    held: list[int] | None = None
    if evolution == "diagonalised":
        energies, vectors = np.linalg.eigh(hamiltonian)
        first, first_matrix = _estimation.diagonalised(estimate, energies, vectors, time, uniform=uniform)
        # Another window than the uniform one spreads eigenvalues on the grid as well.
        known = _known_values(energies, time, n_values)
        held = known if uniform else None
    elif evolution == "exponential":
        first, first_matrix = _estimation.exponential(estimate, hamiltonian, time, uniform=uniform)
    elif evolution == "trotter":
        _estimation.product_formula(estimate, hamiltonian, time, order=trotter_order, n_steps=trotter_steps)
    else:
        _estimation.blocks(estimate, hamiltonian, time)
    steps = None
    if table is None:
        table, steps = _reciprocals(n_values, held)

    prepared = _opaque_state if evolution == "blocks" else schmidt
    circuit.compose(prepared(first_matrix @ rhs), system, inplace=True)
    start = _window_circuit(n_clock, window)
    circuit.compose(start, clock, inplace=True)
    circuit.compose(estimate, [*system, *clock], inplace=True)
    # Without the swaps of the Fourier transform, bit i of the clock's value stands on qubit n_clock - 1 - i.
    bits = clock[::-1]
    if evolution == "blocks":
        _opaque_rotations(circuit, flag[0], bits, table)
    elif held is None:
        flag_rotations(circuit, flag[0], bits, table)
    else:
        flag_rotations(circuit, flag[0], bits, table[held], values=held)
    circuit.compose(estimate.inverse(), [*system, *clock], inplace=True)
    circuit.compose(start.inverse(), clock, inplace=True)
    circuit.compose(first.inverse(), system, inplace=True)
    demonstration = evolution == "diagonalised"
    circuit.name = "hhl_demonstration" if demonstration else "hhl"
    circuit.metadata = {
        "time": time,
        "window": window,
        "evolution": evolution,
        "scale": None if steps is None else steps * 2.0 * np.pi / (n_values * time),
        "demonstration": demonstration,
    }
    return circuit


def clock_window(n_clock: int, window: str = "uniform") -> Real:
    """Return the amplitudes w_j that the clock starts with.

    Parameters
    ----------
    n_clock : int, 1 to 14
        Number of clock qubits.
    window : {"uniform", "sine"}
        2**(-n/2), or sqrt(2/N) sin(pi (j + 1/2) / N) (Harrow, Hassidim and Lloyd, arXiv:0811.3171, eq. 3).

    Returns
    -------
    ndarray of float64, shape (2**n_clock,)
        Real amplitudes of norm 1.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> clock_window(2, "sine").round(4).tolist()
    [0.2706, 0.6533, 0.6533, 0.2706]
    """
    _arguments.whole_number(n_clock, "n_clock", low=1, high=_MAX_CLOCK)
    _arguments.choice(window, "window", _WINDOWS)
    n_values = 2**n_clock
    if window == "uniform":
        return np.full(n_values, n_values**-0.5)
    return np.asarray(np.sqrt(2.0 / n_values) * np.sin(np.pi * (np.arange(n_values) + 0.5) / n_values))


def spectral_norm_bounds(matrix: ArrayLike) -> tuple[float, float]:
    """Bound the spectral norm of a Hermitian matrix from both sides, without solving for an eigenvalue.

    The Frobenius norm F of A**32 lies between ||A||**32 and ||A||**32 sqrt(n), so F**(1/32) is at most 1.03 times (8
    rows) or 1.08 times (128 rows) the norm.

    Parameters
    ----------
    matrix : array_like of float or complex, shape (2**s, 2**s), s = 1 to 7
        A Hermitian matrix.

    Returns
    -------
    tuple of (float, float)
        A lower and an upper bound, in the units of the matrix.

    Raises
    ------
    TypeError, ValueError
        If `matrix` is not a finite, non-zero Hermitian matrix of 2, 4 ... 128 rows.

    Examples
    --------
    >>> lower, upper = spectral_norm_bounds([[3.0, 0.0], [0.0, -4.0]])
    >>> bool(lower <= 4.0 <= upper <= 1.02 * lower)
    True
    """
    return _norm_bounds(_arguments.hermitian(matrix))


def _norm_bounds(hamiltonian: Complex) -> tuple[float, float]:
    """Bound the spectral norm from the Frobenius norm of the power 32."""
    scale = float(np.linalg.norm(hamiltonian))
    power = hamiltonian / scale
    logarithm = np.log(scale)
    for doubling in range(1, 6):
        power = power @ power
        size = float(np.linalg.norm(power))
        power = power / size
        logarithm += np.log(size) / 2**doubling
    upper = float(np.exp(logarithm))
    return upper * float(hamiltonian.shape[0] ** (-0.5 / 32)), upper


def _checked_time(hamiltonian: Complex, time: float | None, n_clock: int) -> float:
    """Return the time of one tick of the clock: the one given if nothing surely wraps, or one at which nothing can."""
    lower, upper = _norm_bounds(hamiltonian)
    n_values = 2**n_clock
    if time is None:
        return 2.0 * np.pi * (n_values // 2 - 1) / (n_values * upper)
    time = _arguments.real_number(time, "time")
    if time <= 0.0:
        raise ValueError(f"Argument `time` must be positive, but it is {time}.")
    # Rounding of the bound itself: the power 32 of a matrix with norm 1.
    if lower * time > np.pi * (1.0 + 1e-9):
        raise ValueError(
            f"Argument `time` must be at most pi over the spectral norm, but it is {time:.6g} and the norm is at least "
            f"{lower:.6g}, so that phases would wrap: take {np.pi / upper:.6g} or leave it out."
        )
    return time


def _checked_table(reciprocal: ArrayLike, n_values: int) -> Real:
    """Return the table of flag amplitudes after checking its shape and range."""
    table = _arguments.numbers(reciprocal, "reciprocal")
    if table.shape != (n_values,):
        raise ValueError(
            f"Argument `reciprocal` must have shape ({n_values},), one amplitude a clock value, "
            f"but its shape is {table.shape}."
        )
    if np.any(table.imag) or float(np.abs(table).max()) > 1.0:
        bad = table[np.argmax(np.where(table.imag != 0.0, np.inf, np.abs(table)))]
        raise ValueError(f"Argument `reciprocal` must hold real numbers in [-1, 1], but it holds {bad}.")
    return np.asarray(table.real)


def _reciprocals(n_values: int, held: list[int] | None) -> tuple[Real, int]:
    """Return m / k for the signed clock values k, 0 for k = 0, with m the smallest abs(k) that the clock may hold."""
    values = np.fft.fftfreq(n_values, 1.0 / n_values)
    smallest = 1 if held is None else int(min(abs(values[k]) for k in held if k))
    table = np.zeros(n_values)
    # Values that are not held, and may be nearer to 0, get what they would not use.
    used = np.abs(values) >= smallest
    table[used] = smallest / values[used]
    return table, smallest


def _known_values(energies: Real, time: float, n_values: int) -> list[int] | None:
    """Return the unsigned clock values of a known spectrum if it lies on the grid, else None."""
    steps = energies * time * n_values / (2.0 * np.pi)
    if steps.max() >= n_values // 2 - _ON_GRID or steps.min() < -(n_values // 2) - _ON_GRID:
        raise ValueError(
            f"Argument `time` must keep all eigenvalues times it in [-pi, pi), but it is {time:.6g} and the products "
            f"reach from {float(energies.min() * time):.6g} to {float(energies.max() * time):.6g}: make it smaller."
        )
    rounded = np.rint(steps)
    if float(np.abs(steps - rounded).max()) > _ON_GRID or not np.any(rounded):
        return None
    return sorted({int(k) % n_values for k in rounded})


def _window_circuit(n_clock: int, window: str) -> QuantumCircuit:
    """Prepare the clock."""
    if window == "sine":
        return staircase(clock_window(n_clock, window).astype(np.complex128))
    circuit = QuantumCircuit(n_clock)
    circuit.h(range(n_clock))
    return circuit


def _opaque_state(state: Complex) -> QuantumCircuit:
    """Prepare a normalised vector by one opaque gate."""
    # A unitary with this first column: minus the reflection that takes |0> to minus it, once its first entry is
    # positive. Then the two are far from equal, and nothing cancels.
    phase = state[0] / abs(state[0]) if state[0] else 1.0
    normal = state / phase
    normal[0] += 1.0
    normal = normal / np.linalg.norm(normal)
    reflection = 2.0 * np.outer(normal, normal.conj()) - np.eye(state.size)
    circuit = QuantumCircuit(state.size.bit_length() - 1)
    circuit.append(UnitaryGate(phase * reflection, label="b"), circuit.qubits)
    return circuit


def _opaque_rotations(circuit: QuantumCircuit, flag: Qubit, bits: list[Qubit], amplitudes: Real) -> None:
    """Turn the flag by one diagonal gate between changes of basis: RY = (S H) RZ (S H)^H."""
    half = np.arcsin(amplitudes)
    circuit.sdg(flag)
    circuit.h(flag)
    circuit.append(DiagonalGate(np.exp(1j * np.concatenate([-half, half])).tolist()), [*bits, flag])
    circuit.h(flag)
    circuit.s(flag)
