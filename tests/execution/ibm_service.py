"""What the loop-back stand-in for the IBM Quantum service knows and does; `ibm_server.py` is its HTTP side.

It keeps jobs, runs them with Aer as fake devices do, lists them in pages, and holds the faults that a test asked for.
"""

from __future__ import annotations

import base64
import datetime
import json
import math
import queue
import re
import secrets
import threading
import time
import warnings
from pathlib import Path
from typing import Any

DEVICES = {"ibm_manila": ("manila", "FakeManilaV2"), "ibm_torino": ("torino", "FakeTorino")}


class Refusal(Exception):  # noqa: N818 (an answer, not a fault of this program)
    """An answer that is an error."""

    def __init__(self, status: int, message: str, code: int = 1000) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Service:
    """What the service knows: jobs, tokens, faults, and a log of every request.

    Parameters
    ----------
    noise : bool
        Whether devices run with their calibrated noise.
    seed : int
        Of the simulations.
    announce : bool
        Whether each new job is announced by a line on standard output, before it is accepted.
    """

    def __init__(self, *, noise: bool, seed: int, announce: bool) -> None:
        self.noise = noise
        self.seed = seed
        self.announce = announce
        self.lock = threading.RLock()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.faults: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.in_flight = 0
        self.tokens: set[str] = set()
        self.usage_limit_reached = False
        self.devices = {name: self._device(*names) for name, names in DEVICES.items()}
        self.simulators: dict[str, Any] = {}
        self.waiting: queue.Queue[str] = queue.Queue()
        self.may_run = threading.Event()
        self.may_run.set()
        threading.Thread(target=self._work, daemon=True).start()

    @staticmethod
    def _device(folder: str, kind: str) -> dict[str, Any]:
        """Read a fake device's configuration and properties as the service would send them."""
        from qiskit_ibm_runtime import fake_provider

        path = Path(fake_provider.__file__).parent / "backends" / folder
        configuration = json.loads((path / f"conf_{folder}.json").read_text(encoding="utf-8"))
        properties = json.loads((path / f"props_{folder}.json").read_text(encoding="utf-8"))
        configuration["backend_name"] = properties["backend_name"] = f"ibm_{folder}"
        return {"configuration": configuration, "properties": properties, "class": kind, "status": "active", "queue": 0}

    def token(self) -> dict[str, Any]:
        """Issue an access token: a JSON web token, valid for an hour."""
        now = int(time.time())
        parts = [{"alg": "HS256", "typ": "JWT"}, {"iat": now, "exp": now + 3600, "jti": secrets.token_hex(8)}]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
        token = ".".join([*encoded, secrets.token_urlsafe(16)])
        with self.lock:
            self.tokens.add(token)
        return {"access_token": token, "token_type": "Bearer", "expires_in": 3600, "expiration": now + 3600}

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], body: bytes, *, instance: str, faults: list[str]
    ) -> Any:
        """Answer one authorised request; returns what becomes JSON, text, or None for an empty answer."""
        parts = path.strip("/").split("/")
        match method, *parts:
            case "GET", "backends":
                return {"devices": [self._listed_device(name) for name in self.devices]}
            case "GET", "backends", name, "configuration":
                return self._known_device(name)["configuration"]
            case "GET", "backends", name, "properties":
                return self._known_device(name)["properties"]
            case "GET", "backends", name, "status":
                device = self._known_device(name)
                return {
                    "state": True,
                    "status": device["status"],
                    "length_queue": device["queue"],
                    "backend_version": "1",
                }
            case "GET", "instances", "usage":
                return {"usage_consumed_seconds": 1, "usage_limit_reached": self.usage_limit_reached}
            case "POST", "jobs":
                return self._create(json.loads(body), instance, faults)
            case "GET", "jobs":
                return self._list(query, instance, faults)
            case "GET", "jobs", job_id:
                return self._described(self._known_job(job_id, instance))
            case "GET", "jobs", job_id, "results":
                job = self._known_job(job_id, instance)
                return job["error"] if job["status"] == "Failed" else job["result"]
            case "GET", "jobs", job_id, "metrics":
                job = self._known_job(job_id, instance)
                usage = {"qpu_charge_time_seconds": job["seconds"], "status": "final"}
                return {"timestamps": job["times"], "usage": usage}
            case "POST", "jobs", job_id, "cancel":
                return self._cancel(self._known_job(job_id, instance))
        raise Refusal(404, f"No such address: {method} {path}")

    def _listed_device(self, name: str) -> dict[str, Any]:
        device = self.devices[name]
        state = "online" if device["status"] == "active" else "offline"
        qubits = device["configuration"]["n_qubits"]
        return {
            "name": name,
            "status": {"name": state},
            "qubits": qubits,
            "queue_length": device["queue"],
            "class": "qpu",
        }

    def _known_device(self, name: str) -> dict[str, Any]:
        if name not in self.devices:
            raise Refusal(404, f"No such device: {name}")
        return self.devices[name]

    def _known_job(self, job_id: str, instance: str) -> dict[str, Any]:
        with self.lock:
            if job_id not in self.jobs or self.jobs[job_id]["instance"] != instance:
                raise Refusal(404, f"Job not found. Job ID: {job_id}", 1291)
            return self.jobs[job_id]

    def _create(self, request: dict[str, Any], instance: str, faults: list[str]) -> dict[str, str]:
        """Accept a job, after the checks that the service makes at once."""
        from ibm_quantum_schemas.executor.version_2_0 import ParamsModel

        self._known_device(request.get("backend", ""))
        if request.get("program_id") != "executor":
            raise Refusal(404, f"Program not found: {request.get('program_id')}")
        tags = request.get("tags", [])
        if not all(isinstance(tag, str) and len(tag) <= 86 for tag in tags):
            raise Refusal(400, "A tag must have 86 characters at most.")
        try:
            params = ParamsModel.model_validate(request["params"])
        except (KeyError, ValueError) as error:
            raise Refusal(400, f"The parameters do not follow the schema: {error}") from None
        with self.lock:
            job_id = f"d{len(self.jobs):04d}{secrets.token_hex(8)}"
            self.jobs[job_id] = {
                "id": job_id,
                "instance": instance,
                "backend": request["backend"],
                "tags": tags,
                "params": params,
                "status": "Queued",
                "reason": "",
                "code": None,
                "error": "",
                "result": "",
                "seconds": 0.0,
                "times": {"created": _now()},
                "must_fail": "job-error" in faults,
            }
        self.waiting.put(job_id)
        return {"id": job_id, "backend": request["backend"]}

    def _list(self, query: dict[str, list[str]], instance: str, faults: list[str]) -> dict[str, Any]:
        """List jobs: newest first unless asked otherwise, filtered by tags, in pages."""
        tags = set(query.get("tags", []))
        with self.lock:
            own = [job for job in self.jobs.values() if job["instance"] == instance]
        jobs = [job for job in own if tags <= set(job["tags"])]
        if query.get("sort") != ["ASC"]:
            jobs.reverse()
        limit = min(int(query.get("limit", ["200"])[0]), 200)
        offset = int(query.get("offset", ["0"])[0])
        if "repeat-page" in faults:  # as if jobs had been added in front while the list was read
            offset = max(0, offset - limit)
        page = [self._described(job) for job in jobs[offset : offset + limit]]
        return {"jobs": page, "count": len(jobs), "limit": limit, "offset": offset}

    @staticmethod
    def _described(job: dict[str, Any]) -> dict[str, Any]:
        state = {"status": job["status"]}
        if job["reason"]:
            state["reason"] = job["reason"]
        if job["code"]:
            state["reason_code"] = job["code"]
        described = {name: job[name] for name in ("id", "backend", "tags")}
        return {**described, "program": {"id": "executor"}, "state": state, "created": job["times"]["created"]}

    def _cancel(self, job: dict[str, Any]) -> None:
        with self.lock:
            if job["status"] not in ("Queued", "Running"):
                raise Refusal(409, f"The job is {job['status']}", 1293)
            job["status"] = "Cancelled"

    def _work(self) -> None:
        """Run the jobs, one after the other."""
        while True:
            job = self.jobs[self.waiting.get()]
            self.may_run.wait()
            with self.lock:
                if job["status"] != "Queued":
                    continue
                job["status"] = "Running"
                job["times"]["running"] = _now()
            start = time.perf_counter()
            try:
                result = self._run(job)
            except Exception as error:
                text = " ".join(str(error).split())
                trace = f"Traceback (most recent call last):\n{type(error).__name__}: {text}"
                ended = {"status": "Failed", "error": trace}
            else:
                ended = {"status": "Completed", "result": result}
            with self.lock:
                job["times"]["finished"] = _now()
                job["seconds"] = time.perf_counter() - start
                if job["status"] == "Running":
                    job.update(ended)

    def _run(self, job: dict[str, Any]) -> str:
        """Run one job with Aer; returns the result as the service writes it."""
        from ibm_quantum_schemas.common import CompressedTensorModel
        from ibm_quantum_schemas.executor.version_2_0 import QuantumProgramResultModel
        from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program
        from qiskit_ibm_runtime.options_models.simulator import SimulatorOptions
        from qiskit_ibm_runtime.quantum_program.converters import converters_2_0
        from qiskit_ibm_runtime.utils.utils import is_isa_circuit

        if job["must_fail"]:
            raise RuntimeError("the device lost its calibration")
        program, _ = converters_2_0.quantum_program_from_2_0(job["params"])
        device, simulator = self._simulator(job["backend"])
        for item in program.items:
            if complaint := is_isa_circuit(item.circuit, device.target):
                raise ValueError(complaint)
            if any(node.operation.name in ("for_loop", "while_loop", "switch_case") for node in item.circuit.data):
                raise ValueError("This device has neither loops nor switches.")
        # Angles go to the simulator as they came: the default rounds them to ten digits.
        options = SimulatorOptions(seed_simulator=self.seed + len(self.jobs), angle_decimals=15)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            done = run_quantum_program(simulator, program, options)
        now = datetime.datetime.now(datetime.UTC)
        # One chunk, which holds each item whole.
        parts = []
        for index, item in enumerate(done):
            shape = next(iter(item.values())).shape[:-2]
            size = math.prod(shape)
            part = {"idx_item": index, "size": size, "permutation": list(range(len(shape)))}
            parts.append({**part, "element_range": (0, size, 1)})
        data = []
        for item in done:
            results = {name: CompressedTensorModel.from_numpy(bits) for name, bits in item.items()}
            data.append({"results": results, "metadata": {}})
        sent = job["params"].quantum_program
        model = QuantumProgramResultModel.model_validate(
            {
                "data": data,
                "metadata": {"chunk_timing": [{"start": now, "stop": now, "parts": parts}]},
                "passthrough_data": sent.passthrough_data,
                "semantic_role": sent.semantic_role,
            }
        )
        return model.model_dump_json()

    def _simulator(self, name: str) -> tuple[Any, Any]:
        """Return a fake device and what runs its circuits."""
        if name not in self.simulators:
            from qiskit_aer import AerSimulator
            from qiskit_ibm_runtime import fake_provider

            device = getattr(fake_provider, self.devices[name]["class"])()
            self.simulators[name] = (device, AerSimulator.from_backend(device) if self.noise else AerSimulator())
        return self.simulators[name]

    def control(self, path: str, body: bytes) -> Any:
        """Answer the test that owns this server."""
        request = json.loads(body or b"{}")
        with self.lock:
            match path:
                case "fault":
                    self.faults.append(request)
                case "mend":
                    self.faults.clear()
                case "hold":
                    self.may_run.clear() if request["hold"] else self.may_run.set()
                case "device":
                    self.devices[request.pop("name")].update(request)
                case "usage":
                    self.usage_limit_reached = request["limit_reached"]
                case "job":
                    self.jobs[request.pop("id")].update(request)
                case "payload":
                    params = self.jobs[request["id"]]["params"]
                    passed = params.quantum_program.passthrough_data["post_processor"]
                    shots = params.quantum_program.shots
                    circuits = params.quantum_program.circuits.to_python()
                    return {
                        "shots": shots,
                        "options": params.options.model_dump(),
                        "sampler": passed["options"],
                        "circuit_metadata": passed["circuits_metadata"],
                        "n_circuits": len(circuits),
                        "operations": sorted({str(name) for circuit in circuits for name in circuit.count_ops()}),
                    }
                case "jobs":
                    names = ("id", "backend", "tags", "status")
                    return [{name: job[name] for name in names} for job in self.jobs.values()]
                case "requests":
                    return self.requests
                case "busy":
                    unfinished = sum(job["status"] in ("Queued", "Running") for job in self.jobs.values())
                    return {"in_flight": self.in_flight, "unfinished": unfinished}
                case _:
                    raise Refusal(404, f"No such control: {path}")
        return {}

    def faults_of(self, method: str, path: str) -> list[dict[str, Any]]:
        """Take the faults that are due for a request."""
        due = []
        with self.lock:
            for fault in self.faults:
                if fault["times"] and fault["method"] == method and re.fullmatch(fault["path"], path):
                    fault["times"] -= 1
                    due.append(fault)
        return due


def _now() -> str:
    """Return the present, ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat()
