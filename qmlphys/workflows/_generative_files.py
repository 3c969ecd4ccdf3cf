"""What the command line needs of models: made by name, and in files with the origin of their snapshots."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys import lattices, snapshots

__all__ = ["Origin", "load_model", "new_model", "origin_of", "read_graph", "rows_at", "save_model"]

_MAX_TEXT = 200
_MAX_JSON = 2**24  # bytes of a file that holds a graph


@dataclass(frozen=True)
class Origin:
    """What the snapshots were that a model was trained on.

    Parameters
    ----------
    parameter : float
        Value of the control parameter.
    name, units : str
        What it is.
    model, lattice, basis : str
        Labels, as in the snapshot Dataset.
    """

    parameter: float = 0.0
    name: str = "parameter"
    units: str = "1"
    model: str = ""
    lattice: str = ""
    basis: str = "Z"


def rows_at(
    ds: xr.Dataset, parameter: float | None = None
) -> tuple[NDArray[np.int8], NDArray[np.int64] | None, Origin]:
    """Return the snapshots at one value of the parameter, for a model.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshots.
    parameter : float, optional
        The value, to a millionth; needed where there are several.

    Returns
    -------
    rows : ndarray of int8, shape (n, n_sites)
        Spins.
    groups : ndarray of int64, shape (n,), or None
        The chain of each row; None where rows are independent.
    origin : Origin
        What they are.

    Raises
    ------
    ValueError
        If there is no such value, or none was chosen of several.
    """
    snapshots.check(ds)
    values = ds["parameter"].values
    listed = ", ".join(f"{value:g}" for value in values[:12]) + (", ..." if len(values) > 12 else "")
    if parameter is None:
        if len(values) > 1:
            raise ValueError(f"Argument `parameter` must choose one of the values {listed}, but it is None.")
        place = 0
    else:
        near = np.flatnonzero(np.isclose(values, parameter, rtol=1e-6, atol=1e-12))
        if not near.size:
            raise ValueError(f"Argument `parameter` must be one of the values {listed}, but it is {parameter:g}.")
        place = int(near[0])
    spins = ds["spins"].values[place]
    n_chains, n_draws, n_sites = spins.shape
    independent = n_chains == 1 and ds.attrs["source"] in ("device", "generative")
    groups = None if independent else np.repeat(np.arange(n_chains, dtype=np.int64), n_draws)
    attrs = ds["parameter"].attrs
    origin = Origin(
        float(values[place]), attrs["name"], attrs["units"], ds.attrs["model"], ds.attrs["lattice"], ds.attrs["basis"]
    )
    return spins.reshape(-1, n_sites), groups, origin


def new_model(
    kind: str,
    n_sites: int,
    *,
    graph: str = "",
    visible: Sequence[int] | None = None,
    max_bond: int | None = None,
    max_condition: float | None = None,
    max_steps: int | None = None,
    **settings: Any,
) -> Any:
    """Return a model that is not fitted yet.

    Parameters
    ----------
    kind : {"born", "graph", "factor"}
        Born machine, graph-state model, or classical factor graph with a factor on each edge.
    n_sites : int
        Sites of the rows.
    graph : str
        Label of a lattice, or a file as of `read_graph`; without meaning for a Born machine.
    visible : sequence of int, optional
        Visible qubits of a graph-state model; all unless given.
    max_bond : int, optional
        Of a Born machine; 16 unless given.
    max_condition : float, optional
        Of a graph-state model; its own default unless given.
    max_steps : int, optional
        Most steps, or sweeps; the model's own default unless given.
    **settings
        Further settings of the model.

    Returns
    -------
    estimator
        Of `qmlphys.generative`.

    Raises
    ------
    ValueError
        If the graph does not match the rows.
    """
    from qmlphys.generative import BornMachine, FactorGraphModel, GraphGenerativeModel

    if max_steps is not None:
        settings["max_sweeps" if kind == "born" else "max_steps"] = max_steps
    if kind == "born":
        return BornMachine(max_bond=max_bond or 16, **settings)
    n_qubits, edges = read_graph(graph)
    if kind == "graph":
        n_visible = n_qubits if visible is None else len(visible)
        if n_visible != n_sites:
            raise ValueError(
                f"The graph must have as many visible qubits as the rows have sites, {n_sites}, but it has "
                f"{n_visible}: see --graph and --visible."
            )
        bound: dict[str, Any] = {} if max_condition is None else {"max_condition": max_condition}
        return GraphGenerativeModel((n_qubits, edges), visible=visible, **bound, **settings)
    if n_qubits != n_sites:
        raise ValueError(
            f"The graph must have as many sites as the rows, {n_sites}, but it has {n_qubits}: see --graph."
        )
    joined = {site for edge in edges for site in edge}
    scopes = [*edges, *((site,) for site in range(n_sites) if site not in joined)]
    return FactorGraphModel(scopes, n_sites=n_sites, **settings)


def read_graph(text: str) -> tuple[int, list[tuple[int, int]]]:
    """Read a graph: the label of a lattice, or a JSON file with [n_qubits, [[i, j], ...]].

    Parameters
    ----------
    text : str
        Such as "square(4)", or the name of a file that ends in .json.

    Returns
    -------
    (int, list of (int, int))
        Number of qubits, and the edges.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if not text:
        raise ValueError("These rows name no lattice: give --graph, such as 'chain(16)' or a file of edges.")
    if text.endswith(".json"):
        path = Path(text)
        if path.stat().st_size > _MAX_JSON:
            raise ValueError(f"'{path}' must be at most {_MAX_JSON // 2**20} MiB.")
        try:
            n_qubits, edges = json.loads(path.read_text(encoding="utf-8"))
            return int(n_qubits), [(int(i), int(j)) for i, j in edges]
        except (ValueError, TypeError, RecursionError):
            raise ValueError(f"'{path}' must hold a graph as [n_qubits, [[i, j], ...]], but it does not.") from None
    lattice = lattices.from_label(text)
    return lattice.n_sites, [(int(i), int(j)) for i, j in lattice.edges]


