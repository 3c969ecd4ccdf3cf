"""Generative models of snapshots: tensor networks whose likelihood is exact, fitted in scikit-learn's manner.

`BornMachine` is a matrix product state, `GraphGenerativeModel` a graph state with a matrix on each qubit,
`FactorGraphModel` the classical model beside them, and `CircuitBornMachine` a quantum circuit with free angles. Each
has `fit`, `sample`, `score_samples` and `score`; `save` and `load` keep them in files without pickle.

Examples
--------
>>> from qmlphys import generative
>>> X = [[0, 0, 0], [1, 1, 1]] * 8
>>> model = generative.BornMachine(max_bond=2, random_state=0).fit(X)
>>> round(model.score(X), 3)  # -ln 2
-0.693
>>> model.sample(1, 0, given=[1, float("nan"), float("nan")]).tolist()
[[1, 1, 1]]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qmlphys.generative.born_machine import BornMachine
    from qmlphys.generative.circuit_born_machine import CircuitBornMachine
    from qmlphys.generative.factor_graph import FactorGraphModel, from_factor_graph
    from qmlphys.generative.graph_model import GraphGenerativeModel
    from qmlphys.generative.model_files import ModelFileError, load, save
    from qmlphys.generative.parent import ParentHamiltonian, parent_hamiltonian

# Read when first used: torch, scikit-learn and PennyLane are loaded with the first name that needs them.
_HOMES = {
    "BornMachine": "born_machine",
    "CircuitBornMachine": "circuit_born_machine",
    "FactorGraphModel": "factor_graph",
    "GraphGenerativeModel": "graph_model",
    "ModelFileError": "model_files",
    "ParentHamiltonian": "parent",
    "from_factor_graph": "factor_graph",
    "load": "model_files",
    "parent_hamiltonian": "parent",
    "save": "model_files",
}
_MODULES = ("born_machine", "circuit_born_machine", "factor_graph", "graph_model", "model_files", "parent")

__all__ = [
    "BornMachine",
    "CircuitBornMachine",
    "FactorGraphModel",
    "GraphGenerativeModel",
    "ModelFileError",
    "ParentHamiltonian",
    "from_factor_graph",
    "load",
    "parent_hamiltonian",
    "save",
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
