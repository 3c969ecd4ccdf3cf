"""Commands of generative models: fit one to snapshots, sample it, compile it to a circuit, go the whole way."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmlphys.cli._jobs import BackendName
from qmlphys.cli._phases import temperatures_of
from qmlphys.cli._show import Picture, Seed, Table, print_rows, watched, writable, writable_folder, write_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qmlphys.report import Row
    from qmlphys.workflows._generative_files import Origin

__all__ = ["generative"]

generative = typer.Typer(
    help="Generative models: learn snapshots, draw new ones, compile to a circuit.", no_args_is_help=True
)


class Kind(StrEnum):
    """Models on the command line."""

    born = "born"
    graph = "graph"
    factor = "factor"


class Ancillas(StrEnum):
    """How the filters of a graph model are made."""

    one_each = "one_each"
    reused = "reused"


ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A model, as `qmlphys generative fit` writes it.")]
Layers = Annotated[
    int | None,
    typer.Option(min=0, help="Of a Born machine's circuit: layers of two-qubit gates; 0, the default, is exact."),
]


@generative.command("fit")
def fit(
    file: Annotated[
        Path, typer.Argument(metavar="SNAPSHOTS", help="Snapshots (.nc), or rows of bits or spins (.npy).")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.npz", help="Where to write the model.")],
    model: Annotated[
        Kind,
        typer.Option(help="Born machine; graph state with a matrix on each qubit; classical factor graph."),
    ] = Kind.born,
    parameter: Annotated[
        float | None, typer.Option(help="Value of the scan's parameter; needed where there are several.")
    ] = None,
    max_bond: Annotated[int | None, typer.Option(min=1, help="born: largest bond; 16 unless given.")] = None,
    graph: Annotated[
        str | None,
        typer.Option(
            metavar="LATTICE|FILE.json",
            help="graph, factor: such as 'square(4)', or a file, [3, [[0, 1], [1, 2]]]; else the snapshots' lattice.",
        ),
    ] = None,
    visible: Annotated[
        str | None, typer.Option(metavar="LIST", help="graph: the qubits that are measured; all unless given.")
    ] = None,
    max_condition: Annotated[
        float | None, typer.Option(help="graph: bound on the condition numbers; 100 unless given.")
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Most steps; sweeps of a Born machine. The model's own default unless given."),
    ] = None,
    validation: Annotated[
        float, typer.Option(help="Share of the chains that is held out, so that training ends in time; 0 for none.")
    ] = 0.2,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep training here; one that was stopped goes on from it.")
    ] = None,
    seed: Seed = 0,
    figure: Picture = None,
    table: Table = None,
) -> None:
    """Fit a model to snapshots and write it to a file.

    The likelihood is exact; its value on what was held out says how far to trust the model.
    """
    for path in (out, checkpoint, table):
        writable(path)
    writable(figure, suffix=".svg")
    _only(Kind.born, model, max_bond=max_bond)
    _only(Kind.graph, model, visible=visible, max_condition=max_condition)
    if model is Kind.born:
        _only(Kind.graph, model, graph=graph)
    rows, groups, origin = _rows(file, parameter)
    from qmlphys.workflows import _generative_files as files

    common: dict[str, Any] = {
        "validation_fraction": validation,
        "checkpoint": checkpoint,
        "random_state": seed,
        "verbose": watched(),
    }
    made = files.new_model(
        model.value,
        rows.shape[1],
        graph=graph or origin.lattice,
        visible=None if visible is None else _integers(visible),
        max_bond=max_bond,
        max_condition=max_condition,
        max_steps=max_steps,
        **common,
    )
    made.fit(rows, groups=groups)
    files.save_model(made, out, origin=origin)
    numbers = _fit_rows(made, rows)
    print_rows(numbers, title=f"{type(made).__name__} of {len(rows)} rows of {rows.shape[1]} sites", deviations=False)
    typer.echo(f"Model: {out}")
    if figure is not None:
        from qmlphys import plotting

        plotting.save(plotting.loss_curve(made.history_), figure)
        typer.echo(f"Picture: {figure}")
    if table is not None:
        write_rows(numbers, table)


def _only(kind: Kind, chosen: Kind, **options: object) -> None:
    """Refuse options of another model."""
    for name, value in options.items():
        if value is not None and chosen is not kind:
            raise ValueError(f"Option --{name.replace('_', '-')} does not belong to --model {chosen.value}.")


def _rows(path: Path, parameter: float | None) -> tuple[NDArray[Any], NDArray[Any] | None, Origin]:
    """Read the rows that a model is to learn, with their chains and what they are."""
    from qmlphys.workflows._generative_files import Origin, rows_at

    if path.suffix == ".npy":
        from qmlphys.cli._quantum import _array

        if parameter is not None:
            raise ValueError(f"'{path}' has no parameter: leave --parameter away.")
        rows = _array(path)
        if rows.ndim != 2 or 0 in rows.shape:
            raise ValueError(f"'{path}' must hold rows of bits or spins, (n, n_sites), but its shape is {rows.shape}.")
        return rows, None, Origin()
    from qmlphys.snapshots import load

    return rows_at(load(path), parameter)


def _integers(text: str) -> list[int]:
    """Read a list of whole numbers."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"The list must be whole numbers such as 0,2,4, but it is {text[:80]!r}.") from None


