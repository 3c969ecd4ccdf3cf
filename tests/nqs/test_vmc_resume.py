"""Checkpoints: a run that was killed goes on bit for bit, and files that are not what they should be are refused."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from qmlphys.hamiltonians import Heisenberg, TransverseIsing
from qmlphys.lattices import chain
from qmlphys.nqs import (
    RBM,
    VMC,
    CheckpointError,
    ExponentialDecay,
    FullSumState,
    Jastrow,
    Metropolis,
    MonteCarloState,
    NaturalGradient,
)
from qmlphys.nqs.tangent import flat_parameters

N_STEPS = 40

# What the killed process runs, and this one too; `KILL` is the step after which it kills itself, or nothing.
PROGRAM = """
import os, signal, sys
from qmlphys.hamiltonians import TransverseIsing
from qmlphys.lattices import chain
from qmlphys.nqs import RBM, VMC, ExponentialDecay, Metropolis, MonteCarloState, NaturalGradient

path, last, kill = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
state = MonteCarloState(RBM(10, alpha=2, dtype="complex128", rng=1), Metropolis(n_chains=32), n_samples=64, rng=2)
vmc = VMC(
    TransverseIsing(chain(10)),
    state,
    natural_gradient=NaturalGradient(diagonal_shift=ExponentialDecay(1e-1, 1e-3, n_steps=30), momentum=0.7),
    step_size=0.04,
)

def callback(vmc):
    if vmc.n_steps == kill:
        os.kill(os.getpid(), signal.SIGKILL)

