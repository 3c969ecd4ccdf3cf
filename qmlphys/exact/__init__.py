"""Exact results that simulations and fits are compared with: closed forms and complete enumeration.

Classical energies are in units of J > 0 and per site, k_B = 1; temperatures are scalars or arrays, and results have
their shape. Ground-state energies of quantum models are those of the whole lattice, in Pauli matrices.
"""

from __future__ import annotations

from qmlphys.exact._closed_forms import (
    critical_temperature,
    ising_chain_energy,
    ising_chain_specific_heat,
    onsager_energy,
    onsager_magnetization,
    onsager_specific_heat,
)
from qmlphys.exact._enumeration import IsingEnumeration, enumerate_ising
from qmlphys.exact._heisenberg_chain import heisenberg_chain_energy
from qmlphys.exact._kaufman import ising_square_energy, ising_square_free_energy, ising_square_specific_heat
from qmlphys.exact._sectors import GroundState, ground_state
from qmlphys.exact._symmetry import Sector
from qmlphys.exact._tfim_chain import (
    tfim_chain_correlations,
    tfim_chain_energy,
    tfim_chain_transverse_magnetization,
)

__all__ = [
    "GroundState",
    "IsingEnumeration",
    "Sector",
    "critical_temperature",
    "enumerate_ising",
    "ground_state",
    "heisenberg_chain_energy",
    "ising_chain_energy",
    "ising_chain_specific_heat",
    "ising_square_energy",
    "ising_square_free_energy",
    "ising_square_specific_heat",
    "onsager_energy",
    "onsager_magnetization",
    "onsager_specific_heat",
    "tfim_chain_correlations",
    "tfim_chain_energy",
    "tfim_chain_transverse_magnetization",
]
