"""Training of the graph-state model: what it reaches, how it stops and continues, what its files hold."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from qmlphys.generative._file import ModelFileError, read_arrays, write_arrays
from qmlphys.generative._graph_networks import GraphLikelihood
from qmlphys.generative.graph_model import GraphGenerativeModel
from qmlphys.lattices import chain, square

PATH = (4, [(0, 1), (1, 2), (2, 3)])


def random_matrices(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(n, 2, 2)) + 1j * rng.normal(size=(n, 2, 2))


def ring(n: int) -> tuple[int, list[tuple[int, int]]]:
    return n, [(i, (i + 1) % n) for i in range(n)]


def all_rows(n: int) -> np.ndarray:
    return np.array(list(itertools.product([0, 1], repeat=n)))


def test_training_reaches_the_likelihood_of_the_source() -> None:
    source = GraphGenerativeModel.from_matrices(PATH, random_matrices(4, np.random.default_rng(21)), alphabet="bits")
    X = source.sample(3000, 1)
    model = GraphGenerativeModel(PATH, max_steps=100, random_state=2).fit(X)
    # The optimum is above the source on its own sample.
    assert model.score(X) > source.score(X) - 1e-3
    assert model.score(X) > -4 * np.log(2) + 0.2
    nll = model.history_["train_nll"].values
    assert (np.diff(nll) <= 1e-12).all()
    assert abs(nll[model.history_.attrs["best_step"]] + model.score(X)) < 1e-12
    assert model.alphabet_ == "bits"


def test_hidden_qubits_help() -> None:
    # A parity of three bits, which no product of pairs shows: one hidden qubit joined to all three makes it.
    X = [row for row in all_rows(3) if row.sum() % 2 == 0]
    graph = (4, [(0, 3), (1, 3), (2, 3)])
    model = GraphGenerativeModel(graph, visible=range(3), random_state=0).fit(X)
    assert model.score(X) > -np.log(4) - 1e-3


@pytest.mark.parametrize("batch_size", [None, 32])
def test_the_condition_number_stays_bounded(batch_size: int | None) -> None:
    # The path is a GHZ state up to unitaries; unequal shares need a filter, and 39 : 1 a stronger one than is allowed.
    X = np.repeat([[0, 0, 0], [1, 1, 1]], [78, 2], axis=0)
    model = GraphGenerativeModel(
        (3, [(0, 1), (1, 2)]), max_condition=1.5, batch_size=batch_size, max_steps=30, random_state=1
    ).fit(X)
    assert model.condition_numbers_.max() <= 1.5 * (1 + 1e-12)
    assert model.history_["condition"].values.max() <= 1.5 * (1 + 1e-12)
    assert model.condition_numbers_.max() > 1.4  # the bound is felt
    np.testing.assert_allclose(np.linalg.svd(model.matrices_, compute_uv=False)[:, 0], 1, rtol=1e-12)


def test_batches_of_adam_learn() -> None:
    source = GraphGenerativeModel.from_matrices(PATH, random_matrices(4, np.random.default_rng(21)), alphabet="bits")
    X = source.sample(1000, 1)
    model = GraphGenerativeModel(PATH, batch_size=250, max_steps=15, random_state=0).fit(X)
    assert model.history_["train_nll"].values[0] - 0.1 > -model.score(X)
    full = GraphGenerativeModel(PATH, learning_rate=0.1, max_steps=15, random_state=0).fit(X)
    assert full.history_.sizes["step"] == 16
    assert full.score(X) > -full.history_["train_nll"].values[0] + 0.1


@pytest.mark.parametrize("options", [{}, {"batch_size": 25}, {"learning_rate": 0.03}])
def test_a_checkpoint_continues_with_the_same_bits(options: dict[str, Any], tmp_path: Any) -> None:
    X = np.random.default_rng(0).integers(0, 2, size=(80, 4))
    common = {"random_state": 5, "validation_fraction": 0.25, "patience": 50, **options}
    whole = GraphGenerativeModel(PATH, max_steps=9, **common).fit(X)
    file = tmp_path / "run.checkpoint"
    GraphGenerativeModel(PATH, max_steps=4, checkpoint=file, **common).fit(X)
    resumed = GraphGenerativeModel(PATH, max_steps=9, checkpoint=file, **common).fit(X)
    assert np.array_equal(resumed.matrices_, whole.matrices_)
    assert resumed.history_.identical(whole.history_)
    assert resumed.history_.sizes["step"] == 10
    with pytest.raises(ModelFileError, match="belongs to others"):
        GraphGenerativeModel(PATH, max_steps=9, checkpoint=file, **common).fit(1 - X)
    header, arrays = read_arrays(file)
    kind = header.pop("kind")
    for damaged, match in (({"held": arrays["held"][:-1]}, "do not fit"), ({"held": 1.0, "theta": None}, "damaged")):
        left = {name: value for name, value in {**arrays, **damaged}.items() if value is not None}
        write_arrays(file, kind=kind, header=header, arrays=left)
        with pytest.raises(ModelFileError, match=match):
            GraphGenerativeModel(PATH, max_steps=9, checkpoint=file, **common).fit(X)


def test_an_interrupted_training_loses_nothing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).integers(0, 2, size=(80, 4))
    whole = GraphGenerativeModel(PATH, max_steps=8, random_state=5).fit(X)
    plain, calls = GraphLikelihood.gradient, itertools.count()

    def interrupted(self: Any, *args: Any) -> Any:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return plain(self, *args)

    monkeypatch.setattr(GraphLikelihood, "gradient", interrupted)
    model = GraphGenerativeModel(PATH, max_steps=8, random_state=5, checkpoint=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    resumed = clone(model).fit(X)
    assert np.array_equal(resumed.matrices_, whole.matrices_)


def test_the_best_step_of_the_validation_rows_is_kept() -> None:
    rng = np.random.default_rng(4)
    X = np.repeat(rng.integers(0, 2, size=(10, 5)), 4, axis=0)  # ten rows, four times each: easily overfitted
    groups = np.repeat(np.arange(10), 4)
    model = GraphGenerativeModel(ring(5), validation_fraction=0.3, patience=8, random_state=1).fit(X, groups=groups)
    validation = model.history_["validation_nll"].values
    best = model.history_.attrs["best_step"]
    assert best == validation.argmin()
    assert len(validation) == min(best + 9, 1001)  # eight steps more, then it stops
    scores = model.score_samples(X)
    held_out = [-scores[list(rows)].mean() for rows in itertools.combinations(range(0, 40, 4), 3)]
    assert min(abs(np.array(held_out) - validation[best])) < 1e-9  # whole groups


def test_alphabets() -> None:
    X = np.array([[0, 1, 0, 1], [1, 1, 0, 0]])
    bits = GraphGenerativeModel(PATH, max_steps=3, random_state=0).fit(X)
    spins = GraphGenerativeModel(PATH, max_steps=3, random_state=0).fit(1 - 2 * X)
    np.testing.assert_array_equal(bits.matrices_, spins.matrices_)
    np.testing.assert_array_equal(spins.sample(20, 1), 1 - 2 * bits.sample(20, 1))
    np.testing.assert_array_equal(spins.score_samples(1 - 2 * X), bits.score_samples(X))
    assert bits.score_samples([[1, 1, 1, 1]]) != spins.score_samples([[1, 1, 1, 1]])
    assert bits.n_features_in_ == 4


def test_estimator_manners() -> None:
    model = GraphGenerativeModel(chain(4), max_steps=7, visible=[1, 2])
    assert clone(model).get_params() == model.get_params()
    for call in (
        lambda: model.sample(1),
        lambda: model.score([[0, 1]]),
        model.to_vector,
        lambda: model.gradient([[0, 1]]),
    ):
        with pytest.raises(NotFittedError):
            call()


def test_files_hold_everything() -> None:
    X = np.random.default_rng(0).integers(0, 2, size=(30, 3))
    model = GraphGenerativeModel(square(3), visible=(4, 0, 8), max_steps=3, random_state=1).fit(X)
    header, arrays = model._to_file()
    again = GraphGenerativeModel._from_file(header, arrays)
    np.testing.assert_allclose(again.score_samples(X), model.score_samples(X), rtol=1e-13)
    assert again.history_.identical(model.history_)
    assert again.alphabet_ == "bits"
    assert again.graph == square(3)
    assert GraphGenerativeModel._from_file(
        *GraphGenerativeModel.from_matrices(PATH, [np.eye(2)] * 4)._to_file()
    ).visible_ == (
        0,
        1,
        2,
        3,
    )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda h, a: a.pop("matrices"), "must hold the matrices"),
        (lambda h, a: a.update(matrices=np.zeros((9, 2, 2))), "is singular"),
        (lambda h, a: a.update(matrices=np.ones((3, 2, 2))), "shape"),
        (lambda h, a: a.update(history_train_nll=np.ones(3)), "equal length"),
        (lambda h, a: h.update(alphabet="runes"), "alphabet"),
        (lambda h, a: h["parameters"].pop("patience"), "must hold the settings"),
        (lambda h, a: h["parameters"].update(graph="square(99999)"), "must hold a graph"),
        (lambda h, a: h["parameters"].update(graph=[2, [[0, 5]]]), "must hold a graph"),
        (lambda h, a: h["parameters"].update(visible=[77]), "must name qubits"),
        (lambda h, a: h["parameters"].update(max_steps="x"), "max_steps"),
    ],
)
def test_damaged_files_are_refused(change: Any, match: str) -> None:
    model = GraphGenerativeModel(square(3), max_steps=1, random_state=1).fit(np.eye(9))
    header, arrays = model._to_file()
    change(header, arrays)
    with pytest.raises(ModelFileError, match=match):
        GraphGenerativeModel._from_file(header, arrays)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"max_condition": 0.5}, ValueError, "max_condition"),
        ({"max_condition": 1e9}, ValueError, "max_condition"),
        ({"max_condition": "x"}, TypeError, "max_condition"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate"),
        ({"max_steps": 0}, ValueError, "max_steps"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": 1.5}, TypeError, "batch_size"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction"),
        ({"validation_fraction": None}, TypeError, "validation_fraction"),
        ({"patience": 0}, ValueError, "patience"),
        ({"tolerance": -1.0}, ValueError, "tolerance"),
        ({"verbose": 2}, TypeError, "verbose"),
        ({"random_state": -1}, ValueError, "random_state"),
        ({"random_state": "x"}, TypeError, "random_state"),
        ({"checkpoint": "no such folder/run"}, ValueError, "existing folder"),
    ],
)
def test_settings_that_are_refused(options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=f"Argument `{match}`|{match}"):
        GraphGenerativeModel(PATH, **options).fit([[0, 1, 0, 1]])


def test_the_bar_is_shown_on_request(capfd: pytest.CaptureFixture[str]) -> None:
    GraphGenerativeModel(PATH, max_steps=2, verbose=True, random_state=0).fit([[0, 1, 0, 1], [1, 1, 1, 0]])
    shown = capfd.readouterr()
    assert "NLL" in shown.err
    assert shown.out == ""
