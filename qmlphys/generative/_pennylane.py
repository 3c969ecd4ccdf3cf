"""The one place that knows PennyLane: a Qiskit circuit as a QNode, its exact probabilities and their gradients.

Qubit ``i`` of the circuit becomes wire ``n_qubits - 1 - i``: PennyLane's wire 0 has the largest weight, so outcomes
keep the integers they have everywhere else here, in which site ``i`` has the weight ``2**i``.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Gate", "GateSequence", "Simulator", "read_circuit", "translate"]

MAX_QUBITS = 16
"""The largest circuit: every step handles all 2**n outcomes."""

# Each entry gives the operations of one Qiskit gate, in the order in which they act, as names of PennyLane, angles
# and positions among the gate's qubits. Phases of the whole state, which no probability shows, are left out: it is
# what lets every gate be one that Lightning differentiates by the adjoint method.
_Step = tuple[str, tuple[Any, ...], tuple[int, ...]]
_HALF_PI = math.pi / 2


def _one(name: str, n_angles: int, n_qubits: int) -> tuple[int, int, Callable[..., list[_Step]]]:
    """Return the entry of a gate that both sides have, qubits in the same order."""
    return n_angles, n_qubits, lambda *angles: [(name, angles, tuple(range(n_qubits)))]


def _u(theta: Any, phi: Any, lam: Any) -> list[_Step]:
    return [("RZ", (lam,), (0,)), ("RY", (theta,), (0,)), ("RZ", (phi,), (0,))]


_GATES: dict[str, tuple[int, int, Callable[..., list[_Step]]]] = {
    "ccx": _one("Toffoli", 0, 3),
    "cp": _one("ControlledPhaseShift", 1, 2),
    "crx": _one("CRX", 1, 2),
    "cry": _one("CRY", 1, 2),
    "crz": _one("CRZ", 1, 2),
    "cswap": _one("CSWAP", 0, 3),
    "cx": _one("CNOT", 0, 2),
    "cy": _one("CY", 0, 2),
    "cz": _one("CZ", 0, 2),
    "h": _one("Hadamard", 0, 1),
    "p": _one("PhaseShift", 1, 1),
    "rx": _one("RX", 1, 1),
    "rxx": _one("IsingXX", 1, 2),
    "ry": _one("RY", 1, 1),
    "ryy": _one("IsingYY", 1, 2),
    "rz": _one("RZ", 1, 1),
    "rzx": (
        1,
        2,
        lambda angle: [("Hadamard", (), (1,)), ("IsingZZ", (angle,), (0, 1)), ("Hadamard", (), (1,))],
    ),
    "rzz": _one("IsingZZ", 1, 2),
    "s": _one("S", 0, 1),
    "sdg": (0, 1, lambda: [("PhaseShift", (-_HALF_PI,), (0,))]),
    "swap": _one("SWAP", 0, 2),
    "sx": (0, 1, lambda: [("RX", (_HALF_PI,), (0,))]),
    "sxdg": (0, 1, lambda: [("RX", (-_HALF_PI,), (0,))]),
    "t": _one("T", 0, 1),
    "tdg": (0, 1, lambda: [("PhaseShift", (-_HALF_PI / 2,), (0,))]),
    "u": (3, 1, _u),
    "u1": _one("PhaseShift", 1, 1),
    "u2": (2, 1, lambda phi, lam: _u(_HALF_PI, phi, lam)),
    "u3": (3, 1, _u),
    "x": _one("PauliX", 0, 1),
    "y": _one("PauliY", 0, 1),
    "z": _one("PauliZ", 0, 1),
}
_NOTHING = {"barrier", "global_phase", "id"}


class Gate(NamedTuple):
    """A gate by Qiskit's name; an angle is a float, or an int: its place among the angles that depend on parameters."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[float | int, ...]