def _fit_rows(model: Any, rows: NDArray[Any]) -> list[Row]:
    """Return the numbers of a fit."""
    import numpy as np

    from qmlphys.report import Row

    _, counts = np.unique(rows, axis=0, return_counts=True)
    shares = counts / counts.sum()
    history = model.history_
    best = int(history.attrs["best_step"])
    table = [Row("NLL of the training rows", float(history["train_nll"][best]), unit="nats", source="exact, a row")]
    held_out = float(history["validation_nll"][best])
    if np.isfinite(held_out):
        table.append(Row("NLL of the rows held out", held_out, unit="nats", source="exact, a row; not trained on"))
    entropy = float(-(shares * np.log(shares)).sum())
    table.append(Row("entropy of all rows", entropy, unit="nats", source="no model has a lower NLL on all of them"))
    table.append(Row("steps", history.sizes["step"], source=f"step {best} was kept"))
    if hasattr(model, "bonds_"):
        table.append(Row("largest bond", max(model.bonds_, default=1), source="of the matrix product state"))
    if hasattr(model, "condition_numbers_"):
        table.append(Row("largest condition number", float(model.condition_numbers_.max()), source="of a matrix"))
    return table


@generative.command("sample")
def sample(
    file: ModelFile,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.nc", help="Where to write the snapshots.")],
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="Snapshots; shots on a backend.")] = 1000,
    backend: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Compile and run there, through the ledger; else the model samples itself."),
    ] = None,
    layers: Layers = None,
    given: Annotated[
        str | None,
        typer.Option(
            metavar="BITS", help="Known sites, such as 1?0?, site 0 at the right; the rest is filled in (no backend)."
        ),
    ] = None,
    ancillas: Annotated[
        Ancillas | None,
        typer.Option(help="Graph models that are no chain: a qubit for each filter (the default), or one for all."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Draw snapshots from a model: by itself, or by its circuit on a backend.

    Of a graph model that is no chain a backend keeps only the shots whose filters passed.
    """
    writable(out)
    if backend is not None and given is not None:
        raise ValueError("Option --given needs the model itself: leave --backend away.")
    for name, value in (("layers", layers), ("ancillas", ancillas)):
        if backend is None and value is not None:
            raise ValueError(f"Option --{name} needs a --backend: the model itself has no circuit.")
    from qmlphys import snapshots
    from qmlphys.workflows import _generative_files as files

    model, origin = files.load_model(file)
    labels = {key: getattr(origin, key) for key in ("name", "units", "model", "lattice")}
    if backend is None:
        drawn = model.sample(n, seed, given=None if given is None else _given(given, model))
        spins = drawn if model.alphabet_ == "spins" else 1 - 2 * drawn
        ds = snapshots.dataset(
            spins[None, None].astype("int8"),
            [origin.parameter],
            **labels,
            source="generative",
            basis=origin.basis,
            seed=seed,
        )
    else:
        from qmlphys.workflows import generative as workflow

        circuit = workflow.compile_circuit(model, n_layers=layers or 0, ancillas=(ancillas or Ancillas.one_each).value)
        job = workflow.submit(circuit, backend, shots=n, values=[origin.parameter], seed=seed, **labels)
        typer.echo(f"Job: {job}")
        ds = workflow.fetch(job)
        share = workflow.kept_shares(ds)[0]
        if share.error:
            typer.echo(f"Post-selection kept {share} of the shots.")
    snapshots.save(ds, out)
    typer.echo(f"{ds.sizes['draw']} snapshots of {ds.sizes['site']} sites: {out}")


def _given(text: str, model: Any) -> list[float]:
    """Read known sites."""
    n_sites = model.n_features_in_
    if len(text) != n_sites or set(text) - set("01?"):
        raise ValueError(f"Known sites must be {n_sites} characters 0, 1 or ?, but they are {text[:80]!r}.")
    values = {"0": 0.0, "1": 1.0, "?": float("nan")}
    row = [values[character] for character in reversed(text)]
    return row if model.alphabet_ == "bits" else [1.0 - 2.0 * value for value in row]


@generative.command("compile")
def compile_model(
    file: ModelFile,
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="FILE", help="Where to write: .qasm (OpenQASM 2), .qasm3 or .qpy."),
    ],
    layers: Layers = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure the visible qubits at the end.")] = False,
    ancillas: Annotated[
        Ancillas, typer.Option(help="Graph models that are no chain: a qubit for each filter, or one for all.")
    ] = Ancillas.one_each,
    figure: Picture = None,
) -> None:
    """Compile a model to a circuit and say what it costs."""
    from qmlphys.cli._quantum import _circuit_file, _write_circuit

    _circuit_file(out)
    writable(figure, suffix=".svg")
    from qmlphys.workflows import _generative_files as files
    from qmlphys.workflows import generative as workflow

    model, _ = files.load_model(file)
    built = workflow.compile_circuit(model, n_layers=layers or 0, measure=measure, ancillas=ancillas.value)
    _write_circuit(built, out, figure)
    metadata = built.metadata or {}
    if "fidelity" in metadata:
        typer.echo(f"Fidelity with the model's state: {metadata['fidelity']:.12g}")
    if metadata.get("preparation") == "post-selected":
        chance = metadata["success_probability"]
        text = "not known" if chance is None else f"{chance:.4g}"
        typer.echo(f"Post-selection on flags 0 keeps a share of the shots: {text}")


@generative.command("run")
def run(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="The run folder.")] = Path("runs/generative"),
    snapshots: Annotated[
        Path | None,
        typer.Option(metavar="FILE.nc", help="Learn these, of whatever source; else Monte Carlo of the Ising model."),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Linear size of the square lattice; 4 unless given.")] = None,
    temperatures: Annotated[
        str | None, typer.Option(metavar="LIST", help="In J/k_B: 1,2,3 or start:stop:count; 1:3:5 unless given.")
    ] = None,
    max_bond: Annotated[int, typer.Option(min=1, help="Of the Born machines.")] = 8,
    layers: Annotated[
        str, typer.Option(metavar="LIST", help="Circuits of the Born machines: 0 is exact, others are shallow.")
    ] = "0,3",
    backend: BackendName = "aer",
    shots: Annotated[int, typer.Option(min=1, help="Of each circuit of a Born machine.")] = 2000,
    images: Annotated[bool, typer.Option(help="Bars and stripes.")] = True,
    graphs: Annotated[bool, typer.Option(help="Graph models with post-selection.")] = True,
    starts: Annotated[bool, typer.Option(help="Training of circuits from two kinds of start.")] = True,
    seed: Seed = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compute everything again; jobs are fetched from the ledger.")
    ] = False,
) -> None:
    """Learn snapshots, compile, sample on a backend, judge the samples beside the originals, and report.

    A run that was stopped goes on where it was; jobs that were submitted are fetched, not submitted again.
    """
    if snapshots is not None and (size is not None or temperatures is not None):
        raise ValueError("Options --size and --temperatures belong to Monte Carlo: leave --snapshots away.")
    writable_folder(out)
    chosen: dict[str, Any] = {} if size is None else {"size": size}
    if temperatures is not None:
        chosen["temperatures"] = tuple(temperatures_of(temperatures))
    if snapshots is not None:
        chosen |= {"source": "file", "file": str(snapshots)}
    for name, wanted in (("images", images), ("graphs", graphs), ("starts", starts)):
        if not wanted:
            chosen[name] = None
    from qmlphys.workflows import generative as workflow

    config = workflow.GenerativeConfig(
        max_bond=max_bond, n_layers=tuple(_integers(layers)), backend=backend, shots=shots, seed=seed, **chosen
    )
    found = workflow.run(config, out=out, progress=True, tell=_tell if watched() else None, fresh=fresh)
    print_rows(found.rows, title=found.title, deviations=True)
    resumed = f", {found.n_resumed} steps taken up from before" if found.n_resumed else ""
    typer.echo(f"Report: {found.report}  ({found.seconds:.0f} s{resumed})")


def _tell(text: str) -> None:
    typer.echo(f"  {text}", err=True)
