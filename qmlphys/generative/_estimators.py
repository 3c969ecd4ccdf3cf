"""What the estimators trained by `_descent` share: checks of settings, the training itself, files."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys._arguments import whole_number
from qmlphys.generative._conditional import FREE, known_bits
from qmlphys.generative._data import Binary, held_out_rows, plain
from qmlphys.generative._descent import Problem, Schedule, descend
from qmlphys.generative._file import ModelFileError
from qmlphys.generative._training import Checkpoint, Trace

__all__ = [
    "SMALLEST",
    "LikelihoodMixin",
    "check_alphabet",
    "check_settings",
    "file_header",
    "forced_columns",
    "generator",
    "history_arrays",
    "positive_number",
    "read_header",
    "read_history",
    "train",
]

SMALLEST = 1e-13
"""The smallest conditional probability of a known bit; below stands rounding."""


class LikelihoodMixin:
    """The score of every model of this room: the mean of its exact `score_samples`."""

    def score(self, X: ArrayLike, y: Any = None) -> float:  # noqa: ARG002 - scikit-learn passes y
        """Return the mean of `score_samples`, in nats a row.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
            Bits or spins.
        y : None
            Ignored; there for scikit-learn.

        Returns
        -------
        float
            Mean log-likelihood.
        """
        return float(self.score_samples(X).mean())  # type: ignore[attr-defined]


def positive_number(name: str, value: Any, *, least: float, most: float = math.inf) -> float:
    """Check a real number and its range."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"Argument `{name}` must be a number, but it is {value!r}.")
    if not (least <= value <= most and math.isfinite(value)):
        raise ValueError(f"Argument `{name}` must be between {least:g} and {most:g}, but it is {value!r}.")
    return float(value)


def check_alphabet(alphabet: Any) -> Binary:
    """Check the name of an alphabet."""
    if alphabet not in ("bits", "spins"):
        raise ValueError(f"Argument `alphabet` must be 'bits' or 'spins', but it is {alphabet!r}.")
    return alphabet


def generator(random_state: Any, argument: str = "random_state") -> np.random.Generator:
    """Make a generator of what users may give."""
    if random_state is not None and not isinstance(random_state, np.random.Generator):
        whole_number(argument, random_state, least=0, most=2**63 - 1)
    return np.random.default_rng(random_state)


def check_settings(model: Any) -> None:
    """Check the settings of training that models have in common."""
    whole_number("max_steps", model.max_steps)
    whole_number("patience", model.patience)
    positive_number("tolerance", model.tolerance, least=0.0)
    if isinstance(model.validation_fraction, bool) or not isinstance(
        model.validation_fraction, int | float | np.floating
    ):
        raise TypeError(f"Argument `validation_fraction` must be a number, but it is {model.validation_fraction!r}.")
    if not 0 <= model.validation_fraction < 1:
        raise ValueError(
            f"Argument `validation_fraction` must be from 0 to below 1, but it is {model.validation_fraction!r}."
        )
    if not isinstance(model.verbose, bool | np.bool_):
        raise TypeError(f"Argument `verbose` must be True or False, but it is {model.verbose!r}.")
    if model.checkpoint is not None and not Path(model.checkpoint).parent.is_dir():
        # Said now, not after hours of training.
        raise ValueError(f"Argument `checkpoint` must lie in an existing folder, but it is {str(model.checkpoint)!r}.")


