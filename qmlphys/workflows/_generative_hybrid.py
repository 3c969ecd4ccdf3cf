"""Training a circuit from a good start: a Born machine made into gates, beside random angles."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from circuits.state_preparation import layered_ansatz
from qmlphys._arguments import whole_number

__all__ = ["BORN", "RANDOM", "hybrid"]

BORN, RANDOM = "Born machine", "random angles"
"""Names of the starts."""


def hybrid(
    X: ArrayLike,
    *,
    n_layers: int = 2,
    max_bond: int = 4,
    max_sweeps: int = 20,
    n_seeds: int = 4,
    max_steps: int = 60,
    learning_rate: float = 0.05,
    loss: Literal["nll", "mmd"] = "nll",
    seed: int = 0,
) -> xr.Dataset:
    """Train the same circuit from a Born machine's angles and from random ones, several times each.

    A Born machine is fitted to the rows, its matrix product state is compiled into layers of two-qubit gates, and
    their angles are where the circuit's own training begins - by adjoint gradients of expectation values in PennyLane.
    Random angles of the same circuit start in a landscape that is flat and bumpy: gradients there tell little of
    where the data lie.

    Parameters
    ----------
    X : array_like, shape (n, n_sites)
        Bits or spins, 2 to 16 sites.
    n_layers : int
        Layers of the circuit.
    max_bond, max_sweeps : int
        Of the Born machine.
    n_seeds : int
        Trainings of each kind, each with a seed of its own.
    max_steps : int
        Steps of each training.
    learning_rate : float
        Of Adam, in radians.
    loss : {"nll", "mmd"}
        What is lowered.
    seed : int
        Where all randomness starts.

    Returns
    -------
    xarray.Dataset
        ``nll`` (nats a row) and ``gradient_norm`` (of the loss) over ``start`` ("Born machine", "random angles"),
        ``seed`` and ``step`` (0 is the start); ``best_nll`` over ``start`` and ``seed``: of the angles that were
        kept. Attributes: ``n_qubits``, ``n_parameters``, ``n_layers``, ``entropy`` (of the rows, nats: the floor),
        ``born_nll`` (of the matrix product states, their mean).

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Notes
    -----
    Rudolph et al., Nature Communications 14, 8367 (2023): synergistic pretraining of circuits by tensor networks.

    Examples
    --------
    >>> X = np.array([[0, 0, 0], [1, 1, 1]] * 4)
    >>> found = hybrid(X, n_layers=1, max_bond=2, n_seeds=1, max_steps=3, seed=1)
    >>> dict(found["nll"].sizes)["start"], bool(found["best_nll"].min() >= found.attrs["entropy"] - 1e-9)
    (2, True)
    """
    from qmlphys.generative import BornMachine, CircuitBornMachine

    rows = np.asarray(X)
    if rows.ndim != 2 or not 2 <= rows.shape[1] <= 16:
        raise ValueError(f"Argument `X` must be rows of 2 to 16 sites, but its shape is {rows.shape}.")
    for name, value in (("n_layers", n_layers), ("n_seeds", n_seeds), ("max_steps", max_steps)):
        whole_number(name, value)
    traces: dict[str, list[tuple[np.ndarray, np.ndarray, float]]] = {BORN: [], RANDOM: []}
    born_nll = []
    n_parameters = 0
    for number in range(n_seeds):
        key = int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0] >> np.uint32(1))
        born = BornMachine(max_bond=max_bond, max_sweeps=max_sweeps, random_state=key).fit(rows)
        born_nll.append(-born.score(rows))
        circuit, angles = layered_ansatz(rows.shape[1], n_layers=n_layers, tensors=born.state_.tensors)
        n_parameters = len(angles)
        for start, initial in ((BORN, angles), (RANDOM, None)):
            model = CircuitBornMachine(
                circuit,
                initial=initial,
                loss=loss,
                learning_rate=learning_rate,
                max_steps=max_steps,
                patience=max_steps,
                random_state=key,
            ).fit(rows)
            history = model.history_
            traces[start].append(
                (history["train_nll"].values, history["gradient_norm"].values, -float(model.score(rows)))
            )
    _, counts = np.unique(rows, axis=0, return_counts=True)
    shares = counts / counts.sum()
    dims = ("start", "seed", "step")
    # A start that is an optimum already stops at once: its trace goes on with what it found.
    length = max(run[0].size for runs in traces.values() for run in runs)

    def longest(trace: np.ndarray) -> np.ndarray:
        return np.pad(trace, (0, length - trace.size), mode="edge")

    nll = np.array([[longest(run[0]) for run in runs] for runs in traces.values()])
    norms = np.array([[longest(run[1]) for run in runs] for runs in traces.values()])
    best = np.array([[run[2] for run in runs] for runs in traces.values()])
    return xr.Dataset(
        {"nll": (dims, nll), "gradient_norm": (dims, norms), "best_nll": (dims[:2], best)},
        {"start": list(traces), "seed": np.arange(n_seeds), "step": np.arange(length)},
        {
            "n_qubits": rows.shape[1],
            "n_parameters": n_parameters,
            "n_layers": n_layers,
            "entropy": float(-(shares * np.log(shares)).sum()),
            "born_nll": float(np.mean(born_nll)),
        },
    )
