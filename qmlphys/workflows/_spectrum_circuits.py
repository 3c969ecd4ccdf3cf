"""The circuits that load a signal, transform it and measure it, and what they cost."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, transpile

from circuits.fourier import line_qft, qft, semiclassical_qft
from circuits.state_preparation import amplitudes

__all__ = ["Method", "check_method", "cost_of", "joined", "n_cx", "parts_of", "samples_of", "spectrum_circuit"]

Method = Literal["coherent", "line", "semiclassical"]
"""The transform of all qubits at once, of neighbours on a line, or measured bit by bit."""

METHODS = ("coherent", "line", "semiclassical")
MIN_SAMPLES, MAX_SAMPLES = 8, 4096


def spectrum_circuit(signal: ArrayLike, *, method: Method = "coherent", remove_mean: bool = True) -> QuantumCircuit:
    """Return the circuit that `find_frequencies` runs: loading, transform and measurement.

    Parameters
    ----------
    signal : array_like of float or complex, shape (N,), N = 8, 16, ..., 4096
        Samples.
    method : {"coherent", "line", "semiclassical"}
        The transform.
    remove_mean : bool
        Take away the mean.

    Returns
    -------
    QuantumCircuit
        log2 N qubits; the classical register ``k`` holds the bin, bit i of weight 2^i. A tone of frequency f appears at
        k = N f / rate, a negative one at N more.

    Raises
    ------
    TypeError, ValueError
        As `find_frequencies`.

    Examples
    --------
    >>> circuit = spectrum_circuit(np.cos(np.arange(16)), method="semiclassical")
    >>> circuit.num_qubits, circuit.count_ops()["measure"]
    (4, 4)
    """
    samples, _ = samples_of(signal, remove_mean=remove_mean)
    check_method(method)
    return joined(*parts_of(samples, method), method)


def samples_of(signal: ArrayLike, *, remove_mean: bool) -> tuple[NDArray[Any], bool]:
    """Return the samples that are loaded, scaled, and whether they are real."""
    array = np.asarray(signal)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"Argument `signal` must hold numbers, but its dtype is {array.dtype}.")
    size = array.size
    if array.ndim != 1 or not MIN_SAMPLES <= size <= MAX_SAMPLES or size & (size - 1):
        cut = 2 ** int(math.log2(min(size, MAX_SAMPLES))) if array.ndim == 1 and size >= MIN_SAMPLES else None
        cure = "" if cut is None else f": cut it, for example to signal[:{cut}]"
        raise ValueError(
            f"Argument `signal` must have 8, 16, 32, ... or {MAX_SAMPLES} samples in one row, "
            f"but its shape is {array.shape}{cure}."
        )
    if not np.isfinite(array).all():
        n_bad = int(np.count_nonzero(~np.isfinite(array)))
        raise ValueError(f"Argument `signal` must be finite, but {n_bad} of {size} samples are nan or inf.")
    real = not (array.dtype.kind == "c" and np.any(array.imag))
    samples = np.asarray(array.real if real else array, dtype=np.float64 if real else np.complex128)
    largest = float(np.abs(samples).max())
    if largest == 0.0:
        raise ValueError(f"Argument `signal` must not be zero, but all of its {size} samples are.")
    samples = samples / largest
    if remove_mean:
        samples = samples - samples.mean()
        # What is left of a constant is rounding, which has a spectrum too.
        if float(np.abs(samples).max()) < 1e-13:
            raise ValueError(
                f"Argument `signal` must vary, but its {size} samples are equal: a constant has no frequency."
            )
    return samples, real


def check_method(method: str) -> None:
    if method not in METHODS:
        raise ValueError(f"Argument `method` must be one of {', '.join(METHODS)}, but it is {method!r}.")


def parts_of(samples: NDArray[Any], method: str) -> tuple[QuantumCircuit, QuantumCircuit]:
    """Return the circuits that load the samples and that transform them."""
    n = samples.size.bit_length() - 1
    transforms = {
        # A tone exp(+2 pi i f j) is turned into a bin by the inverse transform.
        "coherent": lambda: qft(n, inverse=True, swaps=False),
        "line": lambda: line_qft(n, inverse=True),
        "semiclassical": lambda: semiclassical_qft(n, inverse=True),
    }
    return amplitudes(samples), transforms[method]()


def joined(loading: QuantumCircuit, transform: QuantumCircuit, method: str) -> QuantumCircuit:
    """Return loading, transform and measurement as one circuit."""
    n = loading.num_qubits
    result = ClassicalRegister(n, "k")
    circuit = QuantumCircuit(QuantumRegister(n, "signal"), result, name=f"spectrum_{method}")
    circuit.compose(loading, circuit.qubits, inplace=True)
    if method == "semiclassical":
        return circuit.compose(transform, circuit.qubits, result)
    # F R = R F, with R the reversal of the bits: these transforms take the input bits reversed. On the qubits in
    # reverse, they take it in the natural order and leave the bins reversed, which costs nothing to read.
    backwards = circuit.qubits[::-1]
    circuit.compose(transform, backwards, inplace=True)
    circuit.measure(backwards, result)
    return circuit


def n_cx(circuit: QuantumCircuit) -> int:
    """Return the CX of a circuit where all qubits are connected; conditionals hold one-qubit gates only."""
    return int(_in_cx(circuit).count_ops().get("cx", 0))


def cost_of(result: xr.Dataset, circuit: QuantumCircuit) -> tuple[int, int]:
    """Return two-qubit gates and depth: of a device's circuit as it was translated, otherwise in CX and U gates."""
    if str(result.attrs["backend"]).startswith(("fake_", "ibm")):
        return int(result.attrs["n_two_qubit_gates"]), int(result.attrs["depth"])
    translated = _in_cx(circuit)
    return int(translated.count_ops().get("cx", 0)), int(translated.depth())


def _in_cx(circuit: QuantumCircuit) -> QuantumCircuit:
    basis = ["cx", "u", "measure", "if_else"]
    return transpile(circuit, basis_gates=basis, optimization_level=1, seed_transpiler=1)
