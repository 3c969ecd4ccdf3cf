"""Matrix product states as lists of (left, 2, right) arrays, and their ground states by DMRG.

Open boundaries. Index 0 of the middle axis is spin +1, and the first tensor is site 0. quimb, which does the sweeps of
`dmrg`, is loaded by the first call of it.
"""

from __future__ import annotations

from qmlphys.mps._dmrg import DMRGResult, dmrg
from qmlphys.mps._state import MatrixProductState

__all__ = ["DMRGResult", "MatrixProductState", "dmrg"]
