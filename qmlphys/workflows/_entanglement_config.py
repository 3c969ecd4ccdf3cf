"""Settings of `qmlphys.workflows.entanglement_scaling`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as setting
from typing import Any

__all__ = ["BatteryConfig", "InfiniteWidthConfig", "TangentConfig"]

_MAX_SITES = 24


def _whole(owner: object, *, least: int = 1, **most: int) -> None:
    """Check that fields hold whole numbers in range."""
    for name, top in most.items():
        value: Any = getattr(owner, name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= top:
            raise ValueError(f"Argument `{name}` must be a whole number from {least} to {top}, but it is {value!r}.")


def _growing(owner: object, *, n_values: int = 1, least: int = 1, **most: int) -> None:
    """Turn fields into tuples and check that they hold growing whole numbers in range."""
    for name, top in most.items():
        values: Sequence[Any] = tuple(getattr(owner, name))
        object.__setattr__(owner, name, values)
        whole = all(isinstance(v, int) and not isinstance(v, bool) and least <= v <= top for v in values)
        if len(values) < n_values or not whole or list(values) != sorted(set(values)):
            raise ValueError(
                f"Argument `{name}` must hold at least {n_values} growing whole numbers from {least} to {top}, but it "
                f"is {values}."
            )


def _positive(owner: object, *names: str) -> None:
    for name in names:
        values = getattr(owner, name)
        for value in values if isinstance(values, tuple) else (values,):
            if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                raise ValueError(f"Argument `{name}` must be positive, but it is {values!r}.")


@dataclass(frozen=True)
class InfiniteWidthConfig:
    """Cosine networks psi = f + i g of growing width beside the closed form of infinite width.

    Parameters
    ----------
    n_sites : int
        Sites of the networks that are drawn, 4 to 16.
    widths : tuple of int
        Hidden units, growing.
    n_networks : int
        Of each width, at least 8.
    scale : float
        sigma_w of the networks in units of sqrt(n): sigma_w^2 = scale^2 n.
    sigma_w : tuple of float
        Fixed ones, at which the entropy saturates.
    scales : tuple of float
        Ratios sigma_w / sqrt(n), at which it follows a volume law.
    sizes : tuple of int
        Numbers of sites of the closed form, growing, at least four even ones.
    """

    n_sites: int = 10
    widths: tuple[int, ...] = (400, 1000, 4000)
    n_networks: int = 400
    scale: float = 0.5
    sigma_w: tuple[float, ...] = (0.5, 1.0, 2.0)
    scales: tuple[float, ...] = (0.25, 0.5)
    sizes: tuple[int, ...] = (8, 12, 16, 24, 32, 48, 64, 96, 128)

    def __post_init__(self) -> None:
        _whole(self, least=4, n_sites=16)
        _whole(self, least=8, n_networks=10**6)
        _growing(self, widths=2**20)
        _growing(self, n_values=4, least=4, sizes=4096)
        for name in ("sigma_w", "scales"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _positive(self, "scale", "sigma_w", "scales")


@dataclass(frozen=True)
class TangentConfig:
    """Training of a wide cosine network beside its tangent kernel: sigma_a = 1, sigma_w^2 = n, centred at its start.

    Parameters
    ----------
    n_sites : int
        Sites of the transverse-field Ising chain (open, h = J) whose ground state is learned, 4 to 12.
    hubbard : tuple of int
        Rows and columns of the Fermi-Hubbard model (open, half filling, U/t = 4) that is learned too; empty for none.
    width : int
        Hidden units of the networks that are trained.
    stop_loss : float
        Loss at which training ends.
    max_steps : int
        Most steps.
    widths : tuple of int
        Hidden units of the networks whose kernels are compared with the infinite one, growing, at least three.
    n_networks : int
        Of each width, at least 2.
    kernel_sites : int
        Sites of that comparison, 4 to 12: all strings.
    sigma_w : tuple of float
        Standard deviations of the input weights whose rates of convergence are shown, in units of sqrt(n).
    """

    n_sites: int = 10
    hubbard: tuple[int, ...] = (2, 3)
    width: int = 4096
    stop_loss: float = 1e-9
    max_steps: int = 20_000
    widths: tuple[int, ...] = (1024, 2048, 4096, 8192, 16384)
    n_networks: int = 4
    kernel_sites: int = 8
    sigma_w: tuple[float, ...] = (0.1, 0.3, 1.0)

    def __post_init__(self) -> None:
        _whole(self, least=4, n_sites=12, kernel_sites=12)
        _whole(self, width=2**18, max_steps=10**7)
        _whole(self, least=2, n_networks=10**4)
        _growing(self, n_values=3, widths=2**18)
        for name in ("hubbard", "sigma_w"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.hubbard and not (len(self.hubbard) == 2 and all(isinstance(n, int) and n >= 1 for n in self.hubbard)):
            raise ValueError(f"Argument `hubbard` must be rows and columns, or empty, but it is {self.hubbard}.")
        if self.hubbard and not (math.prod(self.hubbard) % 2 == 0 and math.prod(self.hubbard) <= 6):
            raise ValueError(
                f"Argument `hubbard` must have an even number of at most 6 sites, but it has {math.prod(self.hubbard)}."
            )
        _positive(self, "stop_loss", "sigma_w")


@dataclass(frozen=True)
class BatteryConfig:
    """Settings of all figures; equal settings give the same numbers on one machine and number of threads.

    Parameters
    ----------
    n_sites : int
        Sites of the figures against |A|, 8 to 24.
    sizes : tuple of int
        Numbers of sites of the figures of growth, growing, at least four even ones.
    transformer_sizes : tuple of int
        The same for the transformer, whose patches need 5 m + 1 sites to read all of them.
    n_seeds, n_windows : int
        States of each kind, and cyclic windows of each.
    n_growth_seeds : int
        States of each kind and size in the fits of growth, but of the transformer, which takes longest: verdicts need
        small errors.
    max_length : int
        Longest block, at most n_sites / 2.
    fixed_length : int
        |A| of the growth at fixed |A|, at most half of the smallest size.
    n_nonlinearities : tuple of int
        Of states psi = exp(a sum of phi), growing: the entropy is drawn against their number.
    mlp_widths : tuple of int
        The same for perceptrons of depth 2, which have twice as many as they are wide.
    hidden : tuple of int
        Hidden units of the cosine and the tanh networks, growing.
    infinite_width : InfiniteWidthConfig or None
        The limit; None leaves it out.
    tangent : TangentConfig or None
        Training; None leaves it out.
    seed : int
        Where all randomness starts.

    Examples
    --------
    >>> BatteryConfig.full(seed=2).n_sites, BatteryConfig().n_seeds
    (22, 5)
    """

    n_sites: int = 16
    sizes: tuple[int, ...] = (6, 8, 10, 12, 14, 16)
    transformer_sizes: tuple[int, ...] = (6, 11, 16)
    n_seeds: int = 5
    n_windows: int = 4
    n_growth_seeds: int = 300
    max_length: int = 8
    fixed_length: int = 3
    n_nonlinearities: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12)
    mlp_widths: tuple[int, ...] = (1, 2, 3, 4, 6, 8)
    hidden: tuple[int, ...] = (1, 2, 5, 20, 100)
    infinite_width: InfiniteWidthConfig | None = setting(default_factory=InfiniteWidthConfig)
    tangent: TangentConfig | None = setting(default_factory=TangentConfig)
    seed: int = 1

    def __post_init__(self) -> None:
        _whole(self, least=4, n_sites=_MAX_SITES)
        _growing(self, n_values=4, least=4, sizes=_MAX_SITES)
        _growing(self, least=6, transformer_sizes=_MAX_SITES)
        _growing(self, n_values=2, n_nonlinearities=64, mlp_widths=64)
        _growing(self, hidden=2**16)
        _whole(self, least=2, n_seeds=10**6, n_growth_seeds=10**6)
        _whole(self, n_windows=_MAX_SITES)
        _whole(self, least=2, max_length=self.n_sites // 2)
        _whole(self, fixed_length=min(self.sizes) // 2)
        if any(n % 2 for n in self.sizes):
            raise ValueError(f"Argument `sizes` must be even, so that halves are alike, but it is {self.sizes}.")
        if any(n % 5 != 1 for n in self.transformer_sizes):
            raise ValueError(
                f"Argument `transformer_sizes` must be 6, 11, 16 or 21, which patches of 6 at every fifth site read "
                f"whole, but it is {self.transformer_sizes}."
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"Argument `seed` must be a whole number of at least 0, but it is {self.seed!r}.")

    @classmethod
    def full(cls, *, seed: int = 1) -> BatteryConfig:
        """Return the settings of the large battery: 22 sites, 20 seeds, 10 windows; hours.

        Parameters
        ----------
        seed : int
            Where all randomness starts.

        Returns
        -------
        BatteryConfig
            For `run`.
        """
        return cls(
            n_sites=22,
            sizes=(8, 10, 12, 14, 16, 18, 20, 22),
            transformer_sizes=(6, 11, 16, 21),
            n_seeds=20,
            n_windows=10,
            n_growth_seeds=20,
            max_length=10,
            fixed_length=4,
            hidden=(1, 2, 5, 100, 1000),
            infinite_width=InfiniteWidthConfig(n_networks=1000),
            tangent=TangentConfig(n_networks=8, kernel_sites=10),
            seed=seed,
        )
