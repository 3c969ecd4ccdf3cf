from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qmlphys.generative import ModelFileError
from qmlphys.generative._file import write_arrays
from qmlphys.generative._training import Checkpoint, Trace, restore_rng, rng_text


def traced(train: list[float], validation: list[float] | None = None, **settings: float) -> Trace:
    trace = Trace(**({"patience": 2, "tolerance": 0.1} | settings))  # type: ignore[arg-type]
    for step, value in enumerate(train):
        trace.add(value, float("nan") if validation is None else validation[step])
    return trace


def test_the_best_step_is_that_of_the_validation_where_there_is_one() -> None:
    train = [5.0, 4.0, 3.0, 2.0]
    assert traced(train).best == 3
    assert traced(train).improved
    watched = traced(train, [5.0, 4.5, 4.7, 4.9])
    assert watched.best == 1
    assert not watched.improved


def test_an_impossible_validation_row_does_not_change_what_is_watched() -> None:
    trace = traced([5.0, 4.0, 3.0], [6.0, 5.0, np.inf])
    assert trace.best == 1
    assert not trace.improved
    assert traced([5.0, 4.0], [np.inf, 7.0]).best == 1


def test_training_ends_when_patience_is_over_and_not_before() -> None:
    assert not traced([5.0, 5.0]).stalled  # two steps are not two after a first one
    assert traced([5.0, 4.95, 4.95]).stalled
    assert not traced([5.0, 4.95, 4.85]).stalled
    assert traced([5.0, 4.0, 4.0, 3.95]).stalled
    assert not traced([5.0, 4.0, 4.0, 3.95], tolerance=0.01).stalled
    assert not traced([5.0, 4.0, 4.0, 3.95], patience=3).stalled


def test_the_dataset_says_what_happened() -> None:
    trace = Trace(patience=2, tolerance=0.0)
    trace.add(3.0, 4.0, bond=2)
    trace.add(2.0, 5.0, bond=4)
    ds = trace.to_dataset()
    assert ds["train_nll"].values.tolist() == [3.0, 2.0]
    assert ds["bond"].values.tolist() == [2.0, 4.0]
    assert ds["validation_nll"].attrs["units"] == "nats"
    assert ds["step"].values.tolist() == [0, 1]
    assert ds.attrs["best_step"] == 0


def test_the_text_of_a_trace_gives_the_same_bits() -> None:
    trace = traced([1 / 3, 0.1 + 0.2, 1e-300], [np.nan, np.nan, np.nan])
    again = Trace(patience=2, tolerance=0.1)
    again.restore(trace.text())
    assert again.columns["train_nll"] == trace.columns["train_nll"]
    assert np.isnan(again.columns["validation_nll"]).all()
    assert len(again) == 3


def test_a_generator_goes_on_where_it_stood() -> None:
    rng = np.random.default_rng(5)
    rng.normal(size=7)
    again = restore_rng(rng_text(rng))
    assert (again.random(5) == rng.random(5)).all()
    for text in ("not json", "{}", json.dumps({"bit_generator": "MT19937"}), "[1, 2]"):
        with pytest.raises(ModelFileError, match="state of a random generator"):
            restore_rng(text)


def test_a_checkpoint_belongs_to_its_settings_and_data(tmp_path: Path) -> None:
    path, data = tmp_path / "run.checkpoint", (np.arange(6).reshape(2, 3),)
    settings = {"rate": 0.5, "bond": 4}
    first = Checkpoint(path, kind="Model", settings=settings, data=data)
    assert first.read() is None
    first.write({"step": 3}, {"tensor": np.array([0.1, 0.2])})
    again = Checkpoint(path, kind="Model", settings=dict(reversed(settings.items())), data=data)
    found = again.read()
    assert found is not None
    assert found[0]["step"] == 3
    assert found[1]["tensor"].tolist() == [0.1, 0.2]
    others = [
        Checkpoint(path, kind="Model", settings=settings | {"bond": 5}, data=data),
        Checkpoint(path, kind="Model", settings=settings, data=(data[0] + 1,)),
        Checkpoint(path, kind="Model", settings=settings, data=(data[0].reshape(3, 2),)),
        Checkpoint(path, kind="Model", settings=settings, data=(data[0].astype(float),)),
    ]
    for other in others:
        with pytest.raises(ModelFileError, match="belongs to others"):
            other.read()
    with pytest.raises(ModelFileError, match="must hold a Other checkpoint"):
        Checkpoint(path, kind="Other", settings=settings, data=data).read()


def test_a_damaged_checkpoint_is_refused_and_the_old_one_survives_a_failed_write(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    checkpoint = Checkpoint(path, kind="Model", settings={}, data=())
    checkpoint.write({"step": 1}, {"a": np.ones(3)})
    before = path.read_bytes()
    with pytest.raises(TypeError, match="must hold numbers"):
        checkpoint.write({"step": 2}, {"a": np.array(["text"])})
    with pytest.raises(TypeError, match="JSON"):
        checkpoint.write({"step": object()}, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    path.write_bytes(before[: len(before) // 2])
    with pytest.raises(ModelFileError, match="cannot be read"):
        checkpoint.read()


def test_no_path_keeps_nothing() -> None:
    checkpoint = Checkpoint(None, kind="Model", settings={}, data=())
    checkpoint.write({"step": 1}, {})
    assert checkpoint.read() is None


def test_a_model_is_no_checkpoint(tmp_path: Path) -> None:
    write_arrays(tmp_path / "file", kind="Model", header={}, arrays={})
    with pytest.raises(ModelFileError, match="must hold a Model checkpoint"):
        Checkpoint(tmp_path / "file", kind="Model", settings={}, data=()).read()
