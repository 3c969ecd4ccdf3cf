"""Models of statistical and quantum physics, one a file, on the lattices of `qmlphys.lattices`.

`Ising` is classical. The others are quantum models in Pauli matrices, `SpinHalf`: a sum of Pauli strings
(`to_pauli`), a sparse matrix (`to_sparse`), and connected configurations with their matrix elements (`connected`,
`flip_terms`). Bit 0 is spin +1, and site i has weight 2^i. Fermions on spins: `qmlphys.hamiltonians.fermi_hubbard`.
"""

from qmlphys.hamiltonians._flip_terms import FlipTerms
from qmlphys.hamiltonians._spin_half import SpinHalf
from qmlphys.hamiltonians.heisenberg import Heisenberg
from qmlphys.hamiltonians.ising import Ising
from qmlphys.hamiltonians.j1j2 import J1J2
from qmlphys.hamiltonians.pauli_sum import PauliSum
from qmlphys.hamiltonians.transverse_ising import TransverseIsing

__all__ = ["J1J2", "FlipTerms", "Heisenberg", "Ising", "PauliSum", "SpinHalf", "TransverseIsing"]
