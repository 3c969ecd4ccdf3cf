"""Commands of neural quantum states: one ground state, a scan of them, the phase transition in it."""

from __future__ import annotations

import json
import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qmlphys.cli._phases import LatticeName, temperatures_of
from qmlphys.cli._show import Seed, Table, print_rows, watched, writable, writable_folder, write_rows

__all__ = ["nqs"]

_MAX_SITES = 4096  # far above what a network here can be trained on

nqs = typer.Typer(help="Ground states by neural networks, and the phases in them.", no_args_is_help=True)


class Model(StrEnum):
    """Hamiltonians on the command line."""

    tfim = "tfim"
    heisenberg = "heisenberg"
    j1j2 = "j1j2"


class Bipartite(StrEnum):
    """Lattices whose critical field is sought."""

    chain = "chain"
    square = "square"


Hamiltonian = Annotated[Model, typer.Option(help="Transverse-field Ising, Heisenberg antiferromagnet, or J1-J2 model.")]
LatticeOption = Annotated[LatticeName, typer.Option(help="The lattice, periodic.")]
Size = Annotated[
    int, typer.Option(min=1, max=_MAX_SITES, help="Linear size L; a square lattice then has L x L sites, at most 4096.")
]
Alpha = Annotated[int, typer.Option(min=1, help="Hidden units a site.")]
Samples = Annotated[int, typer.Option(min=1, help="Configurations a step, a multiple of the chains.")]
Chains = Annotated[int, typer.Option(min=1, help="Independent Markov chains.")]
StepSize = Annotated[float, typer.Option(help="Learning rate of the natural gradient.")]


@nqs.command("ground-state")
def ground_state(
    hamiltonian: Hamiltonian = Model.tfim,
    lattice: LatticeOption = LatticeName.chain,
    size: Size = 32,
    field: Annotated[
        float | None,
        typer.Option(help="Transverse field h of tfim, or J2 of j1j2, in units of J; 1 unless given."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Most steps of the optimisation.")] = 400,
    target: Annotated[float, typer.Option(min=0.0, help="V-score at which to stop; 0 takes all steps.")] = 0.0,
    alpha: Alpha = 8,
    samples: Samples = 1024,
    chains: Chains = 1024,
    step_size: StepSize = 0.1,
    open_boundary: Annotated[bool, typer.Option("--open", help="Open instead of periodic boundaries.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Run folder for the report; a run that was stopped goes on from there."
        ),
    ] = None,
    seed: Seed = 1,
    table: Table = None,
) -> None:
    """Find one ground state and measure its energy on fresh samples."""
    writable(table)
    writable_folder(out)
    if hamiltonian is Model.heisenberg and field is not None:
        raise ValueError("Option --field belongs to tfim and j1j2: the Heisenberg model has none.")
    if hamiltonian is Model.tfim and field is not None and field < 0.0:
        raise ValueError(
            f"Option --field must be at least 0 for tfim, whose networks are positive, but it is {field:g}."
        )
    _check_sites(lattice, size)
    from qmlphys.workflows import ground_state as workflow

    recipe = workflow.Recipe(alpha=alpha, n_samples=samples, n_chains=chains, step_size=step_size, target=target)
    config = workflow.GroundStateConfig(
        hamiltonian=hamiltonian.value,
        lattice=lattice.value,
        size=size,
        periodic=not open_boundary,
        field=1.0 if field is None else field,
        n_steps=steps,
        recipe=recipe,
        seed=seed,
    )
    found = workflow.run(config, out=out, progress=watched())
    print_rows(found.rows, title=f"{config.model.label} on {config.geometry.label}", deviations=True)
    if found.report is not None:
        typer.echo(f"Report: {found.report}")
    if table is not None:
        write_rows(found.rows, table)


@nqs.command("scan")
def scan(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.nc", help="Where to write the snapshots (netCDF).")],
    hamiltonian: Hamiltonian = Model.tfim,
    lattice: LatticeOption = LatticeName.chain,
    size: Size = 32,
    fields: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="h of tfim, or J2 of j1j2, in units of J: 0.5,1.0,1.5 or start:stop:count, both ends included.",
        ),
    ] = "0.4:2.4:21",
    basis: Annotated[str, typer.Option(help="Pauli basis of the snapshots: one letter, or one a site.")] = "Z",
    draws: Annotated[int, typer.Option(min=1, help="Snapshots from each chain.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Optimisation steps of each state but the first.")] = 60,
    alpha: Alpha = 8,
    samples: Annotated[
        int,
        typer.Option(
            min=1,
            help="Configurations a step, a multiple of the chains; lattices of at most 16 sites are summed instead.",
        ),
    ] = 1024,
    chains: Chains = 1024,
    step_size: StepSize = 0.1,
    relaxation: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.95,
            help="Part of the steps that relax slow modes of the order of tfim, near its transition; above 0 "
            "it is also measured by how much each field is off.",
        ),
    ] = 0.0,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep each state here, so that a scan that was stopped goes on."),
    ] = None,
    seed: Seed = 1,
) -> None:
    """Train ground states along a field and save their snapshots; `qmlphys phases` reads them."""
    values = tuple(temperatures_of(fields, what="fields", unit="J"))
    writable(out)
    writable_folder(folder)
    if hamiltonian is Model.heisenberg:
        raise ValueError("Option --hamiltonian must be tfim or j1j2 here: the Heisenberg model has no field to scan.")
    _check_sites(lattice, size)
    from qmlphys import snapshots
    from qmlphys.workflows import ground_state as workflow
    from qmlphys.workflows.runs import RunFolder

    config = workflow.ScanConfig(
        hamiltonian=hamiltonian.value,
        lattice=lattice.value,
        size=size,
        fields=values,
        basis=basis,
        recipe=workflow.Recipe(alpha=alpha, n_samples=samples, n_chains=chains, step_size=step_size),
        n_steps=steps,
        relaxation=relaxation,
        n_draws=draws,
        seed=seed,
    )
    ds = workflow.scan(
        config,
        folder=None if folder is None else RunFolder(folder, workflow="ground-state-scan"),
        tell=_tell if watched() else None,
    )
    snapshots.save(ds, out)
    n = ds["spins"].size // ds.sizes["site"]
    typer.echo(f"{n} snapshots of {ds.attrs['lattice']} at {ds.sizes['parameter']} fields: {out}")
    if relaxation:
        offsets = [pair for pair in json.loads(ds.attrs["offsets"]) if pair[0] is not None]
        known = (
            f"are off by up to about {max(math.hypot(*pair) for pair in offsets):.2g} J" if offsets else "are not known"
        )
        typer.echo(f"As the order of the states has it, fields {known}.")


