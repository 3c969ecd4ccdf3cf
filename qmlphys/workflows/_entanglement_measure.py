"""Entropies of whatever gives amplitudes, over seeds and cyclic windows, and the law by which they grow."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys import entanglement, plotting
from qmlphys._arguments import seed_number, whole_number
from qmlphys.plotting._entanglement import entropy_curves, growth_laws
from qmlphys.workflows._entanglement_windows import MAX_SITES, Maker, generator_of, mean_and_error, sample_entropies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Measured", "at_block", "fit_at", "laws_of", "measure", "table_of"]


def fit_at(sizes: Sequence[int], means: Sequence[float], errors: Sequence[float]) -> entanglement.GrowthFit | None:
    """Fit the laws of growth; None for fewer than four sizes. Errors that are unknown or rounding are left out."""
    if len(set(sizes)) < 4:
        return None
    known = all(math.isfinite(error) and error > 1e-12 for error in errors)
    return entanglement.fit_growth(sizes, means, errors if known else None)


@dataclass(frozen=True, eq=False)
class Measured:
    """Entropies of an ansatz, and what they say.

    Parameters
    ----------
    name : str
        Of the ansatz.
    entropies : xarray.Dataset
        `mean`, `error` (of the seeds' means; nan for one seed) and `page`, the value of random states, in nats over
        `size` and `length`; nan where a block would be longer than half of the sites.
    block : int or float
        What the growth was looked at: |A| itself, or |A| / n.
    growth : GrowthFit or None
        The fitted laws; None for fewer than four sizes.
    features : mapping of int to AffineFeatures
        By size, of the first seed's network; empty for amplitudes.
    """

    name: str
    entropies: xr.Dataset
    block: int | float
    growth: entanglement.GrowthFit | None
    features: Mapping[int, entanglement.AffineFeatures]

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        return "Fewer than four sizes: no law can be told." if self.growth is None else self.growth.sentence

    def at_block(self) -> tuple[list[int], list[float], list[float]]:
        """Return sizes, means and errors at the block whose growth was looked at."""
        return at_block(self.entropies, self.block)

    @property
    def figure(self) -> Figure:
        """Entropy against the block length at every size, and against the number of sites."""
        fig, (left, right) = plotting.figure(1, 2, width=5.2, height=3.0)
        table = self.entropies
        curves, references = {}, {}
        for n in table["size"].values:
            part = table.sel(size=n).dropna("length", subset=["mean"])
            error = None if np.isnan(part["error"].values).any() else part["error"].values
            curves[f"n = {n}"] = (part["length"].values, part["mean"].values, error)
            references = {f"Page, n = {n}": (part["length"].values, part["page"].values)}
        entropy_curves(curves, references=references, ordered=True, title=self.name, ax=left)
        sizes, means, errors = self.at_block()
        laws = {} if self.growth is None else laws_of(self.growth)
        of_n = f"|A| / n = {self.block:g}" if isinstance(self.block, float) else f"|A| = {self.block}"
        verdict = "" if self.growth is None else self.growth.verdict
        growth_laws(
            sizes,
            means,
            None if np.isnan(errors).any() else errors,
            laws=laws,
            verdict=verdict,
            title=f"{of_n}: {verdict or 'no verdict'}",
            ax=right,
        )
        return fig


def laws_of(growth: entanglement.GrowthFit) -> dict[str, tuple[float, float]]:
    """Return intercepts and slopes of the fitted laws, as they are drawn."""
    return {law: (fit.intercept, fit.slope) for law, fit in growth.fits.items()}


def length_at(block: int | float, n_sites: int) -> int:
    """Return the block's sites; rounded down to the even number of halves for fractions."""
    return block if isinstance(block, int) else max(1, math.floor(block * n_sites + 1e-9))


def at_block(table: xr.Dataset, block: int | float) -> tuple[list[int], list[float], list[float]]:
    """Return sizes, means and errors at one block length, or at one fraction of the sites."""
    sizes, means, errors = [], [], []
    for n in table["size"].values:
        length = length_at(block, int(n))
        if length in table["length"].values:
            mean = float(table["mean"].sel(size=n, length=length))
            if math.isfinite(mean):
                sizes.append(int(n))
                means.append(mean)
                errors.append(float(table["error"].sel(size=n, length=length)))
    return sizes, means, errors


def read_block(block: int | float, sizes: Sequence[int]) -> int | float:
    """Check which block's growth is looked at."""
    if isinstance(block, bool) or not isinstance(block, numbers.Real):
        raise TypeError(f"Argument `block` must be a number, but it is {block!r}.")
    if isinstance(block, numbers.Integral):
        return whole_number("block", int(block), most=min(sizes) // 2)
    number = float(block)
    if not 0 < number <= 0.5:
        raise ValueError(
            f"Argument `block` must be a number of sites, or a fraction above 0 and at most 0.5, but it is {block!r}."
        )
    return number


def table_of(found: Mapping[int, tuple[Sequence[int], NDArray[np.float64]]]) -> xr.Dataset:
    """Return the Dataset of `Measured` from lengths and entropies (seeds, windows, lengths) of every size."""
    sizes = sorted(found)
    lengths = sorted({length for n in sizes for length in found[n][0]})
    columns = {name: np.full((len(sizes), len(lengths)), np.nan) for name in ("mean", "error", "page")}
    for i, n in enumerate(sizes):
        mean, error = mean_and_error(found[n][1])
        for k, length in enumerate(found[n][0]):
            place = (i, lengths.index(length))
            columns["mean"][place], columns["error"][place] = mean[k], error[k]
            columns["page"][place] = entanglement.page_entropy(length, n)
    table = xr.Dataset(
        {name: (("size", "length"), column, {"units": "nats"}) for name, column in columns.items()},
        coords={"size": sizes, "length": lengths},
    )
    table.attrs |= {"n_seeds": len(found[sizes[0]][1])}
    return table


def measure(
    make: Maker,
    sizes: Sequence[int],
    *,
    block: int | float = 0.5,
    n_seeds: int = 5,
    n_windows: int = 4,
    max_length: int = 11,
    order: float = 1.0,
    count_features: bool = True,
    name: str = "ansatz",
    rng: np.random.Generator | int | None = 0,
    tell: Callable[[str], None] | None = None,
) -> Measured:
    """Measure how entangled the states of an ansatz are, and how that grows with the number of sites.

    Parameters
    ----------
    make : callable
        Takes n_sites and a numpy Generator. Returns a torch module (with a method `log_psi`, as all of `qmlphys.nqs`
        have, or whose call gives psi) or a vector of 2^n_sites amplitudes, site i of weight 2^i, bit 0 for spin +1.
    sizes : sequence of int
        Numbers of sites, growing, 2 to 24; four at least for a verdict.
    block : int or float, keyword
        The block whose growth is judged: a fixed |A|, or a fixed fraction |A| / n above 0, at most 0.5.
    n_seeds : int, keyword
        States at every size, independent of each other; 2 at least for errors.
    n_windows : int, keyword
        Cyclic blocks of each length in every state, spread over the ring.
    max_length : int, keyword
        Longest block, where half of the sites are more.
    order : float, keyword
        Rényi order, at least 1.
    count_features : bool, keyword
        Whether to count the nonlinearities of networks, which needs modules that take real inputs.
    name : str, keyword
        For pictures.
    rng : None, int or numpy.random.Generator, keyword
        Where all randomness starts.
    tell : callable, optional, keyword
        Told of every size as its states are made.

    Returns
    -------
    Measured
        Entropies, features, verdict and picture.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or `make` returns something else.

    Notes
    -----
    The laws are those of `qmlphys.entanglement.fit_growth`: a verdict holds for the sizes that were measured. Errors
    are the scatter of independent states, not of the windows of one.

    Examples
    --------
    >>> def random_state(n_sites, rng):
    ...     return rng.standard_normal(2**n_sites) + 1j * rng.standard_normal(2**n_sites)
    >>> found = measure(random_state, (4, 6, 8, 10), n_seeds=8)
    >>> found.growth.verdict
    'volume'
    """
    if not callable(make):
        raise TypeError(f"Argument `make` must be a callable of n_sites and a generator, but it is {make!r}.")
    numbers_of_sites = [whole_number("sizes", n, least=2, most=MAX_SITES) for n in sizes]
    if not numbers_of_sites or numbers_of_sites != sorted(set(numbers_of_sites)):
        raise ValueError(f"Argument `sizes` must be growing numbers of sites, but it is {list(sizes)}.")
    n_seeds, n_windows = whole_number("n_seeds", n_seeds), whole_number("n_windows", n_windows)
    longest = whole_number("max_length", max_length)
    chosen = read_block(block, numbers_of_sites)
    seed = seed_number(rng) % 2**63
    found, features = {}, {}
    for n in numbers_of_sites:
        if tell is not None:
            tell(f"{name}: {n} sites, {n_seeds} states")
        lengths = sorted({*range(1, min(n // 2, longest) + 1), length_at(chosen, n)})
        found[n] = (
            lengths,
            sample_entropies(make, n, lengths=lengths, n_seeds=n_seeds, n_windows=n_windows, seed=seed, order=order),
        )
        if count_features:
            state = make(n, generator_of(seed, n, 0))
            if not isinstance(state, np.ndarray | list | tuple):
                features[n] = entanglement.affine_features(state, n_sites=n)
    table = table_of(found)
    table.attrs |= {"order": order, "seed": seed, "name": name}
    return Measured(name, table, chosen, fit_at(*at_block(table, chosen)), features)