def train(
    model: Any,
    problem: Problem[Any],
    start: Callable[[np.random.Generator], NDArray[np.float64]],
    bits: NDArray[np.int8],
    *,
    groups: ArrayLike | None,
    settings: dict[str, Any],
    learning_rate: float | None = None,
    batch_size: int | None = None,
) -> NDArray[np.float64]:
    """Train as the model's settings say, write `history_`, and return the best parameters.

    Parameters
    ----------
    model : estimator
        With checked settings.
    problem : Problem
        Likelihood and gradient.
    start : callable
        Draws the first parameters.
    bits : ndarray of int8
        Rows.
    groups : array_like, optional
        Independent chain of each row.
    settings : dict
        What else than the common settings decides the numbers, as JSON knows it.
    learning_rate, batch_size
        Of Adam; None takes quasi-Newton steps and all rows.
    """
    rng = generator(model.random_state)
    trace = Trace(patience=model.patience, tolerance=model.tolerance)
    # A generator's state is in the checkpoint itself; a longer run may continue a shorter one.
    seed = plain(model.random_state) if not isinstance(model.random_state, np.random.Generator) else None
    common = {name: plain(getattr(model, name)) for name in ("validation_fraction", "patience", "tolerance")}
    chains = np.empty(0) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    checkpoint = Checkpoint(
        model.checkpoint,
        kind=type(model).__name__,
        settings={**common, **settings, "random_state": seed, "learning_rate": learning_rate, "batch_size": batch_size},
        data=(bits, chains),
    )
    schedule = Schedule(
        max_steps=model.max_steps,
        trace=trace,
        checkpoint=checkpoint,
        learning_rate=learning_rate,
        batch_size=batch_size,
        verbose=bool(model.verbose),
    )

    def hold_out() -> NDArray[np.bool_]:
        return held_out_rows(len(bits), groups, model.validation_fraction, rng)

    theta = descend(problem, lambda: start(rng), bits, hold_out, rng, schedule)
    model.history_ = trace.to_dataset()
    return theta


def forced_columns(given: ArrayLike | None, n_sites: int, alphabet: Binary) -> dict[int, int]:
    """Return the bits of the columns that are known."""
    known = known_bits(given, n_sites, alphabet)
    return {int(column): int(known[column]) for column in np.flatnonzero(known != FREE)}


def file_header(model: Any) -> dict[str, Any]:
    """Return the settings of a fitted model, without those that belong to one run, and its alphabet."""
    parameters = model.get_params()
    del parameters["checkpoint"], parameters["verbose"]
    if isinstance(model.random_state, np.random.Generator):
        parameters["random_state"] = None  # its state is gone with the fit
    return {"parameters": {name: plain(value) for name, value in parameters.items()}, "alphabet": model.alphabet_}


def read_header(header: dict[str, Any], known: set[str]) -> tuple[dict[str, Any], Binary]:
    """Return settings and alphabet of a file.

    Raises
    ------
    ModelFileError
        If they are not what a model of this kind has.
    """
    parameters, alphabet = header.get("parameters"), header.get("alphabet")
    expected = known - {"checkpoint", "verbose"}
    if not isinstance(parameters, dict) or set(parameters) != expected:
        raise ModelFileError(f"The file must hold the settings {sorted(expected)}, but it does not.")
    if alphabet not in ("bits", "spins"):
        raise ModelFileError(f"The file must name the alphabet 'bits' or 'spins', but it names {alphabet!r}.")
    return parameters, alphabet


def history_arrays(model: Any) -> dict[str, NDArray[Any]]:
    """Return the columns of the history, if the model was trained."""
    if not hasattr(model, "history_"):
        return {}
    return {f"history_{name}": column.values for name, column in model.history_.items()}


def read_history(model: Any, arrays: dict[str, NDArray[Any]]) -> None:
    """Give a model the history of a file, if there is one.

    Raises
    ------
    ModelFileError
        If its columns do not fit together.
    """
    columns = {name.removeprefix("history_"): a for name, a in arrays.items() if name.startswith("history_")}
    if not columns:
        return
    length = len(np.atleast_1d(columns.get("train_nll", np.empty(0))))
    if not {"train_nll", "validation_nll"} <= set(columns) or any(
        column.shape != (length,) or length == 0 or column.dtype != np.float64 for column in columns.values()
    ):
        raise ModelFileError("The file must hold a history of columns of equal length, but it does not.")
    trace = Trace(patience=model.patience, tolerance=model.tolerance)
    trace.columns = {name: [float(value) for value in column] for name, column in columns.items()}
    model.history_ = trace.to_dataset()
