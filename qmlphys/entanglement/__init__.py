"""Entanglement: entropies and spectra of states, what bounds them, and the laws by which they grow.

States come as vectors, matrix product states, stabiliser states or plain callables. Entropies are in nats; site i has
weight 2^i, and bit 0 is spin +1.

Examples
--------
>>> from qmlphys import entanglement
>>> ring = entanglement.StabilizerState.from_graph(1000, [(i, (i + 1) % 1000) for i in range(1000)])
>>> round(ring.entropy(range(300)), 6)  # 2 ln 2: both ends are cut
1.386294
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qmlphys.entanglement.bounds import EntanglementBound, distinct_values_bound, entanglement_bound
    from qmlphys.entanglement.entropies import block_entropies, entropy, renyi_entropy, spectrum
    from qmlphys.entanglement.features import AffineFeatures, affine_features, check_features
    from qmlphys.entanglement.growth import GrowthFit, LawFit, fit_growth
    from qmlphys.entanglement.polynomials import PolynomialMLP, polynomial_schmidt_bounds
    from qmlphys.entanglement.references import area_law_ceiling, dicke_asymptote, dicke_entropy, page_entropy
    from qmlphys.entanglement.stabilizers import StabilizerState
    from qmlphys.entanglement.swap import swap_entropy

_HOMES = {
    "AffineFeatures": "features",
    "EntanglementBound": "bounds",
    "GrowthFit": "growth",
    "LawFit": "growth",
    "PolynomialMLP": "polynomials",
    "StabilizerState": "stabilizers",
    "affine_features": "features",
    "area_law_ceiling": "references",
    "block_entropies": "entropies",
    "check_features": "features",
    "dicke_asymptote": "references",
    "dicke_entropy": "references",
    "distinct_values_bound": "bounds",
    "entanglement_bound": "bounds",
    "entropy": "entropies",
    "fit_growth": "growth",
    "page_entropy": "references",
    "polynomial_schmidt_bounds": "polynomials",
    "renyi_entropy": "entropies",
    "spectrum": "entropies",
    "swap_entropy": "swap",
}
_MODULES = tuple(sorted(set(_HOMES.values())))

__all__ = [
    "AffineFeatures",
    "EntanglementBound",
    "GrowthFit",
    "LawFit",
    "PolynomialMLP",
    "StabilizerState",
    "affine_features",
    "area_law_ceiling",
    "block_entropies",
    "check_features",
    "dicke_asymptote",
    "dicke_entropy",
    "distinct_values_bound",
    "entanglement_bound",
    "entropy",
    "fit_growth",
    "page_entropy",
    "polynomial_schmidt_bounds",
    "renyi_entropy",
    "spectrum",
    "swap_entropy",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value  # the next use finds it without this detour
        return value
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"Module {__name__!r} has no attribute {name!r}.")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