@nqs.command("phases")
def phases(
    lattice: Annotated[Bipartite, typer.Option(help="The lattice, periodic.")] = Bipartite.chain,
    sizes: Annotated[str, typer.Option(metavar="LIST", help="Growing linear sizes, such as 16,32,64.")] = "16,32,64",
    training_size: Annotated[
        int | None, typer.Option(help="Size that the networks are trained on; by default the second of the sizes.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="The run folder.")] = Path(
        "runs/ground-state-phases"
    ),
    seed: Seed = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compute everything again, whatever is there already.")
    ] = False,
) -> None:
    """Find the critical field of the transverse-field Ising model from neural ground states.

    The default sizes take tens of minutes.

    A run that was stopped goes on where it was.
    """
    try:
        numbers = tuple(int(part) for part in sizes.split(","))
    except ValueError:
        raise ValueError(f"Sizes must be a list such as 16,32,64, but they are {sizes[:80]!r}.") from None
    for size in numbers:
        _check_sites(LatticeName(lattice.value), size)
    writable_folder(out)
    from qmlphys.workflows import ground_state as workflow

    chosen = numbers[min(1, len(numbers) - 1)] if training_size is None else training_size
    config = workflow.PhasesConfig(lattice=lattice.value, sizes=numbers, training_size=chosen, seed=seed)
    found = workflow.phases(config, out=out, progress=True, tell=_tell if watched() else None, fresh=fresh)
    print_rows(found.rows, title=found.title, deviations=True)
    resumed = f", {found.n_resumed} steps taken up from before" if found.n_resumed else ""
    typer.echo(f"Report: {found.report}  ({found.seconds:.0f} s{resumed})")


def _check_sites(lattice: LatticeName, size: int) -> None:
    """Refuse a lattice that no training here could end on, before anything of its size is made."""
    if not 1 <= size <= _MAX_SITES:
        raise ValueError(f"A linear size must be 1 to {_MAX_SITES}, but it is {size}.")
    per_cell, dimension = {"chain": (1, 1), "honeycomb": (2, 2), "cubic": (1, 3)}.get(lattice.value, (1, 2))
    n_sites = per_cell * size**dimension
    if n_sites > _MAX_SITES:
        raise ValueError(f"A lattice must have at most {_MAX_SITES} sites, but {lattice.value}({size}) has {n_sites}.")


def _tell(text: str) -> None:
    typer.echo(f"  {text}", err=True)
