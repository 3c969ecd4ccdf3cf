"""Reads one circuit file's content in a process of its own, with limits on memory and time.

Run as a script, it takes a format and the content on standard input, and gives the circuit as QPY on standard output.
Damaged files make the readers of QPY and OpenQASM 3 ask for any amount of memory, and some end the process: here that
costs nothing. It imports nothing of this package, so that it starts quickly.
"""

from __future__ import annotations

import io
import sys

__all__ = ["MAX_BYTES", "MAX_SECONDS", "main"]

MAX_BYTES = 4 * 2**30
"""Memory that reading may take."""

MAX_SECONDS = 300
"""Processor time that reading may take."""

_QPY_VERSION = 17


def main() -> int:
    """Read standard input; write "ok" and QPY, or "no" and the reason, to standard output."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        pass
    else:
        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    kind = sys.argv[1]
    data = sys.stdin.buffer.read()
    try:
        result = _read(kind, data)
    except (Exception, RecursionError) as error:  # readers let anything through; the parent wants one line
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        sys.stdout.buffer.write(b"no" + (text or type(error).__name__).encode("utf-8", "replace"))
        return 0
    sys.stdout.buffer.write(b"ok" + result)
    return 0


def _read(kind: str, data: bytes) -> bytes:
    """Return the one circuit in `data` as QPY."""
    from qiskit import QuantumCircuit, qpy

    if kind == "qpy":
        circuits = qpy.load(io.BytesIO(data))
    else:
        import qiskit_qasm3_import

        circuits = [qiskit_qasm3_import.parse(data.decode("utf-8"))]
    if len(circuits) != 1 or not isinstance(circuits[0], QuantumCircuit):
        raise ValueError(f"it holds {len(circuits)} circuits, but one is wanted: write each to a file of its own")
    circuits[0].metadata = {}
    buffer = io.BytesIO()
    qpy.dump(circuits, buffer, version=_QPY_VERSION)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
