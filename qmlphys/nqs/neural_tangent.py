"""Quantum-state neural tangent kernels: of any network, of the infinite cosine network, and what they predict.

With real parameters p, Theta(x, y) = sum_p d psi(x) d psi(y)* and Phi(x, y) = sum_p d psi(x) d psi(y). Under gradient
flow of a loss L, d psi / dt = -eta (Theta dL/dpsi* + Phi dL/dpsi): Luo and Halverson, arXiv:2112.00723.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from qmlphys._arguments import whole_number
from qmlphys.nqs._wide_cosnet import CosNetParameters, TangentCosNet, positive_number
from qmlphys.nqs._wide_domain import StringSet, as_strings
from qmlphys.nqs._wide_flow import LinearFlow, linear_flow
from qmlphys.nqs._wide_training import SupervisedTraining, train_supervised

__all__ = [
    "CosNetParameters",
    "LinearFlow",
    "StringSet",
    "SupervisedTraining",
    "TangentCosNet",
    "cosnet_tangent_kernel",
    "linear_flow",
    "tangent_kernels",
    "train_supervised",
]

_BYTES = 2**28  # of the derivatives that are held at once


def cosnet_tangent_kernel(
    x: ArrayLike, y: ArrayLike | None = None, *, sigma_w: float, sigma_a: float = 1.0
) -> NDArray[np.float64]:
    """Return Theta of psi = f + i g for the infinitely wide cosine network, where Phi = 0.

    Parameters
    ----------
    x : array_like of -1 and +1, shape (n_x, n_sites)
        Strings.
    y : array_like of -1 and +1, shape (n_y, n_sites), optional
        Others; by default the same.
    sigma_w, sigma_a : float, keyword
        Standard deviations of input and output weights, positive, as of `TangentCosNet`.

    Returns
    -------
    ndarray of float64, shape (n_x, n_y)
        Twice Theta_f = 1/2 [1 + sigma_a^2 (1 + x.y/n)] exp(-sigma_w^2 |x - y|^2 / 2n).

    Raises
    ------
    ValueError
        If the strings hold other values, differ in length, or a deviation is not positive.

    Notes
    -----
    The 1 comes from the output weights, sigma_a^2 from the phases and sigma_a^2 x.y/n from the input weights; b uniform
    leaves half the characteristic function of w at (x - y)/sqrt(n). Theta of f + i g is the sum of both parts' kernels
    and Phi their difference.

    Examples
    --------
    >>> cosnet_tangent_kernel([[1, 1], [1, -1]], sigma_w=1.0).round(4).tolist()
    [[3.0, 0.7358], [0.7358, 3.0]]
    """
    rows = as_strings(x, "x")
    others = rows if y is None else as_strings(y, "y")
    n_sites = rows.shape[1]
    if others.shape[1] != n_sites:
        raise ValueError(f"Argument `y` must have {n_sites} sites as `x` has, but it has {others.shape[1]}.")
    sigma_w, sigma_a = positive_number("sigma_w", sigma_w), positive_number("sigma_a", sigma_a)
    overlap = rows @ others.T / n_sites  # |x - y|^2 = 2 n (1 - overlap) for spins
    return (1 + sigma_a**2 * (1 + overlap)) * np.exp(-(sigma_w**2) * (1 - overlap))


def tangent_kernels(
    module: torch.nn.Module,
    x: ArrayLike | torch.Tensor,
    *,
    y: ArrayLike | torch.Tensor | None = None,
    of: Literal["psi", "log_psi"] = "psi",
    gives: Literal["psi", "log_psi"] | None = None,
    chunk: int | None = None,
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return the tangent kernels Theta and Phi of a network at its parameters.

    Parameters
    ----------
    module : torch.nn.Module
        An ansatz, or any module from spins (n, n_sites) to n numbers that ``torch.func.vmap`` can follow. Complex
        parameters count as two real ones; frozen ones do not count.
    x : array_like of -1 and +1, shape (n_x, n_sites)
        Strings.
    y : array_like of -1 and +1, shape (n_y, n_sites), optional, keyword
        Others; by default the same.
    of : {"psi", "log_psi"}, keyword
        Whose derivatives: psi, or its logarithm.
    gives : {"psi", "log_psi"}, optional, keyword
        What the module returns; by default "log_psi" if it has a method of that name, else what its attribute `output`
        says, else "psi".
    chunk : int, optional, keyword
        Strings whose derivatives are held at once; by default as many as fit into 256 MiB. The numbers do not depend
        on it.

    Returns
    -------
    theta, phi : ndarray of complex128, shape (n_x, n_y)
        Sums over parameters. With a module that gives log psi, psi is measured in units of the largest |psi| among the
        strings.

    Raises
    ------
    ValueError, TypeError
        If the strings hold other values or differ in length, the module has no parameters or returns other shapes, or
        an option is another.

    Notes
    -----
    Real and imaginary part of the output are differentiated apart: reverse mode seeded by one complex number returns
    the derivative of one real combination of both.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
    >>> theta, phi = tangent_kernels(layer, [[1, 1], [1, -1]])
    >>> theta.real.tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"Argument `module` must be a torch.nn.Module, but it is {module!r}.")
    for name, value, allowed in (("of", of, ("psi", "log_psi")), ("gives", gives, ("psi", "log_psi", None))):
        if value not in allowed:
            raise ValueError(f"Argument `{name}` must be one of {allowed}, but it is {value!r}.")
    rows = as_strings(_plain(x), "x")
    others = rows if y is None else as_strings(_plain(y), "y")
    if others.shape[1] != rows.shape[1]:
        raise ValueError(f"Argument `y` must have {rows.shape[1]} sites as `x` has, but it has {others.shape[1]}.")
    derivatives = _Derivatives(module, of=of, gives=gives)
    if chunk is None:
        chunk = max(1, _BYTES // (32 * derivatives.n_parameters))
    chunk = whole_number("chunk", chunk)
    if derivatives.needs_scale:
        derivatives.set_scale(rows if y is None else np.concatenate([rows, others]), chunk)
    theta = np.empty((len(rows), len(others)), dtype=np.complex128)
    phi = np.empty_like(theta)
    for some in _slices(len(rows), chunk):
        left = derivatives(rows[some])
        for rest in _slices(len(others), chunk):
            if y is None and rest.start < some.start:  # the other half follows from symmetry
                continue
            right = left if y is None and rest == some else derivatives(others[rest])
            theta[some, rest], phi[some, rest] = left @ right.conj().T, left @ right.T
            if y is None and rest != some:
                theta[rest, some], phi[rest, some] = theta[some, rest].conj().T, phi[some, rest].T
    return theta, phi


class _Derivatives:
    """Rows of d psi or d log psi by all real parameters, for a few strings at a time."""

    def __init__(self, module: torch.nn.Module, *, of: str, gives: str | None) -> None:
        method = getattr(module, "log_psi", None)
        if gives is None:
            gives = "log_psi" if callable(method) else getattr(module, "output", "psi")
        logarithmic = gives == "log_psi"
        self._turn: Literal["multiply", "divide"] | None = None
        if logarithmic != (of == "log_psi"):
            self._turn = "multiply" if logarithmic else "divide"
        self.needs_scale, self._scale = self._turn == "multiply", 0.0
        self._holder = _Holder(module, as_log=callable(method) and logarithmic)
        free = {name: p.detach() for name, p in self._holder.named_parameters() if p.requires_grad}
        if not free:
            raise ValueError("Argument `module` must have parameters that are not frozen, but it has none.")
        self._complex = {name for name, p in free.items() if p.is_complex()}
        self._real: dict[str, Any] = {
            name: torch.view_as_real(p).clone() if p.is_complex() else p for name, p in free.items()
        }
        self.n_parameters = sum(p.numel() for p in self._real.values())
        first = next(iter(self._real.values()))
        self._dtype, self._device = first.dtype, first.device

    def _value(self, parameters: dict[str, Any], row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        joined = {name: torch.view_as_complex(p) if name in self._complex else p for name, p in parameters.items()}
        value = torch.func.functional_call(self._holder, joined, (row[None],))
        if value.numel() != 1:
            raise ValueError(
                f"Argument `module` must return one number a string, but its output has shape {tuple(value.shape)}."
            )
        parts = torch.view_as_real(value.reshape(()).to(torch.promote_types(value.dtype, torch.complex64)))
        return parts, parts.detach()

    def set_scale(self, rows: NDArray[np.float64], chunk: int) -> None:
        """Look for the largest |psi|."""
        with torch.no_grad():
            tensor = torch.as_tensor(rows, dtype=self._dtype, device=self._device)
            self._scale = max(float(self._holder(tensor[some]).real.max()) for some in _slices(len(rows), chunk))

    def __call__(self, rows: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Return the derivatives, shape (n_rows, n_parameters)."""
        tensor = torch.as_tensor(rows, dtype=self._dtype, device=self._device)
        jacobian = torch.func.vmap(torch.func.jacrev(self._value, has_aux=True), in_dims=(None, 0))
        parts, value = jacobian(self._real, tensor)
        flat = torch.cat([part.flatten(2).to(torch.float64) for part in parts.values()], dim=2)
        found = torch.complex(flat[:, 0], flat[:, 1]).cpu().numpy()
        psi = torch.view_as_complex(value.to(torch.float64)).cpu().numpy()[:, None]
        if self._turn == "multiply":
            return cast("NDArray[np.complex128]", found * np.exp(psi - self._scale))
        if self._turn == "divide":
            return cast("NDArray[np.complex128]", found / psi)
        return found


class _Holder(torch.nn.Module):
    """Calls log psi without the checks of spins, which vmap cannot follow."""

    def __init__(self, module: torch.nn.Module, *, as_log: bool) -> None:
        super().__init__()
        self.module, self.as_log = module, as_log

    def forward(self, spins: torch.Tensor) -> torch.Tensor:
        function: Any = self.module.log_psi if self.as_log else self.module
        return function(spins)


def _plain(values: Any) -> Any:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else values


def _slices(n: int, step: int) -> Iterator[slice]:
    for first in range(0, n, step):
        yield slice(first, min(first + step, n))
