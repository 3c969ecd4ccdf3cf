"""A loop-back HTTP server that speaks the part of the IBM Quantum service which the client uses.

For tests, tutorials and manual use; nothing in qmlphys knows of it. It keeps jobs, runs them with Aer as fake devices
do, and fails on demand. In a test::

    with running_server() as server:
        os.environ.update(server.environment)      # or monkeypatch.setenv, or a child's environment
        server.fail("cut-after", method="POST", path="/jobs")
        ...
        assert len(server.accepted()) == 1

By hand: ``python tests/execution/ibm_server.py`` prints the environment to export and serves until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

# Tests are no package and this file is loaded by its path, so its other half is as well.
_spec = importlib.util.spec_from_file_location("ibm_service", Path(__file__).with_name("ibm_service.py"))
assert _spec is not None
assert _spec.loader is not None
ibm_service = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(ibm_service)

KEY = "loopback-key-0123456789-never-a-real-one"
INSTANCE = "crn:v1:bluemix:public:quantum-computing:us-east:a/loopback0account:loopback0instance::"
SECOND_INSTANCE = INSTANCE.replace("instance::", "another::")
BASE = "/experimental"
KINDS = (
    "status",
    "status-after",
    "cut-before",
    "cut-after",
    "slow-before",
    "slow-after",
    "garbage",
    "truncated",
    "job-error",
    "repeat-page",
)


class Handler(BaseHTTPRequestHandler):
    """HTTP in, `Service` out; the faults happen here."""

    protocol_version = "HTTP/1.1"
    # Head and body leave as two packets; without this the second waits 40 ms for the first to be acknowledged.
    disable_nagle_algorithm = True
    service: Any

    def log_message(self, *_: Any) -> None:
        """Keep the terminal clean."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        expected = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(expected)
        if len(body) < expected:  # the sender died in the middle: this request never was
            self.close_connection = True
            return
        if url.path.startswith("/control/"):
            self._reply(*self._outcome(lambda: self.service.control(url.path.removeprefix("/control/"), body)))
            return
        service = self.service
        path = url.path.removeprefix(BASE)
        with service.lock:
            service.in_flight += 1
            service.requests.append({"method": method, "path": path, "query": url.query, "time": time.monotonic()})
        try:
            with contextlib.suppress(OSError):  # the other side may be gone
                self._serve_with_faults(method, path, parse_qs(url.query), body)
        finally:
            with service.lock:
                service.in_flight -= 1

    def _serve_with_faults(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> None:
        faults = self.service.faults_of(method, path)
        kinds = [fault["kind"] for fault in faults]
        value = {fault["kind"]: fault["value"] for fault in faults}
        if self.service.announce and (method, path) == ("POST", "/jobs"):
            print("POST", flush=True)  # noqa: T201 (the owner listens)
        if "slow-before" in kinds:
            time.sleep(value["slow-before"])
        if "cut-before" in kinds:
            self._cut()
            return
        if "status" in kinds:
            self._fail(value["status"])
            return
        status, text = self._outcome(lambda: self._answer(method, path, query, body, kinds))
        if "slow-after" in kinds:
            time.sleep(value["slow-after"])
        if "cut-after" in kinds:
            self._cut()
            return
        if "status-after" in kinds:
            self._fail(value["status-after"])
            return
        if "garbage" in kinds:
            text = "<html>not what was asked for</html>"
        self._reply(status, text, truncated="truncated" in kinds)

    def _fail(self, value: int | list[Any]) -> None:
        """Answer with an error that carelessly repeats the credentials it was sent."""
        status, headers = value if isinstance(value, list) else (value, {})
        message = f"failed on demand; {self.headers.get('Authorization')} {self.headers.get('Service-CRN')}"
        self._reply(status, json.dumps({"error": {"message": message, "code": status}}), headers)

    def _answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes, kinds: list[str]) -> Any:
        if (method, path) == ("POST", "/identity/token"):
            if parse_qs(body.decode()).get("apikey") != [KEY]:
                raise ibm_service.Refusal(400, "Provided API key could not be found.")
            return self.service.token()
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        instance = self.headers.get("Service-CRN", "")
        if token not in self.service.tokens or instance not in (INSTANCE, SECOND_INSTANCE):
            raise ibm_service.Refusal(401, "The token is not valid.")
        return self.service.answer(method, path, query, body, instance=instance, faults=kinds)

    @staticmethod
    def _outcome(action: Any) -> tuple[int, str]:
        try:
            answer = action()
        except ibm_service.Refusal as refusal:
            return refusal.status, json.dumps({"error": {"message": str(refusal), "code": refusal.code}})
        if answer is None:
            return 204, ""
        return 200, answer if isinstance(answer, str) else json.dumps(answer)

    def _reply(self, status: int, text: str, headers: dict[str, str] | None = None, *, truncated: bool = False) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if truncated else data)
        if truncated:
            self._cut()

    def _cut(self) -> None:
        """End the connection without a further byte."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)


class HTTPServer(ThreadingHTTPServer):
    """Many short connections at once, on this machine only."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """Pass over connections that the other side ended."""


class Server:
    """A running server, as its owner sees it: the environment of its clients, faults, and what it has seen.

    Parameters
    ----------
    port : int
        Where it listens.
    announcements : file, optional
        The standard output of a server in a process of its own.
    """

    def __init__(self, port: int, announcements: Any = None) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self.announcements = announcements

    @property
    def environment(self) -> dict[str, str]:
        """The variables under which the client talks to this server, and to nothing else."""
        return {
            "QISKIT_IBM_TOKEN": KEY,
            "QISKIT_IBM_INSTANCE": INSTANCE,
            "QISKIT_IBM_URL": self.root + BASE,
            "QISKIT_IBM_CHANNEL": "ibm_quantum_platform",
            "QISKIT_FUNCTIONS_EXPERIMENTAL": "1",
            "IAM_URL": self.root,
            # Else the client looks through the whole call stack at each request, which takes longer than the request.
            "USAGE_DATA_OPT_OUT": "True",
        }

    def fail(self, kind: str, *, method: str = "GET", path: str = ".*", times: int = 1, value: Any = None) -> None:
        """Let the next requests fail.

        Parameters
        ----------
        kind : str
            "status" and "status-after" (value: the code, or [code, headers]), "cut-before" and "cut-after",
            "slow-before" and "slow-after" (value: seconds), "garbage", "truncated", "job-error", "repeat-page". What
            has "after" in its name takes effect before it fails.
        method, path : str
            Which requests; the path, without /experimental, is a regular expression for all of it.
        times : int
            How many.
        value : object
            See `kind`.
        """
        assert kind in KINDS, kind
        self._control("fault", {"kind": kind, "method": method, "path": path, "times": times, "value": value})

    def mend(self) -> None:
        """Forget all faults."""
        self._control("mend")

    def hold(self, hold: bool = True) -> None:
        """Keep new jobs waiting, or let them run again."""
        self._control("hold", {"hold": hold})

    def set_device(self, name: str, **state: Any) -> None:
        """Change a device: status="maintenance", queue=5."""
        self._control("device", {"name": name, **state})

    def set_usage(self, *, limit_reached: bool) -> None:
        """Say whether the account's time is used up."""
        self._control("usage", {"limit_reached": limit_reached})

    def set_job(self, job_id: str, **state: Any) -> None:
        """Change a job: status="Cancelled", code=1305, reason="..."."""
        self._control("job", {"id": job_id, **state})

    def payload(self, job_id: str) -> dict[str, Any]:
        """Return what was sent to create a job: shots, options, passthrough (of the sampler), circuit_metadata."""
        return self._control("payload", {"id": job_id})

    def accepted(self) -> list[dict[str, Any]]:
        """Return all jobs that were accepted, oldest first: id, backend, tags, status."""
        return self._control("jobs")

    def requests(self, method: str = "", path: str = ".*") -> list[dict[str, Any]]:
        """Return the requests seen: method, path, query, time (monotonic seconds)."""
        seen = self._control("requests")
        return [one for one in seen if method in ("", one["method"]) and re.fullmatch(path, one["path"])]

    def wait_until_idle(self, *, jobs: bool = True, timeout: float = 60.0) -> None:
        """Wait until no request is being served and, if asked, no job is unfinished."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            busy = self._control("busy")
            if not busy["in_flight"] and not (jobs and busy["unfinished"]):
                return
            time.sleep(0.005)
        raise TimeoutError("The server stays busy.")

    def wait_for_post(self, timeout: float) -> bool:
        """Wait until a new job arrives (server in a process of its own, announcing); False after the timeout."""
        ready, _, _ = select.select([self.announcements], [], [], timeout)
        return bool(ready) and os.read(self.announcements.fileno(), 4096) != b""

    def forget_announcements(self) -> None:
        """Drop the announcements that nobody waited for."""
        while select.select([self.announcements], [], [], 0)[0]:
            if not os.read(self.announcements.fileno(), 4096):
                return

    def _control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(f"{self.root}/control/{path}", data=json.dumps(body or {}).encode())  # noqa: S310 (http, to itself)
        # Never through a proxy that stands in the environment.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            return json.loads(answer.read())


class OtherHostError(RuntimeError):
    """A connection to another machine was stopped."""


@contextlib.contextmanager
def this_machine_only() -> Iterator[list[str]]:
    """Refuse every connection to another machine, and every look-up of another machine's name, in this process.

    Yields the list of what was refused, which grows.
    """
    refused: list[str] = []
    real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")}
    real_lookup = socket.getaddrinfo

    def require_local(host: Any) -> None:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name not in ("localhost", "::1", "") and not name.startswith("127."):
            refused.append(name)
            raise OtherHostError(f"Tests stay on this machine, but something called {name}.")

    def guarded(name: str) -> Any:
        def call(self: socket.socket, *arguments: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                require_local(arguments[-1][0])
            return real[name](self, *arguments)

        return call

    def lookup(host: Any, *arguments: Any, **named: Any) -> Any:
        if host is not None:
            require_local(host)
        return real_lookup(host, *arguments, **named)

    for name in real:
        setattr(socket.socket, name, guarded(name))
    socket.getaddrinfo = lookup
    try:
        yield refused
    finally:
        for name, function in real.items():
            setattr(socket.socket, name, function)
        socket.getaddrinfo = real_lookup


@contextlib.contextmanager
def running_server(*, own_process: bool = False, noise: bool = True, seed: int = 20250101) -> Iterator[Server]:
    """Start a server on a free port of this machine; it ends with the block.

    Parameters
    ----------
    own_process : bool
        In a process of its own, which announces new jobs (`Server.wait_for_post`); else in a thread.
    noise : bool
        Whether devices run with their calibrated noise.
    seed : int
        Of the simulations.
    """
    if own_process:
        command = [sys.executable, __file__, "--announce", "--seed", str(seed), *(() if noise else ("--no-noise",))]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
        try:
            assert process.stdout is not None
            port = re.search(rb"QISKIT_IBM_URL=http://127.0.0.1:(\d+)/", _lines_until(process.stdout, b"ready"))
            assert port is not None, "the server did not start"
            yield Server(int(port[1]), process.stdout)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        return
    httpd = _make(port=0, noise=noise, seed=seed, announce=False)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Server(httpd.server_address[1])
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def _lines_until(stream: Any, last: bytes) -> bytes:
    """Read lines up to one that begins with `last`."""
    text = b""
    while line := stream.readline():
        text += line
        if line.startswith(last):
            break
    return text


def _make(*, port: int, noise: bool, seed: int, announce: bool) -> HTTPServer:
    service = ibm_service.Service(noise=noise, seed=seed, announce=announce)
    return HTTPServer(("127.0.0.1", port), type("BoundHandler", (Handler,), {"service": service}))


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A loop-back stand-in for the IBM Quantum service.")
    parser.add_argument("--port", type=int, default=0, help="where to listen; 0: any free port")
    parser.add_argument("--seed", type=int, default=20250101, help="of the simulations")
    parser.add_argument("--no-noise", action="store_true", help="ideal devices")
    parser.add_argument("--announce", action="store_true", help="print a line when a new job arrives")
    arguments = parser.parse_args()
    httpd = _make(port=arguments.port, noise=not arguments.no_noise, seed=arguments.seed, announce=arguments.announce)
    for name, value in Server(httpd.server_address[1]).environment.items():
        print(f"export {name}={value}")  # noqa: T201
    print("ready" if arguments.announce else "# devices: " + ", ".join(ibm_service.DEVICES), flush=True)  # noqa: T201
    with contextlib.suppress(KeyboardInterrupt):
        httpd.serve_forever(poll_interval=0.02)


if __name__ == "__main__":
    main()
