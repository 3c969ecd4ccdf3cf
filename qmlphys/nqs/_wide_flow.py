"""Training with a fixed tangent kernel, solved. Public through `qmlphys.nqs.neural_tangent`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys.nqs._wide_cosnet import positive_number

__all__ = ["LinearFlow", "linear_flow"]


class LinearFlow:
    """The dynamics d delta / dt = -eta (Theta delta + Phi delta*) of a residual, by its eigenmodes.

    This is gradient flow of sum |psi - target|^2 where psi is linear in real parameters: Theta = sum d psi d psi* and
    Phi = sum d psi d psi stay what they are.

    Parameters
    ----------
    theta : array_like of float64 or complex128, shape (n, n)
        Hermitian, not negative.
    phi : array_like, shape (n, n), optional
        Symmetric; None for 0.

    Attributes
    ----------
    rates : ndarray of float64, shape (n,) or (2n,)
        Eigenvalues, rising: mode k of the residual decays as exp(-eta rates[k] t). With `phi` the real and the
        imaginary part of the residual are coordinates of their own, and there are 2n.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the matrices have not the symmetry.

    Examples
    --------
    >>> flow = LinearFlow([[2.0, 1.0], [1.0, 2.0]])
    >>> flow.rates.round(12).tolist(), round(float(flow.losses([0.5, 0.5], [1.0])[0]), 6)
    ([1.0, 3.0], 0.001239)
    """

    rates: NDArray[np.float64]

    def __init__(self, theta: ArrayLike, phi: ArrayLike | None = None) -> None:
        kernel = _square("theta", theta)
        _require("theta", "Hermitian", kernel, kernel.conj().T)
        self._n = len(kernel)
        if phi is None:
            self._kind, blocks = "complex", [kernel]
        else:
            other = _square("phi", phi)
            if other.shape != kernel.shape:
                raise ValueError(f"Argument `phi` must have the shape {kernel.shape}, but it is {other.shape}.")
            _require("phi", "symmetric", other, other.T)
            plus, minus = kernel + other, kernel - other
            if plus.imag.any() or minus.imag.any():
                blocks = [np.block([[plus.real, -minus.imag], [plus.imag, minus.real]])]
                self._kind = "joined"
            else:
                self._kind, blocks = "parts", [plus.real, minus.real]
        self._modes = [np.linalg.eigh(block) for block in blocks]
        self.rates = np.sort(np.concatenate([rates for rates, _ in self._modes]))

    def weights(self, residual: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the rate of every mode and the part of |residual|^2 that lies in it, by rising rate."""
        rates = np.concatenate([rates for rates, _ in self._modes])
        weights = np.concatenate([np.abs(c) ** 2 for c in self._coefficients(residual)])
        order = np.argsort(rates, kind="stable")
        return rates[order], weights[order]

    def losses(self, residual: ArrayLike, times: ArrayLike, *, step: float | None = None) -> NDArray[np.float64]:
        """Return sum |delta|^2 at times.

        Parameters
        ----------
        residual : array_like, shape (n,)
            delta at time 0: psi - target.
        times : array_like, shape (n_times,)
            eta t, at least 0; numbers of steps where `step` is given.
        step : float, optional, keyword
            Gradient descent in steps of this eta in place of the flow: each mode has the factor (1 - eta rate)^k.
        """
        rates, weights = self.weights(residual)
        return np.array([(_factor(rates, time, step) ** 2 * weights).sum() for time in _times(times)])

    def residuals(self, residual: ArrayLike, times: ArrayLike, *, step: float | None = None) -> NDArray[Any]:
        """Return delta at times, shape (n_times, n); arguments as of `losses`."""
        coefficients = self._coefficients(residual)
        rows = []
        for time in _times(times):
            parts = [
                vectors @ (_factor(rates, time, step) * c)
                for (rates, vectors), c in zip(self._modes, coefficients, strict=True)
            ]
            if self._kind == "complex":
                rows.append(parts[0])
            else:
                real, imaginary = parts if self._kind == "parts" else np.split(parts[0], 2)
                rows.append(real + 1j * imaginary)
        return np.array(rows)

    def time_to(self, loss: float, residual: ArrayLike) -> float:
        """Return eta t at which sum |delta|^2 has fallen to `loss`; inf if it never does.

        Parameters
        ----------
        loss : float
            Positive.
        residual : array_like, shape (n,)
            delta at time 0.
        """
        loss = positive_number("loss", loss)
        rates, weights = self.weights(residual)
        noise = np.finfo(np.float64).eps * rates[-1] * len(rates)
        if weights[rates <= noise].sum() >= loss:  # modes that no parameter moves
            return float("inf")
        if weights.sum() <= loss:
            return 0.0
        below, above = 0.0, 1 / rates[-1]
        while (np.exp(-2 * rates * above) * weights).sum() > loss:
            below, above = above, 2 * above
        for _ in range(80):
            middle = (below + above) / 2
            inside = (np.exp(-2 * rates * middle) * weights).sum() > loss
            below, above = (middle, above) if inside else (below, middle)
        return (below + above) / 2

    def _coefficients(self, residual: ArrayLike) -> list[NDArray[Any]]:
        delta = np.asarray(residual)
        if delta.shape != (self._n,) or not np.isfinite(delta).all():
            raise ValueError(
                f"Argument `residual` must hold {self._n} finite numbers, one a string, but its shape is {delta.shape}."
            )
        if self._kind == "complex":
            parts = [delta]
        elif self._kind == "parts":
            parts = [delta.real, delta.imag]
        else:
            parts = [np.concatenate([delta.real, delta.imag])]
        return [vectors.conj().T @ part for (_, vectors), part in zip(self._modes, parts, strict=True)]


