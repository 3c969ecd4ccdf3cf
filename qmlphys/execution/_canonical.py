"""The identity of a task: one hash that is the same today, tomorrow and in another process.

Serialised circuits (QPY) differ from run to run, so they cannot be hashed. What is hashed is a canonical form: the
circuit's content, with every name and object that a process makes up left out (circuit and gate names, metadata,
labels, parameter UUIDs, names of quantum registers), and with the sets in Qiskit's control flow put in order.
Classical registers enter by name, for they name the sites of the result.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from qiskit.circuit import (
    AnnotatedOperation,
    Clbit,
    ControlFlowOp,
    ControlModifier,
    Gate,
    InverseModifier,
    Operation,
    Parameter,
    ParameterExpression,
    PowerModifier,
    QuantumCircuit,
)
from qiskit.circuit.classical import expr
from qiskit.circuit.library import Initialize, UnitaryGate

__all__ = ["MAX_INSTRUCTIONS", "digest"]

MAX_INSTRUCTIONS = 5_000_000
"""The largest number of instructions, definitions of custom gates included, that are accepted in one task."""

# Known by their names and parameters alone; everything else is known by its definition or by a rule below.
_PLAIN = {"measure", "reset", "barrier", "delay", "break_loop", "continue_loop", "global_phase"}


class _Hash:
    """A hash of a sequence of values, in which no two different sequences look alike."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self.n_instructions = 0
        # Digest of each definition seen, with the definition itself, so that its `id` is not used again.
        self.definitions: dict[int, tuple[QuantumCircuit, str]] = {}

    def text(self, value: str) -> None:
        """Add one text, preceded by its length."""
        octets = value.encode("utf-8")
        self._sha.update(b"%d:" % len(octets))
        self._sha.update(octets)

    def integers(self, values: Iterable[int]) -> None:
        """Add a list of integers."""
        self.text(",".join(map(str, values)))

    def array(self, value: np.ndarray) -> None:
        """Add an array of complex numbers by its shape and bits; -0.0 counts as 0.0."""
        exact = np.ascontiguousarray(np.asarray(value, dtype="<c16") + 0.0)
        self.integers(exact.shape)
        self._sha.update(exact.tobytes())

    def child(self) -> _Hash:
        """Return a fresh hash that shares the table of definitions."""
        fresh = _Hash()
        fresh.definitions = self.definitions
        return fresh

    def hexdigest(self) -> str:
        """Return the hash of all that was added, as 64 hexadecimal digits."""
        return self._sha.hexdigest()


class _Scope:
    """What the bits of a (nested) circuit are called from outside."""

    def __init__(self, circuit: QuantumCircuit, qubits: Sequence[int], clbits: Sequence[int]) -> None:
        self.circuit = circuit
        self.qubits = qubits
        self.clbits = clbits

    def qubit_list(self, bits: Iterable[Any]) -> list[int]:
        """Return the outer indices of qubits."""
        return [self.qubits[self.circuit.find_bit(bit).index] for bit in bits]

    def clbit_list(self, bits: Iterable[Any]) -> list[int]:
        """Return the outer indices of classical bits."""
        return [self.clbits[self.circuit.find_bit(bit).index] for bit in bits]


def digest(
    circuits: Sequence[QuantumCircuit], fields: Mapping[str, Any], *, arrays: Mapping[str, np.ndarray | None]
) -> str:
    """Hash circuits together with what else identifies a task.

    Parameters
    ----------
    circuits : sequence of QuantumCircuit
        In order.
    fields : mapping of str to None, bool, int, float, str, or a sequence of these
        Hashed by name, in alphabetical order.
    arrays : mapping of str to ndarray or None
        Hashed by name, shape and value.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ValueError
        If a circuit has more than `MAX_INSTRUCTIONS` instructions, or one that cannot be identified.

    Examples
    --------
    >>> one, other = QuantumCircuit(1, name="a"), QuantumCircuit(1, name="b")
    >>> one.x(0), other.x(0)  # doctest: +ELLIPSIS
    (..., ...)
    >>> digest([one], {"shots": 3}, arrays={}) == digest([other], {"shots": 3}, arrays={})
    True
    """
    sha = _Hash()
    sha.text("qmlphys task 1")
    for circuit in circuits:
        sha.text("circuit")
        _circuit(sha, circuit)
    for key in sorted(fields):
        sha.text(key)
        _value(sha, fields[key])
    for key in sorted(arrays):
        sha.text(key)
        array = arrays[key]
        if array is None:
            sha.text("none")
        else:
            sha.array(array)
    return sha.hexdigest()


