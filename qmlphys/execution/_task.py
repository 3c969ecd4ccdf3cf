"""What a job is, before it is translated for a device: circuits, backend, shots, seed, options."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Gate
from qiskit.circuit.library import StatePreparation

from qmlphys.execution import _canonical, backends
from qmlphys.execution._options import Options, check_options
from qmlphys.execution._qpy import first_line, load_qpy
from qmlphys.execution._task_arguments import (
    check_registers,
    checked_circuits,
    checked_parameters,
    checked_seed,
    checked_shots,
    checked_values,
)
from qmlphys.snapshots import MAX_BYTES

__all__ = ["MAX_TASK_BYTES", "Options", "Task", "make_task", "task_from_bytes", "task_to_bytes"]

MAX_TASK_BYTES = 256 * 2**20
"""The largest serialised task, in bytes."""

_QPY_VERSION = 17
_MAGIC = b"QMLPHYS1"


@dataclass(frozen=True, eq=False)
class Task:
    """What a job is, before translation. Make one with `make_task`, which validates everything.

    Two tasks are equal when their ids are: the SHA-256 of a canonical form (see `qmlphys.execution._canonical`).

    Parameters
    ----------
    circuits : tuple of QuantumCircuit
        One circuit (with `parameter_values` if it has free parameters), or one circuit a scan point.
    backend : str
        Canonical name, such as "aer", "fake_torino", "ibm_torino".
    shots : int or None
        Shots a scan point; None for exact probabilities, on "statevector" only.
    seed : int or None
        None if the user chose none.
    parameter_values : ndarray of float64, shape (n_points, n_parameters), or None
        Values of the circuit's free parameters, in the order of ``circuit.parameters``.
    values : tuple of float, length n_points
        The scan's control parameter.
    name, units : str
        What the control parameter is, and its units.
    basis, model, lattice : str
        Go into the result's attributes.
    options : Options
        How to translate and simulate.
    repeat : int
        Tells intended repetitions of the same task apart.
    """

    circuits: tuple[QuantumCircuit, ...]
    backend: str
    shots: int | None
    seed: int | None
    parameter_values: NDArray[np.float64] | None
    values: tuple[float, ...]
    name: str
    units: str
    basis: str = "Z"
    model: str = ""
    lattice: str = ""
    options: Options = field(default_factory=Options)
    repeat: int = 0

    @functools.cached_property
    def id(self) -> str:
        """The SHA-256 of the canonical form: 64 hexadecimal digits."""
        fields = self._fields()
        options = fields.pop("options")
        # Only what differs from the defaults: an option that a later version adds leaves old ids as they are.
        fields.update({f"options.{key}": value for key, value in options.items()})
        return _canonical.digest(self.circuits, fields, arrays={"parameter_values": self.parameter_values})

    @property
    def n_points(self) -> int:
        """Number of scan points."""
        return len(self.values)

    @property
    def n_qubits(self) -> int:
        """Number of qubits of the widest circuit."""
        return max(circuit.num_qubits for circuit in self.circuits)

    @property
    def registers(self) -> dict[str, int]:
        """Classical registers in order of declaration, each with its number of bits."""
        return {register.name: register.size for register in self.circuits[0].cregs if register.size}

    def __eq__(self, other: object) -> bool:
        """Compare by id."""
        return self.id == other.id if isinstance(other, Task) else NotImplemented

    def __hash__(self) -> int:
        """Hash by id."""
        return hash(self.id)

    def _fields(self) -> dict[str, Any]:
        """Return all but the circuits and arrays, as JSON types."""
        fields: dict[str, Any] = {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
            if each.name not in ("circuits", "parameter_values", "options", "values")
        }
        return {**fields, "values": list(self.values), "options": self.options.changed()}


def make_task(
    circuits: QuantumCircuit | Sequence[QuantumCircuit],
    backend: str,
    *,
    shots: int | None,
    rng: int | np.random.Generator | None = None,
    parameter_values: ArrayLike | None = None,
    values: ArrayLike | None = None,
    name: str = "parameter",
    units: str = "1",
    basis: str = "Z",
    model: str = "",
    lattice: str = "",
    options: Options | None = None,
    repeat: int = 0,
) -> Task:
    """Validate a task and make it.

    Parameters
    ----------
    circuits : QuantumCircuit or sequence of QuantumCircuit
        One circuit, with free parameters or without, or one circuit a scan point, all with the same classical
        registers. They are copied.
    backend : str
        See `qmlphys.execution.backends.resolve`.
    shots : int or None
        >= 1 a scan point. None, on "statevector" only: exact probabilities.
    rng : int, Generator or None
        Seed, or a Generator from which one is drawn. None: no seed chosen.
    parameter_values : array_like of float, shape (n_points, n_parameters), optional
        One row a scan point, in the order of ``circuit.parameters`` (by name). A circuit with one free parameter
        also takes the shape (n_points,).
    values : array_like of float, shape (n_points,), optional
        The control parameter of each scan point. Unless given: the parameter values where there is one free
        parameter, else 0, 1, 2, ...
    name, units : str
        Of the control parameter.
    basis : str
        "Z", "X" or "Y" for all sites, or one letter a site: what was rotated into the measurements.
    model, lattice : str
        Labels for the result.
    options : Options, optional
        How to translate and simulate.
    repeat : int
        >= 0; another number makes another task of the same circuits.

    Returns
    -------
    Task
        Validated.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument does not fit; the text says what to do.

    Examples
    --------
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0)
    >>> _ = bell.cx(0, 1)
    >>> bell.measure_all()
    >>> task = make_task(bell, "aer", shots=100, rng=1)
    >>> task.id == make_task(bell.copy("another name"), "aer", shots=100, rng=1).id
    True
    """
    target = backends.resolve(backend)
    chosen = Options() if options is None else options
    if not isinstance(chosen, Options):
        raise TypeError(f"Argument `options` must be an Options, but it is a {type(chosen).__name__}.")
    check_options(chosen, target)
    found = checked_circuits(circuits)
    n_shots = checked_shots(shots, target)
    check_registers(found, n_shots, target)
    parameters = checked_parameters(found, parameter_values)
    n_points = len(found) if parameters is None else len(parameters)
    points = checked_values(values, n_points, parameters)
    n_bits = sum(register.size for register in found[0].cregs)
    if n_shots is not None and n_points * n_shots * n_bits > MAX_BYTES:
        raise ValueError(
            f"Argument `shots` must give at most {MAX_BYTES} bits in all, but {n_points} points of {n_shots} shots "
            f"and {n_bits} bits give {n_points * n_shots * n_bits}."
        )
    for key, text in (("name", name), ("units", units), ("model", model), ("lattice", lattice), ("basis", basis)):
        if not isinstance(text, str):
            raise TypeError(f"Argument `{key}` must be text, but it is a {type(text).__name__}.")
    if not basis or basis.strip("XYZ") or (len(basis) > 1 and n_shots is not None and len(basis) != n_bits):
        raise ValueError(
            f"Argument `basis` must be X, Y or Z, or one such letter for each of the {n_bits} bits, but it is "
            f"{basis!r}."
        )
    if isinstance(repeat, bool) or not isinstance(repeat, (int, np.integer)) or repeat < 0:
        raise ValueError(f"Argument `repeat` must be an integer >= 0, but it is {repeat!r}.")
    task = Task(
        circuits=found,
        backend=target.name,
        shots=n_shots,
        seed=checked_seed(rng),
        parameter_values=parameters,
        values=points,
        name=name,
        units=units,
        basis=basis,
        model=model,
        lattice=lattice,
        options=chosen,
        repeat=int(repeat),
    )
    _ = task.id  # what cannot be identified is refused now, not when it is stored
    return task


def task_to_bytes(task: Task) -> bytes:
    """Write a task as bytes: a JSON head and the circuits as QPY. No pickle.

    Parameters
    ----------
    task : Task
        A task.

    Returns
    -------
    bytes
        What `task_from_bytes` reads.

    Raises
    ------
    ValueError
        If the task is larger than `MAX_TASK_BYTES`, or holds a circuit that QPY does not keep as it is.
    """
    head = task._fields()
    if task.parameter_values is not None:
        head["parameter_values"] = task.parameter_values.tolist()
    head["id"] = task.id
    text = json.dumps(head, allow_nan=False, sort_keys=True).encode("utf-8")
    buffer = io.BytesIO()
    try:
        qpy.dump([_storable(circuit) for circuit in task.circuits], buffer, version=_QPY_VERSION)
    except Exception as error:  # QPY has no common base for what it cannot write
        raise ValueError(f"A circuit of the task cannot be stored: {first_line(error)}.") from None
    data = _MAGIC + struct.pack(">Q", len(text)) + text + buffer.getvalue()
    if len(data) > MAX_TASK_BYTES:
        raise ValueError(f"A task must have at most {MAX_TASK_BYTES} bytes once stored, but it has {len(data)}.")
    task_from_bytes(data)  # what cannot be read back as the same task must not be relied on
    return data


def task_from_bytes(data: bytes) -> Task:
    """Read a task that `task_to_bytes` wrote; the id is computed anew and must be the one that was stored.

    Parameters
    ----------
    data : bytes
        At most `MAX_TASK_BYTES`.

    Returns
    -------
    Task
        With the same id.

    Raises
    ------
    ValueError
        If the bytes are damaged, too many, of another version, or hold QPY older than version 13.
    """
    start = len(_MAGIC) + 8
    if len(data) > MAX_TASK_BYTES:
        raise ValueError(f"A stored task must have at most {MAX_TASK_BYTES} bytes, but it has {len(data)}.")
    if len(data) < start or data[: len(_MAGIC)] != _MAGIC:
        raise ValueError("The stored task is damaged, or another version of qmlphys wrote it.")
    (length,) = struct.unpack(">Q", data[len(_MAGIC) : start])
    if length > len(data) - start:
        raise ValueError("The stored task is truncated.")
    try:
        head = json.loads(data[start : start + length].decode("utf-8"))
        stored = head.pop("id")
        options = head.pop("options")
        if options.get("layout") is not None:
            options["layout"] = tuple(options["layout"])
        parameters = head.pop("parameter_values", None)
        array = None if parameters is None else np.array(parameters, dtype=np.float64).reshape(len(parameters), -1)
        head["values"] = tuple(float(value) for value in head["values"])
        circuits = load_qpy(data[start + length :])
        if array is not None:
            array.setflags(write=False)
        task = Task(circuits=tuple(circuits), parameter_values=array, options=Options(**options), **head)
    except (KeyError, TypeError, AttributeError, UnicodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"The stored task is damaged ({first_line(error)}).") from None
    if task.id != stored:
        raise ValueError("The stored task is damaged: its circuits are not those that its id stands for.")
    return task


def _storable(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with gates that QPY forgets a part of replaced by their definitions."""
    result = circuit.copy()
    result.metadata = {}
    for i, instruction in enumerate(result.data):
        operation = instruction.operation
        # QPY loses that a state preparation is an inverse one; its definition is kept whole.
        if isinstance(operation, StatePreparation) and operation._inverse:
            plain = Gate("state_preparation_dg", operation.num_qubits, [])
            plain.definition = operation.definition
            result.data[i] = instruction.replace(operation=plain)
    return result
