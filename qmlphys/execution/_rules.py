"""What IBM's devices refuse: operations, dynamic circuits, sizes. A list of our own, checked without any network.

Device targets, the stored ones in particular, list operations that the service refuses. The rules here are those of
IBM's guides "Job limits" and "Execute dynamic circuits" (quantum.cloud.ibm.com/docs/guides, read in November 2026).
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Clbit, Gate, Qubit
from qiskit.circuit.classical import expr
from qiskit.transpiler import Target

from qmlphys.execution._refused import CircuitRefused

__all__ = [
    "FORBIDDEN",
    "FRACTIONAL",
    "INSTRUCTION_COSTS",
    "JOB_OVERHEAD",
    "MAX_EXECUTIONS",
    "MAX_INSTRUCTIONS_PER_QUBIT",
    "MAX_OPERAND_BITS",
    "MAX_SECONDS",
    "MAX_TWO_QUBIT_GATES",
    "MAX_TWO_QUBIT_GATES_DYNAMIC",
    "REPETITION_DELAY",
    "allowed",
    "check_limits",
    "check_operations",
    "duration",
    "is_dynamic",
    "n_two_qubit_gates",
]

MAX_EXECUTIONS = 10_000_000
"""Circuits (one a scan point) times shots in one job ("Job limits")."""

MAX_INSTRUCTIONS_PER_QUBIT = 26_800_000
"""Instructions of the control system for each qubit in one job ("Job limits")."""

INSTRUCTION_COSTS = {
    "rz": 1,
    "delay": 1,
    "sx": 2,
    "x": 2,
    "cx": 5,
    "cz": 5,
    "ecr": 5,
    "measure": 10,
    "reset": 17,
    "init": 50,
}
"""Instructions of the control system that each operation counts for ("Job limits"); others count as two."""

MAX_TWO_QUBIT_GATES = 400_000
"""Two-qubit gates of one static circuit ("Job limits", preview 2768; later texts leave the number to the service)."""

MAX_TWO_QUBIT_GATES_DYNAMIC = 100_000
"""Two-qubit gates of one circuit with feed-forward (as above)."""

MAX_OPERAND_BITS = 32
"""Bits of a register that one `if_test` compares ("Execute dynamic circuits")."""

# The guide gives two points of the memory for feed-forward in one job: 2400 transfers of one bit, or about 300 of 60
# bits. A transfer of b bits is taken to cost what the straight line through both says.
_TRANSFERS = ((1, 1 / 2400), (60, 1 / 300))

MAX_SECONDS = 10_800.0
"""The longest that one job may hold a device: three hours ("Maximum execution time")."""

REPETITION_DELAY = 250e-6
"""Pause before each execution, in seconds, where the device names none: the default of IBM's devices."""

JOB_OVERHEAD = 2.0
"""Seconds that loading a job takes, in estimates; IBM's rule of thumb for Sampler jobs ("Workload usage")."""

_UNROLL = "unroll it into plain gates, or use flat `if_test` blocks"
FORBIDDEN = {
    "for_loop": _UNROLL,
    "while_loop": _UNROLL,
    "switch_case": "write each case as a flat `if_test`",
    "break_loop": _UNROLL,
    "continue_loop": _UNROLL,
    "box": "append its body without the box",
}
"""Operations that devices refuse, each with what to do instead."""

FRACTIONAL = ("rx", "rzz")
"""Gates that devices offer in static circuits only."""

_ARITHMETIC = {"ADD", "SUB", "MUL", "DIV", "SHIFT_LEFT", "SHIFT_RIGHT", "NEGATE"}


def is_dynamic(circuit: QuantumCircuit) -> bool:
    """Tell whether a circuit has control flow, in definitions of its instructions too."""
    for item in circuit.data:
        if item.is_control_flow():
            return True
        definition = getattr(item.operation, "definition", None) if item.clbits else None
        if definition is not None and is_dynamic(definition):
            return True
    return False


def allowed(target: Target, *, dynamic: bool) -> Target:
    """Return a target without the operations that devices refuse.

    Parameters
    ----------
    target : Target
        A device's.
    dynamic : bool
        Whether the circuit has feed-forward, with which fractional gates are refused.

    Returns
    -------
    Target
        A copy; the properties of what stays are shared.
    """
    result = Target(
        description=target.description,
        num_qubits=target.num_qubits,
        dt=target.dt,
        granularity=target.granularity,
        min_length=target.min_length,
        pulse_alignment=target.pulse_alignment,
        acquire_alignment=target.acquire_alignment,
        qubit_properties=target.qubit_properties,
        concurrent_measurements=target.concurrent_measurements,
    )
    for name in target.operation_names:
        if name in FORBIDDEN or (dynamic and name in FRACTIONAL):
            continue
        operation = target.operation_from_name(name)
        properties = None if isinstance(operation, type) else dict(target[name])
        if properties is not None and None in properties:
            properties = None
        result.add_instruction(operation, properties, name=name)
    return result


