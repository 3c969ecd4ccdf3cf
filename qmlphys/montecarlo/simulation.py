"""Simulations: chains that are thermalised, drawn from, and drawn from again."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil

import numba
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from qmlphys import snapshots
from qmlphys._arguments import seed_number, whole_number
from qmlphys.hamiltonians import Ising
from qmlphys.montecarlo._arguments import temperature_list
from qmlphys.montecarlo._engines import ALGORITHMS, MetropolisUnit, Series, Tables, Unit, is_compiled, make_units
from qmlphys.stats import autocorrelation_time

__all__ = ["Simulation"]

_LOG = logging.getLogger(__name__)

_MAX_BYTES = 2**34  # of spins in one Dataset
_MAX_CHAINS = 2**20
_FIRST_PILOT = 256  # sweeps
_POINTS = 4096  # measurements in a pilot at most; long ones skip sweeps
_SWEEPS_PER_STEP = 64  # between two looks at the clock and at Ctrl-C
_LENGTHS = 20  # a pilot is long enough when it lasts this many autocorrelation times
_LONGEST_PILOT = 2**20  # sweeps
# Sweeps of Metropolis before "auto" turns to clusters: 70 times faster a sweep, it wins for tau up to about 100.
_AUTO_PILOT = 2**11


class Simulation:
    """Markov chains of an Ising model at several temperatures, to be thermalised, drawn from, and drawn from again.

    Parameters
    ----------
    model : Ising
        What to sample.
    temperatures : array_like of float > 0, shape (n_temperatures,)
        In units of J / k_B.
    n_chains : int, keyword
        Independent chains a temperature, at least 1. Multiples of 64 fill the words of the Metropolis kernel.
    algorithm : {"auto", "metropolis", "wolff", "swendsen-wang"}, keyword
        "metropolis": multi-spin coded single-spin updates, for every model. "wolff" and "swendsen-wang": clusters,
        where the field is zero. "auto": Metropolis, unless a short pilot shows that its autocorrelation time makes
        Swendsen-Wang the faster one (large lattices near a critical temperature), decided at each temperature.
    rng : None, int or numpy.random.Generator, keyword
        The only source of randomness; one value gives the same bits on any number of threads.

    Attributes
    ----------
    temperatures : ndarray of float64
    algorithms : list of str
        The algorithm at each temperature, once `thermalize` has run.
    autocorrelation_times : ndarray of float64
        Largest measured integrated autocorrelation time of energy and |magnetisation|, in sweeps; NaN where
        `thermalize` was given the number of sweeps.
    n_thermalize : ndarray of int64
        Sweeps that each temperature ran before its first draw.

    Notes
    -----
    A sweep is n_sites attempted flips (Metropolis), one update of all clusters (Swendsen-Wang) or the flip of one
    cluster (Wolff). Chains start in the ground states, half of them in each, or at random above the mean-field
    temperature z |J|. Metropolis visits the sites in order and leaves each alone with a probability of at least 1/16,
    without which ordered sweeps can be reducible (on a ring they are).

    Even chains start in one ground state and odd ones in the other, and stay there on cold lattices: a cross-validation
    over chains has to shuffle them, or it may train on one sign of the magnetisation and test on the other.

    Examples
    --------
    >>> from qmlphys.hamiltonians import Ising
    >>> from qmlphys.lattices import square
    >>> simulation = Simulation(Ising(square(8)), [2.0, 3.0], n_chains=64, algorithm="metropolis", rng=1)
    >>> simulation.thermalize(100)
    >>> simulation.draw(5, n_skip=10)["spins"].shape
    (2, 64, 5, 64)
    """

    def __init__(
        self,
        model: Ising,
        temperatures: ArrayLike,
        *,
        n_chains: int = 64,
        algorithm: str = "auto",
        rng: np.random.Generator | int | None = None,
    ) -> None:
        if not isinstance(model, Ising):
            raise TypeError(f"Argument `model` must be an Ising model, but it is {model!r}.")
        self.model = model
        self.temperatures = temperature_list(temperatures)
        self.n_chains = whole_number("n_chains", n_chains, most=_MAX_CHAINS)
        if algorithm not in ("auto", *ALGORITHMS):
            raise ValueError(f"Argument `algorithm` must be one of {('auto', *ALGORITHMS)}, but it is {algorithm!r}.")
        if model.field != 0.0 and algorithm in ("wolff", "swendsen-wang"):
            raise ValueError(
                f"Argument `algorithm` must be 'metropolis' or 'auto' in a field, but it is {algorithm!r} "
                f"and the field is {model.field}."
            )
        self.seed = seed_number(rng)
        self._requested = algorithm
        self._tables = Tables(model)
        self._seeds = np.random.SeedSequence(self.seed).spawn(2)
        self._units: list[Unit] = []
        n = self.temperatures.size
        self.algorithms = [""] * n
        self.autocorrelation_times = np.full(n, np.nan)
        self.n_thermalize = np.zeros(n, dtype=np.int64)

    def thermalize(self, n_sweeps: int | None = None, *, progress: bool = False) -> None:
        """Bring all chains to equilibrium; the first call also settles the algorithm.

        Parameters
        ----------
        n_sweeps : int, optional
            Sweeps at every temperature. By default a pilot run doubles until its second half lasts 20 measured
            autocorrelation times at each temperature. With "auto" and a given number, Swendsen-Wang is used wherever it
            applies: nothing is known then about the speed of Metropolis.
        progress : bool, keyword
            Show a progress bar.

        Raises
        ------
        RuntimeError
            If the autocorrelation time is too long to be measured within 2^20 sweeps.
        """
        if n_sweeps is not None:
            n_sweeps = whole_number("n_sweeps", n_sweeps, least=0)
        if self._units:
            names = self.algorithms
        elif self._requested != "auto":
            names = [self._requested] * self.temperatures.size
        elif n_sweeps is not None:
            names = ["swendsen-wang" if self._clusters_apply else "metropolis"] * self.temperatures.size
        else:
            self._choose(progress=progress)
            return
        if not self._units:
            self._start(names, self._seeds[0], progress=progress)
        if n_sweeps is None:
            self._pilot(_LONGEST_PILOT, progress=progress)
        else:
            blocks = _blocks(n_sweeps, _SWEEPS_PER_STEP)

            def work(unit: Unit) -> Iterator[None]:
                for n in blocks:
                    unit.advance(n)
                    yield

            self._for_all(self._units, work, "thermalising", len(blocks), progress)
            self.n_thermalize += n_sweeps

    def draw(self, n_draws: int, *, n_skip: int | None = None, progress: bool = False) -> xr.Dataset:
        """Draw snapshots from every chain and go on from there at the next call.

        Parameters
        ----------
        n_draws : int
            Draws from each chain, at least 1.
        n_skip : int, optional, keyword
            Sweeps before each draw. By default two measured autocorrelation times.
        progress : bool, keyword
            Show a progress bar.

        Returns
        -------
        xarray.Dataset
            Snapshots (see `qmlphys.snapshots`) with `energy` and `magnetization` per site. The attribute `montecarlo`
            holds, as JSON, the algorithm, sweeps and autocorrelation time of each temperature.

        Raises
        ------
        ValueError
            If the spins would need more than 16 GiB: draw several times instead.
        """
        n_draws = whole_number("n_draws", n_draws)
        n_sites = self.model.lattice.n_sites
        shape = (self.temperatures.size, self.n_chains, n_draws)
        if np.prod(shape, dtype=float) * n_sites > _MAX_BYTES:
            raise ValueError(
                f"Argument `n_draws` must leave at most {_MAX_BYTES} bytes of spins, but {n_draws} draws of "
                f"{self.n_chains} chains of {n_sites} sites at {shape[0]} temperatures need more; draw several times "
                "from a Simulation."
            )
        if not self._units:
            self.thermalize(progress=progress)
        if n_skip is not None:
            skips = np.full(shape[0], whole_number("n_skip", n_skip))
        elif np.isnan(self.autocorrelation_times).any():
            self._measure_times(progress=progress)
            skips = self._default_skips()
        else:
            skips = self._default_skips()
        spins = np.empty((*shape, n_sites), dtype=np.int8)
        pairs = np.empty(shape, dtype=np.int64)
        total = np.empty(shape, dtype=np.int64)

        def work(unit: Unit) -> Iterator[None]:
            t, chain = unit.members.T
            rows = np.empty((len(t), n_sites), dtype=np.int8)
            for k in range(n_draws):
                series = unit.trajectory(1, int(skips[t].max()))
                unit.snapshot(rows)
                pairs[t, chain, k] = series.pairs[:, 0]
                total[t, chain, k] = series.spins[:, 0]
                spins[t, chain, k] = rows
                yield

        self._for_all(self._units, work, "drawing", n_draws, progress)
        ds = snapshots.dataset(
            spins,
            self.temperatures,
            name="temperature",
            units="J/k_B",
            source="montecarlo",
            model=self.model.label,
            lattice=self.model.lattice.label,
            seed=self.seed,
            observables={
                "energy": (-self.model.coupling * pairs - self.model.field * total) / n_sites,
                "magnetization": total / n_sites,
            },
        )
        ds.attrs["montecarlo"] = json.dumps(
            {
                "algorithm": self.algorithms,
                "autocorrelation_time": [None if np.isnan(x) else round(x, 3) for x in self.autocorrelation_times],
                "n_skip": skips.tolist(),
                "n_thermalize": self.n_thermalize.tolist(),
            }
        )
        return ds

    @property
    def _clusters_apply(self) -> bool:
        return self.model.field == 0.0

    def _default_skips(self) -> NDArray[np.int64]:
        return np.maximum(1, np.ceil(2.0 * self.autocorrelation_times)).astype(np.int64)

    def _start(self, algorithms: list[str], seed: np.random.SeedSequence, *, progress: bool) -> None:
        for name in sorted(set(algorithms) - {""}):
            if not is_compiled(name):
                _LOG.info("compiling the %s kernel, this once", name)
                if progress:
                    Console(stderr=True).print(f"Compiling the {name} kernel, this once (some seconds).")
        self.algorithms = list(algorithms)
        self._units = make_units(self._tables, self.temperatures, algorithms, self.n_chains, seed)

    def _choose(self, *, progress: bool) -> None:
        """Settle "auto": Metropolis wherever a short pilot of it is long enough, Swendsen-Wang elsewhere."""
        n = self.temperatures.size
        self._start(["metropolis"] * n, self._seeds[0], progress=progress)
        if not self._clusters_apply:
            self._pilot(_LONGEST_PILOT, progress=progress)
            return
        slow = self._pilot(_AUTO_PILOT, progress=progress)
        if not slow.any():
            return
        for unit in self._units:
            if isinstance(unit, MetropolisUnit):
                unit.leave_out(slow)
        keep = [unit for unit in self._units if unit.members.size]
        clusters = ["swendsen-wang" if slow[t] else "" for t in range(n)]
        self._start(clusters, self._seeds[1], progress=progress)
        self.n_thermalize[slow] = 0
        self._pilot(_LONGEST_PILOT, progress=progress)
        self.algorithms = [name or "metropolis" for name in clusters]
        self._units = [*keep, *self._units]

    def _measure_times(self, *, progress: bool) -> None:
        before = self.n_thermalize.copy()
        self._pilot(_LONGEST_PILOT, progress=progress)
        _LOG.debug("measured autocorrelation times after %s sweeps", self.n_thermalize - before)

    def _pilot(self, longest: int, *, progress: bool) -> NDArray[np.bool_]:
        """Run `self._units` in rounds of doubling length until each is long enough; returns which are not."""
        present = np.zeros(self.temperatures.size, dtype=bool)
        for unit in self._units:
            present[unit.members[:, 0]] = True
        pending = present.copy()
        n_sweeps = _FIRST_PILOT
        while pending.any():
            units = [unit for unit in self._units if pending[unit.members[:, 0]].any()]
            n_skip = ceil(n_sweeps / _POINTS)
            n_points = n_sweeps // n_skip
            series: dict[int, Series] = {}

            blocks = _blocks(n_points, max(1, _SWEEPS_PER_STEP // n_skip))

            def work(
                unit: Unit, blocks: list[int] = blocks, n_skip: int = n_skip, series: dict[int, Series] = series
            ) -> Iterator[None]:
                parts = []
                for n in blocks:
                    parts.append(unit.trajectory(n, n_skip))
                    yield
                series[id(unit)] = Series.joined(parts)

            self._for_all(units, work, f"pilot run of {n_sweeps} sweeps", len(blocks), progress)
            taus = np.full(self.temperatures.size, np.nan)
            for t in np.unique(np.concatenate([unit.members[:, 0] for unit in units])):
                taus[t] = n_skip * self._largest_time([series[id(unit)] for unit in units], t)
                self.n_thermalize[t] += n_points * n_skip
            measured = ~np.isnan(taus) & pending
            self.autocorrelation_times[measured] = taus[measured]
            pending &= ~(n_sweeps >= _LENGTHS * taus)
            n_sweeps *= 2
            # A time that this round saw only the beginning of will not fit into the rounds that are left.
            if n_sweeps > longest or (pending.any() and 2 * _LENGTHS * taus[pending].max() > 8 * longest):
                break
        if pending.any() and longest == _LONGEST_PILOT:
            worst = np.flatnonzero(pending)[np.argmax(self.autocorrelation_times[pending])]
            raise RuntimeError(
                f"The autocorrelation time of {self.algorithms[worst] or 'swendsen-wang'} at T = "
                f"{self.temperatures[worst]:g} on {self.model.lattice.label} exceeds "
                f"{self.autocorrelation_times[worst]:.0f} sweeps; choose a cluster algorithm, or give `n_thermalize` "
                "and `n_skip`."
            )
        return pending

    def _largest_time(self, found: list[Series], t: int) -> float:
        """Largest autocorrelation time of one temperature, in measurements, over energy and order parameter."""
        pairs = np.concatenate([s.pairs[s.temperatures == t] for s in found])
        spins = np.concatenate([s.spins[s.temperatures == t] for s in found])
        energy = self.model.coupling * pairs + self.model.field * spins
        # Without a field the sign of the magnetisation carries no physics, and below Tc it never changes.
        order = spins if self.model.field != 0.0 else np.abs(spins)
        return max(autocorrelation_time(energy), autocorrelation_time(order))

    def _for_all(
        self,
        units: Sequence[Unit],
        work: Callable[[Unit], Iterator[None]],
        description: str,
        n_steps: int,
        progress: bool,
    ) -> None:
        """Run the steps of `work` on every unit, on as many threads as numba may use; Ctrl-C ends it between steps."""
        stop = threading.Event()
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with (
            Progress(*columns, console=Console(stderr=True), transient=True, disable=not progress) as bar,
            ThreadPoolExecutor(min(numba.get_num_threads(), max(1, len(units)))) as pool,
        ):
            task = bar.add_task(f"{self.model.lattice.label}: {description}", total=len(units) * n_steps)

            def run(unit: Unit) -> None:
                for _ in work(unit):
                    bar.advance(task)
                    if stop.is_set():
                        return

            futures = [pool.submit(run, unit) for unit in units]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise


def _blocks(total: int, size: int) -> list[int]:
    """Split a number into blocks of at most `size`."""
    full, rest = divmod(total, size)
    return [size] * full + [rest] * (rest > 0)
