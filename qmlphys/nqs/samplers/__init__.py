"""Samplers: where the configurations of a state come from.

`Metropolis` walks with thousands of chains, `ClusterMetropolis` flips given clusters of sites; `Exact` draws
independently from the enumerated distribution, `Direct` from ansätze that know how to; `FullSum` takes every
configuration, with its weight. All randomness comes from the NumPy generator that is passed in, so that a run can be
resumed bit for bit, on any number of threads.
"""

from __future__ import annotations

from qmlphys.nqs.samplers._base import Sampler, SamplerState, Samples
from qmlphys.nqs.samplers._cluster_moves import ClusterMetropolis
from qmlphys.nqs.samplers._deep_gibbs import amplitude_ratios, gibbs_energy, gibbs_samples
from qmlphys.nqs.samplers._independent import Direct, Exact, FullSum, configurations
from qmlphys.nqs.samplers._markov import Metropolis

__all__ = [
    "ClusterMetropolis",
    "Direct",
    "Exact",
    "FullSum",
    "Metropolis",
    "Sampler",
    "SamplerState",
    "Samples",
    "amplitude_ratios",
    "configurations",
    "gibbs_energy",
    "gibbs_samples",
]
