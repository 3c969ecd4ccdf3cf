"""Phases learned from labelled snapshots: a torch network behind scikit-learn's classifier interface."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from qmlphys._arguments import no_dataset
from qmlphys._groups import check_parameter, group_indices
from qmlphys.phases._crossing import half_crossing
from qmlphys.phases._front import Front
from qmlphys.phases._order import OrderParameterMixin, blocks, find_direction
from qmlphys.phases._training import Plan, build, split_rows, train
from qmlphys.phases.curves import far_ends
from qmlphys.stats import Estimate

__all__ = ["SupervisedPhaseClassifier", "far_ends"]


class SupervisedPhaseClassifier(OrderParameterMixin, ClassifierMixin, BaseEstimator):
    """Classify snapshots into phases with a dense network or a periodic convolutional network.

    Snapshots may be written as spins (-1/+1) or bits (0/1); any other finite features are standardised (one mean and
    scale a feature for the dense network; one for all sites for the CNN, which must not tell sites apart). Labels
    may be anything scikit-learn takes, two classes or more; for `transition` and `order_parameter` the labels are
    1 = ordered and 0 = disordered, best from `far_ends`: no critical value enters.

    The dense network has one weight for every site and unit and learns its training snapshots by heart; on lattices it
    ends below the accuracy of a plain cut in |m|. The cure is not weight decay, which shrinks what is learned with what
    is memorised, but showing every snapshot in all its equivalent forms: with `shape` given, each batch is moved by a
    random lattice translation. The CNN has translations built in. It counts local patterns instead of convolving (see
    `phases.networks`), so 100,000 snapshots of 60 x 60 spins train in seconds on one core.

    Parameters
    ----------
    network : {"dense", "cnn"}
        Fully connected; or circular convolutions, mean over the lattice, dense head.
    shape : tuple of int, optional
        The lattice's shape (`lattice.shape`), row-major. None is a ring for the CNN, and no known geometry for
        the dense network.
    hidden : tuple of int, optional
        Hidden layers: (100,) for the dense network and (32,) behind the CNN's average by default.
    channels : tuple of int
        CNN: channels of its convolution layers. One layer (default) uses the fast path.
    kernel_size : int, optional
        CNN: width of the window; 3, and 2 in three dimensions, by default.
    pointwise : tuple of int
        CNN: widths of the 1 x 1 layers after the convolutions.
    max_epochs : int
        Passes over the data, >= 1; the learning rate decays to zero over them.
    batch_size : int, optional
        Rows a step; by default a tenth of the rows, at least 8 and at most 256.
    learning_rate : float, optional
        Largest AdamW step; 1e-2 for the CNN and 2e-3 for the dense network by default.
    weight_decay : float
        Decoupled weight decay, >= 0.
    augment : "auto", None or tuple of {"translations", "flip"}
        Symmetries used as augmentation. "auto": translations, for a dense network with `shape`. "flip" reverses all
        spins at random: a symmetry of zero-field models only, hence never automatic.
    validation_fraction : float
        Share held out for early stopping, in [0, 1): whole groups if `fit` gets groups, else stratified rows. 0: none.
    patience : int
        Epochs in which the validation loss does not fall (by 1e-4) before training stops.
    device : str
        Where torch trains and predicts: "cpu", "cuda", ...
    random_state : None, int or RandomState
        Initial weights, batches, split, and the bootstrap of `transition`.
    verbose : bool
        Whether to show a progress bar.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    network_ : torch module
        The trained network.
    history_ : dict
        "loss", "validation_loss", "best_epoch".
    validation_ : {"groups", "rows", "none"}
        What was held out.
    order_direction_ : ndarray or None
        Weights of the features in the order parameter; None unless fitted on snapshots with two classes.
    n_features_in_ : int
        Number of sites.

    References
    ----------
    J. Carrasquilla and R. G. Melko, Machine learning phases of matter, Nature Physics 13, 431 (2017).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> cold = rng.choice([-1, 1], size=(100, 1)) * rng.choice([1, -1], size=(100, 16), p=[0.95, 0.05])
    >>> hot = rng.choice([-1, 1], size=(100, 16))
    >>> X, y = np.concatenate([cold, hot]), np.repeat([1, 0], 100)
    >>> classifier = SupervisedPhaseClassifier("cnn", shape=(4, 4), random_state=0).fit(X, y)
    >>> bool(classifier.score(X, y) > 0.95)
    True
    """

    def __init__(
        self,
        network: Literal["dense", "cnn"] = "dense",
        *,
        shape: tuple[int, ...] | None = None,
        hidden: tuple[int, ...] | None = None,
        channels: tuple[int, ...] = (16,),
        kernel_size: int | None = None,
        pointwise: tuple[int, ...] = (16,),
        max_epochs: int = 50,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float = 0.0,
        augment: Literal["auto"] | Sequence[str] | None = "auto",
        validation_fraction: float = 0.1,
        patience: int = 10,
        device: str = "cpu",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.network = network
        self.shape = shape
        self.hidden = hidden
        self.channels = channels
        self.kernel_size = kernel_size
        self.pointwise = pointwise
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.augment = augment
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, *, groups: Any = None) -> Self:
        """Train on labelled rows.

        Parameters
        ----------
        X : array_like of shape (n, n_sites)
            Snapshots, or any finite features. int8 stays int8 in memory.
        y : array_like of shape (n,)
            Labels, at least two classes.
        groups : array_like of shape (n,), optional
            Independent group (Monte Carlo chain) of each row. Early stopping then watches whole groups.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, or y holds a single class.
        """
        no_dataset("X", X)
        X, y = validate_data(self, X, y, dtype="numeric")
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        if groups is not None:
            groups = column_or_1d(groups)
            check_consistent_length(X, groups)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"Argument `y` must hold at least two classes, but it holds one class only: {self.classes_[0]!r}."
            )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        mask, self.validation_ = split_rows(labels, groups, self.validation_fraction, np.random.default_rng(seed))
        plan = self._plan(len(X))
        self._front = self._make_front()
        self._front.fit(X, ~mask)
        n_outputs = 1 if len(self.classes_) == 2 else len(self.classes_)
        self.network_ = build(partial(self._front.make, n_outputs), seed=seed)
        self.history_ = train(
            self.network_,
            self._front.inputs(X),
            labels,
            validation=mask,
            plan=plan,
            seed=seed,
            histogram=self._front.histogram,
            augment=self._front.augmentation(),
            description=f"{self.network} network",
        )
        self.order_direction_ = None
        if self._front.alphabet != "real" and len(self.classes_) == 2:
            self.order_direction_ = find_direction(self.network_, self._front.spins(X[labels == 1]))
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the most probable label of each row.

        Parameters
        ----------
        X : array_like of shape (n, n_sites)
            Snapshots like those of `fit`.

        Returns
        -------
        ndarray of shape (n,)
            Labels.
        """
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)]

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X : array_like of shape (n, n_sites)
            Snapshots like those of `fit`.

        Returns
        -------
        ndarray of float64, shape (n, n_classes)
            Columns in the order of `classes_`.
        """
        scores = self.decision_function(X)
        if scores.ndim == 2:
            return softmax(scores, axis=1)
        return np.column_stack([expit(-scores), expit(scores)])

    def decision_function(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the logits.

        Parameters
        ----------
        X : array_like of shape (n, n_sites)
            Snapshots like those of `fit`.

        Returns
        -------
        ndarray of float64, shape (n,) or (n, n_classes)
            With two classes the log odds of `classes_[1]`, else one logit a class.
        """
        X = self._rows(X)
        pieces = [
            self._front.logits(self.network_, self._front.inputs(block), device=self.device) for block in blocks(X)
        ]
        scores = np.concatenate(pieces)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def transition(
        self, X: npt.ArrayLike, parameter: npt.ArrayLike, *, groups: npt.ArrayLike | None = None, n_resamples: int = 200
    ) -> Estimate:
        """Return the parameter at which the mean probability of the ordered class crosses one half.

        On one finite lattice this is where a threshold that the training chose is passed, not the critical
        temperature: a network that has learned |m| puts the crossing where <|m|> passes its threshold, and since
        <|m|> ~ L^(-beta/nu) with beta = 1/8 falls so slowly at the critical point, the bias dies off slowly too.
        Extrapolate over sizes, or use the cumulant ratio of `order_parameter`, which needs no threshold.

        Parameters
        ----------
        X : array_like of shape (n, n_sites)
            Snapshots across the transition, none of them needed in training.
        parameter : array_like of shape (n,)
            Control parameter of each row.
        groups : array_like of shape (n,), optional
            Independent group (chain) of each row; without it every row counts as independent.
        n_resamples : int
            Bootstrap resamples of the groups.

        Returns
        -------
        Estimate
            Crossing and its error (bootstrap over groups, joined with the choice of the fitted curve).

        Raises
        ------
        ValueError
            If there are more than two classes, or the mean does not go from one phase into the other.
        """
        check_is_fitted(self)
        if len(self.classes_) != 2:
            raise ValueError(f"A transition needs two classes, but this classifier has {len(self.classes_)}.")
        ordered = self.predict_proba(X)[:, 1]
        values = check_parameter(parameter, ordered)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rng = np.random.default_rng(seed)
        return half_crossing(ordered, values, group_indices(groups, len(values)), n_resamples=n_resamples, rng=rng)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # Averages over the lattice cannot tell a row from the same row moved along: on tables whose columns are not
        # sites of a lattice (scikit-learn's blobs) the CNN is blind by construction.
        tags.classifier_tags.poor_score = self.network == "cnn"
        return tags

    def _plan(self, n_rows: int) -> Plan:
        if self.network not in ("dense", "cnn"):
            raise ValueError(f"Argument `network` must be 'dense' or 'cnn', but it is {self.network!r}.")
        rate = self.learning_rate
        return Plan(
            max_epochs=self.max_epochs,
            batch_size=min(256, max(8, n_rows // 10)) if self.batch_size is None else self.batch_size,
            learning_rate=(1e-2 if self.network == "cnn" else 2e-3) if rate is None else rate,
            weight_decay=self.weight_decay,
            patience=self.patience,
            device=self.device,
            verbose=self.verbose,
        )

    def _make_front(self) -> Front:
        default = (100,) if self.network == "dense" else (32,)
        return Front(
            network=self.network,
            shape=self.shape,
            hidden=default if self.hidden is None else self.hidden,
            channels=self.channels,
            kernel_size=self.kernel_size,
            pointwise=self.pointwise,
            augment=self.augment,
        )

    def _rows(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        check_is_fitted(self)
        no_dataset("X", X)
        return validate_data(self, X, reset=False, dtype="numeric")
