"""The measured transform with feed-forward: exact distributions, branch by branch, and samples on simulators."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import Statevector
from scipy import stats

from circuits.fourier import qft, semiclassical_qft
from tests.reference import branches


def random_state(n: int, seed: int) -> NDArray[np.complex128]:
    rng = np.random.default_rng(seed)
    # A peaked spectrum on a background: no probability is near the uniform one.
    j = np.arange(2**n)
    vector = np.exp(2j * np.pi * 0.37 * j) + 0.5 * rng.normal(size=2**n) + 0.5j * rng.normal(size=2**n)
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("inverse", [False, True])
def test_distribution_is_the_coherent_one(n: int, inverse: bool) -> None:
    state = random_state(n, n)
    found = branches.distribution(semiclassical_qft(n, inverse=inverse), state)
    transform = np.fft.fft if inverse else np.fft.ifft
    np.testing.assert_allclose(found, np.abs(transform(state, norm="ortho")) ** 2, rtol=0, atol=1e-12)
    coherent = branches.statevector(qft(n, inverse=inverse), state)
    np.testing.assert_allclose(found, np.abs(coherent) ** 2, rtol=0, atol=1e-12)
    if n > 2:  # neither the other sign nor the other order of bits would pass
        other = np.fft.ifft if inverse else np.fft.fft
        assert np.abs(found - np.abs(other(state, norm="ortho")) ** 2).max() > 0.01
        turned = [int(f"{k:0{n}b}"[::-1], 2) for k in range(2**n)]
        assert np.abs(found - found[turned]).max() > 0.01


@pytest.mark.parametrize("n", [3, 5, 7])
@pytest.mark.parametrize("error", [0.05, 0.2, 0.6])
def test_the_bound_holds_in_total_variation(n: int, error: float) -> None:
    circuit = semiclassical_qft(n, error=error)
    bound = circuit.metadata["error_bound"]
    assert bound <= error
    worst = 0.0
    for seed in range(5):
        state = random_state(n, seed)
        exact = np.abs(np.fft.ifft(state, norm="ortho")) ** 2
        worst = max(worst, 0.5 * np.abs(branches.distribution(circuit, state) - exact).sum())
    assert worst <= bound + 1e-12
    assert (worst > 1e-6) == (circuit.metadata["n_rotations_left_out"] > 0)


@pytest.mark.parametrize("n", [1, 2, 9, 40])
def test_feed_forward_is_flat_and_conditioned_on_single_bits(n: int) -> None:
    circuit = semiclassical_qft(n)
    n_conditional = 0
    for instruction in circuit.data:
        assert instruction.operation.name in {"h", "measure", "if_else"}
        if instruction.operation.name == "if_else":
            bit, value = instruction.operation.condition
            assert bit in circuit.clbits
            assert value == 1
            (body,) = instruction.operation.blocks
            assert set(body.count_ops()) == {"p"}
            n_conditional += body.count_ops()["p"]
        else:
            assert len(instruction.qubits) == 1
    assert circuit.count_ops().get("if_else", 0) == n - 1
    assert n_conditional == n * (n - 1) // 2 == circuit.metadata["n_rotations"]
    assert [register.name for register in circuit.cregs] == ["k"]


def test_samples_of_aer_follow_the_distribution() -> None:
    aer = pytest.importorskip("qiskit_aer", reason="needs the extra `aer`")
    n, shots = 4, 20_000
    state = random_state(n, 5)
    loader = QuantumCircuit(n)
    loader.prepare_state(Statevector(state))
    circuit = semiclassical_qft(n).compose(loader, front=True)
    simulator = aer.AerSimulator(seed_simulator=11)
    counts = simulator.run(transpile(circuit, simulator, optimization_level=1), shots=shots).result().get_counts()
    found = np.array([counts.get(f"{k:0{n}b}", 0) for k in range(2**n)])
    expected = shots * np.abs(np.fft.ifft(state, norm="ortho")) ** 2
    assert expected.min() > 5  # the chi-squared distribution is a good one for all bins
    assert stats.chisquare(found, expected).pvalue > 1e-3
    # Negative controls: the other sign, and the bits in the other order.
    assert stats.chisquare(found, shots * np.abs(np.fft.fft(state, norm="ortho")) ** 2).pvalue < 1e-6
    assert stats.chisquare(found, expected[[int(f"{k:0{n}b}"[::-1], 2) for k in range(2**n)]]).pvalue < 1e-6


def test_a_hundred_and_twenty_seven_qubits_are_translated() -> None:
    provider = pytest.importorskip("qiskit_ibm_runtime.fake_provider", reason="needs the extra `ibm`")
    backend = provider.FakeSherbrooke()
    circuit = transpile(semiclassical_qft(127), backend, optimization_level=3, seed_transpiler=1)
    assert circuit.count_ops()["if_else"] == 126
    assert circuit.count_ops()["measure"] == 127
    for instruction in circuit.data:
        if instruction.operation.name == "if_else":
            assert set(instruction.operation.blocks[0].count_ops()) <= {"rz", "sx", "x"}
        else:
            assert instruction.operation.name in {"rz", "sx", "x", "measure"}
