"""The command line: a thin shell around the workflows.

Whatever is wrong with what a user typed or with a file gives one line on standard error and exit code 2; Ctrl-C gives
exit code 130, and what was finished before stays. Heavy imports happen inside the commands, so that help is immediate.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from qmlphys.report import Row
    from qmlphys.workflows.analysis import Analysis

__all__ = ["app", "main"]

USER_ERROR = 2
INTERRUPTED = 130

_MAX_TEMPERATURES = 10_000

app = typer.Typer(
    name="qmlphys",
    help="Machine learning of statistical and quantum physics: configurations in, critical points with error bars out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
ising = typer.Typer(help="Monte Carlo of the Ising model.", no_args_is_help=True)
phases = typer.Typer(
    help="Find the transition in a file of snapshots, with a learner that is not told where it lies.",
    no_args_is_help=True,
)
app.add_typer(ising, name="ising")
app.add_typer(phases, name="phases")


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
    typer.Argument(metavar="FILE", help="Snapshots over a scan of temperatures, as `qmlphys ising sample` writes."),
]
Seed = Annotated[int, typer.Option(min=0, help="Where all randomness starts: the same number, the same result.")]
Picture = Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Write the picture here.")]
Table = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers here, as JSON.")]


def temperatures_of(text: str) -> list[float]:
    """Read temperatures: a list such as "2.0,2.2,2.4", or "start:stop:count" with both ends included.

    Parameters
    ----------
    text : str
        What was typed.

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
            raise ValueError(f"The count of temperatures must be 2 to {_MAX_TEMPERATURES}, but it is {count}.")
        numbers = [start + (stop - start) * i / (count - 1) for i in range(count)]
    elif len(parts) > 1 or not numbers:
        raise ValueError(
            "Temperatures must be a list such as 2.0,2.2,2.4 or start:stop:count such as 1.5:3.5:21, "
            f"but they are {text[:80]!r}."
        )
    for value in numbers:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"Temperatures must be positive, in units of J/k_B, but one of them is {value:g}.")
    if len(numbers) > _MAX_TEMPERATURES:
        raise ValueError(f"There must be at most {_MAX_TEMPERATURES} temperatures, but there are {len(numbers)}.")
    return numbers


def _writable(path: Path | None, *, suffix: str = "") -> None:
    """Refuse, before any work is done, a file that could not be written at its end."""
    if path is None:
        return
    if suffix and path.suffix != suffix:
        raise ValueError(f"The name of the file must end in '{suffix}', but it is '{path}'.")
    if path.is_dir():
        raise ValueError(f"'{path}' is a folder; give the name of a file.")
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder '{path.parent}' to write '{path.name}' into.")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"The folder '{path.parent}' cannot be written to.")


def _progress() -> bool:
    """Tell whether somebody watches; a log file or a pipe gets no progress bars."""
    return sys.stderr.isatty()


