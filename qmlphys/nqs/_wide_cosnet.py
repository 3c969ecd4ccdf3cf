"""The wide cosine network whose tangent kernel is known. Public through `qmlphys.nqs.neural_tangent`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmlphys._arguments import whole_number
from qmlphys.nqs._wide_domain import StringSet

__all__ = ["CosNetParameters", "TangentCosNet", "positive_number"]


def positive_number(name: str, value: float, *, zero: bool = False) -> float:
    """Check a finite number that is positive, or not negative where `zero` is allowed."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"Argument `{name}` must be a number, but it is {value!r}.") from None
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ValueError(f"Argument `{name}` must be {'at least 0' if zero else 'positive'}, but it is {value!r}.")
    return number


@dataclass(frozen=True, eq=False)
class CosNetParameters:
    """Parameters of f and g, or a direction in their space.

    Parameters
    ----------
    a, b : ndarray of float64, shape (2, width)
        Output weights and phases.
    w : ndarray of float64, shape (2, width, n_sites)
        Input weights.
    """

    a: NDArray[np.float64]
    w: NDArray[np.float64]
    b: NDArray[np.float64]

    def moved(self, step: float, by: CosNetParameters) -> CosNetParameters:
        """Return these parameters plus step times a direction."""
        return CosNetParameters(self.a + step * by.a, self.w + step * by.w, self.b + step * by.b)


@dataclass(frozen=True, eq=False)
class TangentCosNet:
    """psi = f + i g, f(x) = H^(-1/2) sum_i a_i cos(w_i.x / sqrt(n) + b_i), and g alike with parameters of its own.

    With a ~ N(0, sigma_a^2), w ~ N(0, sigma_w^2) and b uniform, all parameters move by an amount that vanishes with the
    width while psi is trained: the tangent kernel has a limit, in closed form (`cosnet_tangent_kernel`). As a
    distribution of functions it is CosNet with w ~ N(0, sigma_w^2 / n) and a ~ N(0, sigma_a^2 / H).

    Parameters
    ----------
    parameters : CosNetParameters
        Of both parts.

    Examples
    --------
    >>> network = TangentCosNet.random(6, width=64, sigma_w=6**0.5, rng=0)
    >>> network.values(StringSet.all(6)).shape
    (64,)
    """

    parameters: CosNetParameters

    @classmethod
    def random(
        cls,
        n_sites: int,
        *,
        width: int,
        sigma_w: float,
        sigma_a: float = 1.0,
        rng: np.random.Generator | int | None = None,
    ) -> TangentCosNet:
        """Draw a network.

        Parameters
        ----------
        n_sites : int
            n, the number of spins.
        width : int, keyword
            H, the number of hidden units of f, and as many of g.
        sigma_w, sigma_a : float, keyword
            Standard deviations of w and of a, positive.
        rng : None, int or numpy.random.Generator, keyword
            Source of the parameters.
        """
        n_sites, width = whole_number("n_sites", n_sites), whole_number("width", width, most=2**24)
        sigma_w, sigma_a = positive_number("sigma_w", sigma_w), positive_number("sigma_a", sigma_a)
        generator = np.random.default_rng(rng)
        return cls(
            CosNetParameters(
                a=sigma_a * generator.standard_normal((2, width)),
                w=sigma_w * generator.standard_normal((2, width, n_sites)),
                b=generator.uniform(-np.pi, np.pi, (2, width)),
            )
        )

    @property
    def width(self) -> int:
        """H."""
        return self.parameters.a.shape[1]

    @property
    def n_sites(self) -> int:
        """The number of spins."""
        return self.parameters.w.shape[2]

    def _waves(self, part: int, strings: StringSet) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """Return exp(i (w.x + b)) of the first sites and exp(i w.x) of the last, shapes (width, n_low or n_high)."""
        if strings.n_sites != self.n_sites:
            raise ValueError(f"Argument `strings` must have {self.n_sites} sites, but it has {strings.n_sites}.")
        w, b = self.parameters.w[part] / math.sqrt(self.n_sites), self.parameters.b[part]
        cut = strings.low.shape[1]
        return (
            np.exp(1j * (w[:, :cut] @ strings.low.T + b[:, None])),
            np.exp(1j * (w[:, cut:] @ strings.high.T)),
        )

    def values(self, strings: StringSet) -> NDArray[np.complex128]:
        """Return psi of the strings, shape (n_strings,), not normalised."""
        f, g = (self._part(k, strings) for k in (0, 1))
        return f + 1j * g

    def _part(self, part: int, strings: StringSet) -> NDArray[np.float64]:
        low, high = self._waves(part, strings)
        return ((high * self.parameters.a[part][:, None]).T @ low).real.ravel() / math.sqrt(self.width)

    def gradient(self, strings: StringSet, residual: NDArray[np.complex128]) -> CosNetParameters:
        """Return the gradient of sum |psi - target|^2, given the residual psi - target of every string."""
        width, n_sites, cut = self.width, self.n_sites, strings.low.shape[1]
        d = CosNetParameters(np.zeros((2, width)), np.zeros((2, width, n_sites)), np.zeros((2, width)))
        for part, delta in enumerate((residual.real, residual.imag)):
            if not delta.any():
                continue
            low, high = self._waves(part, strings)
            low_sum = (high @ delta.reshape(len(strings.high), len(strings.low))) * low  # (width, n_low)
            total = low_sum.sum(axis=1)
            slope = -self.parameters.a[part] * (2 / math.sqrt(width))  # of cos is -sin, the imaginary part
            d.a[part] = (2 / math.sqrt(width)) * total.real
            d.b[part] = slope * total.imag
            d.w[part, :, :cut] = (low_sum.imag @ strings.low) * (slope / math.sqrt(n_sites))[:, None]
            if cut < n_sites:
                high_sum = (low @ delta.reshape(len(strings.high), len(strings.low)).T) * high
                d.w[part, :, cut:] = (high_sum.imag @ strings.high) * (slope / math.sqrt(n_sites))[:, None]
        return d

    def kernel_of_parts(self, strings: StringSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the real tangent kernels of f and of g, each (n_strings, n_strings).

        Sums over hidden units of cos cos' + (1 + x.x'/n) a^2 sin sin', over H.
        """
        spins = strings.spins
        overlap = 1 + spins @ spins.T / self.n_sites
        found = []
        for part in (0, 1):
            low, high = self._waves(part, strings)
            kernel, sines = np.zeros((len(strings),) * 2), np.zeros((len(strings),) * 2)
            step = max(1, 2**22 // len(strings))  # bounds the memory of the waves of all strings
            for first in range(0, self.width, step):
                some = slice(first, first + step)
                waves = (high[some, :, None] * low[some, None, :]).reshape(-1, len(strings))
                cos, sin = np.ascontiguousarray(waves.real), waves.imag * self.parameters.a[part][some, None]
                kernel += cos.T @ cos
                sines += sin.T @ sin
            found.append((kernel + overlap * sines) / self.width)
        return found[0], found[1]

    def tangent_kernels(self, strings: StringSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return Theta and Phi of psi at the present parameters, each (n_strings, n_strings) and real here."""
        of_f, of_g = self.kernel_of_parts(strings)
        return of_f + of_g, of_f - of_g
