"""Commands of jobs: submit a circuit, follow it, fetch what came out."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmlphys.cli._show import Picture, writable

if TYPE_CHECKING:
    import xarray as xr

    from qmlphys.execution.jobs import Job

__all__ = ["BackendName", "SampledSeed", "jobs", "submit"]

jobs = typer.Typer(help="Jobs in the ledger: what was submitted, where it is, what came out. Alone, it lists them.")


class Precision(StrEnum):
    """Of a simulator's amplitudes."""

    double = "double"
    single = "single"


BackendName = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="statevector, aer, aer-mps, aer-gpu, fake_torino (and other fakes), ibm_NAME, or ibm."
    ),
]
SampledSeed = Annotated[
    int | None,
    typer.Option(
        min=0, help="Of the shots and of the translation; the same number, the same result. Random unless given."
    ),
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="A job's id, or its first characters.")]


def submit(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A circuit: OpenQASM 2, OpenQASM 3 or QPY, of whatever origin."),
    ] = None,
    backend: BackendName = "aer",
    shots: Annotated[int, typer.Option(help="Shots, at least 1.")] = 1024,
    seed: SampledSeed = None,
    repeat: Annotated[
        int, typer.Option(min=0, help="Another number makes another job of the same task; else the first one is given.")
    ] = 0,
    precision: Annotated[Precision, typer.Option(help="Of a simulator's amplitudes.")] = Precision.double,
    noise: Annotated[bool, typer.Option(help="On fake devices: with their noise.")] = True,
    measure_all: Annotated[
        bool, typer.Option("--measure-all", help="Measure every qubit at the end: for circuits without measurements.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result and show it.")] = False,
    again: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Instead of FILE: send a job once more that failed, was cancelled or never arrived."
        ),
    ] = None,
) -> None:
    """Submit a circuit; its id is printed at once, and the job goes on when the shell is closed."""
    from qmlphys.execution import Options, circuit_files
    from qmlphys.execution import jobs as ledger

    if (file is None) == (again is None):
        raise ValueError("Give either a circuit FILE or --again ID.")
    for name in ("backend", "shots", "seed", "repeat", "precision", "noise", "measure_all"):
        source = context.get_parameter_source(name)
        if again is not None and source is not None and source.name == "COMMANDLINE":
            option = name.replace("_", "-")
            raise ValueError(f"Option --{option} does not fit --again, which sends the same task: leave it away.")
    if again is not None:
        job_id = ledger.submit_again(again)
    elif file is not None:
        read = circuit_files.read(file)
        if measure_all:
            if read.clbits:
                raise ValueError(f"'{file}' has classical bits of its own: leave --measure-all away.")
            read.measure_all()
        job_id = ledger.submit(
            read,
            backend,
            shots=shots,
            rng=seed,
            options=Options(precision=precision.value, noise=noise),
            repeat=repeat,
        )
    job = ledger.job(job_id)
    typer.echo(f"{job.id}  {job.state}")
    if wait:
        _fetched(job_id, timeout=None, out=None, figure=None)


@jobs.callback(invoke_without_command=True)
def jobs_default(context: typer.Context) -> None:
    """List the jobs, unless a command is given."""
    if context.invoked_subcommand is None:
        jobs_list()


def _job_table(listed: Sequence[Job]) -> None:
    """Print jobs."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("id", "state", "backend", "shots", "qubits", "2q gates", "created"):
        table.add_column(column, no_wrap=True)
    notes = [". ".join(text.rstrip(".") for text in (job.error, job.note) if text) for job in listed]
    noted = any(notes)
    if noted:
        table.add_column("note", overflow="fold")
    for job, note in zip(listed, notes, strict=True):
        cells = [job.id[:12], job.state, job.backend, job.shots, job.n_qubits, job.n_two_qubit_gates]
        moment = job.created.astimezone().strftime("%m-%d %H:%M")
        texts = ["" if cell is None else str(cell) for cell in (*cells, moment, *[note] * noted)]
        table.add_row(*map(escape, texts))
    Console().print(table)


@jobs.command("list")
def jobs_list() -> None:
    """List all jobs as this machine last knew them."""
    from qmlphys.execution import jobs as ledger

    listed = ledger.jobs()
    if not listed:
        typer.echo("No job yet: `qmlphys submit FILE` makes one.")
        return
    _job_table(listed)


@jobs.command("show")
def jobs_show(job_id: JobId) -> None:
    """Show all that is known of one job, as JSON."""
    from qmlphys.execution import jobs as ledger

    found = dataclasses.asdict(ledger.job(job_id))
    typer.echo(json.dumps(found, indent=2, default=str))


@jobs.command("fetch")
def jobs_fetch(
    job_id: JobId,
    timeout: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds to wait at most; for ever unless given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE.nc", help="Write the snapshots here.")
    ] = None,
    figure: Picture = None,
) -> None:
    """Fetch a job's result, waiting for it if need be: counts here, snapshots into a file."""
    writable(out)
    writable(figure, suffix=".svg")
    _fetched(job_id, timeout=timeout, out=out, figure=figure)


