"""Circuits of generative models on backends: jobs through the ledger, post-selection, and a test of what came back."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from qmlphys import snapshots
from qmlphys.bits import integers_to_bits, spins_to_integers
from qmlphys.execution import jobs
from qmlphys.execution.jobs import JobError
from qmlphys.stats import Estimate

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qmlphys.execution import Options

__all__ = ["FLAG", "ChiSquared", "chi_squared", "fetch", "kept_shares", "probabilities", "sample_on", "submit"]

FLAG = "flag"
"""The classical register of filters: post-selection keeps the shots in which all its bits are 0."""

_MAX_ENUMERATED = 20
_FEWEST_EXPECTED = 5.0  # in a bin; below, the statistic is not distributed as chi squared


def submit(
    circuits: QuantumCircuit | Sequence[QuantumCircuit],
    backend: str = "aer",
    *,
    shots: int,
    values: ArrayLike | None = None,
    name: str = "parameter",
    units: str = "1",
    model: str = "",
    lattice: str = "",
    basis: str = "Z",
    seed: int | None = None,
    options: Options | None = None,
) -> str:
    """Write the circuits into the ledger as one job, start or send it, and return its id at once.

    Parameters
    ----------
    circuits : QuantumCircuit or sequence of QuantumCircuit
        Measured circuits with the same classical registers, one a value of the parameter.
    backend : str
        See `qmlphys.execution.backends`.
    shots : int
        Shots of each circuit, at least 1.
    values : array_like of float, shape (n_circuits,), optional
        The control parameter; 0, 1, 2, ... unless given.
    name, units : str
        Of the control parameter.
    model, lattice, basis : str
        Labels for the snapshots; the basis is what was learned, nothing is rotated here.
    seed : int, optional
        Of a simulation; derived from the job's id unless given.
    options : qmlphys.execution.Options, optional
        How to translate and simulate.

    Returns
    -------
    str
        The job's id, for `fetch`.

    Raises
    ------
    ValueError
        If an argument does not fit, or a circuit measures nothing or cannot run on the backend.
    JobError
        If a service did not take the job; the ledger keeps it.

    Examples
    --------
    >>> import os, tempfile
    >>> from unittest import mock
    >>> with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, QMLPHYS_HOME=folder):
    ...     submit([], shots=100)
    Traceback (most recent call last):
        ...
    ValueError: Argument `circuits` must hold at least one circuit, but it is empty.
    """
    found = [circuits] if not isinstance(circuits, Sequence) else list(circuits)
    if not found:
        raise ValueError("Argument `circuits` must hold at least one circuit, but it is empty.")
    return jobs.submit(
        found if len(found) > 1 else found[0],
        backend,
        shots=shots,
        rng=seed,
        values=np.arange(len(found), dtype=float) if values is None else values,
        name=name,
        units=units,
        model=model,
        lattice=lattice,
        basis=basis,
        options=options,
    )


def fetch(job_id: str, *, timeout: float | None = None) -> xr.Dataset:
    """Wait for a job and return its snapshots, post-selected where the circuits have filters.

    Parameters
    ----------
    job_id : str
        From `submit`, in this process or any other one.
    timeout : float, optional
        Seconds to wait; without end unless given.

    Returns
    -------
    xarray.Dataset
        Snapshots with ``source="device"``. Of circuits with the register "flag" only the shots with all flags 0, and
        only the other registers; where several circuits kept different numbers of shots, the first ones of each, as
        many as the poorest has. The attributes ``kept`` and ``n_shots`` (JSON) say how many of how many shots were
        kept; `kept_shares` reads them.

    Raises
    ------
    ValueError
        If this ledger has no such job, or post-selection left no shot.
    JobError
        If the job failed or was cancelled.
    TimeoutError
        If it is not done in time.

    Examples
    --------
    >>> fetch("../../etc/passwd")
    Traceback (most recent call last):
        ...
    ValueError: Argument `job_id` must be 4 to 64 hexadecimal digits of a job's id, but it is '../../etc/passwd'.
    """
    try:
        ds = jobs.fetch(job_id, timeout=timeout)
    except JobError as error:
        if error.state != "done":
            raise
        # Its result was lost since: a simulation gives the same bits again, a service still has them.
        jobs.restore(job_id)
        ds = jobs.fetch(job_id, timeout=timeout)
    return _post_selected(ds)


def sample_on(
    circuits: QuantumCircuit | Sequence[QuantumCircuit],
    backend: str = "aer",
    *,
    shots: int,
    values: ArrayLike | None = None,
    name: str = "parameter",
    units: str = "1",
    model: str = "",
    lattice: str = "",
    basis: str = "Z",
    seed: int | None = None,
    options: Options | None = None,
    timeout: float | None = None,
) -> xr.Dataset:
    """Sample circuits on a backend through the ledger: `submit`, then `fetch`.

    The same circuits with the same settings are one job for ever: a second call fetches what the first one computed.

    Parameters
    ----------
    circuits, backend, shots, values, name, units, model, lattice, basis, seed, options
        As in `submit`.
    timeout : float, optional
        Seconds to wait; without end unless given.

    Returns
    -------
    xarray.Dataset
        As of `fetch`.

    Raises
    ------
    ValueError, JobError, TimeoutError
        As `submit` and `fetch`.

    Examples
    --------
    >>> import os, tempfile
    >>> from unittest import mock
    >>> from qiskit import QuantumCircuit
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0)
    >>> _ = bell.cx(0, 1)
    >>> bell.measure_all()
    >>> with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, QMLPHYS_HOME=folder):
    ...     drawn = sample_on(bell, "statevector", shots=100, seed=1)
    >>> drawn.attrs["source"], sorted(set(snapshots.counts(drawn)))
    ('device', ['00', '11'])
    """
    job_id = submit(
        circuits,
        backend,
        shots=shots,
        values=values,
        name=name,
        units=units,
        model=model,
        lattice=lattice,
        basis=basis,
        seed=seed,
        options=options,
    )
    return fetch(job_id, timeout=timeout)


def kept_shares(ds: xr.Dataset) -> list[Estimate]:
    """Return the share of the shots that post-selection kept, for each value of the parameter.

    Parameters
    ----------
    ds : xarray.Dataset
        From `fetch`.

    Returns
    -------
    list of Estimate
        Exactly 1 without filters.

    Examples
    --------
    >>> about = {"name": "temperature", "units": "J/k_B", "source": "device", "model": "", "lattice": "", "seed": 0}
    >>> ds = snapshots.from_counts({"00": 40, "11": 60}, parameter=1.0, **about)
    >>> kept_shares(ds)[0].mean
    1.0
    """
    if "kept" not in ds.attrs:
        return [Estimate(1.0, 0.0)] * ds.sizes["parameter"]
    n_shots = json.loads(ds.attrs["n_shots"])
    shares = []
    for n_kept in json.loads(ds.attrs["kept"]):
        share = n_kept / n_shots
        shrunk = (n_kept + 1) / (n_shots + 2)  # so that no share claims to be exact
        shares.append(Estimate(share, math.sqrt(shrunk * (1 - shrunk) / n_shots), n_effective=n_shots))
    return shares


def _post_selected(ds: xr.Dataset) -> xr.Dataset:
    """Keep the rows without a raised flag, and the columns that are no flags."""
    register = ds["register"].values.astype(str)
    if FLAG not in register:
        return ds
    spins = ds["spins"].values[:, 0]  # a device gives one chain
    flags = register == FLAG
    kept = [point[(point[:, flags] == 1).all(axis=1)][:, ~flags] for point in spins]
    numbers = [len(rows) for rows in kept]
    if min(numbers) == 0:
        raise ValueError(
            f"Post-selection must keep at least one shot, but of {spins.shape[1]} shots it kept {numbers}: take more "
            "shots, or a model of smaller condition numbers."
        )
    rows = np.stack([found[: min(numbers)] for found in kept])[:, np.newaxis]
    attrs = ds["parameter"].attrs
    result = snapshots.dataset(
        rows,
        ds["parameter"].values,
        name=attrs["name"],
        units=attrs["units"],
        source=ds.attrs["source"],
        model=ds.attrs["model"],
        lattice=ds.attrs["lattice"],
        basis=ds.attrs["basis"] if len(ds.attrs["basis"]) == 1 else "Z",
        seed=ds.attrs["seed"],
        register=list(register[~flags]),
    )
    others = {key: value for key, value in ds.attrs.items() if key not in result.attrs}
    result.attrs |= {**others, "versions": ds.attrs["versions"]}
    result.attrs |= {"kept": json.dumps(numbers), "n_shots": json.dumps(spins.shape[1])}
    return result


@dataclass(frozen=True)
class ChiSquared:
    """How well counts agree with probabilities.

    Parameters
    ----------
    statistic : float
        Sum of (observed - expected)^2 / expected; infinite where something impossible was observed.
    dof : int
        Bins less one.
    p_value : float
        Probability of a larger statistic if the probabilities are right.
    """

    statistic: float
    dof: int
    p_value: float


def chi_squared(ds: xr.Dataset, model: Any | ArrayLike, *, parameter: int = 0) -> ChiSquared:
    """Test whether snapshots come from a model, by Pearson's statistic over all configurations.

    Parameters
    ----------
    ds : xarray.Dataset
        Independent snapshots of at most 20 sites.
    model : estimator, or array_like of float, shape (2^n_sites,)
        With `score_samples`, such as a fitted `BornMachine`; or the probabilities themselves, site i with weight 2^i.
    parameter : int
        Index of the parameter's value that is tested.

    Returns
    -------
    ChiSquared
        Statistic, degrees of freedom, p-value. Configurations that are expected less than five times count as one.

    Raises
    ------
    ValueError
        If there are more than 20 sites, too few rows for two bins, or no such value of the parameter.

    Examples
    --------
    >>> from qmlphys.generative import BornMachine
    >>> model = BornMachine(max_bond=2, random_state=0).fit([[0, 0], [1, 1]] * 20)
    >>> ds = snapshots.from_counts({"00": 52, "11": 48}, 0.0, name="field", units="J", model="", lattice="", seed=1)
    >>> bool(chi_squared(ds, model).p_value > 0.01)
    True
    """
    n_sites = ds.sizes["site"]
    if n_sites > _MAX_ENUMERATED:
        raise ValueError(f"Argument `ds` must have at most {_MAX_ENUMERATED} sites, but it has {n_sites}.")
    if not 0 <= parameter < ds.sizes["parameter"]:
        raise ValueError(f"Argument `parameter` must lie in [0, {ds.sizes['parameter']}), but it is {parameter}.")
    rows = ds["spins"].values[parameter].reshape(-1, n_sites)
    observed = np.bincount(spins_to_integers(rows), minlength=2**n_sites).astype(np.float64)
    expected = probabilities(model, n_sites) if hasattr(model, "score_samples") else np.asarray(model, dtype=np.float64)
    if expected.shape != (2**n_sites,) or not np.isclose(expected.sum(), 1.0, atol=1e-6) or expected.min() < 0:
        raise ValueError(
            f"Argument `model` must give 2^{n_sites} probabilities of sum 1, but they have the shape {expected.shape} "
            f"and the sum {expected.sum():.6g}."
        )
    return _pearson(observed, len(rows) * expected)


def probabilities(model: Any, n_sites: int) -> NDArray[np.float64]:
    """Return the probability that a model gives to every configuration, site i with weight 2^i."""
    rows = integers_to_bits(np.arange(2**n_sites), n_sites)
    if getattr(model, "alphabet_", "bits") == "spins":  # a row of ones alone is read in the model's own alphabet
        rows = (1 - 2 * rows).astype(np.int8)
    return np.exp(np.asarray(model.score_samples(rows), dtype=np.float64))


def _pearson(observed: NDArray[np.float64], expected: NDArray[np.float64]) -> ChiSquared:
    """Return Pearson's test with rare outcomes joined."""
    # Rounding alone never makes a single count of something impossible.
    if observed[expected < 1e-9].any():
        return ChiSquared(math.inf, max(1, int((expected >= _FEWEST_EXPECTED).sum())), 0.0)
    common = expected >= _FEWEST_EXPECTED
    seen, hoped = list(observed[common]), list(expected[common])
    rest_seen, rest_hoped = float(observed[~common].sum()), float(expected[~common].sum())
    if rest_hoped >= _FEWEST_EXPECTED or not hoped:
        seen.append(rest_seen)
        hoped.append(rest_hoped)
    else:
        rarest = int(np.argmin(hoped))
        seen[rarest] += rest_seen
        hoped[rarest] += rest_hoped
    if len(hoped) < 2:
        raise ValueError(
            f"Argument `ds` must have enough rows for two bins, but {int(observed.sum())} rows fill {len(hoped)}."
        )
    statistic = float(((np.array(seen) - hoped) ** 2 / np.array(hoped)).sum())
    return ChiSquared(statistic, len(hoped) - 1, float(chi2.sf(statistic, len(hoped) - 1)))
