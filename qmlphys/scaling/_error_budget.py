"""One error bar from chains, training seeds and fit windows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from qmlphys.stats._estimate import Estimate, require_finite

__all__ = ["ErrorBudget", "join_errors"]


@dataclass(frozen=True)
class ErrorBudget:
    """A result with the parts of its error; made by `join_errors`.

    Parameters
    ----------
    estimate : Estimate
        Mean over seeds and the whole error.
    chains, seeds, window : float
        Its parts: Monte Carlo noise, scatter of training seeds, choice of the fit window.
    """

    estimate: Estimate
    chains: float
    seeds: float
    window: float

    def __str__(self) -> str:
        return f"{self.estimate} [chains {self.chains:.2g}, seeds {self.seeds:.2g}, window {self.window:.2g}]"


def join_errors(
    estimates_by_seed: Iterable[Estimate], *, window: float = 0.0, independent: bool = False
) -> ErrorBudget:
    """Join the errors of one result obtained with several training seeds.

    Networks trained with different seeds usually read the same configurations. Their common Monte Carlo noise
    does not average out, so its error is the root mean square of the errors given, not divided by the number of
    seeds. The scatter of the seeds is a property of the method: one more training may land anywhere in it, so
    it is added undivided. Only if every seed had configurations of its own (`independent`) are the results
    measurements whose mean is better than each; then the scatter already holds the Monte Carlo noise, and the larger of
    scatter / sqrt(n) and root mean square / sqrt(n) is taken. The window is common to all seeds and never divided.

    Parameters
    ----------
    estimates_by_seed : iterable of Estimate
        One estimate a seed, at least two; their errors are statistical (chains) only.
    window : float
        Error from the choice of the fit window, >= 0; see `WindowScan.window`.
    independent : bool
        Whether every seed had its own configurations.

    Returns
    -------
    ErrorBudget
        Mean, whole error and its parts.

    Raises
    ------
    ValueError
        If there are fewer than two seeds (their scatter is unknown), or an error is unknown or negative.

    References
    ----------
    Bureau International des Poids et Mesures, Guide to the expression of uncertainty in measurement (2008), sec. 5.

    Examples
    --------
    >>> print(join_errors([Estimate(2.2690, 3e-4), Estimate(2.2694, 3e-4), Estimate(2.2692, 3e-4)], window=1e-4))
    2.2692(4) [chains 0.0003, seeds 0.0002, window 0.0001]
    """
    items = list(estimates_by_seed)
    if len(items) < 2:
        raise ValueError(
            f"Argument `estimates_by_seed` must hold at least two seeds, but holds {len(items)}: the scatter of "
            "seeds cannot be known from one."
        )
    if not (math.isfinite(window) and window >= 0):
        raise ValueError(f"Argument `window` must be >= 0 and finite, but is {window}.")
    means = np.array([item.mean for item in items])
    errors = np.array([item.error for item in items])
    require_finite(means, "estimates_by_seed")
    require_finite(errors, "estimates_by_seed")
    chains, seeds = float(np.sqrt((errors**2).mean())), float(means.std(ddof=1))
    if independent:
        chains, seeds = chains / math.sqrt(len(items)), seeds / math.sqrt(len(items))
        # What the scatter shows beyond the Monte Carlo noise that it contains.
        seeds = math.sqrt(max(0.0, seeds**2 - chains**2))
    total = math.sqrt(chains**2 + seeds**2 + window**2)
    return ErrorBudget(Estimate(float(means.mean()), total), chains, seeds, window)
