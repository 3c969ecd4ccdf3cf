"""Monte Carlo: Ising configurations by multi-spin coded Metropolis and by cluster algorithms."""

from qmlphys.montecarlo.sampling import sample
from qmlphys.montecarlo.simulation import Simulation

__all__ = ["Simulation", "sample"]
