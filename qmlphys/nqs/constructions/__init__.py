"""States that a network holds exactly, with all parameters known: no training, and a check for everything else."""

from __future__ import annotations

from qmlphys.nqs.constructions._deep import rotated_dbm
from qmlphys.nqs.constructions._dicke import GaussianRidge, dicke_ansatz
from qmlphys.nqs.constructions._graphs import ghz_rbm, graph_state_rbm, maximal_entanglement_rbm
from qmlphys.nqs.constructions._mps import from_matrix_product_state, to_matrix_product_state
from qmlphys.nqs.constructions._sparse import SparseRBM
from qmlphys.nqs.constructions._table import parameters_for_entropy
from qmlphys.nqs.constructions._toric import ToricCode, toric_code_hamiltonian, toric_code_rbm, toric_code_sampler

__all__ = [
    "GaussianRidge",
    "SparseRBM",
    "ToricCode",
    "dicke_ansatz",
    "from_matrix_product_state",
    "ghz_rbm",
    "graph_state_rbm",
    "maximal_entanglement_rbm",
    "parameters_for_entropy",
    "rotated_dbm",
    "to_matrix_product_state",
    "toric_code_hamiltonian",
    "toric_code_rbm",
    "toric_code_sampler",
]
