"""Numbers in, Qiskit circuits out; nothing is run here.

Every builder is a function that returns a ``QuantumCircuit``. The order is that of the whole project and of Qiskit:
site ``i`` is qubit ``i`` and has the weight ``2**i`` in every integer, state vector and matrix. Where a transform gives
its output in another order, its docstring says so.

Examples
--------
>>> qft(4).num_qubits
4
"""

from __future__ import annotations

from circuits.fourier import line_qft, phase_estimation, qft, semiclassical_qft
from circuits.generative import chain_model, generative_model, graph_model, ground_state_projection
from circuits.linear_systems import hhl
from circuits.state_preparation import (
    amplitudes,
    graph_state,
    layered_ansatz,
    matrix_product_state,
    shallow_matrix_product_state,
)

__all__ = [
    "amplitudes",
    "chain_model",
    "generative_model",
    "graph_model",
    "graph_state",
    "ground_state_projection",
    "hhl",
    "layered_ansatz",
    "line_qft",
    "matrix_product_state",
    "phase_estimation",
    "qft",
    "semiclassical_qft",
    "shallow_matrix_product_state",
]
