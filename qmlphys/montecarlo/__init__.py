"""Monte Carlo: Ising configurations by multi-spin coded Metropolis and by cluster algorithms."""

from qmlphys.montecarlo.sampling import Simulation, sample

__all__ = ["Simulation", "sample"]
