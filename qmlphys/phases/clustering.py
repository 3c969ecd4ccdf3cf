"""Phases found without labels: principal components or a diffusion map, then clusters."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from qmlphys._alphabet import find_alphabet, to_spins
from qmlphys._arguments import no_dataset
from qmlphys._groups import check_parameter, group_indices
from qmlphys.phases._crossing import half_crossing
from qmlphys.phases._embedding import blocks, diffuse, diffusion_axes, principal_axes, project
from qmlphys.stats import Estimate

__all__ = ["PhaseClusterer"]


class PhaseClusterer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """Find the phases of unlabelled snapshots: embed them in a few dimensions, then look for clusters.

    With `symmetric=True` a snapshot s and its mirror image -s are one and the same. The linear embedding is then the
    principal components of the data joined with their mirror images, {s, -s}: its mean is zero by construction, so
    the components are the axes of the uncentred second moment, and each coordinate is odd under s -> -s and enters by
    its absolute value. The diffusion map measures the distance between two snapshots up to a mirror image. Both
    signs of the magnetisation therefore always fall into one cluster. Without the symmetry (in a field,
    or for features that have no such meaning) use `symmetric=False`: ordinary centred components, with their sign.

    Clusters are numbered from the least to the most ordered: with two of them, 0 is disorder and 1 is order.

    Where it fails. The components are the directions of largest variance, which need not be the order: an order that
    is not linear in the spins (vortices, topological order, valence bonds) is invisible to them. The cut between the
    clusters lies half way between typical snapshots of the scan, so the transition depends somewhat on the scan's
    range, and on a finite lattice lies off the critical point. For the square Ising model, scanned from T = 1.5 to
    3.2, it lies at 2.40 for L = 16 and 2.33 for L = 32; a line in 1/L through L = 12 to 32 ends at 2.256(5), 0.6 %
    below the exact 2.269: where the magnetisation passes a fixed cut is no scaling variable (it falls like L^(-1/8)).

    Parameters
    ----------
    n_components : int
        Dimension of the embedding, 1 .. min(n_samples, n_features) (for the diffusion map, and below the number of
        landmarks).
    method : {"kmeans", "mixture"}
        Clusters by k-means, or by a mixture of Gaussians with one shared covariance. (With a covariance of its own, a
        component would shrink onto the fully magnetised snapshots and cut the ordered phase in two.)
    embedding : {"pca", "diffusion"}
        Principal components; or the diffusion map of a Gaussian kernel on `n_landmarks` snapshots, extended to all
        others by one step of the diffusion (Nyström).
    n_clusters : int
        Number of phases to look for; `transition` needs at least 2.
    symmetric : bool
        Whether s and -s are the same state (Z2 symmetry).
    n_landmarks : int
        Diffusion map only: snapshots that span the map, drawn at random from those of `fit`; cost grows as its cube.
    bandwidth : float
        Diffusion map only: the kernel is exp(-d^2 / (bandwidth * mean d^2)), > 0; the mean is over pairs of landmarks.
    random_state : None, int or RandomState
        Seeds starts of the clustering, landmarks and the bootstrap in `transition`.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features) or (n_components, n_landmarks)
        Principal axes, of unit length; for the diffusion map its eigenvectors over the landmarks, so that a
        row's coordinates are its transition probabilities to the landmarks times `components_.T`.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        Share of the (symmetrised) variance along each axis; for the diffusion map the share of each squared eigenvalue
        in their sum, which is its share of the squared diffusion distances.
    labels_ : ndarray of shape (n_samples,)
        Cluster of each snapshot of `fit`.
    cluster_centers_ : ndarray of shape (n_clusters, n_components)
        Centres in the embedding.
    order_ : ndarray of shape (n_clusters,)
        How ordered a cluster is, from 0 to 1, increasing. With the symmetry: share of the mean squared
        length of its snapshots that lies along the principal axes (the mean squared magnetisation of a ferromagnet).
        Without: squared length of its mean snapshot over mean squared length.
    mean_ : ndarray of shape (n_features,)
        What is subtracted from a snapshot; zero with the symmetry.
    alphabet_ : {"bits", "spins", "real"}
        What the features were taken for: 0/1 are turned into spins, anything but 0/1 and -1/+1 is left as it is.
    landmarks_ : ndarray of shape (n_landmarks, n_features)
        Diffusion map only.
    scale_ : float
        Diffusion map only: the squared length in the kernel.

    References
    ----------
    L. Wang, Phys. Rev. B 94, 195105 (2016) (principal components, clusters); S. J. Wetzel, Phys. Rev. E 96, 022140
    (2017) (order parameter from the first component); R. R. Coifman and S. Lafon, Appl. Comput. Harmon. Anal. 21, 5
    (2006), sec. 2 (diffusion maps); J. F. Rodriguez-Nieva and M. S. Scheurer, Nat. Phys. 15, 790 (2019) (the same for
    phases).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> up = np.where(rng.random((50, 64)) < 0.95, 1, -1) * rng.choice([-1, 1], size=(50, 1))
    >>> hot = rng.choice([-1, 1], size=(50, 64))
    >>> clusterer = PhaseClusterer(random_state=0).fit(np.concatenate([up, hot]))
    >>> clusterer.labels_[:50].mean(), clusterer.labels_[50:].mean()
    (np.float64(1.0), np.float64(0.0))
    """

    def __init__(
        self,
        *,
        n_components: int = 2,
        method: Literal["kmeans", "mixture"] = "kmeans",
        embedding: Literal["pca", "diffusion"] = "pca",
        n_clusters: int = 2,
        symmetric: bool = True,
        n_landmarks: int = 1000,
        bandwidth: float = 1.0,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.method = method
        self.embedding = embedding
        self.n_clusters = n_clusters
        self.symmetric = symmetric
        self.n_landmarks = n_landmarks
        self.bandwidth = bandwidth
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: Any = None) -> Self:  # noqa: ARG002 - pipelines pass y
        """Embed snapshots and cluster them.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Snapshots, 0/1 or -1/+1, or any finite features.
        y : None
            Ignored; there for pipelines.

        Returns
        -------
        PhaseClusterer
            Itself.

        Raises
        ------
        ValueError
            If a setting is out of its range, there are fewer rows or features than components, fewer different rows
            than clusters, or the rows are all the same (up to a mirror image).

        Examples
        --------
        >>> X = [[1, 1, 1], [-1, -1, -1], [1, -1, 1], [1, 1, -1]]
        >>> PhaseClusterer(random_state=0).fit(X).labels_[:2]
        array([1, 1])
        """
        no_dataset("X", X)
        data: npt.NDArray[Any] = validate_data(self, X, dtype="numeric", ensure_min_samples=2)
        self._check_settings(*data.shape)
        self.alphabet_ = find_alphabet(data)
        spins = to_spins(data, self.alphabet_)
        if self.alphabet_ != "real":
            spins = spins.astype(np.int8, copy=False)
        rng = check_random_state(self.random_state)
        self.mean_ = np.zeros(data.shape[1]) if self.symmetric else spins.mean(axis=0, dtype=np.float64)
        axes, self.explained_variance_ratio_ = principal_axes(spins, self.mean_, self.n_components)
        self.components_ = axes
        if self.embedding == "diffusion":
            picks = np.arange(len(spins))
            if self.n_landmarks < len(spins):
                picks = np.sort(rng.choice(len(spins), self.n_landmarks, replace=False))
            self.landmarks_ = spins[picks].astype(np.float64)
            self.components_, self.explained_variance_ratio_, self.scale_ = diffusion_axes(
                self.landmarks_, self.n_components, bandwidth=self.bandwidth, symmetric=self.symmetric
            )
        coordinates = self._embed(spins)
        self._fit_clusters(coordinates, rng)
        raw = self._raw_labels(coordinates)
        order = np.array([self._order(spins[raw == cluster], axes) for cluster in range(self.n_clusters)])
        ranking = np.argsort(order, kind="stable")
        self._rank = np.argsort(ranking)
        self.order_ = order[ranking]
        centres = self._model.cluster_centers_ if self.method == "kmeans" else self._model.means_
        self.cluster_centers_ = centres[ranking]
        self.labels_ = self._rank[raw]
        return self

    def _check_settings(self, n_samples: int, n_features: int) -> None:
        if self.method not in ("kmeans", "mixture"):
            raise ValueError(f"Argument `method` must be 'kmeans' or 'mixture', but is {self.method!r}.")
        if self.embedding not in ("pca", "diffusion"):
            raise ValueError(f"Argument `embedding` must be 'pca' or 'diffusion', but is {self.embedding!r}.")
        for name, smallest in (("n_components", 1), ("n_clusters", 1), ("n_landmarks", 2)):
            value = getattr(self, name)
            if not (isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= smallest):
                raise ValueError(f"Argument `{name}` must be an integer of at least {smallest}, but is {value!r}.")
        if self.n_components > min(n_samples, n_features):
            raise ValueError(
                f"Argument `n_components` must not exceed the number of rows or of features, but is "
                f"{self.n_components} for n_samples = {n_samples} and n_features = {n_features}."
            )
        if self.n_clusters > n_samples:
            raise ValueError(
                f"Argument `n_clusters` must not exceed the number of rows, but is {self.n_clusters} for "
                f"n_samples = {n_samples}."
            )
        if self.embedding == "diffusion":
            if not (np.isfinite(self.bandwidth) and self.bandwidth > 0):
                raise ValueError(f"Argument `bandwidth` must be a positive number, but is {self.bandwidth!r}.")
            if self.n_components >= min(self.n_landmarks, n_samples):
                raise ValueError(
                    f"Argument `n_components` must be below the number of landmarks, "
                    f"{min(self.n_landmarks, n_samples)}, but is {self.n_components}."
                )

    def _embed(self, spins: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        if self.embedding == "diffusion":
            return diffuse(spins, self.landmarks_, self.components_, scale=self.scale_, symmetric=self.symmetric)
        linear = project(spins, self.mean_, self.components_)
        return np.abs(linear) if self.symmetric else linear

    def _fit_clusters(self, coordinates: npt.NDArray[np.float64], rng: np.random.RandomState) -> None:
        spread = float(coordinates.var(axis=0).mean())
        n_different = len(np.unique(coordinates.round(12), axis=0)[: self.n_clusters])
        if n_different < self.n_clusters or not spread > 0:
            raise ValueError(
                f"Argument `X` must hold at least n_clusters = {self.n_clusters} different rows"
                f"{' (up to a mirror image)' if self.symmetric else ''}, but its embedding shows {n_different}."
            )
        if self.method == "kmeans":
            self._model = KMeans(self.n_clusters, n_init=10, random_state=rng)
        else:
            self._model = GaussianMixture(
                self.n_clusters, covariance_type="tied", n_init=5, reg_covar=1e-6 * spread, random_state=rng
            )
        self._model.fit(coordinates)

    def _raw_labels(self, coordinates: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        return np.asarray(self._model.predict(coordinates), dtype=np.int64)

    def _order(self, spins: npt.NDArray[Any], axes: npt.NDArray[np.float64]) -> float:
        if len(spins) == 0:
            raise ValueError(
                f"Argument `n_clusters` must fit the data, but one of {self.n_clusters} components of the mixture "
                f"is empty: use fewer."
            )
        length, along, total = 0.0, 0.0, np.zeros(spins.shape[1])
        for block in blocks(spins):
            length += float((block**2).sum())
            along += float(((block @ axes.T) ** 2).sum())
            total += block.sum(axis=0)
        if length == 0:
            return 0.0
        return along / length if self.symmetric else float(total @ total) / len(spins) / length

    def _validated(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        check_is_fitted(self)
        no_dataset("X", X)
        return to_spins(validate_data(self, X, dtype="numeric", reset=False), self.alphabet_)

    @property
    def _n_features_out(self) -> int:
        return int(self.n_components)

    def transform(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return coordinates in the embedding.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Snapshots; each row may be written as bits or as spins.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            With `embedding="pca"` and the symmetry, absolute values of the projections on `components_`.

        Raises
        ------
        ValueError
            If the number of features differs from that of `fit`, or a feature is not finite.

        Examples
        --------
        >>> clusterer = PhaseClusterer(n_components=1, random_state=0).fit([[1, 1], [-1, -1], [1, -1], [1, 1]])
        >>> clusterer.transform([[-1, -1], [1, -1]]).round(6)
        array([[1.414214],
               [0.      ]])
        """
        return self._embed(self._validated(X))

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the cluster of each snapshot, 0 the least ordered.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Snapshots; each row may be written as bits or as spins.

        Returns
        -------
        ndarray of shape (n_samples,)
            Integers 0 .. n_clusters - 1.

        Raises
        ------
        ValueError
            As `transform`.

        Examples
        --------
        >>> clusterer = PhaseClusterer(n_components=1, random_state=0).fit([[1, 1], [-1, -1], [1, -1], [1, 1]])
        >>> clusterer.predict([[-1, -1], [-1, 1]])
        array([1, 0])
        """
        raw = self._raw_labels(self.transform(X))
        return self._rank[raw]

    def transition(
        self, X: npt.ArrayLike, parameter: npt.ArrayLike, groups: npt.ArrayLike | None = None, *, n_resamples: int = 400
    ) -> Estimate:
        """Return where half of the snapshots lie in the most ordered cluster.

        The error is that of the fraction of ordered snapshots, by a bootstrap over groups, joined with that of the
        interpolation between the values of the scan. The clusters themselves are held fixed: where the cut between them
        lies is a convention of the scan (see above), not a fluctuation.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            Snapshots over a scan that reaches from one phase into the other; those of `fit` or new ones.
        parameter : array_like of shape (n_samples,)
            Temperature, field, ... of each snapshot, in any unit.
        groups : array_like of shape (n_samples,), optional
            Independent chains, as `snapshots.as_xy` gives them; at least two. Without them every row counts
            as independent, which makes the error too small for draws of a Markov chain.
        n_resamples : int
            Resamples of the bootstrap, >= 2.

        Returns
        -------
        stats.Estimate
            In the units of `parameter`.

        Raises
        ------
        ValueError
            If the scan does not show two phases: the fraction must be at least 0.8 at one end and at most
            0.2 at the other and, with the symmetry, `order_` must be above 1/2 in the most and below 1/2 in the least
            ordered cluster (clusters that are found inside one single phase differ by less).

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> values = np.repeat(np.linspace(0, 1, 21), 40)
        >>> X = np.where(rng.random((840, 36)) < np.where(values < 0.5, 0.95, 0.5)[:, None], 1, -1)
        >>> clusterer = PhaseClusterer(random_state=0).fit(X)
        >>> abs(clusterer.transition(X, values).mean - 0.5) < 0.05
        True
        """
        coordinates = self.transform(X)
        values = check_parameter(parameter, coordinates)
        indices = group_indices(groups, len(values))
        if self.n_clusters < 2:
            raise ValueError(f"Argument `n_clusters` must be at least 2 for a transition, but is {self.n_clusters}.")
        if self.symmetric and not (self.order_[-1] > 0.5 > self.order_[0]):
            raise ValueError(
                f"Argument `X` of `fit` must hold two phases, but its clusters differ too little: their order is "
                f"{self.order_[0]:.2f} and {self.order_[-1]:.2f}, on either side of 1/2 when one is ordered and one is "
                f"not. Fit on a wider scan."
            )
        hits = self._rank[self._raw_labels(coordinates)] == self.n_clusters - 1
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        return half_crossing(hits, values, indices, n_resamples=n_resamples, rng=rng)
