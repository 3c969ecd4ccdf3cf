"""Circuit files: round trips, and files that were made to hurt."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit, qpy
from qiskit.quantum_info import Operator

from qmlphys.execution import circuit_files
from qmlphys.execution.circuit_files import CircuitFileError, read, write

HEAD = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; '
HEAD3 = 'OPENQASM 3.0; include "stdgates.inc"; '


def unitary_circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.rx(0.1234567890123, 1)
    circuit.cx(0, 2)
    circuit.cp(0.3, 1, 2)
    circuit.ccx(0, 1, 2)
    circuit.rzz(0.7, 0, 1)
    return circuit


@pytest.mark.parametrize("ending", [".qasm", ".qasm3"])
def test_round_trips_keep_the_unitary(tmp_path: Path, ending: str) -> None:
    circuit = unitary_circuit()
    path = tmp_path / f"c{ending}"
    write(circuit, path)
    # OpenQASM writes angles within 1e-12 of a simple fraction of pi as that fraction, others with 15 digits or more.
    np.testing.assert_allclose(Operator(read(path)).data, Operator(circuit).data, atol=1e-11, rtol=0)
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


@pytest.mark.parametrize("ending", [".qasm3", ".qpy"])
def test_round_trips_keep_feed_forward(tmp_path: Path, ending: str, feed_forward: QuantumCircuit) -> None:
    from qmlphys.execution._running import run

    path = tmp_path / f"c{ending}"
    write(feed_forward, path)
    again = read(path)
    assert [(r.name, r.size) for r in again.cregs] == [("first", 1), ("second", 2)]
    one, other = (run(c, "statevector", shots=None).probability.values for c in (feed_forward, again))
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


def test_qpy_keeps_free_parameters_and_qasm2_says_who_does(tmp_path: Path, swept: QuantumCircuit) -> None:
    write(swept, tmp_path / "c.qpy")
    assert [p.name for p in read(tmp_path / "c.qpy").parameters] == ["angle"]
    with pytest.raises(ValueError, match=r"use \.qasm3 or \.qpy"):
        write(swept, tmp_path / "c.qasm")
    with pytest.raises(ValueError, match=r"must end in \.qasm"):
        write(swept, tmp_path / "c.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["c.qpy"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, feed_forward: QuantumCircuit) -> None:
    path = tmp_path / "c.qasm"
    path.write_text("old")
    with pytest.raises(ValueError, match="cannot be written"):
        write(feed_forward, path)
    assert path.read_text() == "old"


TOWER = "gate g0 a { x a; } " + " ".join(f"gate g{i} a {{ g{i - 1} a; g{i - 1} a; }}" for i in range(1, 60))
CHAIN = "gate g0 a { x a; } " + " ".join(f"gate g{i} a {{ g{i - 1} a; }}" for i in range(1, 2000))
HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "does not begin with"),
    "text": ("hello", "does not begin with"),
    "bytes": (b"\xff\xfe\x00", "neither OpenQASM nor QPY"),
    "version 4": ("OPENQASM 4.0; qubit q;", "does not begin with"),
    "syntax": (HEAD + "x q[0]", "no valid OpenQASM 2"),
    "index": (HEAD + "x q[7];", "no valid OpenQASM 2"),
    "include": ('OPENQASM 2.0; include "/etc/passwd";', 'only "qelib1.inc" may be included'),
    "include, quoted otherwise": ("OPENQASM 2.0; include '/etc/passwd';", 'only "qelib1.inc"'),
    "include, behind a comment": ('OPENQASM 2.0; include // "qelib1.inc"\n "/etc/passwd";', 'only "qelib1.inc"'),
    "include, in no comment": ('OPENQASM 2.0; /* include "/etc/passwd"; */', 'only "qelib1.inc"'),
    "include, relative": ('OPENQASM 2.0; include "../secret.inc";', 'only "qelib1.inc"'),
    "include 3": ('OPENQASM 3.0; include "/etc/passwd"; qubit q;', 'only "stdgates.inc"'),
    "open string": ('OPENQASM 2.0; include "qelib1.inc', "a string in it does not end"),
    "large register": ("OPENQASM 2.0; qreg q[1000000000];", "1000000000 qubits"),
    "many registers": ("OPENQASM 2.0; " + "".join(f"qreg q{i}[9999]; " for i in range(9)), "89991 qubits"),
    "large classical register": ("OPENQASM 2.0; creg c[1000000000];", "classical bits"),
    "endless digits": (f"OPENQASM 2.0; qreg q[{'9' * 10000}];", "too many"),
    "large register 3": (HEAD3 + "qubit[1_000_000_000] q;", "1000000000 qubits"),
    "computed register 3": (HEAD3 + "qubit[2 ** 40] q;", "must be a plain number"),
    "bits 3": (HEAD3 + "bit[999999999] b;", "classical bits"),
    "shift 3": (HEAD3 + "qubit q; rx(1 << 100000000000) q;", "no valid OpenQASM 3|gave up"),
    "brackets": (HEAD + "rx(" + "(" * 100000 + "1" + ")" * 100000 + ") q[0];", "nested deeper"),
    "signs": (HEAD + "rx(" + "-" * 100000 + "1) q[0];", "signs in a row"),
    "powers": (HEAD + "rx(" + "2^" * 100000 + "1) q[0];", "operators"),
    "broadcast": (HEAD.replace("[1]", "[10000]") + "x q; " * 600, "instructions"),
    "doubling gates": (HEAD + TOWER + " g59 q[0];", "written out"),
    "deep gates": (HEAD + CHAIN + " g1999 q[0];", "levels of other gates"),
    "short QPY": (b"QISKIT", "this is version 0"),
    "old QPY": (b"QISKIT\x0c" + bytes(50), "this is version 12"),
    "new QPY": (b"QISKIT\xfe" + bytes(50), "this is version 254"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_one_clear_error(tmp_path: Path, case: str) -> None:
    content, text = HOSTILE[case]
    path = tmp_path / "c.qasm"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CircuitFileError, match=text) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert "root:" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_what_is_just_within_the_limits_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.qasm"
    path.write_text(HEAD + "rx(" + "2^" * 900 + "1) q[0]; rx(" + "(" * 60 + "1" + ")" * 60 + ") q[0];")
    assert read(path).count_ops() == {"rx": 2}


def test_the_limits_are_needed_for_qpy_that_claims_two_thousand_million_qubits(tmp_path: Path) -> None:
    circuit = QuantumCircuit(2, 2)
    path = tmp_path / "c.qpy"
    with path.open("wb") as file:
        qpy.dump(circuit, file, version=17)
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack(">II", 2, 2))
    data[at : at + 4] = struct.pack(">I", 2**31 - 1)
    path.write_bytes(data)
    with pytest.raises(CircuitFileError, match="QPY"):
        read(path)


def test_truncated_and_many_circuits(tmp_path: Path) -> None:
    path = tmp_path / "c.qpy"
    with path.open("wb") as file:
        qpy.dump([QuantumCircuit(1), QuantumCircuit(1)], file)
    with pytest.raises(CircuitFileError, match="2 circuits"):
        read(path)
    write(unitary_circuit(), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CircuitFileError, match="QPY") as caught:
        read(path)
    for drawn in ("Backtrace", "\x1b", "\\x1b", "\u2501", "\\n", "\n"):  # what the parser draws around its words
        assert drawn not in str(caught.value)


@pytest.mark.parametrize("newline", ["\n", "\\n"])
def test_the_words_of_a_parser_are_kept_without_its_drawing(newline: str) -> None:
    bold = "\x1b[1m" if newline == "\n" else "\\x1b[1m"
    drawn = (
        f"binary parsing error: {newline} == Backtrace =={newline} 0: {bold}Error: no utf-8{bold}{newline} {bold}While"
    )
    assert circuit_files._plain(drawn) == "no utf-8"
    assert circuit_files._plain(f"two{newline if newline == chr(10) else ' '}lines") == "two lines"


def test_sizes_and_kinds_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read(tmp_path / "none.qasm")
    with pytest.raises(CircuitFileError, match="not a regular file"):
        read(tmp_path)
    path = tmp_path / "c.qasm"
    path.write_text(HEAD)
    monkeypatch.setattr(circuit_files, "MAX_FILE_BYTES", {"qasm2": 10, "qasm3": 10, "qpy": 1000})
    with pytest.raises(CircuitFileError, match="at most 10 are read"):
        read(path)
    path.write_bytes(bytes(2000))
    with pytest.raises(CircuitFileError, match="too large"):
        read(path)
