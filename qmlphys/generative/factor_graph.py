"""Classical factor graphs: the baseline of the graph-state model, and its special case."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from qmlphys._arguments import whole_number
from qmlphys.generative._data import Binary, as_bits, in_alphabet
from qmlphys.generative._estimators import (
    LikelihoodMixin,
    check_alphabet,
    check_settings,
    file_header,
    forced_columns,
    generator,
    history_arrays,
    positive_number,
    read_header,
    read_history,
    train,
)
from qmlphys.generative._factor_networks import FactorLikelihood, FactorNetworks, check_scopes, check_tables
from qmlphys.generative._file import ModelFileError
from qmlphys.generative._parities import coefficients, parities
from qmlphys.generative.graph_model import GraphGenerativeModel

__all__ = ["FactorGraphModel", "from_factor_graph"]


class FactorGraphModel(LikelihoodMixin, BaseEstimator):
    """Learn the distribution of snapshots as a product of positive factors, p(x) = prod_a f_a(x_a) / Z.

    The classical model beside `GraphGenerativeModel`: a Markov random field, or Boltzmann machine without hidden units,
    with interactions of any order. Z and all marginals are contracted exactly, in time exponential in the treewidth
    only, and the negative log-likelihood is convex in the logarithms of the factors, so that training finds the
    optimum.

    Parameters
    ----------
    scopes : sequence of sequences of int
        Sites of each factor, 1 to 20 different ones.
    n_sites : int, optional, keyword
        Number of sites; by default the largest one in a scope plus one.
    max_steps : int, keyword
        Most quasi-Newton (L-BFGS) steps, at least 1.
    l2 : float, keyword
        Penalty of l2 / 2 times the sum of squares of all log factors, >= 0. With 0, patterns that the data do not hold
        are driven towards probability zero until the tolerance ends it.
    validation_fraction : float, keyword
        Share of the rows, whole groups, that is held out and watched; from 0 to below 1.
    patience : int, keyword
        Steps without an improvement after which training ends.
    tolerance : float, keyword
        What counts as one, in nats a row.
    checkpoint : path-like, optional, keyword
        File to continue from, with the same bits, and to write to every ten seconds and at the end.
    verbose : bool, keyword
        Whether to show a progress bar on standard error.
    random_state : None, int or Generator, keyword
        Decides the rows held out.

    Attributes
    ----------
    tables_ : tuple of ndarray of float64, each of shape (2,) * k
        Factors, axes in the order of the scope's sites; largest entry 1.
    scopes_ : tuple of tuple of int
        Sites of each factor.
    n_features_in_ : int
        Number of sites.
    alphabet_ : {"bits", "spins"}
        What samples are written in: what `fit` was given.
    history_ : xarray.Dataset
        `train_nll` and `validation_nll`, nats a row, over `step`.

    Notes
    -----
    M. J. Wainwright and M. I. Jordan, Found. Trends Mach. Learn. 1, 1 (2008), sec. 3: the gradient is the difference of
    the marginals of the model and of the data.

    Examples
    --------
    >>> X = [[0, 0, 0], [0, 0, 1], [1, 1, 1], [1, 1, 0]]
    >>> model = FactorGraphModel([(0, 1)], n_sites=3, l2=1e-6).fit(X)
    >>> round(model.score(X), 2)  # -ln 4
    -1.39
    >>> model.sample(2, 0, given=[1, float("nan"), 0]).tolist()
    [[1, 1, 0], [1, 1, 0]]
    """

    def __init__(
        self,
        scopes: Any,
        *,
        n_sites: int | None = None,
        max_steps: int = 1000,
        l2: float = 0.0,
        validation_fraction: float = 0.0,
        patience: int = 20,
        tolerance: float = 1e-6,
        checkpoint: Any = None,
        verbose: bool = False,
        random_state: Any = None,
    ) -> None:
        self.scopes = scopes
        self.n_sites = n_sites
        self.max_steps = max_steps
        self.l2 = l2
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.tolerance = tolerance
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    @classmethod
    def from_tables(cls, scopes: Any, tables: Any, *, n_sites: int | None = None, alphabet: Binary = "spins") -> Self:
        """Make a model of known factors.

        Parameters
        ----------
        scopes : sequence of sequences of int
            Sites of each factor.
        tables : sequence of array_like, each of shape (2,) * k
            Positive numbers, axes in the order of the scope's sites; index 0 is bit 0.
        n_sites : int, optional, keyword
            Number of sites.
        alphabet : {"bits", "spins"}, keyword
            What samples are written in.

        Returns
        -------
        FactorGraphModel
            Fitted.

        Raises
        ------
        ValueError, TypeError
            If shapes do not fit, or an entry is not positive.

        Examples
        --------
        >>> model = FactorGraphModel.from_tables([(0, 1)], [[[3, 1], [1, 3]]])
        >>> np.exp(model.score_samples([[0, 0], [0, 1]])).round(3).tolist()
        [0.375, 0.125]
        """
        found, number = check_scopes(scopes, n_sites)
        arrays = check_tables(found, tables, allow_zeros=False)
        model = cls(scopes, n_sites=n_sites)
        model.alphabet_ = check_alphabet(alphabet)
        model._keep(FactorNetworks(found, number), arrays)
        return model

    def fit(self, X: ArrayLike, y: Any = None, *, groups: ArrayLike | None = None) -> Self:  # noqa: ARG002
        """Train on rows.

        Parameters
        ----------
        X : array_like, shape (n, n_sites)
            Bits (0/1) or spins (-1/+1).
        y : None
            Ignored; there for scikit-learn.
        groups : array_like, shape (n,), optional, keyword
            Independent chain of each row, for the rows held out.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, or the factor graph is too wide to be contracted.
        """
        scopes, number = check_scopes(self.scopes, self.n_sites)
        self._check_settings()
        bits, alphabet = as_bits(X, n_sites=number)
        networks = FactorNetworks(scopes, number)
        likelihood = FactorLikelihood(networks, float(self.l2))
        theta = train(
            self,
            likelihood,
            lambda rng: np.zeros(likelihood.size),  # noqa: ARG005 - convex: every start leads to the optimum
            bits,
            groups=groups,
            settings={"scopes": [list(scope) for scope in scopes], "n_sites": number, "l2": float(self.l2)},
        )
        self.alphabet_ = alphabet
        self._keep(networks, likelihood.tables(theta)[0])
        return self

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the natural logarithm of the probability of each row.

        Parameters
        ----------
        X : array_like, shape (n, n_sites)
            Bits or spins.

        Returns
        -------
        ndarray of float64, shape (n,)
            log p(x).
        """
        check_is_fitted(self, "tables_")
        bits, _ = as_bits(X, n_sites=self.n_features_in_, alphabet=self.alphabet_)
        return self._networks.energies(tuple(np.log(table) for table in self.tables_), bits) - self._log_norm

    def sample(
        self, n_samples: int = 1, rng: np.random.Generator | int | None = None, *, given: ArrayLike | None = None
    ) -> NDArray[np.int8]:
        """Draw rows, independent of each other and exactly from the model.

        Parameters
        ----------
        n_samples : int
            Number of rows, at least 1.
        rng : None, int or Generator
            Source of randomness.
        given : array_like, shape (n_sites,), optional, keyword
            Known values in the alphabet of the model, NaN where a site is free.

        Returns
        -------
        ndarray of int8, shape (n_samples, n_sites)
            In the alphabet of the model.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.
        """
        check_is_fitted(self, "tables_")
        whole_number("n_samples", n_samples)
        forced = forced_columns(given, self.n_features_in_, self.alphabet_)
        uniform = generator(rng, "rng").random((n_samples, self.n_features_in_ - len(forced)))
        return in_alphabet(self._networks.sample(self.tables_, uniform, forced), self.alphabet_)

    def _check_settings(self) -> None:
        check_settings(self)
        positive_number("l2", self.l2, least=0.0)

    def _keep(self, networks: FactorNetworks, tables: tuple[NDArray[np.float64], ...]) -> None:
        self._networks = networks
        self.tables_ = tables
        self.scopes_ = networks.scopes
        self.n_features_in_ = networks.n_sites
        self._log_norm = networks.log_norm(tables)

    def _to_file(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        check_is_fitted(self, "tables_")
        header = file_header(self)
        header["parameters"]["scopes"] = [list(scope) for scope in self.scopes_]
        arrays = {f"table_{number}": table for number, table in enumerate(self.tables_)}
        return header, {**arrays, **history_arrays(self)}

    @classmethod
    def _from_file(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        parameters, alphabet = read_header(header, set(cls(()).get_params()))
        model = cls(**parameters)
        tables = [arrays[f"table_{number}"] for number in range(len(arrays)) if f"table_{number}" in arrays]
        try:
            model._check_settings()
            made = cls.from_tables(model.scopes, tables, n_sites=model.n_sites, alphabet=alphabet)
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"The file must hold a FactorGraphModel, but: {error}") from None
        model.alphabet_ = alphabet
        model._keep(made._networks, made.tables_)
        read_history(model, arrays)
        return model


def from_factor_graph(
    factors: Any, *, max_condition: float = 1e3, zero_floor: float | None = None
) -> GraphGenerativeModel:
    """Turn a classical factor graph into a graph-state model with the same distribution.

    Parameters
    ----------
    factors : FactorGraphModel, or (scopes, tables), or (scopes, tables, n_sites)
        A fitted model, or what `FactorGraphModel.from_tables` takes. Scopes of at most 10 sites.
    max_condition : float, keyword
        Bound on the condition number of each matrix, from 1.1 to 1e6. A factor that needs more is shared by
        several qubits. Small probabilities lose digits as its square grows, so a moderate bound is the better one.
    zero_floor : float, optional, keyword
        What stands in place of zeros in tables, relative to the largest entry, between 0 and 1: they can be approached
        but not reached by invertible matrices. By default zeros are refused.

    Returns
    -------
    GraphGenerativeModel
        Fitted; its visible qubits are the sites, 0 to n_sites - 1, and `condition_numbers_` shows the price.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, a table has a zero, or a scope is too large.

    Notes
    -----
    That every factor graph of bounded degree is such a model is a theorem of X. Gao, Z.-Y. Zhang and L.-M. Duan, Sci.
    Adv. 4, eaat9004 (2018). The construction here is another one, by parities: log f_a is expanded in Walsh functions,
    log f = sum_S c_S (-1)^(sum_{i in S} x_i), and equal sets of all factors are added. One site's c makes the visible
    matrix diag(e^(c/2), e^(-c/2)). Every larger S becomes one hidden qubit, joined to the sites of S: as visible
    matrices are diagonal, it multiplies the weight by sum_gg' N_gg' (-1)^((g + g') parity) with N = M^+ M, and M =
    diag(1, e^-|c|) H makes that e^(c (-1)^parity) up to a constant (for c < 0 with the entries exchanged). The
    condition number is e^|c|. A scope of k sites takes up to 2^k - 1 - k hidden qubits.

    Examples
    --------
    >>> model = from_factor_graph(([(0, 1)], [[[3, 1], [1, 3]]]))
    >>> np.exp(model.score_samples([[0, 0], [0, 1]])).round(12).tolist()
    [0.375, 0.125]
    """
    positive_number("max_condition", max_condition, least=1.1, most=1e6)
    if zero_floor is not None:
        positive_number("zero_floor", zero_floor, least=1e-300, most=1.0)
    alphabet: Binary = "spins"
    if isinstance(factors, FactorGraphModel):
        check_is_fitted(factors, "tables_")
        scopes, tables, n_sites = factors.scopes_, factors.tables_, factors.n_features_in_
        alphabet = factors.alphabet_
    elif isinstance(factors, tuple | list) and len(factors) in (2, 3):
        scopes, n_sites = check_scopes(factors[0], factors[2] if len(factors) == 3 else None)
        tables = check_tables(scopes, factors[1], allow_zeros=True)
    else:
        raise TypeError(
            f"Argument `factors` must be a FactorGraphModel or (scopes, tables), but it is {type(factors).__name__}."
        )
    matrices, edges = parities(coefficients(scopes, tables, zero_floor), n_sites, math.log(max_condition))
    return GraphGenerativeModel.from_matrices(
        (len(matrices), edges), matrices, visible=range(n_sites), alphabet=alphabet
    )
