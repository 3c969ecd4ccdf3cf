"""Circuit files: OpenQASM 2, OpenQASM 3 and QPY, read as hostile and written whole.

A circuit file may come from anywhere. Its size, its registers, its nesting and the number of its instructions are
bounded before a parser sees it; of other files only the two standard gate libraries may be included, and neither is
read from the disk; QPY older than version 13, which may hold pickles, is refused. What remains of QPY and OpenQASM 3
is parsed in a process of its own, with limits on memory and time.
"""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

from qiskit import QuantumCircuit, qasm2, qasm3, qpy
from qiskit.circuit import ControlFlowOp, ControlledGate, Gate, Instruction

from qmlphys._atomic import atomic_path
from qmlphys.execution import _parser
from qmlphys.execution._qpy import MIN_QPY_VERSION, first_line, load_qpy

__all__ = ["MAX_CLBITS", "MAX_FILE_BYTES", "MAX_INSTRUCTIONS", "MAX_QUBITS", "CircuitFileError", "read", "write"]

MAX_FILE_BYTES = {"qasm2": 32 * 2**20, "qasm3": 4 * 2**20, "qpy": 128 * 2**20}
"""The largest file of each format, in bytes. The parser of OpenQASM 3 is slow."""

MAX_QUBITS = 10_000
"""The largest number of qubits in a file."""

MAX_CLBITS = 100_000
"""The largest number of classical bits in a file."""

MAX_INSTRUCTIONS = 5_000_000
"""The largest number of instructions, with registers and custom gates written out."""

# The parser of OpenQASM 2 ends the whole process when expressions are nested deeper than its stack.
_MAX_NESTING = 64
_MAX_SIGNS = 64
_MAX_OPERATORS = 1000
_MAX_LEVELS = 200

_LINE_COMMENT = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|//[^\n]*")
_ANY_COMMENT = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|//[^\n]*|/\*.*?\*/", re.DOTALL)
_STRING = re.compile(r"\"([^\"\n]*)\"|'([^'\n]*)'")
_VERSION = re.compile(r"\s*OPENQASM\s+(\d+)(?:\.\d+)?\s*;")
_OLD_REGISTER = re.compile(r"\b([qc])reg\s+(\w+)\s*(?:\[([^\]]*)\])?")
_NEW_REGISTER = re.compile(r"\b(qu)?bit\s*(?:\[([^\]]*)\])?\s*(\w+)")
_NAME = re.compile(r"\b[A-Za-z_]\w*\b(?!\s*\[)")
_SIGNS = re.compile(rf"(?:[-+!~]\s*){{{_MAX_SIGNS + 1}}}")
_STANDARD = {"qasm2": "qelib1.inc", "qasm3": "stdgates.inc"}


class CircuitFileError(ValueError):
    """The file holds no circuit that can be read; the text says why in one sentence."""


CircuitFileError.__module__ = "qmlphys.execution"  # where users find it


def read(path: str | os.PathLike[str]) -> QuantumCircuit:
    """Read one circuit from a file that may be damaged or hostile.

    Parameters
    ----------
    path : path-like
        An OpenQASM 2, OpenQASM 3 or QPY file, recognised by its beginning. No other file is read, whatever it
        includes.

    Returns
    -------
    QuantumCircuit
        One circuit.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CircuitFileError
        If it holds no circuit, is too large, damaged, of a version that is not read, or includes another file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "bell.qasm")
    ...     _ = path.write_text('OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; h q[0]; cx q[0], q[1];')
    ...     read(path).num_qubits
    2
    """
    name = Path(path)
    if not name.exists():
        raise FileNotFoundError(f"There is no file '{name}'.")
    status = name.stat()
    if not stat.S_ISREG(status.st_mode):
        raise CircuitFileError(f"'{name}' is no circuit file: it is not a regular file.")
    if status.st_size > max(MAX_FILE_BYTES.values()):
        raise CircuitFileError(
            f"'{name}' is too large: {status.st_size} bytes, at most {MAX_FILE_BYTES['qpy']} are read."
        )
    with name.open("rb") as file:
        data = file.read(MAX_FILE_BYTES["qpy"])  # it may have grown since
    try:
        circuit = _parse(data)
        _check_size(circuit)
    except CircuitFileError as error:
        raise CircuitFileError(f"'{name}' cannot be read: {error}") from None
    return circuit


