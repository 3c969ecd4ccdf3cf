"""States by name: the random networks of `qmlphys.workflows.entanglement_scaling`, and those of exact constructions."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmlphys.workflows._entanglement_windows import Maker

__all__ = ["CONTROL", "LABELS", "NONLINEARITIES", "maker_of", "network_names"]

NONLINEARITIES = ("tanh", "sin", "gelu", "relu")
CONTROL = "random-states"

_SINGLE = tuple(f"{phi}{suffix}" for suffix in ("", "-i") for phi in NONLINEARITIES)
_HIDDEN = {**dict.fromkeys(_SINGLE, 1), "mlp-tanh": 3, "mlp-sin": 3, "cosnet": 5, "tanh-network": 5}
LABELS = {
    **{phi: f"one {phi}, a = 1" for phi in NONLINEARITIES},
    **{f"{phi}-i": f"one {phi}, a = i" for phi in NONLINEARITIES},
    "mlp-tanh": "MLP 3x3, tanh",
    "mlp-sin": "MLP 3x3, sin",
    "transformer": "transformer",
    "cosnet": "cosine network",
    "tanh-network": "tanh network",
    "rbm": "Boltzmann machine",
    CONTROL: "random states (control)",
}
"""Names of states to words for pictures."""


def network_names() -> list[str]:
    """Return the names of all networks; some take a number of hidden units after a dash.

    Examples
    --------
    >>> "mlp-tanh" in network_names()
    True
    """
    return [name for name in LABELS if name != CONTROL]


def _random_state(n_sites: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    return rng.standard_normal(2**n_sites) + 1j * rng.standard_normal(2**n_sites)


def _single(n_sites: int, rng: np.random.Generator, *, phi: str, scale: complex, k: int) -> Any:
    from qmlphys.nqs import ensembles

    return ensembles.single_nonlinearity(n_sites, phi, scale=scale, k=k, rng=rng)


def _mlp(n_sites: int, rng: np.random.Generator, *, activation: str, width: int) -> Any:
    from qmlphys.nqs import ensembles

    return ensembles.random_mlp(n_sites, activation, width=width, depth=2, rng=rng)


def _transformer(n_sites: int, rng: np.random.Generator) -> Any:
    from qmlphys.nqs import ensembles

    # Roundings of 1e-7 in the amplitudes are weights of 1e-14 in the Schmidt values: half of the time for nothing lost.
    return ensembles.random_transformer(n_sites, dtype="float32", rng=rng)


def _cosnet(n_sites: int, rng: np.random.Generator, *, hidden: int) -> Any:
    from qmlphys.nqs import ensembles

    return ensembles.cosnet(n_sites, hidden, rng=rng)


def _tanh_network(n_sites: int, rng: np.random.Generator, *, hidden: int) -> Any:
    from qmlphys.nqs import ensembles

    return ensembles.tanh_network(n_sites, hidden, rng=rng)


def _rbm(n_sites: int, rng: np.random.Generator) -> Any:
    from qmlphys import nqs

    return nqs.RBM(n_sites, alpha=1, rng=rng)


def maker_of(name: str) -> Maker:
    """Return what makes a network, or the random states, of a name.

    Parameters
    ----------
    name : str
        One of `network_names`, such as "tanh", "sin-i" or "mlp-tanh"; "cosnet-20" and "tanh-network-20" have so many
        hidden units in the real and as many in the imaginary part, "mlp-tanh-6" is so wide, and "tanh-4" has the sum of
        so many nonlinearities in the exponent; or "random-states".

    Returns
    -------
    callable
        Takes n_sites and a generator.

    Raises
    ------
    ValueError
        If there is no such name.

    Examples
    --------
    >>> maker_of("random-states")(3, np.random.default_rng(0)).shape
    (8,)
    """
    kind, hidden = name, 0
    numbered = re.fullmatch(r"(.*)-([1-9][0-9]{0,5})", name)
    if numbered and numbered[1] in _HIDDEN:
        kind, hidden = numbered[1], int(numbered[2])
    if kind not in LABELS:
        raise ValueError(
            f"Argument `name` must be one of {', '.join(network_names())}, or {', '.join(_HIDDEN)} with a number of "
            f"hidden units after a dash, but it is {name[:60]!r}."
        )
    if kind == CONTROL:
        return _random_state
    if kind in ("cosnet", "tanh-network"):
        return partial(_cosnet if kind == "cosnet" else _tanh_network, hidden=hidden or _HIDDEN[kind])
    if kind.startswith("mlp-"):
        return partial(_mlp, activation=kind.removeprefix("mlp-"), width=hidden or _HIDDEN[kind])
    if kind == "transformer":
        return _transformer
    if kind == "rbm":
        return _rbm
    return partial(_single, phi=kind.removesuffix("-i"), scale=1j if kind.endswith("-i") else 1, k=hidden or 1)
