"""Machine learning of statistical and quantum physics, with an error bar on every number.

The names below load what they need on first use, so that ``import qmlphys`` stays cheap; everything else is imported
from its room, such as ``from qmlphys.phases import baselines``.

Examples
--------
>>> import qmlphys
>>> model = qmlphys.Ising(qmlphys.square(4))
>>> snapshots = qmlphys.sample(model, [2.0, 3.0], n_chains=4, n_draws=5, rng=1)
>>> dict(snapshots.sizes)
{'parameter': 2, 'chain': 4, 'draw': 5, 'site': 16}
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qmlphys.hamiltonians import Ising
    from qmlphys.lattices import Lattice, chain, cubic, honeycomb, square, triangular
    from qmlphys.montecarlo import sample
    from qmlphys.phases import ConfusionScheme, PhaseClusterer, SupervisedPhaseClassifier
    from qmlphys.stats import Estimate

__version__ = "0.1.0"

__all__ = [
    "ConfusionScheme",
    "Estimate",
    "Ising",
    "Lattice",
    "PhaseClusterer",
    "SupervisedPhaseClassifier",
    "__version__",
    "chain",
    "cubic",
    "honeycomb",
    "sample",
    "square",
    "triangular",
]

_HOMES = {
    "ConfusionScheme": "qmlphys.phases",
    "Estimate": "qmlphys.stats",
    "Ising": "qmlphys.hamiltonians",
    "Lattice": "qmlphys.lattices",
    "PhaseClusterer": "qmlphys.phases",
    "SupervisedPhaseClassifier": "qmlphys.phases",
    "chain": "qmlphys.lattices",
    "cubic": "qmlphys.lattices",
    "honeycomb": "qmlphys.lattices",
    "sample": "qmlphys.montecarlo",
    "square": "qmlphys.lattices",
    "triangular": "qmlphys.lattices",
}

# A library is silent unless the program that uses it asks for its messages.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Load one of the lazy names from its room (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value  # the next use finds it without this detour
    return value


def __dir__() -> list[str]:
    """Show the lazy names to `dir` and to tab completion."""
    return sorted({*globals(), *_HOMES})
