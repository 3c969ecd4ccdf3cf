"""Tasks: what is accepted, what is refused, and how they are stored."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Clbit, Parameter

from qmlphys.execution import _task
from qmlphys.execution._options import Options
from qmlphys.execution._task import make_task, task_from_bytes, task_to_bytes


def test_every_field_enters_the_id(swept: QuantumCircuit) -> None:
    usual: dict[str, Any] = {"shots": 10, "rng": 1, "parameter_values": [0.1, 0.2]}
    changes: list[dict[str, Any]] = [
        {},
        {"shots": 11},
        {"rng": 2},
        {"rng": None},
        {"parameter_values": [0.1, 0.3], "values": [0.1, 0.2]},
        {"values": [0.0, 1.0]},
        {"name": "angle"},
        {"units": "rad"},
        {"basis": "X"},
        {"model": "m"},
        {"lattice": "l"},
        {"repeat": 1},
        {"options": Options(optimization_level=1)},
        {"options": Options(precision="single")},
    ]
    ids = {make_task(swept, "aer", **{**usual, **change}).id for change in changes}
    ids.add(make_task(swept, "aer-mps", **usual).id)
    ids.add(make_task(swept, "aer-mps", **usual, options=Options(max_bond=4)).id)
    ids.add(make_task(swept, "fake_torino", **usual, options=Options(layout=(0, 1))).id)
    assert len(ids) == len(changes) + 3


def test_a_generator_gives_a_seed_and_moves_on(bell: QuantumCircuit) -> None:
    rng = np.random.default_rng(5)
    first, second = (make_task(bell, "aer", shots=1, rng=rng).seed for _ in range(2))
    assert first != second
    assert first == make_task(bell, "aer", shots=1, rng=np.random.default_rng(5)).seed


def test_the_callers_circuit_and_array_may_change_afterwards(swept: QuantumCircuit) -> None:
    values = np.array([[0.1], [0.2]])
    task = make_task(swept, "aer", shots=1, parameter_values=values)
    swept.x(0)
    values[:] = 9
    assert task.id == make_task(task.circuits[0], "aer", shots=1, parameter_values=[0.1, 0.2]).id
    assert task.values == (0.1, 0.2)
    with pytest.raises(ValueError, match="read-only"):
        task.parameter_values[0] = 3  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"shots": 0}, "`shots` must be an integer >= 1, but it is 0"),
        ({"shots": True}, "`shots` must be an integer >= 1"),
        ({"shots": 2.0}, "`shots` must be an integer >= 1"),
        ({"shots": None}, "only statevector is exact"),
        ({"shots": 2**33}, "must give at most"),
        ({"rng": -1}, "must lie in"),
        ({"rng": 2**63}, "must lie in"),
        ({"rng": 1.5}, "must be None, an integer"),
        ({"repeat": -1}, "`repeat` must be an integer >= 0"),
        ({"basis": "Q"}, "`basis` must be X, Y or Z"),
        ({"basis": "XXX"}, "each of the 2 bits"),
        ({"values": [1.0, 2.0]}, "one value for each of the 1 scan points"),
        ({"values": [np.nan]}, "must be finite"),
        ({"parameter_values": [[0.1]]}, "must have the shape"),
        ({"name": 3}, "`name` must be text"),
        ({"options": {"noise": False}}, "must be an Options"),
        ({"options": Options(max_bond=3)}, "only aer-mps, fake can use it"),
        ({"options": Options(noise=False)}, "only fake can use it"),
        ({"options": Options(layout=(0, 1))}, "only fake, ibm can use it"),
    ],
)
def test_faults_are_refused_in_one_sentence(bell: QuantumCircuit, change: dict[str, Any], text: str) -> None:
    with pytest.raises((ValueError, TypeError), match=text) as caught:
        make_task(bell, "aer", **{"shots": 1, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"optimization_level": 4}, "0, 1, 2 or 3"),
        ({"layout": (1, 1)}, "different qubits"),
        ({"layout": "ab"}, "list of qubits"),
        ({"precision": "half"}, "'double' or 'single'"),
        ({"max_bond": 0}, "an integer >= 1"),
        ({"truncation": 1.5}, "must lie in"),
        ({"noise": 1}, "True or False"),
    ],
)
def test_options_are_checked(options: dict[str, Any], text: str) -> None:
    with pytest.raises((ValueError, TypeError), match=text):
        Options(**options)


def test_truncation_without_matrix_product_states_would_do_nothing_and_is_refused(bell: QuantumCircuit) -> None:
    with pytest.raises(ValueError, match="unless `max_bond`"):
        make_task(bell, "fake_torino", shots=1, options=Options(truncation=1e-8))
    make_task(bell, "fake_torino", shots=1, options=Options(truncation=1e-8, max_bond=8))


def test_circuits_must_fit_together(bell: QuantumCircuit, swept: QuantumCircuit) -> None:
    other = QuantumCircuit(2, 1)
    other.measure(0, 0)
    with pytest.raises(ValueError, match="same classical registers"):
        make_task([bell, other], "aer", shots=1)
    with pytest.raises(ValueError, match=r"free parameters \['angle'\]"):
        make_task(swept, "aer", shots=1)
    with pytest.raises(ValueError, match="assign the parameters of each"):
        make_task([swept, swept], "aer", shots=1, parameter_values=[0.1])
    with pytest.raises(ValueError, match="at least one circuit"):
        make_task([], "aer", shots=1)
    with pytest.raises(ValueError, match="at least one qubit"):
        make_task(QuantumCircuit(), "aer", shots=1)
    with pytest.raises(TypeError, match="must hold QuantumCircuits"):
        make_task(["x"], "aer", shots=1)  # type: ignore[list-item]


def test_nothing_is_measured_silently() -> None:
    plain = QuantumCircuit(2)
    with pytest.raises(ValueError, match=r"call its `measure_all\(\)` first.*--measure-all"):
        make_task(plain, "aer", shots=1)
    with pytest.raises(ValueError, match=r"call its `measure_all\(\)` first.*--measure-all"):
        make_task(QuantumCircuit(2, 2), "statevector", shots=1)
    assert make_task(plain, "statevector", shots=None).shots is None


def test_each_classical_bit_belongs_to_one_register() -> None:
    bits = [Clbit(), Clbit()]
    loose = QuantumCircuit(1)
    loose.add_bits(bits[:1])
    loose.measure(0, 0)
    with pytest.raises(ValueError, match="exactly one register"):
        make_task(loose, "aer", shots=1)
    twice = QuantumCircuit(1)
    twice.add_register(ClassicalRegister(bits=bits, name="a"), ClassicalRegister(bits=bits[:1], name="b"))
    twice.measure(0, 0)
    with pytest.raises(ValueError, match="exactly one register"):
        make_task(twice, "aer", shots=1)


def test_stored_tasks_come_back_whole(feed_forward: QuantumCircuit) -> None:
    a, b = Parameter("a"), Parameter("b")
    feed_forward.rx(a + b, 0)
    task = make_task(
        feed_forward,
        "fake_torino",
        shots=5,
        parameter_values=[[0.1, 0.2], [0.3, 1 / 3]],
        values=[1.0, 2.0],
        name="field",
        units="J",
        model="m",
        lattice="l",
        options=Options(layout=(0, 1, 2), noise=False),
        repeat=3,
    )
    again = task_from_bytes(task_to_bytes(task))
    assert again == task
    assert again.options == task.options
    assert again.values == task.values
    assert (again.name, again.units, again.seed, again.repeat) == ("field", "J", None, 3)
    np.testing.assert_array_equal(again.parameter_values, task.parameter_values)
    # Bytes differ from time to time, and may: only the id must not.
    assert b"pickle" not in task_to_bytes(task)


def test_damaged_bytes_are_refused(bell: QuantumCircuit) -> None:
    data = task_to_bytes(make_task(bell, "aer", shots=1))
    rng = np.random.default_rng(0)
    n_refused = 0
    for cut in (0, 5, 20, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match=r"stored task|QPY"):
            task_from_bytes(data[:cut])
    for _ in range(60):
        changed = bytearray(data)
        changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        try:
            # Names of circuits are not part of the task: a few changes leave it what it was.
            assert task_from_bytes(bytes(changed)).id == make_task(bell, "aer", shots=1).id
        except ValueError:
            n_refused += 1
    assert n_refused > 30


def test_a_changed_circuit_does_not_pass_for_the_stored_one(bell: QuantumCircuit) -> None:
    one = task_to_bytes(make_task(bell, "aer", shots=1))
    bell.x(0)
    other = task_to_bytes(make_task(bell, "aer", shots=1))
    start = len(b"QMLPHYS1") + 8
    (length,) = struct.unpack(">Q", one[8:16])
    (length_other,) = struct.unpack(">Q", other[8:16])
    with pytest.raises(ValueError, match="not those that its id stands for"):
        task_from_bytes(one[: start + length] + other[start + length_other :])


def test_old_qpy_and_large_tasks_are_refused(bell: QuantumCircuit, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(task_to_bytes(make_task(bell, "aer", shots=1)))
    data[data.index(b"QISKIT") + 6] = 12
    with pytest.raises(ValueError, match="version 13 or newer"):
        task_from_bytes(bytes(data))
    data[data.index(b"QISKIT") + 6] = 99
    with pytest.raises(ValueError, match="or older for this Qiskit"):
        task_from_bytes(bytes(data))
    monkeypatch.setattr(_task, "MAX_TASK_BYTES", 100)
    with pytest.raises(ValueError, match="at most 100 bytes"):
        task_to_bytes(make_task(bell, "aer", shots=1))
    with pytest.raises(ValueError, match="at most 100 bytes"):
        task_from_bytes(bytes(data))