def linear_flow(
    theta: ArrayLike,
    initial: ArrayLike,
    *,
    target: ArrayLike,
    times: ArrayLike,
    rate: float = 1.0,
    phi: ArrayLike | None = None,
) -> NDArray[Any]:
    """Return psi(t) = target + exp(-eta Theta t) (psi(0) - target).

    Parameters
    ----------
    theta : array_like, shape (n, n)
        Tangent kernel, Hermitian.
    initial, target : array_like, shape (n,)
        psi(0), and the state that is learned.
    times : array_like, shape (n_times,)
        t >= 0.
    rate : float, keyword
        eta, positive.
    phi : array_like, shape (n, n), optional, keyword
        The other kernel, symmetric; None for 0.

    Returns
    -------
    ndarray, shape (n_times, n)
        The states.

    Raises
    ------
    ValueError
        If shapes do not fit, the kernels have not the symmetry, or a time or the rate is negative.

    Notes
    -----
    Luo and Halverson, arXiv:2112.00723: d psi / dt = -eta (Theta dL/dpsi* + Phi dL/dpsi) with L = sum |psi - target|^2.

    Examples
    --------
    >>> linear_flow([[2.0]], [0.0], target=[1.0], times=[0.0, 0.5]).round(6).tolist()
    [[0.0], [0.632121]]
    """
    start, aim = np.asarray(initial), np.asarray(target)
    if start.shape != aim.shape:
        raise ValueError(f"Argument `target` must have the shape {start.shape} of `initial`, but it is {aim.shape}.")
    rate = positive_number("rate", rate)
    return aim + LinearFlow(theta, phi).residuals(start - aim, rate * _times(times))


def _factor(rates: NDArray[np.float64], time: float, step: float | None) -> NDArray[np.float64]:
    return np.exp(-rates * time) if step is None else (1 - step * rates) ** time


def _times(times: ArrayLike) -> NDArray[np.float64]:
    values = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("Argument `times` must hold finite numbers of at least 0 along one axis.")
    return values


def _square(name: str, matrix: ArrayLike) -> NDArray[Any]:
    found = np.asarray(matrix)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not len(found):
        raise ValueError(f"Argument `{name}` must be a square matrix, but its shape is {found.shape}.")
    if not np.isfinite(found).all():
        raise ValueError(f"Argument `{name}` must be finite.")
    return found.real if np.iscomplexobj(found) and not found.imag.any() else found


def _require(name: str, word: str, matrix: NDArray[Any], image: NDArray[Any]) -> None:
    if np.abs(matrix - image).max() > 1e-10 * max(np.abs(matrix).max(), 1e-300):
        raise ValueError(f"Argument `{name}` must be {word}, but it is not.")