def _circuit(sha: _Hash, circuit: QuantumCircuit) -> None:
    """Add a whole circuit: its bits, classical registers, variables, phase and instructions."""
    sha.integers((circuit.num_qubits, circuit.num_clbits))
    for register in circuit.cregs:
        sha.text(register.name)
        sha.integers(circuit.find_bit(bit).index for bit in register)
    sha.text("parameters")
    for parameter in circuit.parameters:
        sha.text(parameter.name)
    scope = _Scope(circuit, range(circuit.num_qubits), range(circuit.num_clbits))
    _body(sha, scope)


def _body(sha: _Hash, scope: _Scope) -> None:
    """Add the variables, the phase and the instructions of a circuit or block."""
    for kind, variables in (
        ("input", scope.circuit.iter_input_vars()),
        ("captured", scope.circuit.iter_captured_vars()),
        ("declared", scope.circuit.iter_declared_vars()),
        ("stretch", scope.circuit.iter_stretches()),
    ):
        # Captures have no order of their own; declarations are set by instructions, whose order is kept.
        for variable in sorted(f"{v.name} {v.type!r}" for v in variables):
            sha.text(f"{kind} {variable}")
    sha.text("phase")
    _value(sha, scope.circuit.global_phase)
    sha.n_instructions += len(scope.circuit.data)
    if sha.n_instructions > MAX_INSTRUCTIONS:
        raise ValueError(
            f"A task must have at most {MAX_INSTRUCTIONS} instructions, definitions of its gates included, but this "
            "one has more: split it."
        )
    for instruction in scope.circuit.data:
        operation = instruction.operation
        if isinstance(operation, ControlFlowOp):
            _control_flow(sha, operation, scope, instruction.qubits, instruction.clbits)
            continue
        _operation(sha, operation, scope)
        sha.integers(scope.qubit_list(instruction.qubits))
        sha.integers(scope.clbit_list(instruction.clbits))
    sha.text("end")


def _operation(sha: _Hash, operation: Operation, scope: _Scope) -> None:
    """Add what an operation does, without the bits it acts on."""
    if isinstance(operation, AnnotatedOperation):
        sha.text("annotated")
        for modifier in operation.modifiers:
            if isinstance(modifier, ControlModifier):
                sha.text("control")
                sha.integers((modifier.num_ctrl_qubits, modifier.ctrl_state))
            elif isinstance(modifier, PowerModifier):
                sha.text("power")
                _value(sha, modifier.power)
            elif isinstance(modifier, InverseModifier):
                sha.text("inverse")
            else:
                raise TypeError(f"A gate modifier of the kind {type(modifier).__name__} cannot be kept in a task.")
        _operation(sha, operation.base_op, scope)
    elif isinstance(operation, UnitaryGate):
        sha.text("unitary")
        sha.array(np.asarray(operation.params[0]))
    elif isinstance(operation, Initialize):
        sha.text("initialize")
        _values(sha, operation.params)
    elif operation.name in _PLAIN:
        sha.text(operation.name)
        _values(sha, operation.params)
        if operation.name == "delay":
            sha.text(operation.unit)
    elif operation.name == "store":
        sha.text("store")
        _expression(sha, operation.lvalue, scope)
        _expression(sha, operation.rvalue, scope)
    elif isinstance(operation, Gate) and operation._standard_gate is not None:
        # The name of a gate that Qiskit itself keeps in Rust fixes its matrix, up to the state of its controls.
        sha.text(operation.name)
        sha.integers([getattr(operation, "ctrl_state", -1)])
        _values(sha, operation.params)
    else:
        definition = getattr(operation, "definition", None)
        if definition is None:
            sha.text("opaque")
            sha.text(operation.name)
            sha.integers((operation.num_qubits, operation.num_clbits))
            _values(sha, getattr(operation, "params", []))
        else:
            sha.text("defined")
            sha.text(_definition(sha, definition))


def _definition(sha: _Hash, definition: QuantumCircuit) -> str:
    """Return the digest of a custom gate's definition; each definition object is read once."""
    known = sha.definitions.get(id(definition))
    if known is not None:
        return known[1]
    inner = sha.child()
    inner.n_instructions = sha.n_instructions
    try:
        _circuit(inner, definition)
    except RecursionError:
        raise ValueError("A gate of the circuit is defined by too many levels of other gates.") from None
    sha.n_instructions = inner.n_instructions
    result = inner.hexdigest()
    sha.definitions[id(definition)] = (definition, result)
    return result


