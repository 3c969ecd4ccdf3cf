"""The Fourier transform on a line of qubits with gates between neighbours only."""

from __future__ import annotations

import math
from typing import Literal

from qiskit import QuantumCircuit

from circuits._rotations import angle, integer

__all__ = ["line_qft"]

MAX_QUBITS = 1024


def line_qft(n: int, *, inverse: bool = False, order: Literal["reversed", "natural"] = "reversed") -> QuantumCircuit:
    """The quantum Fourier transform on a line, with gates between neighbours only.

    The input is in the natural order: qubit i has the weight 2^i. By default the **output bits are reversed**: qubit m
    holds the bit of k with weight 2^(n - 1 - m), so that the unitary is R F with F the DFT matrix and R the permutation
    that reverses n bits. It equals ``qft(n, swaps=False)``; whoever measures next only reads the bits in reverse. The
    inverse transform is the inverse of this unitary: input bits reversed, output natural.

    Parameters
    ----------
    n : int
        Number of qubits, 1 to 1024.
    inverse : bool
        The inverse transform.
    order : {"reversed", "natural"}
        Order of the output bits (of the input bits of the inverse). "reversed" takes the fewest CX, one after the
        other: the two-qubit depth is n^2 - 2 as well. "natural" lets each qubit travel along the line instead, which
        takes 2 n - 3 more CX and a two-qubit depth of 6 n - 8 (3 for n = 2): shorter for n >= 5.

    Returns
    -------
    QuantumCircuit
        With gates cx, h, p, sx, sxdg. For n >= 2 the number of CX, each between qubits m and m + 1, is exactly
        n^2 - 2 ("reversed") or n^2 + 2 n - 5 ("natural").

    Raises
    ------
    TypeError, ValueError
        If `n` is no integer or out of range, or `order` is not known.

    Notes
    -----
    A controlled phase CP(t) is P(t/2) on each of its qubits and P(-t/2) on their parity. Below the target qubit j, wire
    m holds the difference x_m + x_(m+1) (mod 2), made once by n - 2 CX; the highest control stands plain. A CX
    from j to j - 1 makes the parity x_(j-1) + x_j there, and a cascade of CX downwards turns each difference
    in turn into x_m + x_j, the parity that is wanted: one CX a pair. A cascade upwards undoes it: one more. Up to here
    these are the n^2 + n - 4 CX of Park and Ahn. Between two targets, the CX which frees wire j of wire j - 1, the
    Hadamard gate on j and the first CX of the next cascade stand beside each other on two qubits. In the eigenbasis of
    X on wire j - 1 they are H or ZHZ on wire j, that is H times a controlled Z X: a single CX up to one-qubit gates.
    This saves one CX for each of n - 2 targets.

    In the natural order, the wire that has served gets back a difference at once, by a CX upwards right after the
    phase: the differences move up by one wire and the target, as x_m + x_j, moves on. The next target follows as soon
    as there is room. At the end every output carries x_0 as well, which two cascades of n - 1 and n - 2 CX take away.

    References
    ----------
    Park and Ahn, Scientific Reports 13, 8638 (2023), doi:10.1038/s41598-023-35625-3: n^2 + n - 4 CX. Fowler, Devitt and
    Hollenberg, Quantum Inf. Comput. 4, 237 (2004), arXiv:quant-ph/0402196: 1.5 n (n - 1) CX in the natural order.

    Examples
    --------
    >>> [line_qft(n).count_ops()["cx"] for n in (2, 5, 20)]
    [2, 23, 398]
    >>> [line_qft(n, order="natural").count_ops()["cx"] for n in (2, 5, 20)]
    [3, 30, 435]
    """
    n = integer(n, "n", low=1, high=MAX_QUBITS)
    if order not in ("reversed", "natural"):
        raise ValueError(f"Argument `order` must be 'reversed' or 'natural', but it is {order!r}.")
    circuit = QuantumCircuit(n, name="line_qft")
    # The one-qubit parts of the phases that a qubit takes part in as a control: before any CX touches it.
    for wire in range(n - 1):
        circuit.p(_halves(n - 1 - wire), wire)
    for wire in range(n - 2):
        circuit.cx(wire + 1, wire)
    if order == "reversed":
        _in_place(circuit, n)
    else:
        _travelling(circuit, n)
    if inverse:
        circuit = circuit.inverse()
        circuit.name = "line_iqft"
    return circuit


def _in_place(circuit: QuantumCircuit, n: int) -> None:
    """Append the transform that leaves every qubit on its wire."""
    for target in range(n - 1, 0, -1):
        _meet_first(circuit, target, first=target == n - 1)
        circuit.p(_halves(target), target)
        circuit.p(-angle(1) / 2, target - 1)
        for wire in range(target - 2, -1, -1):
            circuit.cx(wire + 1, wire)
            circuit.p(-angle(target - wire) / 2, wire)
        for wire in range(target):
            circuit.cx(wire + 1, wire)
    circuit.h(0)


def _travelling(circuit: QuantumCircuit, n: int) -> None:
    """Append the transform in which every qubit travels from the top wire to the place of its output bit."""
    top = n - 1
    for place in range(top):
        n_controls = top - place
        _meet_first(circuit, top, first=place == 0)
        circuit.p(_halves(n_controls), top)
        for wire in range(top - 1, place - 1, -1):
            if wire < top - 1:
                circuit.cx(wire + 1, wire)
            circuit.p(-angle(top - wire) / 2, wire)
            circuit.cx(wire, wire + 1)
    # Wire s now holds its output bit plus x_0, and the top wire x_0.
    for wire in range(top):
        circuit.cx(wire + 1, wire)
    for wire in range(top - 2, -1, -1):
        circuit.cx(wire + 1, wire)
    circuit.h(top)


def _halves(n_pairs: int) -> float:
    """Return half the sum of the angles of pairs at distances 1 to `n_pairs`: (pi / 2) (1 - 2^-n_pairs)."""
    return (math.pi - angle(n_pairs)) / 2


def _meet_first(circuit: QuantumCircuit, target: int, *, first: bool) -> None:
    """Append the Hadamard gate of a target and its first CX, on a neighbour that holds the difference of the two.

    That is CX, H on the control, CX, made with a single CX. The first neighbour of all stands plain: no CX before H.
    """
    if first:
        circuit.h(target)
        circuit.cx(target, target - 1)
        return
    circuit.sx(target)
    circuit.sxdg(target - 1)
    circuit.cx(target, target - 1)
    circuit.sxdg(target)
    circuit.h(target)
