"""The natural gradient of the energy: stochastic reconfiguration, minSR, and SPRING momentum.

With the weighted, centred derivatives X_i = sqrt(w_i) (O_i - <O>) and energies e_i = sqrt(w_i) (E_i - <E>) of samples
i, the step solves (X^H X + shift) d = X^H e in the space of parameters (stochastic reconfiguration), or takes
d = X^H (X X^H + shift)^-1 e from the space of samples (minSR): the same d, at whichever cost is lower.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from qmlphys.nqs._tangent_kernel import add_gram, mirror
from qmlphys.nqs.schedules import Schedule, as_schedule
from qmlphys.nqs.tangent import Tangent

__all__ = ["Direction", "NaturalGradient", "energy_gradient"]

# Bytes of Jacobian rows in one piece, where stochastic reconfiguration builds them.
_JACOBIAN_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class Direction:
    """A step: parameters <- parameters - step_size * delta.

    Attributes
    ----------
    delta : Tensor of float64 or complex128, shape (n_parameters,)
        The direction, after clipping.
    length : float
        |X delta|: the length in the metric of quantum states, before clipping; to first order the state turns by
        step_size * length radians.
    clipped : bool
        Whether delta was shortened.
    method : {"sr", "minsr"}
        The space in which the equations were solved.
    solver : {"cholesky", "eigen"}
        "eigen" where the matrix was singular to working precision: its eigenvalues below the cut-off were left out.
    rank : int
        Eigenvalues that were kept; with "cholesky", all.
    shift : float
        The diagonal shift.
    condition : float
        Condition number of the shifted matrix, with "cholesky" a lower bound of it from the factor's diagonal.
    """

    delta: Tensor
    length: float
    clipped: bool
    method: Literal["sr", "minsr"]
    solver: Literal["cholesky", "eigen"]
    rank: int
    shift: float
    condition: float


@dataclass(frozen=True)
class NaturalGradient:
    """How a step is computed from samples.

    Sorella, Phys. Rev. Lett. 80, 4558 (1998) (stochastic reconfiguration); Chen and Heyl, Nat. Phys. 20, 1476 (2024),
    and Rende et al., Commun. Phys. 7, 260 (2024) (minSR); Goldshlager, Abrahamsen and Lin, J. Comput. Phys. 516,
    113351 (2024) (SPRING).

    Parameters
    ----------
    method : {"auto", "sr", "minsr"}
        The space in which the equations are solved; "auto" takes the cheaper one.
    diagonal_shift : float or Schedule, keyword
        lambda >= 0, added to the diagonal of X^H X (or X X^H). At 0 the pseudo-inverse is taken.
    momentum : float, keyword
        mu in [0, 1) of SPRING: d = X^H (X X^H + lambda)^-1 (e - mu X d') + mu d', where d' is the previous direction.
    clip : float or None, keyword
        Longest |X delta|; longer directions are shortened to it. None clips nothing.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import RBM
    >>> spins = torch.tensor([[1, 1, 1], [1, -1, 1], [-1, -1, 1]])
    >>> tangent, weights = Tangent(RBM(3, alpha=1, rng=1), spins), torch.full((3,), 1 / 3, dtype=torch.float64)
    >>> energies = torch.tensor([-1.0, -2.0, 0.5], dtype=torch.complex128)
    >>> direction = NaturalGradient(diagonal_shift=1e-2).direction(tangent, energies, weights)
    >>> direction.method, direction.solver, tuple(direction.delta.shape)
    ('minsr', 'cholesky', (15,))
    """

    method: Literal["auto", "sr", "minsr"] = "auto"
    _: KW_ONLY
    diagonal_shift: float | Schedule = 1e-3
    momentum: float = 0.0
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.method not in ("auto", "sr", "minsr"):
            raise ValueError(f"Argument `method` must be 'auto', 'sr' or 'minsr', but it is {self.method!r}.")
        as_schedule(self.diagonal_shift, name="diagonal_shift")
        if isinstance(self.momentum, bool) or not isinstance(self.momentum, float | int) or not 0 <= self.momentum < 1:
            raise ValueError(f"Argument `momentum` must be at least 0 and less than 1, but it is {self.momentum!r}.")
        if self.clip is not None and (
            isinstance(self.clip, bool) or not isinstance(self.clip, float | int) or not self.clip > 0
        ):
            raise ValueError(f"Argument `clip` must be greater than 0 or None, but it is {self.clip!r}.")

    def direction(
        self,
        tangent: Tangent,
        local_energies: Tensor,
        weights: Tensor,
        *,
        step: int = 0,
        previous: Tensor | None = None,
    ) -> Direction:
        """Return the direction of steepest ascent of the energy in the metric of quantum states.

        Parameters
        ----------
        tangent : Tangent
            At n samples.
        local_energies : Tensor of complex128 or float64, shape (n,)
            Of the same samples.
        weights : Tensor of float64, shape (n,)
            At least 0, with sum 1; 1/n each for samples of |psi|^2.
        step : int, keyword
            Counted from 0, for the schedule of the shift.
        previous : Tensor, shape (n_parameters,), optional, keyword
            `delta` of the last step, for the momentum; None at the first one.

        Returns
        -------
        Direction
            With this `delta`.

        Raises
        ------
        ValueError
            If the shapes do not fit, or an energy or a weight is not what it must be.
        FloatingPointError
            If derivatives of log psi are infinite or not numbers.
        """
        _check_samples(tangent, local_energies, weights)
        shift = as_schedule(self.diagonal_shift)(step)
        centred = _Centred(tangent, weights)
        target = centred.energies(local_energies)
        right = target
        carried = None
        if self.momentum and previous is not None:
            if previous.shape != (tangent.n_parameters,):
                raise ValueError(
                    f"Argument `previous` must have shape ({tangent.n_parameters},), but it is {tuple(previous.shape)}."
                )
            carried = self.momentum * previous.to(tangent.parameter_dtype)
            right = target - centred.apply(carried)
        method = self._cheaper(tangent) if self.method == "auto" else self.method
        if method == "minsr":
            solution = _solve(tangent.kernel(weights), right, shift)
            delta = centred.adjoint(solution.vector)
        else:
            matrix, active = centred.metric()
            solution = _solve(matrix, centred.adjoint(right)[active], shift)
            delta = torch.zeros(tangent.n_parameters, dtype=matrix.dtype, device=matrix.device)
            delta[active] = solution.vector
        if carried is not None:
            delta += carried
        # With an exact solution c, X delta = X X^H c + mu X d' = e - lambda c.
        exact = method == "minsr" and solution.solver == "cholesky"
        length = float((target - shift * solution.vector if exact else centred.apply(delta)).norm())
        clipped = self.clip is not None and length > self.clip
        if self.clip is not None and clipped:
            delta *= self.clip / length
        return Direction(delta, length, clipped, method, solution.solver, solution.rank, shift, solution.condition)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a dictionary that JSON can hold; `from_dict` reads it back."""
        shift = self.diagonal_shift
        return {
            "method": self.method,
            "diagonal_shift": shift.to_dict() if isinstance(shift, Schedule) else shift,
            "momentum": self.momentum,
            "clip": self.clip,
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> NaturalGradient:
        """Make the settings that a dictionary of `to_dict` describes.

        Raises
        ------
        ValueError
            If the dictionary describes none.
        """
        names = ["clip", "diagonal_shift", "method", "momentum"]
        if not isinstance(values, Mapping) or sorted(values) != names:
            raise ValueError(f"Argument `values` must have the keys {names}, but it is {values!r}.")
        shift = values["diagonal_shift"]
        rest = {**values, "diagonal_shift": Schedule.from_dict(shift) if isinstance(shift, Mapping) else shift}
        return NaturalGradient(**rest)

    @staticmethod
    def _cheaper(tangent: Tangent) -> Literal["sr", "minsr"]:
        """Compare multiplications: those of the matrix and a third of its cube for the factorisation."""
        rows, columns = tangent.n_rows, len(tangent.active)
        in_samples = rows**2 * tangent.kernel_cost + rows**3 // 3
        in_parameters = rows * columns**2 + columns**3 // 3
        return "sr" if in_parameters < in_samples else "minsr"


def energy_gradient(tangent: Tangent, local_energies: Tensor, weights: Tensor) -> Tensor:
    """Return the gradient of the energy by the parameters.

    It is 2 <O* (E_loc - <E>)>, its real part where the parameters are real; dE/d Re p + i dE/d Im p of complex ones.
    Carleo and Troyer, Science 355, 602 (2017), supplementary text: twice their forces.

    Parameters
    ----------
    tangent, local_energies, weights
        As for `NaturalGradient.direction`.

    Returns
    -------
    Tensor of float64 or complex128, shape (n_parameters,)
        Energy a unit of each parameter.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import RBM
    >>> tangent = Tangent(RBM(3, alpha=1, rng=1), torch.tensor([[1, 1, 1], [1, -1, 1]]))
    >>> weights = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> energy_gradient(tangent, torch.tensor([-1.0, -1.0], dtype=torch.complex128), weights).norm()
    tensor(0., dtype=torch.float64)
    """
    _check_samples(tangent, local_energies, weights)
    centred = _Centred(tangent, weights)
    return 2.0 * centred.adjoint(centred.energies(local_energies))


class _Centred:
    """X as an operator on parameters; its rows are those of `Tangent.kernel`."""

    def __init__(self, tangent: Tangent, weights: Tensor) -> None:
        self.tangent, self.weights, self.root = tangent, weights, weights.sqrt()

    def energies(self, local_energies: Tensor) -> Tensor:
        """Return e, shape (n_rows,)."""
        local_energies = local_energies.to(torch.complex128)
        return self._rows(self.root * (local_energies - (self.weights * local_energies).sum()))

    def _rows(self, values: Tensor) -> Tensor:
        """From one complex number a sample to the rows of X."""
        if self.tangent.derivative == "real":
            return values.real if values.is_complex() else values
        return torch.cat([values.real, values.imag]) if self.tangent.derivative == "complex" else values

    def apply(self, vector: Tensor) -> Tensor:
        """Return X v, shape (n_rows,)."""
        change = self.tangent.apply(vector)
        return self._rows(self.root * (change - (self.weights * change).sum()))

    def adjoint(self, rows: Tensor) -> Tensor:
        """Return X^H c, shape (n_parameters,)."""
        if self.tangent.derivative == "complex":
            rows = torch.complex(*rows.chunk(2))
        scaled = self.root * rows
        return self.tangent.adjoint(scaled - self.weights * scaled.sum())

    def metric(self) -> tuple[Tensor, Tensor]:
        """Return X^H X without the parameters that nothing depends on, and the places of the others."""
        tangent = self.tangent
        active = tangent.active
        matrix = torch.zeros(len(active), len(active), dtype=tangent.parameter_dtype, device=active.device)
        mean = tangent.mean(self.weights)
        step = max(1, _JACOBIAN_BYTES // (16 * tangent.n_parameters))
        for first in range(0, tangent.n_samples, step):
            piece = slice(first, first + step)
            rows = ((tangent.jacobian(piece) - mean) * self.root[piece, None])[:, active]
            for part in [rows.real, rows.imag] if tangent.derivative == "complex" else [rows]:
                add_gram(matrix, part.contiguous().mH)
        mirror(matrix)
        return matrix, active


@dataclass(frozen=True, eq=False)
class _Solution:
    vector: Tensor
    solver: Literal["cholesky", "eigen"]
    rank: int
    condition: float


def _solve(matrix: Tensor, right: Tensor, shift: float) -> _Solution:
    """Solve (matrix + shift) x = right for a positive semi-definite matrix, which is overwritten."""
    diagonal = matrix.diagonal()
    diagonal += shift
    if not torch.isfinite(diagonal).all():
        raise FloatingPointError("The derivatives of log psi must be finite, but at some samples they are not.")
    noise = 10 * len(matrix) * torch.finfo(torch.float64).eps  # of eigenvalues, relative to the largest
    factor, info = torch.linalg.cholesky_ex(matrix)
    if not int(info):
        pivots = factor.diagonal().real.square()
        condition = float(pivots.max() / pivots.min())
        if condition * noise < 1:
            return _Solution(torch.cholesky_solve(right[:, None], factor)[:, 0], "cholesky", len(matrix), condition)
    values, vectors = torch.linalg.eigh(matrix)
    kept = values > noise * max(float(values[-1]), 0.0)
    if not kept.any():  # no parameter changes the state
        return _Solution(torch.zeros_like(right), "eigen", 0, float("inf"))
    values, vectors = values[kept], vectors[:, kept]
    solution = vectors @ ((vectors.mH @ right) / values)
    return _Solution(solution, "eigen", len(values), float(values[-1] / values[0]))


def _check_samples(tangent: Tangent, local_energies: Tensor, weights: Tensor) -> None:
    n = tangent.n_samples
    for name, values in (("local_energies", local_energies), ("weights", weights)):
        if values.shape != (n,):
            raise ValueError(
                f"Argument `{name}` must have shape ({n},), one number a sample, but it is {tuple(values.shape)}."
            )
        bad = ~torch.isfinite(values)
        if bad.any():
            where = int(bad.nonzero()[0])
            raise ValueError(f"Argument `{name}` must be finite, but that of sample {where} is {values[where].item()}.")
    if bool((weights < 0).any()) or abs(float(weights.sum()) - 1.0) > 1e-9:
        raise ValueError(
            f"Argument `weights` must be at least 0 and have the sum 1, but the least is {float(weights.min()):g} "
            f"and the sum {float(weights.sum()):g}."
        )
