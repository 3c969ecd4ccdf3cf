"""Neural quantum states: ansätze, samplers, natural gradient and the variational Monte Carlo driver.

An `Ansatz` maps spins to log psi; a state (`MonteCarloState`, or `FullSumState` for small systems) adds the way in
which configurations are taken; `VMC` takes it to the ground state and measures it.

Examples
--------
>>> from qmlphys import nqs
>>> from qmlphys.hamiltonians import TransverseIsing
>>> from qmlphys.lattices import chain
>>> state = nqs.MonteCarloState(nqs.RBM(8, rng=1), nqs.Metropolis(n_chains=64), n_samples=256, rng=1)
>>> vmc = nqs.VMC(TransverseIsing(chain(8), field=1.0), state)
>>> history = vmc.run(100)
>>> energy = vmc.estimate().energy
>>> abs(energy.mean / -10.251662 - 1) < 1e-3  # exact: -2 / sin(pi / 16)
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qmlphys.nqs._checkpoint import CheckpointError
    from qmlphys.nqs.ansatz import (
        CNN,
        DBM,
        MLP,
        RBM,
        Ansatz,
        Autoregressive,
        Jastrow,
        Marshall,
        MPSAnsatz,
        ShortRangeRBM,
        Symmetrized,
        SymmetryGroup,
        TranslationRBM,
        VisionTransformer,
    )
    from qmlphys.nqs.collective import CollectiveModes
    from qmlphys.nqs.local_energy import local_energies
    from qmlphys.nqs.natural_gradient import NaturalGradient
    from qmlphys.nqs.offset import parameter_offset
    from qmlphys.nqs.samplers import (
        ClusterMetropolis,
        Direct,
        Exact,
        FullSum,
        Metropolis,
        Sampler,
        Samples,
        amplitude_ratios,
        gibbs_energy,
        gibbs_samples,
    )
    from qmlphys.nqs.schedules import Constant, CosineDecay, ExponentialDecay, Linear, Schedule, WarmUp
    from qmlphys.nqs.states import Expectation, FullSumState, MonteCarloState, State
    from qmlphys.nqs.tangent import Tangent
    from qmlphys.nqs.vmc import VMC, VMCError

# Read when first used: torch is loaded with the first of them.
_HOMES = {
    "gibbs_samples": "samplers",
    "gibbs_energy": "samplers",
    "amplitude_ratios": "samplers",
    "ClusterMetropolis": "samplers",
    "DBM": "ansatz",
    "Ansatz": "ansatz",
    "Autoregressive": "ansatz",
    "CNN": "ansatz",
    "CheckpointError": "vmc",
    "CollectiveModes": "collective",
    "Constant": "schedules",
    "CosineDecay": "schedules",
    "Direct": "samplers",
    "Exact": "samplers",
    "Expectation": "states",
    "ExponentialDecay": "schedules",
    "FullSum": "samplers",
    "FullSumState": "states",
    "Jastrow": "ansatz",
    "Linear": "schedules",
    "MLP": "ansatz",
    "MPSAnsatz": "ansatz",
    "Marshall": "ansatz",
    "Metropolis": "samplers",
    "MonteCarloState": "states",
    "NaturalGradient": "natural_gradient",
    "RBM": "ansatz",
    "Sampler": "samplers",
    "Samples": "samplers",
    "Schedule": "schedules",
    "ShortRangeRBM": "ansatz",
    "State": "states",
    "Symmetrized": "ansatz",
    "SymmetryGroup": "ansatz",
    "Tangent": "tangent",
    "TranslationRBM": "ansatz",
    "VMC": "vmc",
    "VMCError": "vmc",
    "VisionTransformer": "ansatz",
    "WarmUp": "schedules",
    "local_energies": "local_energy",
    "parameter_offset": "offset",
}
_MODULES = (
    "ansatz",
    "collective",
    "constructions",
    "ensembles",
    "infinite_width",
    "local_energy",
    "natural_gradient",
    "neural_tangent",
    "offset",
    "samplers",
    "schedules",
    "states",
    "tangent",
    "vmc",
)

__all__ = [
    "CNN",
    "DBM",
    "MLP",
    "RBM",
    "VMC",
    "Ansatz",
    "Autoregressive",
    "CheckpointError",
    "ClusterMetropolis",
    "CollectiveModes",
    "Constant",
    "CosineDecay",
    "Direct",
    "Exact",
    "Expectation",
    "ExponentialDecay",
    "FullSum",
    "FullSumState",
    "Jastrow",
    "Linear",
    "MPSAnsatz",
    "Marshall",
    "Metropolis",
    "MonteCarloState",
    "NaturalGradient",
    "Sampler",
    "Samples",
    "Schedule",
    "ShortRangeRBM",
    "State",
    "Symmetrized",
    "SymmetryGroup",
    "Tangent",
    "TranslationRBM",
    "VMCError",
    "VisionTransformer",
    "WarmUp",
    "amplitude_ratios",
    "gibbs_energy",
    "gibbs_samples",
    "local_energies",
    "parameter_offset",
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