def check_operations(circuits: Sequence[QuantumCircuit]) -> None:
    """Refuse operations and dynamic circuits that devices refuse, before anything is translated.

    Parameters
    ----------
    circuits : sequence of QuantumCircuit
        As the user wrote them.

    Raises
    ------
    CircuitRefused
        With the index of the circuit and what to do.
    """
    for index, circuit in enumerate(circuits):
        where = f"Circuit {index}"
        for register in circuit.cregs:
            if not register.name.isidentifier() or keyword.iskeyword(register.name) or register.size == 0:
                raise CircuitRefused(
                    f"{where} has the classical register {register.name!r} of {register.size} bits: IBM wants names "
                    "that are Python identifiers and no keywords, and at least one bit."
                )
        if circuit.num_input_vars:
            raise CircuitRefused(f"{where} has input variables, which devices refuse: bind them first.")
        _check_body(circuit, where, conditional=False)


def _check_body(circuit: QuantumCircuit, where: str, *, conditional: bool) -> None:
    """Refuse forbidden operations in a circuit, block or definition."""
    for item in circuit.data:
        name = item.name
        if name in FORBIDDEN:
            raise CircuitRefused(f"{where} uses `{name}`, which IBM devices refuse: {FORBIDDEN[name]}.")
        if conditional and name in ("measure", "reset", "initialize"):
            raise CircuitRefused(
                f"{where} has a `{name}` inside an `if_test`, which IBM devices refuse: do it outside, and undo or "
                "correct it conditionally by gates."
            )
        if item.is_standard_gate():
            continue
        operation = item.operation
        if name == "store" and not (isinstance(operation.lvalue, expr.Var) and operation.lvalue.standalone):
            raise CircuitRefused(
                f"{where} stores into classical bits, which devices do not return: store into a variable instead."
            )
        if name == "if_else":
            if conditional:
                raise CircuitRefused(
                    f"{where} has an `if_test` inside an `if_test`, which IBM devices refuse: join the conditions "
                    "into one flat `if_test`."
                )
            _check_condition(operation.condition, where)
            for block in operation.blocks:
                _check_body(block, where, conditional=True)
        elif item.clbits and not isinstance(operation, Gate) and getattr(operation, "definition", None) is not None:
            _check_body(operation.definition, where, conditional=conditional)


def _check_condition(condition: Any, where: str) -> None:
    """Refuse conditions that the control system cannot evaluate."""
    if isinstance(condition, expr.Expr):
        for node in _nodes(condition):
            operator = getattr(getattr(node, "op", None), "name", "")
            if operator in _ARITHMETIC:
                raise CircuitRefused(
                    f"{where} computes in a condition ({operator.lower()}), which IBM devices refuse: compare bits or "
                    "registers only."
                )
        return
    target = condition[0]
    size = 1 if isinstance(target, Clbit) else len(target)
    if size > MAX_OPERAND_BITS:
        raise CircuitRefused(
            f"{where} compares a register of {size} bits in an `if_test`, but devices compare at most "
            f"{MAX_OPERAND_BITS}: test single bits, or split the register."
        )


def _nodes(node: expr.Expr) -> Iterator[expr.Expr]:
    """Yield an expression and all its parts."""
    yield node
    for key in ("left", "right", "operand", "target", "index"):
        part = getattr(node, key, None)
        if isinstance(part, expr.Expr):
            yield from _nodes(part)


def n_two_qubit_gates(circuit: QuantumCircuit) -> int:
    """Count the gates on two or more qubits, those in blocks of control flow included."""
    total = 0
    for item in circuit.data:  # asking for the operation of a plain gate would build it
        if item.is_control_flow():
            total += sum(n_two_qubit_gates(block) for block in item.operation.blocks)
        elif len(item.qubits) >= 2 and item.name != "barrier":
            total += 1
    return total


def check_limits(circuits: Sequence[QuantumCircuit], *, n_points: int, shots: int) -> None:
    """Refuse jobs that are too large for the service.

    Parameters
    ----------
    circuits : sequence of QuantumCircuit
        Translated for the device.
    n_points : int
        Number of scan points.
    shots : int
        Shots a scan point.

    Raises
    ------
    CircuitRefused
        With the number, the limit, and what to do.
    """
    executions = n_points * shots
    if executions > MAX_EXECUTIONS:
        raise CircuitRefused(
            f"The job has {n_points} scan points of {shots} shots, {executions} executions, but the service takes at "
            f"most {MAX_EXECUTIONS} in one job: take fewer shots or split the scan."
        )
    per_qubit = [0] * max(circuit.num_qubits for circuit in circuits)
    transfers = 0.0
    for index, circuit in enumerate(circuits):
        dynamic = is_dynamic(circuit)
        limit = MAX_TWO_QUBIT_GATES_DYNAMIC if dynamic else MAX_TWO_QUBIT_GATES
        found = n_two_qubit_gates(circuit)
        if found > limit:
            raise CircuitRefused(
                f"Circuit {index} has {found} two-qubit gates once translated, but the service takes at most {limit} "
                f"in a {'dynamic' if dynamic else 'static'} circuit: make it shorter."
            )
        _count(circuit, per_qubit, range(circuit.num_qubits))
        if dynamic:
            transfers += _transfers(circuit)
    most = max(per_qubit)
    if most > MAX_INSTRUCTIONS_PER_QUBIT:
        raise CircuitRefused(
            f"Qubit {per_qubit.index(most)} would get {most} low-level instructions in this job, but "
            f"the control system holds at most {MAX_INSTRUCTIONS_PER_QUBIT}: make the circuits shorter or split the "
            "scan."
        )
    if transfers > 1.0:
        raise CircuitRefused(
            f"The job's `if_test` blocks need about {transfers:.1f} times the memory that devices have for "
            "feed-forward (2400 transfers of one bit): use fewer conditions or split the scan."
        )


