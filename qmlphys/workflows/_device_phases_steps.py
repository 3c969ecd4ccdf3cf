"""The steps of `qmlphys.workflows.device_phases`, each kept in the run folder when it is done."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from qmlphys import mps, snapshots
from qmlphys.execution import backends
from qmlphys.phases import SupervisedPhaseClassifier, far_ends
from qmlphys.stats import Estimate
from qmlphys.workflows._device_jobs import fetched, layers_label
from qmlphys.workflows._device_phases_judge import LEARNED, MAGNETIZATION, ExactJudgement, critical_field, judge
from qmlphys.workflows._device_phases_states import MODEL, circuits_of, ground_state, mps_snapshots
from qmlphys.workflows._device_phases_twin import classical_twin
from qmlphys.workflows._generative_device import submit
from qmlphys.workflows._ground_state_scan import joined, scan_states
from qmlphys.workflows.runs import RunFolder

if TYPE_CHECKING:
    from qmlphys.workflows._device_phases_config import DevicePhasesConfig

__all__ = ["MONTE_CARLO", "NEURAL", "SAMPLED", "Journey"]

NEURAL, MONTE_CARLO, SAMPLED = "neural states", "Monte Carlo", "matrix product states"
"""Labels of the snapshots that come from no circuit."""

_MAX_TRAINING_ROWS = 20_000


class Journey:
    """The steps of one run; states, jobs and snapshots are kept in the folder."""

    def __init__(
        self, config: DevicePhasesConfig, folder: RunFolder, *, tell: Callable[[str], None] | None = None
    ) -> None:
        self.config = config
        self.folder = folder
        self.tell = tell
        # What would end the run after minutes ends it now.
        for backend in config.backends:
            backends.require(backend)
        # Cached one by one: an lru_cache on the class would keep every journey alive.
        self.states = cache(self._states)
        self.network = cache(self._network)
        self.neural = cache(self._neural)

    def seed(self, *path: int) -> int:
        """Return a random seed by purpose, so that each step can be repeated alone."""
        return int(np.random.SeedSequence(self.config.seed, spawn_key=(9, *path)).generate_state(1)[0] >> np.uint32(1))

    def _say(self, text: str) -> None:
        if self.tell is not None:
            self.tell(text)

    # --- circuits and jobs -----------------------------------------------------------------------------------

    def scans(self) -> dict[str, tuple[str, int]]:
        """Labels of what is measured on devices, with the backend and the layers of the circuits."""
        config = self.config
        return {layers_label(name, n): (name, n) for name in config.backends for n in config.n_layers}

    def _states(self, size: int) -> list[mps.MatrixProductState]:
        """Ground states of one size along the field; seconds of work, and not worth a file."""
        self._say(f"matrix product states of {size} sites")
        config = self.config
        return [ground_state(size, h, max_bond=config.max_bond, seed=self.seed(0, size)) for h in config.fields]

    def _state_settings(self, size: int) -> list[Any]:
        """What the matrix product states of a size depend on."""
        return [size, self.config.fields, self.config.max_bond, self.config.seed]

    def _job_settings(self, label: str, size: int) -> list[Any]:
        return [*self._state_settings(size), self.config.shots, *self.scans()[label]]

    def _name(self, label: str, size: int) -> str:
        return f"device-{re.sub('[^a-z0-9]+', '-', label.lower())}-{size:02d}"

    def _send(self, label: str, size: int) -> tuple[list[dict[str, Any]], str]:
        """Submit the circuits of one scan as one job."""
        backend, n_layers = self.scans()[label]
        built = circuits_of(self.states(size), n_layers=n_layers)
        job_id = submit(
            built,
            backend,
            shots=self.config.shots,
            values=self.config.fields,
            name="field",
            units="J",
            model=MODEL,
            lattice=f"chain({size})",
            basis="Z",
            seed=self.seed(1, size, n_layers, sum(backend.encode())),
        )
        return [dict(circuit.metadata or {}) for circuit in built], job_id

    def ready(self, label: str, size: int) -> dict[str, Any]:
        """Submit a scan and keep its id; another start finds the id instead."""

        def compute() -> dict[str, Any]:
            metadata, job_id = self._send(label, size)
            self._say(f"{label}, {size} sites: job {job_id[:12]}")
            return {
                "id": job_id,
                "fidelity": [entry["fidelity"] for entry in metadata],
                "two_qubit_gates": [entry["two_qubit_gates"] for entry in metadata],
            }

        # A kill between the ledger and this record does no harm: the same circuits have the same id.
        return self.folder.step(f"{self._name(label, size)}-job", self._job_settings(label, size), compute)

    def submitted(self) -> dict[tuple[str, int], str]:
        """Submit all scans, unless they were before, and return their ids."""
        return {(label, size): self.ready(label, size)["id"] for size in self.config.sizes for label in self.scans()}

    def device(self, label: str, size: int, *, timeout: float | None = None) -> xr.Dataset:
        """Wait for a scan and return its snapshots."""
        job_id = self.ready(label, size)["id"]
        backend = self.scans()[label][0]

        def compute() -> xr.Dataset:
            return fetched(job_id, backend, lambda: self._send(label, size)[1], timeout=timeout)

        return self.folder.snapshots(self._name(label, size), [*self._job_settings(label, size), job_id], compute)

    # --- snapshots without circuits --------------------------------------------------------------------------

    def sampled(self, size: int) -> xr.Dataset:
        """Snapshots of the matrix product states themselves."""
        return self.folder.snapshots(
            f"mps-{size:02d}",
            [*self._state_settings(size), self.config.shots],
            lambda: mps_snapshots(
                self.states(size), self.config.fields, n_draws=self.config.shots, seed=self.seed(2, size)
            ),
        )

    def _neural(self, size: int) -> xr.Dataset:
        """Snapshots of neural states along the field."""
        return joined(
            scan_states(self.config.scan_config(size), folder=self.folder, name=f"neural-{size:02d}", tell=self.tell)
        )

    def monte_carlo(self, size: int) -> xr.Dataset:
        """Snapshots of the classical twin."""
        config = self.config
        return self.folder.snapshots(
            f"montecarlo-{size:02d}",
            [size, config.fields, config.n_chains, config.n_configurations, config.seed],
            lambda: classical_twin(
                size,
                config.fields,
                n_chains=config.n_chains,
                n_draws=config.n_configurations,
                rng=self.seed(3, size),
            ),
        )

    # --- the classifier --------------------------------------------------------------------------------------

    def _halves(self) -> tuple[xr.Dataset, xr.Dataset]:
        """Two halves of the chains of the largest size: one to learn from, one to be judged."""
        ds = self.neural(self.config.training_size)
        n_chains = ds.sizes["chain"]
        order = np.random.default_rng(self.seed(4)).permutation(n_chains)
        first, second = np.sort(order[: n_chains // 2]), np.sort(order[n_chains // 2 :])
        return ds.isel(chain=first), ds.isel(chain=second)

    def _network(self, *, control: bool = False) -> SupervisedPhaseClassifier:
        """Train a network on both far ends of the neural scan; the control does not know the scan's top quarter."""
        ds = self._halves()[0]
        if control:
            ds = ds.isel(parameter=slice(None, -max(1, len(self.config.fields) // 6)))
        X, values, groups = snapshots.as_xy(ds)
        ends, y = far_ends(values, fraction=self.config.end_fraction)
        X, groups = X[ends], groups[ends]
        # Evenly over ends, chains and draws.
        chosen = np.linspace(0, len(X) - 1, min(len(X), _MAX_TRAINING_ROWS)).astype(int)
        network = SupervisedPhaseClassifier(
            "cnn", shape=(self.config.training_size,), random_state=self.seed(5, int(control))
        )
        return network.fit(X[chosen], y[chosen], groups=groups[chosen])

    def sources(self) -> list[str]:
        """Labels of all sources of snapshots."""
        classical = [MONTE_CARLO] if self.config.monte_carlo else []
        return [NEURAL, *classical, SAMPLED, *self.scans()]

    def _data(self, source: str, size: int, timeout: float | None) -> xr.Dataset:
        if source == NEURAL:
            return self._halves()[1] if size == self.config.training_size else self.neural(size)
        if source == MONTE_CARLO:
            return self.monte_carlo(size)
        if source == SAMPLED:
            return self.sampled(size)
        return self.device(source, size, timeout=timeout)

    def judged(self, source: str, size: int, *, timeout: float | None = None) -> xr.Dataset:
        """What the network says of one source on one size."""
        name = f"judged-{re.sub('[^a-z0-9]+', '-', source.lower())}-{size:02d}"
        key = [self.config, source, size]
        return xr.Dataset.from_dict(
            self.folder.step(
                name, key, lambda: dict(judge(self.network(), self._data(source, size, timeout)).to_dict())
            )
        )

    # --- what is concluded -----------------------------------------------------------------------------------

    def critical_fields(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Where the cumulant ratios of the smallest and the largest size cross, for each source."""
        small, large = self.config.sizes[0], self.config.sizes[-1]

        def compute() -> dict[str, Any]:
            found: dict[str, Any] = {}
            for source in self.sources():
                pair = [self.judged(source, size, timeout=timeout) for size in (small, large)]
                found[source] = {
                    learner: _crossing(*pair, learner=learner, seed=self.seed(6))
                    for learner in (LEARNED, MAGNETIZATION)
                }
            control = self.network(control=True)
            pair = [judge(control, self._data(NEURAL, size, timeout)) for size in (small, large)]
            found["control"] = {LEARNED: _crossing(*pair, learner=LEARNED, seed=self.seed(6))}
            return found

        return self.folder.step("critical-fields", self.config, compute)

    def known(self) -> dict[str, Any]:
        """What the same network would say of endless exact snapshots; None where a ring is too large to be summed."""

        def compute() -> dict[str, Any]:
            config = self.config
            fields = np.array(config.fields)
            judges = {n: ExactJudgement(self.network(), n) for n in config.sizes if ExactJudgement.known(n)}
            found: dict[str, Any] = {"crossing": {}, "transition": {}, "output": {}, "ratio": {}}
            for size, exactly in judges.items():
                found["transition"][str(size)] = exactly.transition(fields)
                found["output"][str(size)] = [exactly.at(float(h)).output for h in fields]
                found["ratio"][str(size)] = [exactly.at(float(h)).ratios[LEARNED] for h in fields]
            if {config.sizes[0], config.sizes[-1]} <= set(judges):
                small, large = judges[config.sizes[0]], judges[config.sizes[-1]]
                for learner in (LEARNED, MAGNETIZATION):
                    found["crossing"][learner] = small.crossing(large, fields, learner)
            return found

        return self.folder.step("known", self.config, compute)

    def imperfections(self) -> dict[str, Any]:
        """How good the states are: largest V-score of the neural ones, least fidelity of the circuits, their gates."""
        found: dict[str, Any] = {"v_score": {}, "circuits": {}}
        for size in self.config.sizes:
            found["v_score"][str(size)] = max(json.loads(self.neural(size).attrs["v_scores"]))
            for label in self.scans():
                job = self.ready(label, size)
                found["circuits"][f"{label}|{size}"] = [min(job["fidelity"]), max(job["two_qubit_gates"])]
        return found


def _crossing(small: xr.Dataset, large: xr.Dataset, *, learner: str, seed: int) -> list[float]:
    """Return the crossing of two sizes and its error; nan where noise leaves none."""
    try:
        found = critical_field(small, large, learner=learner, rng=seed)
    except ValueError:
        found = Estimate(math.nan, math.nan)
    return [found.mean, found.error]
