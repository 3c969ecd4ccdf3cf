"""Aer: one job for all scan points, on the CPU, on a GPU, as matrix product states, or with a device's noise."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import ControlFlowOp
from qiskit.transpiler import Target

from qmlphys.execution import backends
from qmlphys.execution._check import Checked, _busy_qubits
from qmlphys.execution._rules import is_dynamic
from qmlphys.execution._task import Task

__all__ = ["MAX_DENSITY_QUBITS", "SimulationFailed", "sample"]

MAX_DENSITY_QUBITS = 10
"""Up to this many noisy qubits a density matrix is followed, above it one noisy trajectory a shot."""


class SimulationFailed(RuntimeError):  # noqa: N818 (it says what happened)
    """Aer gave up; the text is Aer's own first line."""


SimulationFailed.__module__ = "qmlphys.execution"  # where users find it


def sample(
    task: Task, checked: Checked, *, seed: int
) -> tuple[list[dict[str, NDArray[np.uint8]]], dict[str, str | int | float]]:
    """Run a checked task on one of Aer's simulators, all scan points in one job.

    Parameters
    ----------
    task : Task
        For "aer", "aer-mps", "aer-gpu" or a fake device.
    checked : Checked
        Its translation.
    seed : int
        >= 0. The same seed gives the same bits.

    Returns
    -------
    registers : list of dict of str to ndarray of uint8
        For each scan point the bits of each classical register, shape (shots, size).
    attrs : dict
        What to keep beside the result: method, device, calibration time.

    Raises
    ------
    SimulationFailed
        If Aer gives up.
    """
    from qiskit_aer import AerSimulator

    circuits: Sequence[QuantumCircuit] = checked.isa
    attrs: dict[str, str | int | float] = {}
    if task.backend.startswith("fake_"):
        circuits, options, attrs = _device_options(task, checked)
    else:
        options, attrs = _plain_options(task)
    bound, binds = _points(task, circuits)
    (word,) = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    simulator = AerSimulator(**options)
    job = simulator.run(
        bound, parameter_binds=binds, shots=task.shots, memory=True, seed_simulator=int(word >> np.uint64(2))
    )
    result = job.result()
    if not result.success:
        texts = [str(result.status), *(str(part.status) for part in result.results)]
        reason = next((text for text in texts if "ERROR" in text), texts[0]).splitlines()[0]
        raise SimulationFailed(f"Aer could not run the circuit on {task.backend}: {reason[:300]}")
    points = range(task.n_points)
    found = [_bits(result.data(i)["memory"], circuits[0].num_clbits) for i in points]
    return [_by_register(rows, circuits[0]) for rows in found], attrs


def _plain_options(task: Task) -> tuple[dict[str, Any], dict[str, str | int | float]]:
    """Return the options of a simulator without noise."""
    options = task.options
    if task.backend == "aer-mps":
        return _mps_options(task), {"method": "matrix_product_state"}
    chosen: dict[str, Any] = {"method": "statevector", "precision": options.precision}
    attrs: dict[str, str | int | float] = {"method": "statevector", "precision": options.precision}
    if task.backend == "aer-gpu":
        fast = backends.custatevec()
        chosen |= {"device": "GPU", "cuStateVec_enable": fast, "batched_shots_gpu": True}
        attrs |= {"device": "GPU", "custatevec": int(fast)}
    return chosen, attrs


def _mps_options(task: Task) -> dict[str, Any]:
    """Return the options of matrix product states."""
    chosen: dict[str, Any] = {
        "method": "matrix_product_state",
        "matrix_product_state_truncation_threshold": task.options.truncation,
    }
    if task.options.max_bond is not None:
        chosen["matrix_product_state_max_bond_dimension"] = task.options.max_bond
    return chosen


def _device_options(
    task: Task, checked: Checked
) -> tuple[list[QuantumCircuit], dict[str, Any], dict[str, str | int | float]]:
    """Return the circuits on the qubits that they use, and the device's noise on just these.

    The noise of a whole device takes many times longer to build and to send to Aer than a small circuit to run.
    """
    device = backends.fake_device(task.backend)
    busy = _busy_qubits(checked.isa)
    circuits = [_compact(circuit, busy) for circuit in checked.isa]
    properties = device.properties()
    attrs: dict[str, str | int | float] = {
        "calibration_time": str(properties.last_update_date.isoformat()) if properties is not None else "unknown",
        "noise": int(task.options.noise),
    }
    # Trajectories are faster where Aer must follow each shot anyway.
    dense = len(busy) <= MAX_DENSITY_QUBITS and not any(_is_followed_shot_by_shot(circuit) for circuit in circuits)
    method = "density_matrix" if dense and task.options.noise else "statevector"
    options: dict[str, Any] = {"method": method}
    if task.options.max_bond is not None:
        options = _mps_options(task)
    attrs["method"] = options["method"]
    if task.options.noise:
        options["noise_model"] = _noise(device.target, busy, checked.isa)
    return circuits, options, attrs


