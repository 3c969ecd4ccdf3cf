from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from qmlphys import generative
from qmlphys.generative import BornMachine, FactorGraphModel, ModelFileError, from_factor_graph, load, save
from qmlphys.generative._file import read_arrays, write_arrays
from qmlphys.mps import MatrixProductState

X = np.array([[0, 0, 0, 1], [1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0]])


@pytest.fixture(scope="module")
def model() -> BornMachine:
    return BornMachine(max_bond=3, validation_fraction=0.25, max_sweeps=3, random_state=1).fit(X)


def test_a_saved_model_is_the_same_model(model: BornMachine, tmp_path: Path) -> None:
    path = tmp_path / "born.model"
    save(model, path)
    again = load(path)
    assert type(again) is BornMachine
    assert again.get_params() == model.get_params()
    assert again.alphabet_ == "bits"
    assert again.n_features_in_ == 4
    assert again.bonds_ == model.bonds_
    for mine, theirs in zip(again.state_.tensors, model.state_.tensors, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(again.sample(20, 3), model.sample(20, 3))
    assert again.history_.identical(model.history_)


def test_complex_states_and_those_without_a_history_are_kept(tmp_path: Path) -> None:
    vector = np.random.default_rng(0).normal(size=(8, 2)) @ [1, 1j]
    made = BornMachine.from_state(MatrixProductState.from_vector(vector), alphabet="spins")
    save(made, tmp_path / "file")
    again = load(tmp_path / "file")
    np.testing.assert_array_equal(again.state_.to_vector(), made.state_.to_vector())
    assert not hasattr(again, "history_")
    assert again.alphabet_ == "spins"


def test_other_models_are_kept_too(tmp_path: Path) -> None:
    factors = FactorGraphModel([(0, 1), (1, 2), (2, 3)], l2=1e-3).fit(X)
    for made in (factors, from_factor_graph(factors)):
        save(made, tmp_path / "file")
        again = load(tmp_path / "file")
        assert type(again) is type(made)
        np.testing.assert_allclose(again.score_samples(X), made.score_samples(X), rtol=1e-12)


def test_where_a_model_was_trained_is_not_kept(tmp_path: Path) -> None:
    fitted = BornMachine(
        max_bond=2, checkpoint=tmp_path / "c", random_state=np.random.default_rng(1), verbose=False
    ).fit(X)
    save(fitted, tmp_path / "file")
    again = load(tmp_path / "file")
    assert again.checkpoint is None
    assert again.random_state is None


def test_only_fitted_models_are_saved(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        save(BornMachine(), tmp_path / "file")

    class Other(BornMachine):
        pass

    Other.__name__ = "BornMachine"
    for other in (3, {"kind": "BornMachine"}, Other):
        with pytest.raises(TypeError, match="`model` must be a generative model"):
            save(other, tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")


def parts(model: BornMachine) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return model._to_file()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"alphabet": "real"}, "'real'"),
        ({"n_sites": 7}, "7 sites|site 4 is missing"),
        ({"n_sites": 10**12}, "names 1000000000000 sites"),
        ({"n_sites": "4"}, "names '4' sites"),
        ({"n_sites": True}, "names True sites"),
        ({"parameters": {"max_bond": 0}}, "`max_bond` must be between"),
        ({"parameters": {"max_bond": "many"}}, "`max_bond` must be an integer"),
        ({"parameters": {"cutoff": None}}, "must hold a BornMachine"),
        ({"parameters": {"checkpoint": "/etc/passwd"}}, "settings of a BornMachine"),
        ({"parameters": {"__class__": "x"}}, "settings of a BornMachine"),
        ({"parameters": [1]}, "settings of a BornMachine"),
    ],
)
def test_headers_that_do_not_fit_are_refused(
    model: BornMachine, tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    header, arrays = parts(model)
    write_arrays(tmp_path / "file", kind="BornMachine", header=header | changes, arrays=arrays)
    with pytest.raises(ModelFileError, match=text):
        load(tmp_path / "file")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"tensor_1": np.zeros((3, 2, 2))}, "fit together|left bond"),
        ({"tensor_1": np.zeros(4)}, r"\(left, 2, right\)"),
        ({"tensor_2": np.full((3, 2, 2), np.nan)}, "must be finite|fit together"),
        ({"tensor_2": None}, "site 2 is missing"),
        ({"tensor_0": np.zeros((1, 2, 2))}, "all its amplitudes are zero|left bond"),
        ({"history_train_nll": np.zeros(2)}, "columns of equal length"),
        ({"history_train_nll": np.zeros((3, 1))}, "columns of equal length"),
        ({"history_validation_nll": None}, "columns of equal length"),
        ({"history_train_nll": np.zeros(())}, "cannot be made of it|columns"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    model: BornMachine, tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    header, arrays = parts(model)
    changed = {name: array for name, array in (arrays | changes).items() if array is not None}
    write_arrays(tmp_path / "file", kind="BornMachine", header=header, arrays=changed)
    with pytest.raises(ModelFileError, match=text):
        load(tmp_path / "file")


@pytest.mark.parametrize("kind", ["os", "builtins.eval", "model_files", "", None, 3, ["BornMachine"], {"a": 1}])
def test_kinds_that_are_no_models_are_refused(tmp_path: Path, kind: Any) -> None:
    write_arrays(tmp_path / "file", kind=kind, header={}, arrays={})
    with pytest.raises(ModelFileError, match="must hold a model"):
        load(tmp_path / "file")


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was executed",))


def npy(array: Any, *, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), allow_pickle=allow_pickle)
    return stream.getvalue()


