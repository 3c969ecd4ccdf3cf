"""Models of statistical and quantum physics, one a file: energy functions on the lattices of `qmlphys.lattices`."""

from qmlphys.hamiltonians.ising import Ising

__all__ = ["Ising"]
