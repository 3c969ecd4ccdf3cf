"""What is refused before anything is run or sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, QuantumRegister
from qiskit.circuit.classical import expr, types

from qmlphys.execution import _check, _rules, backends
from qmlphys.execution._check import CircuitRefused, check
from qmlphys.execution._options import Options
from qmlphys.execution._task import make_task


def refused(circuit: QuantumCircuit, text: str, *, backend: str = "fake_torino", **changes: Any) -> None:
    with pytest.raises(CircuitRefused, match=text) as caught:
        check(make_task(circuit, backend, **{"shots": 10, **changes}))
    assert "\n" not in str(caught.value)


def two(bits: int = 2) -> QuantumCircuit:
    circuit = QuantumCircuit(2, bits)
    circuit.h(0)
    circuit.measure(0, 0)
    return circuit


def test_a_good_circuit_is_translated_for_the_device(feed_forward: QuantumCircuit) -> None:
    checked = check(make_task(feed_forward, "fake_torino", shots=10, rng=1))
    target = backends.fake_device("fake_torino").target
    (isa,) = checked.isa
    assert isa.num_qubits == target.num_qubits
    for item in isa.data:
        qubits = tuple(isa.find_bit(bit).index for bit in item.qubits)
        if item.operation.name not in ("if_else", "barrier"):
            assert target.instruction_supported(item.operation.name, qubits)
    assert (checked.n_qubits, checked.n_two_qubit_gates) == (3, 1)
    assert len(set(json.loads(checked.layout or ""))) == 3
    assert checked.device_seconds == pytest.approx(2.0, abs=0.01)


def test_the_same_task_is_translated_the_same_way(feed_forward: QuantumCircuit) -> None:
    one, other = (check(make_task(feed_forward, "fake_torino", shots=10)) for _ in range(2))
    assert one.isa == other.isa
    assert one.layout == other.layout


def test_the_user_chooses_the_layout_and_the_level(bell: QuantumCircuit) -> None:
    options = Options(layout=(5, 4), optimization_level=0)
    checked = check(make_task(bell, "fake_torino", shots=1, options=options))
    assert json.loads(checked.layout or "") == [5, 4]
    refused(bell, "must name one of the 133 qubits", options=Options(layout=(5, 400)))
    refused(bell, "must name one of the 133 qubits", options=Options(layout=(5, 4, 3)))
    # A level higher finds that two Hadamards are nothing.
    twice = QuantumCircuit(1, 1)
    twice.h(0)
    twice.h(0)
    twice.measure(0, 0)
    depths = [
        check(make_task(twice, "aer", shots=1, options=Options(optimization_level=level))).depth for level in (0, 3)
    ]
    assert depths == [3, 1]


@pytest.mark.parametrize("name", sorted(_rules.FORBIDDEN))
def test_the_list_of_forbidden_operations_is_our_own(name: str) -> None:
    circuit = two()
    body = QuantumCircuit(1)
    body.x(0)
    if name == "for_loop":
        circuit.for_loop(range(2), None, body, [0], [])
    elif name == "while_loop":
        circuit.while_loop((circuit.clbits[0], 1), QuantumCircuit(1, 1), [0], [0])
    elif name == "switch_case":
        circuit.switch(circuit.clbits[0], [(1, QuantumCircuit(1, 1))], [0], [0])
    elif name == "box":
        with circuit.box():
            circuit.x(0)
    else:
        with circuit.for_loop(range(2)), circuit.if_test((circuit.clbits[0], 1)):
            if name == "break_loop":
                circuit.break_loop()
            else:
                circuit.continue_loop()
        loop = circuit.data[-1].operation.blocks[0]
        with pytest.raises(CircuitRefused, match=f"{name}`|if_test"):
            _rules._check_body(loop, "Circuit 0", conditional=True)
        with pytest.raises(CircuitRefused, match=f"`{name}`"):
            _rules._check_body(loop.data[0].operation.blocks[0], "Circuit 0", conditional=True)
    refused(circuit, "`for_loop`" if name in ("break_loop", "continue_loop") else f"`{name}`")
    if name in ("for_loop", "switch_case"):  # the stored device would have taken it
        assert name in backends.fake_device("fake_torino").target.operation_names


def test_rules_of_dynamic_circuits() -> None:
    nested = two()
    with nested.if_test((nested.clbits[0], 1)), nested.if_test((nested.clbits[1], 1)):
        nested.x(0)
    refused(nested, "`if_test` inside an `if_test`")
    conditional = two()
    with conditional.if_test((conditional.clbits[0], 1)):
        conditional.measure(1, 1)
    refused(conditional, "`measure` inside an `if_test`")
    resetting = two()
    with resetting.if_test((resetting.clbits[0], 1)):
        resetting.reset(1)
    refused(resetting, "`reset` inside an `if_test`")
    wide = two(33)
    with wide.if_test((wide.cregs[0], 1)):
        wide.x(1)
    refused(wide, "register of 33 bits")
    single = two(33)
    with single.if_test((single.clbits[0], 1)):
        single.x(1)
    check(make_task(single, "fake_torino", shots=1))
    summed = two()
    with summed.if_test(expr.equal(expr.add(summed.cregs[0], 1), 2)):
        summed.x(1)
    refused(summed, r"computes in a condition \(add\)")
    stored = two()
    stored.store(stored.clbits[1], expr.lift(stored.clbits[0]))
    refused(stored, "stores into classical bits")
    given = two()
    given.add_input("x", types.Bool())
    refused(given, "input variables")


def test_hidden_measurements_are_found() -> None:
    inner = QuantumCircuit(1, 1)
    inner.measure(0, 0)
    circuit = two()
    block = QuantumCircuit(2, 2)
    block.append(inner.to_instruction(), [1], [1])
    circuit.if_test((circuit.clbits[0], 1), block, [0, 1], [0, 1])
    refused(circuit, "`measure` inside an `if_test`")


@pytest.mark.parametrize("name", ["two words", "class", "1st"])
def test_names_of_registers(name: str) -> None:
    circuit = QuantumCircuit(QuantumRegister(1, "q"), ClassicalRegister(1, name))
    circuit.measure(0, 0)
    refused(circuit, "Python identifiers")
    check(make_task(circuit, "aer", shots=1))


def test_too_many_qubits() -> None:
    circuit = QuantumCircuit(134)
    circuit.measure_all()
    refused(circuit, "has 134 qubits, but fake_torino has 133")


def test_limits_of_the_service(monkeypatch: pytest.MonkeyPatch, bell: QuantumCircuit, swept: QuantumCircuit) -> None:
    refused(bell, "10000001 executions", shots=10_000_001)
    refused(swept, "10010000 executions", shots=10_000, parameter_values=[0.1] * 1001)
    monkeypatch.setattr(_rules, "MAX_TWO_QUBIT_GATES", 0)
    refused(bell, "1 two-qubit gates once translated")
    monkeypatch.undo()
    monkeypatch.setattr(_rules, "MAX_INSTRUCTIONS_PER_QUBIT", 15)
    refused(bell, "low-level instructions")
    monkeypatch.undo()
    monkeypatch.setattr(_rules, "MAX_SECONDS", 2.0)
    refused(bell, "would hold the device")


def test_low_level_instructions_are_counted_by_the_services_table() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.sx(0)
    circuit.rz(0.1, 0)
    circuit.cz(0, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.reset(1)
    _rules.check_limits([circuit], n_points=1, shots=1)
    found = [0, 0]
    _rules._count(circuit, found, range(2))
    assert found == [2 + 1 + 5 + 10, 5 + 2 + 17]


def test_feed_forward_memory() -> None:
    def conditions(n: int, *, measured_again: bool) -> QuantumCircuit:
        circuit = QuantumCircuit(1, 1)
        circuit.measure(0, 0)
        for _ in range(n):
            if measured_again:
                circuit.measure(0, 0)
            with circuit.if_test((circuit.clbits[0], 1)):
                circuit.x(0)
        return circuit

    # The documented numbers: 2400 transfers of one bit; a bit that did not change is not sent again.
    part = conditions(120, measured_again=True)
    assert _rules._transfers(part) == pytest.approx(120 / 2400, rel=1e-12)
    assert _rules._transfers(conditions(120, measured_again=False)) == pytest.approx(1 / 2400, rel=1e-12)
    _rules.check_limits([part] * 19, n_points=19, shots=1)
    with pytest.raises(CircuitRefused, match="memory that devices have"):
        _rules.check_limits([part] * 21, n_points=21, shots=1)
    wide = QuantumCircuit(1, 30)
    with wide.if_test((wide.cregs[0], 1)):
        wide.x(0)
    assert 1 / 2400 < _rules._transfers(wide) < 1 / 300  # 60 bits cost a 300th


def test_the_estimate_of_device_time() -> None:
    target = backends.fake_device("fake_torino").target
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.x(0)
    circuit.x(1)
    circuit.delay(1.0, 1, unit="us")
    circuit.measure([0, 1], [0, 1])
    x = target["x"][(0,)].duration
    readout = max(target["measure"][(q,)].duration for q in (0, 1))
    assert _rules.duration(circuit, target) == pytest.approx(max(2 * x, x + 1e-6) + readout, rel=1e-9)
    seconds = check(make_task(circuit, "fake_torino", shots=4000)).device_seconds
    assert seconds is not None
    assert seconds == pytest.approx(2 + 4000 * (250e-6 + 1e-6 + readout), rel=0.01)  # X gates left out


def test_gates_that_devices_have_in_static_circuits_only() -> None:
    fez = backends.fake_device("fake_fez").target
    static, dynamic = (_rules.allowed(fez, dynamic=d).operation_names for d in (False, True))
    for name in _rules.FRACTIONAL:
        assert (name in static) == (name in fez.operation_names)
        assert name not in dynamic
    assert not set(_rules.FORBIDDEN) & set(static)
    assert {"if_else", "measure", "cz"} <= set(dynamic)


def test_memory_is_looked_at_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = QuantumCircuit(45)
    circuit.h(range(45))
    circuit.measure_all()
    for backend in ("statevector", "aer", "fake_torino"):
        refused(circuit, "A circuit of 45 qubits needs .* GiB .* use", backend=backend)
    check(make_task(circuit, "aer-mps", shots=1))
    check(make_task(circuit, "fake_torino", shots=1, options=Options(max_bond=2)))
    small = QuantumCircuit(10)
    small.measure_all()
    monkeypatch.setattr(_check, "available_bytes", lambda: 2 * 16 * 2**10)
    check(make_task(small, "aer", shots=1))
    monkeypatch.setattr(_check, "available_bytes", lambda: 2 * 16 * 2**10 - 1)
    refused(small, "10 qubits needs", backend="aer")
    check(make_task(small, "aer", shots=1, options=Options(precision="single")))


def test_shots_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch, bell: QuantumCircuit) -> None:
    monkeypatch.setattr(_check, "available_bytes", lambda: 1000 * 104)
    check(make_task(bell, "aer", shots=1000))
    refused(bell, "1001 shots of 2 bits need", backend="aer", shots=1001)


def test_an_ibm_device_needs_its_target(bell: QuantumCircuit) -> None:
    task = make_task(bell, "ibm_torino", shots=10)
    with pytest.raises(ValueError, match="`target` must be given"):
        check(task)
    checked = check(task, target=backends.fake_device("fake_torino").target)
    assert checked.n_two_qubit_gates == 1


def test_what_cannot_be_translated_says_why() -> None:
    from qiskit.circuit import Gate

    circuit = QuantumCircuit(1, 1)
    circuit.append(Gate("mystery", 1, []), [0])
    circuit.measure(0, 0)
    for backend in ("aer", "fake_torino"):
        refused(circuit, "mystery", backend=backend)


def test_parameters_stay_free(swept: QuantumCircuit) -> None:
    checked = check(make_task(swept, "fake_torino", shots=1, parameter_values=[0.1, 0.2]))
    assert [p.name for p in checked.isa[0].parameters] == ["angle"]


def test_feed_forward_on_127_qubits_is_translated() -> None:
    # The Fourier transform with measurements: rotations by the bits measured so far, one flat block a bit.
    n = 127
    circuit = QuantumCircuit(n, n)
    for qubit in range(n):
        circuit.h(qubit)
        circuit.measure(qubit, qubit)
        if qubit + 1 < n:
            with circuit.if_test((circuit.clbits[qubit], 1)):
                for other in range(qubit + 1, min(n, qubit + 40)):
                    circuit.p(3.14159 / 2 ** (other - qubit), other)
    checked = check(make_task(circuit, "fake_torino", shots=100, options=Options(max_bond=2)))
    assert (checked.n_qubits, checked.n_two_qubit_gates) == (n, 0)
