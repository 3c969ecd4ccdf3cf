"""Circuits in, snapshots out: at once on this machine, or through the ledger on a device."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from qiskit import QuantumCircuit

from qmlphys.execution import _exact, _readout, backends
from qmlphys.execution._check import Checked, check
from qmlphys.execution._memory import available_bytes
from qmlphys.execution._refused import CircuitRefused
from qmlphys.execution._task import Options, Task, make_task

__all__ = ["execute", "run", "statevector"]

_MAX_SEED = 2**63


def run(
    circuits: QuantumCircuit | Sequence[QuantumCircuit],
    backend: str = "aer",
    *,
    shots: int | None = 1024,
    rng: int | np.random.Generator | None = None,
    parameter_values: ArrayLike | None = None,
    values: ArrayLike | None = None,
    name: str = "parameter",
    units: str = "1",
    basis: str = "Z",
    model: str = "",
    lattice: str = "",
    options: Options | None = None,
) -> xr.Dataset:
    """Run circuits and return their snapshots.

    On this machine the circuits run at once, all scan points in one job of the simulator. On IBM devices this is
    `submit` followed by `fetch`: the job stands in the ledger, and is found again if this process ends.

    Parameters
    ----------
    circuits : QuantumCircuit or sequence of QuantumCircuit
        One circuit, with free parameters or without, or one circuit a scan point, all with the same classical
        registers. To be sampled, a circuit must measure something: nothing is added silently. With ``shots=None`` a
        circuit without measurements gives the probabilities of its qubits.
    backend : str
        "statevector", "aer", "aer-mps", "aer-gpu", "fake_...", "ibm_..." or "ibm"; see `qmlphys.execution.backends`.
    shots : int or None
        Shots a scan point, >= 1. None, on "statevector" only: exact probabilities.
    rng : int, Generator or None
        The same seed gives the same bits, on simulators and fake devices. None takes fresh entropy, which the result
        records.
    parameter_values : array_like of float, shape (n_points, n_parameters), optional
        One row a scan point, in the order of ``circuit.parameters``; (n_points,) where there is one parameter.
    values : array_like of float, shape (n_points,), optional
        The control parameter of each scan point. Unless given: the parameter's values where there is one, else 0, 1,
        2, ...
    name, units : str
        Of the control parameter.
    basis, model, lattice : str
        Attributes of the result.
    options : Options, optional
        How to translate and simulate.

    Returns
    -------
    xarray.Dataset
        Snapshots of shape (n_points, 1, shots, n_bits), bit 0 as spin +1, with the coordinate ``register`` on
        ``site``; attributes hold the backend, versions, layout, calibration time and number of two-qubit gates. With
        ``shots=None`` instead ``probability`` over ``(parameter, outcome)``, outcome k having bit i with the weight
        2**i.

    Raises
    ------
    CircuitRefused
        If the circuit cannot run there; the text says what to do.
    BackendMissing
        If something must be installed or set up first.
    ValueError, TypeError
        If an argument does not fit.

    Examples
    --------
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0)
    >>> _ = bell.cx(0, 1)
    >>> run(bell, "statevector", shots=None).probability.values.round(12).tolist()
    [[0.5, 0.0, 0.0, 0.5]]
    >>> bell.measure_all()
    >>> spins = run(bell, "aer", shots=100, rng=1).spins.values[0, 0]
    >>> bool((spins[:, 0] == spins[:, 1]).all())
    True
    """
    kind = backends.resolve(backend).kind
    if kind == "ibm":
        from qmlphys.execution import jobs

        job = jobs.submit(
            circuits,
            backend,
            shots=shots,
            rng=rng,
            parameter_values=parameter_values,
            values=values,
            name=name,
            units=units,
            basis=basis,
            model=model,
            lattice=lattice,
            options=options,
        )
        return jobs.fetch(job)
    task = make_task(
        circuits,
        backend,
        shots=shots,
        rng=secrets.randbelow(_MAX_SEED) if rng is None and shots is not None else rng,
        parameter_values=parameter_values,
        values=values,
        name=name,
        units=units,
        basis=basis,
        model=model,
        lattice=lattice,
        options=options,
    )
    return execute(task, check(task), seed=task.seed or 0)


def statevector(circuit: QuantumCircuit) -> NDArray[np.complex128]:
    """Return the amplitudes of a circuit, before its final measurements.

    Parameters
    ----------
    circuit : QuantumCircuit
        Without free parameters. Measurements at its end are left out; those in the middle, and control flow, are
        refused.

    Returns
    -------
    ndarray of complex128, shape (2**n_qubits,)
        Amplitudes, global phase included; qubit i has the weight 2**i.

    Raises
    ------
    CircuitRefused
        If the circuit has no single state vector, or one that does not fit into memory.

    Examples
    --------
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0)
    >>> _ = bell.cx(0, 1)
    >>> statevector(bell).round(3).tolist()
    [(0.707+0j), 0j, 0j, (0.707+0j)]
    """
    # A task checks the circuit, its parameters and the memory.
    task = make_task(circuit, "statevector", shots=None)
    check(task)
    return _exact.unmeasured(task.circuits[0])


def execute(task: Task, checked: Checked, *, seed: int) -> xr.Dataset:
    """Run a checked task on this machine.

    Parameters
    ----------
    task : Task
        For a simulator or a fake device.
    checked : Checked
        What `check` gave for it.
    seed : int
        >= 0; the same seed gives the same bits. Not used where ``shots`` is None.

    Returns
    -------
    xarray.Dataset
        As `run` returns it.

    Raises
    ------
    CircuitRefused
        If the circuit cannot run there.
    SimulationFailed
        If the simulator gives up.
    """
    attrs: dict[str, str | int | float] = {
        "n_qubits": checked.n_qubits,
        "n_two_qubit_gates": checked.n_two_qubit_gates,
        "depth": checked.depth,
    }
    if checked.layout is not None:
        attrs["layout"] = checked.layout
    if task.shots is None:
        return _readout.probabilities(task, _probabilities(task), attrs=attrs)
    attrs["shots"] = task.shots
    if task.backend == "statevector":
        return _readout.to_dataset(task, _draw(task, seed), seed=seed, attrs=attrs)
    from qmlphys.execution import _simulators

    registers, more = _simulators.sample(task, checked, seed=seed)
    return _readout.to_dataset(task, registers, seed=seed, attrs=attrs | more)


def _bound(task: Task) -> Iterator[QuantumCircuit]:
    """Yield the circuit of each scan point, with its parameters assigned."""
    if task.parameter_values is None:
        yield from task.circuits
        return
    for row in task.parameter_values:
        yield task.circuits[0].assign_parameters(row.tolist())


def _probabilities(task: Task) -> NDArray[np.float64]:
    """Return the exact probability of every outcome at every scan point."""
    n_bits = task.circuits[0].num_clbits or task.circuits[0].num_qubits
    if any((circuit.num_clbits or circuit.num_qubits) != n_bits for circuit in task.circuits):
        raise CircuitRefused("Exact probabilities need circuits of one size, but theirs differ: run them one by one.")
    needed, free = 8 * task.n_points * 2**n_bits, available_bytes()
    if needed > free:
        raise CircuitRefused(
            f"The probabilities of {n_bits} bits at {task.n_points} scan points need {needed / 2**30:.3g} GiB, but "
            f"{free / 2**30:.3g} GiB are free: measure fewer bits, or sample with shots."
        )
    rows = np.zeros((task.n_points, 2**n_bits))
    order = _order(task)
    for point, circuit in enumerate(_bound(task)):
        outcomes, probabilities = _exact.distribution(circuit)
        rows[point, _reorder(outcomes, order)] = probabilities
    return rows


def _draw(task: Task, seed: int) -> list[dict[str, NDArray[np.uint8]]]:
    """Draw shots from the exact probabilities; each scan point has random numbers of its own."""
    registers = []
    order = _order(task)
    streams = np.random.SeedSequence(seed).spawn(task.n_points)
    for circuit, stream in zip(_bound(task), streams, strict=True):
        outcomes, probabilities = _exact.distribution(circuit)
        edges = np.cumsum(probabilities)
        drawn = np.searchsorted(edges, np.random.default_rng(stream).random(task.shots) * edges[-1], side="right")
        # Rounding can put a draw past the last edge, and a zero probability must not be drawn there.
        drawn = np.minimum(drawn, np.flatnonzero(probabilities)[-1])
        words = outcomes[drawn]
        found, start = {}, 0
        for name, size in task.registers.items():
            places = np.array(order[start : start + size], dtype=np.int64)
            found[name] = ((words[:, np.newaxis] >> places) & 1).astype(np.uint8)
            start += size
        registers.append(found)
    return registers


def _order(task: Task) -> list[int]:
    """Return the classical bits in the order of the registers, as declared."""
    circuit = task.circuits[0]
    return [circuit.find_bit(bit).index for register in circuit.cregs for bit in register]


def _reorder(outcomes: NDArray[np.int64], order: Sequence[int]) -> NDArray[np.int64]:
    """Give outcomes the bits in the order of the registers."""
    if list(order) == list(range(len(order))):
        return outcomes
    result = np.zeros_like(outcomes)
    for place, clbit in enumerate(order):
        result |= ((outcomes >> clbit) & 1) << place
    return result
