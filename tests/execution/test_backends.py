"""Names of backends, and what is said about those that are missing."""

from __future__ import annotations

import importlib.metadata
import json
import socket
import warnings
from pathlib import Path

import pytest

from qmlphys.execution import backends
from qmlphys.execution.backends import BackendMissing, available, fake_names, require, resolve


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without an account, on a machine without a network."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was reached for")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tmp_path


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    """Pretend that distributions are installed, or (None) are not."""
    real = importlib.metadata.version

    def version(name: str) -> str:
        key = name.replace("-", "_")
        if key not in versions:
            return real(name)
        found = versions[key]
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("statevector", "statevector"),
        ("aer", "simulator"),
        ("aer-mps", "simulator"),
        ("aer-gpu", "simulator"),
        ("fake_torino", "fake"),
        ("fake_fez", "fake"),
        ("fake_manila", "fake"),
        ("ibm_torino", "ibm"),
        ("ibm", "ibm"),
    ],
)
def test_names(name: str, kind: str) -> None:
    assert resolve(name) == backends.Backend(name, kind)
    assert resolve(f" {name.upper()} ").name == name


@pytest.mark.parametrize("name", ["", "ear", "fake_", "fake_nowhere", "ibm_", "ibm_../x", "ibm_a b", "qasm_simulator"])
def test_unknown_names_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(ValueError, match="must be the name of a backend") as caught:
        resolve(name)
    assert "\n" not in str(caught.value)


def test_close_names_are_suggested() -> None:
    with pytest.raises(ValueError, match="'fake_torino'"):
        resolve("fake_torinno")
    with pytest.raises(TypeError, match="must be text"):
        resolve(3)  # type: ignore[arg-type]


def test_all_stored_devices_are_known_without_building_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from qiskit_ibm_runtime import fake_provider
    from qiskit_ibm_runtime.fake_provider.fake_backend import FakeBackendV2

    def build(self: object) -> None:
        raise AssertionError("a device was built")

    monkeypatch.setattr(FakeBackendV2, "__init__", build)
    names = fake_names()
    assert len(names) > 50
    assert {"fake_torino", "fake_fez", "fake_sherbrooke"} <= set(names)
    assert all(resolve(name).kind == "fake" for name in names)
    monkeypatch.undo()
    with warnings.catch_warnings():
        # One stored device warns that its calibration is not typical.
        warnings.filterwarnings("ignore", message="Properties of fake_nighthawk", category=UserWarning)
        everything = fake_provider.FakeProviderForBackendV2().backends()
    assert {backend.name for backend in everything} == set(names)


def test_this_machine(home: Path) -> None:
    rows = {row.name: row for row in available()}
    assert rows["aer"].ok
    assert rows["fake_*"].ok
    assert not rows["ibm_*"].ok
    assert "save_account" in rows["ibm_*"].remedy
    for row in rows.values():
        assert row.ok == (row.remedy == "")
        assert "\n" not in row.detail + row.remedy


def test_both_aer_wheels_at_once(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    installed(monkeypatch, qiskit_aer="0.18.2", qiskit_aer_gpu="0.18.2")
    rows = {row.name: row for row in available()}
    for name in ("aer", "aer-mps", "aer-gpu", "fake_*"):
        assert not rows[name].ok
        assert "overwrite" in rows[name].detail
        assert "pip uninstall -y qiskit-aer qiskit-aer-gpu" in rows[name].remedy
    with pytest.raises(BackendMissing, match="pip uninstall"):
        require("aer")


def test_missing_extras(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    installed(monkeypatch, qiskit_aer=None, qiskit_aer_gpu=None, qiskit_ibm_runtime=None)
    rows = {row.name: row for row in available()}
    assert rows["statevector"].ok
    assert rows["aer"].remedy == "pip install 'qmlphys[aer]'"
    assert "aer-gpu" in rows["aer-gpu"].remedy
    assert rows["fake_*"].remedy == "pip install 'qmlphys[aer,ibm]'"
    assert rows["ibm_*"].remedy == "pip install 'qmlphys[ibm]'"
    with pytest.raises(BackendMissing, match=r"qmlphys\[aer,ibm\]"):
        resolve("fake_torino")
    with pytest.raises(BackendMissing, match=r"qmlphys\[aer\]"):
        require("aer")


def test_a_gpu_wheel_without_a_gpu(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    installed(monkeypatch, qiskit_aer=None, qiskit_aer_gpu="0.18.2")
    from qiskit_aer import AerSimulator

    monkeypatch.setattr(AerSimulator, "available_devices", lambda self: ("CPU",))
    assert "no NVIDIA GPU was found" in {row.name: row for row in available()}["aer-gpu"].detail
    monkeypatch.setattr(AerSimulator, "available_devices", lambda self: ("CPU", "GPU"))
    assert "without cuStateVec" in require_row("aer-gpu").detail
    installed(monkeypatch, qiskit_aer=None, qiskit_aer_gpu="0.18.2", custatevec_cu12="1.9")
    assert require_row("aer-gpu").detail.endswith("with cuStateVec")


def require_row(name: str) -> backends.Status:
    require(name)
    return {row.name: row for row in available()}[name]


def test_accounts_are_seen_but_never_read_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "secret-token-0123456789"  # noqa: S105 (made up)
    folder = home / ".qiskit"
    folder.mkdir()
    path = folder / "qiskit-ibm.json"
    path.write_text(json.dumps({"mine": {"channel": "ibm_quantum_platform", "token": token}}))
    assert available()[-1].ok
    assert "1 saved account" in available()[-1].detail
    path.write_text(json.dumps({"old": {"channel": "ibm_quantum", "token": token}}))
    assert not available()[-1].ok
    path.write_text('{"mine": {"token": "' + token + '", ')
    row = available()[-1]
    assert not row.ok
    assert "cannot be read" in row.detail
    path.write_text(json.dumps([token]))
    assert not available()[-1].ok
    monkeypatch.setenv("QISKIT_IBM_TOKEN", token)
    assert available()[-1].ok
    assert token not in repr(available())


def test_looking_writes_nothing(home: Path) -> None:
    available()
    assert list(home.iterdir()) == []
