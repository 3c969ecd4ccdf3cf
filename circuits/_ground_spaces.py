"""Parent Hamiltonians on the way to a generative model, and how phase estimation tells their ground states apart.

With |Q_t> the state after t filters, H_t its parent Hamiltonian and P_t the projector onto |Q_t>: from |Q_{t-1}> the
measurement of P_t succeeds with the chance p = |<Q_t|Q_{t-1}>|^2. What a failure leaves lies in the plane of the two
states, as long as nothing but "ground state or not" is learned, and the measurement of P_{t-1} then leads back to
|Q_{t-1}> or to the state of the plane orthogonal to it: from both P_t is tried again. This is how Schwarz, Temme and
Verstraete grow tensor-network states (Phys. Rev. Lett. 108, 110502 (2012)), on which the model's paper builds.

Phase estimation asks for the clock's value 0 only. The last Hadamard gates of the clock are then all of the Fourier
transform that matters, its rotations change no amplitude of 0; and with times of either sign, exp(-+ i E t 2^b / 2)
for bit b of the clock, an eigenvector of energy E passes with the real amplitude prod_b cos(E t 2^b / 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import polar

from circuits import _arguments
from circuits._filters import applied, checked_matrices, graph_vector, singular_parts
from circuits._graphs import Graph, checked_graph
from circuits._multiplexers import Complex, Real

__all__ = ["ProjectionSuccess", "projection_success"]

MAX_QUBITS = 5
MAX_CLOCK = 8
MAX_ATTEMPTS = 64

# The clock ticks for up to 2 pi / gap; with a smaller gap, phases of some 1e9 radians would lose half of their digits.
_MIN_GAP = 1e-4
# Times at which the passing amplitude is looked at before the best is taken.
_N_TIMES = 2048


class ProjectionSuccess(NamedTuple):
    """What the preparation by ground-state projection will do.

    Attributes
    ----------
    probability : float
        Chance that all flags are 0, with the clock that was given.
    fidelity : float
        <Q|rho|Q> of the state that those shots leave.
    ideal_probability : float
        The chance with perfect projectors, where the fidelity is 1.
    overlaps : ndarray of float64, shape (n_filters,)
        |<Q_t|Q_{t-1}>|^2, the chance of the first attempt at each filter with perfect projectors.
    gaps : ndarray of float64, shape (n_filters + 1,)
        Lowest excitation energy of H_0, H_1, ...
    times : ndarray of float64, shape (n_filters + 1,)
        The time of one tick of the clock for each of them.
    leaks : ndarray of float64, shape (n_filters + 1,)
        Largest chance that an excited state is taken for the ground state.
    """

    probability: float
    fidelity: float
    ideal_probability: float
    overlaps: Real
    gaps: Real
    times: Real
    leaks: Real


class Stage(NamedTuple):
    """A parent Hamiltonian on the way, and how phase estimation looks at it."""

    hamiltonian: Complex
    energies: Real
    vectors: Complex
    gap: float
    time: float
    leak: float
    ground: Complex


class Plan(NamedTuple):
    """All that circuit and prediction have in common."""

    n_qubits: int
    edges: list[tuple[int, int]]
    filtered: list[int]
    unitaries: Complex
    stages: list[Stage]


def projection_success(graph: Graph, matrices: ArrayLike, *, n_clock: int, max_attempts: int) -> ProjectionSuccess:
    """Predict how often `ground_state_projection` succeeds and which state it leaves, finite clock included.

    The density matrix is followed exactly through all attempts: a success multiplies it by f(H_t) on both sides, with
    f(E) = prod_b cos(E t 2^b / 2) over the bits b of the clock, and a failure by what the measured, uncomputed and
    reset clock leaves of it.

    Parameters
    ----------
    graph, matrices, n_clock, max_attempts
        As in `ground_state_projection`.

    Returns
    -------
    ProjectionSuccess
        Probability and fidelity, those of perfect projectors beside them, and what they come from.

    Raises
    ------
    TypeError, ValueError
        As in `ground_state_projection`.

    Examples
    --------
    >>> matrices = [[[1.0, 0.0], [0.0, 0.5]], [[1.0, 0.2], [0.2, 1.0]]]
    >>> success = projection_success((2, [(0, 1)]), matrices, n_clock=3, max_attempts=1)
    >>> round(success.probability, 4), round(success.ideal_probability, 4), success.overlaps.round(4).tolist()
    (0.882, 0.882, [0.9, 0.98])
    """
    plan = planned(graph, matrices, n_clock)
    _arguments.whole_number(max_attempts, "max_attempts", low=1, high=MAX_ATTEMPTS)
    return predicted(plan, n_clock, max_attempts)


def planned(graph: Graph, matrices: ArrayLike, n_clock: int) -> Plan:
    """Check the arguments and diagonalise the Hamiltonians on the way."""
    n_qubits, edges = checked_graph(graph)
    if n_qubits > MAX_QUBITS:
        raise ValueError(
            f"Argument `graph` must have at most {MAX_QUBITS} qubits for a projection onto ground states, but it has "
            f"{n_qubits}: use `generative_model`."
        )
    normalised = checked_matrices(matrices, n_qubits)
    _arguments.whole_number(n_clock, "n_clock", low=1, high=MAX_CLOCK)
    _, weak, _ = singular_parts(normalised)
    # A positive matrix keeps the overlap |<Q_t|Q_{t-1}>|^2 above 4 c / (1 + c)^2 for the condition number c
    # (Kantorovich); with the unitary left inside, the two states might be orthogonal.
    factors = [polar(matrix, side="right") for matrix in normalised]
    unitaries = np.stack([unitary for unitary, _ in factors])
    filtered = [qubit for qubit in range(n_qubits) if weak[qubit] < 1.0]
    put_in = np.broadcast_to(np.eye(2, dtype=np.complex128), (n_qubits, 2, 2)).copy()
    ground = graph_vector(n_qubits, edges)
    stages = [_staged(n_qubits, edges, put_in, ground, n_clock)]
    for qubit in filtered:
        put_in[qubit] = factors[qubit][1]
        ground = applied(ground, put_in[qubit], qubit)
        ground = ground / np.linalg.norm(ground)
        stages.append(_staged(n_qubits, edges, put_in, ground, n_clock))
    return Plan(n_qubits, edges, filtered, unitaries, stages)


def _staged(n_qubits: int, edges: list[tuple[int, int]], put_in: Complex, ground: Complex, n_clock: int) -> Stage:
    """Diagonalise a parent Hamiltonian and choose the time of a tick."""
    hamiltonian = parent(n_qubits, edges, put_in)
    energies, vectors = np.linalg.eigh(hamiltonian)
    if energies[1] < _MIN_GAP:
        raise ValueError(
            f"Argument `matrices` must leave the parent Hamiltonians a gap of at least {_MIN_GAP}, but it falls to "
            f"{energies[1]:.3g} as the matrices are put in: bound their condition numbers when the model is trained."
        )
    # The ground state is known without rounding; its energy is 0.
    energies = np.concatenate([[0.0], energies[1:]])
    time, leak = best_time(energies[1:], n_clock)
    return Stage(hamiltonian, energies, vectors, float(energies[1]), time, leak, ground)


def parent(n_qubits: int, edges: Sequence[tuple[int, int]], positive: Complex) -> Complex:
    """Return the parent Hamiltonian of positive matrices on a graph state: one projector of norm 1 a qubit.

    (1 - K_i) / 2 with the stabiliser K_i = X_i prod_j Z_j is zero on |G>. With M_S the product of the matrices on
    qubit i and its neighbours, the projector onto the range of M_S^{-H} (1 - K_i) / 2 is therefore zero on M|G>.
    """
    size = 2**n_qubits
    identity: Complex = np.eye(size, dtype=np.complex128)
    inverse: Complex = np.asarray(np.linalg.inv(positive), dtype=np.complex128).conj().transpose(0, 2, 1)
    total = np.zeros((size, size), dtype=np.complex128)
    index = np.arange(size)
    for centre in range(n_qubits):
        around = [a + b - centre for a, b in edges if centre in (a, b)]
        signs = 1.0 - 2.0 * (np.sum([(index >> other) & 1 for other in around], axis=0, dtype=np.int64) & 1)
        stabiliser = identity[index ^ (1 << centre)] * signs
        # Columns of M_S^{-H} (1 - K) / 2, of which half are independent: those with bit 0 at the centre.
        columns = ((identity - stabiliser) / 2.0)[:, ((index >> centre) & 1) == 0]
        columns = np.stack([_on_sites(inverse, [centre, *around], column) for column in columns.T], axis=1)
        basis, _ = np.linalg.qr(columns)
        total += basis @ basis.conj().T
    return np.asarray((total + total.conj().T) / 2.0)


def _on_sites(matrices: Complex, sites: Sequence[int], vector: Complex) -> Complex:
    """Return the vector with the matrices of some sites applied."""
    for site in sites:
        vector = applied(vector, matrices[site], site)
    return vector


def best_time(excited: Real, n_clock: int) -> tuple[float, float]:
    """Return the time of a tick with the least chance that an excited state passes, and that chance.

    The spectrum is known here. Up to 2 pi / gap all that a clock can do is seen: the passing amplitude has the period
    2 pi in the phase but for its sign. Times that put an energy on a zero of it are tried besides an even grid.
    """
    longest = 2.0 * np.pi / float(excited[0])
    zeros = 2.0 * np.pi * np.arange(1, 2**n_clock)[:, np.newaxis] / (2.0**n_clock * excited)
    times = np.unique(np.concatenate([longest * np.arange(1, _N_TIMES) / _N_TIMES, zeros[zeros < longest]]))
    leaks = np.max(passing(np.multiply.outer(times, excited), n_clock) ** 2, axis=1)
    # Of times that do equally well to rounding, the shortest.
    best = int(np.argmax(leaks <= leaks.min() + 1e-12))
    return float(times[best]), float(leaks[best])


def passing(phases: NDArray[np.float64], n_clock: int) -> Real:
    """Return the amplitude with which an eigenvector passes: its energy times the time of a tick in, prod cos out."""
    return np.asarray(np.prod([np.cos(phases * 2.0 ** (b - 1)) for b in range(n_clock)], axis=0))


def predicted(plan: Plan, n_clock: int, max_attempts: int) -> ProjectionSuccess:
    """Follow the density matrix through all attempts."""
    rho: Complex = np.outer(plan.stages[0].ground, plan.stages[0].ground.conj())
    overlaps: list[float] = []
    ideal = 1.0
    for before, after in zip(plan.stages, plan.stages[1:], strict=False):
        passes = (after.vectors * passing(after.energies * after.time, n_clock)) @ after.vectors.conj().T
        held, not_held = clock_states(before, n_clock)
        _, failed = clock_states(after, n_clock)
        failure, undo = failed @ failed.conj().T, held @ held.conj().T + not_held @ not_held.conj().T
        done = np.zeros_like(rho)
        for attempt in range(max_attempts):
            if attempt:
                rho = _damped(_damped(rho, after, failure), before, undo)
            done += passes @ rho @ passes.conj().T
        rho = done
        p = float(np.abs(np.vdot(after.ground, before.ground)) ** 2)
        # After a failure and its undoing the plane's two states come with the chances 1 - p and p.
        ideal *= 1.0 - (1.0 - p) * (1.0 - 2.0 * p * (1.0 - p)) ** (max_attempts - 1)
        overlaps.append(p)
    probability = float(np.trace(rho).real)
    last = plan.stages[-1].ground
    return ProjectionSuccess(
        probability,
        float(np.vdot(last, rho @ last).real) / probability,
        ideal,
        np.array(overlaps),
        np.array([stage.gap for stage in plan.stages]),
        np.array([stage.time for stage in plan.stages]),
        np.array([stage.leak for stage in plan.stages]),
    )


def clock_states(stage: Stage, n_clock: int) -> tuple[Complex, Complex]:
    """Return what the uncomputed clock holds after "0" and after "not 0" was found, one row an eigenvector."""
    n_values = 2**n_clock
    ticks = np.arange(n_values) - (n_values - 1) / 2.0
    signs = 1.0 - 2.0 * (np.bitwise_count(np.arange(n_values)[:, np.newaxis] & np.arange(n_values)) & 1)
    # <k|W|0>, W = Hadamard gates, a phase a tick, Hadamard gates; the matrix W is symmetric.
    amplitudes = np.exp(-1j * np.multiply.outer(stage.energies * stage.time, ticks)) @ signs / n_values
    held = amplitudes.conj() * amplitudes[:, :1]
    not_held = -held
    not_held[:, 0] += 1.0
    return held, not_held


def _damped(rho: Complex, stage: Stage, factors: Complex) -> Complex:
    """Multiply a density matrix, in a Hamiltonian's eigenbasis, element by element."""
    inner = stage.vectors.conj().T @ rho @ stage.vectors
    return np.asarray(stage.vectors @ (inner * factors) @ stage.vectors.conj().T)
