"""The generative model of Gao, Zhang and Duan: a graph state with an invertible matrix on each qubit, measured."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from qmlphys._arguments import whole_number
from qmlphys.generative._data import Binary, as_bits, in_alphabet, packed, plain
from qmlphys.generative._estimators import (
    SMALLEST,
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
from qmlphys.generative._file import ModelFileError
from qmlphys.generative._graph_networks import GraphLikelihood, GraphNetworks
from qmlphys.generative._graph_parameters import Angles, condition_numbers, normalized
from qmlphys.generative._graphs import check_visible, graph_from_json, graph_to_json, read_graph

__all__ = ["GraphGenerativeModel"]

_MAX_CONDITION = 1e6
_SINGULAR = 1e12
_ADAM_RATE = 0.05


class GraphGenerativeModel(LikelihoodMixin, BaseEstimator):
    """Learn the distribution of snapshots as measurement outcomes of a graph state with a matrix on each qubit.

    The state is |Q> = (M_0 x M_1 x ...) |G> with the graph state |G> = prod CZ |+>^n, and a row of data is what one
    measures on the visible qubits, q(x) = <Q|x><x|Q> / <Q|Q>, the hidden ones traced out. Likelihoods are exact: the
    network is contracted, in time and memory exponential in the treewidth of the graph only, so that chains, trees and
    narrow strips of hundreds of qubits work.

    Parameters
    ----------
    graph : Lattice or (int, sequence of (int, int))
        A lattice, or the number of qubits and the edges; no loops, no double edges.
    visible : sequence of int, optional, keyword
        Distinct qubits, one for each column of X, in this order; by default all.
    max_condition : float, keyword
        Bound on the condition number of each matrix in training, from 1 to 1e6. Probabilities that are smaller than
        others by its square lose digits accordingly.
    learning_rate : float, optional, keyword
        Step of Adam, > 0. By default 0.05 where there are batches; without batches, None means quasi-Newton (L-BFGS)
        steps instead, which need none: the likelihood and its gradient are exact, so that nothing is noisy.
    max_steps : int, keyword
        Most steps; passes over the data for Adam. At least 1.
    batch_size : int, optional, keyword
        Rows in each step of Adam; by default all rows, equal ones packed together.
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
        Decides the first matrices, the rows held out and the order of batches.

    Attributes
    ----------
    matrices_ : ndarray of complex128, shape (n_qubits, 2, 2)
        M_i: row is the measured index, column that of the graph state; largest singular value 1.
    condition_numbers_ : ndarray of float64, shape (n_qubits,)
        Largest singular value over smallest one.
    visible_ : tuple of int
        Visible qubits in the order of the columns.
    n_features_in_ : int
        Number of visible qubits.
    alphabet_ : {"bits", "spins"}
        What samples are written in: what `fit` was given.
    history_ : xarray.Dataset
        `train_nll`, `validation_nll` (nats a row) and `condition` (largest condition number) over `step`.

    Notes
    -----
    X. Gao, Z.-Y. Zhang and L.-M. Duan, Sci. Adv. 4, eaat9004 (2018). Contraction orders come from minimal fill-in or
    from cotengra. The likelihood is not convex: from different random states training ends in different optima.

    Examples
    --------
    >>> X = [[0, 0], [1, 1]] * 8
    >>> model = GraphGenerativeModel((3, [(0, 1), (1, 2)]), visible=[0, 2], random_state=1).fit(X)
    >>> bool(model.score(X) > -0.7)  # at most -ln 2 = -0.693
    True
    >>> model.sample(2, 0, given=[1, float("nan")]).tolist()
    [[1, 1], [1, 1]]
    """

    def __init__(
        self,
        graph: Any,
        *,
        visible: Any = None,
        max_condition: float = 100.0,
        learning_rate: float | None = None,
        max_steps: int = 1000,
        batch_size: int | None = None,
        validation_fraction: float = 0.0,
        patience: int = 20,
        tolerance: float = 1e-6,
        checkpoint: Any = None,
        verbose: bool = False,
        random_state: Any = None,
    ) -> None:
        self.graph = graph
        self.visible = visible
        self.max_condition = max_condition
        self.learning_rate = learning_rate
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.tolerance = tolerance
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    @classmethod
    def from_matrices(cls, graph: Any, matrices: ArrayLike, *, visible: Any = None, alphabet: Binary = "spins") -> Self:
        """Make a model of known matrices.

        Parameters
        ----------
        graph : Lattice or (int, sequence of (int, int))
            As in the constructor.
        matrices : array_like, shape (n_qubits, 2, 2)
            Real or complex; row is the measured index. Their scale does not matter.
        visible : sequence of int, optional, keyword
            Distinct qubits; by default all.
        alphabet : {"bits", "spins"}, keyword
            What samples are written in.

        Returns
        -------
        GraphGenerativeModel
            Fitted.

        Raises
        ------
        ValueError, TypeError
            If the graph is none, shapes do not fit, or a matrix is singular (condition number beyond 1e12).

        Examples
        --------
        >>> hadamard = [[1, 1], [1, -1]]
        >>> bell = GraphGenerativeModel.from_matrices((2, [(0, 1)]), [[[1, 0], [0, 1]], hadamard])
        >>> bell.score_samples([[0, 0], [0, 1]]).round(3).tolist()
        [-0.693, -inf]
        """
        found = read_graph(graph)
        qubits = check_visible(visible, found.n_qubits)
        array = np.array(matrices)
        if array.dtype.kind not in "iufc" or array.shape != (found.n_qubits, 2, 2):
            raise ValueError(
                f"Argument `matrices` must be numbers of shape ({found.n_qubits}, 2, 2), one matrix a qubit, but its "
                f"shape is {array.shape} and its dtype {array.dtype}."
            )
        if not np.isfinite(array).all():
            raise ValueError("Argument `matrices` must be finite, but it is not.")
        conditions = condition_numbers(array.astype(np.complex128))
        worst = int(np.argmax(np.where(np.isnan(conditions), np.inf, conditions)))
        if not conditions[worst] <= _SINGULAR:
            raise ValueError(
                "Argument `matrices` must be invertible, but that of qubit "
                f"{worst} is singular: its condition number is {conditions[worst]:.3g} (at most {_SINGULAR:g})."
            )
        model = cls(graph, visible=visible)
        model.alphabet_ = check_alphabet(alphabet)
        model._keep(GraphNetworks(found, qubits), normalized(array.astype(np.complex128)))
        return model

    def fit(self, X: ArrayLike, y: Any = None, *, groups: ArrayLike | None = None) -> Self:  # noqa: ARG002
        """Train on rows.

        Parameters
        ----------
        X : array_like, shape (n, n_visible)
            Bits (0/1) or spins (-1/+1), one column a visible qubit.
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
            If an argument does not fit, or the graph is too wide to be contracted.
        """
        graph = read_graph(self.graph)
        qubits = check_visible(self.visible, graph.n_qubits)
        self._check_settings()
        bits, alphabet = as_bits(X, n_sites=len(qubits))
        networks = GraphNetworks(graph, qubits)
        angles = Angles(graph.n_qubits, qubits, self.max_condition)
        batched = self.batch_size is not None
        rate = _ADAM_RATE if batched and self.learning_rate is None else self.learning_rate
        theta = train(
            self,
            GraphLikelihood(networks, angles),
            angles.start,
            bits,
            groups=groups,
            settings={
                "graph": graph_to_json((graph.n_qubits, graph.edges)),
                "visible": list(qubits),
                "max_condition": float(self.max_condition),
            },
            learning_rate=None if rate is None else float(rate),
            batch_size=plain(self.batch_size),
        )
        self.alphabet_ = alphabet
        self._keep(networks, normalized(angles.matrices(torch.from_numpy(theta)).numpy()))
        return self

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the natural logarithm of the probability of each row.

        Parameters
        ----------
        X : array_like, shape (n, n_visible)
            Bits or spins.

        Returns
        -------
        ndarray of float64, shape (n,)
            log q(x), -inf where it vanishes.
        """
        check_is_fitted(self, "matrices_")
        bits, _ = as_bits(X, n_sites=self.n_features_in_, alphabet=self.alphabet_)
        rows, inverse = np.unique(bits, axis=0, return_inverse=True)
        return self._networks.log_likelihood(self.matrices_, rows)[inverse.reshape(-1)]

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
        given : array_like, shape (n_visible,), optional, keyword
            Known values in the alphabet of the model, NaN where a site is free: rows are then drawn from the
            conditional distribution (in-painting).

        Returns
        -------
        ndarray of int8, shape (n_samples, n_visible)
            In the alphabet of the model.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, or what is given has probability zero (a conditional one below 1e-13).

        Notes
        -----
        Bit by bit, from conditional probabilities; each partial contraction is visited once, so that a draw costs about
        three contractions of <Q|Q>, whatever the number of qubits.
        """
        check_is_fitted(self, "matrices_")
        whole_number("n_samples", n_samples)
        forced = forced_columns(given, self.n_features_in_, self.alphabet_)
        uniform = generator(rng, "rng").random((n_samples, self.n_features_in_ - len(forced)))
        bits, smallest = self._networks.sample(self.matrices_, uniform, forced)
        if smallest < SMALLEST:
            raise ValueError("Argument `given` must be a pattern that the model allows, but its probability is zero.")
        return in_alphabet(bits, self.alphabet_)

    def gradient(
        self, X: ArrayLike, *, form: Literal["autograd", "expectation"] = "autograd"
    ) -> NDArray[np.complex128]:
        """Return the gradient of the mean of log q over rows, with respect to every entry of the matrices.

        Parameters
        ----------
        X : array_like, shape (n, n_visible)
            Bits or spins.
        form : {"autograd", "expectation"}, keyword
            By differentiating the contraction, or as in the paper: with O = (dM) M^-1, for a hidden qubit the
            difference of the expectation values 2 Re <O> in <x|Q> and in |Q>, for a visible one 2 Re [<P_x O> / <P_x> -
            <O>] with P_x = |x><x|. These are local expectation values, which a quantum computer can measure.

        Returns
        -------
        ndarray of complex128, shape (n_qubits, 2, 2)
            Derivative for the real part plus i times that for the imaginary part of each entry of `matrices_`.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, or a row has probability zero, where log q has no gradient.

        Notes
        -----
        Gao, Zhang and Duan, Sci. Adv. 4, eaat9004 (2018).
        """
        check_is_fitted(self, "matrices_")
        if form not in ("autograd", "expectation"):
            raise ValueError(f"Argument `form` must be 'autograd' or 'expectation', but it is {form!r}.")
        bits, _ = as_bits(X, n_sites=self.n_features_in_, alphabet=self.alphabet_)
        rows, weights = packed(bits)
        if not np.isfinite(self._networks.log_likelihood(self.matrices_, rows)).all():
            raise ValueError("Argument `X` must hold rows that the model allows, but one has probability zero.")
        if form == "expectation":
            return self._networks.gradient_by_expectation(self.matrices_, rows, weights)
        chunks = list(self._networks.plans(rows, kept=True))
        tensor = torch.from_numpy(self.matrices_)
        return self._networks.gradient_by_autograd(tensor, chunks, torch.from_numpy(weights))[1].numpy()

    def to_vector(self) -> NDArray[np.complex128]:
        """Return the state |Q>, normalised, of at most 20 qubits.

        Returns
        -------
        ndarray of complex128, shape (2^n_qubits,)
            Amplitudes, qubit i of weight 2^i; hidden qubits are among them.

        Raises
        ------
        ValueError
            If there are more qubits.
        """
        check_is_fitted(self, "matrices_")
        return self._networks.graph.state(self.matrices_)

    def _check_settings(self) -> None:
        check_settings(self)
        positive_number("max_condition", self.max_condition, least=1.0, most=_MAX_CONDITION)
        if self.learning_rate is not None:
            positive_number("learning_rate", self.learning_rate, least=1e-12)
        if self.batch_size is not None:
            whole_number("batch_size", self.batch_size)

    def _keep(self, networks: GraphNetworks, matrices: NDArray[np.complex128]) -> None:
        self._networks = networks
        self.matrices_ = matrices
        self.condition_numbers_ = condition_numbers(matrices)
        self.visible_ = networks.visible
        self.n_features_in_ = len(networks.visible)

    def _to_file(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        check_is_fitted(self, "matrices_")
        header = file_header(self)
        header["parameters"]["graph"] = graph_to_json(self.graph)
        header["parameters"]["visible"] = None if self.visible is None else list(self.visible_)
        return header, {"matrices": self.matrices_, **history_arrays(self)}

    @classmethod
    def _from_file(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        parameters, alphabet = read_header(header, set(cls((1, ())).get_params()))
        parameters = {**parameters, "graph": graph_from_json(parameters["graph"])}
        if "matrices" not in arrays:
            raise ModelFileError("The file must hold the matrices of a GraphGenerativeModel, but it does not.")
        model = cls(**parameters)
        try:
            model._check_settings()
            made = cls.from_matrices(model.graph, arrays["matrices"], visible=model.visible, alphabet=alphabet)
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"The file must hold a GraphGenerativeModel, but: {error}") from None
        model.alphabet_ = alphabet
        model._keep(made._networks, made.matrices_)
        read_history(model, arrays)
        return model
