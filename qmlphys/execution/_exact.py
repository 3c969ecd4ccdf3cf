"""Exact simulation: all amplitudes, and every branch that a measurement opens.

Measurements at the end of a circuit are read off the amplitudes. One in the middle splits the state into its
outcomes, each with its unnormalised amplitudes, and the branches go on separately; `if_test` then acts in each branch
by the bits that were measured there. The probabilities are therefore those of the circuit, up to rounding, for
dynamic circuits too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Clbit, ControlFlowOp, Qubit
from qiskit.circuit.classical import expr
from qiskit.circuit.library import Initialize, StatePreparation
from qiskit.quantum_info import Statevector

from qmlphys.bits import MAX_BITS
from qmlphys.execution._memory import available_bytes
from qmlphys.execution._refused import CircuitRefused

__all__ = ["MAX_BRANCHES", "distribution", "unmeasured"]

MAX_BRANCHES = 4096
"""The largest number of outcomes of measurements in the middle of a circuit that are followed."""

# An outcome less likely than this is the rounding of an impossible one: amplitudes of 1e-16 squared, with a margin.
_IMPOSSIBLE = 1e-28


# Too little to look at the system's books for.
_ALWAYS_THERE = 2**26


@dataclass
class _Branch:
    """A state, unnormalised, and the classical bits that led to it."""

    state: NDArray[np.complex128]
    bits: tuple[int, ...]


def unmeasured(circuit: QuantumCircuit) -> NDArray[np.complex128]:
    """Return the amplitudes before the final measurements.

    Parameters
    ----------
    circuit : QuantumCircuit
        Without free parameters; measurements only at the end, no control flow, resets of fresh qubits only.

    Returns
    -------
    ndarray of complex128, shape (2**n_qubits,)
        Amplitudes; qubit i has the weight 2**i.

    Raises
    ------
    CircuitRefused
        If there is no single state before the final measurements.
    """
    branches, _ = _run(circuit)
    if len(branches) != 1 or _measures_in_the_middle(circuit):
        raise CircuitRefused(
            "A circuit with measurements, resets or control flow in its middle has no single state vector: use "
            "`run(circuit, 'statevector', shots=None)` for its exact probabilities."
        )
    return branches[0].state


def distribution(circuit: QuantumCircuit) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the outcomes of a circuit with their exact probabilities.

    Parameters
    ----------
    circuit : QuantumCircuit
        Without free parameters. Where it measures nothing, its qubits are the outcome.

    Returns
    -------
    outcomes : ndarray of int64, shape (n,)
        Ascending; classical bit i (or qubit i) has the weight 2**i.
    probabilities : ndarray of float64, shape (n,)
        Non-negative, of sum 1 up to rounding, and normalised to it.

    Raises
    ------
    CircuitRefused
        If the circuit has more than 62 classical bits, more branches than `MAX_BRANCHES`, or an operation that has
        no exact simulation here.
    """
    branches, final = _run(circuit)
    if circuit.num_clbits == 0:
        probabilities = np.sum([np.abs(branch.state) ** 2 for branch in branches], axis=0)
        return np.arange(len(probabilities), dtype=np.int64), probabilities / probabilities.sum()
    keys, weights = [], []
    for branch in branches:
        fixed = sum(bit << i for i, bit in enumerate(branch.bits))
        outcomes, probabilities = _marginal(np.abs(branch.state) ** 2, sorted(final))
        written = np.zeros(len(outcomes), dtype=np.int64)
        mask = 0
        for place, qubit in enumerate(sorted(final)):
            for clbit in final[qubit]:
                written |= ((outcomes >> place) & 1) << clbit
                mask |= 1 << clbit
        keys.append(written | (fixed & ~mask))
        weights.append(probabilities)
    outcomes, where = np.unique(np.concatenate(keys), return_inverse=True)
    probabilities = np.bincount(where, weights=np.concatenate(weights), minlength=len(outcomes))
    return outcomes, probabilities / probabilities.sum()


