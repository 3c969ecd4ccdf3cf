"""Learning by confusion: the critical point as the cut of a scan that a network finds easiest to learn."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from qmlphys._arguments import no_dataset
from qmlphys._groups import group_indices, hold_out
from qmlphys.phases._front import Front
from qmlphys.phases._indicator import bin_means, check_splits, measure, midpoints
from qmlphys.phases._optimum import OptimalIndicator, exact_indicator, optimal_indicator
from qmlphys.phases._order import OrderParameterMixin, find_direction
from qmlphys.phases._training import Plan, build, train

__all__ = ["ConfusionScheme", "OptimalIndicator", "exact_indicator", "optimal_indicator"]

_log = logging.getLogger("qmlphys")

_N_RESAMPLES = 200  # of the bootstrap over held-out groups: the error's own error is then 5 %


class ConfusionScheme(OrderParameterMixin, RegressorMixin, BaseEstimator):
    """Find a transition by trying to learn every cut of a parameter scan into two "phases".

    For each cut s a network learns to say on which side of s a snapshot was taken. Its accuracy W(s) on held-out chains
    is 1 at both ends, where one side is empty, and has an interior maximum where the snapshots really change: W-shaped.

    One network learns all cuts at once (`strategy="multitask"`): one trunk and a sigmoid output a cut, each with the
    same weight in the loss, at nearly the cost of a single classifier. `strategy="per-split"` trains one network a cut,
    as the scheme was first proposed.

    Where it fails. The maximum at a finite size is not the critical point, even for the best possible classifier
    (`optimal_indicator`): W measures how fast the distribution of snapshots changes over *this* scan, at its range and
    spacing, and any such change (a crossover, a specific-heat maximum) makes a peak. A network that learns badly has a
    lower W, and perhaps a maximum elsewhere; compare with the optimum where an energy is known. The errors hold for the
    networks as trained on these chains; networks that overfit scatter more from one training set to another (dense ones
    on a small set by 1.4). Scans without a transition have no interior maximum: `critical_point_` is nan.

    Parameters
    ----------
    network : {"dense", "cnn"}
        Fully connected; or circular convolutions, mean over the lattice, dense head. The latter averages local
        functions of the spins, such as the energy, and comes close to the optimum; the former falls behind it.
    shape : tuple of int, optional
        The lattice's shape (`lattice.shape`), row-major. None is a ring for "cnn", and no known geometry for "dense".
    strategy : {"multitask", "per-split"}
        One network for all cuts, or one for each.
    n_splits : int
        Largest number of cuts. They lie half way between neighbouring parameter values, evenly thinned to this number.
    splits : array_like, optional
        The cuts themselves, increasing and strictly inside the scan; `n_splits` then plays no part.
    held_out_fraction : float
        Share of the groups on which W is measured, in (0, 1).
    validation_fraction : float
        Share of the other groups that decides when training stops, in [0, 1); 0 trains for all epochs.
    n_seeds : int
        Networks trained from different initial weights; W and predictions are averaged over them.
    hidden : tuple of int, optional
        Hidden layers; (100, 16) for "dense", narrow before a hundred outputs, and (32,) behind the average of "cnn".
    channels, pointwise : tuple of int
        "cnn": channels of its convolution layers and widths of the 1 x 1 layers after them.
    kernel_size : int, optional
        "cnn": width of the window; 3, and 2 in three dimensions, by default.
    augment : "auto", None or tuple of {"translations", "flip"}
        Symmetries used as augmentation. "auto": translations, for "dense" with a `shape`. "flip" reverses all spins at
        random: a symmetry of models without a field.
    max_epochs : int
        Passes over the training rows; the learning rate falls to zero over them.
    batch_size : int, optional
        Rows a step; by default a tenth of the training rows, at least 8 and at most 256.
    learning_rate : float, optional
        Largest step of AdamW; 0.003 for "dense" and 0.01 for "cnn" by default.
    weight_decay : float
        Decoupled weight decay of AdamW.
    patience : int
        Epochs without a better validation loss before training stops. The best epoch's weights are kept in any case;
        less than `max_epochs` saves time but ends some trainings at a large learning rate, with a W up to 0.02 lower.
    random_state : None, int or RandomState
        Seeds the split into groups, initial weights, batches and the bootstrap.
    device : str
        Where torch computes: "cpu", "cuda", "mps".
    verbose : bool
        Whether to show a progress bar.

    Attributes
    ----------
    splits_ : ndarray of shape (n_splits,)
        The cuts.
    indicator_ : ndarray of shape (n_splits,)
        W: held-out accuracy at each cut, every held-out row with the same weight.
    indicator_error_ : ndarray of shape (n_splits,)
        Standard errors: bootstrap over held-out groups, joined with the scatter of the seeds.
    critical_point_ : float
        Interior maximum of W, by a local fit; nan if no peak stands out by four standard errors.
    critical_point_error_ : float
        Joins the bootstrap, the choice of the fit window and, with two or more, the scatter of the seeds.
    held_out_ : ndarray of bool, shape (n_samples,)
        Rows on which W was measured; the network has never seen them.
    networks_ : list
        The trained torch modules, seed by seed (and cut by cut).
    history_ : list of dict
        Losses of each training.
    order_direction_ : ndarray or None
        Weights of the features in the order parameter; None unless fitted on snapshots.

    References
    ----------
    E. P. L. van Nieuwenburg, Y.-H. Liu and S. D. Huber, Nat. Phys. 13, 435 (2017) (the scheme); J. Arnold, F. Schäfer
    and N. Lörch, arXiv:2311.09128 (2023) (one network for all cuts).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> T = np.repeat(np.linspace(0, 1, 21), 40)
    >>> X = np.where(rng.random((T.size, 16)) < np.where(T < 0.5, 0.95, 0.5)[:, None], 1, -1)
    >>> scheme = ConfusionScheme(max_epochs=10, random_state=0).fit(X, T)
    >>> abs(scheme.critical_point_ - 0.5) < 0.1
    True
    """

    def __init__(
        self,
        network: Literal["dense", "cnn"] = "dense",
        *,
        shape: tuple[int, ...] | None = None,
        strategy: Literal["multitask", "per-split"] = "multitask",
        n_splits: int = 100,
        splits: npt.ArrayLike | None = None,
        held_out_fraction: float = 0.5,
        validation_fraction: float = 0.2,
        n_seeds: int = 1,
        hidden: tuple[int, ...] | None = None,
        channels: tuple[int, ...] = (16,),
        kernel_size: int | None = None,
        pointwise: tuple[int, ...] = (16,),
        augment: Literal["auto"] | Sequence[str] | None = "auto",
        max_epochs: int = 40,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float = 1e-4,
        patience: int = 40,
        random_state: Any = None,
        device: str = "cpu",
        verbose: bool = False,
    ) -> None:
        self.network = network
        self.shape = shape
        self.strategy = strategy
        self.n_splits = n_splits
        self.splits = splits
        self.held_out_fraction = held_out_fraction
        self.validation_fraction = validation_fraction
        self.n_seeds = n_seeds
        self.hidden = hidden
        self.channels = channels
        self.kernel_size = kernel_size
        self.pointwise = pointwise
        self.augment = augment
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        """Say that a convolutional net, which averages over sites, cannot learn from single features."""
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = self.network == "cnn"
        return tags

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, *, groups: npt.ArrayLike | None = None) -> Self:
        """Learn all cuts and measure W on held-out groups.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Snapshots, 0/1 or -1/+1, or any finite features.
        y : array_like of shape (n_samples,)
            The parameter (temperature, field, ...) of each snapshot, in any unit; at least two different values.
        groups : array_like of shape (n_samples,), optional
            Independent chains, as `snapshots.as_xy` gives them. Held-out and validation parts are made of whole groups.
            Without them every row counts as independent, which flatters W for draws of a Markov chain.

        Returns
        -------
        ConfusionScheme
            Itself.

        Raises
        ------
        ValueError
            If a setting is out of its range, the parameter takes one value only, or there are too few groups to split.

        Examples
        --------
        >>> X = np.repeat([[1, 1, 1, 1], [1, -1, 1, -1]], 20, axis=0)
        >>> scheme = ConfusionScheme(max_epochs=5, random_state=0).fit(X, np.repeat([1.0, 2.0], 20))
        >>> scheme.splits_, scheme.indicator_
        (array([1.5]), array([1.]))
        """
        no_dataset("X", X)
        data, values = validate_data(self, X, y, dtype="numeric", y_numeric=True, ensure_min_samples=4)
        values = np.asarray(values, dtype=np.float64)
        plan = self._check_settings(int(len(data) * (1 - self.held_out_fraction)))
        self.splits_ = midpoints(values, self.n_splits) if self.splits is None else check_splits(self.splits, values)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        rng = np.random.default_rng(seed)
        indices = group_indices(groups, len(values))
        self.held_out_ = held = hold_out(indices, values, self.held_out_fraction, rng)
        rows = np.flatnonzero(~held)
        validation = np.zeros(len(rows), dtype=bool)
        if self.validation_fraction > 0:
            seen = np.unique(indices[rows], return_inverse=True)[1]
            validation = hold_out(seen, values[rows], self.validation_fraction, rng)
        default_hidden = (100, 16) if self.network == "dense" else (32,)
        self._front = Front(
            network=self.network,
            shape=self.shape,
            hidden=default_hidden if self.hidden is None else self.hidden,
            channels=self.channels,
            kernel_size=self.kernel_size,
            pointwise=self.pointwise,
            augment=self.augment,
        )
        self._front.fit(data, ~held)
        below = values[:, None] < self.splits_
        self._means = bin_means(values[rows], self.splits_)
        inputs = self._front.inputs(data)
        self.networks_: list[Any] = []
        self.history_: list[dict[str, list[float]]] = []
        said = []
        for number in range(self.n_seeds):
            start = len(self.networks_)
            for cut in self._tasks():
                own_seed = seed + len(self.networks_)
                network = build(partial(self._front.make, below[:, cut].shape[1]), seed=own_seed)
                history = train(
                    network,
                    inputs[rows],
                    below[rows, cut].view(np.uint8),  # a quarter of the memory that each batch is gathered from
                    validation=validation,
                    plan=plan,
                    seed=own_seed,
                    histogram=self._front.histogram,
                    augment=self._front.augmentation(),
                    description=f"network {number + 1} of {self.n_seeds}",
                )
                self.history_.append(history)
                self.networks_.append(network)
            said.append(self._logits(self.networks_[start:], inputs[held]) > 0)
        curve = measure(
            np.array(said) == below[held], values[held], indices[held], self.splits_, n_resamples=_N_RESAMPLES, rng=rng
        )
        self.indicator_, self.indicator_error_ = curve.indicator, curve.error
        self.critical_point_, self.critical_point_error_ = curve.critical_point, curve.critical_point_error
        self.order_direction_ = None
        if self._front.alphabet != "real":
            # All rows: those with order have by far the largest odd features, on whichever side of the scan they lie.
            self.order_direction_ = find_direction(self.networks_[0], self._front.spins(data[rows]))
        if math.isnan(self.critical_point_):
            _log.warning("the W curve has no interior maximum that stands out: no critical point in this scan")
        return self

    def _check_settings(self, n_rows: int) -> Plan:
        for name, allowed in (("network", ("dense", "cnn")), ("strategy", ("multitask", "per-split"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"Argument `{name}` must be one of {allowed}, but is {getattr(self, name)!r}.")
        for name in ("n_seeds", "n_splits"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                raise ValueError(f"Argument `{name}` must be an integer of at least 1, but is {value!r}.")
        if not 0 < self.held_out_fraction < 1:
            raise ValueError(
                f"Argument `held_out_fraction` must lie between 0 and 1, but is {self.held_out_fraction!r}."
            )
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(f"Argument `validation_fraction` must lie in [0, 1), but is {self.validation_fraction!r}.")
        default_rate = 3e-3 if self.network == "dense" else 1e-2
        return Plan(
            max_epochs=self.max_epochs,
            batch_size=min(256, max(8, n_rows // 10)) if self.batch_size is None else self.batch_size,
            learning_rate=default_rate if self.learning_rate is None else self.learning_rate,
            weight_decay=self.weight_decay,
            patience=self.patience,
            device=self.device,
            verbose=self.verbose,
        )

    def _tasks(self) -> list[slice]:
        n = len(self.splits_)
        return [slice(0, n)] if self.strategy == "multitask" else [slice(k, k + 1) for k in range(n)]

    def _logits(self, networks: list[Any], inputs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the logits (n, n_splits) of the networks of one seed."""
        return np.concatenate([self._front.logits(item, inputs, device=self.device) for item in networks], axis=1)

    def predict_split_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the probability that a snapshot was taken below each cut.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Snapshots.

        Returns
        -------
        ndarray of shape (n_samples, n_splits)
            P(parameter < splits_[k]), averaged over the seeds; a distribution function over the cuts but for errors
            of the network.

        Raises
        ------
        ValueError
            If the number of features differs from that of `fit`, or a feature is not finite.

        Examples
        --------
        >>> X = np.repeat([[1, 1, 1, 1], [1, -1, 1, -1]], 20, axis=0)
        >>> scheme = ConfusionScheme(max_epochs=5, random_state=0).fit(X, np.repeat([1.0, 2.0], 20))
        >>> scheme.predict_split_proba(X[[0, -1]]).round().ravel()
        array([1., 0.])
        """
        check_is_fitted(self)
        no_dataset("X", X)
        data: npt.NDArray[Any] = validate_data(self, X, dtype="numeric", reset=False)
        inputs = self._front.inputs(data)
        n_tasks = len(self._tasks())
        seeds = [self.networks_[start : start + n_tasks] for start in range(0, len(self.networks_), n_tasks)]
        return np.mean([expit(self._logits(networks, inputs)) for networks in seeds], axis=0)

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Estimate the parameter at which each snapshot was taken.

        The outputs for all cuts make up the distribution of the parameter given the snapshot (for the scan it was drawn
        from); its mean is returned. `score` is the usual R^2 of this estimate.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Snapshots.

        Returns
        -------
        ndarray of shape (n_samples,)
            In the units of the parameter.

        Raises
        ------
        ValueError
            As `predict_split_proba`.

        Examples
        --------
        >>> X = np.repeat([[1, 1, 1, 1], [1, -1, 1, -1]], 20, axis=0)
        >>> scheme = ConfusionScheme(max_epochs=20, random_state=0).fit(X, np.repeat([1.0, 2.0], 20))
        >>> scheme.predict(X[[0, -1]]).round()
        array([1., 2.])
        """
        below = self.predict_split_proba(X)
        return self._means[-1] - below @ np.diff(self._means)

    def predict_phase(self, X: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Say on which side of the critical point each snapshot was taken.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Snapshots.

        Returns
        -------
        ndarray of shape (n_samples,)
            1 below `critical_point_` (the ordered phase of a temperature scan), 0 above.

        Raises
        ------
        ValueError
            If the fit found no critical point, or as `predict_split_proba`.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> T = np.repeat(np.linspace(0, 1, 21), 40)
        >>> X = np.where(rng.random((T.size, 16)) < np.where(T < 0.5, 0.95, 0.5)[:, None], 1, -1)
        >>> scheme = ConfusionScheme(max_epochs=10, random_state=0).fit(X, T)
        >>> bool(np.mean(scheme.predict_phase(X) == (T < 0.5)) > 0.95)
        True
        """
        probability = self.predict_split_proba(X)
        if math.isnan(self.critical_point_):
            raise ValueError("There are no phases to tell apart: the W curve of the fit has no interior maximum.")
        # The logit between the two cuts beside the maximum is read off linearly.
        right = int(np.clip(np.searchsorted(self.splits_, self.critical_point_), 1, len(self.splits_) - 1))
        span = self.splits_[right] - self.splits_[right - 1]
        part = float(np.clip((self.critical_point_ - self.splits_[right - 1]) / span, 0, 1))
        return ((1 - part) * probability[:, right - 1] + part * probability[:, right] > 0.5).astype(np.int64)
