"""One classifier looks at snapshots of whatever source; the same numbers for each, and exactly on small rings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from qmlphys import exact, lattices, scaling
from qmlphys.bits import integers_to_spins
from qmlphys.hamiltonians import TransverseIsing
from qmlphys.phases.curves import mean_curve
from qmlphys.stats import Estimate

if TYPE_CHECKING:
    from qmlphys.phases import SupervisedPhaseClassifier

__all__ = ["LEARNED", "MAGNETIZATION", "ExactJudgement", "critical_field", "judge"]

LEARNED, MAGNETIZATION = "learned", "magnetization"
"""Order parameters: what the network takes for order, and the mean of the spins, for which nothing is learned."""

_GROUPS = 32  # independent parts of every set of snapshots, enough for errors
_INDEPENDENT = ("device", "generative")  # every row of these is drawn anew
_MAX_EXACT_SITES = 14
# Half of the window in which two curves are fitted, in units of the spacing of the fields: four or five points. With
# the exact curves of 6 and 10 sites, fields 0.15 apart and errors of 0.002 the crossing is off by 0.2 of its error, and
# the scatter has the size of the errors; with fields 0.2 apart it is low by 2 errors.
_WINDOW = 2.3


def _grouped(ds: xr.Dataset) -> NDArray[np.int8]:
    """Return the snapshots as (parameter, group, row, site), groups being independent of each other."""
    spins = ds["spins"].values
    n_fields, n_chains, n_draws, n_sites = spins.shape
    if ds.attrs["source"] in _INDEPENDENT:
        n_groups = min(_GROUPS, n_chains * n_draws)
        n_rows = n_chains * n_draws // n_groups
        rows = spins.reshape(n_fields, -1, n_sites)[:, : n_groups * n_rows]
    else:
        n_groups = next(n for n in range(min(_GROUPS, n_chains), 0, -1) if n_chains % n == 0)
        rows = spins
    if n_groups < 2:
        raise ValueError(
            f"Argument `ds` must hold at least two independent chains or shots, but it has {n_chains} chains of "
            f"{n_draws} draws from the source {ds.attrs['source']!r}."
        )
    return rows.reshape(n_fields, n_groups, -1, n_sites)


def judge(network: SupervisedPhaseClassifier, ds: xr.Dataset) -> xr.Dataset:
    """Let a trained network look at snapshots along a field, and measure their order and correlations beside it.

    Parameters
    ----------
    network : SupervisedPhaseClassifier
        A CNN that was fitted with labels 1 = ordered and 0 = disordered, on a ring of any size.
    ds : xarray.Dataset
        Snapshots of a ring along a field, from whatever source, with at least two independent chains, or shots.

    Returns
    -------
    xarray.Dataset
        Over ``parameter``: ``output``, the mean probability of order, and ``output_error``; over ``distance`` too
        (1 to half of the ring): ``correlation``, the mean of Z_i Z_(i+r), and ``correlation_error``; over ``learner``
        ("learned", "magnetization") and ``group``: ``second`` and ``fourth``, moments of the order parameter. The
        attributes ``transition`` and ``transition_error`` say where the output crosses 1/2 (nan where it does not).

    Raises
    ------
    ValueError
        If the snapshots have a single independent part, or the network is dense.

    Examples
    --------
    >>> from qmlphys.phases import SupervisedPhaseClassifier, far_ends
    >>> from qmlphys.snapshots import as_xy
    >>> from qmlphys.workflows.device_phases import classical_twin
    >>> ds = classical_twin(6, [0.3, 0.6, 0.9, 1.2, 1.5, 1.8], n_chains=16, n_draws=2, rng=1)
    >>> X, field, groups = as_xy(ds)
    >>> ends, y = far_ends(field)
    >>> network = SupervisedPhaseClassifier("cnn", shape=(6,), max_epochs=5, random_state=1).fit(X[ends], y)
    >>> found = judge(network, ds)
    >>> bool(found["output"][0] > 0.8), bool(0.5 < found.attrs["transition"] < 2)
    (True, True)
    """
    grouped = _grouped(ds)
    n_fields, n_groups, n_rows, n_sites = grouped.shape
    fitted = network.resized((n_sites,))
    X = grouped.reshape(-1, n_sites)
    fields = ds["parameter"].values
    values = np.repeat(fields, n_groups * n_rows)
    groups = np.tile(np.repeat(np.arange(n_groups), n_rows), n_fields)
    if ds.attrs["source"] in _INDEPENDENT:
        groups = groups + np.repeat(np.arange(n_fields) * n_groups, n_groups * n_rows)
    curve = mean_curve(fitted.predict_proba(X)[:, 1], values, groups=groups)
    place = np.argsort(np.argsort(fields))  # the curve runs upwards
    output, error = curve["mean"].values, curve["error"].values
    try:
        # On small rings and noisy devices the output does not come near 0 and 1, so that no more is asked of it.
        crossing = scaling.crossing(curve["parameter"].values, output, error, level=0.5, order=4, rng=0)
    except ValueError:  # these snapshots show one phase only
        crossing = Estimate(math.nan, math.nan)
    orders = np.stack([fitted.order_parameter(X), X.mean(axis=1, dtype=np.float64)])
    orders = orders.reshape(2, n_fields, n_groups, n_rows)
    distances = np.arange(1, n_sites // 2 + 1)
    floating = grouped.astype(np.float64)
    correlation = np.stack([(floating * np.roll(floating, -r, axis=-1)).mean(axis=(2, 3)) for r in distances], axis=-1)
    scatter = correlation.std(axis=1, ddof=1) / math.sqrt(n_groups)
    dims = ("learner", "parameter", "group")
    return xr.Dataset(
        {
            "output": ("parameter", output[place]),
            "output_error": ("parameter", error[place]),
            "second": (dims, (orders**2).mean(axis=-1)),
            "fourth": (dims, (orders**4).mean(axis=-1)),
            "correlation": (("parameter", "distance"), correlation.mean(axis=1)),
            "correlation_error": (("parameter", "distance"), scatter),
        },
        {
            "parameter": ("parameter", fields, dict(ds["parameter"].attrs)),
            "learner": [LEARNED, MAGNETIZATION],
            "distance": distances,
        },
        {"size": n_sites, "transition": crossing.mean, "transition_error": crossing.error},
    )


def critical_field(
    small: xr.Dataset, large: xr.Dataset, *, learner: str = LEARNED, rng: np.random.Generator | int | None = 0
) -> Estimate:
    """Return where the cumulant ratios <q^2>^2 / <q^4> of two sizes cross.

    Parameters
    ----------
    small, large : xarray.Dataset
        From `judge`, of one source on two sizes.
    learner : {"learned", "magnetization"}
        Which order parameter.
    rng : None, int or Generator
        Of the bootstrap that gives the error.

    Returns
    -------
    Estimate
        A field. It lies below the critical one of the endless chain by an amount that falls with both sizes, about
        7 % for 6 and 10 sites; the error knows nothing of that. Fields near it should be at most 0.17 J apart: between
        coarser ones the curves bend more than the cubic fit can follow.

    Raises
    ------
    ValueError
        If the two curves do not cross significantly.

    Notes
    -----
    K. Binder, Z. Phys. B 43, 119 (1981).

    Examples
    --------
    >>> import numpy as np
    >>> field = np.linspace(0.5, 1.5, 11)
    >>> def made(size):  # cumulant ratios that cross at 1
    ...     ratio = 0.7 - 0.2 * np.tanh(size * (field - 1) / 4)
    ...     scatter = 1 + 0.01 * np.random.default_rng(size).normal(size=(1, 11, 32))
    ...     second, fourth = np.ones((1, 11, 32)), scatter / ratio[None, :, None]
    ...     dims = ("learner", "parameter", "group")
    ...     return xr.Dataset({"second": (dims, second), "fourth": (dims, fourth)},
    ...                       {"learner": ["learned"], "parameter": field})
    >>> bool(abs(critical_field(made(4), made(8)).mean - 1) < 0.02)
    True
    """
    ratios = [ratio_of(judged, learner) for judged in (small, large)]
    return scaling.pair_crossing(
        small["parameter"].values,
        ratios[0].values,
        ratios[1].values,
        first_errors=ratios[0].errors,
        second_errors=ratios[1].errors,
        second_parameter=large["parameter"].values,
        width=_WINDOW * float(np.median(np.diff(np.sort(small["parameter"].values)))),
        rng=rng,
    )


def ratio_of(judged: xr.Dataset, learner: str = LEARNED) -> scaling.Cumulant:
    """Return the cumulant ratio along the field, with errors."""
    chosen = judged.sel(learner=learner)
    return scaling.cumulant_from_moments(chosen["second"].values, chosen["fourth"].values)


@dataclass(frozen=True)
class _Exact:
    """What the network would say of endless exact snapshots at one field."""

    output: float
    ratios: dict[str, float]


class ExactJudgement:
    """What a network says of a ring's exact ground state: a sum over all configurations, without any sampling.

    Serves for comparison only. The ground state comes from diagonalisation in its symmetry sector.

    Parameters
    ----------
    network : SupervisedPhaseClassifier
        As for `judge`.
    size : int
        Sites, from 3 to 14.

    Raises
    ------
    ValueError
        If the ring is too large to be summed.

    Examples
    --------
    >>> from qmlphys.phases import SupervisedPhaseClassifier
    >>> X = np.array([[1] * 6, [-1] * 6, [1, -1] * 3, [-1, 1] * 3] * 4)
    >>> network = SupervisedPhaseClassifier("cnn", shape=(6,), max_epochs=20, random_state=1).fit(X, [1, 1, 0, 0] * 4)
    >>> known = ExactJudgement(network, 4)
    >>> known.at(0.2).output > known.at(3.0).output
    True
    """

    def __init__(self, network: SupervisedPhaseClassifier, size: int) -> None:
        if not self.known(size):
            raise ValueError(f"Argument `size` must be at most {_MAX_EXACT_SITES}, but it is {size}.")
        states = integers_to_spins(np.arange(2**size), size)
        fitted = network.resized((size,))
        self.size = size
        self._output = fitted.predict_proba(states)[:, 1]
        self._orders = {LEARNED: fitted.order_parameter(states), MAGNETIZATION: states.mean(axis=1)}
        self.at = cache(self._at)

    @staticmethod
    def known(size: int) -> bool:
        """Tell whether a ring is small enough."""
        return size <= _MAX_EXACT_SITES

    def _at(self, field: float) -> _Exact:
        model = TransverseIsing(lattices.chain(self.size), field=field)
        sector = exact.Sector(spin_flip=1, momentum=(0,))
        vector = exact.ground_state(model, sector=sector, vectors=True).vector
        chances = np.abs(vector) ** 2
        ratios = {key: float((chances @ q**2) ** 2 / (chances @ q**4)) for key, q in self._orders.items()}
        return _Exact(float(chances @ self._output), ratios)

    def transition(self, fields: ArrayLike) -> float:
        """Return the field at which the mean output is 1/2; nan if there is none in the scan."""
        return _root(lambda h: self.at(h).output - 0.5, fields)

    def crossing(self, other: ExactJudgement, fields: ArrayLike, learner: str = LEARNED) -> float:
        """Return the field at which the cumulant ratios of two sizes are equal; nan if there is none in the scan."""
        return _root(lambda h: self.at(h).ratios[learner] - other.at(h).ratios[learner], fields)


def _root(function: Callable[[float], float], scan: ArrayLike) -> float:
    """Return the change of sign whose surroundings are steepest."""
    fields = np.asarray(scan, dtype=np.float64)
    values = np.array([function(float(h)) for h in fields])
    changes = np.flatnonzero(values[:-1] * values[1:] < 0)
    if not len(changes):
        return math.nan
    k = max(changes, key=lambda i: abs(values[i] - values[i + 1]))
    return float(brentq(function, float(fields[k]), float(fields[k + 1]), xtol=1e-6))
