"""The circuit Born machine: discrepancy, training, checkpoints, the model, and what it refuses.

One long file: all of it shares the layered circuits and the patterns they learn.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import Statevector
from scipy.stats import chisquare
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from qmlphys.bits import bits_to_integers, bits_to_spins
from qmlphys.generative._circuit_training import Discrepancy, LogLikelihood, frequencies_of, string_weights
from qmlphys.generative._file import ModelFileError
from qmlphys.generative._pennylane import Simulator, read_circuit
from qmlphys.generative.circuit_born_machine import CircuitBornMachine


def layered(n_qubits: int, n_layers: int, *, entangled: bool = True) -> QuantumCircuit:
    """RY and RZ on every qubit, RXX around a ring."""
    angles = iter(ParameterVector("t", n_layers * 3 * n_qubits + n_qubits))
    circuit = QuantumCircuit(n_qubits)
    for _ in range(n_layers):
        for qubit in range(n_qubits):
            circuit.ry(next(angles), qubit)
            circuit.rz(next(angles), qubit)
        for qubit in range(n_qubits if entangled else 0):
            circuit.rxx(next(angles), qubit, (qubit + 1) % n_qubits)
    for qubit in range(n_qubits):
        circuit.ry(next(angles), qubit)
    return circuit


def bars_and_stripes(side: int) -> NDArray[np.int8]:
    rows = {tuple(np.repeat([(k >> i) & 1 for i in range(side)], side)) for k in range(2**side)}
    rows |= {tuple(np.tile([(k >> i) & 1 for i in range(side)], side)) for k in range(2**side)}
    return np.array(sorted(rows), dtype=np.int8)


def qiskit_probabilities(circuit: QuantumCircuit, parameters: Any) -> NDArray[np.float64]:
    return Statevector(circuit.assign_parameters(parameters)).probabilities()


class TestDiscrepancy:
    bandwidths = (0.4, 1.5)

    def test_equals_the_kernel(self) -> None:
        rng = np.random.default_rng(7)
        p, q = rng.dirichlet(np.ones(32)), rng.dirichlet(np.ones(32))
        differ = np.bitwise_count(np.arange(32)[:, None] ^ np.arange(32)).astype(float)
        kernel = np.mean([np.exp(-differ / (2 * sigma**2)) for sigma in self.bandwidths], axis=0)
        exact = (p - q) @ kernel @ (p - q)
        loss = Discrepancy(q, string_weights(5, self.bandwidths))
        assert loss.value(p) == pytest.approx(exact, rel=1e-12)
        np.testing.assert_allclose(loss.slopes(p)[1], 2 * kernel @ (p - q), rtol=1e-11)
        assert string_weights(5, 0.7).sum() == pytest.approx(1, rel=1e-14)

    @pytest.mark.parametrize("n_strings", [None, 12])
    def test_gradient_equals_finite_differences(self, n_strings: int | None) -> None:
        rng = np.random.default_rng(8)
        weights = string_weights(3, self.bandwidths)
        if n_strings is not None:
            weights = rng.multinomial(n_strings, weights) / n_strings
        loss = Discrepancy(rng.dirichlet(np.ones(8)), weights)
        simulator = Simulator(read_circuit(layered(3, 1)))
        theta = rng.uniform(0, 6, 12)
        gradient = simulator.gradient(theta, *loss.slopes(simulator.probabilities(theta)))
        numeric = [
            (loss.value(simulator.probabilities(theta + step)) - loss.value(simulator.probabilities(theta - step)))
            / 2e-5
            for step in 1e-5 * np.eye(12)
        ]
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-9)
        assert np.linalg.norm(gradient) > 1e-3

    def test_drawn_strings_estimate_the_kernel(self) -> None:
        X = bars_and_stripes(2)
        arguments = {"loss": "mmd", "initial": np.linspace(0, 4, 28), "max_steps": 1}
        exact = CircuitBornMachine(layered(4, 2), **arguments).fit(X).history_["train_mmd"][0]
        drawn = [
            float(
                CircuitBornMachine(layered(4, 2), n_strings=20, random_state=k, **arguments)
                .fit(X)
                .history_["train_mmd"][0]
            )
            for k in range(12)
        ]
        error = np.std(drawn, ddof=1) / math.sqrt(len(drawn))
        assert error > 0
        assert abs(np.mean(drawn) - float(exact)) < 5 * error


class TestTraining:
    def test_bars_and_stripes_to_the_entropy(self) -> None:
        X = bars_and_stripes(2)
        model = CircuitBornMachine(layered(4, 3), max_steps=100, random_state=1).fit(X)
        assert -model.score(X) == pytest.approx(math.log(6), abs=1e-6)
        history = model.history_
        assert history["train_nll"][0] > 2.5
        # A line search never goes up.
        assert (np.diff(history["train_nll"]) <= 0).all()
        assert history["gradient_norm"][-1] < 1e-3 < history["gradient_norm"][0]
        assert float(history["train_nll"][history.attrs["best_step"]]) == pytest.approx(-model.score(X), rel=1e-12)
        np.testing.assert_allclose(
            model.probabilities_, Statevector(model.to_circuit()).probabilities(), rtol=0, atol=1e-10
        )

    def test_without_entanglement_bits_stay_independent(self) -> None:
        X = bars_and_stripes(2)
        circuit = layered(4, 1, entangled=False)
        model = CircuitBornMachine(circuit, max_steps=60, random_state=1).fit(X)
        # The best product of bits, each of which is one half of the time 1.
        assert -model.score(X) == pytest.approx(4 * math.log(2), abs=1e-6)

    def test_discrepancy(self) -> None:
        X = bars_and_stripes(2)
        model = CircuitBornMachine(layered(4, 3), loss="mmd", max_steps=60, random_state=2).fit(X)
        assert model.history_["train_mmd"][-1] < 1e-5
        assert model.history_["train_mmd"][0] > 1e-2
        assert -model.score(X) == pytest.approx(math.log(6), abs=1e-2)
        assert np.isnan(model.history_["validation_mmd"]).all()

    def test_discrepancy_takes_rows_that_the_circuit_cannot_give(self) -> None:
        circuit = QuantumCircuit(2)
        circuit.ry(Parameter("a"), 0)
        circuit.cx(0, 1)
        X = [[0, 0], [0, 0], [1, 1], [0, 1]]
        model = CircuitBornMachine(circuit, loss="mmd", initial=[1.0]).fit(X)
        assert model.score(X) == -np.inf
        assert model.history_.attrs["best_step"] > 0
        # Symmetric in the outcomes 10 and 01 that are missed: the shares of 00 and 11 keep their difference of 1/4.
        assert model.probabilities_[0] > 0.55
        with pytest.raises(ValueError, match=r"1 rows have none \(the first in bits: \[0, 1\]\)"):
            CircuitBornMachine(circuit, initial=[1.0]).fit(X)

    def test_parameters_are_those_of_the_best_validation(self) -> None:
        rng = np.random.default_rng(3)
        X, groups = rng.integers(0, 2, (60, 4)), np.repeat(np.arange(12), 5)
        model = CircuitBornMachine(
            layered(4, 3), validation_fraction=0.5, max_steps=60, patience=10, random_state=4
        ).fit(X, groups=groups)
        validation = model.history_["validation_nll"].values
        best = model.history_.attrs["best_step"]
        assert best == validation.argmin()
        # So many parameters learn the 30 rows by heart: stopped early, after as many steps as patience allows.
        assert 0 < best < len(validation) - 1
        assert len(validation) <= best + 1 + 10
        whole = -model.score(X) * 60
        held = (validation[best] + model.history_["train_nll"].values[best]) * 30
        assert whole == pytest.approx(held, rel=1e-10)

    def test_random_state(self) -> None:
        X = bars_and_stripes(2)

        def parameters(random_state: Any) -> NDArray[np.float64]:
            return CircuitBornMachine(layered(4, 1), max_steps=3, random_state=random_state).fit(X).parameters_

        np.random.seed(1)  # noqa: NPY002 - that it is left alone is what is tested
        expected = np.random.random()  # noqa: NPY002
        np.random.seed(1)  # noqa: NPY002
        first = parameters(5)
        assert (first == parameters(5)).all()
        assert (first != parameters(6)).any()
        assert (parameters(np.random.default_rng(0)) == parameters(np.random.default_rng(0))).all()
        assert (parameters(None) != parameters(None)).any()
        assert np.random.random() == expected  # noqa: NPY002

    def test_random_starts_are_flat(self) -> None:
        # Neighbours that agree nine times out of ten: CRY gates in a row give it exactly; n layers that start at zero
        # let random angles scramble everything.
        def circuit(n_qubits: int) -> QuantumCircuit:
            angles = iter(ParameterVector("s", 2 * n_qubits - 1))
            result = QuantumCircuit(n_qubits)
            result.ry(next(angles), 0)
            for qubit in range(n_qubits - 1):
                result.ry(next(angles), qubit + 1)
                result.cry(next(angles), qubit, qubit + 1)
            return result.compose(layered(n_qubits, n_qubits))

        rng = np.random.default_rng(9)
        random, near = [], []
        for n_qubits in (3, 8):
            flips = rng.random((20_000, n_qubits - 1)) < 0.1
            first = rng.integers(0, 2, (20_000, 1))
            X = np.concatenate([first, (first + flips.cumsum(axis=1)) % 2], axis=1).astype(np.int8)
            loss = Discrepancy(frequencies_of(X), string_weights(n_qubits, (0.5, 1.0, 2.0)))
            simulator = Simulator(read_circuit(circuit(n_qubits)))

            def norm(theta: NDArray[np.float64], *, simulator: Simulator = simulator, loss: Any = loss) -> float:
                return float(np.linalg.norm(simulator.gradient(theta, *loss.slopes(simulator.probabilities(theta)))))

            # Near, but not there: neighbours agree three times out of four.
            low, high = 2 * np.arcsin(np.sqrt([0.25, 0.75]))
            start = np.zeros(len(simulator.sequence.parameters))
            start[0], start[1 : 2 * n_qubits - 1 : 2], start[2 : 2 * n_qubits - 1 : 2] = np.pi / 2, low, high - low
            near.append(norm(start))
            random.append(np.mean([norm(rng.uniform(0, 2 * np.pi, start.size)) for _ in range(3)]))
        assert random[1] < 0.3 * random[0]
        assert near[1] > 0.6 * near[0]
        after = [
            CircuitBornMachine(circuit(8), initial=initial, loss="mmd", max_steps=6, random_state=0).fit(X).history_
            for initial in (start, None)
        ]
        assert after[0]["train_mmd"][-1] < 0.2 * after[1]["train_mmd"][-1]


class TestCheckpoint:
    @pytest.mark.parametrize("loss", ["nll", "mmd"])
    def test_goes_on_with_the_same_bits(self, loss: Any, tmp_path: Any) -> None:
        X = bars_and_stripes(2)
        arguments: dict[str, Any] = {"loss": loss, "random_state": 3, "validation_fraction": 0.3}
        straight = CircuitBornMachine(layered(4, 2), max_steps=12, **arguments).fit(X)
        path = tmp_path / "training.npz"
        CircuitBornMachine(layered(4, 2), max_steps=5, checkpoint=path, **arguments).fit(X)
        resumed = CircuitBornMachine(layered(4, 2), max_steps=12, checkpoint=path, **arguments).fit(X)
        assert (resumed.parameters_ == straight.parameters_).all()
        assert resumed.history_.identical(straight.history_)
        again = CircuitBornMachine(layered(4, 2), max_steps=12, checkpoint=path, **arguments).fit(X)
        assert again.history_.identical(straight.history_)

    def test_ctrl_c_loses_one_step(self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        X = bars_and_stripes(2)
        path = tmp_path / "training.npz"
        model = CircuitBornMachine(layered(4, 1), max_steps=6, random_state=3, checkpoint=path)
        gradient, calls = Simulator.gradient, []

        def interrupted(*arguments: Any) -> Any:
            calls.append(1)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return gradient(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Simulator, "gradient", interrupted)
            with pytest.raises(KeyboardInterrupt):
                model.fit(X)
        assert len(calls) == 4
        with monkeypatch.context() as patch:
            patch.setattr(Simulator, "gradient", lambda *arguments: (calls.append(1), gradient(*arguments))[1])
            model.fit(X)
        # Rows 0 to 6 of the history, three of which were kept.
        assert len(calls) == 4 + 4
        straight = CircuitBornMachine(layered(4, 1), max_steps=6, random_state=3).fit(X)
        assert model.history_.identical(straight.history_)

    def test_without_a_seed(self, tmp_path: Any) -> None:
        X = bars_and_stripes(2)
        path = tmp_path / "training.npz"
        first = CircuitBornMachine(layered(4, 2), max_steps=3, validation_fraction=0.3, checkpoint=path).fit(X)
        second = CircuitBornMachine(layered(4, 2), max_steps=6, validation_fraction=0.3, checkpoint=path).fit(X)
        for name in ("train_nll", "validation_nll"):
            assert (second.history_[name][:4].values == first.history_[name].values).all()

    def test_others_are_refused(self, tmp_path: Any) -> None:
        X = bars_and_stripes(2)
        path = tmp_path / "training.npz"
        CircuitBornMachine(layered(4, 1), max_steps=2, random_state=0, checkpoint=path).fit(X)
        for model, data in (
            (CircuitBornMachine(layered(4, 2), random_state=0, checkpoint=path), X),
            (CircuitBornMachine(layered(4, 1), random_state=1, checkpoint=path), X),
            (CircuitBornMachine(layered(4, 1), random_state=0, checkpoint=path), X[1:]),
        ):
            with pytest.raises(ModelFileError, match="same settings and data"):
                model.fit(data)
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(ModelFileError, match="cannot be read"):
            CircuitBornMachine(layered(4, 1), random_state=0, checkpoint=path).fit(X)


@pytest.fixture(scope="module")
def model() -> CircuitBornMachine:
    return CircuitBornMachine.from_parameters(layered(4, 2), np.random.default_rng(11).uniform(0, 6, 28))


class TestModel:
    def test_gradient_of_the_score(self) -> None:
        rng = np.random.default_rng(6)
        X = rng.integers(0, 2, (20, 4))
        circuit, theta = layered(4, 2), rng.uniform(0, 6, 28)
        gradient = CircuitBornMachine.from_parameters(circuit, theta).gradient(X)
        for k in (0, 3, 10, 27):
            step = 1e-5 * np.eye(28)[k]
            up = CircuitBornMachine.from_parameters(circuit, theta + step).score(X)
            down = CircuitBornMachine.from_parameters(circuit, theta - step).score(X)
            assert gradient[k] == pytest.approx((up - down) / 2e-5, rel=1e-6, abs=1e-6)

    def test_site_i_is_qubit_i(self) -> None:
        circuit = QuantumCircuit(3)
        circuit.x(0)
        circuit.ry(Parameter("a"), 2)
        model = CircuitBornMachine.from_parameters(circuit, [0.0])
        assert model.sample(2, rng=0).tolist() == [[1, 0, 0]] * 2

    def test_score_samples(self, model: CircuitBornMachine) -> None:
        X = np.random.default_rng(0).integers(0, 2, (30, 4))
        exact = qiskit_probabilities(model.circuit, model.parameters_)
        np.testing.assert_allclose(model.score_samples(X), np.log(exact[bits_to_integers(X)]), rtol=1e-10)
        assert model.score(X) == pytest.approx(model.score_samples(X).mean(), rel=1e-14)
        np.testing.assert_allclose(model.score_samples(bits_to_spins(X)), model.score_samples(X))

    def test_sample(self, model: CircuitBornMachine) -> None:
        X = model.sample(4000, rng=1)
        assert X.dtype == np.int8
        counts = np.bincount(bits_to_integers(X), minlength=16)
        assert chisquare(counts, 4000 * model.probabilities_).pvalue > 1e-3
        # The control: the same counts, sites read from the other end.
        reversed_counts = np.bincount(bits_to_integers(X[:, ::-1]), minlength=16)
        assert chisquare(reversed_counts, 4000 * model.probabilities_).pvalue < 1e-6
        assert (model.sample(5, rng=np.random.default_rng(2)) == model.sample(5, rng=2)).all()
        assert model.sample(0).shape == (0, 4)

    def test_sample_given(self, model: CircuitBornMachine) -> None:
        X = model.sample(4000, rng=3, given=[np.nan, 1, np.nan, 0])
        assert (X[:, [1, 3]] == [1, 0]).all()
        fits = np.array([2, 3, 6, 7])
        conditional = model.probabilities_[fits] / model.probabilities_[fits].sum()
        counts = np.bincount(bits_to_integers(X), minlength=16)[fits]
        assert chisquare(counts, 4000 * conditional).pvalue > 1e-3
        unconditional = np.bincount(bits_to_integers(model.sample(4000, rng=3)), minlength=16)[fits]
        assert chisquare(unconditional * 4000 / unconditional.sum(), 4000 * conditional[::-1]).pvalue < 1e-6

    def test_spins_in_spins_out(self) -> None:
        X = bits_to_spins(bars_and_stripes(2))
        model = CircuitBornMachine(layered(4, 2), max_steps=40, random_state=0).fit(X)
        assert model.alphabet_ == "spins"
        samples = model.sample(50, rng=0, given=[-1, np.nan, np.nan, np.nan])
        assert set(samples.ravel().tolist()) == {-1, 1}
        assert (samples[:, 0] == -1).all()
        assert model.score(X) > -2.0
        # Rows of ones alone are spins here: the outcome 0.
        assert model.score_samples(np.ones((1, 4))) == pytest.approx(np.log(model.probabilities_[0]))

    def test_impossible_rows(self) -> None:
        circuit = QuantumCircuit(2)
        circuit.ry(Parameter("a"), 0)
        circuit.cx(0, 1)
        model = CircuitBornMachine.from_parameters(circuit, [1.0])
        assert model.score_samples([[0, 1]]) == -np.inf
        with pytest.raises(ValueError, match=r"`given` must be possible"):
            model.sample(rng=0, given=[0, 1])
        with pytest.raises(ValueError, match=r"give every row of X a probability"):
            model.gradient([[0, 1]])

    def test_scikit_learn_manner(self) -> None:
        estimator = CircuitBornMachine(layered(2, 1), loss="mmd", initial=np.arange(8.0), max_steps=2)
        twin = clone(estimator)
        assert twin.get_params()["loss"] == "mmd"
        X = [[0, 0], [1, 1]]
        with pytest.raises(NotFittedError):
            estimator.score(X)
        fitted = twin.fit(X)
        assert fitted is twin
        assert (estimator.fit(X).parameters_ == fitted.parameters_).all()
        assert fitted.n_features_in_ == 2
        kept = copy.deepcopy(fitted)
        assert (kept.sample(4, rng=0) == fitted.sample(4, rng=0)).all()
        assert "CircuitBornMachine" in repr(fitted)

    def test_progress(self, capsys: Any) -> None:
        CircuitBornMachine(layered(2, 1), max_steps=2, verbose=True, random_state=0).fit([[0, 0], [1, 1]])
        seen = capsys.readouterr()
        assert seen.out == ""
        assert "loss" in seen.err


def unbound() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("a"), 0)
    circuit.cx(0, 1)
    circuit.ry(Parameter("b"), 1)
    return circuit


def bad_circuit(change: str) -> Any:
    circuit = unbound()
    a = Parameter("c")
    if change == "text":
        return "circuit"
    if change == "measured":
        circuit.measure_all()
    if change == "unknown":
        circuit.iswap(0, 1)
    if change == "open control":
        circuit.cx(0, 1, ctrl_state=0)
    if change == "square":
        circuit.ry(a**2, 0)
    if change == "product":
        circuit.ry(a * circuit.parameters[0], 0)
    if change == "complex":
        circuit.ry(a * 1j, 0)
    if change == "infinite":
        circuit.ry(math.inf, 0)
    if change == "bound":
        return circuit.assign_parameters([0.1, 0.2])
    if change == "large":
        return layered(17, 1)
    return circuit


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "error", "text"),
        [
            ("text", TypeError, r"`circuit` must be a Qiskit circuit, but it is a str"),
            ("measured", ValueError, r"`circuit` must hold gates only, but it holds a 'measure'"),
            ("unknown", ValueError, r"`circuit` must hold the gates .* but it holds a 'iswap' on 2 qubits: decompose"),
            ("open control", ValueError, r"holds a 'cx_o0'"),
            ("square", ValueError, r"`circuit` must have real angles that are linear in its parameters, but a 'ry'"),
            ("product", ValueError, r"linear in its parameters"),
            ("complex", ValueError, r"`circuit` must have real angles"),
            ("infinite", ValueError, r"`circuit` must have finite angles, but a 'ry' has inf"),
            ("bound", ValueError, r"`circuit` must have gates with free parameters to train, but it has none"),
            ("large", ValueError, r"`circuit` must have 1 to 16 qubits, but it has 17"),
        ],
    )
    def test_circuits(self, change: str, error: type[Exception], text: str) -> None:
        circuit = bad_circuit(change)
        with pytest.raises(error, match=text):
            CircuitBornMachine(circuit).fit([[0, 0], [1, 1]])

    @pytest.mark.parametrize(
        ("arguments", "error", "text"),
        [
            ({"initial": [0.1]}, ValueError, r"`initial` must have one angle a parameter, shape \(2,\), but .* \(1,\)"),
            ({"initial": [0.1, np.nan]}, ValueError, r"`initial` must be finite"),
            ({"initial": ["a", "b"]}, TypeError, r"`initial` must hold real numbers"),
            ({"loss": "kl"}, ValueError, r"`loss` must be 'nll' or 'mmd', but it is 'kl'"),
            ({"bandwidth": 0.0}, ValueError, r"`bandwidth` must be a positive number or several, but it is 0.0"),
            ({"bandwidth": ()}, ValueError, r"`bandwidth` must be a positive number or several"),
            ({"n_strings": 0}, ValueError, r"`n_strings` must be between 1"),
            ({"learning_rate": 0.0}, ValueError, r"`learning_rate` must be between 1e-06 and 3.14159, but it is 0.0"),
            ({"learning_rate": "fast"}, TypeError, r"`learning_rate` must be a number, but it is 'fast'"),
            ({"max_steps": 0}, ValueError, r"`max_steps` must be between 1"),
            ({"max_steps": 1.5}, TypeError, r"`max_steps` must be an integer"),
            ({"validation_fraction": 1.0}, ValueError, r"`validation_fraction` must be from 0 to below 1"),
            ({"verbose": "yes"}, TypeError, r"`verbose` must be True or False, but it is 'yes'"),
            ({"checkpoint": "/nowhere/at/all.npz"}, ValueError, r"`checkpoint` must lie in an existing folder"),
            ({"patience": 0}, ValueError, r"`patience` must be between 1"),
            ({"tolerance": -1.0}, ValueError, r"`tolerance` must be between 0 and inf, but it is -1.0"),
            ({"random_state": "x"}, TypeError, r"`random_state` must be an integer, but it is 'x'"),
            ({"random_state": -1}, ValueError, r"`random_state` must be between 0"),
        ],
    )
    def test_settings(self, arguments: dict[str, Any], error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=text):
            CircuitBornMachine(unbound(), **arguments).fit([[0, 0], [1, 1]])

    @pytest.mark.parametrize(
        ("X", "error", "text"),
        [
            ([[0, 2]], ValueError, r"`X` must hold bits \(0/1\) or spins \(-1/\+1\), but it holds 2"),
            ([[0, 1, 1]], ValueError, r"`X` must have 2 sites a row, but it has 3"),
            ([0, 1], ValueError, r"`X` must be rows of sites"),
            ([["a", "b"]], TypeError, r"`X` must hold bits"),
        ],
    )
    def test_data(self, X: Any, error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=text):
            CircuitBornMachine(unbound()).fit(X)
        with pytest.raises(error, match=text):
            CircuitBornMachine.from_parameters(unbound(), [0.1, 0.2]).score_samples(X)

    def test_groups(self) -> None:
        with pytest.raises(ValueError, match=r"`groups` must have one entry a row \(2\), but has 1"):
            CircuitBornMachine(unbound()).fit([[0, 0], [1, 1]], groups=[0])

    def test_calls(self, model: CircuitBornMachine) -> None:
        with pytest.raises(ValueError, match=r"`n_samples` must be between 0"):
            model.sample(-1)
        with pytest.raises(TypeError, match=r"`rng` must be an integer, but it is 'a'"):
            model.sample(1, rng="a")
        with pytest.raises(ValueError, match=r"`given` must have one entry a site, \(4,\), but its shape is \(2,\)"):
            model.sample(1, given=[0, 1])
        with pytest.raises(ValueError, match=r"`given` must hold 0, 1 or NaN, .* but it holds -1"):
            model.sample(1, given=[0, 1, -1, np.nan])
        with pytest.raises(ValueError, match=r"`alphabet` must be 'bits' or 'spins', but it is 'real'"):
            CircuitBornMachine.from_parameters(unbound(), [0.1, 0.2], alphabet="real")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"`parameters` must have one angle a parameter"):
            CircuitBornMachine.from_parameters(unbound(), [0.1])


def test_likelihood_weighs_rows_by_their_number() -> None:
    X = np.array([[0, 0], [1, 0], [1, 0], [1, 1]], dtype=np.int8)
    loss = LogLikelihood(frequencies_of(X))
    p = np.array([0.1, 0.2, 0.3, 0.4])
    assert loss.value(p) == pytest.approx(-(math.log(0.1) + 2 * math.log(0.2) + math.log(0.4)) / 4, rel=1e-14)
    outcomes, slopes = loss.slopes(p)
    np.testing.assert_allclose(slopes, [-2.5, -2.5, -0.625])
    assert outcomes.tolist() == [0, 1, 3]
