"""How requests travel to the IBM Quantum service: timeouts, retries, and the one POST that creates a job.

The client repeats a POST whose answer was lost, and so can create a job twice (qiskit-ibm-runtime issue 1114). Here
every request of the client passes through `Transport`, which repeats only what is harmless to repeat (GET), never
waits without end, speaks plain http to this machine only, and notes for the POST that creates a job whether it was
surely not accepted, surely accepted, or possibly accepted.
"""

from __future__ import annotations

import contextlib
import email.utils
import ipaddress
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, ProxyError
from urllib3.util.retry import Retry

from qmlphys.execution._ibm_errors import NoAccount, Unreachable, keep_secret, scrub

__all__ = ["Attempt", "Authorization", "Transport", "is_loopback", "observed", "require_safe_url"]

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection."""

READ_TIMEOUT = 60.0
"""Seconds to wait for the next bytes of an answer."""

POST_TIMEOUT = 180.0
"""The same for the answer to a new job, which the service gives after it has stored the circuits."""

N_TRIES = 5
"""How often a GET is tried."""

MAX_WAIT = 60.0
"""Seconds that the pauses between the tries of one GET may last together."""

BACKOFF = 0.5
"""Seconds of the first pause where the service names none; each further one is twice as long."""

TEMPORARY = frozenset({429, 500, 502, 503, 504, 520, 521, 522, 524})
"""Answers after which a GET is tried again."""

REMOTE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
"""What the service's ids look like; they become parts of addresses."""

UNDECIDED = frozenset({408, 499})
"""4xx answers that a gateway gives for a request that may already have been handed on."""


@dataclass
class Attempt:
    """What is known of the one POST that creates a job.

    Parameters
    ----------
    fate : {"not sent", "maybe", "accepted"}
        Whether the service has the job.
    reason : str
        Why it has not, or why this is unknown.
    remote_id : str
        The service's id of the job, if it was accepted.
    n_posts : int
        How many were made: 0 or 1.
    """

    fate: Literal["not sent", "maybe", "accepted"] = "not sent"
    reason: str = ""
    remote_id: str = ""
    n_posts: int = 0


_LOCAL = threading.local()


@contextlib.contextmanager
def observed() -> Iterator[Attempt]:
    """Watch this thread's next POST of a job; only inside this block may a job be created.

    Yields
    ------
    Attempt
        What happened to it, filled in as it happens.
    """
    attempt = Attempt()
    _LOCAL.attempt = attempt
    try:
        yield attempt
    finally:
        del _LOCAL.attempt


def is_loopback(url: str) -> bool:
    """Tell whether an address leads to this machine.

    Parameters
    ----------
    url : str
        An absolute address.

    Returns
    -------
    bool
        True for 127.0.0.0/8, ::1 and localhost.

    Examples
    --------
    >>> is_loopback("http://127.0.0.1:8000/x"), is_loopback("http://127.0.0.1.example.com/")
    (True, False)
    """
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_safe_url(url: str, *, source: str) -> None:
    """Refuse an address to which credentials must not travel.

    Parameters
    ----------
    url : str
        An absolute address.
    source : str
        Where it stands, for the error text.

    Raises
    ------
    NoAccount
        If it is neither https nor plain http to this machine.

    Examples
    --------
    >>> require_safe_url("http://quantum.example.com/", source="QISKIT_IBM_URL")
    Traceback (most recent call last):
    ...
    qmlphys.execution._ibm_errors.NoAccount: The address in QISKIT_IBM_URL must start with https:// (...
    """
    parts = urlsplit(url)
    if (parts.scheme == "https" and parts.hostname) or (parts.scheme == "http" and is_loopback(url)):
        return
    shown = f"{parts.scheme}://{parts.hostname}" if parts.hostname else scrub(url)
    raise NoAccount(
        f"The address in {source} must start with https:// (plain http carries tokens only within this machine), "
        f"but it is {shown}."
    )


