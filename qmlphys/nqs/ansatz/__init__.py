"""Trial states: torch modules from spin configurations to complex log amplitudes."""

from __future__ import annotations

from qmlphys.nqs.ansatz._base import Ansatz, RBMParameters, check_spins
from qmlphys.nqs.ansatz._layers import Dense, PeriodicConvolution
from qmlphys.nqs.ansatz.autoregressive import Autoregressive
from qmlphys.nqs.ansatz.cnn import CNN
from qmlphys.nqs.ansatz.dbm import DBM
from qmlphys.nqs.ansatz.jastrow import Jastrow
from qmlphys.nqs.ansatz.marshall import Marshall
from qmlphys.nqs.ansatz.mlp import MLP
from qmlphys.nqs.ansatz.mps import MPSAnsatz
from qmlphys.nqs.ansatz.rbm import RBM, ShortRangeRBM, TranslationRBM
from qmlphys.nqs.ansatz.symmetrized import Symmetrized
from qmlphys.nqs.ansatz.symmetry import SymmetryGroup
from qmlphys.nqs.ansatz.transformer import VisionTransformer

__all__ = [
    "CNN",
    "DBM",
    "MLP",
    "RBM",
    "Ansatz",
    "Autoregressive",
    "Dense",
    "Jastrow",
    "MPSAnsatz",
    "Marshall",
    "PeriodicConvolution",
    "RBMParameters",
    "ShortRangeRBM",
    "Symmetrized",
    "SymmetryGroup",
    "TranslationRBM",
    "VisionTransformer",
    "check_spins",
]
