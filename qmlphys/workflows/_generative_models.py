"""From snapshots to models, and from models to circuits and snapshots of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from circuits.generative import generative_model
from circuits.state_preparation import matrix_product_state, shallow_matrix_product_state
from qmlphys import snapshots
from qmlphys.lattices import Lattice

if TYPE_CHECKING:
    from qmlphys.generative import BornMachine

__all__ = ["MAX_EXACT_BOND", "bars_and_stripes", "compile_circuit", "learn", "model_samples"]

MAX_EXACT_BOND = 64
"""The largest bond of a matrix product state that is prepared exactly: unitaries on seven qubits."""


def bars_and_stripes(size: int) -> NDArray[np.int8]:
    """Return all images of bars and stripes: rows that are all on or off, or columns that are.

    Parameters
    ----------
    size : int
        Rows and columns, 2 to 6.

    Returns
    -------
    ndarray of int8, shape (2^(size + 1) - 2, size^2)
        Different images of 0 and 1, in order; all on and all off occur once.

    Raises
    ------
    ValueError
        If the size is out of range.

    Notes
    -----
    MacKay, Information Theory, Inference, and Learning Algorithms (2003), ch. 43; 30 images at size 4.

    Examples
    --------
    >>> bars_and_stripes(2).tolist()
    [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    """
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not 2 <= size <= 6:
        raise ValueError(f"Argument `size` must be 2 to 6, but it is {size!r}.")
    lines = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    bars = np.repeat(lines, size, axis=1)
    stripes = np.tile(lines, size)
    return np.unique(np.concatenate([bars, stripes]), axis=0).astype(np.int8)


def learn(
    ds: xr.Dataset,
    *,
    max_bond: int = 16,
    max_sweeps: int = 20,
    validation_fraction: float = 0.2,
    seed: int = 0,
    checkpoints: str | os.PathLike[str] | None = None,
    tell: Callable[[str], None] | None = None,
    **settings: Any,
) -> list[BornMachine]:
    """Train a Born machine on the snapshots at each value of the parameter.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshots of Monte Carlo, a neural state or a device.
    max_bond, max_sweeps : int
        Largest bond, and most sweeps.
    validation_fraction : float
        Share of the chains that is held out to stop the training, 0 (none) to below 1. A device has one chain, whose
        shots are independent, so there the shots are divided.
    seed : int
        Seeds every model by its place in the scan.
    checkpoints : path-like, optional
        An existing folder, from whose files a training that was stopped goes on.
    tell : callable, optional
        Told of each model as its training begins.
    **settings
        Further settings of `qmlphys.generative.BornMachine`.

    Returns
    -------
    list of BornMachine
        Fitted, one a value of the parameter, in order.

    Raises
    ------
    ValueError
        If an argument does not fit, or there are fewer than two chains to hold some out.

    Examples
    --------
    >>> from qmlphys.workflows.sampling import sample_ising
    >>> ds = sample_ising("chain", 6, [0.5, 3.0], n_chains=16, n_draws=10, seed=1)
    >>> cold, hot = learn(ds, max_bond=2, max_sweeps=3)
    >>> bool(cold.score(ds["spins"].values[0, :, 0]) > hot.score(ds["spins"].values[1, :, 0]))
    True
    """
    from qmlphys.generative import BornMachine

    snapshots.check(ds)
    n_parameters, n_chains, n_draws, n_sites = ds["spins"].shape
    independent = n_chains == 1 and ds.attrs["source"] in ("device", "generative")
    groups = None if independent else np.repeat(np.arange(n_chains), n_draws)
    name = ds["parameter"].attrs["name"]
    models = []
    for place in range(n_parameters):
        if tell is not None:
            tell(f"{name} {ds['parameter'].values[place]:g}")
        path = None if checkpoints is None else Path(checkpoints) / f"born-{place:03d}.checkpoint"
        model = BornMachine(
            max_bond=max_bond,
            max_sweeps=max_sweeps,
            validation_fraction=validation_fraction,
            checkpoint=path,
            random_state=int(np.random.SeedSequence(seed, spawn_key=(place,)).generate_state(1)[0] >> np.uint32(1)),
            **settings,
        )
        models.append(model.fit(ds["spins"].values[place].reshape(-1, n_sites), groups=groups))
    return models


def compile_circuit(
    model: Any,
    *,
    n_layers: int = 0,
    measure: bool = True,
    ancillas: Literal["one_each", "reused"] = "one_each",
) -> QuantumCircuit:
    """Turn a fitted model into a circuit whose measured bits have the model's distribution.

    Parameters
    ----------
    model : BornMachine, GraphGenerativeModel, FactorGraphModel or CircuitBornMachine
        Fitted.
    n_layers : int
        Of a Born machine: 0 prepares its state exactly; otherwise as well as so many layers of two-qubit gates can.
    measure : bool
        Whether every visible qubit is measured at the end.
    ancillas : {"one_each", "reused"}
        Of a graph model that is no chain: a qubit for every filter, or a single one that is measured and reset.

    Returns
    -------
    QuantumCircuit
        Its ``metadata`` holds ``two_qubit_gates`` and, of a matrix product state, the ``fidelity``, of a graph model
        the ``success_probability`` of its post-selection and the kind of ``preparation``.

    Raises
    ------
    TypeError
        If this is no model of the kinds above.
    ValueError
        If a bond is too large for an exact circuit, an option has no meaning for the model, or the circuit is too
        large.

    Examples
    --------
    >>> from qmlphys.generative import BornMachine
    >>> model = BornMachine(max_bond=2, random_state=0).fit([[0, 0, 0], [1, 1, 1]])
    >>> circuit = compile_circuit(model)
    >>> circuit.num_qubits, circuit.metadata["two_qubit_gates"], round(circuit.metadata["fidelity"], 6)
    (3, 3, 1.0)
    """
    from qmlphys.generative import BornMachine, CircuitBornMachine, FactorGraphModel, GraphGenerativeModel

    if isinstance(n_layers, bool) or not isinstance(n_layers, (int, np.integer)) or n_layers < 0:
        raise ValueError(f"Argument `n_layers` must be an integer >= 0, but it is {n_layers!r}.")
    if ancillas not in ("one_each", "reused"):
        raise ValueError(f"Argument `ancillas` must be 'one_each' or 'reused', but it is {ancillas!r}.")
    if isinstance(model, BornMachine):
        if ancillas != "one_each":
            raise ValueError("Argument `ancillas` must be 'one_each' for a Born machine: its circuit has none.")
        return _born_circuit(model, n_layers=int(n_layers), measure=measure)
    if n_layers:
        raise ValueError(f"Argument `n_layers` must be 0 for a {type(model).__name__}, but it is {n_layers}.")
    if isinstance(model, FactorGraphModel):
        from qmlphys.generative import from_factor_graph

        model = from_factor_graph(model)
    if isinstance(model, GraphGenerativeModel):
        return _graph_circuit(model, measure=measure, ancillas=ancillas)
    if isinstance(model, CircuitBornMachine):
        return _measured(model.to_circuit()) if measure else model.to_circuit()
    raise TypeError(
        "Argument `model` must be a Born machine, a graph model, a factor graph or a circuit Born machine, but it is "
        f"a {type(model).__name__}."
    )


def _born_circuit(model: BornMachine, *, n_layers: int, measure: bool) -> QuantumCircuit:
    """Compile a matrix product state."""
    tensors = model.state_.tensors
    largest = max((tensor.shape[2] for tensor in tensors), default=1)
    if n_layers == 0 and largest > MAX_EXACT_BOND:
        raise ValueError(
            f"Argument `model` must have bonds of at most {MAX_EXACT_BOND} to be prepared exactly, but its largest is "
            f"{largest}: take `n_layers` of 1 or more, or fit with a smaller `max_bond`."
        )
    exact = n_layers == 0
    built = matrix_product_state(tensors) if exact else shallow_matrix_product_state(tensors, n_layers=n_layers)
    return _measured(built) if measure else built


def _graph_circuit(model: Any, *, measure: bool, ancillas: Literal["one_each", "reused"]) -> QuantumCircuit:
    """Compile a graph state with a matrix on each qubit."""
    graph = model.graph
    if isinstance(graph, Lattice):
        graph = (graph.n_sites, [tuple(edge) for edge in graph.edges.tolist()])
    return generative_model(graph, model.matrices_, visible=model.visible_, ancillas=ancillas, measure=measure)


def _measured(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with all its qubits measured, its metadata kept."""
    result = circuit.copy()
    result.metadata = dict(circuit.metadata or {})
    result.measure_all()
    return result


def model_samples(
    models: Sequence[Any], like: xr.Dataset, *, n_samples: int, rng: int | np.random.Generator | None = None
) -> xr.Dataset:
    """Draw snapshots from models by themselves, classically, in the form of the data that they were trained on.

    Parameters
    ----------
    models : sequence of estimators
        Fitted, one a value of the parameter of `like`.
    like : xarray.Dataset
        The snapshots that they were trained on: parameter, lattice and Hamiltonian are taken over.
    n_samples : int
        Independent rows at each value.
    rng : int, Generator or None
        Randomness.

    Returns
    -------
    xarray.Dataset
        Snapshots with ``source="generative"``: one chain, every row a draw.

    Raises
    ------
    ValueError
        If there is not one model a value of the parameter.

    Examples
    --------
    >>> from qmlphys.hamiltonians import Ising
    >>> from qmlphys.lattices import square
    >>> from qmlphys.montecarlo import sample
    >>> from qmlphys.generative import BornMachine
    >>> from qmlphys.snapshots import as_xy
    >>> like = sample(Ising(square(3)), [2.0], n_chains=8, n_draws=20, rng=1)
    >>> model = BornMachine(max_bond=2, random_state=0).fit(as_xy(like)[0])
    >>> drawn = model_samples([model], like, n_samples=50, rng=1)
    >>> drawn.attrs["source"], dict(drawn["spins"].sizes)
    ('generative', {'parameter': 1, 'chain': 1, 'draw': 50, 'site': 9})
    """
    if len(models) != like.sizes["parameter"]:
        raise ValueError(
            f"Argument `models` must hold one model for each of the {like.sizes['parameter']} values of the parameter, "
            f"but it holds {len(models)}."
        )
    generator = np.random.default_rng(rng)
    rows = []
    for model in models:
        drawn = np.asarray(model.sample(n_samples, generator))
        rows.append(drawn if model.alphabet_ == "spins" else 1 - 2 * drawn)
    return snapshots.dataset(
        np.stack(rows)[:, np.newaxis].astype(np.int8),
        like["parameter"].values,
        name=like["parameter"].attrs["name"],
        units=like["parameter"].attrs["units"],
        source="generative",
        model=like.attrs["model"],
        lattice=like.attrs["lattice"],
        basis=like.attrs["basis"],
        seed=int(rng) if isinstance(rng, (int, np.integer)) else None,
    )
