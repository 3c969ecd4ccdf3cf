"""The steps of `qmlphys.workflows.generative`, each kept in the run folder when it is done."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from qiskit import QuantumCircuit

from qmlphys import lattices
from qmlphys.bits import integers_to_spins
from qmlphys.execution import backends
from qmlphys.workflows._device_jobs import fetched, layers_label
from qmlphys.workflows._generative_device import chi_squared, kept_shares, probabilities, submit
from qmlphys.workflows._generative_judge import exact_values, judge
from qmlphys.workflows._generative_models import bars_and_stripes, compile_circuit, model_samples
from qmlphys.workflows._generative_training import Models, boltzmann, drawn
from qmlphys.workflows.runs import RunFolder

if TYPE_CHECKING:
    from qmlphys.workflows._generative_config import GenerativeConfig

__all__ = ["MODEL", "ORIGINALS", "Journey", "layers_label"]

ORIGINALS, MODEL = "originals", "Born machine"
"""Labels of the snapshots that are learned, and of those that the model draws by itself."""

_MOST_ENUMERATED = 16  # sites of which all configurations are looked at


class Journey:
    """The steps of one run; models, jobs and snapshots are kept in the folder."""

    def __init__(
        self, config: GenerativeConfig, folder: RunFolder, *, tell: Callable[[str], None] | None = None
    ) -> None:
        self.config = config
        self.folder = folder
        self.models = Models(config, folder, tell=tell)
        # What would end the run after minutes ends it now.
        backends.require(config.backend)
        self.models.origin()

    def ready(self, name: str) -> dict[str, Any]:
        """Compile what a job runs, submit it, and keep its id; another start finds the id instead."""

        def compute() -> dict[str, Any]:
            circuits, job_id = self._send(name)
            return {
                "id": job_id,
                "n_qubits": [circuit.num_qubits for circuit in circuits],
                "metadata": [dict(circuit.metadata or {}) for circuit in circuits],
            }

        return self.folder.step(f"generative-{name}-job", self._settings(name), compute)

    def device(self, name: str) -> xr.Dataset:
        """Wait for a job and return its snapshots, post-selected."""
        job = self.ready(name)

        def compute() -> xr.Dataset:
            return fetched(job["id"], self.config.backend, lambda: self._send(name)[1])

        return self.folder.snapshots(f"generative-{name}", [*self._settings(name), job["id"]], compute)

    def _send(self, name: str) -> tuple[list[QuantumCircuit], str]:
        """Compile and submit a job."""
        circuits, labels = self._builders()[name]()
        shots = labels.pop("shots")
        # Jobs of one run share no random numbers.
        seed = self.models.seed(6, zlib.crc32(name.encode()))
        return circuits, submit(circuits, self.config.backend, shots=shots, seed=seed, **labels)

    def _settings(self, name: str) -> list[Any]:
        """What the outcome of a job depends on."""
        config = self.config
        common = [config.backend, config.seed, name]
        if name == "images":
            return [*common, config.images]
        if name in self.graph_jobs():
            return [*common, config.graphs]
        return [*common, config.shots, self.models.origin(), self.models.learning()]

    def jobs(self) -> list[str]:
        """Names of all jobs of the run."""
        return list(self._builders())

    def _builders(self) -> dict[str, Callable[[], tuple[list[QuantumCircuit], dict[str, Any]]]]:
        """How the circuits of each job are made, with the labels of its snapshots."""
        config = self.config
        found: dict[str, Callable[[], tuple[list[QuantumCircuit], dict[str, Any]]]] = {}
        if config.images is not None:
            found["images"] = self._image_circuits
        for name, (n, ring) in self.graph_jobs().items():
            found[name] = partial(self._graph_circuits, n, ring)
        for n_layers in config.n_layers:
            found[f"layers-{n_layers}"] = partial(self._born_circuits, n_layers)
        return found

    def graph_jobs(self) -> dict[str, tuple[int, bool]]:
        """Names of the jobs of graph models, with sites and whether it is a ring: all rings, and the largest chain."""
        if self.config.graphs is None:
            return {}
        sizes = self.config.graphs.sizes
        return {f"ring-{n}": (n, True) for n in sizes} | {f"chain-{max(sizes)}": (max(sizes), False)}

    def _image_circuits(self) -> tuple[list[QuantumCircuit], dict[str, Any]]:
        labels = {"shots": self.models.images_part.shots, "model": "bars and stripes"}
        return [compile_circuit(self.models.image_model())], labels

    def _graph_circuits(self, n_sites: int, ring: bool) -> tuple[list[QuantumCircuit], dict[str, Any]]:
        label = lattices.chain(n_sites, periodic=ring).label
        circuit = compile_circuit(self.models.graph_model(n_sites, ring), ancillas="one_each")
        return [circuit], {
            "shots": self.models.graphs_part.shots,
            "lattice": label,
            "values": [n_sites],
            "name": "sites",
        }

    def _born_circuits(self, n_layers: int) -> tuple[list[QuantumCircuit], dict[str, Any]]:
        ds = self.models.originals()
        labels = {
            "shots": self.config.shots,
            "values": ds["parameter"].values,
            "name": ds["parameter"].attrs["name"],
            "units": ds["parameter"].attrs["units"],
            "model": ds.attrs["model"],
            "lattice": ds.attrs["lattice"],
            "basis": ds.attrs["basis"],
        }
        return [compile_circuit(model, n_layers=n_layers) for model in self.models.born()], labels

    def samples(self) -> xr.Dataset:
        """What the Born machines draw by themselves."""
        settings = [self.models.origin(), self.models.learning(), self.config.shots]
        return self.folder.snapshots(
            "generative-model",
            settings,
            lambda: model_samples(
                self.models.born(), self.models.originals(), n_samples=self.config.shots, rng=self.models.seed(7)
            ),
        )

    def judged(self) -> dict[str, Any]:
        """Originals, the models' own samples and the circuits' beside each other, with exact values where known."""

        def compute() -> dict[str, Any]:
            sources = {MODEL: self.samples()}
            for n_layers in self.config.n_layers:
                sources[layers_label(self.config.backend, n_layers)] = self.device(f"layers-{n_layers}")
            found = judge(self.models.originals(), sources, label=ORIGINALS, seed=self.models.seed(8))
            known = exact_values(self.models.originals())
            fits = {}
            if self.models.originals().sizes["site"] <= _MOST_ENUMERATED:
                expected = [probabilities(model, self.models.originals().sizes["site"]) for model in self.models.born()]
                for label, ds in sources.items():
                    tests = [chi_squared(ds, chances, parameter=k) for k, chances in enumerate(expected)]
                    fits[label] = [test.p_value for test in tests]
            return {
                "judged": found.to_dict(),
                "exact": None if known is None else known.to_dict(),
                "p_values": fits,
                "nll": [
                    [float(model.history_[key].values[model.history_.attrs["best_step"]]) for key in _NLL]
                    for model in self.models.born()
                ],
                "bonds": [max(model.bonds_, default=1) for model in self.models.born()],
            }

        return self.folder.step("generative-judged", [self.config, self.models.origin()], compute)

    def images(self) -> dict[str, Any]:
        """Bars and stripes: what was learned, what the device measured, and whether both agree."""

        def compute() -> dict[str, Any]:
            model, ds = self.models.image_model(), self.device("images")
            data = bars_and_stripes(self.models.images_part.size)
            rows = (ds["spins"].values[0, 0] < 0).astype(np.int8)
            valid = {row.tobytes() for row in data}
            share = float(np.mean([row.tobytes() in valid for row in rows]))
            test = chi_squared(ds, model)
            wrong = ds.copy()
            wrong["spins"] = ds["spins"] * np.where(np.arange(ds.sizes["site"]) == 0, -1, 1).astype(np.int8)
            control = chi_squared(wrong, model)
            history = model.history_
            return {
                "nll": -model.score(data),
                "floor": np.log(len(data)),
                "bond": max(model.bonds_),
                "valid": [share, np.sqrt(max(share * (1 - share), 1 / len(rows)) / len(rows))],
                "expected": float(np.exp(model.score_samples(data)).sum()),
                "test": dataclasses.asdict(test),
                "control": dataclasses.asdict(control),
                "drawn": rows[: self.models.images_part.n_shown],
                "own": model.sample(self.models.images_part.n_shown, self.models.seed(9)),
                "history": [history["train_nll"].values, history["validation_nll"].values],
                "best_step": history.attrs["best_step"],
            }

        return self.folder.step("generative-images-found", self._settings("images"), compute)

    def graphs(self) -> dict[str, Any]:
        """The graph models: likelihood, success of the post-selection, agreement of the device with the model."""

        def compute() -> dict[str, Any]:
            found: dict[str, Any] = {}
            for name, (n, ring) in self.graph_jobs().items():
                model, ds, rows = self.models.graph_model(n, ring), self.device(name), self.models.graph_rows(n, ring)
                share = kept_shares(ds)[0]
                exact = boltzmann(n, temperature=self.models.graphs_part.temperature, ring=ring)
                _, counts = np.unique(rows, axis=0, return_counts=True)
                shares = counts / counts.sum()
                states = integers_to_spins(np.arange(2**n), n)
                found[name] = {
                    "nll": -model.score(rows),
                    "entropy": -(shares * np.log(shares)).sum(),
                    "divergence": float(exact @ (np.log(exact) - model.score_samples(states))),
                    "condition": model.condition_numbers_.max(),
                    "kept": [share.mean, share.error],
                    "p_value": chi_squared(ds, model).p_value,
                    **self.ready(name)["metadata"][0],
                }
            return found

        return self.folder.step(
            "generative-graphs", [self.config.graphs, self.config.backend, self.config.seed], compute
        )

    def starts(self) -> dict[str, Any]:
        """Circuits trained from a Born machine and from random angles."""
        part = self.config.starts
        if part is None:
            raise ValueError("Argument `starts` must not be None, but it is: this part was left out.")

        def compute() -> dict[str, Any]:
            from qmlphys.workflows._generative_hybrid import hybrid

            chances = boltzmann(part.n_sites, temperature=part.temperature, ring=True)
            found = hybrid(
                drawn(chances, n_draws=part.n_draws, rng=self.models.seed(11)),
                n_layers=part.n_layers,
                max_bond=part.max_bond,
                n_seeds=part.n_seeds,
                max_steps=part.max_steps,
                seed=self.models.seed(10),
            )
            return dict(found.to_dict())

        return self.folder.step("generative-starts", [part, self.config.seed], compute)


_NLL = ("train_nll", "validation_nll")
