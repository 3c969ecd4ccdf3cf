"""Estimates with error bars: autocorrelation, effective sample size, R-hat, jackknife and bootstrap.

The only home of error bars in the package. Series have the shape ``(n_chains, n_draws)``; chains are independent
of each other, draws within a chain are correlated. Resampling deletes or repeats whole chains, never single draws.
"""

from __future__ import annotations

from qmlphys.stats._estimate import Estimate, WeightedMean, weighted_mean
from qmlphys.stats._resampling import bootstrap, bootstrap_replicas, jackknife, jackknife_covariance, jackknife_replicas
from qmlphys.stats._series import autocorrelation_time, effective_sample_size, estimate, r_hat

__all__ = [
    "Estimate",
    "WeightedMean",
    "autocorrelation_time",
    "bootstrap",
    "bootstrap_replicas",
    "effective_sample_size",
    "estimate",
    "jackknife",
    "jackknife_covariance",
    "jackknife_replicas",
    "r_hat",
    "weighted_mean",
]
