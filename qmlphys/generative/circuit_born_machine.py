"""A quantum circuit whose measured bits are the model: trained by exact gradients of expectation values."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.console import Console
from rich.progress import Progress
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from qmlphys._arguments import whole_number
from qmlphys._groups import group_indices
from qmlphys.bits import bits_to_integers, integers_to_bits
from qmlphys.generative._circuit_training import (
    ROUNDING,
    Discrepancy,
    LogLikelihood,
    Loss,
    State,
    angles_of,
    frequencies_of,
    log,
    string_weights,
)
from qmlphys.generative._data import Binary, as_bits, held_out_rows, in_alphabet, plain
from qmlphys.generative._estimators import (
    LikelihoodMixin,
    check_alphabet,
    check_settings,
    forced_columns,
    generator,
    positive_number,
)
from qmlphys.generative._pennylane import GateSequence, Simulator, read_circuit
from qmlphys.generative._training import Checkpoint, Trace

__all__ = ["CircuitBornMachine"]

_Vector = NDArray[np.float64]

_SECONDS_BETWEEN_WRITES = 10.0


class CircuitBornMachine(LikelihoodMixin, BaseEstimator):
    """Learn bits with a circuit: p(x) = |<x|U(theta)|0>|^2.

    The gradient is exact: with the derivatives of the loss by the probabilities held fixed, it is that of one
    expectation value, a weighted sum of the projectors |x><x| of the data ("nll") or of Z strings ("mmd"), which
    PennyLane's lightning.qubit differentiates by the adjoint method at the cost of a few runs of the circuit.

    Parameters
    ----------
    circuit : QuantumCircuit
        1 to 16 qubits, gates with free parameters, no measurement; angles are linear in the parameters. Qubit i is
        column i of X.
    initial : array_like of float, shape (n_parameters,), optional
        Start, in radians and in the order of `circuit.parameters`. By default uniform in [0, 2 pi), which for deep
        circuits lies in a flat landscape: a start that is already near the data (a matrix product state made into a
        circuit) does better.
    loss : {"nll", "mmd"}
        Negative log-likelihood a row, in nats; or the squared maximum mean discrepancy with a Gaussian kernel.
    bandwidth : float or sequence of float
        "mmd": widths sigma > 0 of the kernel exp(-d(x, y) / (2 sigma^2)), d the number of bits that differ; the mean
        of the kernels is taken. Narrow ones see correlations of many bits, wide ones of few.
    n_strings : int, optional
        "mmd": how many Z strings are drawn (once, from `random_state`) to estimate the kernel, as a device has to.
        By default all 2**n_qubits, exactly.
    learning_rate : float
        Largest change of an angle in one step of L-BFGS, in radians, 1e-6 to pi.
    max_steps : int
        Largest number of steps, >= 1.
    validation_fraction : float
        Share of the groups that is held out, in [0, 1).
    patience : int
        Steps without improvement of the loss (on what is held out, if there is any) after which training ends.
    tolerance : float
        What counts as an improvement, in units of the loss, >= 0.
    checkpoint : path-like, optional
        Where training is written every ten seconds and at its end, and from where it goes on with the same numbers.
    verbose : bool
        Whether a progress bar is shown on standard error.
    random_state : int, Generator or None
        Start, drawn strings and what is held out.

    Attributes
    ----------
    parameters_ : ndarray of float64, shape (n_parameters,)
        Radians, in the order of `circuit.parameters`: those of the step with the lowest watched loss.
    probabilities_ : ndarray of float64, shape (2**n_qubits,)
        Exact; in the index site i has the weight 2**i.
    history_ : Dataset
        Over `step` (0 is the start): `train_nll`, `validation_nll`, `gradient_norm` (of the loss), and for "mmd"
        `train_mmd`, `validation_mmd`; the attribute `best_step`.
    alphabet_ : {"bits", "spins"}
        How the data were written, and samples are.
    n_features_in_ : int
        Number of qubits.

    Notes
    -----
    The kernel is a product over bits, (1 - q) + q z z' with q = (1 - exp(-1 / (2 sigma^2))) / 2 and z = +-1, hence the
    squared discrepancy is sum_S w_S (<Z_S>_model - <Z_S>_data)^2 over all Z strings S, and the weights
    w_S = q^|S| (1 - q)^(n - |S|) are a distribution from which strings can be drawn: M. S. Rudolph et al., npj
    Quantum Information 10, 116 (2024). Its data side is the empirical distribution, rows weighted by their number.

    Born machines of circuits: J.-G. Liu and L. Wang, Phys. Rev. A 98, 062324 (2018).

    Examples
    --------
    >>> from qiskit import QuantumCircuit
    >>> from qiskit.circuit import ParameterVector
    >>> angles = ParameterVector("theta", 2)
    >>> circuit = QuantumCircuit(2)
    >>> _ = circuit.ry(angles[0], 0), circuit.cx(0, 1), circuit.ry(angles[1], 1)
    >>> X = [[0, 0], [1, 1], [1, 1], [1, 1]]
    >>> model = CircuitBornMachine(circuit, initial=[1.0, 0.5], max_steps=20).fit(X)
    >>> [float(p.round(2)) + 0.0 for p in model.probabilities_]
    [0.25, 0.0, 0.0, 0.75]
    """

    def __init__(
        self,
        circuit: Any,
        *,
        initial: ArrayLike | None = None,
        loss: Loss = "nll",
        bandwidth: float | Sequence[float] = (0.5, 1.0, 2.0),
        n_strings: int | None = None,
        learning_rate: float = 0.5,
        max_steps: int = 300,
        validation_fraction: float = 0.0,
        patience: int = 20,
        tolerance: float = 1e-8,
        checkpoint: str | os.PathLike[str] | None = None,
        verbose: bool = False,
        random_state: int | np.random.Generator | None = None,
    ) -> None:
        self.circuit = circuit
        self.initial = initial
        self.loss = loss
        self.bandwidth = bandwidth
        self.n_strings = n_strings
        self.learning_rate = learning_rate
        self.max_steps = max_steps
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.tolerance = tolerance
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: None = None, *, groups: ArrayLike | None = None) -> Self:  # noqa: ARG002
        """Train on rows of bits or spins.

        Parameters
        ----------
        X : array_like, shape (n, n_qubits)
            Bits (0/1) or spins (-1/+1).
        y : None
            Not used.
        groups : array_like, shape (n,), optional
            Independent chain of each row; chains are held out whole.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument or X does not fit, or "nll" starts where a row of X has the probability zero.
        ModelFileError
            If the checkpoint is damaged or belongs to other settings or data.
        """
        sequence = read_circuit(self.circuit)
        bits, alphabet = as_bits(X, n_sites=sequence.n_qubits)
        if self.loss not in ("nll", "mmd"):
            raise ValueError(f"Argument `loss` must be 'nll' or 'mmd', but it is {self.loss!r}.")
        positive_number("learning_rate", self.learning_rate, least=1e-6, most=np.pi)
        check_settings(self)
        trace = Trace(patience=self.patience, tolerance=self.tolerance)
        start = None if self.initial is None else angles_of(self.initial, len(sequence.parameters), "initial")
        strings = string_weights(sequence.n_qubits, self.bandwidth)
        seed = int(generator(self.random_state).integers(2**62))

        checkpoint = Checkpoint(
            self.checkpoint,
            kind=type(self).__name__,
            settings={
                "circuit": [sequence.n_qubits, sequence.parameters, sequence.gates, sequence.offsets, sequence.slopes],
                "loss": [self.loss, np.atleast_1d(self.bandwidth).tolist(), plain(self.n_strings)],
                "initial": None if start is None else start.tolist(),
                "learning_rate": float(self.learning_rate),
                "validation_fraction": float(self.validation_fraction),
                "random_state": None if self.random_state is None else seed,
            },
            data=(bits, group_indices(groups, len(bits))),
        )
        found = checkpoint.read()
        if found is not None:
            # Without a seed of the user's own, training goes on with that of its beginning.
            seed = State.seed_of(found[0])
        rng = np.random.default_rng(seed)
        held = held_out_rows(len(bits), groups, self.validation_fraction, rng)
        if start is None:
            start = rng.uniform(0.0, 2.0 * np.pi, len(sequence.parameters))
        if self.n_strings is not None:
            n_strings = whole_number("n_strings", self.n_strings, most=10**9)
            strings = rng.multinomial(n_strings, strings) / n_strings
        parts = [frequencies_of(bits[~held])] + ([frequencies_of(bits[held])] if held.any() else [])
        state = State(start, trace, self.loss, seed)
        if found is not None:
            state.restore(*found)
        self._train(Simulator(sequence), parts, strings, state, checkpoint)
        self._keep(sequence, state.best, alphabet)
        self.history_ = state.trace.to_dataset()
        self.history_.attrs["best_step"] = state.watch.best
        return self

    def _train(
        self, simulator: Simulator, parts: list[_Vector], strings: _Vector, state: State, checkpoint: Checkpoint
    ) -> None:
        """Go downhill until the loss stands still."""
        nll = [LogLikelihood(part) for part in parts]
        losses: Sequence[LogLikelihood | Discrepancy] = nll
        if self.loss == "mmd":
            losses = [Discrepancy(part, strings) for part in parts]
        written, content = time.monotonic(), None
        try:
            with Progress(console=Console(stderr=True), disable=not self.verbose) as progress:
                task = progress.add_task("circuit Born machine", total=self.max_steps + 1, completed=len(state.trace))
                while len(state.trace) <= self.max_steps and not state.watch.stalled and not state.ended:
                    p = simulator.probabilities(state.parameters)
                    if len(state.trace) == 0 and self.loss == "nll":
                        nll[0].check(p, simulator.sequence.n_qubits)
                    gradient = simulator.gradient(state.parameters, *losses[0].slopes(p))
                    state.add([loss.value(p) for loss in nll], [loss.value(p) for loss in losses], gradient)
                    state.step(lambda angles: losses[0].value(simulator.probabilities(angles)), self.learning_rate)
                    progress.update(task, advance=1, description=f"loss {state.watch.columns['train_nll'][-1]:.6f}")
                    content = state.content()
                    if time.monotonic() > written + _SECONDS_BETWEEN_WRITES:
                        checkpoint.write(*content)
                        written = time.monotonic()
        finally:
            # Ctrl-C loses the step that it interrupts, no more.
            if content is not None:
                checkpoint.write(*content)

    def _keep(self, sequence: GateSequence, parameters: _Vector, alphabet: Binary) -> None:
        self._sequence = sequence
        self.parameters_ = parameters
        self.probabilities_ = Simulator(sequence).probabilities(parameters)
        self.alphabet_ = alphabet
        self.n_features_in_ = sequence.n_qubits

    @classmethod
    def from_parameters(cls, circuit: Any, parameters: ArrayLike, *, alphabet: Binary = "bits") -> Self:
        """Return the model of a circuit with given angles, without training.

        Parameters
        ----------
        circuit : QuantumCircuit
            As for the class.
        parameters : array_like of float, shape (n_parameters,)
            Radians, in the order of `circuit.parameters`.
        alphabet : {"bits", "spins"}
            How samples are written.

        Returns
        -------
        CircuitBornMachine
            A fitted model, without `history_`.
        """
        check_alphabet(alphabet)
        sequence = read_circuit(circuit)
        model = cls(circuit)
        model._keep(sequence, angles_of(parameters, len(sequence.parameters), "parameters"), alphabet)
        return model

    def to_circuit(self) -> Any:
        """Return the circuit with the learned angles put in, as Qiskit's `assign_parameters` does."""
        check_is_fitted(self, "parameters_")
        return self.circuit.assign_parameters(self.parameters_)

    def score_samples(self, X: ArrayLike) -> _Vector:
        """Return ln p(x) of each row.

        Parameters
        ----------
        X : array_like, shape (n, n_qubits)
            Bits or spins.

        Returns
        -------
        ndarray of float64, shape (n,)
            Nats; -inf where the probability is zero.
        """
        check_is_fitted(self, "probabilities_")
        bits, _ = as_bits(X, n_sites=self.n_features_in_, alphabet=self.alphabet_)
        return log(self.probabilities_[bits_to_integers(bits)])

    def gradient(self, X: ArrayLike) -> _Vector:
        """Return the gradient of `score(X)` by the parameters.

        Parameters
        ----------
        X : array_like, shape (n, n_qubits)
            Bits or spins, each row of a probability above zero.

        Returns
        -------
        ndarray of float64, shape (n_parameters,)
            Nats a radian.
        """
        check_is_fitted(self, "parameters_")
        bits, _ = as_bits(X, n_sites=self.n_features_in_, alphabet=self.alphabet_)
        nll = LogLikelihood(frequencies_of(bits))
        nll.check(self.probabilities_, self.n_features_in_)
        return -Simulator(self._sequence).gradient(self.parameters_, *nll.slopes(self.probabilities_))

    def sample(
        self, n_samples: int = 1, rng: np.random.Generator | int | None = None, *, given: ArrayLike | None = None
    ) -> NDArray[np.int8]:
        """Draw rows from the exact distribution.

        Parameters
        ----------
        n_samples : int
            Number of rows.
        rng : Generator, int or None
            Source of randomness.
        given : array_like, shape (n_qubits,), optional
            Known sites in the model's alphabet, NaN where a site is free: rows come from p(x | known sites).

        Returns
        -------
        ndarray of int8, shape (n_samples, n_qubits)
            Rows in the model's alphabet.

        Raises
        ------
        ValueError
            If an argument is out of range, or what is given has the probability zero.
        """
        check_is_fitted(self, "probabilities_")
        whole_number("n_samples", n_samples, least=0)
        p = self.probabilities_ if given is None else self._restricted(given)
        outcomes = generator(rng, "rng").choice(len(p), size=n_samples, p=p / p.sum())
        return in_alphabet(integers_to_bits(outcomes, self.n_features_in_), self.alphabet_)

    def _restricted(self, given: ArrayLike) -> _Vector:
        """Return the probabilities of the outcomes that fit what is given."""
        fits = np.ones(len(self.probabilities_), dtype=bool)
        for site, bit in forced_columns(given, self.n_features_in_, self.alphabet_).items():
            fits &= (np.arange(len(fits)) >> site) & 1 == bit
        p = np.where(fits, self.probabilities_, 0.0)
        if p.sum() < ROUNDING:
            raise ValueError("Argument `given` must be possible, but the model gives it the probability zero.")
        return p