@dataclass(frozen=True)
class GateSequence:
    """A circuit in plain numbers.

    Parameters
    ----------
    n_qubits : int
        Number of qubits.
    parameters : tuple of str
        Names of the free parameters, in the order of the circuit.
    gates : tuple of Gate
        What acts, first gate first.
    offsets : tuple of float
        The part of each free angle that does not depend on parameters.
    slopes : tuple of (int, int, float)
        Angle, parameter and the derivative of one by the other.
    """

    n_qubits: int
    parameters: tuple[str, ...]
    gates: tuple[Gate, ...]
    offsets: tuple[float, ...]
    slopes: tuple[tuple[int, int, float], ...]

    def angles(self, parameters: torch.Tensor) -> torch.Tensor:
        """Return the free angles, shape (n_angles,), for parameters of shape (n_parameters,)."""
        offsets = torch.tensor(self.offsets, dtype=parameters.dtype)
        rows, columns, slopes = zip(*self.slopes, strict=True)
        terms = torch.tensor(slopes, dtype=parameters.dtype) * parameters[torch.tensor(columns)]
        return offsets.index_add(0, torch.tensor(rows), terms)

    def operations(self, angles: Sequence[Any]) -> list[Any]:
        """Return PennyLane's operations; inside a QNode they are thereby applied."""
        pennylane = _pennylane()
        last = self.n_qubits - 1
        done = []
        for gate in self.gates:
            values = [angles[angle] if isinstance(angle, int) else angle for angle in gate.angles]
            for name, its_angles, places in _GATES[gate.name][2](*values):
                wires = [last - gate.qubits[place] for place in places]
                done.append(getattr(pennylane, name)(*its_angles, wires=wires))
        return done


def _pennylane() -> Any:
    """Load PennyLane when it is used: it takes seconds, and most of this room does without."""
    return importlib.import_module("pennylane")


def read_circuit(circuit: Any) -> GateSequence:
    """Read a Qiskit circuit, without Qiskit being imported here.

    Parameters
    ----------
    circuit : QuantumCircuit
        1 to 16 qubits, gates of the list above, no measurement. Angles are numbers or linear in free parameters.

    Returns
    -------
    GateSequence
        The same in plain numbers.

    Raises
    ------
    TypeError
        If it is no circuit.
    ValueError
        If it is too large, has no free parameter, or holds another gate or an angle that is not linear.
    """
    for name in ("data", "num_qubits", "parameters", "find_bit"):
        if not hasattr(circuit, name):
            raise TypeError(f"Argument `circuit` must be a Qiskit circuit, but it is a {type(circuit).__name__}.")
    n_qubits = int(circuit.num_qubits)
    if not 1 <= n_qubits <= MAX_QUBITS:
        raise ValueError(f"Argument `circuit` must have 1 to {MAX_QUBITS} qubits, but it has {n_qubits}.")
    places = {parameter: place for place, parameter in enumerate(circuit.parameters)}
    gates: list[Gate] = []
    offsets: list[float] = []
    slopes: list[tuple[int, int, float]] = []
    for name, qubits, values in _instructions(circuit):
        angles: list[float | int] = []
        for value in values:
            offset, terms = _affine(value, name)
            if terms:
                slopes += [(len(offsets), places[parameter], slope) for parameter, slope in terms]
                angles.append(len(offsets))
                offsets.append(offset)
            else:
                angles.append(offset)
        gates.append(Gate(name, qubits, tuple(angles)))
    if not offsets:
        raise ValueError("Argument `circuit` must have gates with free parameters to train, but it has none.")
    return GateSequence(
        n_qubits, tuple(parameter.name for parameter in places), tuple(gates), tuple(offsets), tuple(slopes)
    )


def _instructions(circuit: Any) -> Iterator[tuple[str, tuple[int, ...], list[Any]]]:
    """Give name, qubits and angles of each gate that changes probabilities."""
    for instruction in circuit.data:
        name = str(instruction.operation.name)
        if name in _NOTHING:
            continue
        if name in ("measure", "reset"):
            raise ValueError(
                f"Argument `circuit` must hold gates only, but it holds a {name!r}: all qubits are measured at the end."
            )
        qubits = tuple(int(circuit.find_bit(qubit).index) for qubit in instruction.qubits)
        values = list(instruction.operation.params)
        known = _GATES.get(name)
        if known is None or known[:2] != (len(values), len(qubits)):
            raise ValueError(
                f"Argument `circuit` must hold the gates {', '.join(_GATES)}, but it holds a {name!r} on "
                f"{len(qubits)} qubits: decompose it, or transpile to these gates."
            )
        yield name, qubits, values


def _affine(value: Any, gate: str) -> tuple[float, list[tuple[Any, float]]]:
    """Return an angle's constant and its slope in each free parameter."""
    parameters = sorted(getattr(value, "parameters", ()), key=lambda parameter: parameter.name)
    try:
        slopes = [(parameter, float(value.gradient(parameter))) for parameter in parameters]
        offset = float(value.bind(dict.fromkeys(parameters, 0.0)) if parameters else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"Argument `circuit` must have real angles that are linear in its parameters, but a {gate!r} has {value}."
        ) from error
    if not all(map(math.isfinite, (offset, *(slope for _, slope in slopes)))):
        raise ValueError(f"Argument `circuit` must have finite angles, but a {gate!r} has {value}.")
    return offset, [(parameter, slope) for parameter, slope in slopes if slope != 0.0]


