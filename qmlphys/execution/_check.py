"""What is refused before anything is run or sent, and the translation for the backend. No network is used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qiskit import QuantumCircuit, generate_preset_pass_manager
from qiskit.transpiler import Target

from qmlphys.execution import _rules, backends
from qmlphys.execution._memory import available_bytes
from qmlphys.execution._refused import CircuitRefused
from qmlphys.execution._task import Task

__all__ = ["Checked", "CircuitRefused", "check"]

_MAX_LAYOUT_TEXT = 32_768
# The bytes that one shot of one scan point takes on its way out of Aer, as a Python string, and twice its bits.
_SHOT_BYTES = 100
_AMPLITUDE = {"double": 16, "single": 8}


@dataclass(frozen=True)
class Checked:
    """A task that may run, translated for its backend.

    Parameters
    ----------
    isa : tuple of QuantumCircuit
        In the backend's own operations and on its qubits; parameters still free. On "statevector", as they were.
    layout : str or None
        JSON: the physical qubit of each qubit, one list for all circuits or one a circuit. None on simulators.
    n_qubits : int
        Qubits that the widest circuit uses.
    n_two_qubit_gates : int
        Gates on two or more qubits, in the translated circuit that has most; on "statevector" and Aer gates stay
        as large as they are.
    depth : int
        Of the deepest translated circuit.
    device_seconds : float or None
        Estimate of the time that an IBM device is held; for fake devices, the device they stand for.
    """

    isa: tuple[QuantumCircuit, ...]
    layout: str | None
    n_qubits: int
    n_two_qubit_gates: int
    depth: int
    device_seconds: float | None


def check(task: Task, *, target: Target | None = None) -> Checked:
    """Translate a task for its backend, and refuse what would not run there.

    Parameters
    ----------
    task : Task
        A task.
    target : Target, optional
        The device's, for IBM devices: kept by the caller, so that nothing is asked over the network here.

    Returns
    -------
    Checked
        What will run.

    Raises
    ------
    CircuitRefused
        One clear sentence: too many qubits, an operation that the backend refuses, a job beyond the service's limits,
        too little memory.
    BackendMissing
        If something must be installed first.
    ValueError
        If `target` is missing for an IBM device.

    Examples
    --------
    >>> from qmlphys.execution._task import make_task
    >>> circuit = QuantumCircuit(40)
    >>> circuit.measure_all()
    >>> check(make_task(circuit, "statevector", shots=1))
    Traceback (most recent call last):
    ...
    qmlphys.execution.CircuitRefused: A circuit of 40 qubits needs ...
    """
    if task.backend.startswith("ibm"):
        if target is None:
            raise ValueError(f"Argument `target` must be given for an IBM device, but it is None for {task.backend}.")
        return _check_device(task, target)
    backend = backends.require(task.backend)
    if backend.kind == "fake":
        checked = _check_device(task, backends.fake_device(backend.name).target)
        _check_shots(task)
        if task.options.max_bond is None:
            _check_memory(len(_busy_qubits(checked.isa)), task)
        return checked
    if backend.name != "aer-mps":
        _check_memory(task.n_qubits, task)
    if backend.kind == "statevector":
        return _summary(task.circuits, layout=None, seconds=None)
    _check_shots(task)
    isa = _translate(task, _aer_target(backend.name, task.n_qubits), level=task.options.optimization_level or 0)
    return _summary(isa, layout=None, seconds=None)


def _check_device(task: Task, target: Target) -> Checked:
    """Apply the rules of IBM's devices."""
    n_available = target.num_qubits or 0
    if task.n_qubits > n_available:
        raise CircuitRefused(
            f"The circuit has {task.n_qubits} qubits, but {task.backend} has {n_available}: take a larger device."
        )
    if task.options.layout is not None:
        layout = task.options.layout
        if any(circuit.num_qubits != len(layout) for circuit in task.circuits) or max(layout) >= n_available:
            raise CircuitRefused(
                f"Option `layout` must name one of the {n_available} qubits of {task.backend} for each of the "
                f"{task.n_qubits} qubits of every circuit, but it is {list(layout)}."
            )
    _rules.check_operations(task.circuits)
    level = 3 if task.options.optimization_level is None else task.options.optimization_level
    isa = _translate(task, target, level=level)
    shots = task.shots or 1
    _rules.check_limits(isa, n_points=task.n_points, shots=shots)
    delay = _rules.REPETITION_DELAY
    lengths = [_rules.duration(circuit, target) for circuit in isa]
    # One circuit with many parameter values runs once a point.
    executions = shots * (task.n_points if len(isa) == 1 else 1)
    seconds = _rules.JOB_OVERHEAD + executions * sum(delay + length for length in lengths)
    if seconds > _rules.MAX_SECONDS:
        raise CircuitRefused(
            f"The job would hold the device for about {seconds:.0f} s, but the service ends jobs after "
            f"{_rules.MAX_SECONDS:.0f} s: take fewer shots or split the scan."
        )
    return _summary(isa, layout=_layout_text(isa), seconds=seconds)