def _fetched(job_id: str, *, timeout: float | None, out: Path | None, figure: Path | None) -> None:
    """Wait for a result, print its counts, and write what was asked for."""
    from qmlphys import snapshots
    from qmlphys.execution import jobs as ledger

    ds = ledger.fetch(job_id, timeout=timeout)
    if "probability" in ds:
        _print_probabilities(ds)
        if out is not None or figure is not None:
            raise ValueError(
                f"Job {job_id[:12]} holds exact probabilities, not snapshots: leave --out and --figure away "
                "(`qmlphys.execution.jobs.fetch` gives all of them in Python)."
            )
        return
    _print_counts(ds)
    if out is not None:
        snapshots.save(ds, out)
        typer.echo(f"Snapshots: {out}")
    if figure is not None:
        from qmlphys import plotting

        plotting.save(plotting.histogram(ds, parameter=0), figure)
        typer.echo(f"Picture: {figure}")


def _print_counts(ds: xr.Dataset, *, n_most: int = 16) -> None:
    """Print the most frequent outcomes with the errors of their shares."""
    from rich.console import Console
    from rich.table import Table

    from qmlphys import snapshots
    from qmlphys.stats import Estimate

    counted = snapshots.counts(ds, parameter=0)
    n_shots = sum(counted.values())
    several = ds.sizes["parameter"] > 1
    table = Table(title=f"first of {ds.sizes['parameter']} scan points" if several else None, title_justify="left")
    for column in ("outcome", "shots", "share"):
        table.add_column(column, no_wrap=True)
    for outcome in list(counted)[:n_most]:
        share = counted[outcome] / n_shots
        text = str(Estimate(share, math.sqrt(share * (1 - share) / n_shots))) if 0 < share < 1 else f"{share:g}"
        table.add_row(outcome, str(counted[outcome]), text)
    if len(counted) > n_most:
        rest = sum(list(counted.values())[n_most:])
        table.add_row(f"{len(counted) - n_most} others", str(rest), f"{rest / n_shots:.3g}")
    Console().print(table)


def _print_probabilities(ds: xr.Dataset, *, n_most: int = 16) -> None:
    """Print the most probable outcomes of an exact result."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    row = ds["probability"].values[0]
    n_bits = max(1, int(row.size - 1).bit_length())
    several = ds.sizes["parameter"] > 1
    table = Table(title=f"first of {ds.sizes['parameter']} scan points" if several else None, title_justify="left")
    table.add_column("outcome", no_wrap=True)
    table.add_column("probability (exact)", no_wrap=True)
    order = np.argsort(-row, kind="stable")[:n_most]
    shown = [int(outcome) for outcome in order if row[outcome] > 0.0]
    for outcome in shown:
        table.add_row(f"{outcome:0{n_bits}b}", f"{row[outcome]:.6g}")
    rest = np.count_nonzero(row) - len(shown)
    if rest:
        table.add_row(f"{rest} others", f"{1.0 - row[shown].sum():.3g}")
    Console().print(table)


@jobs.command("cancel")
def jobs_cancel(job_id: JobId) -> None:
    """Cancel a job that is not done."""
    from qmlphys.execution import jobs as ledger

    job = ledger.cancel(job_id)
    typer.echo(f"{job.id}  {job.state}")


@jobs.command("restore")
def jobs_restore(job_id: JobId) -> None:
    """Get a lost or damaged result back: computed again with the same bits, or fetched from the service again."""
    from qmlphys.execution import jobs as ledger

    job = ledger.restore(job_id)
    typer.echo(f"{job.id}  {job.state}")


@jobs.command("sync")
def jobs_sync() -> None:
    """Bring the ledger up to date: look up jobs whose submission was cut off, restart local ones that died."""
    from qmlphys.execution import jobs as ledger

    _job_table(ledger.sync())