def translate(circuit: Any, parameters: NDArray[np.float64] | Sequence[float]) -> list[Any]:
    """Return a Qiskit circuit as PennyLane's operations, up to a phase of the whole state.

    Parameters
    ----------
    circuit : QuantumCircuit
        As for `read_circuit`.
    parameters : array_like of float, shape (n_parameters,)
        Values in the order of `circuit.parameters`.

    Returns
    -------
    list of pennylane.operation.Operation
        First gate first; qubit i is wire n_qubits - 1 - i.
    """
    sequence = read_circuit(circuit)
    return sequence.operations(sequence.angles(torch.as_tensor(parameters, dtype=torch.float64)).tolist())


class Simulator:
    """Probabilities of all outcomes, and gradients of weighted sums of them, on lightning.qubit.

    Parameters
    ----------
    sequence : GateSequence
        The circuit.

    Notes
    -----
    A loss that is a function of probabilities has the gradient of ONE expectation value: with the derivatives
    c_x of the loss by p(x) held fixed, sum_x c_x d p(x) is d <O> with the diagonal observable O = sum_x c_x |x><x|
    (a weighted sum of projectors, or of Z strings, which span the same observables). One adjoint pass (T. Jones and
    J. Gacon, arXiv:2009.02823) gives it, whatever the number of projectors; Lightning's own `Projector` becomes a dense
    matrix of 4**n entries and takes a pass each.
    """

    def __init__(self, sequence: GateSequence) -> None:
        pennylane = _pennylane()
        self.sequence = sequence
        wires = range(sequence.n_qubits)
        # Nothing is sampled on this device. Without a seed it would draw one from numpy's global generator.
        self.device = device = pennylane.device(
            "lightning.qubit", wires=sequence.n_qubits, c_dtype=np.complex128, seed=0
        )

        def expectation(angles: Sequence[Any], observable: Any) -> Any:
            sequence.operations(angles)
            return pennylane.expval(pennylane.SparseHamiltonian(observable, wires=wires))

        def probabilities(angles: Sequence[float]) -> Any:
            sequence.operations(angles)
            return pennylane.probs(wires=wires)

        # The value of an expectation comes back in torch's default type, single precision, and a Jacobian taken along
        # would be rounded to it. The device's own vector-Jacobian product stays in double precision.
        self._expectation = pennylane.QNode(
            expectation, device, interface="torch", diff_method="adjoint", device_vjp=True
        )
        # The adjoint method does not differentiate `probs`: a QNode of its own, without gradient.
        self._probabilities = pennylane.QNode(probabilities, device, interface=None, diff_method=None)

    def probabilities(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return |<x|U|0>|^2 for x = 0 .. 2**n_qubits - 1, in which qubit i has the weight 2**i."""
        angles = self.sequence.angles(torch.from_numpy(parameters)).tolist()
        return np.asarray(self._probabilities(angles), dtype=np.float64)

    def gradient(
        self, parameters: NDArray[np.float64], outcomes: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the derivatives of sum_k weights[k] p(outcomes[k]) by the parameters.

        Parameters
        ----------
        parameters : ndarray of float64, shape (n_parameters,)
            Where.
        outcomes : ndarray of int64, shape (k,)
            Different integers below 2**n_qubits, ascending.
        weights : ndarray of float64, shape (k,)
            What each projector counts.

        Returns
        -------
        ndarray of float64, shape (n_parameters,)
            The gradient, exact up to rounding.
        """
        from scipy.sparse import csr_matrix

        size = 2**self.sequence.n_qubits
        stops = np.searchsorted(outcomes, np.arange(size + 1))
        # PennyLane takes the older matrix interface of scipy only.
        observable = csr_matrix((weights, outcomes, stops), shape=(size, size))
        variables = torch.from_numpy(parameters).clone().requires_grad_()
        # One tensor an angle, cut out at once: an index each would cost a gradient of full length each.
        value = self._expectation(self.sequence.angles(variables).unbind(), observable)
        (gradient,) = torch.autograd.grad(value, variables)
        return np.asarray(gradient, dtype=np.float64)