def save_model(model: Any, path: str | os.PathLike[str], *, origin: Origin | None = None) -> None:
    """Write a fitted model as `qmlphys.generative.save` does, with the origin of its snapshots in its header.

    Parameters
    ----------
    model : estimator
        Of `qmlphys.generative`, fitted.
    path : path-like
        Where to.
    origin : Origin, optional
        What it was trained on.

    Raises
    ------
    TypeError
        If files do not keep such a model.
    """
    from qmlphys.generative import save
    from qmlphys.generative._file import write_arrays

    if origin is None or not hasattr(model, "_to_file"):
        save(model, path)
        return
    header, arrays = model._to_file()
    write_arrays(path, kind=type(model).__name__, header={**header, "origin": asdict(origin)}, arrays=arrays)


def load_model(path: str | os.PathLike[str]) -> tuple[Any, Origin]:
    """Read a model of `save_model`, or of `qmlphys.generative.save`, and what it was trained on.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    (estimator, Origin)
        The model; the origin is empty where the file names none.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is no model.
    """
    from qmlphys.generative import load

    model = load(path)
    return model, origin_of(path)


def origin_of(path: str | os.PathLike[str]) -> Origin:
    """Read what a file says of the origin of its model; nothing in it is trusted."""
    from qmlphys.generative import ModelFileError
    from qmlphys.generative._file import read_arrays

    kept = read_arrays(path)[0].get("origin", {})
    plain = asdict(Origin())
    if not isinstance(kept, dict) or set(kept) - set(plain):
        raise ModelFileError(
            f"File {Path(path).name!r} must name the origin of its model, but it names something else."
        )
    for key, value in kept.items():
        right = isinstance(value, str) and len(value) <= _MAX_TEXT
        if key == "parameter":
            right = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not right:
            raise ModelFileError(f"File {Path(path).name!r} must name the {key} of its snapshots, but it does not.")
    return Origin(**{**plain, **kept})