vmc.run(last, checkpoint=path, checkpoint_every=0.0, callback=callback)
"""


def make_state(rng=2, seed=1):
    ansatz = RBM(10, alpha=2, dtype="complex128", rng=seed)
    return MonteCarloState(ansatz, Metropolis(n_chains=32), n_samples=64, rng=rng)


def make_vmc(**changes):
    gradient = NaturalGradient(diagonal_shift=ExponentialDecay(1e-1, 1e-3, n_steps=30), momentum=0.7)
    return VMC(TransverseIsing(chain(10)), make_state(), natural_gradient=gradient, step_size=0.04, **changes)


@pytest.fixture(scope="module")
def uninterrupted():
    vmc = make_vmc()
    return vmc.run(N_STEPS), flat_parameters(vmc.state.ansatz), vmc.estimate(256)


def assert_continues(path, uninterrupted, n_done):
    # Other weights and other random numbers: all of them must come from the file.
    vmc = VMC.resume(path, TransverseIsing(chain(10)), make_state(rng=77, seed=88))
    assert vmc.n_steps == n_done
    history = vmc.run(N_STEPS - n_done)
    expected, parameters, estimate = uninterrupted
    assert torch.equal(flat_parameters(vmc.state.ansatz), parameters)
    for name in set(expected.data_vars) - {"seconds"}:
        np.testing.assert_array_equal(history[name].values, expected[name].values, err_msg=name)
    assert vmc.estimate(256) == estimate
    attrs = {k: v for k, v in history.attrs.items() if k != "versions"}
    assert attrs == {k: v for k, v in expected.attrs.items() if k != "versions"}


def test_resume_after_kill_9_gives_the_same_bits(tmp_path, uninterrupted):
    path = tmp_path / "vmc.pt"
    arguments = [sys.executable, "-c", PROGRAM, str(path), str(N_STEPS), "23"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    # The step that the kill followed was never written.
    assert_continues(path, uninterrupted, 22)


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path, uninterrupted):
    path = tmp_path / "vmc.pt"
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(path), "100000", "-1"]) as process:
        end = time.monotonic() + 120
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(0.05)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    vmc = VMC.resume(path, TransverseIsing(chain(10)), make_state(rng=77, seed=88))
    if vmc.n_steps <= N_STEPS:
        assert_continues(path, uninterrupted, vmc.n_steps)
    # Whatever was being written has its own name.
    assert all(p.name == "vmc.pt" or p.name.endswith(".part") for p in tmp_path.iterdir())


def test_ctrl_c_ends_after_the_step_with_a_checkpoint(tmp_path, uninterrupted):
    path = tmp_path / "vmc.pt"
    before = signal.getsignal(signal.SIGINT)

    def callback(vmc):
        if vmc.n_steps == 17:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        make_vmc().run(N_STEPS, checkpoint=path, callback=callback)
    assert signal.getsignal(signal.SIGINT) is before
    assert_continues(path, uninterrupted, 17)


def test_runs_outside_of_the_main_thread(tmp_path):
    found = []
    thread = threading.Thread(target=lambda: found.append(make_vmc().run(2).sizes["step"]))
    thread.start()
    thread.join(60)
    assert found == [2]


def test_an_error_in_the_callback_leaves_a_checkpoint(tmp_path, uninterrupted):
    path = tmp_path / "vmc.pt"

    def callback(vmc):
        if vmc.n_steps == 5:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_vmc().run(N_STEPS, checkpoint=path, callback=callback)
    assert_continues(path, uninterrupted, 5)


def test_full_sums_resume_too(tmp_path):
    path = tmp_path / "vmc.pt"
    model = Heisenberg(chain(6))

    def state(seed):
        return FullSumState(Jastrow(6, scale=0.2, rng=seed), magnetization=0)

    vmc = VMC(model, state(1))
    vmc.run(5, checkpoint=path)
    vmc.run(5)
    again = VMC.resume(path, model, state(9))
    again.run(5)
    assert torch.equal(flat_parameters(again.state.ansatz), flat_parameters(vmc.state.ansatz))


def test_a_continuation_may_change_step_and_gradient(tmp_path):
    path = tmp_path / "vmc.pt"
    make_vmc().run(3, checkpoint=path)
    vmc = VMC.resume(
        path, TransverseIsing(chain(10)), make_state(), natural_gradient=NaturalGradient("sr"), step_size=0.5
    )
    assert vmc.run(1).step_size.values.tolist() == [0.04, 0.04, 0.04, 0.5]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "vmc.pt"
    make_vmc().run(2, checkpoint=path)
    return path


def refused(path, match, *, model=None, state=None):
    state = make_state() if state is None else state
    before = flat_parameters(state.ansatz)
    with pytest.raises(CheckpointError, match=match):
        VMC.resume(path, TransverseIsing(chain(10)) if model is None else model, state)
    assert torch.equal(flat_parameters(state.ansatz), before)


def test_another_calculation_is_refused(path):
    refused(path, "`hamiltonian`", model=TransverseIsing(chain(10), field=0.5))
    refused(path, "`matrix_elements`", model=TransverseIsing(chain(10, periodic=False)))
    refused(
        path,
        "parameters 'hidden.weight'",
        state=MonteCarloState(RBM(10, alpha=1, dtype="complex128"), Metropolis(n_chains=32), n_samples=64),
    )
    refused(
        path, "must be torch.float64", state=MonteCarloState(RBM(10, alpha=2), Metropolis(n_chains=32), n_samples=64)
    )
    refused(path, "`ansatz`", state=MonteCarloState(Jastrow(10), Metropolis(n_chains=32), n_samples=64))
    refused(
        path,
        "`n_samples`",
        state=MonteCarloState(RBM(10, alpha=2, dtype="complex128"), Metropolis(n_chains=32), n_samples=96),
    )
    refused(
        path,
        "`sampler`",
        state=MonteCarloState(RBM(10, alpha=2, dtype="complex128"), Metropolis(n_chains=16), n_samples=64),
    )


def test_damaged_files_are_refused(path, tmp_path):
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path, "no checkpoint or is damaged|no checkpoint")
    path.write_bytes(b"CDF" + whole)
    # A prefix shifts every offset; whether zip copes or not, nothing but a refusal or the same content may come.
    path.write_bytes(whole[: len(whole) // 2] + b"\0" * 64 + whole[len(whole) // 2 + 64 :])
    with contextlib.suppress(CheckpointError):
        VMC.resume(path, TransverseIsing(chain(10)), make_state())
    with pytest.raises(FileNotFoundError):
        VMC.resume(tmp_path / "none.pt", TransverseIsing(chain(10)), make_state())


class Evil:
    def __reduce__(self):
        return (os.system, ("echo hacked",))


class Hungry:
    def __reduce__(self):
        return (bytearray, (2**40,))


@pytest.mark.parametrize("thing", [Evil(), Hungry()], ids=["system", "bytearray"])
def test_files_that_call_something_are_refused(thing, tmp_path, capfd):
    torch.save({"format": "qmlphys.nqs.vmc", "version": 1, "settings": thing}, tmp_path / "evil.pt")
    refused(tmp_path / "evil.pt", "names")
    assert "hacked" not in capfd.readouterr().out


def rewritten(path, change):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def damage(*keys, value):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (damage("format", value="other"), "no checkpoint of an optimisation"),
        (damage("version", value=99), "version 1, but it has 99"),
        (damage("extra", value=1), "differs in \\['extra'\\]"),
        (damage("settings", value="{"), "settings .* damaged"),
        (damage("settings", value="[]"), "settings .* damaged"),
        (damage("settings", value=3), "settings .* damaged"),
        (damage("parameters", value=3), "parameters of the checkpoint"),
        (damage("parameters", "hidden.weight", value=torch.zeros(2)), "parameters 'hidden.weight'"),
        (
            damage("parameters", "hidden.weight", value=torch.full((20, 10), torch.nan, dtype=torch.complex128)),
            "must be finite",
        ),
        # One number, repeated by a stride of zero: as large as wanted for nothing.
        (
            damage("parameters", "hidden.weight", value=torch.zeros(1, dtype=torch.complex128).expand(2**40)),
            "declares more numbers than it holds",
        ),
        (damage("history", "energy", value=torch.zeros(3, dtype=torch.float64)), "history's columns"),
        (damage("history", "energy", value="x"), "history's columns"),
        (damage("history", value=3), "history's columns"),
        (damage("previous", value=torch.zeros(3)), "last direction"),
        (damage("state", "rng", value="{}"), "do not fit"),
        (damage("state", "rng", value=3), "do not fit"),
        (damage("state", "chains", value=3), "do not fit"),
        (damage("state", value=None), "do not fit"),
        (damage("diagnostics", value={"0": torch.zeros(3)}), "do not fit"),
        (damage("diagnostics", value={"5": torch.zeros(3, 3)}), "do not fit"),
    ],
)
def test_files_with_other_contents_are_refused(path, change, match):
    rewritten(path, change)
    refused(path, match)


def test_packed_archives_are_refused(path, tmp_path):
    other = tmp_path / "packed.pt"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in archive.infolist():
            packed.writestr(entry.filename, archive.read(entry))
    refused(other, "packed")


def test_large_files_are_refused_unread(path, monkeypatch):
    monkeypatch.setattr("qmlphys.nqs._checkpoint.MAX_BYTES", 1000)
    refused(path, "at most 1000 bytes")


def test_settings_are_plain_text(path):
    content = torch.load(path, weights_only=True)
    settings = json.loads(content["settings"])
    assert settings["ansatz"] == "RBM"
    assert settings["natural_gradient"]["momentum"] == 0.7
    assert Path(path).stat().st_size < 100_000
