"""Solve a linear system by HHL: matrix and right-hand side in, solution with a certified error out.

A x = b is made Hermitian and padded to 2^s rows, a filter f close to 1 / lambda is designed from bounds on the spectrum
alone, the circuit of Harrow, Hassidim and Lloyd applies f(A) to b, and the solution is read from the amplitudes (exact
backend) or sampled as expectation values (any other). By default no eigenvalue and no solution of the matrix enters the
circuit or the result; only `fidelity` compares with a classical solve.

What is classical here, said plainly: the bounds on the spectrum are found by some thirty Cholesky factorisations, the
powers exp(i A t 2^j) are dense matrix exponentials, and for gates these are factorised numerically, as every compiler
of a dense unitary does. Each of the three costs more than solving the system classically. The circuit itself is what a
quantum computer would run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit

from qmlphys import execution
from qmlphys.execution import backends
from qmlphys.stats import Estimate
from qmlphys.workflows import _linear_system_sampling as sampling
from qmlphys.workflows._linear_system_counts import counts_of, estimated_counts, fused
from qmlphys.workflows._linear_system_plan import (
    MAX_UNKNOWNS,
    MIN_ERROR,
    Method,
    Plan,
    check_options,
    check_shots,
    make_plan,
    system_of,
)
from qmlphys.workflows._linear_system_result import (
    Matrix,
    Solution,
    TooFewShotsError,
    advise,
    classical_solution,
    needed,
)

__all__ = ["MAX_UNKNOWNS", "MIN_ERROR", "Solution", "TooFewShotsError", "solve"]

_MAX_GATE_LEVEL = 16
"""Up to so many unknowns the circuit is simulated gate by gate; beyond, controlled powers are dense blocks."""


def solve(
    matrix: ArrayLike,
    rhs: ArrayLike,
    *,
    error: float = 1e-2,
    backend: str = "statevector",
    shots: int | None = None,
    observables: Sequence[Any] = (),
    rng: int | np.random.Generator | None = None,
    bounds: tuple[float, float] | None = None,
    max_condition: float = 100.0,
    n_clock: int | None = None,
    window: Literal["sine", "uniform"] = "sine",
    method: Method = "exponential",
) -> Solution:
    r"""Solve A x = b by the algorithm of Harrow, Hassidim and Lloyd, to a stated relative error.

    Parameters
    ----------
    matrix : array_like of float or complex, shape (n, n), n = 2 ... 64
        A: Hermitian or not, definite or not.
    rhs : array_like of float or complex, shape (n,)
        b, not zero.
    error : float
        On the exact backend the largest \|\|x - x*\|\| / \|\|x*\|\|, norm included, in [1e-6, 1). On a sampled backend
        the largest error of the norm (relative) and of each expectation (relative to the operator norm of the
        observable without its trace): one standard error plus the most that the circuit itself may be off.
    backend : str
        "statevector" (exact), or a sampled one: "aer", "fake_torino", ...
    shots : int, optional
        Shots in all, shared evenly by the circuits that measure different bases. Needed by sampled backends, refused by
        the exact one.
    observables : sequence
        Operators on the unknowns whose <x\|O\|x> / <x\|x> is wanted: Hermitian matrices of shape (n, n), Pauli strings
        of one character a bit of the unknown's index (leftmost character site 0, which has weight 1), or lists of
        (string, coefficient) pairs.
    rng : None, int or Generator
        Random numbers of sampled backends.
    bounds : (float, float), optional
        0 < low <= every singular value of A <= high. By default they are found by bisection, each within 0.2 %. An
        upper bound that does not hold is refused. A lower one is noticed on the exact backend only, by the residual,
        and only if b has a part there: a singular matrix with b in its range can be solved so.
    max_condition : float
        The largest ratio of the bounds that is accepted.
    n_clock : int, 2 ... 12, optional
        Number of clock qubits. By default the smallest that meets `error`.
    window : {"sine", "uniform"}
        The clock's initial amplitudes. "uniform" has fewer gates but needs several clock qubits more.
    method : {"exponential", "diagonalised"}
        "diagonalised" solves the eigenproblem classically to build cheaper circuits: a demonstration, not an algorithm.

    Returns
    -------
    Solution
        Frozen. On the exact backend with the solution vector, elsewhere with expectations and their errors.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit, the matrix is singular or too ill-conditioned, or the error cannot be met.
    TooFewShotsError
        If the shots cannot reach `error` in the best case (nothing was run then), or have not reached it (then
        ``result`` holds what was measured). ``n_shots`` is a number that would do.

    Notes
    -----
    The relative error is at most the largest \|theta f(theta) / scale - 1\| over the angles theta = sigma t that the
    bounds allow; f is a trigonometric polynomial of degree 2^n_clock - 1, so that this is certified between the points
    of a grid too, and no eigenvalue is needed. The table of flag rotations is not C / lambda_k but minimises that
    error: at condition number 100 and error 1 % 9 clock qubits do (8 for definite matrices), where the plain table
    takes 10 with a sine window and 12 with a uniform one. The norm is \|\|b\|\| sqrt(p) / scale with the success
    probability p; the solution's phase is that of the amplitudes.

    The error of an expectation from the circuit's own relative error e is at most 2 e times the operator norm; the
    filter is chosen so that it takes at most half of `error` on sampled backends, and shots have the rest.

    What can be asked for: at condition number 100 error 1e-4 (11 clock qubits), at 10 error 1e-6 (10 clock qubits).

    References
    ----------
    Harrow, Hassidim and Lloyd, Phys. Rev. Lett. 103, 150502 (2009).

    Examples
    --------
    >>> answer = solve([[2.0, 1.0], [-1.0, 1.0]], [1.0, 1.0], error=1e-3)
    >>> answer.solution.round(2).tolist(), answer.error_bound <= 1e-3
    ([0.0, 1.0], True)
    """
    a, b = system_of(matrix, rhs)
    check_options(error, max_condition, n_clock, window, method)
    target = backends.resolve(backend)
    exact = target.kind == "statevector"
    check_shots(shots, rng, backend, exact=exact)
    wanted = sampling.parse(observables, n_unknowns=len(a))
    plan = make_plan(
        a,
        b,
        # Shots share the error with the circuit: twice the filter's own error may enter an expectation.
        error=error if exact else error / 4,
        bounds=bounds,
        max_condition=max_condition,
        n_clock=n_clock,
        window=window,
        method=method,
        blocks=method == "exponential" and len(a) > _MAX_GATE_LEVEL and target.kind in ("statevector", "simulator"),
    )
    if exact:
        return _solve_exactly(a, b, plan, wanted, error=error, backend=backend)
    return _solve_by_sampling(
        a, b, plan, wanted, error=error, backend=backend, kind=target.kind, shots=int(shots or 0), rng=rng
    )


def _solve_exactly(
    a: Matrix, b: Matrix, plan: Plan, wanted: list[sampling.Observable], *, error: float, backend: str
) -> Solution:
    """Read the solution from the state vector."""
    circuit = plan.circuit()
    state = execution.statevector(fused(circuit))
    system, chosen = plan.system, plan.chosen
    selected = state.reshape(2, 2**chosen.n_clock, 2**system.n_system)[1, 0]
    x: Matrix = selected[system.offset : system.offset + len(a)] * plan.per_amplitude
    if not (np.iscomplexobj(a) or np.iscomplexobj(b)):
        x = x.real.copy()
    residual = float(np.linalg.norm(a @ x - b) / np.linalg.norm(b))
    # (1 - sigma f / scale) b is the residual, so the certificate bounds it as well; the rest is rounding.
    if not residual <= chosen.error * (1 + 1e-6) + 1e-9:
        raise ValueError(
            f"Argument `bounds` must enclose every singular value, but ({plan.bounds[0]:g}, "
            f"{plan.bounds[1]:g}) do not: the residual is {residual:.2g} where they promise {chosen.error:.2g}. Leave "
            "them out to have them found."
        )
    probability = float(np.linalg.norm(selected) ** 2)
    classical = classical_solution(a, b, plan.bounds)  # for the fidelity alone
    overlap = np.vdot(x, classical) / (np.linalg.norm(x) * np.linalg.norm(classical))
    unit = np.zeros(2 ** max(1, (len(a) - 1).bit_length()), dtype=np.complex128)
    unit[: len(a)] = x / np.linalg.norm(x)
    values = [Estimate(float((unit.conj() @ one.operator @ unit).real), 0.0) for one in wanted]
    n_two_qubit_gates, depth = estimated_counts(plan) if plan.blocks else counts_of([circuit])
    notes = []
    if plan.blocks:
        notes.append("Controlled powers were applied as dense blocks: gate counts and depth are estimates.")
    return _result(
        a,
        b,
        plan,
        wanted,
        solution=x,
        expectations=values,
        norm=Estimate(float(np.linalg.norm(x)), 0.0),
        probability=Estimate(probability, 0.0),
        residual=residual,
        fidelity=float(np.abs(overlap) ** 2),
        error=error,
        backend=backend,
        circuit=circuit,
        counts=(n_two_qubit_gates, depth),
        notes=notes,
    )


def _solve_by_sampling(
    a: Matrix,
    b: Matrix,
    plan: Plan,
    wanted: list[sampling.Observable],
    *,
    error: float,
    backend: str,
    kind: str,
    shots: int,
    rng: int | np.random.Generator | None,
) -> Solution:
    """Sample the post-selected state in the bases that the observables need."""
    chosen = plan.chosen
    groups = sampling.group(wanted, n_bits=max(1, (len(a) - 1).bit_length()))
    # An expectation may be off by twice the filter's error, the norm by once.
    room_norm, room_value = error - chosen.error, error - 2 * chosen.error
    _refuse_too_few(plan, shots, len(groups), room_norm)
    circuit = plan.circuit()
    circuits = [sampling.measured(circuit, basis) for basis, _ in groups]
    shots_each = shots // len(groups)
    ds = execution.run(circuits, backend, shots=shots_each, rng=rng, name="basis", units="1")
    spent = shots_each * len(groups)
    probability, values = sampling.estimate(ds, wanted, groups, dilated=plan.system.offset > 0)
    length = math.sqrt(probability.mean) * plan.per_amplitude
    relative = probability.error / (2 * probability.mean) if probability.mean else math.inf
    norm = Estimate(length, length * relative if probability.mean else math.nan, n_effective=probability.n_effective)
    notes = []
    if kind in ("fake", "ibm"):
        notes.append(
            "Error bars are statistical only: the device's noise shifts every number by more than they say. Compare "
            "with the classical values of `rows()`."
        )
    if plan.blocks:
        notes.append("Controlled powers were applied as dense blocks: gate counts and depth are estimates.")
        counts = estimated_counts(plan)
    elif kind in ("fake", "ibm"):
        counts = int(ds.attrs["n_two_qubit_gates"]), int(ds.attrs["depth"])  # as translated for the device
    else:
        counts = counts_of(circuits)
    result = _result(
        a,
        b,
        plan,
        wanted,
        solution=None,
        expectations=values,
        norm=norm,
        probability=probability,
        residual=math.nan,
        fidelity=math.nan,
        error=error,
        backend=backend,
        circuit=circuit,
        counts=counts,
        notes=notes,
        shots=spent,
        n_groups=len(groups),
    )
    _refuse_imprecise(result, wanted, plan, relative, room_norm, room_value)
    return result


def _least_probability(plan: Plan) -> float:
    """Return what the success probability surely is: |f| is smallest at the largest singular value."""
    return ((1 - plan.chosen.error) * plan.chosen.scale / plan.chosen.high) ** 2


def _refuse_too_few(plan: Plan, shots: int, n_groups: int, room: float) -> None:
    """Refuse shots that would not do even if b lay along the smallest singular value."""
    chosen = plan.chosen
    best = min(1.0, ((1 + chosen.error) * chosen.scale / chosen.low) ** 2)
    # Standard error of a norm: half that of the probability.
    least = max(math.ceil((1 - best) / (4 * best * room**2)), math.ceil(n_groups / best))
    if shots < least:
        # 10 % more, because the number of successes scatters.
        enough = needed(1.0, 1.0, max(least, n_groups))
        raise TooFewShotsError(
            f"Argument `shots` must be at least {least} to reach the error even in the best case (success probability "
            f"{best:.2g}, {n_groups} measured bases), but it is {shots}: take {enough} or more, or raise `error`.",
            n_shots=enough,
        )


def _refuse_imprecise(
    result: Solution,
    wanted: list[sampling.Observable],
    plan: Plan,
    relative: float,
    room_norm: float,
    room_value: float,
) -> None:
    """Refuse a result whose error is above the one asked for, and say how many shots would do."""
    shots = result.shots or 0
    worst = [("the norm", relative, room_norm)]
    for observable, value in zip(wanted, result.expectations, strict=True):
        if observable.spread:
            worst.append((f"<{observable.name}>", value.error / observable.spread, room_value))
    if any(not math.isfinite(found) for _, found, _ in worst):
        # Too few successes to judge by: the probability is known to be at least this, whatever b is.
        enough = needed(math.sqrt(result.n_groups / _least_probability(plan)), room_value, 1)
        raise TooFewShotsError(
            f"Argument `shots` must be larger, but {shots} gave no success in one of {result.n_groups} circuits: "
            f"{enough} would do in the worst case.",
            n_shots=enough,
            result=result,
        )
    name, found, room = max(worst, key=lambda one: one[1] / one[2])
    if found > room:
        enough = needed(found, room, shots)
        raise TooFewShotsError(
            f"Argument `shots` must be larger to reach error {result.error:g}, but {shots} gave {name} a relative "
            f"standard error of {found:.2g} where {room:.2g} is allowed: take {enough} or raise `error`. The result so "
            "far is in the exception's `result`.",
            n_shots=enough,
            result=result,
        )


def _result(
    a: Matrix,
    b: Matrix,
    plan: Plan,
    wanted: list[sampling.Observable],
    *,
    solution: Matrix | None,
    expectations: list[Estimate],
    norm: Estimate,
    probability: Estimate,
    residual: float,
    fidelity: float,
    error: float,
    backend: str,
    circuit: QuantumCircuit,
    counts: tuple[int, int],
    notes: list[str],
    shots: int | None = None,
    n_groups: int = 1,
) -> Solution:
    """Collect a result."""
    if plan.method == "diagonalised":
        notes.append("Demonstration: the eigenproblem was solved classically to build the circuit.")
    low, high = plan.bounds
    return Solution(
        matrix=a,
        rhs=b,
        solution=solution,
        expectations=tuple(expectations),
        norm=norm,
        success_probability=probability,
        residual=residual,
        fidelity=fidelity,
        error=error,
        error_bound=plan.chosen.error,
        bounds=plan.bounds,
        condition=high / low,
        scale=float(np.linalg.norm(b)) / plan.per_amplitude,
        n_qubits=circuit.num_qubits,
        n_clock=plan.chosen.n_clock,
        n_two_qubit_gates=counts[0],
        depth=counts[1],
        counts_are_estimates=plan.blocks,
        method=plan.method,
        window=plan.chosen.window,
        backend=backend,
        shots=shots,
        n_groups=n_groups,
        observables=tuple(one.name for one in wanted),
        notes=tuple(notes),
        advice=advise(
            len(a),
            complex_valued=np.iscomplexobj(a) or np.iscomplexobj(b),
            n_two_qubit_gates=counts[0],
            probability=probability.mean,
            error=error,
            estimated=plan.blocks,
        ),
        _operators=tuple(one.operator for one in wanted),
    )
