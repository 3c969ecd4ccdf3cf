"""Backends by name, and what this machine has of them.

========================  ==================================================================================
``statevector``           exact: all amplitudes, with or without shots; nothing to install
``aer``                   Qiskit Aer's state-vector simulator
``aer-mps``               Qiskit Aer's matrix product states: many qubits, little entanglement
``aer-gpu``               Qiskit Aer's state-vector simulator on an NVIDIA GPU
``fake_torino``, ...      any stored IBM device, with its calibrated noise, simulated by Aer
``ibm_torino``, ...       any IBM device of the user's account; ``ibm`` is the least busy one
========================  ==================================================================================
"""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
import importlib.util
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "Backend",
    "BackendMissing",
    "Status",
    "available",
    "custatevec",
    "fake_device",
    "fake_names",
    "require",
    "resolve",
]

_SIMULATORS = ("aer", "aer-mps", "aer-gpu")
# The service's own rule for device names, so that a name can stand in an address.
_IBM_NAME = re.compile(r"ibm_[a-z0-9]+(_[a-z0-9]+){0,3}")
_FAKE_NAME = re.compile(r"fake_[a-z0-9]+(_[a-z0-9]+){0,3}")
_AER_WHEELS = ("qiskit-aer", "qiskit-aer-gpu")
_CUSTATEVEC = ("custatevec-cu13", "custatevec-cu12", "custatevec-cu11")
_BOTH_WHEELS = "pip uninstall -y qiskit-aer qiskit-aer-gpu && pip install {}"
_NO_ACCOUNT = (
    "set QISKIT_IBM_TOKEN (and QISKIT_IBM_INSTANCE), or save an account once with "
    "qiskit_ibm_runtime.QiskitRuntimeService.save_account()"
)


class BackendMissing(ValueError):  # noqa: N818 (it says what happened)
    """The backend exists, but this machine cannot use it; the text says what to do about it."""


BackendMissing.__module__ = "qmlphys.execution"  # where users find it


@dataclass(frozen=True)
class Backend:
    """A backend's name, and what kind it is.

    Parameters
    ----------
    name : str
        Canonical name.
    kind : {"statevector", "simulator", "fake", "ibm"}
        What runs it: this library, Aer, Aer with a stored device's noise, or IBM.
    """

    name: str
    kind: str


