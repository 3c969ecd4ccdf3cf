"""What a device can do, kept for a day: its configuration and calibration, as the service's own JSON.

With the kept copy a circuit is translated and checked without any network.
"""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

from qiskit.transpiler import Target

from qmlphys._atomic import write_text
from qmlphys.execution._ibm_errors import IBMError

__all__ = ["MAX_AGE", "build", "file_of", "read", "require_name", "write"]

MAX_AGE = datetime.timedelta(days=1)
"""Devices are calibrated about once a day."""

MAX_BYTES = 64 * 1024**2
"""A kept file larger than this is not ours (a device of 156 qubits takes about 1 MB)."""

VERSION = 1
"""The layout of the kept files."""

# Names become parts of paths and of addresses.
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+){1,4}")


def require_name(name: str) -> None:
    """Refuse what cannot be the name of an IBM device.

    Parameters
    ----------
    name : str
        For example ``"ibm_torino"``.

    Raises
    ------
    ValueError
        If it holds anything else than lower-case letters, digits and underscores, or more than 60 characters.

    Examples
    --------
    >>> require_name("ibm_torino")
    >>> require_name("../ibm_torino")
    Traceback (most recent call last):
    ...
    ValueError: Argument `backend` must be the name of an IBM device such as 'ibm_torino', but it is '../ibm_torino'.
    """
    if not isinstance(name, str) or len(name) > 60 or not _NAME.fullmatch(name):
        raise ValueError(
            f"Argument `backend` must be the name of an IBM device such as 'ibm_torino', but it is {name!r:.80}."
        )


def file_of(name: str) -> Path:
    """Return the file in which a device's data are kept, in the user's data folder.

    Parameters
    ----------
    name : str
        The device's name.

    Returns
    -------
    pathlib.Path
        The file, which need not exist; its folder does.
    """
    from qmlphys.execution.ledger import home

    require_name(name)
    folder = home() / "targets"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{name}.json"


def read(name: str, *, now: datetime.datetime | None = None) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return a device's kept configuration and properties.

    Parameters
    ----------
    name : str
        The device's name.
    now : datetime, optional
        The present, with time zone; by default the clock's.

    Returns
    -------
    (configuration, properties) or None
        As the service gave them; None if nothing is kept, or it is older than `MAX_AGE`, or it cannot be read.
    """
    path = file_of(name)
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        kept = json.loads(path.read_text(encoding="utf-8"))
        age = (now or datetime.datetime.now(datetime.UTC)) - datetime.datetime.fromisoformat(kept["fetched"])
        valid = kept["version"] == VERSION and kept["name"] == name and datetime.timedelta() <= age < MAX_AGE
        configuration, properties = kept["configuration"], kept["properties"]
    except (OSError, ValueError, TypeError, KeyError):  # half written by another program, or of another version
        return None
    if not (valid and isinstance(configuration, dict) and isinstance(properties, dict)):
        return None
    return configuration, properties


def write(name: str, configuration: dict[str, Any], properties: dict[str, Any]) -> None:
    """Keep a device's configuration and properties.

    Parameters
    ----------
    name : str
        The device's name.
    configuration, properties : dict
        As the service gave them.
    """
    content = {
        "version": VERSION,
        "name": name,
        "fetched": datetime.datetime.now(datetime.UTC).isoformat(),
        "configuration": configuration,
        "properties": properties,
    }
    path = file_of(name)
    write_text(path, json.dumps(content))
    path.chmod(0o600)  # a device's data are public, but the folder holds private files only


def build(name: str, configuration: dict[str, Any], properties: dict[str, Any]) -> tuple[Target, str]:
    """Return a device's target and calibration time.

    Parameters
    ----------
    name : str
        The device's name.
    configuration, properties : dict
        As the service gave them. The client's decoders change them.

    Returns
    -------
    target : qiskit.transpiler.Target
        Gates, couplings, errors and durations, without faulty qubits and gates.
    calibration : str
        When the device was calibrated, ISO 8601 in UTC.

    Raises
    ------
    IBMError
        If the service's data cannot be understood.
    """
    from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
    from qiskit_ibm_runtime.utils.backend_decoder import configuration_from_server_data, properties_from_server_data

    calibration = calibration_time(properties)
    decoded = configuration_from_server_data(configuration, use_fractional_gates=False)
    if decoded is None:
        raise IBMError(f"The configuration of {name} cannot be understood by the installed qiskit-ibm-runtime.")
    calibrated = properties_from_server_data(properties, use_fractional_gates=False)
    target = convert_to_target(configuration=decoded, properties=calibrated)
    return target, calibration


def calibration_time(properties: dict[str, Any]) -> str:
    """Return when a device was calibrated, ISO 8601 in UTC.

    Parameters
    ----------
    properties : dict
        As the service gave them.

    Returns
    -------
    str
        For example ``"2025-02-26T20:26:08+00:00"``.

    Raises
    ------
    IBMError
        If the time is missing or is none.
    """
    text = properties.get("last_update_date")
    try:
        time = datetime.datetime.fromisoformat(str(text))
    except ValueError:
        raise IBMError("The service's calibration data hold no valid time.") from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=datetime.UTC)
    return time.astimezone(datetime.UTC).isoformat()