def _count(circuit: QuantumCircuit, per_qubit: list[int], physical: Sequence[int]) -> None:
    """Add the control system's instructions of each qubit."""
    places: dict[Qubit, int] = dict(zip(circuit.qubits, physical, strict=True))
    for item in circuit.data:
        if item.is_control_flow():
            for block in item.operation.blocks:
                _count(block, per_qubit, [places[bit] for bit in item.qubits])
        elif item.name != "barrier":
            cost = INSTRUCTION_COSTS.get(item.name, 2)
            for bit in item.qubits:
                per_qubit[places[bit]] += cost


def _transfers(circuit: QuantumCircuit) -> float:
    """Return the share of the feed-forward memory that a circuit takes; unchanged bits are sent once."""
    (few, cheap), (many, dear) = _TRANSFERS
    slope = (dear - cheap) / (many - few)
    written: dict[Clbit, int] = {}
    sent: set[tuple[tuple[int, int], ...]] = set()
    total = 0.0
    for item in circuit.data:
        if item.operation.name == "if_else":
            bits = _condition_bits(item.operation.condition)
            key = tuple((circuit.find_bit(bit).index, written.get(bit, 0)) for bit in bits)
            if bits and key not in sent:
                sent.add(key)
                total += cheap + slope * (len(bits) - few)
        elif item.clbits:
            for bit in item.clbits:
                written[bit] = written.get(bit, 0) + 1
    return total


def _condition_bits(condition: Any) -> list[Clbit]:
    """Return the classical bits that a condition reads."""
    if isinstance(condition, expr.Expr):
        targets = [node.var for node in _nodes(condition) if isinstance(node, expr.Var) and not node.standalone]
    else:
        targets = [condition[0]]
    bits = [bit for target in targets for bit in ([target] if isinstance(target, Clbit) else list(target))]
    return list(dict.fromkeys(bits))


def duration(circuit: QuantumCircuit, target: Target) -> float:
    """Return how long one execution of a translated circuit takes, in seconds.

    Parameters
    ----------
    circuit : QuantumCircuit
        Translated for the target.
    target : Target
        With durations; operations without one count as instantaneous.

    Returns
    -------
    float
        The longest path through the circuit, with the longer block of each `if_test`.
    """
    return _longest(circuit, target, range(circuit.num_qubits), {})


def _longest(
    circuit: QuantumCircuit, target: Target, physical: Sequence[int], known: dict[tuple[Any, ...], float]
) -> float:
    """Return the length of the longest path in seconds; `known` keeps the lengths of operations."""
    places = dict(zip(circuit.qubits, physical, strict=True))
    ready: dict[Any, float] = {}
    for item in circuit.data:
        bits = [*item.qubits, *item.clbits]
        start = max([ready.get(bit, 0.0) for bit in bits], default=0.0)
        if item.is_control_flow():
            inner = [places[bit] for bit in item.qubits]
            length = max(_longest(block, target, inner, known) for block in item.operation.blocks)
        elif item.name == "delay":
            length = _delay(item, target)
        else:
            key = (item.name, *[places[bit] for bit in item.qubits])
            if key not in known:
                known[key] = _seconds(key[0], key[1:], target)
            length = known[key]
        for bit in bits:
            ready[bit] = start + length
    return max(ready.values(), default=0.0)


_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12}


def _delay(item: CircuitInstruction, target: Target) -> float:
    """Return the length of a delay in seconds; one that is not a number yet counts as none."""
    operation = item.operation
    unit = target.dt or 0.0 if operation.unit == "dt" else _UNITS.get(operation.unit, 0.0)
    return float(operation.duration) * unit if isinstance(operation.duration, (int, float)) else 0.0


def _seconds(name: str, qubits: tuple[int, ...], target: Target) -> float:
    """Return the length of an operation in seconds."""
    if name not in target.operation_names:
        return 0.0
    properties = target[name].get(qubits)
    return float(properties.duration) if properties is not None and properties.duration else 0.0
