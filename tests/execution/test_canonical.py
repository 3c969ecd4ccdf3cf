"""What enters a task's identity, and what does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm2
from qiskit.circuit import Clbit, Parameter, QuantumRegister
from qiskit.circuit.classical import expr
from qiskit.circuit.library import (
    HGate,
    Initialize,
    PauliEvolutionGate,
    PermutationGate,
    QFTGate,
    StatePreparation,
    UnitaryGate,
)
from qiskit.quantum_info import SparsePauliOp

from qmlphys.execution import _canonical
from qmlphys.execution._task import Task, make_task, task_from_bytes, task_to_bytes


def identity(circuit: QuantumCircuit) -> str:
    return _canonical.digest([circuit], {}, arrays={})


def base() -> QuantumCircuit:
    circuit = QuantumCircuit(3, 2)
    circuit.h(0)
    circuit.rx(0.3, 1)
    circuit.cx(0, 2)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(2)
        circuit.z(0)
    circuit.measure([0, 1], [0, 1])
    return circuit


def edited(edit: Callable[[QuantumCircuit], object]) -> QuantumCircuit:
    circuit = base()
    edit(circuit)
    return circuit


def custom(angle: float, name: str) -> object:
    inner = QuantumCircuit(1, name=name)
    inner.rx(angle, 0)
    return inner.to_gate()


DIFFERENT: dict[str, Callable[[QuantumCircuit], object]] = {
    "nothing": lambda c: None,
    "gate": lambda c: c.x(0),
    "other gate": lambda c: c.y(0),
    "other qubit": lambda c: c.x(1),
    "angle": lambda c: c.rx(0.1, 0),
    "angle, last digit": lambda c: c.rx(np.nextafter(0.1, 1), 0),
    "global phase": lambda c: setattr(c, "global_phase", 0.5),
    "unitary": lambda c: c.unitary(np.eye(2), 0),
    "other unitary": lambda c: c.unitary(np.diag([1, -1]), 0),
    "initialize": lambda c: c.append(Initialize([0.6, 0.8]), [0]),
    "other initialize": lambda c: c.append(Initialize([0.8, 0.6]), [0]),
    "state preparation": lambda c: c.append(StatePreparation([0.6, 0.8]), [0]),
    "its inverse": lambda c: c.append(StatePreparation([0.6, 0.8]).inverse(), [0]),
    "custom gate": lambda c: c.append(custom(0.1, "mine"), [0]),
    "same name, other definition": lambda c: c.append(custom(0.2, "mine"), [0]),
    "open control": lambda c: c.append(HGate().control(1, ctrl_state=0, annotated=False), [0, 1]),
    "closed control": lambda c: c.append(HGate().control(1, ctrl_state=1, annotated=False), [0, 1]),
    "annotated control": lambda c: c.append(custom(0.1, "mine").control(1, annotated=True), [0, 1]),
    "delay": lambda c: c.delay(100, 0),
    "longer delay": lambda c: c.delay(200, 0),
    "delay in ns": lambda c: c.delay(100, 0, unit="ns"),
    "barrier": lambda c: c.barrier(),
    "reset": lambda c: c.reset(0),
    "qubit": lambda c: c.add_register(QuantumRegister(1, "more")),
    "parameter": lambda c: c.rx(Parameter("a"), 0),
    "other parameter": lambda c: c.rx(Parameter("b"), 0),
    "expression": lambda c: c.rx(2 * Parameter("a"), 0),
    "condition": lambda c: c.if_test((c.clbits[1], 1), QuantumCircuit([c.qubits[0]]), [0], []),
    "other value": lambda c: c.if_test((c.clbits[1], 0), QuantumCircuit([c.qubits[0]]), [0], []),
    "register condition": lambda c: c.if_test((c.cregs[0], 1), QuantumCircuit([c.qubits[0], *c.clbits]), [0], [0, 1]),
    "expression condition": lambda c: c.if_test(
        expr.less(c.cregs[0], 2), QuantumCircuit([c.qubits[0], *c.clbits]), [0], [0, 1]
    ),
    "loop": lambda c: c.for_loop(range(2), None, QuantumCircuit([c.qubits[0]]), [0], []),
    "longer loop": lambda c: c.for_loop(range(3), None, QuantumCircuit([c.qubits[0]]), [0], []),
    "while": lambda c: c.while_loop((c.clbits[0], 1), QuantumCircuit([c.qubits[0], c.clbits[0]]), [0], [0]),
}


def test_whatever_changes_the_circuit_changes_its_identity() -> None:
    found = {name: identity(edited(edit)) for name, edit in DIFFERENT.items()}
    assert len(set(found.values())) == len(found)


def test_names_of_classical_registers_count_and_their_order_too() -> None:
    from qiskit.circuit import ClassicalRegister

    def circuit(*names: str) -> QuantumCircuit:
        return QuantumCircuit(QuantumRegister(1, "q"), *(ClassicalRegister(1, name) for name in names))

    assert len({identity(circuit(*names)) for names in (("a", "b"), ("b", "a"), ("a", "c"), ("a",))}) == 4


def test_names_metadata_labels_and_objects_do_not_count() -> None:
    plain = identity(base())
    other = base()
    other.name, other.metadata = "another", {"who": "me"}
    assert identity(other) == plain
    assert identity(base().copy("copy")) == plain
    assert identity(edited(lambda c: c.append(custom(0.1, "one"), [0]))) == identity(
        edited(lambda c: c.append(custom(0.1, "two"), [0]))
    )
    assert identity(edited(lambda c: c.rx(Parameter("a"), 0))) == identity(edited(lambda c: c.rx(Parameter("a"), 0)))
    assert identity(edited(lambda c: c.rx(1, 0))) == identity(edited(lambda c: c.rx(np.float64(1.0), 0)))
    assert identity(edited(lambda c: c.append(HGate(label="first"), [0]))) == identity(edited(lambda c: c.h(0)))
    assert identity(QuantumCircuit(QuantumRegister(2, "a"))) == identity(QuantumCircuit(QuantumRegister(2, "b")))


def test_another_process_with_other_hashes_finds_the_same_id() -> None:
    # Control flow's builder collects qubits in sets, whose order the hash seed decides.
    program = (
        "from qiskit import QuantumCircuit\n"
        "from qiskit.circuit import Parameter\n"
        "from qmlphys.execution._task import make_task\n"
        "c = QuantumCircuit(6, 2)\n"
        "a, b = Parameter('a'), Parameter('b')\n"
        "c.rx(a * b + 0.1 * a.sin(), 0)\n"
        "c.measure(0, 0)\n"
        "with c.if_test((c.cregs[0], 1)):\n"
        "    for q in (5, 3, 1, 2): c.x(q)\n"
        "c.measure(1, 1)\n"
        "found = make_task(c, 'aer', shots=10, rng=1, parameter_values=[[0.1, 0.2]]).id\n"
    )
    here: dict[str, str] = {}
    exec(program, here)  # noqa: S102 (the text above)
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    there = subprocess.run(
        [sys.executable, "-c", program + "print(found)"], capture_output=True, text=True, check=True, env=environment
    )
    assert there.stdout.strip() == here["found"]
    assert len(here["found"]) == 64


def measured(circuit: QuantumCircuit) -> Task:
    circuit.measure_all()
    values = [[0.1 * (i + 1) for i in range(len(circuit.parameters))]] if circuit.parameters else None
    return make_task(circuit, "aer", shots=7, rng=1, parameter_values=values)


OPERATIONS = [
    StatePreparation([0.6, 0.8]),
    StatePreparation([0.6, 0.8]).inverse(),
    StatePreparation("1"),
    Initialize([0.6, 0.8j]),
    UnitaryGate(np.diag([1, 1j])),
    UnitaryGate(np.diag([1, 1j])).control(1, ctrl_state=0, annotated=False),
    QFTGate(3),
    QFTGate(3).inverse(),
    QFTGate(2).control(1, annotated=True),
    PauliEvolutionGate(SparsePauliOp(["ZZ", "XI"], [0.3, 0.7]), 0.3),
    PermutationGate([1, 2, 0]),
    HGate().control(2, ctrl_state=1, annotated=False),
    custom(0.3, "mine"),
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: f"{type(o).__name__}-{o.name}")
def test_storing_keeps_the_identity_of_every_kind_of_gate(operation: object) -> None:
    circuit = QuantumCircuit(operation.num_qubits)  # type: ignore[attr-defined]
    circuit.append(operation, range(circuit.num_qubits))  # type: ignore[arg-type]
    task = measured(circuit)
    again = task_from_bytes(task_to_bytes(task))
    assert again.id == task.id
    assert again == task


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["rx", "cx", "p", "expression", "if", "delay", "phase"]),
            st.integers(0, 2),
            st.floats(-1e3, 1e3, allow_nan=False),
        ),
        max_size=12,
    )
)
def test_storing_keeps_the_identity_of_random_circuits(steps: list[tuple[str, int, float]]) -> None:
    circuit = QuantumCircuit(3, 2)
    a, b = Parameter("a"), Parameter("b")
    for kind, qubit, number in steps:
        other = (qubit + 1) % 3
        if kind == "rx":
            circuit.rx(number, qubit)
        elif kind == "cx":
            circuit.cx(qubit, other)
        elif kind == "p":
            circuit.p(a, qubit)
        elif kind == "expression":
            circuit.rz(number * a + (b - number).sin() * a / 3, qubit)
        elif kind == "if":
            with circuit.if_test((circuit.cregs[0], qubit)):
                circuit.x(qubit)
                circuit.cz(other, qubit)
        elif kind == "delay":
            circuit.delay(abs(int(number)), qubit)
        else:
            circuit.global_phase += number
    task = measured(circuit)
    assert task_from_bytes(task_to_bytes(task)).id == task.id


def test_a_tower_of_gates_that_doubles_at_each_level_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_canonical, "MAX_INSTRUCTIONS", 2000)
    # The definitions of these gates are made anew whenever they are asked for.
    levels = "".join(f"gate g{i} a {{ g{i - 1} a; g{i - 1} a; }} " for i in range(1, 60))
    circuit = qasm2.loads(f'OPENQASM 2.0; include "qelib1.inc"; gate g0 a {{ x a; }} {levels} qreg q[1]; g59 q[0];')
    with pytest.raises(ValueError, match="at most 2000 instructions"):
        identity(circuit)


def test_infinite_angles_and_unknown_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="must be finite"):
        identity(edited(lambda c: c.rx(float("inf"), 0)))


def test_bits_without_a_register_have_an_index_all_the_same() -> None:
    circuit = QuantumCircuit(1)
    circuit.add_bits([Clbit()])
    circuit.measure(0, 0)
    assert identity(circuit) != identity(QuantumCircuit(1))
