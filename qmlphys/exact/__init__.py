"""Exact results that simulations and fits are compared with: closed forms and complete enumeration.

Energies are in units of J > 0 and per site, k_B = 1. Temperatures are scalars or arrays; results have their shape.
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
from qmlphys.exact._kaufman import ising_square_energy, ising_square_free_energy, ising_square_specific_heat

__all__ = [
    "IsingEnumeration",
    "critical_temperature",
    "enumerate_ising",
    "ising_chain_energy",
    "ising_chain_specific_heat",
    "ising_square_energy",
    "ising_square_free_energy",
    "ising_square_specific_heat",
    "onsager_energy",
    "onsager_magnetization",
    "onsager_specific_heat",
]