@dataclass(frozen=True)
class Status:
    """One row of ``qmlphys backends``.

    Parameters
    ----------
    name : str
        The backend, or family of backends.
    ok : bool
        Whether this machine can use it now.
    detail : str
        What there is, or what is missing.
    remedy : str
        The one line that mends it; empty where nothing is missing.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def resolve(name: str) -> Backend:
    """Return the backend of a name.

    Parameters
    ----------
    name : str
        See the head of `qmlphys.execution.backends`. Case does not matter.

    Returns
    -------
    Backend
        Frozen. No simulator and no device object is built, and no network is reached; that an IBM device of this
        name exists is seen only when a job is prepared for it.

    Raises
    ------
    ValueError
        If there is no such backend; the text names close ones.

    Examples
    --------
    >>> resolve("aer")
    Backend(name='aer', kind='simulator')
    >>> resolve("ear")
    Traceback (most recent call last):
    ...
    ValueError: Argument `backend` must be the name of a backend, but it is 'ear': did you mean 'aer'?
    """
    if not isinstance(name, str):
        raise TypeError(f"Argument `backend` must be text, but it is a {type(name).__name__}.")
    plain = name.strip().lower()
    if plain == "statevector":
        return Backend(plain, "statevector")
    if plain in _SIMULATORS:
        return Backend(plain, "simulator")
    if plain == "ibm" or _IBM_NAME.fullmatch(plain):
        return Backend(plain, "ibm")
    known = ["statevector", *_SIMULATORS, "ibm"]
    if plain.startswith("fake_"):
        if not _installed("qiskit-ibm-runtime"):
            if _FAKE_NAME.fullmatch(plain):
                raise BackendMissing(f"Backend {plain} needs qiskit-ibm-runtime: pip install 'qmlphys[aer,ibm]'")
        elif plain in _fakes():
            return Backend(plain, "fake")
        else:
            known += fake_names()
    close = difflib.get_close_matches(plain, known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "`qmlphys backends` lists them."
    raise ValueError(f"Argument `backend` must be the name of a backend, but it is {name!r:.80}: {hint}")


def require(name: str) -> Backend:
    """Return the backend of a name, once this machine has what it needs.

    Parameters
    ----------
    name : str
        A backend's name.

    Returns
    -------
    Backend
        As `resolve` gives it.

    Raises
    ------
    BackendMissing
        If something must be installed or set up first; the text is one line with the cure.
    ValueError
        If there is no such backend.

    Examples
    --------
    >>> require("statevector").kind
    'statevector'
    """
    backend = resolve(name)
    checks = {"statevector": [], "fake": [_runtime, _aer], "ibm": [_account]}
    for check in checks.get(backend.kind, [_gpu if backend.name == "aer-gpu" else _aer]):
        status = check()
        if not status.ok:
            raise BackendMissing(f"Backend {backend.name} cannot be used here ({status.detail}): {status.remedy}")
    return backend


def available() -> list[Status]:
    """Say which backends this machine has, and what mends those that it has not.

    Returns
    -------
    list of Status
        One row for each backend, all fake devices together in one and all IBM devices in one. Nothing is sent over
        the network, and no token is read out.

    Examples
    --------
    >>> [row.name for row in available()]
    ['statevector', 'aer', 'aer-mps', 'aer-gpu', 'fake_*', 'ibm_*']
    >>> available()[0].ok
    True
    """
    aer = _aer()
    fakes = _runtime()
    if fakes.ok:
        detail = f"{len(fake_names())} stored devices, for example fake_torino and fake_fez"
        fakes = Status("fake_*", True, detail) if aer.ok else Status("fake_*", False, aer.detail, aer.remedy)
    return [
        Status("statevector", True, f"exact, by Qiskit {_version('qiskit')}"),
        aer,
        Status("aer-mps", aer.ok, aer.detail, aer.remedy),
        _gpu(),
        fakes,
        _account(),
    ]


def fake_names() -> list[str]:
    """Return the names of all stored IBM devices, in alphabetical order.

    Returns
    -------
    list of str
        For example "fake_torino". Empty where qiskit-ibm-runtime is not installed. None of the devices is built.

    Examples
    --------
    >>> "fake_torino" in fake_names()
    True
    """
    return sorted(_fakes()) if _installed("qiskit-ibm-runtime") else []


@functools.lru_cache(maxsize=8)
def fake_device(name: str) -> Any:
    """Build a stored IBM device, or give the one that was built before: reading its files takes a third of a second.

    Parameters
    ----------
    name : str
        Its canonical name.

    Returns
    -------
    qiskit_ibm_runtime.fake_provider.fake_backend.FakeBackendV2
        Not to be changed.

    Examples
    --------
    >>> fake_device("fake_torino").num_qubits
    133
    """
    return _fakes()[name]()


def custatevec() -> bool:
    """Tell whether NVIDIA's cuStateVec, which speeds up Aer on GPUs, is installed.

    Returns
    -------
    bool
        Whether one of its packages is there; no GPU is asked.

    Examples
    --------
    >>> isinstance(custatevec(), bool)
    True
    """
    return any(_installed(package) for package in _CUSTATEVEC)


@functools.cache
def _fakes() -> dict[str, Any]:
    """Return the classes of all stored devices by name."""
    from qiskit_ibm_runtime import fake_provider

    classes = (getattr(fake_provider, key) for key in dir(fake_provider))
    named = ((getattr(cls, "backend_name", None), cls) for cls in classes if isinstance(cls, type))
    return {name: cls for name, cls in named if isinstance(name, str) and name.startswith("fake_")}


def _installed(package: str) -> bool:
    """Tell whether a distribution is installed."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _version(package: str) -> str:
    """Return an installed distribution's version."""
    return importlib.metadata.version(package)