def _marginal(weights: NDArray[np.float64], qubits: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sum probabilities over all qubits but the given ones, in ascending order."""
    n_qubits = len(weights).bit_length() - 1
    # Axis k of the tensor is qubit n - 1 - k.
    others = tuple(n_qubits - 1 - q for q in range(n_qubits) if q not in set(qubits))
    summed = weights.reshape((2,) * n_qubits).sum(axis=others).reshape(-1) if others else weights
    return np.arange(len(summed), dtype=np.int64), summed


def _run(circuit: QuantumCircuit) -> tuple[list[_Branch], dict[int, list[int]]]:
    """Follow a circuit through all its branches, up to the measurements at its end."""
    if circuit.num_clbits > MAX_BITS:
        raise CircuitRefused(
            f"Backend statevector counts outcomes of at most {MAX_BITS} classical bits, but the circuit has "
            f"{circuit.num_clbits}: use aer or aer-mps."
        )
    if circuit.num_captured_vars or circuit.num_input_vars or circuit.num_declared_vars:
        raise CircuitRefused("Backend statevector knows no classical variables: use aer.")
    final = _final_measurements(circuit)
    state = np.zeros(2**circuit.num_qubits, dtype=np.complex128)
    state[0] = 1.0
    branches = [_Branch(state, (0,) * circuit.num_clbits)]
    instructions = [item for i, item in enumerate(circuit.data) if i not in final]
    places = {bit: i for i, bit in enumerate(circuit.qubits)}
    bits = {bit: i for i, bit in enumerate(circuit.clbits)}
    branches = _follow(branches, instructions, places, bits)
    if circuit.global_phase:
        phase = np.exp(1j * float(circuit.global_phase))
        branches = [_Branch(branch.state * phase, branch.bits) for branch in branches]
    measured: dict[int, list[int]] = {}
    for i in sorted(final):
        item = circuit.data[i]
        clbit = bits[item.clbits[0]]
        for others in measured.values():  # a later measurement into the same bit overwrites an earlier one
            if clbit in others:
                others.remove(clbit)
        measured.setdefault(places[item.qubits[0]], []).append(clbit)
    return branches, {qubit: found for qubit, found in measured.items() if found}


def _final_measurements(circuit: QuantumCircuit) -> set[int]:
    """Return the positions of the measurements after which neither their qubit nor their bit is touched."""
    touched: set[Any] = set()
    final: set[int] = set()
    for i in range(len(circuit.data) - 1, -1, -1):
        item = circuit.data[i]
        name = item.operation.name
        if name == "barrier":
            continue
        if name == "measure" and item.qubits[0] not in touched and item.clbits[0] not in touched:
            final.add(i)
            continue
        touched.update(item.qubits)
        touched.update(item.clbits)
    return final


def _measures_in_the_middle(circuit: QuantumCircuit) -> bool:
    """Tell whether a bit is read or a qubit measured before the end."""
    final = _final_measurements(circuit)
    return any(item.clbits and i not in final for i, item in enumerate(circuit.data))


def _follow(
    branches: list[_Branch],
    instructions: Sequence[CircuitInstruction],
    places: dict[Qubit, int],
    bits: dict[Clbit, int],
) -> list[_Branch]:
    """Apply instructions to every branch; `places` and `bits` say what the circuit's bits are called outside."""
    waiting: list[tuple[Any, list[int]]] = []  # unitary gates, applied together: one by one takes ten times as long
    for item in instructions:
        operation = item.operation
        qubits = [places[bit] for bit in item.qubits]
        if operation.name in ("barrier", "delay"):
            continue
        if _is_unitary(item):
            waiting.append((operation, qubits))
            continue
        branches, waiting = _evolve(branches, waiting), []
        if operation.name in ("measure", "reset", "initialize"):
            _check_room(branches)
        if operation.name == "measure":
            clbit = bits[item.clbits[0]]
            branches = [part for branch in branches for part in _split(branch, qubits[0], clbit=clbit)]
        elif operation.name == "reset":
            branches = [part for branch in branches for part in _split(branch, qubits[0], clbit=None)]
        elif isinstance(operation, Initialize):
            for qubit in qubits:
                branches = [part for branch in branches for part in _split(branch, qubit, clbit=None)]
            branches = _evolve(branches, [(StatePreparation(operation.params), qubits)])
        elif operation.name == "if_else":
            branches = [part for branch in branches for part in _if_else(branch, operation, item, places, bits)]
        elif isinstance(operation, ControlFlowOp):
            raise CircuitRefused(f"Backend statevector follows `if_test` only, not `{operation.name}`: use aer.")
        else:
            definition = operation.definition
            if definition is None:
                raise CircuitRefused(f"Backend statevector does not know the operation `{operation.name}`: use aer.")
            inner_places = dict(zip(definition.qubits, qubits, strict=True))
            inner_bits = {a: bits[b] for a, b in zip(definition.clbits, item.clbits, strict=True)}
            branches = _follow(branches, definition.data, inner_places, inner_bits)
        if len(branches) > MAX_BRANCHES:
            raise CircuitRefused(
                f"Backend statevector follows at most {MAX_BRANCHES} outcomes of measurements in the middle of a "
                "circuit, but there are more: use aer."
            )
    return _evolve(branches, waiting)


def _is_unitary(item: CircuitInstruction) -> bool:
    """Tell whether an instruction neither reads nor writes a bit, nor forgets what its qubits were."""
    return not (item.clbits or item.operation.name in ("measure", "reset", "initialize") or item.is_control_flow())


def _check_room(branches: Sequence[_Branch]) -> None:
    """Refuse to split branches whose amplitudes would not fit into memory."""
    needed = 2 * len(branches) * branches[0].state.nbytes
    if needed > _ALWAYS_THERE and needed > available_bytes():
        raise CircuitRefused(
            f"The branches that the circuit's measurements open need {needed / 2**30:.3g} GiB: use aer, which follows "
            "one shot at a time."
        )


def _evolve(branches: list[_Branch], gates: Sequence[tuple[Any, list[int]]]) -> list[_Branch]:
    """Apply unitary operations, in order, to every branch."""
    if not gates:
        return branches
    diagonal = next((i for i, (operation, _) in enumerate(gates) if operation.name == "diagonal"), None)
    if diagonal is not None:
        # Qiskit would take it apart into as many gates as it has entries.
        operation, qubits = gates[diagonal]
        branches = _evolve(branches, gates[:diagonal])
        branches = [_Branch(_times(branch.state, operation.params, qubits), branch.bits) for branch in branches]
        return _evolve(branches, gates[diagonal + 1 :])
    circuit = QuantumCircuit(len(branches[0].state).bit_length() - 1)
    for operation, qubits in gates:
        circuit.append(operation, qubits, copy=False)
    try:
        return [_Branch(Statevector(branch.state).evolve(circuit).data, branch.bits) for branch in branches]
    except Exception as error:  # a gate's definition may raise anything; it becomes one sentence
        if len(gates) > 1:  # again one by one, to name the one that it was
            for gate in gates:
                branches = _evolve(branches, [gate])
        reason = (str(error).strip("'\"").splitlines() or [type(error).__name__])[0]
        raise CircuitRefused(f"Backend statevector cannot apply `{gates[0][0].name}`: {reason}") from None


def _times(state: NDArray[np.complex128], diagonal: Sequence[complex], qubits: Sequence[int]) -> NDArray[np.complex128]:
    """Multiply each amplitude by the entry of a diagonal that its bits at `qubits` name, the first with weight 1."""
    places = np.arange(len(state))
    named = sum(((places >> qubit) & 1) << i for i, qubit in enumerate(qubits))
    return state * np.asarray(diagonal, dtype=np.complex128)[named]


def _split(branch: _Branch, qubit: int, *, clbit: int | None) -> list[_Branch]:
    """Split a branch by the value of a qubit; write it to a bit, or (no bit) set the qubit back to 0."""
    tensor = branch.state.reshape(-1, 2, 2**qubit)
    total = float(np.vdot(branch.state, branch.state).real)
    parts = []
    for value in (0, 1):
        kept = tensor[:, value, :]
        if float(np.vdot(kept, kept).real) <= _IMPOSSIBLE * total:
            continue
        state = np.zeros_like(tensor)
        state[:, value if clbit is not None else 0, :] = kept
        bits = branch.bits
        if clbit is not None:
            bits = (*bits[:clbit], value, *bits[clbit + 1 :])
        parts.append(_Branch(state.reshape(-1), bits))
    return parts


def _if_else(
    branch: _Branch,
    operation: Any,
    item: CircuitInstruction,
    places: dict[Qubit, int],
    bits: dict[Clbit, int],
) -> list[_Branch]:
    """Follow the block that the branch's bits choose."""
    blocks = operation.blocks
    chosen = 0 if _holds(operation.condition, branch, bits) else 1
    if chosen >= len(blocks):
        return [branch]
    block = blocks[chosen]
    inner_places = {a: places[b] for a, b in zip(block.qubits, item.qubits, strict=True)}
    inner_bits = {a: bits[b] for a, b in zip(block.clbits, item.clbits, strict=True)}
    # Conditions inside the block name the outer circuit's bits.
    return _follow([branch], block.data, inner_places, {**bits, **inner_bits})


def _holds(condition: Any, branch: _Branch, bits: dict[Clbit, int]) -> bool:
    """Evaluate a condition on the branch's bits."""
    if isinstance(condition, expr.Expr):
        return bool(_evaluate(condition, branch, bits))
    target, value = condition
    return _read(target, branch, bits) == int(value)


def _read(target: Any, branch: _Branch, bits: dict[Clbit, int]) -> int:
    """Return the value of a bit or register."""
    if isinstance(target, Clbit):
        return branch.bits[bits[target]]
    return sum(branch.bits[bits[bit]] << i for i, bit in enumerate(target))


_BINARY = {
    "BIT_AND": lambda a, b: a & b,
    "BIT_OR": lambda a, b: a | b,
    "BIT_XOR": lambda a, b: a ^ b,
    "LOGIC_AND": lambda a, b: bool(a) and bool(b),
    "LOGIC_OR": lambda a, b: bool(a) or bool(b),
    "EQUAL": lambda a, b: a == b,
    "NOT_EQUAL": lambda a, b: a != b,
    "LESS": lambda a, b: a < b,
    "LESS_EQUAL": lambda a, b: a <= b,
    "GREATER": lambda a, b: a > b,
    "GREATER_EQUAL": lambda a, b: a >= b,
}


def _evaluate(node: expr.Expr, branch: _Branch, bits: dict[Clbit, int]) -> Any:
    """Evaluate a classical expression on the branch's bits."""
    if isinstance(node, expr.Var):
        return _read(node.var, branch, bits)
    if isinstance(node, expr.Value):
        return node.value
    if isinstance(node, expr.Cast):
        value = _evaluate(node.operand, branch, bits)
        width = getattr(node.type, "width", None)
        return bool(value) if width is None else int(value) & (2**width - 1)
    if isinstance(node, expr.Unary) and node.op.name in ("LOGIC_NOT", "BIT_NOT"):
        value = _evaluate(node.operand, branch, bits)
        if node.op.name == "LOGIC_NOT" or isinstance(value, bool):
            return not value
        return ~int(value) & (2**node.type.width - 1)
    if isinstance(node, expr.Index):
        return (int(_evaluate(node.target, branch, bits)) >> int(_evaluate(node.index, branch, bits))) & 1
    if isinstance(node, expr.Binary) and node.op.name in _BINARY:
        return _BINARY[node.op.name](_evaluate(node.left, branch, bits), _evaluate(node.right, branch, bits))
    raise CircuitRefused(f"Backend statevector does not evaluate `{type(node).__name__}` in a condition: use aer.")
