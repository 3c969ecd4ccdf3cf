"""Qiskit's own circuit format, read from bytes that may be damaged or of another time."""

from __future__ import annotations

import io

from qiskit import QuantumCircuit, qpy

__all__ = ["MIN_QPY_VERSION", "first_line", "load_qpy"]

MIN_QPY_VERSION = 13
"""The oldest version of Qiskit's circuit format that is read: older ones held pickles and SymPy expressions."""


def load_qpy(data: bytes) -> list[QuantumCircuit]:
    """Read circuits from QPY bytes that may be damaged or hostile.

    Parameters
    ----------
    data : bytes
        A QPY file's content.

    Returns
    -------
    list of QuantumCircuit
        At least one.

    Raises
    ------
    ValueError
        If the bytes are no QPY, older than version 13, newer than this Qiskit reads, or damaged.
    """
    if data[:6] != b"QISKIT" or len(data) < 11:
        raise ValueError("This is no QPY file: it does not begin as one.")
    version = data[6]
    if version < MIN_QPY_VERSION:
        raise ValueError(
            f"QPY must be of version {MIN_QPY_VERSION} or newer, but this is version {version}: write it again with "
            "a newer Qiskit."
        )
    if version > qpy.common.QPY_VERSION:
        raise ValueError(
            f"QPY must be of version {qpy.common.QPY_VERSION} or older for this Qiskit, but this is version {version}."
        )
    try:
        circuits = qpy.load(io.BytesIO(data))
    except MemoryError:
        raise ValueError("The QPY data asks for more memory than this machine has.") from None
    except Exception as error:  # the reader lets struct, key, value and Qiskit errors through alike
        raise ValueError(f"The QPY data is truncated or damaged ({first_line(error)}).") from None
    if not circuits or not all(isinstance(circuit, QuantumCircuit) for circuit in circuits):
        raise ValueError("The QPY data holds no circuit.")
    return circuits


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, without its final stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip("'\"").rstrip(".")[:200]
