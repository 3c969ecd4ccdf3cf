"""Commands of entanglement: all figures of the theory, counts of nonlinearities, values that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qmlphys.cli._show import Seed, Table, print_rows, watched, writable, writable_folder, write_rows

__all__ = ["entanglement"]

entanglement = typer.Typer(help="How much entanglement a neural quantum state can hold.", no_args_is_help=True)


@entanglement.command("battery")
def battery(
    full: Annotated[
        bool, typer.Option("--full", help="22 sites, 20 seeds, 10 windows: hours instead of minutes.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="DIR",
            help="The run folder; runs/entanglement, or runs/entanglement-full, unless given.",
        ),
    ] = None,
    seed: Seed = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compute everything again, whatever is there already.")
    ] = False,
    table: Table = None,
) -> None:
    """Compute and draw every figure: entropies of random networks, infinite width, tangent kernels, exact states.

    A run that was stopped goes on where it was.
    """
    writable(table)
    writable_folder(out)
    from qmlphys.workflows import entanglement_scaling as workflow

    config = workflow.BatteryConfig.full(seed=seed) if full else workflow.BatteryConfig(seed=seed)
    folder = out or Path("runs/entanglement-full" if full else "runs/entanglement")
    found = workflow.run(config, out=folder, progress=True, tell=_tell if watched() else None, fresh=fresh)
    print_rows(found.rows, title=found.title, deviations=True)
    resumed = f", {found.n_resumed} steps taken up from before" if found.n_resumed else ""
    typer.echo(f"Report: {found.report}  ({found.seconds:.0f} s{resumed})")
    if table is not None:
        write_rows(found.rows, table)


@entanglement.command("features")
def features(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="tanh, sin, gelu, relu (with -i: as a phase), mlp-tanh, mlp-sin, transformer, cosnet, tanh-network, "
            "rbm; a number after a dash says how many: cosnet-20.",
        ),
    ],
    n: Annotated[int, typer.Option("--n", min=2, help="Number of sites, at most 24.")] = 22,
    seed: Seed = 1,
    table: Table = None,
) -> None:
    """Count the nonlinearities of a random network and the affine features that its amplitudes depend on."""
    writable(table)
    from qmlphys.report import Row
    from qmlphys.workflows import entanglement_scaling as workflow

    found = workflow.count_features(network, n_sites=n, seed=seed)
    rows = [
        Row("nonlinearities k", found.n_nonlinearities, source=", ".join(found.operations)),
        Row("affine features mu", found.rank, source="independent linear forms of the spins"),
        Row("sites that are read", found.n_read, source=f"of {n}"),
        Row("bound says something", float(not found.bounds_nothing), source="1 where mu is below the sites read"),
    ]
    print_rows(rows, title=f"{network}, {n} sites", deviations=False)
    typer.echo(found.sentence)
    if table is not None:
        write_rows(rows, table)


@entanglement.command("references")
def references(
    n: Annotated[int, typer.Option("--n", min=2, max=100_000, help="Number of sites.")] = 22,
    n_a: Annotated[int | None, typer.Option("--n-a", min=1, help="Sites of the block; half unless given.")] = None,
    n_down: Annotated[
        int | None, typer.Option("--n-down", min=0, help="Spins -1 of the Dicke state; half unless given.")
    ] = None,
    reach: Annotated[
        int, typer.Option("--range", min=0, help="Range R of the Boltzmann machine whose ceiling is given.")
    ] = 1,
    table: Table = None,
) -> None:
    """Print entropies that are known in closed form: random states (Page), Dicke states, ceilings."""
    writable(table)
    from qmlphys.workflows import entanglement_scaling as workflow

    block = n // 2 if n_a is None else n_a
    rows = workflow.reference_values(n, block, n_down=n_down, reach=reach)
    print_rows(rows, title=f"Entropy of {block} of {n} sites", deviations=False)
    if table is not None:
        write_rows(rows, table)


def _tell(text: str) -> None:
    typer.echo(f"  {text}", err=True)
