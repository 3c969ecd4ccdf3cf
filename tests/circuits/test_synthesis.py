"""Synthesis stands matrices that are unitary only up to the rounding of long products."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import Operator, random_unitary

from circuits import _synthesis


@pytest.mark.parametrize("n_qubits", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_rounding_is_no_obstacle(n_qubits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = 2**n_qubits
    noise = 2e-13 * (rng.standard_normal((size, size)) + 1j * rng.standard_normal((size, size)))
    unitary = random_unitary(size, seed=seed).data
    found = Operator(_synthesis.exactly(unitary + noise)).data
    # The noise itself, a few entries of which add up in an entry of the nearest unitary matrix.
    np.testing.assert_allclose(found, unitary, rtol=0, atol=3e-12)
