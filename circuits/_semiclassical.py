"""The Fourier transform followed by a measurement, with feed-forward in place of two-qubit gates."""

from __future__ import annotations

from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

from circuits._rotations import angle, integer, leave_out, one_qubit_parts, tolerance

__all__ = ["semiclassical_qft"]

MAX_QUBITS = 1024


def semiclassical_qft(n: int, *, inverse: bool = False, error: float = 0.0) -> QuantumCircuit:
    """The Fourier transform and the measurement after it, without two-qubit gates.

    The input is in the natural order; ``semiclassical_qft(n).compose(state, front=True)`` puts the circuit that
    prepares it in front.

    Parameters
    ----------
    n : int
        Number of qubits, 1 to 1024.
    inverse : bool
        The inverse transform, with exp(-2 pi i j k / 2^n), before the measurement.
    error : float
        Allowed error, >= 0: conditional phases are left out as in `circuits.fourier.qft`, the smallest first. The
        distribution of k then lies within the certified bound in total variation, whatever the input state.

    Returns
    -------
    QuantumCircuit
        Classical register ``k`` holds the result; bit i has the weight 2^i. Gates h and p, n measurements and at most
        n - 1 flat ``if_test``, each on a single bit. ``metadata`` as that of `circuits.fourier.qft`.

    Raises
    ------
    TypeError, ValueError
        If `n` is no integer or out of range, or `error` is negative or not finite.

    Notes
    -----
    A controlled phase commutes with the measurement of its control, and either qubit may be called the control. The
    qubit of the highest weight is measured first and gives bit 0 of k. Where a bit is 1, phases are applied to all the
    qubits that are still unmeasured. They stand in one conditional a bit rather than in one conditional a pair of
    qubits: 126 decisions of the control electronics for 127 qubits instead of 8,001, and what each of them runs are
    virtual gates.

    References
    ----------
    Griffiths and Niu, Phys. Rev. Lett. 76, 3228 (1996), arXiv:quant-ph/9511007; on devices: Baeumer et al.,
    Phys. Rev. Lett. 133, 150602 (2024), arXiv:2403.09514.

    Examples
    --------
    >>> circuit = semiclassical_qft(5)
    >>> dict(circuit.count_ops())
    {'h': 5, 'measure': 5, 'if_else': 4}
    """
    n = integer(n, "n", low=1, high=MAX_QUBITS)
    omitted, bound = leave_out(n, tolerance(error))
    sign = -1 if inverse else 1
    bits = ClassicalRegister(n, "k")
    circuit = QuantumCircuit(
        QuantumRegister(n, "q"), bits, name="semiclassical_iqft" if inverse else "semiclassical_qft"
    )
    # After its Hadamard gate a qubit is measured at once: only the phases before that matter.
    before = one_qubit_parts(n, omitted)[:, 1]
    for bit in range(n):
        qubit = n - 1 - bit
        if before[qubit]:
            circuit.p(sign * before[qubit], qubit)
        circuit.h(qubit)
        circuit.measure(qubit, bits[bit])
        kept = [other for other in range(qubit) if (qubit, other) not in omitted]
        if kept:
            with circuit.if_test((bits[bit], 1)):
                for other in kept:
                    circuit.p(sign * angle(qubit - other), other)
    circuit.metadata = {
        "error_bound": bound,
        "n_rotations": n * (n - 1) // 2 - len(omitted),
        "n_rotations_left_out": len(omitted),
    }
    return circuit
