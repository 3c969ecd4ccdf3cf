"""The Born machine of matrix product states: p(x) = |psi(x)|^2, learned from rows of bits or spins."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from qmlphys._arguments import seed_number, whole_number
from qmlphys._groups import group_indices
from qmlphys.generative._born_training import BornTraining
from qmlphys.generative._conditional import draw, known_bits
from qmlphys.generative._data import Binary, as_bits, held_out_rows, in_alphabet, plain
from qmlphys.generative._estimators import LikelihoodMixin
from qmlphys.generative._file import ModelFileError
from qmlphys.generative._training import Checkpoint, Trace
from qmlphys.mps import MatrixProductState

__all__ = ["BornMachine"]

_MAX_BOND = 4096


class BornMachine(LikelihoodMixin, BaseEstimator):
    """Learn a distribution of bits or spins as the square of a matrix product state.

    q(x) = |psi(x)|^2 / <psi|psi>, with psi(x) = A_0[x_0] A_1[x_1] ... The sites lie on a chain in the order of the
    columns: neighbours in the data should be neighbours in the columns. The likelihood is exact, samples are drawn
    directly and independently, and any sites may be given (in-painting).

    Parameters
    ----------
    max_bond : int
        Largest bond dimension, 1 to 4096: how much one part of the row can know of the other. The bonds adapt below it.
    cutoff : float
        Share of the norm squared that a cut of a bond may lose, from 0 to below 1.
    learning_rate : float
        How far each pair of sites goes towards its best tensor, above 0 up to 1. Smaller is slower, and with early
        stopping (`validation_fraction`) generalises better; at 1 early pairs decide too much.
    smoothing : float
        Strength tau of exp(tau X) on every site of what was trained, from 0 (none) to below 1. Each row lends amplitude
        to those that differ from it by a bit, about tau per bit, so that rows which never occurred become possible. It
        improves likelihoods of new rows where there are few rows for the bonds; choose it on validation, like bonds.
    max_sweeps : int
        Passes over the chain and back, at least 1.
    batch_size : int, optional
        Different rows that are used at a time; all of them by default. Batches bound the memory, which is about 8 bytes
        x batch_size x n_sites x max_bond, and make training stochastic: they need a small learning rate (see Notes).
    validation_fraction : float
        Share of the rows held out for early stopping, from 0 (none) to below 1; whole groups if `fit` gets them.
    patience : int
        Passes without an improvement after which training ends, at least 1.
    tolerance : float
        What counts as an improvement, in nats a row, at least 0.
    checkpoint : path-like, optional
        File that keeps the state of training, written every ten seconds and at the end. `fit` with the same settings
        and data goes on from it and ends with the same bits as without an interruption; a longer `max_sweeps` continues
        a shorter one.
    verbose : bool
        Show a progress bar on standard error.
    random_state : None, int or numpy.random.Generator
        First tensors, held-out rows and batches.

    Attributes
    ----------
    state_ : MatrixProductState
        The state of the best pass, of norm 1; index 0 of a tensor is spin +1 or bit 0.
    bonds_ : tuple of int
        Its bond dimensions.
    history_ : xarray.Dataset
        `train_nll`, `validation_nll` (nats a row, with the smoothing; NaN without validation) and `max_bond` over
        `step`, one a pass; the attribute `best_step` is the pass that was kept.
    n_features_in_ : int
        Number of sites.
    alphabet_ : {"bits", "spins"}
        How the rows of `fit` were written; samples are written the same way.

    Notes
    -----
    Two-site updates with adaptive bonds: Han, Wang, Fan, Wang and Zhang, Phys. Rev. X 8, 031012 (2018). In the
    canonical form around a pair the norm needs no contraction, and the gradient with respect to its tensor is the
    natural gradient. Instead of steps of fixed length we use that the problem of one pair is convex as long as no
    amplitude of a row passes zero: a few conjugate gradients with exact line searches almost solve it, and
    `learning_rate` says how much of the way is gone.

    The amplitudes are real. That is no restriction of what can be represented, because sqrt(p(x)) is one real state of
    the distribution p; complex ones may need smaller bonds for some distributions. Training starts from positive
    amplitudes, which is why smoothing adds to them.

    Batches see only some of the rows, and a pair goes `learning_rate` of the way to what is best for these: unless the
    rate is far below 1 / n_sites, the other rows are forgotten within a pass.

    Examples
    --------
    >>> X = [[-1, -1, -1], [1, 1, 1], [1, 1, 1], [1, 1, 1]]
    >>> model = BornMachine(max_bond=2, random_state=0).fit(X)
    >>> np.exp(model.score_samples([[-1, -1, -1], [1, 1, 1], [1, -1, 1]])).round(4).tolist()
    [0.25, 0.75, 0.0]
    >>> model.sample(2, 1, given=[-1, np.nan, np.nan]).tolist()
    [[-1, -1, -1], [-1, -1, -1]]
    """

    def __init__(
        self,
        *,
        max_bond: int = 32,
        cutoff: float = 1e-10,
        learning_rate: float = 0.5,
        smoothing: float = 0.0,
        max_sweeps: int = 50,
        batch_size: int | None = None,
        validation_fraction: float = 0.0,
        patience: int = 5,
        tolerance: float = 1e-6,
        checkpoint: str | os.PathLike[str] | None = None,
        verbose: bool = False,
        random_state: Any = None,
    ) -> None:
        self.max_bond = max_bond
        self.cutoff = cutoff
        self.learning_rate = learning_rate
        self.smoothing = smoothing
        self.max_sweeps = max_sweeps
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.tolerance = tolerance
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None, *, groups: ArrayLike | None = None) -> Self:  # noqa: ARG002
        """Train on rows.

        Parameters
        ----------
        X : array_like, shape (n, n_sites)
            Bits (0/1) or spins (-1/+1). Repeated rows cost nothing.
        y : ignored
            For scikit-learn's pipelines.
        groups : array_like, shape (n,), optional
            Independent chain of each row. Whole groups are held out for validation.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit; the text names it and its value.
        ModelFileError
            If the checkpoint is damaged, or belongs to other settings or data.
        """
        self._check_settings()
        bits, alphabet = as_bits(X)
        indices = group_indices(groups, len(bits))
        seed = None if self.random_state is None else _seed(self.random_state)
        checkpoint = Checkpoint(
            self.checkpoint, kind=type(self).__name__, settings=self._deciding(seed), data=(bits, indices)
        )
        saved = checkpoint.read()
        if saved is not None:
            seed = int(saved[0]["seed"])
        elif seed is None:
            seed = seed_number(None)
        rng = np.random.default_rng(seed)
        held_out = held_out_rows(len(bits), indices, self.validation_fraction, rng)
        run = BornTraining(self, bits[~held_out], bits[held_out], rng)
        run.train(checkpoint, saved, seed)
        self.n_features_in_ = bits.shape[1]
        self.alphabet_ = alphabet
        self._keep(MatrixProductState(tuple(run.best)).normalized())
        self.history_ = run.trace.to_dataset()
        return self

    @classmethod
    def from_state(cls, state: MatrixProductState, *, alphabet: Binary = "spins") -> Self:
        """Take a state as a fitted model.

        Parameters
        ----------
        state : MatrixProductState
            Real or complex, of any norm.
        alphabet : {"bits", "spins"}, keyword
            How samples are written.

        Returns
        -------
        BornMachine
            Without a history.

        Raises
        ------
        TypeError, ValueError
            If an argument is something else.

        Examples
        --------
        >>> ghz = MatrixProductState.from_vector([1.0, 0, 0, 1.0])
        >>> BornMachine.from_state(ghz, alphabet="bits").sample(3, 0).tolist()
        [[1, 1], [0, 0], [1, 1]]
        """
        if not isinstance(state, MatrixProductState):
            raise TypeError(f"Argument `state` must be a MatrixProductState, but it is {type(state).__name__}.")
        if alphabet not in ("bits", "spins"):
            raise ValueError(f"Argument `alphabet` must be 'bits' or 'spins', but it is {alphabet!r}.")
        model = cls(max_bond=state.max_bond)
        model.n_features_in_ = state.n_sites
        model.alphabet_ = alphabet
        model._keep(state.normalized())
        return model

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the logarithm of the probability of each row.

        Parameters
        ----------
        X : array_like, shape (n, n_sites)
            Bits or spins.

        Returns
        -------
        ndarray of float64, shape (n,)
            ln q(x), exact; -inf for rows of probability zero.

        Raises
        ------
        ValueError, TypeError
            If the shape does not fit or another value occurs.
        """
        check_is_fitted(self, "state_")
        bits, _ = as_bits(X, n_sites=self.n_features_in_, alphabet=self.alphabet_)
        return 2 * (self.state_.log_amplitudes(in_alphabet(bits, "spins")).real - self.state_.log_norm)

    def sample(
        self, n_samples: int = 1, rng: np.random.Generator | int | None = None, *, given: ArrayLike | None = None
    ) -> NDArray[np.int8]:
        """Draw independent rows, without a Markov chain.

        Parameters
        ----------
        n_samples : int
            Number of rows, at least 1.
        rng : None, int or numpy.random.Generator
            Source of randomness.
        given : array_like, shape (n_sites,), keyword, optional
            Values of known sites, in the alphabet of the model, and NaN where a site is free: rows are then drawn from
            the conditional distribution of the free sites, exactly, whichever sites are known.

        Returns
        -------
        ndarray of int8, shape (n_samples, n_sites)
            In the alphabet of the model.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, or the known sites have probability zero.
        """
        check_is_fitted(self, "state_")
        n_samples = whole_number("n_samples", n_samples)
        generator = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(seed_number(rng))
        known = known_bits(given, self.n_features_in_, self.alphabet_)
        return in_alphabet(draw(self.state_.tensors, known, n_samples, generator), self.alphabet_)

    def _keep(self, state: MatrixProductState) -> None:
        self.state_ = state
        self.bonds_ = state.bonds

    def _check_settings(self) -> None:
        whole_number("max_bond", self.max_bond, most=_MAX_BOND)
        whole_number("max_sweeps", self.max_sweeps)
        whole_number("patience", self.patience)
        if self.batch_size is not None:
            whole_number("batch_size", self.batch_size)
        if not 0 <= self.cutoff < 1:
            raise ValueError(f"Argument `cutoff` must be from 0 to below 1, but it is {self.cutoff!r}.")
        if not 0 < self.learning_rate <= 1:
            raise ValueError(
                f"Argument `learning_rate` must be above 0 and at most 1, but it is {self.learning_rate!r}."
            )
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"Argument `smoothing` must be from 0 to below 1, but it is {self.smoothing!r}.")
        if not 0 <= self.tolerance < np.inf:
            raise ValueError(f"Argument `tolerance` must be finite and at least 0, but it is {self.tolerance!r}.")

    def _deciding(self, seed: int | None) -> dict[str, Any]:
        """Settings that decide the numbers. When training ends is none of them: a longer run continues a shorter."""
        names = ("max_bond", "cutoff", "learning_rate", "smoothing", "batch_size", "validation_fraction")
        return {name: plain(getattr(self, name)) for name in names} | {"seed": seed}

    def _to_file(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        check_is_fitted(self, "state_")
        parameters = self.get_params()
        del parameters["checkpoint"], parameters["verbose"]
        if isinstance(self.random_state, np.random.Generator):
            parameters["random_state"] = None  # its state is gone with the fit
        header = {name: plain(value) for name, value in parameters.items()}
        arrays = {f"tensor_{site}": tensor for site, tensor in enumerate(self.state_.tensors)}
        if hasattr(self, "history_"):
            arrays |= {f"history_{name}": column.values for name, column in self.history_.items()}
        return {"parameters": header, "alphabet": self.alphabet_, "n_sites": self.n_features_in_}, arrays

    @classmethod
    def _from_file(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        n_sites, alphabet = header.get("n_sites"), header.get("alphabet")
        if isinstance(n_sites, bool) or not isinstance(n_sites, int) or not 1 <= n_sites <= len(arrays):
            raise ModelFileError(f"The file must hold one tensor a site, but it names {n_sites!r} sites.")
        if alphabet not in ("bits", "spins"):
            raise ModelFileError(f"The file must name the alphabet 'bits' or 'spins', but it names {alphabet!r}.")
        parameters = header.get("parameters")
        known = set(cls().get_params()) - {"checkpoint", "verbose"}
        if not isinstance(parameters, dict) or not set(parameters) <= known:
            raise ModelFileError("The file must hold the settings of a BornMachine, but it holds others.")
        missing = [site for site in range(n_sites) if f"tensor_{site}" not in arrays]
        if missing:
            raise ModelFileError(f"The file must hold one tensor a site, but that of site {missing[0]} is missing.")
        model = cls(**parameters)
        try:
            model._check_settings()
            state = MatrixProductState(tuple(arrays[f"tensor_{site}"] for site in range(n_sites)))
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"The file must hold a BornMachine, but: {error}") from None
        model.n_features_in_ = n_sites
        model.alphabet_ = alphabet
        model._keep(state)
        model._read_history(arrays)
        return model

    def _read_history(self, arrays: dict[str, NDArray[Any]]) -> None:
        columns = {name.removeprefix("history_"): a for name, a in arrays.items() if name.startswith("history_")}
        if not columns:
            return
        length = len(columns.get("train_nll", ()))
        if not {"train_nll", "validation_nll"} <= set(columns) or any(
            column.shape != (length,) or length == 0 for column in columns.values()
        ):
            raise ModelFileError("The file must hold a history of columns of equal length, but it does not.")
        trace = Trace(patience=self.patience, tolerance=self.tolerance)
        trace.columns = {name: [float(value) for value in column] for name, column in columns.items()}
        self.history_ = trace.to_dataset()


def _seed(random_state: Any) -> int:
    try:
        return seed_number(random_state)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("`rng`", "`random_state`")) from None
