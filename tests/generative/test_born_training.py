"""Training of Born machines: the problem of one pair, passes, checkpoints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qmlphys.bits import bits_to_integers
from qmlphys.generative import BornMachine, ModelFileError
from qmlphys.generative import _born_training as born_training
from qmlphys.generative._sweeps import Pair, Sweeper, canonical, first_tensors, log_likelihoods, minimised, smoothed
from qmlphys.mps import MatrixProductState


def markov_chain(n: int, n_sites: int, flip: float, rng: np.random.Generator) -> NDArray[np.int8]:
    first = rng.integers(0, 2, (n, 1))
    flips = rng.random((n, n_sites - 1)) < flip
    return (np.cumsum(np.hstack([first, flips]), axis=1) % 2).astype(np.int8)


def probabilities(state: MatrixProductState) -> NDArray[np.float64]:
    p = np.abs(state.to_vector()) ** 2
    return p / p.sum()


# The problem of one pair ------------------------------------------------------------------------------------------


def pair_of(rng: np.random.Generator, n_rows: int = 12, left: int = 3, right: int = 2) -> tuple[Pair, NDArray[Any]]:
    sizes = np.bincount(rng.integers(0, 4, n_rows), minlength=4)
    weights = rng.uniform(0.5, 1.5, n_rows)
    lefts, rights = ([rng.uniform(0.1, 1, (m, bond)) for m in sizes] for bond in (left, right))
    pair = Pair(lefts, rights, weights / weights.sum())
    return pair, rng.uniform(0.1, 1, (4, left, right))


def loss(blocks: NDArray[Any], pair: Pair) -> float:
    return float((blocks**2).sum() - pair.weights @ np.log(pair.amplitudes(blocks) ** 2))


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_of_a_pair_is_that_of_finite_differences(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pair, blocks = pair_of(rng)
    gradient = 2 * blocks - 2 * pair.accumulated(pair.weights / pair.amplitudes(blocks))
    step = 1e-6
    for index in np.ndindex(*blocks.shape):
        change = np.zeros_like(blocks)
        change[index] = step
        slope = (loss(blocks + change, pair) - loss(blocks - change, pair)) / (2 * step)
        assert gradient[index] == pytest.approx(slope, abs=1e-7)  # of the differences: 1e-16 / 1e-6 and 1e-12


def test_a_pair_is_brought_to_its_minimum_from_anywhere() -> None:
    pair, blocks = pair_of(np.random.default_rng(3))
    ends = []
    for start in (blocks, 7 * blocks[::-1], blocks**4):
        values = [loss(minimised(start, pair, n_steps=k, learning_rate=1.0), pair) for k in (0, 1, 2, 4, 8, 400)]
        assert (np.diff(values) <= 1e-12).all()
        ends.append(minimised(start, pair, n_steps=400, learning_rate=1.0))
    # Convex: one minimum, where the gradient vanishes and the norm is one.
    for end in ends:
        np.testing.assert_allclose(end, ends[0], atol=1e-7)
        np.testing.assert_allclose(end, pair.accumulated(pair.weights / pair.amplitudes(end)), atol=1e-6)
        assert np.linalg.norm(end) == pytest.approx(1, rel=1e-9)
    part = minimised(blocks, pair, n_steps=400, learning_rate=0.25)
    np.testing.assert_allclose(part - blocks, (ends[0] - blocks) / 4, atol=1e-7)
    assert loss(ends[0], pair) < loss(part, pair) < loss(blocks, pair)


def test_rows_that_were_cut_off_gain_amplitude_again() -> None:
    pair, blocks = pair_of(np.random.default_rng(4))
    blocks[0] = 0.0
    assert (pair.amplitudes(blocks)[: len(pair.left[0])] == 0).all()
    found = minimised(blocks, pair, n_steps=40, learning_rate=0.5)
    assert np.isfinite(found).all()
    assert (pair.amplitudes(found) > 1e-3).all()


def test_sweeps_keep_the_canonical_form_and_lower_the_nll() -> None:
    rng = np.random.default_rng(5)
    bits = np.unique(rng.integers(0, 2, (20, 7)), axis=0).astype(np.int8)
    weights = np.full(len(bits), 1 / len(bits))
    sweeper = Sweeper(canonical(first_tensors(bits, weights, rng)), max_bond=6, cutoff=0.0, learning_rate=0.3)
    values = []
    for _ in range(3):
        sweeper.begin(bits, weights)
        while sweeper.position < sweeper.n_positions:
            sweeper.update()
            state = MatrixProductState(tuple(sweeper.tensors))
            assert state.norm == pytest.approx(1, rel=1e-12)
            values.append(-weights @ np.log(probabilities(state)[bits_to_integers(bits)]))
        np.testing.assert_allclose(
            log_likelihoods(sweeper.tensors, bits), np.log(probabilities(state)[bits_to_integers(bits)]), rtol=1e-10
        )
        for tensor in sweeper.tensors[1:]:
            np.testing.assert_allclose(np.einsum("lsr,msr->lm", tensor, tensor), np.eye(tensor.shape[0]), atol=1e-12)
        assert max(tensor.shape[2] for tensor in sweeper.tensors) <= 6
    assert values[-1] < values[0] - 0.5
    assert values[-1] > np.log(len(bits)) - 1e-9


def test_smoothing_is_a_gate_on_every_site() -> None:
    state = MatrixProductState.from_vector(np.random.default_rng(1).normal(size=16)).normalized()
    gate = np.cosh(0.3) * np.eye(2) + np.sinh(0.3) * np.eye(2)[::-1]
    vector = np.kron(np.kron(gate, gate), np.kron(gate, gate)) @ state.to_vector()
    found = MatrixProductState(tuple(smoothed(list(state.tensors), 0.3))).to_vector()
    np.testing.assert_allclose(found, vector / np.linalg.norm(vector), rtol=1e-10, atol=1e-13)


# Checkpoints ------------------------------------------------------------------------------------------------------

SETTINGS: dict[str, Any] = {
    "max_bond": 6,
    "learning_rate": 0.05,
    "batch_size": 20,
    "validation_fraction": 0.2,
    "patience": 50,
    "smoothing": 0.01,
    "random_state": 5,
}


def same_bits(one: BornMachine, other: BornMachine) -> None:
    for mine, theirs in zip(one.state_.tensors, other.state_.tensors, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert one.history_.identical(other.history_)


def test_a_longer_run_continues_a_shorter_with_the_same_bits(tmp_path: Path) -> None:
    X = markov_chain(80, 8, 0.2, np.random.default_rng(1))
    straight = BornMachine(**SETTINGS, max_sweeps=5).fit(X)
    for n_sweeps in (1, 3, 5):
        resumed = BornMachine(**SETTINGS, max_sweeps=n_sweeps, checkpoint=tmp_path / "c").fit(X)
        assert len(resumed.history_.step) == n_sweeps
    same_bits(straight, resumed)
    same_bits(straight, BornMachine(**SETTINGS, max_sweeps=5, checkpoint=tmp_path / "c").fit(X))


def test_an_interruption_anywhere_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X = markov_chain(80, 8, 0.2, np.random.default_rng(1))
    straight = BornMachine(**SETTINGS, max_sweeps=3).fit(X)

    class StoppedError(Exception):
        pass

    update = Sweeper.update
    for n_pairs in (1, 12, 13, 60):
        path = tmp_path / f"{n_pairs}"
        left = n_pairs

        def stopping(self: Sweeper) -> None:
            nonlocal left
            if not left:
                raise StoppedError
            left -= 1
            if not left:
                monkeypatch.setattr(born_training, "_SECONDS", -1.0)  # a checkpoint after this pair
            update(self)

        monkeypatch.setattr(born_training, "_SECONDS", 1e9)
        monkeypatch.setattr(Sweeper, "update", stopping)
        with pytest.raises(StoppedError):
            BornMachine(**SETTINGS, max_sweeps=3, checkpoint=path).fit(X)
        monkeypatch.setattr(Sweeper, "update", update)
        same_bits(straight, BornMachine(**SETTINGS, max_sweeps=3, checkpoint=path).fit(X))


def test_without_a_seed_the_checkpoint_knows_it(tmp_path: Path) -> None:
    X = markov_chain(40, 6, 0.2, np.random.default_rng(1))
    unseeded = SETTINGS | {"random_state": None}
    first = BornMachine(**unseeded, max_sweeps=2, checkpoint=tmp_path / "c").fit(X)
    again = BornMachine(**unseeded, max_sweeps=3, checkpoint=tmp_path / "c").fit(X)
    np.testing.assert_array_equal(first.history_["train_nll"], again.history_["train_nll"][:2])


def test_a_killed_process_leaves_a_checkpoint_that_goes_on(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        import numpy as np
        from qmlphys.generative import BornMachine, _born_training
        _born_training._SECONDS = 0.01
        X = np.random.default_rng(1).integers(0, 2, (200, 20))
        model = BornMachine(max_bond=8, learning_rate=0.01, max_sweeps=10**6, patience=10**6, checkpoint=sys.argv[1],
                            random_state=1)
        print("ready", flush=True)
        model.fit(X)
        """
    )
    path = tmp_path / "c"
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    X = np.random.default_rng(1).integers(0, 2, (200, 20))
    settings = {"max_bond": 8, "learning_rate": 0.01, "random_state": 1, "patience": 10**6}
    n_done = 4
    resumed = BornMachine(**settings, max_sweeps=n_done, checkpoint=path).fit(X)
    if len(resumed.history_.step) == n_done:  # not farther than that when it was killed
        same_bits(resumed, BornMachine(**settings, max_sweeps=n_done).fit(X))


def test_checkpoints_of_other_settings_or_data_are_refused(tmp_path: Path) -> None:
    X = markov_chain(40, 6, 0.2, np.random.default_rng(1))
    BornMachine(**SETTINGS, max_sweeps=1, checkpoint=tmp_path / "c").fit(X)
    for change in ({"max_bond": 5}, {"random_state": 6}, {"smoothing": 0.0}, {"batch_size": None}):
        with pytest.raises(ModelFileError, match="belongs to others"):
            BornMachine(**SETTINGS | change, max_sweeps=1, checkpoint=tmp_path / "c").fit(X)
    with pytest.raises(ModelFileError, match="belongs to others"):
        BornMachine(**SETTINGS, max_sweeps=1, checkpoint=tmp_path / "c").fit(X[::-1])
    with pytest.raises(FileNotFoundError):
        BornMachine(**SETTINGS, max_sweeps=1, checkpoint=tmp_path / "missing" / "c").fit(X)
