"""The one connection of this process to the IBM Quantum service: account, client, transport, lock.

The account comes from Qiskit's own store (`QiskitRuntimeService.save_account`) or its environment variables
(QISKIT_IBM_TOKEN, QISKIT_IBM_INSTANCE, QISKIT_IBM_URL); nothing of it is stored here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qmlphys.execution._ibm_errors import IBMError, NoAccount, forget_secrets, keep_secret, scrub

__all__ = ["Connection", "connected", "has_account"]

HOW_TO_MEND = (
    "save one once with `QiskitRuntimeService.save_account(token=..., instance=...)`, or set QISKIT_IBM_TOKEN and "
    "QISKIT_IBM_INSTANCE"
)

_VARIABLES = (
    "QISKIT_IBM_TOKEN",
    "QISKIT_IBM_INSTANCE",
    "QISKIT_IBM_URL",
    "QISKIT_IBM_CHANNEL",
    "QISKIT_FUNCTIONS_EXPERIMENTAL",
    "IAM_URL",
)


class Connection:
    """The client's service object, made safe: every session of it speaks through our transport.

    Parameters
    ----------
    service : qiskit_ibm_runtime.QiskitRuntimeService
        The service object.
    """

    def __init__(self, service: Any) -> None:
        self.service = service
        self._backends: dict[str, Any] = {}

    def clients(self) -> list[Any]:
        """Return the client of each instance of the account, in the account's order."""
        return list(self.service._get_api_clients().values())

    def backend(self, name: str) -> Any:
        """Return the client's object of a device.

        Raises
        ------
        IBMError
            If no instance of the account offers it.
        """
        if name not in self._backends:
            from qiskit.providers.exceptions import QiskitBackendNotFoundError

            try:
                self._backends[name] = self.service.backend(name)
            except QiskitBackendNotFoundError:
                known = ", ".join(self.device_names()) or "none"
                raise IBMError(f"The account has no device {name!r}; it has: {known}.") from None
        return self._backends[name]

    def device_names(self) -> list[str]:
        """Return the names of the account's real devices, sorted."""
        rows = [row for rows in self.service._backends_info_per_instance.values() for row in rows]
        return sorted({row["name"] for row in rows if row.get("class") != "mock"})


class _Process:
    """What one process holds; a forked child starts with a fresh one, for sockets and locks cannot be shared."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.RLock()
        self.account = ""
        self.connection: Connection | None = None


_PROCESS = _Process()


@contextlib.contextmanager
def connected() -> Iterator[Connection]:
    """Hold the connection: opened when first needed, and again when the account changes.

    The client's objects change while they are used, so one thread at a time talks.

    Yields
    ------
    Connection
        The open connection.

    Raises
    ------
    NoAccount
        If there is no usable account.
    """
    global _PROCESS
    if _PROCESS.pid != os.getpid():
        _PROCESS = _Process()
    process = _PROCESS
    with process.lock:
        account = _account_mark()
        if process.connection is None or process.account != account:
            process.connection = None
            forget_secrets()
            process.connection = Connection(_open())
            process.account = account
        yield process.connection


def has_account() -> bool:
    """Tell, without any network, whether Qiskit's store or the environment names an account.

    Returns
    -------
    bool
        True if there is one; whether the service accepts it is another question.
    """
    try:
        return _account() is not None
    except IBMError:
        return False


def _account_file() -> Path:
    """Return the file in which Qiskit keeps its accounts."""
    from qiskit_ibm_runtime.accounts import management

    return Path(management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE)


def _account_mark() -> str:
    """Return a digest that changes when the account does."""
    parts = [f"{name}={os.environ.get(name)}" for name in _VARIABLES]
    with contextlib.suppress(OSError):
        stat = _account_file().stat()
        parts.append(f"{stat.st_mtime_ns} {stat.st_size}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _account() -> Any:
    """Return the client's account object; one clear sentence where there is none."""
    try:
        from qiskit_ibm_runtime.accounts import AccountManager
    except ImportError:
        raise NoAccount(
            "IBM devices need the package qiskit-ibm-runtime: install it with `pip install 'qmlphys[ibm]'`."
        ) from None
    reason = ""
    account = None
    # The client makes a missing file's folder when it reads; where that is not allowed there is no account either.
    try:
        account = AccountManager.get()
    except Exception as error:  # damaged files raise what their parser does
        reason = "" if type(error).__name__ == "AccountNotFoundError" else f" ({scrub(error)})"
    if account is None:
        raise NoAccount(f"No IBM Quantum account was found{reason}: {HOW_TO_MEND}.")
    if not account.token:
        raise NoAccount(f"The IBM Quantum account holds no token: {HOW_TO_MEND}.")
    return account


def _open() -> Any:
    """Return a new service object whose every request goes through our transport."""
    account = _account()
    keep_secret(account.token, account.instance)
    from qiskit_ibm_runtime import QiskitRuntimeService

    from qmlphys.execution._ibm_transport import Transport, require_safe_url

    require_safe_url(account.url, source="the account (QISKIT_IBM_URL)")
    if os.environ.get("IAM_URL"):
        require_safe_url(os.environ["IAM_URL"], source="IAM_URL")

    class Service(QiskitRuntimeService):
        """The client's service with our transport under each of its sessions."""

        _active_api_client: Any

        def _discover_backends_from_instance(self, instance: str) -> list[tuple[str, bool]]:
            """List an instance's devices: the client's first request, which it lets fail without a word."""
            if instance != self._active_api_client._instance:
                if instance not in self._api_clients:
                    self._api_clients[instance] = self._create_new_cloud_api_client(instance)
                self._active_api_client = self._api_clients[instance]
            client = _secured(self._active_api_client)
            try:
                rows = client.list_backends(True)
            except Exception as error:  # judged by its status code; all others go on
                # An account may name instances that it can no longer use; a single one must answer.
                if self._default_instance or getattr(error, "status_code", None) != 403:
                    raise
                rows = []
            self._backends_info_per_instance[instance] = rows
            return [(row["name"], row.get("class") == "mock") for row in rows]

        def _create_new_cloud_api_client(self, instance: str) -> Any:
            """Make the client of one more instance."""
            return _secured(super()._create_new_cloud_api_client(instance))

        def _check_instance_usage(self) -> None:
            """Warn where the instance's time is spent; the client's own text holds the account's name."""
            from qiskit_ibm_runtime.api.exceptions import RequestsApiError

            usage: dict[str, Any] = {}
            with contextlib.suppress(RequestsApiError):  # only a courtesy: the service itself decides
                usage = self.usage()
            if usage.get("usage_limit_reached"):
                warnings.warn(
                    "The account's instance has used up its device time: the job waits until there is more.",
                    stacklevel=2,
                )

    service = Service()
    for client in [service._active_api_client, *service._get_api_clients().values()]:
        session = client._session
        if not all(isinstance(session.get_adapter(scheme), Transport) for scheme in ("http://", "https://")):
            raise IBMError(
                "The installed qiskit-ibm-runtime opens connections in a way that qmlphys does not know, so jobs could "
                "be sent twice: install the version named in constraints.txt."
            )
    return service


def _secured(client: Any) -> Any:
    """Put our transport and our authorisation under a client of the runtime package; returns the client."""
    from qmlphys.execution._ibm_transport import Authorization, Transport, require_safe_url

    session = client._session
    require_safe_url(session.base_url, source="the account (QISKIT_IBM_URL)")
    if not isinstance(session.auth, Authorization):
        session.auth = Authorization(session.auth)
        session.mount("http://", Transport())
        session.mount("https://", Transport())
    return client