def print_rows(rows: Sequence[Row], *, title: str, deviations: bool) -> None:
    """Print numbers as a table.

    Parameters
    ----------
    rows : sequence of Row
        The numbers.
    title : str
        Head of the table.
    deviations : bool
        Whether to show exact values and the deviations from them, or else where the numbers come from.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", title_style="bold")
    table.add_column("quantity", overflow="fold")
    table.add_column("value", no_wrap=True, style="bold")
    if deviations:
        table.add_column("exact", no_wrap=True)
        table.add_column("deviation", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    if not deviations:
        table.add_column("source", overflow="fold")
    for row in rows:
        cells = [row.name, row.text, row.unit_text, row.source]
        if deviations:
            cells = [row.name, row.text, row.exact_text, row.deviation_text, row.unit_text]
        table.add_row(*map(escape, cells))
    Console().print(table)


def _show(analysis: Analysis, *, figure: Path | None, table: Path | None) -> None:
    """Print an outcome and write what was asked for."""
    import dataclasses

    print_rows(analysis.rows, title=analysis.title, deviations=False)
    if figure is not None:
        from qmlphys import plotting

        plotting.save(analysis.figure, figure)
        typer.echo(f"Picture: {figure}")
    if table is not None:
        from qmlphys._atomic import write_text

        rows = [
            {
                key: None if isinstance(v, float) and not math.isfinite(v) else v
                for key, v in dataclasses.asdict(row).items()
            }
            for row in analysis.rows
        ]
        write_text(table, json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        typer.echo(f"Numbers: {table}")


@app.command()
def version() -> None:
    """Print the version."""
    import qmlphys

    typer.echo(f"qmlphys {qmlphys.__version__}")


@ising.command("sample")
def ising_sample(
    out: Annotated[Path, typer.Option(metavar="FILE.nc", help="Where to write the snapshots (netCDF).")],
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
    _writable(out)
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
        progress=_progress(),
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
    _writable(figure, suffix=".svg")
    _writable(table)
    from qmlphys.snapshots import load

    ds = load(file)
    from qmlphys.workflows import analysis

    _show(
        analysis.supervised(ds, network=network.value, end_fraction=ends, seed=seed, progress=_progress()),
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
    _writable(figure, suffix=".svg")
    _writable(table)
    from qmlphys.snapshots import load

    ds = load(file)
    from qmlphys.workflows import analysis

    _show(
        analysis.clustering(ds, method=method.value, embedding=embedding.value, seed=seed), figure=figure, table=table
    )


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
    _writable(figure, suffix=".svg")
    _writable(table)
    from qmlphys.snapshots import load

    ds = load(file)
    from qmlphys.workflows import analysis

    _show(
        analysis.confusion(
            ds, network=network.value, strategy=strategy.value, n_splits=splits, seed=seed, progress=_progress()
        ),
        figure=figure,
        table=table,
    )


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The run folder.")] = Path("runs/demo"),
    seed: Seed = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compute everything again, whatever is there already.")
    ] = False,
) -> None:
    """Go the whole way in a minute: sample, learn in three ways, and report.

    A run that was stopped goes on where it was; a finished one is only reported again.
    """
    # One thread for the small networks here: faster than several that wait for each other, above all on a busy machine,
    # and the numbers are then the same on any number of cores. Monte Carlo has threads of its own.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from qmlphys.workflows import ising_phases

    outcome = ising_phases.run(
        ising_phases.IsingPhasesConfig(seed=seed), out=out, progress=True, bars=_progress(), fresh=fresh
    )
    print_rows(outcome.rows, title=outcome.title, deviations=True)
    resumed = f", {outcome.n_resumed} steps taken up from before" if outcome.n_resumed else ""
    typer.echo(f"Report: {outcome.report}  ({outcome.seconds:.0f} s{resumed})")


@app.command()
def criticality(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The run folder.")] = Path("runs/criticality"),
    seed: Seed = 1,
) -> None:
    """Measure Tc and nu of the square lattice to four digits, with networks that saw only both ends (minutes).

    A run that was stopped goes on where it was.
    """
    from qmlphys.report import read_results
    from qmlphys.workflows import criticality as workflow

    workflow.run(workflow.CriticalityConfig(seed=seed), out=out, progress=_progress())
    print_rows(read_results(out), title="Critical point of the Ising model on the square lattice", deviations=True)
    typer.echo(f"Report: {out / 'report.html'}")


def _one_line(error: BaseException) -> str:
    """Return the text of an error as one line."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.strerror}: '{error.filename}'"
    return text or type(error).__name__


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with an exit code: 0 well, 2 wrong input, 130 stopped with Ctrl-C.

    Parameters
    ----------
    arguments : sequence of str, optional
        What was typed after the program's name; from the process unless given.
    """
    # Typer exports one kind of usage error, but not the base of all.
    usage_error = cast("type[Exception]", typer.BadParameter.__base__)
    try:
        code = app(args=None if arguments is None else list(arguments), prog_name="qmlphys", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except usage_error as error:
        text = " ".join(error.format_message().split())  # type: ignore[attr-defined]
        if text:  # without any argument the help was printed, and there is nothing to add
            typer.echo(f"Error: {text}", err=True)
        code = USER_ERROR
    except (ValueError, OSError, MemoryError) as error:
        typer.echo(f"Error: {_one_line(error)}", err=True)
        code = USER_ERROR
    if code == INTERRUPTED:  # some versions of typer turn Ctrl-C into this code themselves
        typer.echo("Stopped. What was finished before is kept.", err=True)
    sys.exit(code if isinstance(code, int) else 0)
