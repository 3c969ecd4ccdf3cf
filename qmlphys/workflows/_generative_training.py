"""The models of `qmlphys.workflows.generative`: what they learn, and their files in the run folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys import lattices, snapshots
from qmlphys.bits import integers_to_spins
from qmlphys.hamiltonians import Ising
from qmlphys.workflows._generative_config import GenerativeConfig, GraphsConfig, ImagesConfig
from qmlphys.workflows._generative_models import bars_and_stripes, learn
from qmlphys.workflows.runs import RunFolder
from qmlphys.workflows.sampling import sample_ising

__all__ = ["Models", "boltzmann", "drawn"]


class Models:
    """Snapshots and the models that learn them; each is kept in the folder when it is done."""

    def __init__(
        self, config: GenerativeConfig, folder: RunFolder, *, tell: Callable[[str], None] | None = None
    ) -> None:
        self.config = config
        self.folder = folder
        self.tell = tell
        # Methods are cached one by one: an lru_cache on the class would keep every object alive.
        self.originals = cache(self._originals)
        self.born = cache(self._born)
        self.image_model = cache(self._image_model)
        self.graph_model = cache(self._graph_model)

    def seed(self, *path: int) -> int:
        """Return a random seed by purpose, so that each step can be repeated alone."""
        return int(np.random.SeedSequence(self.config.seed, spawn_key=(5, *path)).generate_state(1)[0] >> np.uint32(1))

    @property
    def images_part(self) -> ImagesConfig:
        """Settings of the images, which there must be."""
        if self.config.images is None:
            raise ValueError("Argument `images` must not be None, but it is: this part was left out.")
        return self.config.images

    @property
    def graphs_part(self) -> GraphsConfig:
        """Settings of the graph models, which there must be."""
        if self.config.graphs is None:
            raise ValueError("Argument `graphs` must not be None, but it is: this part was left out.")
        return self.config.graphs

    def _originals(self) -> xr.Dataset:
        """The snapshots that are learned."""
        config = self.config

        def compute() -> xr.Dataset:
            if config.source == "file":
                return snapshots.load(Path(config.file))
            return sample_ising(
                config.lattice,
                config.size,
                list(config.temperatures),
                periodic=config.periodic,
                n_chains=config.n_chains,
                n_draws=config.n_draws,
                seed=self.seed(0),
            )

        return self.folder.snapshots("generative-originals", self.origin(), compute)

    def _born(self) -> list[Any]:
        """One Born machine a value of the parameter."""
        config = self.config
        settings = [self.learning(), self.origin()]
        # Of these settings alone: a run that was stopped with others left checkpoints that fit nothing here.
        digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
        checkpoints = self._models_folder() / f"checkpoints-{digest[:12]}"

        def fit() -> list[Any]:
            checkpoints.mkdir(exist_ok=True)
            return learn(
                self.originals(),
                max_bond=config.max_bond,
                max_sweeps=config.max_sweeps,
                learning_rate=config.learning_rate,
                validation_fraction=config.validation_fraction,
                patience=config.patience,
                tolerance=config.tolerance,
                seed=self.seed(1),
                checkpoints=checkpoints,
                tell=self.tell,
            )

        names = [f"generative-born-{place:03d}" for place in range(self.originals().sizes["parameter"])]
        models = self._kept("generative-born", names, settings, fit)
        shutil.rmtree(checkpoints, ignore_errors=True)
        return models

    def origin(self) -> list[Any]:
        """What the originals depend on."""
        config = self.config
        if config.source == "file":  # what the file holds decides, not what it is called
            return ["file", hashlib.sha256(Path(config.file).read_bytes()).hexdigest()]
        return [
            *(config.lattice, config.size, config.periodic, config.temperatures, config.n_chains, config.n_draws),
            config.seed,
        ]

    def learning(self) -> list[Any]:
        """What training depends on, beside its data."""
        config = self.config
        return [
            *(config.max_bond, config.max_sweeps, config.learning_rate, config.validation_fraction),
            *(config.patience, config.tolerance, config.seed),
        ]

    def _image_model(self) -> Any:
        """A Born machine of bars and stripes."""
        from qmlphys.generative import BornMachine

        part = self.images_part

        def fit() -> list[Any]:
            model = BornMachine(max_bond=part.max_bond, max_sweeps=60, tolerance=1e-8, random_state=self.seed(2))
            return [model.fit(bars_and_stripes(part.size))]

        settings = [part.size, part.max_bond, self.config.seed]
        return self._kept("generative-images", ["generative-images"], settings, fit)[0]

    def _graph_model(self, n_sites: int, ring: bool) -> Any:
        """A graph-state model of an Ising chain, with a hidden qubit between neighbours."""
        from qmlphys.generative import GraphGenerativeModel

        part = self.graphs_part

        def fit() -> list[Any]:
            rows = self.graph_rows(n_sites, ring)
            n_qubits = 2 * n_sites if ring else 2 * n_sites - 1
            edges = [(i, (i + 1) % n_qubits) for i in range(n_qubits if ring else n_qubits - 1)]
            # The likelihood is not convex: of a few starts the best by its own rows.
            models = [
                GraphGenerativeModel(
                    (n_qubits, edges),
                    visible=list(range(0, n_qubits, 2)),
                    max_condition=part.max_condition,
                    max_steps=part.max_steps,
                    random_state=self.seed(3, n_sites, int(ring), start),
                ).fit(rows)
                for start in range(part.n_starts)
            ]
            return [max(models, key=lambda model: model.score(rows))]

        name = f"generative-{'ring' if ring else 'chain'}-{n_sites}"
        settings = [part.temperature, part.n_draws, part.max_condition, part.max_steps, part.n_starts]
        return self._kept(name, [name], [*settings, self.config.seed], fit)[0]

    def graph_rows(self, n_sites: int, ring: bool) -> NDArray[np.int8]:
        """Snapshots of a small Ising chain for a graph model."""
        part = self.graphs_part
        chances = boltzmann(n_sites, temperature=part.temperature, ring=ring)
        return drawn(chances, n_draws=part.n_draws, rng=self.seed(4, n_sites, int(ring)))

    def factor_graph(self, n_sites: int) -> dict[str, Any]:
        """The classical model of the ring's rows, and the quantum one that the theorem makes of it."""

        def compute() -> dict[str, Any]:
            from qmlphys.generative import FactorGraphModel, from_factor_graph

            rows = self.graph_rows(n_sites, ring=True)
            states = integers_to_spins(np.arange(2**n_sites), n_sites)
            classical = FactorGraphModel([(i, (i + 1) % n_sites) for i in range(n_sites)]).fit(rows)
            quantum = from_factor_graph(classical)
            return {
                "nll": -classical.score(rows),
                "difference": np.abs(classical.score_samples(states) - quantum.score_samples(states)).max(),
                "condition": quantum.condition_numbers_.max(),
            }

        settings = [n_sites, self.graphs_part.temperature, self.graphs_part.n_draws, self.config.seed]
        return self.folder.step("generative-factors", settings, compute)

    def _models_folder(self) -> Path:
        path = self.folder.path / "models"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _kept(self, step: str, names: Sequence[str], settings: Any, fit: Callable[[], list[Any]]) -> list[Any]:
        """Return models from their files if they were fitted with the same settings, else fit and save them."""
        from qmlphys.generative import ModelFileError, load, save

        files = [self._models_folder() / f"{name}.npz" for name in names]
        record = self.folder.path / "steps" / f"{step}.json"
        fitted: list[Any] = []

        def compute() -> dict[str, Any]:
            fitted[:] = fit()
            # In this order, so that a kill in between never leaves a record beside models that it does not describe.
            record.unlink(missing_ok=True)
            for model, file in zip(fitted, files, strict=True):
                save(model, file)
            return {"files": [file.name for file in files]}

        self.folder.step(step, settings, compute)
        if not fitted:
            try:
                fitted[:] = [load(file) for file in files]
            except (OSError, ModelFileError):
                # Damaged or taken away since: training gives the same numbers again.
                record.unlink(missing_ok=True)
                self.folder.step(step, settings, compute)
        return fitted


def boltzmann(n_sites: int, *, temperature: float, ring: bool) -> NDArray[np.float64]:
    """Return the probabilities of all configurations of a small Ising chain, site i with weight 2^i."""
    states = integers_to_spins(np.arange(2**n_sites), n_sites)
    energies = Ising(lattices.chain(n_sites, periodic=ring)).energy(states)
    weights = np.exp(-(energies - energies.min()) / temperature)
    return np.asarray(weights / weights.sum())


def drawn(chances: NDArray[np.float64], *, n_draws: int, rng: int) -> NDArray[np.int8]:
    """Draw independent rows of spins from the probabilities of all configurations."""
    n_sites = len(chances).bit_length() - 1
    outcomes = np.random.default_rng(rng).choice(len(chances), size=n_draws, p=chances)
    return integers_to_spins(outcomes, n_sites)
