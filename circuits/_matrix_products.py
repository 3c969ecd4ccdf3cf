"""Matrix product states prepared exactly, from the middle of the chain to both ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Statevector

from circuits import _tensors
from circuits._isometries import peel
from circuits._multiplexers import Complex
from circuits._schmidt import schmidt
from circuits._synthesis import exactly

__all__ = ["exact_circuit", "matrix_product_state"]


def matrix_product_state(tensors: Sequence[ArrayLike]) -> QuantumCircuit:
    r"""Prepare a matrix product state, scaled to norm 1, from |0...0>, without ancillas and exactly.

    The Schmidt vectors of one cut in the middle are made first. From there one gate a site goes to each end: it turns
    the bond before a site, held by k qubits, and a fresh |0> into the site and the bond behind it, held by k other
    qubits, all of them neighbours (k = ceil(log2 chi)). Only half of the columns of such a gate matter, and a unitary
    on the bond may move to its neighbour: for generic tensors there are

    ========  ==================  ==============  ==============  ================
    bond      2                   4               8               chi = 2**k
    ========  ==================  ==============  ==============  ================
    CX        2 n - 3             11 n - 37       51 n - 264      about 0.9 chi^2 a site
    ========  ==================  ==============  ==============  ================

    on n >= 2 k qubits, and fewer where bonds are smaller: at the ends, and at bonds of 1, where the state is a product.
    States like that of Greenberger, Horne and Zeilinger, or a linear cluster, take n - 1.

    Parameters
    ----------
    tensors : sequence of array_like, each of shape (left, 2, right)
        One a site, site i on qubit i; index 0 of the middle axis is |0> (bit 0, spin +1). `right` of each is `left` of
        the next; the first `left` and the last `right` are 1. The norm is divided out, the phase is kept. Bonds up to
        64 after superfluous ones are removed.

    Returns
    -------
    QuantumCircuit
        One qubit a site; one-qubit gates and CX. `metadata` holds "fidelity", the squared overlap with the state,
        computed from the matrices of the synthesised gates, and "two_qubit_gates".

    Raises
    ------
    TypeError
        If `tensors` does not hold arrays of numbers.
    ValueError
        If shapes do not fit, a number is not finite, the state is zero, or a bond is larger than 64.

    Notes
    -----
    Sequential preparation: Schoen, Solano, Verstraete, Cirac and Wolf, Phys. Rev. Lett. 95, 110503 (2005). The gates
    use the block decomposition of Krol and Al-Ars, arXiv:2403.13692, for isometries.

    Examples
    --------
    >>> import numpy as np
    >>> copy = np.eye(2)[:, :, None] * np.eye(2)[:, None, :]  # copy[l, s, r] = 1 where l = s = r
    >>> ghz = [copy.sum(axis=0, keepdims=True), *[copy] * 8, copy.sum(axis=2, keepdims=True)]
    >>> circuit = matrix_product_state(ghz)
    >>> circuit.metadata["two_qubit_gates"], round(circuit.metadata["fidelity"], 12)
    (9, 1.0)
    """
    state = _tensors.canonical(_tensors.checked(tensors))
    bonds = [tensor.shape[0] for tensor in state]
    if max(bonds) > _tensors.MAX_BOND:
        site = int(np.argmax(bonds))
        raise ValueError(
            f"Argument `tensors` must have bonds of at most {_tensors.MAX_BOND}, but that between sites {site - 1} and "
            f"{site} is {bonds[site]}: truncate it, or take `shallow_matrix_product_state`."
        )
    circuit, made = exact_circuit(state)
    circuit.name = "matrix_product_state"
    circuit.metadata = {
        # Rounding may lead past 1.
        "fidelity": min(float(abs(_tensors.overlap(state, made)) ** 2), 1.0),
        "two_qubit_gates": circuit.num_nonlocal_gates(),
    }
    return circuit


def exact_circuit(state: list[Complex]) -> tuple[QuantumCircuit, list[Complex]]:
    """Return the circuit of a right-canonical state of norm 1, and the tensors of what its gates prepare."""
    circuit = QuantumCircuit(len(state))
    starts = [site for site, tensor in enumerate(state) if tensor.shape[0] == 1]
    made: list[Complex] = []
    for start, stop in zip(starts, [*starts[1:], len(state)], strict=True):
        block, tensors = _connected(state[start:stop])
        circuit.compose(block, range(start, stop), inplace=True)
        made += tensors
    return circuit, made


def _connected(state: list[Complex]) -> tuple[QuantumCircuit, list[Complex]]:
    """Prepare a state whose inner bonds are all larger than 1."""
    n_sites = len(state)
    if n_sites == 1:
        column = state[0][0, :, 0]
        one = exactly(np.array([[column[0], -column[1].conj()], [column[1], column[0].conj()]]))
        return one, [Statevector(one).data.reshape(1, 2, 1)]
    sizes = [n_bits(tensor.shape[0]) for tensor in state[1:]]
    # The core stands at a largest bond, so that as a rule bonds shrink towards both ends; of several at the middle one.
    cut = min(range(n_sites - 1), key=lambda bond: (-sizes[bond], abs(2 * bond - n_sites + 2)))
    left, matrix = _tensors.centred(state, cut)
    low_gates, low_made, low_turn = _wing(_tensors.mirrored(left))
    high_gates, high_made, high_turn = _wing(state[cut + 1 :])
    # Site `cut` has the smallest weight on the left, site `cut + 1` on the right.
    amplitudes = high_turn @ matrix.T @ low_turn.T
    core = schmidt(amplitudes.reshape(-1))
    circuit = QuantumCircuit(n_sites)
    width = sizes[cut]
    circuit.compose(core, [*range(cut, cut - width, -1), *range(cut + 1, cut + 1 + width)], inplace=True)
    for site, gate in low_gates:
        circuit.compose(gate, range(cut - site, cut - site - gate.num_qubits, -1), inplace=True)
    for site, gate in high_gates:
        circuit.compose(gate, range(cut + 1 + site, cut + 1 + site + gate.num_qubits), inplace=True)
    found = Statevector(core).data.reshape(2**width, 2**width)
    high_made[0] = np.tensordot(found.T, high_made[0], axes=(1, 0))
    return circuit, [*_tensors.mirrored(low_made), *high_made]


def _wing(tensors: list[Complex]) -> tuple[list[tuple[int, QuantumCircuit]], list[Complex], Complex]:
    """Return the gates that unfold the first bond of right-canonical tensors into sites, first gate first.

    Before the gate of site j the bond is on qubits j, j + 1, ..., weight 1 first; behind it the site is on qubit j and
    its bond on those above. Also returned: the tensors of what the gates do, bonds counting the qubits' values, and the
    isometry that turns the given first bond into values of its qubits.
    """
    gates: list[tuple[int, QuantumCircuit]] = []
    made: list[Complex] = []
    turn = np.ones((1, 1), dtype=np.complex128)
    for site in range(len(tensors) - 1, -1, -1):
        tensor = tensors[site]
        n_in, n_behind = n_bits(tensor.shape[0]), turn.shape[0].bit_length() - 1
        # Rows: the bond behind and the site, which has weight 1. Columns: the bond before.
        columns = np.einsum("lsr,xr->xsl", tensor, turn).reshape(2 ** (n_behind + 1), -1)
        # Errors of the last site would be doubled by each site to come if they were not taken out here.
        left, _, right = np.linalg.svd(columns, full_matrices=False)
        columns = left @ right
        done = np.eye(columns.shape[0], dtype=np.complex128)
        pieces = []
        for n_lower in range(n_behind, n_in - 1, -1):
            piece, columns = peel(columns)
            pieces.append((n_lower, piece))
        for n_lower, piece in pieces:
            done = done @ np.kron(np.eye(2 ** (n_behind - n_lower)), Operator(piece).data)
        for _, piece in reversed(pieces):
            gates.append((site, piece))
        made.append(done[:, : 2**n_in].reshape(2**n_behind, 2, 2**n_in).transpose(2, 1, 0))
        turn = columns
    # The last pieces found act first; those of one site were put down in the order of their action.
    ordered = sorted(range(len(gates)), key=lambda index: (gates[index][0], index))
    return [gates[index] for index in ordered], made[::-1], turn


def n_bits(bond: int) -> int:
    """Return how many qubits hold a bond."""
    return (bond - 1).bit_length()
