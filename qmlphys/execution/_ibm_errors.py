"""What can go wrong between this machine and the IBM Quantum service, as plain sentences without secrets.

The client's own exceptions may hold addresses, account names and, in the objects that they carry, access tokens.
None of them leaves `qmlphys.execution`: `plain` turns each into one of the classes here, with scrubbed text and with
no link back to the original.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = [
    "IBMError",
    "MaybeSent",
    "NoAccount",
    "NotSent",
    "UnknownJob",
    "Unreachable",
    "forget_secrets",
    "keep_secret",
    "plain",
    "scrub",
]

P = ParamSpec("P")
R = TypeVar("R")

MAX_TEXT = 400
"""Characters that an error text takes over from the service; the rest is cut."""

MIN_SECRET = 6
"""Shorter strings are not treated as secrets: replacing them would garble ordinary words."""

_SECRETS: set[str] = set()

# What a credential looks like, should one turn up that was never registered: authorisation headers, JSON web tokens,
# cloud resource names (they name the account), and the password part of an address.
_PATTERNS = (
    re.compile(r"(?i)\b(bearer|apikey)['\"]?[\s:=]+['\"]?[^\s'\",;)}]+"),
    re.compile(r"(?i)\b(access_token|refresh_token|api_key|token|password)['\"]?\s*[:=]\s*['\"]?[^\s'\",;&)}]+"),
    re.compile(r"eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"),
    re.compile(r"crn:v\d[^\s'\",;)}]*"),
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),
)


class IBMError(RuntimeError):
    """The IBM Quantum service, or the way to it, failed. The text holds no credentials."""


class NoAccount(IBMError):  # noqa: N818 (it says what happened)
    """Qiskit's account store and its environment variables hold no usable account."""


class Unreachable(IBMError):  # noqa: N818 (it says what happened)
    """The service did not answer in time, or answered that it cannot serve now; trying later may help."""


class UnknownJob(IBMError):  # noqa: N818 (it says what happened)
    """The service has no job of that id in any instance of the account."""


class NotSent(IBMError):  # noqa: N818 (it says what happened)
    """The job was surely not accepted: nothing left this machine, or the service refused it."""


class MaybeSent(IBMError):  # noqa: N818 (it says what happened)
    """The job may have been accepted: it was on its way when the answer was lost. Look it up by its tag."""


def keep_secret(*texts: str | None) -> None:
    """Remember texts that `scrub` must remove from everything.

    Parameters
    ----------
    *texts : str or None
        Tokens, account names; None and texts shorter than `MIN_SECRET` are passed over.
    """
    _SECRETS.update(text for text in texts if text and len(text) >= MIN_SECRET)


def forget_secrets() -> None:
    """Forget what `keep_secret` was told (the account changed)."""
    _SECRETS.clear()


def scrub(text: object) -> str:
    """Return a text on one line, at most `MAX_TEXT` characters long, without anything that opens an account.

    Parameters
    ----------
    text : object
        What to clean; its `str` is taken.

    Returns
    -------
    str
        The text with ``***`` where a secret stood.

    Examples
    --------
    >>> scrub("refused: Authorization: Bearer abc.def.ghi for crn:v1:bluemix:public:quantum:us:a/1::")
    'refused: Authorization: *** for ***'
    """
    cleaned = str(text)
    # The longest first: a secret may contain another one.
    for secret in sorted(_SECRETS, key=len, reverse=True):
        cleaned = cleaned.replace(secret, "***")
    for pattern in _PATTERNS:
        cleaned = pattern.sub("***", cleaned)
    cleaned = " ".join(cleaned.split())
    return cleaned if len(cleaned) <= MAX_TEXT else cleaned[: MAX_TEXT - 3] + "..."


def plain(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function raise only our own exceptions, with scrubbed text and no link to the originals.

    Parameters
    ----------
    function : callable
        A function that calls the client.

    Returns
    -------
    callable
        The same function; exceptions of the client become `IBMError` or one of its kinds.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except IBMError as error:
            failure = type(error)(scrub(error))
        except Exception as error:  # every failure is translated, lest one show a request with its token
            failure = _translated(error)
        # Raised outside the handler, so that neither __cause__ nor __context__ leads to the original, whose request
        # object carries the access token.
        raise failure

    return wrapped


def _translated(error: Exception) -> IBMError:
    """Return the exception of ours that says what one of the client's means."""
    text = scrub(error)
    code = getattr(error, "status_code", None)
    kind = type(error).__name__
    if kind in ("AccountNotFoundError", "InvalidAccountError", "IBMNotAuthorizedError") or code in (401, 403):
        return NoAccount(
            f"The IBM Quantum account was refused ({text}): check the saved account, or QISKIT_IBM_TOKEN and "
            "QISKIT_IBM_INSTANCE."
        )
    if code == 429:
        return Unreachable(f"The IBM Quantum service asks to slow down ({text}): try again in a few minutes.")
    if code is not None and (code == -1 or code >= 500):
        return Unreachable(f"The IBM Quantum service cannot be reached or cannot serve now ({text}): try again later.")
    if kind in ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError", "ApiException"):
        return Unreachable(
            f"The IBM Quantum service cannot be reached ({text}): check the network, or try again later."
        )
    return IBMError(f"The IBM Quantum client failed with {kind}: {text}")