def _aer() -> Status:
    """Tell whether Aer can be used."""
    wheels = [package for package in _AER_WHEELS if _installed(package)]
    if len(wheels) == 2:
        detail = "qiskit-aer and qiskit-aer-gpu are both installed and overwrite each other's files"
        return Status("aer", False, detail, _BOTH_WHEELS.format("qiskit-aer"))
    if not wheels or importlib.util.find_spec("qiskit_aer") is None:
        return Status("aer", False, "qiskit-aer is not installed", "pip install 'qmlphys[aer]'")
    return Status("aer", True, f"Qiskit Aer {_version(wheels[0])}")


def _gpu() -> Status:
    """Tell whether Aer can use a GPU."""
    name, wheels = "aer-gpu", [package for package in _AER_WHEELS if _installed(package)]
    if len(wheels) == 2:
        return Status(name, False, _aer().detail, _BOTH_WHEELS.format("qiskit-aer-gpu"))
    if wheels == ["qiskit-aer"]:
        detail = "the installed Aer is the one without GPU"
        return Status(name, False, detail, "pip uninstall -y qiskit-aer && pip install 'qmlphys[aer-gpu]' (Linux only)")
    if not wheels or importlib.util.find_spec("qiskit_aer") is None:
        return Status(name, False, "qiskit-aer-gpu is not installed", "pip install 'qmlphys[aer-gpu]' (Linux only)")
    try:
        from qiskit_aer import AerSimulator

        devices = AerSimulator().available_devices()
    except (ImportError, OSError, RuntimeError) as error:  # a CUDA library that the wheel needs is not there
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return Status(name, False, f"Aer does not load: {reason}", "install the NVIDIA driver, or use the backend aer")
    if "GPU" not in devices:
        return Status(name, False, "no NVIDIA GPU was found", "install the NVIDIA driver, or use the backend aer")
    speed = "with cuStateVec" if custatevec() else "without cuStateVec (pip install custatevec-cu12 adds it)"
    return Status(name, True, f"Qiskit Aer {_version('qiskit-aer-gpu')} on the GPU, {speed}")


def _runtime() -> Status:
    """Tell whether the stored devices are there."""
    if not _installed("qiskit-ibm-runtime"):
        return Status("fake_*", False, "qiskit-ibm-runtime is not installed", "pip install 'qmlphys[aer,ibm]'")
    return Status("fake_*", True, f"qiskit-ibm-runtime {_version('qiskit-ibm-runtime')}")


def _account() -> Status:
    """Tell whether an IBM account is set up, without asking the service and without reading the token out."""
    name = "ibm_*"
    if not _installed("qiskit-ibm-runtime"):
        return Status(name, False, "qiskit-ibm-runtime is not installed", "pip install 'qmlphys[ibm]'")
    if os.environ.get("QISKIT_IBM_TOKEN"):
        return Status(name, True, "account from the environment (QISKIT_IBM_TOKEN)")
    # Where the client keeps accounts. Its own look-up would create the file.
    path = Path.home() / ".qiskit" / "qiskit-ibm.json"
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        names = [key for key, entry in saved.items() if entry.get("token") and entry.get("channel") != "ibm_quantum"]
    except FileNotFoundError:
        names = []
    except (OSError, ValueError, AttributeError):
        # The parser's own text would quote the file, and with it a token.
        return Status(name, False, f"the account file {path} cannot be read", _NO_ACCOUNT)
    if not names:
        return Status(name, False, "no IBM account is set up", _NO_ACCOUNT)
    return Status(name, True, f"{len(names)} saved account{'s' if len(names) > 1 else ''}")