def _is_followed_shot_by_shot(circuit: QuantumCircuit) -> bool:
    """Tell whether something happens to a qubit after it was measured."""
    measured: set[Any] = set()
    for item in circuit.data:
        if item.operation.name == "barrier":
            continue
        if isinstance(item.operation, ControlFlowOp) or any(bit in measured for bit in item.qubits):
            return True
        if item.operation.name == "measure":
            measured.update(item.qubits)
    return False


def _compact(circuit: QuantumCircuit, busy: Sequence[int]) -> QuantumCircuit:
    """Move a translated circuit from physical qubits to the places of the busy ones among themselves."""
    qubits = QuantumRegister(len(busy), "q")
    places = {circuit.qubits[physical]: qubits[i] for i, physical in enumerate(busy)}
    result = QuantumCircuit(qubits, circuit.clbits, *circuit.cregs, global_phase=circuit.global_phase)
    for variable in circuit.iter_declared_vars():
        result.add_uninitialized_var(variable)
    for item in circuit.data:
        kept = [places[bit] for bit in item.qubits if bit in places]
        operation = item.operation
        if operation.name == "barrier":
            if kept:
                result.barrier(kept)
            continue
        result.append(operation, kept, item.clbits, copy=False)
    return result


def _noise(target: Target, busy: Sequence[int], circuits: Sequence[QuantumCircuit]) -> Any:
    """Build the calibrated noise of the operations that the circuits use, with qubits counted among the busy ones."""
    from qiskit_aer.noise import NoiseModel

    places = {physical: i for i, physical in enumerate(busy)}
    used: dict[str, set[tuple[int, ...]]] = {}
    for circuit in circuits:
        _collect(circuit, range(circuit.num_qubits), used)
    part = Target(
        num_qubits=len(busy),
        dt=target.dt,
        qubit_properties=None if target.qubit_properties is None else [target.qubit_properties[q] for q in busy],
    )
    for name in sorted(used):
        if name not in target.operation_names:
            continue
        operation = target.operation_from_name(name)
        if isinstance(operation, type):  # control flow, which has no noise of its own
            continue
        known = target[name]
        properties = {
            tuple(places[q] for q in qubits): known[qubits] for qubits in sorted(used[name]) if qubits in known
        }
        if properties:
            part.add_instruction(operation, properties, name=name)
    return NoiseModel.from_backend(_part_class()(part))


def _collect(circuit: QuantumCircuit, physical: Sequence[int], used: dict[str, set[tuple[int, ...]]]) -> None:
    """Collect which operation acts on which physical qubits, in blocks too."""
    places = dict(zip(circuit.qubits, physical, strict=True))
    for item in circuit.data:
        qubits = tuple(places[bit] for bit in item.qubits)
        if isinstance(item.operation, ControlFlowOp):
            for block in item.operation.blocks:
                _collect(block, qubits, used)
        elif item.operation.name != "barrier":
            used.setdefault(item.operation.name, set()).add(qubits)


@functools.cache
def _part_class() -> type:
    """Return the least that Aer takes for a device: a target."""
    from qiskit.providers import BackendV2, Options

    class Part(BackendV2):
        """A few qubits of a device."""

        def __init__(self, target: Target) -> None:
            super().__init__(name="part")
            self._target = target

        @property
        def target(self) -> Target:
            return self._target

        @property
        def max_circuits(self) -> None:
            return None

        @classmethod
        def _default_options(cls) -> Options:
            return Options()

        def run(self, run_input: Any, **options: Any) -> Any:
            raise NotImplementedError

    return Part


def _points(
    task: Task, circuits: Sequence[QuantumCircuit]
) -> tuple[list[QuantumCircuit], list[Mapping[Any, list[float]]] | None]:
    """Return one circuit a scan point, or one circuit with the values of its parameters at all points."""
    if task.parameter_values is None:
        return list(circuits), None
    (circuit,) = circuits
    column = {parameter.name: i for i, parameter in enumerate(task.circuits[0].parameters)}
    # The translation may have found that a parameter does not matter, and dropped it.
    values = {parameter: task.parameter_values[:, column[parameter.name]] for parameter in circuit.parameters}
    if not values:
        return [circuit] * task.n_points, None
    if is_dynamic(circuit):  # Aer binds the parameters of plain gates only
        rows = range(task.n_points)
        return [circuit.assign_parameters({key: float(value[i]) for key, value in values.items()}) for i in rows], None
    return [circuit], [{key: value.tolist() for key, value in values.items()}]


def _bits(memory: Sequence[str], n_clbits: int) -> NDArray[np.uint8]:
    """Turn Aer's hexadecimal strings, one a shot, into bits; column i is classical bit i."""
    n_bytes = (n_clbits + 7) // 8
    digits = "".join([shot[2:].zfill(2 * n_bytes) for shot in memory])
    octets = np.frombuffer(bytes.fromhex(digits), dtype=np.uint8).reshape(len(memory), n_bytes)
    return np.unpackbits(octets[:, ::-1], axis=1, count=n_clbits, bitorder="little")


def _by_register(rows: NDArray[np.uint8], circuit: QuantumCircuit) -> dict[str, NDArray[np.uint8]]:
    """Cut rows of all classical bits into registers."""
    registers: list[ClassicalRegister] = [register for register in circuit.cregs if register.size]
    return {register.name: rows[:, [circuit.find_bit(bit).index for bit in register]] for register in registers}