def write(circuit: QuantumCircuit, path: str | os.PathLike[str]) -> None:
    """Write a circuit as OpenQASM 2 (``.qasm``), OpenQASM 3 (``.qasm3``) or QPY (``.qpy``), whole or not at all.

    Parameters
    ----------
    circuit : QuantumCircuit
        A circuit. OpenQASM 2 knows no control flow and no free parameters, and holds angles to 1e-12.
    path : path-like
        Where to; the ending decides the format. An existing file is replaced.

    Raises
    ------
    ValueError
        If the ending is another one, or the format cannot hold the circuit; the text says which can.

    Examples
    --------
    >>> import tempfile
    >>> circuit = QuantumCircuit(1)
    >>> _ = circuit.h(0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(circuit, Path(folder, "h.qasm"))
    ...     read(Path(folder, "h.qasm")) == circuit
    True
    """
    name = Path(path)
    ending = name.suffix.lower()
    if ending not in (".qasm", ".qasm3", ".qpy"):
        raise ValueError(f"Argument `path` must end in .qasm, .qasm3 or .qpy, but it is '{name}'.")
    try:
        if ending == ".qasm":
            data = (qasm2.dumps(circuit) + "\n").encode("utf-8")
        elif ending == ".qasm3":
            data = qasm3.dumps(circuit).encode("utf-8")
        else:
            buffer = io.BytesIO()
            qpy.dump(circuit, buffer)
            data = buffer.getvalue()
    except Exception as error:  # the three writers have no common base for what they cannot write
        cure = "use .qasm3 or .qpy" if ending == ".qasm" else "use .qpy" if ending == ".qasm3" else "decompose it first"
        raise ValueError(f"The circuit cannot be written as {ending} ({first_line(error)}): {cure}.") from None
    with atomic_path(name) as temporary:
        temporary.write_bytes(data)