def archive(path: Path, entries: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(name, content)


HEADER = npy(
    np.frombuffer(json.dumps({"format": "qmlphys.generative", "version": 1, "kind": "M"}).encode(), dtype=np.uint8)
)


def test_pickles_are_refused_and_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = (
        pickle.dumps(Bomb()),
        b"",
        b"PK\x03\x04",
        b"text",
        npy(np.zeros(3)),  # no archive
    )
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="cannot be read"):
            load(path)
    hidden = npy(np.array([Bomb()], dtype=object), allow_pickle=True)
    for entries in ({"header.npy": hidden}, {"header.npy": HEADER, "a.npy": hidden}):
        archive(path, entries)
        with pytest.raises(ModelFileError, match="arrays of numbers"):
            load(path)


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    monkeypatch.setattr("qmlphys.generative._file.MAX_BYTES", 10**6)
    archive(path, {"header.npy": HEADER, "a.npy": npy(np.zeros(2 * 10**5))})
    assert path.stat().st_size < 10**5
    with pytest.raises(ModelFileError, match="must hold at most 1000000 bytes"):
        load(path)
    archive(path, {f"{k}": b"" for k in range(20_001)})
    with pytest.raises(ModelFileError, match="in 20001"):
        load(path)


def test_shapes_beyond_what_is_stored_are_refused_before_they_are_allocated(tmp_path: Path) -> None:
    small = npy(np.zeros(4))
    claimed = io.BytesIO()
    np.lib.format.write_array_header_1_0(claimed, {"descr": "<f8", "fortran_order": False, "shape": (2**33,)})
    archive(tmp_path / "file", {"header.npy": HEADER, "a.npy": claimed.getvalue() + bytes(32)})
    with pytest.raises(ModelFileError, match=r"claims shape \(8589934592,\)"):
        load(tmp_path / "file")
    # What is stored truly is read.
    archive(tmp_path / "file", {"header.npy": HEADER, "a.npy": small})
    assert read_arrays(tmp_path / "file")[1]["a"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 100_000,
        b"[1]",
        b'"text"',
        b"\xff\xfe",
        b'{"format": "other", "version": 1}',
        b'{"format": "qmlphys.generative", "version": 2}',
    ],
)
def test_headers_that_are_none_are_refused(tmp_path: Path, header: bytes) -> None:
    archive(tmp_path / "file", {"header.npy": npy(np.frombuffer(header, dtype=np.uint8))})
    with pytest.raises(ModelFileError, match="must be a model of qmlphys"):
        load(tmp_path / "file")


def test_entries_without_a_header_or_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    for entries in ({}, {"a.npy": npy(np.zeros(2))}, {"header.npy": HEADER, "note.txt": b"hello, world"}):
        archive(tmp_path / "file", entries)
        with pytest.raises(ModelFileError, match="must be a model of qmlphys"):
            load(tmp_path / "file")


def test_arrays_of_text_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="must hold numbers"):
        write_arrays(tmp_path / "file", kind="M", header={}, arrays={"a": np.array(["text"])})
    assert not list(tmp_path.iterdir())


def test_a_flipped_bit_anywhere_never_gives_another_error(model: BornMachine, tmp_path: Path) -> None:
    path = tmp_path / "file"
    save(model, path)
    content = path.read_bytes()
    rng = np.random.default_rng(2)
    refused = 0
    for place in rng.integers(len(content), size=150):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged))
        try:
            load(path)  # bits of dates and the like change nothing
        except ModelFileError:
            refused += 1
    assert refused > 75


def test_the_lazy_names_are_the_real_ones() -> None:
    assert generative.save is save
    assert generative.ModelFileError is ModelFileError
    assert set(generative.__all__) <= set(dir(generative))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = generative.nothing
