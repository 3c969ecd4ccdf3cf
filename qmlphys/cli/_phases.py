"""Commands of the classical side: sample configurations, find phases in them."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qmlphys.cli._show import Picture, Seed, Table, print_rows, show, watched, writable, writable_folder

__all__ = ["LatticeName", "ising", "phases", "temperatures_of"]

_MAX_TEMPERATURES = 10_000

ising = typer.Typer(help="Monte Carlo of the Ising model.", no_args_is_help=True)
phases = typer.Typer(
    help="Find the transition, with a learner that is not told where it lies: in a file of snapshots, or on a device.",
    no_args_is_help=True,
)


class LatticeName(StrEnum):
    """Lattices on the command line."""

    chain = "chain"
    square = "square"
    triangular = "triangular"
    honeycomb = "honeycomb"
    cubic = "cubic"


class Algorithm(StrEnum):
    """Update schemes."""

    auto = "auto"
    metropolis = "metropolis"
    wolff = "wolff"
    swendsen_wang = "swendsen-wang"


class Network(StrEnum):
    """Kinds of network."""

    dense = "dense"
    cnn = "cnn"


class Method(StrEnum):
    """How clusters are found."""

    kmeans = "kmeans"
    mixture = "mixture"


class Embedding(StrEnum):
    """Coordinates in which clusters are sought."""

    pca = "pca"
    diffusion = "diffusion"


class Strategy(StrEnum):
    """How confusion is learned."""

    multitask = "multitask"
    per_split = "per-split"


Snapshots = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="Snapshots over a scan, as `qmlphys ising sample` and `qmlphys nqs scan` write them."
    ),
]


def temperatures_of(text: str, *, what: str = "temperatures", unit: str = "J/k_B") -> list[float]:
    """Read temperatures: a list such as "2.0,2.2,2.4", or "start:stop:count" with both ends included.

    Parameters
    ----------
    text : str
        What was typed.
    what, unit : str
        What they are, for messages: fields are read in the same way.

    Returns
    -------
    list of float
        Positive and finite.

    Raises
    ------
    ValueError
        If the text is neither, or a temperature is not positive.

    Examples
    --------
    >>> temperatures_of("2:3:5")
    [2.0, 2.25, 2.5, 2.75, 3.0]
    """
    parts = text.split(":")
    try:
        numbers = [float(part) for part in (parts if len(parts) > 1 else text.split(","))]
    except ValueError:
        numbers = []
    if len(parts) == 3 and len(numbers) == 3 and numbers[2].is_integer():
        start, stop, count = numbers[0], numbers[1], int(numbers[2])
        if not 2 <= count <= _MAX_TEMPERATURES:
            raise ValueError(f"The count of {what} must be 2 to {_MAX_TEMPERATURES}, but it is {count}.")
        numbers = [start + (stop - start) * i / (count - 1) for i in range(count)]
    elif len(parts) > 1 or not numbers:
        raise ValueError(
            f"{what.capitalize()} must be a list such as 2.0,2.2,2.4 or start:stop:count such as 1.5:3.5:21, "
            f"but they are {text[:80]!r}."
        )
    for value in numbers:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{what.capitalize()} must be positive, in units of {unit}, but one of them is {value:g}.")
    if len(numbers) > _MAX_TEMPERATURES:
        raise ValueError(f"There must be at most {_MAX_TEMPERATURES} {what}, but there are {len(numbers)}.")
    return numbers


@ising.command("sample")
def ising_sample(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.nc", help="Where to write the snapshots (netCDF).")],
    lattice: Annotated[LatticeName, typer.Option(help="The lattice.")] = LatticeName.square,
    size: Annotated[int, typer.Option(help="Linear size L; a square lattice then has L x L sites.")] = 16,
    temperatures: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="In J/k_B: 2.0,2.2,2.4 or start:stop:count, both ends included. By default 25 from z|J|/4 to z|J|, "
            "with z neighbours: wide enough for any transition.",
        ),
    ] = None,
    chains: Annotated[int, typer.Option(help="Independent chains at each temperature.")] = 64,
    draws: Annotated[int, typer.Option(help="Snapshots from each chain.")] = 100,
    algorithm: Annotated[Algorithm, typer.Option(help="How spins are updated.")] = Algorithm.auto,
    coupling: Annotated[float, typer.Option(help="J; positive is ferromagnetic.")] = 1.0,
    field: Annotated[float, typer.Option(help="Magnetic field h, in units of energy.")] = 0.0,
    open_boundary: Annotated[bool, typer.Option("--open", help="Open instead of periodic boundaries.")] = False,
    seed: Seed = 0,
) -> None:
    """Sample configurations over a scan of temperatures and save them.

    Thermalisation and spacing of the draws follow from the autocorrelation time, which is measured first.
    """
    values = None if temperatures is None else temperatures_of(temperatures)
    if values is None and coupling == 0.0:
        raise ValueError("Option --temperatures must be given where --coupling is 0: no scale of energy is left.")
    writable(out)
    from qmlphys.workflows.sampling import sample_ising

    ds = sample_ising(
        lattice.value,
        size,
        values,
        periodic=not open_boundary,
        coupling=coupling,
        field=field,
        n_chains=chains,
        n_draws=draws,
        algorithm=algorithm.value,
        seed=seed,
        out=out,
        progress=watched(),
    )
    n = math.prod(ds.sizes[key] for key in ("parameter", "chain", "draw"))
    typer.echo(f"{n} snapshots of {ds.attrs['lattice']} at {ds.sizes['parameter']} temperatures: {out}")


@phases.command("supervised")
def phases_supervised(
    file: Snapshots,
    network: Annotated[
        Network, typer.Option(help="Fully connected, or convolutions that know the lattice.")
    ] = Network.cnn,
    ends: Annotated[
        float, typer.Option(help="Share of the scan at each end whose snapshots are labelled, below 0.5.")
    ] = 0.25,
    seed: Seed = 0,
    figure: Picture = None,
    table: Table = None,
) -> None:
    """Train a network on both far ends of the scan; find where its output changes side.

    The low end of the scan must be the ordered one. Half of the chains train, the other half is measured.
    """
    writable(figure, suffix=".svg")
    writable(table)
    from qmlphys.snapshots import load

    ds = load(file)
    from qmlphys.workflows import analysis

    show(
        analysis.supervised(ds, network=network.value, end_fraction=ends, seed=seed, progress=watched()),
        figure=figure,
        table=table,
    )


@phases.command("clustering")
def phases_clustering(
    file: Snapshots,
    method: Annotated[Method, typer.Option(help="How clusters are found.")] = Method.kmeans,
    embedding: Annotated[
        Embedding, typer.Option(help="Principal components, or a diffusion map (slower, not linear).")
    ] = Embedding.pca,
    seed: Seed = 0,
    figure: Picture = None,
    table: Table = None,
) -> None:
    """Find two phases without any label; find where snapshots change from one to the other."""
    writable(figure, suffix=".svg")
    writable(table)
    from qmlphys.snapshots import load

    ds = load(file)
    from qmlphys.workflows import analysis

    show(analysis.clustering(ds, method=method.value, embedding=embedding.value, seed=seed), figure=figure, table=table)


@phases.command("confusion")
def phases_confusion(
    file: Snapshots,
    network: Annotated[
        Network, typer.Option(help="Fully connected, or convolutions that know the lattice.")
    ] = Network.cnn,
    strategy: Annotated[
        Strategy, typer.Option(help="One network for all assumed critical points, or one for each (slow).")
    ] = Strategy.multitask,
    splits: Annotated[int, typer.Option(help="Largest number of assumed critical points.")] = 100,
    seed: Seed = 0,
    figure: Picture = None,
    table: Table = None,
) -> None:
    """Learn by confusion: assume every critical point in turn; take the one that is easiest to learn."""
    writable(figure, suffix=".svg")
    writable(table)
    from qmlphys.snapshots import load

    ds = load(file)
    from qmlphys.workflows import analysis

    show(
        analysis.confusion(
            ds, network=network.value, strategy=strategy.value, n_splits=splits, seed=seed, progress=watched()
        ),
        figure=figure,
        table=table,
    )


@phases.command("device")
def phases_device(
    sizes: Annotated[str, typer.Option(metavar="LIST", help="Growing numbers of sites, such as 6,8,10.")] = "6,8,10",
    fields: Annotated[
        str, typer.Option(metavar="LIST", help="In J: 0.5,1.0,1.5 or start:stop:count, both ends included.")
    ] = "0.4:2.2:13",
    backend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Where circuits run; may be given several times. aer and fake_torino unless given."
        ),
    ] = None,
    layers: Annotated[
        str, typer.Option(metavar="LIST", help="Of the circuits: 0 is exact and long, n takes n layers of gates.")
    ] = "2",
    shots: Annotated[int, typer.Option(min=200, help="Of each circuit.")] = 8000,
    monte_carlo: Annotated[bool, typer.Option(help="Judge classical Monte Carlo of the same states too.")] = True,
    wait: Annotated[
        bool, typer.Option(help="Wait for the jobs and report; --no-wait submits them and prints their ids.")
    ] = True,
    timeout: Annotated[float | None, typer.Option(min=0, help="Longest wait for a job, in seconds.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="The run folder.")] = Path(
        "runs/device-phases"
    ),
    seed: Seed = 1,
) -> None:
    """Prepare ground states as circuits, measure them on backends, and let a classifier judge the snapshots.

    The Ising ring in a transverse field is scanned; the classifier saw neural states from both far ends only. One job a
    size and backend, through the ledger: the same command fetches later what was submitted.
    """
    values = tuple(temperatures_of(fields, what="fields", unit="J"))
    writable_folder(out)
    from qmlphys.workflows import device_phases as workflow

    config = workflow.DevicePhasesConfig(
        sizes=_whole(sizes, "Sizes", "6,8,10"),
        fields=values,
        backends=tuple(backend or ("aer", "fake_torino")),
        n_layers=_whole(layers, "Layers", "0,2"),
        shots=shots,
        monte_carlo=monte_carlo,
        seed=seed,
    )
    tell = _tell if watched() else None
    if not wait:
        for sent in workflow.submit(config, out=out, tell=tell):
            typer.echo(f"{sent.job_id}  {sent.label}, {sent.size} sites")
        typer.echo(f"Kept in {out}. The same command without --no-wait fetches the results; `qmlphys jobs` lists them.")
        return
    found = workflow.run(config, out=out, timeout=timeout, progress=True, tell=tell)
    print_rows(found.rows, title=found.title, deviations=True)
    resumed = f", {found.n_resumed} steps taken up from before" if found.n_resumed else ""
    typer.echo(f"Report: {found.report}  ({found.seconds:.0f} s{resumed})")


def _whole(text: str, what: str, example: str) -> tuple[int, ...]:
    """Read a list of whole numbers."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{what} must be a list such as {example}, but they are {text[:80]!r}.") from None


def _tell(text: str) -> None:
    typer.echo(f"  {text}", err=True)