class Authorization(AuthBase):
    """Puts the access token on each request, or fails; the client's own falls back to sending the key itself.

    Parameters
    ----------
    original : qiskit_ibm_runtime.api.auth.CloudAuth
        The client's authorisation, which knows the key and the instance and fetches tokens.
    """

    def __init__(self, original: Any) -> None:
        self._manager = original.tm
        self._instance = original.crn
        keep_secret(original.api_key, original.crn)
        require_safe_url(self._manager.url, source="IAM_URL")
        # A redirection would carry the key wherever it points.
        limits = {"timeout": (CONNECT_TIMEOUT, READ_TIMEOUT), "allow_redirects": False}
        self._manager.http_config = {**self._manager.http_config, **limits}
        if is_loopback(self._manager.url):
            # None, unlike a missing entry, also switches off a proxy that stands in the environment.
            self._manager.http_config["proxies"] = dict.fromkeys(("http", "https", "all"))

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token and the instance to a request."""
        failure: Exception | None = None
        token = ""
        for n_failed in range(1, N_TRIES + 1):
            # After a failure the manager would sleep up to a minute, waiting for a request that nobody makes.
            self._manager.request_time = 0
            try:
                token = self._manager.get_token()
            except Exception as error:  # the sign-in library has errors of its own beside those of the transport
                failure = _token_failure(error)
                if isinstance(failure, NoAccount) or n_failed == N_TRIES:
                    break
                time.sleep(BACKOFF * 2 ** (n_failed - 1))
            else:
                failure = None
                break
        if failure is not None:
            raise failure
        keep_secret(token)
        request.headers.update({"Service-CRN": self._instance or "", "Authorization": f"Bearer {token}"})
        return request


def _token_failure(error: Exception) -> NoAccount | Unreachable:
    """Return what a failed request for an access token means."""
    code = getattr(error, "status_code", None)
    text = scrub(error)
    if isinstance(code, int) and 400 <= code < 500 and code not in (408, 429):
        return NoAccount(f"IBM Cloud refused the key of the account ({text}): save a new key, or set QISKIT_IBM_TOKEN.")
    return Unreachable(f"IBM Cloud gave no access token ({text}): try again later.")


class Transport(HTTPAdapter):
    """The one way out: bounded waiting, GETs repeated, the job's POST made once on a connection of its own."""

    def __init__(self) -> None:
        super().__init__(max_retries=_never())

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002 (answers are always read at once)
        timeout: Any = None,  # noqa: ARG002 (the client asks for none, or for ever)
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one prepared request (the interface of requests' adapters)."""
        url = request.url or ""
        require_safe_url(url, source="the account")
        options: dict[str, Any] = {
            "stream": False,
            "verify": verify,
            "cert": cert,
            # A proxy between this machine and itself would carry the token over the network.
            "proxies": {} if is_loopback(url) else proxies,
        }
        if request.method == "POST" and urlsplit(url).path.rstrip("/").endswith("/jobs"):
            return _post_job(request, {**options, "timeout": (CONNECT_TIMEOUT, POST_TIMEOUT)})
        options["timeout"] = (CONNECT_TIMEOUT, READ_TIMEOUT)
        if request.method in ("GET", "HEAD"):
            return self._get(request, options)
        return super().send(request, **options)

    def _get(self, request: requests.PreparedRequest, options: dict[str, Any]) -> requests.Response:
        """Send a request that may be repeated, a bounded number of times."""
        waited = 0.0
        for n_tried in range(1, N_TRIES + 1):
            pause = BACKOFF * 2 ** (n_tried - 1)
            try:
                response = super().send(request, **options)
                _ = response.content  # read here, so that an answer cut in its middle is repeated as well
            except requests.exceptions.SSLError:
                raise
            except requests.RequestException:
                if n_tried == N_TRIES or waited + pause > MAX_WAIT:
                    raise
            else:
                pause = max(pause, _retry_after(response))
                if response.status_code not in TEMPORARY or n_tried == N_TRIES or waited + pause > MAX_WAIT:
                    return response
            time.sleep(pause)
            waited += pause
        raise AssertionError("the last try returns or raises")


def _never() -> Retry:
    """Return urllib3's policy that repeats nothing, whatever happens."""
    return Retry(total=0, connect=0, read=False, redirect=0, status=0, other=0, respect_retry_after_header=False)


def _retry_after(response: requests.Response) -> float:
    """Return the pause, in seconds, that an answer asks for; 0 if none."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    with contextlib.suppress(TypeError, ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return 0.0


def _post_job(request: requests.PreparedRequest, options: dict[str, Any]) -> requests.Response:
    """Make the POST that creates a job: once, on a fresh connection, noting what became of it."""
    attempt: Attempt | None = getattr(_LOCAL, "attempt", None)
    if attempt is None:
        raise RuntimeError("A job may be created only inside `observed`.")
    if attempt.n_posts:
        raise RuntimeError("A second POST of the same job was stopped.")
    attempt.n_posts = 1
    attempt.fate = "maybe"
    # A connection that lay idle may have been closed by the other side, which would show only after the job was
    # written to it; on a fresh one, a failure to connect surely means that nothing was sent.
    adapter = HTTPAdapter(max_retries=_never())
    try:
        response = adapter.send(request, **options)
        _ = response.content
    except Exception as error:  # noted, and raised again
        attempt.reason = scrub(error)
        if _never_connected(error):
            attempt.fate = "not sent"
        raise
    finally:
        adapter.close()
    code = response.status_code
    if 200 <= code < 300:
        attempt.remote_id = _id_of(response)
        attempt.fate = "accepted" if attempt.remote_id else "maybe"
        attempt.reason = "" if attempt.remote_id else "the answer holds no job id"
        return response
    attempt.reason = f"status {code}: {scrub(response.text)}"
    if 400 <= code < 500 and code not in UNDECIDED:
        attempt.fate = "not sent"
    # requests would follow a redirection with a second POST.
    response.headers.pop("Location", None)
    return response


def _id_of(response: requests.Response) -> str:
    """Return the job's id from the answer to its POST; empty if there is none."""
    try:
        answer = response.json()
    except ValueError:
        return ""
    found = answer.get("id") if isinstance(answer, dict) else None
    return found if isinstance(found, str) and REMOTE_ID.fullmatch(found) else ""


def _never_connected(error: BaseException | None) -> bool:
    """Tell whether a failure happened before a connection stood, hence before anything was sent."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, (NewConnectionError, ConnectTimeoutError, ProxyError, ssl.SSLCertVerificationError)):
            return True
        inner: Any = error.reason if isinstance(error, MaxRetryError) else None
        if inner is None and error.args and isinstance(error.args[0], BaseException):
            inner = error.args[0]
        error = inner
    return False