def _parse(data: bytes) -> QuantumCircuit:
    """Return the circuit in a file's content."""
    if data[:6] == b"QISKIT":
        if len(data) < 7 or data[6] < MIN_QPY_VERSION or data[6] > qpy.common.QPY_VERSION:
            version = data[6] if len(data) > 6 else 0
            raise CircuitFileError(
                f"QPY versions {MIN_QPY_VERSION} to {qpy.common.QPY_VERSION} are read, but this is version {version}."
            )
        return _elsewhere("qpy", data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise CircuitFileError("it is neither OpenQASM nor QPY.") from None
    header = _VERSION.match(_without(_ANY_COMMENT, text))
    if header is None or header[1] not in ("2", "3"):
        raise CircuitFileError("it does not begin with `OPENQASM 2.0;` or `OPENQASM 3.0;`, and is no QPY.")
    kind = f"qasm{header[1]}"
    if len(data) > MAX_FILE_BYTES[kind]:
        raise CircuitFileError(
            f"it has {len(data)} bytes, but at most {MAX_FILE_BYTES[kind]} are read: write it as QPY."
        )
    # OpenQASM 2 knows no comments between /* and */: what stands there is read.
    _check_text(_without(_LINE_COMMENT if kind == "qasm2" else _ANY_COMMENT, text), kind)
    if kind == "qasm3":
        return _elsewhere("qasm3", data)
    try:
        return qasm2.loads(
            text,
            include_path=(),
            custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS,
            custom_classical=qasm2.LEGACY_CUSTOM_CLASSICAL,
        )
    except Exception as error:  # custom instructions raise Qiskit's and Python's errors beside the parser's own
        raise CircuitFileError(f"it is no valid OpenQASM 2 ({first_line(error)}).") from None


def _without(comments: re.Pattern[str], text: str) -> str:
    """Return the text without comments, its strings kept."""
    return comments.sub(lambda found: found[0] if found[0][0] in "\"'" else " ", text)


def _elsewhere(kind: str, data: bytes) -> QuantumCircuit:
    """Parse in a process of its own, with limits."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    label = "QPY" if kind == "qpy" else "OpenQASM 3"
    try:
        done = subprocess.run(  # noqa: S603 (this Python, a script of this package, and a fixed word)
            [sys.executable, "-I", _parser.__file__, kind],
            input=data,
            capture_output=True,
            check=False,
            timeout=_parser.MAX_SECONDS,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise CircuitFileError(f"reading this {label} takes more than {_parser.MAX_SECONDS} s.") from None
    if done.stdout[:2] == b"ok":
        try:
            return load_qpy(done.stdout[2:])[0]
        except ValueError as error:
            raise CircuitFileError(str(error)) from None
    reason = _plain(done.stdout[2:].decode("utf-8", "replace")) if done.stdout[:2] == b"no" else ""
    if not reason:
        raise CircuitFileError(f"it is truncated or damaged {label}: the parser gave up on it.")
    raise CircuitFileError(f"it is no valid {label} ({reason[:200].rstrip('.')}).")


def _plain(reason: str) -> str:
    """Return what a parser says without the colours and the backtrace that it draws around it."""
    reason = re.sub(r"(\x1b|\\x1b)\[\d+m", "", reason)
    found = re.search(r"Backtrace.*?Error: (.*?)(\\n|\n|$)", reason, re.DOTALL)
    return " ".join((found[1] if found else reason).split())


def _check_text(text: str, kind: str) -> None:
    """Refuse OpenQASM that includes files, or is built to be larger or deeper than it looks.

    `text` is free of comments.
    """
    for found in _STRING.finditer(text):
        included = found[1] if found[1] is not None else found[2]
        if included != _STANDARD[kind]:
            raise CircuitFileError(f'only "{_STANDARD[kind]}" may be included, but it names "{included[:80]}".')
    plain = _STRING.sub(" ", text)
    if '"' in plain or "'" in plain:
        raise CircuitFileError("a string in it does not end.")
    depth = 0
    for bracket in re.finditer(r"[()\[\]{}]", plain):
        depth += 1 if bracket[0] in "([{" else -1
        if depth > _MAX_NESTING:
            raise CircuitFileError(f"its brackets are nested deeper than {_MAX_NESTING} levels.")
    if _SIGNS.search(plain):
        raise CircuitFileError(f"it has more than {_MAX_SIGNS} signs in a row.")
    _check_registers(plain, kind)


def _check_registers(plain: str, kind: str) -> None:
    """Refuse registers, and statements on whole registers, that are too large when written out."""
    sizes: dict[str, int] = {}
    totals = {"q": 0, "c": 0}
    declared = [(found[1], found[3], found[2]) for found in _OLD_REGISTER.finditer(plain)]
    if kind == "qasm3":
        declared += [("q" if found[1] else "c", found[2], found[3]) for found in _NEW_REGISTER.finditer(plain)]
    for letter, number, name in declared:
        size = 1 if number is None else _literal(number, name)
        sizes[name] = size
        totals[letter] += size
    for letter, limit, what in (("q", MAX_QUBITS, "qubits"), ("c", MAX_CLBITS, "classical bits")):
        if totals[letter] > limit:
            raise CircuitFileError(f"it has {totals[letter]} {what}, but at most {limit} are read.")
    total = 0
    for statement in re.split(r"[;{}]", plain):
        if sum(map(statement.count, "+-*/^")) > _MAX_OPERATORS:
            raise CircuitFileError(f"one of its statements has more than {_MAX_OPERATORS} operators.")
        total += max((sizes.get(name, 1) for name in _NAME.findall(statement)), default=0)
        if total > MAX_INSTRUCTIONS:
            raise CircuitFileError(f"it has more than {MAX_INSTRUCTIONS} instructions.")


def _literal(number: str, name: str) -> int:
    """Return the size of a register, which must be written as a number."""
    digits = number.strip().replace("_", "")
    if not digits.isascii() or not digits.isdigit():
        raise CircuitFileError(
            f"the size of register {name[:40]!r} must be a plain number, but it is {number.strip()[:40]!r}."
        )
    if len(digits) > 12:
        raise CircuitFileError(f"register {name[:40]!r} is declared with {digits[:12]}... bits, which is too many.")
    return int(digits)


def _check_size(circuit: QuantumCircuit) -> None:
    """Refuse circuits that are larger than they looked, once their gates are written out."""
    if circuit.num_qubits > MAX_QUBITS or circuit.num_clbits > MAX_CLBITS:
        raise CircuitFileError(
            f"it has {circuit.num_qubits} qubits and {circuit.num_clbits} classical bits, but at most {MAX_QUBITS} and "
            f"{MAX_CLBITS} are read."
        )
    if _written_out(circuit, {}, 0) > MAX_INSTRUCTIONS:
        raise CircuitFileError(f"its gates, written out, have more than {MAX_INSTRUCTIONS} instructions.")


def _written_out(circuit: QuantumCircuit, known: dict[str, int], level: int) -> int:
    """Count instructions with custom gates written out; within one file a name has one definition."""
    if level > _MAX_LEVELS:
        raise CircuitFileError(f"its gates are defined by more than {_MAX_LEVELS} levels of other gates.")
    total = 0
    for item in circuit.data:
        operation = item.operation
        if isinstance(operation, ControlFlowOp):
            total += 1 + sum(_written_out(block, known, level + 1) for block in operation.blocks)
        elif not _is_custom(operation):
            total += 1
        else:
            if operation.name not in known:
                known[operation.name] = _written_out(operation.definition, known, level + 1)
            total += known[operation.name]
    return total


def _is_custom(operation: Instruction) -> bool:
    """Tell whether a file defined an operation, rather than named one of Qiskit's own."""
    kind = type(operation)
    if kind not in (Gate, Instruction, ControlledGate) and not str(kind.__module__).startswith("qiskit.qasm2"):
        return False
    return getattr(operation, "definition", None) is not None
