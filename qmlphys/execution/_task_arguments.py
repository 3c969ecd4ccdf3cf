"""What a task's arguments must be: one clear sentence for each fault (see `qmlphys.execution._task.make_task`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Instruction

from qmlphys.execution.backends import Backend

__all__ = [
    "check_registers",
    "checked_circuits",
    "checked_parameters",
    "checked_seed",
    "checked_shots",
    "checked_values",
    "has_measurement",
]

_MAX_SEED = 2**63


def checked_circuits(circuits: QuantumCircuit | Sequence[QuantumCircuit]) -> tuple[QuantumCircuit, ...]:
    """Return copies of the circuits."""
    found = (circuits,) if isinstance(circuits, QuantumCircuit) else tuple(circuits)
    if not found:
        raise ValueError("Argument `circuits` must hold at least one circuit, but it is empty.")
    for circuit in found:
        if not isinstance(circuit, QuantumCircuit):
            raise TypeError(f"Argument `circuits` must hold QuantumCircuits, but it holds a {type(circuit).__name__}.")
        if circuit.num_qubits == 0:
            raise ValueError("Argument `circuits` must hold circuits of at least one qubit, but one has none.")
    return tuple(circuit.copy() for circuit in found)


def checked_shots(shots: int | None, target: Backend) -> int | None:
    """Check the number of shots."""
    if shots is None:
        if target.kind != "statevector":
            raise ValueError(
                f"Argument `shots` must be at least 1 on {target.name}, but it is None: only statevector is exact."
            )
        return None
    if isinstance(shots, bool) or not isinstance(shots, (int, np.integer)) or shots < 1:
        raise ValueError(f"Argument `shots` must be an integer >= 1, but it is {shots!r}.")
    return int(shots)


def check_registers(circuits: tuple[QuantumCircuit, ...], shots: int | None, target: Backend) -> None:
    """Refuse circuits whose results would have no name or no common form."""
    first = _layout_of_bits(circuits[0])
    for index, circuit in enumerate(circuits):
        bits = _layout_of_bits(circuit)
        if bits != first:
            raise ValueError(
                "Argument `circuits` must have the same classical registers in every circuit, but circuit 0 has "
                f"{_sizes(circuits[0])} and circuit {index} {_sizes(circuit)}."
            )
        owners = [clbit for _, members in bits for clbit in members]
        if sorted(owners) != list(range(circuit.num_clbits)):
            raise ValueError(
                f"Argument `circuits` must have each classical bit in exactly one register, but circuit {index} has "
                f"{circuit.num_clbits} bits and the registers {_sizes(circuit)}."
            )
        if shots is not None and not has_measurement(circuit):
            raise ValueError(
                f"Argument `circuits` must measure something to be sampled on {target.name}, but circuit {index} has "
                "no measurement: call its `measure_all()` first (`--measure-all` on the command line)."
            )


def has_measurement(circuit: QuantumCircuit) -> bool:
    """Tell whether a circuit measures anywhere, in blocks of control flow too."""
    for instruction in circuit.data:
        operation = instruction.operation
        if operation.name == "measure":
            return True
        if any(has_measurement(block) for block in getattr(operation, "blocks", ())):
            return True
        # A measurement may hide in a custom instruction; only those carry classical bits.
        definition = operation.definition if instruction.clbits and isinstance(operation, Instruction) else None
        if definition is not None and has_measurement(definition):
            return True
    return False


def _layout_of_bits(circuit: QuantumCircuit) -> list[tuple[str, list[int]]]:
    """Return each classical register's name and the indices of its bits."""
    return [(register.name, [circuit.find_bit(bit).index for bit in register]) for register in circuit.cregs]


def _sizes(circuit: QuantumCircuit) -> dict[str, int]:
    """Return the classical registers with their sizes."""
    return {register.name: register.size for register in circuit.cregs}


def checked_parameters(
    circuits: tuple[QuantumCircuit, ...], parameter_values: ArrayLike | None
) -> NDArray[np.float64] | None:
    """Check the values of the free parameters."""
    free = [parameter.name for parameter in circuits[0].parameters]
    if parameter_values is None:
        for index, circuit in enumerate(circuits):
            if circuit.parameters:
                names = [parameter.name for parameter in circuit.parameters]
                raise ValueError(
                    f"Argument `parameter_values` must give values for the free parameters {names} of circuit "
                    f"{index}, but it is None."
                )
        return None
    if len(circuits) > 1:
        raise ValueError(
            "Argument `parameter_values` must be None where there are several circuits, but there are "
            f"{len(circuits)}: assign the parameters of each."
        )
    array = np.array(parameter_values, dtype=np.float64)
    if array.ndim == 1 and len(free) == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.shape[1] != len(free) or len(array) == 0 or not free:
        raise ValueError(
            f"Argument `parameter_values` must have the shape (n_points, {len(free)}) for the parameters {free}, "
            f"but its shape is {np.shape(parameter_values)}."
        )
    if not np.isfinite(array).all():
        raise ValueError("Argument `parameter_values` must be finite, but it holds NaN or infinity.")
    array.setflags(write=False)
    return array


def checked_values(
    values: ArrayLike | None, n_points: int, parameters: NDArray[np.float64] | None
) -> tuple[float, ...]:
    """Check the control parameter's values, or choose them."""
    if values is None:
        if parameters is not None and parameters.shape[1] == 1:
            return tuple(parameters[:, 0].tolist())
        return tuple(float(i) for i in range(n_points))
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (n_points,):
        raise ValueError(
            f"Argument `values` must have one value for each of the {n_points} scan points, but its shape is "
            f"{array.shape}."
        )
    if not np.isfinite(array).all():
        raise ValueError("Argument `values` must be finite, but it holds NaN or infinity.")
    return tuple(array.tolist())


def checked_seed(rng: int | np.random.Generator | None) -> int | None:
    """Return the seed that `rng` stands for."""
    if rng is None:
        return None
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(_MAX_SEED))
    if isinstance(rng, bool) or not isinstance(rng, (int, np.integer)):
        raise TypeError(
            f"Argument `rng` must be None, an integer or a numpy Generator, but it is a {type(rng).__name__}."
        )
    if not 0 <= rng < _MAX_SEED:
        raise ValueError(f"Argument `rng` must lie in [0, 2**63), but it is {rng}.")
    return int(rng)
