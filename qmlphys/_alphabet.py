"""Snapshots written as bits or as spins are brought to spins; other real features stay as they are."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Alphabet", "find_alphabet", "to_spins"]

Alphabet = Literal["bits", "spins", "real"]


def find_alphabet(X: npt.NDArray[Any]) -> Alphabet:
    """Say whether the features are all 0/1 (bits), all -1/+1 (spins) or anything else (real)."""
    one = X == 1
    if (one | (X == -1)).all():
        return "spins"
    if (one | (X == 0)).all():
        return "bits"
    return "real"


def to_spins(X: npt.NDArray[Any], alphabet: Alphabet) -> npt.NDArray[Any]:
    """Return features as spins (bit 0 is spin +1), for a model that was fitted on the given alphabet.

    Snapshots that are plainly in the other alphabet are understood; snapshots of ones alone could be either and
    are read in the alphabet of the fit. Real numbers follow the fit as well (a mean bit b is a mean spin 1 - 2 b).
    """
    if alphabet == "real":
        return X
    found = alphabet if (X == 1).all() else find_alphabet(X)
    if found == "real":
        if np.isin(X, (-1, 0, 1)).all():
            raise ValueError("Argument `X` must hold bits (0/1) or spins (-1/+1), but holds both -1 and 0.")
        found = alphabet
    if found == "spins":
        return X
    return 1 - 2 * X.astype(np.int8 if X.dtype.kind in "bu" else X.dtype)
