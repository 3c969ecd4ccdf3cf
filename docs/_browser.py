"""A headless chromium, driven through two pipes by its DevTools protocol: no library, no download, no open port."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-default-browser-check",
    "--no-first-run",
    # Nothing but this machine can be reached, so that a page which loads something from elsewhere shows it.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)


class BrowserError(RuntimeError):
    """The browser did not start, stopped, or did not answer in time."""


def find(path: str | None = None) -> str | None:
    """Return where chromium is: the path given, or the first of its names that is on PATH."""
    return shutil.which(path) if path else next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One chromium with an empty profile of its own, which is gone when the block ends.

    Parameters
    ----------
    path : str
        The program.
    timeout : float
        Seconds that any answer may take.
    """

    def __init__(self, path: str, *, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._profile = tempfile.TemporaryDirectory(prefix="qmlphys-docs-", ignore_cleanup_errors=True)
        self._buffer = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []
        # The browser reads commands from descriptor 3 and writes answers to descriptor 4.
        to_read, to_write = os.pipe()
        answers_read, answers_write = os.pipe()
        child_in = fcntl.fcntl(to_read, fcntl.F_DUPFD, 10)
        child_out = fcntl.fcntl(answers_write, fcntl.F_DUPFD, 10)
        os.close(to_read)
        os.close(answers_write)
        quiet = os.open(os.devnull, os.O_RDWR)
        try:
            self._pid = os.posix_spawn(
                path,
                [path, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, quiet, 0),
                    (os.POSIX_SPAWN_DUP2, quiet, 1),
                    (os.POSIX_SPAWN_DUP2, quiet, 2),
                    (os.POSIX_SPAWN_DUP2, child_in, 3),
                    (os.POSIX_SPAWN_DUP2, child_out, 4),
                ],
                setpgroup=0,
            )
        finally:
            for descriptor in (child_in, child_out, quiet):
                os.close(descriptor)
        self._write, self._read = to_write, answers_read

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and every process that it started."""
        if not self._pid:
            return
        os.close(self._write)
        deadline = time.monotonic() + 5.0
        gone = 0
        while not gone and time.monotonic() < deadline:  # it leaves by itself when its pipe is closed
            gone, _ = os.waitpid(self._pid, os.WNOHANG)
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        if not gone:
            os.waitpid(self._pid, 0)
        os.close(self._read)
        self._pid = 0
        self._profile.cleanup()

    def _receive(self, deadline: float) -> dict[str, Any]:
        """Return the next message of the browser."""
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise BrowserError(f"The browser did not answer within {self._timeout:.0f} s.")
            piece = os.read(self._read, 1 << 16)
            if not piece:
                raise BrowserError("The browser stopped, or did not start.")
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def call(self, method: str, session: str | None = None, /, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its answer; events that come in between are kept in `events`."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        try:
            os.write(self._write, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise BrowserError("The browser stopped, or did not start.") from None
        deadline = time.monotonic() + self._timeout
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error'].get('message')}")
                return dict(answer["result"])
            self.events.append(answer)

    def wait_for(self, method: str, session: str) -> dict[str, Any]:
        """Wait for an event of a page, which may have come already."""
        deadline = time.monotonic() + self._timeout
        seen = 0
        while True:
            for event in self.events[seen:]:
                if event.get("method") == method and event.get("sessionId") == session:
                    return event
            seen = len(self.events)
            self.events.append(self._receive(deadline))


class Page:
    """One tab of a browser, as wide as a phone unless it is told otherwise."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command to this tab."""
        return self._browser.call(method, self._session, **parameters)

    def resize(self, width: int, height: int = 844) -> None:
        """Set the size of the screen in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def open(self, address: str) -> None:
        """Load an address and wait until all of it is there."""
        self._browser.events.clear()
        failed = self.call("Page.navigate", url=address).get("errorText")
        if failed:
            raise BrowserError(f"{address}: {failed}")
        self._browser.wait_for("Page.loadEventFired", self._session)
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def wait_for_load(self) -> None:
        """Wait until the page that something on this one leads to is loaded."""
        self._browser.wait_for("Page.loadEventFired", self._session)

    def forget(self) -> None:
        """Forget the events so far."""
        self._browser.events.clear()

    def run(self, script: str) -> Any:
        """Return the value of an expression of JavaScript, a promise awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"The page could not say {script!r:.80}: {answer['exceptionDetails'].get('text')}")
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """Return errors and warnings of the console, exceptions, and failed requests since the page was opened."""
        found = []
        requests: dict[str, str] = {}
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            method, what = event["method"], event["params"]
            if method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
                text = " ".join(str(part.get("value", part.get("description", ""))) for part in what["args"])
                found.append(f"console {what['type']}: {text}")
            elif method == "Runtime.exceptionThrown":
                details = what["exceptionDetails"]
                found.append(f"exception: {details.get('exception', {}).get('description', details.get('text'))}")
            elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
                found.append(
                    f"{what['entry']['source']}: {what['entry']['text']} {what['entry'].get('url', '')}".strip()
                )
            elif method == "Network.requestWillBeSent":
                requests[what["requestId"]] = what["request"]["url"]
            elif method == "Network.loadingFailed" and not what.get("canceled"):
                found.append(f"failed request: {requests.get(what['requestId'], '?')} ({what['errorText']})")
            elif method == "Network.responseReceived" and what["response"]["status"] >= 400:
                found.append(f"failed request: {what['response']['url']} (status {what['response']['status']})")
        here = ("http://127.0.0.1:", "data:", "blob:", "about:")
        found += [f"request to elsewhere: {address}" for address in requests.values() if not address.startswith(here)]
        return list(dict.fromkeys(found))
