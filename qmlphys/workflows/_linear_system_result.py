"""What `linear_system.solve` gives back, and the error that carries it when the shots were too few."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from qmlphys.report import Row
from qmlphys.stats import Estimate

__all__ = ["Solution", "TooFewShotsError", "advise", "classical_solution", "needed"]

Matrix = NDArray[np.float64] | NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Solution:
    r"""The solution of a linear system as a quantum computer gives it, and what it cost.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        The system's matrix A, as it was given.
    rhs : ndarray, shape (n,)
        Its right-hand side b.
    solution : ndarray, shape (n,), or None
        x with its norm and phase (exact backend); None where the state was sampled.
    expectations : tuple of Estimate
        <x|O|x> / <x|x> of each observable; with statistical errors where the state was sampled.
    norm : Estimate
        \\|\\|x\\|\\|, from the success probability.
    success_probability : Estimate
        Probability of clock = 0 and flag = 1.
    residual : float
        \\|\\|A x - b\\|\\| / \\|\\|b\\|\\|; nan where there is no solution vector.
    fidelity : float
        \\|<x|x*>\\|^2 of the normalised solution with the classical one, the only number here that a classical solution
        enters; nan where there is no solution vector.
    error : float
        The error asked for.
    error_bound : float
        Certified bound on \\|\\|x - x*\\|\\| / \\|\\|x*\\|\\| of the circuit without noise, from `bounds` alone.
    bounds : (float, float)
        Bounds on the singular values of A, which shaped the circuit.
    condition : float
        Their ratio: A's condition number is at most that.
    scale : float
        The post-selected amplitudes are `scale` times A^{-1} b / \\|\\|b\\|\\| (in units of 1 / A's units).
    n_qubits, n_clock : int
        Qubits of the circuit, and of the clock in it.
    n_two_qubit_gates, depth : int
        Of the circuit in CX and single-qubit gates, or as translated for the device; the larger if there are several.
    counts_are_estimates : bool
        Whether the two are estimated from what generic synthesis costs, because the controlled powers were applied as
        dense blocks.
    method : str
        "exponential", or "diagonalised", which is a demonstration: the eigenproblem was solved classically.
    window : str
        The clock's window.
    backend : str
        Where it ran.
    shots : int or None
        Shots spent in all; None on the exact backend.
    n_groups : int
        Circuits that were run: one for each group of Pauli strings that are measured together.
    observables : tuple of str
        What each of `expectations` is.
    notes : tuple of str
        What a reader must know to judge the numbers.
    advice : str
        Whether a classical solve is the better choice, with numbers.
    """

    matrix: Matrix
    rhs: Matrix
    solution: Matrix | None
    expectations: tuple[Estimate, ...]
    norm: Estimate
    success_probability: Estimate
    residual: float
    fidelity: float
    error: float
    error_bound: float
    bounds: tuple[float, float]
    condition: float
    scale: float
    n_qubits: int
    n_clock: int
    n_two_qubit_gates: int
    depth: int
    counts_are_estimates: bool
    method: str
    window: str
    backend: str
    shots: int | None
    n_groups: int
    observables: tuple[str, ...]
    notes: tuple[str, ...]
    advice: str
    _operators: tuple[NDArray[np.complex128], ...] = ()

    @property
    def demonstration(self) -> bool:
        """Whether the eigenproblem was solved classically to build the circuit."""
        return self.method == "diagonalised"

    def classical(self) -> Matrix:
        """Solve the system classically, for comparison; the result is computed here and enters nothing.

        Returns
        -------
        ndarray, shape (n,)
            See `classical_solution`.
        """
        return classical_solution(self.matrix, self.rhs, self.bounds)

    def rows(self, *, compare: bool = True) -> list[Row]:
        """Return the numbers as rows of a report.

        Parameters
        ----------
        compare : bool
            Put the values of a classical solve beside norm and expectations.

        Returns
        -------
        list of Row
            Norm, success probability, expectations, errors, costs.
        """
        reference = self.classical() if compare else None
        length = None if reference is None else float(np.linalg.norm(reference))
        circuit = f"HHL on {self.backend}"
        if self.demonstration:
            circuit = f"demonstration (diagonalised classically) on {self.backend}"
        against = circuit if reference is None else f"{circuit}; exact: classical solve"
        sampled = self.shots is not None
        rows = [
            Row("norm of the solution", self.norm.mean, self.norm.error if sampled else None, length, source=against)
        ]
        for place, (name, value) in enumerate(zip(self.observables, self.expectations, strict=True)):
            exact = None
            if reference is not None and length:
                padded = np.zeros(len(self._operators[place]), dtype=np.complex128)
                padded[: len(reference)] = reference / length
                exact = float((padded.conj() @ self._operators[place] @ padded).real)
            rows.append(Row(f"<{name}>", value.mean, value.error if sampled else None, exact, source=against))
        probability = self.success_probability
        rows.append(
            Row("success probability", probability.mean, probability.error if sampled else None, source=circuit)
        )
        if not sampled:
            rows.append(Row("residual", self.residual, source="||A x - b|| / ||b||"))
            rows.append(Row("fidelity with the classical solution", self.fidelity, source=against))
        counted = "estimate: dense blocks were applied" if self.counts_are_estimates else "counted"
        rows += [
            Row("bound on the relative error", self.error_bound, source="certificate from the bounds on the spectrum"),
            Row("condition number, at most", self.condition, source="ratio of the bounds"),
            Row("qubits", self.n_qubits, source=f"{self.n_clock} of them in the clock, {self.window} window"),
            Row("two-qubit gates", self.n_two_qubit_gates, source=counted),
            Row("depth", self.depth, source=counted),
        ]
        if sampled:
            rows.append(Row("shots", float(self.shots or 0), source=f"in {self.n_groups} circuits"))
        return rows

    def bars(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        r"""Return what a bar chart of the solution shows: \\|x_i\\| here and by a classical solve.

        Returns
        -------
        found, classical : ndarray of float, shape (n,)
            Moduli of the unknowns.

        Raises
        ------
        ValueError
            If the state was sampled, so that there is no solution vector.
        """
        if self.solution is None:
            raise ValueError(
                f"The solution vector must be known for a bar chart, but backend {self.backend!r} samples expectation "
                "values only: use backend='statevector'."
            )
        return np.abs(self.solution), np.abs(self.classical())


class TooFewShotsError(ValueError):
    """The shots cannot reach, or have not reached, the error that was asked for.

    Parameters
    ----------
    message : str
        What is the matter, in one sentence.
    n_shots : int
        The number of shots that would do, in all.
    result : Solution, optional
        What was measured all the same; None if nothing was run.
    """

    def __init__(self, message: str, *, n_shots: int, result: Solution | None = None) -> None:
        super().__init__(message)
        self.n_shots = n_shots
        self.result = result


def classical_solution(matrix: Matrix, rhs: Matrix, bounds: tuple[float, float]) -> Matrix:
    """Solve a system by least squares without the singular values below half of the lower bound.

    Inside its bounds that is the solution. Given bounds may leave out a null space that b has no part in: then it is
    the solution of smallest norm, as the circuit's is.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        A.
    rhs : ndarray, shape (n,)
        b.
    bounds : (float, float)
        Bounds on the singular values.

    Returns
    -------
    ndarray, shape (n,)
        The solution.
    """
    return cast("Matrix", np.linalg.lstsq(matrix, rhs, rcond=bounds[0] / bounds[1] / 2)[0])


# Where users find them.
Solution.__module__ = TooFewShotsError.__module__ = "qmlphys.workflows.linear_system"


def advise(
    n_unknowns: int, *, complex_valued: bool, n_two_qubit_gates: int, probability: float, error: float, estimated: bool
) -> str:
    """Say whether to solve classically instead, with numbers.

    Parameters
    ----------
    n_unknowns : int
        Size of the system.
    complex_valued : bool
        Whether its numbers are complex: four times the operations.
    n_two_qubit_gates : int
        Of one run of the circuit.
    probability : float
        That a run succeeds; nan if unknown.
    error : float
        Relative error wanted.
    estimated : bool
        Whether the gates are an estimate.

    Returns
    -------
    str
        One sentence.

    Examples
    --------
    >>> advise(4, complex_valued=False, n_two_qubit_gates=150, probability=0.25, error=0.01, estimated=False)
    'Solve this system classically: LU takes about 75 floating-point operations, while each run of this circuit takes
    150 two-qubit gates, succeeds with probability 0.25, and reading out all 4 unknowns to 0.01 takes about 1.6e+05
    runs.'
    """
    flops = (4 if complex_valued else 1) * (2 * n_unknowns**3 / 3 + 2 * n_unknowns**2)
    gates = f"{'about ' if estimated else ''}{n_two_qubit_gates}"
    if probability > 0:
        # Tomography of a pure state to a relative error takes about n / error^2 copies.
        runs = n_unknowns / error**2 / probability
        reading = (
            f"succeeds with probability {probability:.2g}, and reading out all {n_unknowns} unknowns to {error:g} "
        )
        reading += f"takes about {runs:.1e} runs"
    else:
        reading = "and none succeeded"
    size = f"{flops:.0f}" if flops < 1e4 else f"{flops:.1e}"
    return (
        f"Solve this system classically: LU takes about {size} floating-point operations, while each run of this "
        f"circuit takes {gates} two-qubit gates, {reading}."
    )


def needed(error: float, allowed: float, shots: int) -> int:
    """Return how many shots bring a statistical error down to what is allowed, with 20 % to spare, in two digits."""
    if not error > 0:
        return shots
    exact = 1.2 * shots * (error / allowed) ** 2
    power = 10 ** max(0, math.floor(math.log10(exact)) - 1)
    return max(1, math.ceil(exact / power) * power)