def _control_flow(
    sha: _Hash, operation: ControlFlowOp, scope: _Scope, qubits: Sequence[Any], clbits: Sequence[Any]
) -> None:
    """Add a control-flow operation, its condition and its blocks."""
    sha.text(operation.name)
    outer_qubits, outer_clbits = scope.qubit_list(qubits), scope.clbit_list(clbits)
    # The builder interface collects the bits of a block in sets: their order means nothing.
    sha.integers(sorted(outer_qubits))
    sha.integers(sorted(outer_clbits))
    if operation.name in ("if_else", "while_loop"):
        _condition(sha, operation.condition, scope)
    elif operation.name == "switch_case":
        _condition(sha, operation.target, scope)
        for labels, _ in operation.cases_specifier():
            sha.text("case")
            for label in labels:
                # The default case is a nameless object; integers and booleans are what else can stand here.
                sha.text(str(int(label)) if isinstance(label, (int, np.integer)) else "default")
    elif operation.name == "for_loop":
        indices, parameter = operation.params[:2]
        if isinstance(indices, (range, list, tuple)):
            sha.integers(indices)
        else:
            _expression(sha, indices, scope)
        sha.text("" if parameter is None else str(parameter.name))
    elif operation.name == "box":
        sha.text(f"{operation.duration} {operation.unit}")
    else:
        raise ValueError(f"A control-flow operation of the kind {operation.name!r} cannot be kept in a task.")
    for block in operation.blocks:
        sha.text("block")
        _body(sha, _Scope(block, outer_qubits, outer_clbits))


def _condition(sha: _Hash, condition: Any, scope: _Scope) -> None:
    """Add a condition or target: a bit, a register, a pair of one and its value, or an expression."""
    if isinstance(condition, expr.Expr):
        _expression(sha, condition, scope)
    elif isinstance(condition, tuple):
        _condition(sha, condition[0], scope)
        sha.integers([int(condition[1])])
    elif isinstance(condition, Clbit):
        sha.text("bit")
        sha.integers(scope.clbit_list([condition]))
    else:
        sha.text("register")
        sha.integers(scope.clbit_list(condition))


def _expression(sha: _Hash, node: expr.Expr, scope: _Scope) -> None:
    """Add a classical expression, node by node."""
    sha.text(type(node).__name__)
    sha.text(repr(node.type))
    if isinstance(node, expr.Var):
        if node.standalone:
            sha.text(node.name)
        else:
            _condition(sha, node.var, scope)
    elif isinstance(node, expr.Stretch):
        sha.text(node.name)
    elif isinstance(node, expr.Value):
        sha.text(repr(node.value))
    elif isinstance(node, (expr.Unary, expr.Cast)):
        if isinstance(node, expr.Unary):
            sha.text(node.op.name)
        _expression(sha, node.operand, scope)
    elif isinstance(node, (expr.Binary, expr.Index)):
        if isinstance(node, expr.Binary):
            sha.text(node.op.name)
            parts = (node.left, node.right)
        else:
            parts = (node.target, node.index)
        for part in parts:
            _expression(sha, part, scope)
    else:
        raise TypeError(f"A classical expression of the kind {type(node).__name__} cannot be kept in a task.")


def _values(sha: _Hash, values: Sequence[Any]) -> None:
    """Add a list of values."""
    sha.integers([len(values)])
    for value in values:
        _value(sha, value)


def _value(sha: _Hash, value: Any) -> None:
    """Add one value: numbers by their exact decimal form, so that 1, 1.0 and numpy.float64(1) are one."""
    if value is None or isinstance(value, bool):
        sha.text(str(value))
    elif isinstance(value, (int, float, np.integer, np.floating)):
        sha.text(_number(value))
    elif isinstance(value, (complex, np.complexfloating)):
        sha.text(_number(value.real) if value.imag == 0 else f"{_number(value.real)},{_number(value.imag)}i")
    elif isinstance(value, str):
        sha.text(f"'{value}")
    elif isinstance(value, Parameter):
        sha.text(f"parameter {value.name}")
    elif isinstance(value, ParameterExpression):
        sha.text(f"expression {value}")
        for name in sorted(parameter.name for parameter in value.parameters):
            sha.text(name)
    elif isinstance(value, np.ndarray):
        sha.array(value)
    elif isinstance(value, expr.Expr):  # a duration
        sha.text(repr(value))
    elif isinstance(value, (list, tuple)):
        _values(sha, value)
    else:
        raise TypeError(f"A parameter of the type {type(value).__name__} cannot be kept in a task.")


def _number(value: Any) -> str:
    """Return the exact, shortest decimal form of a number."""
    number = float(value)
    if isinstance(value, (int, np.integer)) and int(number) != int(value):
        return str(int(value))
    if not math.isfinite(number):
        raise ValueError(f"A parameter of the circuit must be finite, but it is {number}.")
    return repr(number + 0.0)
