"""From measured bits to the snapshot Dataset."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys.execution._task import Task
from qmlphys.snapshots import dataset

__all__ = ["probabilities", "to_dataset"]

Attributes = Mapping[str, str | int | float]


def to_dataset(
    task: Task, registers: Sequence[Mapping[str, NDArray[np.uint8]]], *, seed: int | str | None, attrs: Attributes
) -> xr.Dataset:
    """Turn the bits of every scan point into a snapshot Dataset.

    Parameters
    ----------
    task : Task
        What was run.
    registers : sequence of mapping of str to ndarray of uint8, length n_points
        For each scan point the classical registers by name, each of shape (shots, size) with values 0 and 1; column
        ``i`` is bit ``i`` of the register.
    seed : int, str or None
        What the random numbers were started from; None on devices, kept as "unknown".
    attrs : mapping of str to str, int or float
        Further attributes: backend, layout, calibration time, ...

    Returns
    -------
    xarray.Dataset
        A snapshot Dataset of shape (n_points, 1, shots, n_bits), with bit 0 as spin +1. Classical registers follow
        each other in order of declaration and are named by the coordinate ``register``.

    Raises
    ------
    ValueError
        If the bits do not fit the task.

    Examples
    --------
    >>> from qiskit import QuantumCircuit
    >>> from qmlphys.execution._task import make_task
    >>> circuit = QuantumCircuit(2)
    >>> circuit.measure_all()
    >>> task = make_task(circuit, "aer", shots=1)
    >>> ds = to_dataset(task, [{"meas": np.array([[0, 1]], dtype=np.uint8)}], seed=1, attrs={"backend": "aer"})
    >>> ds.spins.values.tolist(), ds.register.values.tolist()
    ([[[[1, -1]]]], ['meas', 'meas'])
    """
    sizes = task.registers
    if len(registers) != task.n_points:
        raise ValueError(f"The result must hold {task.n_points} scan points, but it holds {len(registers)}.")
    spins = np.empty((task.n_points, 1, task.shots or 0, sum(sizes.values())), dtype=np.int8)
    for point, found in enumerate(registers):
        start = 0
        for name, size in sizes.items():
            if name not in found:
                raise ValueError(f"The result must hold the register {name!r}, but it holds {sorted(found)}.")
            rows = found[name]
            if rows.shape != (task.shots, size):
                raise ValueError(
                    f"The register {name!r} must have the shape {(task.shots, size)}, but its shape is {rows.shape}."
                )
            if rows.size and rows.max() > 1:
                raise ValueError(f"The register {name!r} must hold bits, but it holds {rows.max()}.")
            # Into place without temporaries of the size of the data: 1 - 2 * bit.
            block = spins[point, 0, :, start : start + size]
            np.copyto(block, rows, casting="unsafe")
            block *= -2
            block += 1
            start += size
    result = dataset(
        spins,
        task.values,
        name=task.name,
        units=task.units,
        source="device",
        model=task.model,
        lattice=task.lattice,
        basis=task.basis,
        seed=seed,
        register=[name for name, size in sizes.items() for _ in range(size)],
    )
    _add_attributes(result, task, attrs)
    return result


def probabilities(task: Task, rows: NDArray[np.float64], *, attrs: Attributes) -> xr.Dataset:
    """Turn exact probabilities into a Dataset.

    Parameters
    ----------
    task : Task
        What was run, with ``shots=None``.
    rows : ndarray of float64, shape (n_points, n_outcomes)
        Probabilities; outcome ``k`` has bit ``i`` with the weight ``2**i``.
    attrs : mapping of str to str, int or float
        Further attributes.

    Returns
    -------
    xarray.Dataset
        ``probability`` over ``(parameter, outcome)``, with the outcomes 0, 1, ... as int64 coordinate. Bits are
        those of the classical registers in order of declaration, or the qubits where nothing is measured.
    """
    parameter = ("parameter", np.array(task.values, dtype=np.float64), {"name": task.name, "units": task.units})
    result = xr.Dataset(
        {"probability": (("parameter", "outcome"), rows)},
        {"parameter": parameter, "outcome": np.arange(rows.shape[1], dtype=np.int64)},
        {
            "source": "device",
            "model": task.model,
            "lattice": task.lattice,
            "basis": task.basis,
            "seed": "none",
            "versions": json.dumps({"qmlphys": _version("qmlphys"), "numpy": _version("numpy")}),
            "registers": json.dumps(task.registers),
        },
    )
    _add_attributes(result, task, attrs)
    return result


def _add_attributes(result: xr.Dataset, task: Task, attrs: Attributes) -> None:
    """Add the task's id, the versions of what ran it, and what the caller knows."""
    versions = json.loads(result.attrs["versions"])
    packages = ["qiskit"]
    if task.backend.startswith(("aer", "fake_")):
        packages.append("qiskit-aer")
    if task.backend.startswith(("fake_", "ibm")):
        packages.append("qiskit-ibm-runtime")
    versions.update({package: _version(package) for package in packages})
    result.attrs["versions"] = json.dumps(versions, sort_keys=True)
    result.attrs["backend"] = task.backend
    result.attrs["task"] = task.id
    result.attrs.update(attrs)


def _version(package: str) -> str:
    """Return an installed package's version."""
    if package == "qiskit-aer":
        for name in ("qiskit-aer", "qiskit-aer-gpu"):
            try:
                return importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        return "unknown"
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