def _translate(task: Task, target: Target, *, level: int) -> tuple[QuantumCircuit, ...]:
    """Translate every circuit for a target, with a seed that the task fixes."""
    seed = (int(task.id[:8], 16) if task.seed is None else task.seed) % 2**31
    on_device = not task.backend.startswith("aer")
    managers: dict[bool, Any] = {}
    result = []
    for circuit in task.circuits:
        dynamic = _rules.is_dynamic(circuit)
        if dynamic not in managers:
            own = _rules.allowed(target, dynamic=dynamic) if on_device else target
            managers[dynamic] = generate_preset_pass_manager(
                level,
                target=own,
                seed_transpiler=seed,
                initial_layout=None if task.options.layout is None else list(task.options.layout),
            )
        try:
            result.append(managers[dynamic].run(circuit))
        except MemoryError:
            raise CircuitRefused(f"A circuit of {circuit.num_qubits} qubits is too large to be translated.") from None
        except Exception as error:  # Qiskit's passes have no common base for what they cannot translate
            reason = (str(error).strip("'\"").splitlines() or [type(error).__name__])[0].rstrip(".")
            raise CircuitRefused(f"The circuit cannot be translated for {task.backend}: {reason}.") from None
    return tuple(result)


def _aer_target(name: str, n_qubits: int) -> Target:
    """Return what Aer's simulators can do, for any number of qubits and all-to-all."""
    from qiskit_aer import AerSimulator

    method = "matrix_product_state" if name == "aer-mps" else "statevector"
    known = AerSimulator(method=method).target
    # Aer's own target ends at the number of qubits that its authors found sensible for this machine's memory.
    result = Target(num_qubits=n_qubits)
    for operation in known.operation_names:
        if operation.startswith(("save_", "set_")) or operation in ("qerror_loc", "roerror", "quantum_channel"):
            continue
        result.add_instruction(known.operation_from_name(operation), name=operation)
    return result


def _busy_qubits(circuits: Sequence[QuantumCircuit]) -> list[int]:
    """Return the qubits that any of the circuits acts on, in ascending order."""
    indices: set[int] = set()
    for circuit in circuits:
        busy: set[Any] = set()
        for item in circuit.data:
            if item.name != "barrier":
                busy.update(item.qubits)
        indices.update(i for i, bit in enumerate(circuit.qubits) if bit in busy)
    return sorted(indices)


def _check_memory(n_qubits: int, task: Task) -> None:
    """Refuse a state vector that does not fit, before it is allocated."""
    # The state, and a copy of the same size while a gate is applied or outcomes are drawn.
    needed = 2 * _AMPLITUDE[task.options.precision] * 2**n_qubits
    free = available_bytes()
    if needed > free:
        mps = "Options(max_bond=...)" if task.backend.startswith("fake_") else "aer-mps"
        cure = f"use {mps} (matrix product states), which needs little where the entanglement is small, or fewer qubits"
        raise CircuitRefused(
            f"A circuit of {n_qubits} qubits needs {needed / 2**30:.3g} GiB on {task.backend}, but {free / 2**30:.3g} "
            f"GiB are free: {cure}."
        )


def _check_shots(task: Task) -> None:
    """Refuse more shots than fit into memory."""
    n_bits = sum(task.registers.values())
    needed = task.n_points * (task.shots or 0) * (_SHOT_BYTES + 2 * n_bits)
    free = available_bytes()
    if needed > free:
        raise CircuitRefused(
            f"The job's {task.n_points * (task.shots or 0)} shots of {n_bits} bits need {needed / 2**30:.3g} GiB, but "
            f"{free / 2**30:.3g} GiB are free: take fewer shots or split the scan."
        )


def _layout_text(circuits: Sequence[QuantumCircuit]) -> str | None:
    """Return the physical qubit of each qubit as JSON."""
    layouts = [
        None if circuit.layout is None else circuit.layout.initial_index_layout(filter_ancillas=True)
        for circuit in circuits
    ]
    text = json.dumps(layouts[0] if all(layout == layouts[0] for layout in layouts) else layouts)
    if len(text) > _MAX_LAYOUT_TEXT:
        return json.dumps("differs from circuit to circuit, and is too long to keep")
    return text


def _summary(isa: Sequence[QuantumCircuit], *, layout: str | None, seconds: float | None) -> Checked:
    """Count what will run."""
    return Checked(
        isa=tuple(isa),
        layout=layout,
        n_qubits=max(len(_busy_qubits([circuit])) for circuit in isa),
        n_two_qubit_gates=max(_rules.n_two_qubit_gates(circuit) for circuit in isa),
        depth=max(circuit.depth() for circuit in isa),
        device_seconds=seconds,
    )
