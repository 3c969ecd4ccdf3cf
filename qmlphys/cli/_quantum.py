"""Commands of the quantum side: build circuits, submit them, follow their jobs, solve linear systems."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmlphys.cli._show import Picture, Table, print_rows, writable, write_rows

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

    from qmlphys.execution.jobs import Job

__all__ = ["register"]

_MAX_ARRAY = 64 * 2**20  # bytes of an .npy file: far above what any command here can use

circuit = typer.Typer(help="Build a circuit and write it as OpenQASM 2, OpenQASM 3 or QPY.", no_args_is_help=True)
jobs = typer.Typer(help="Jobs in the ledger: what was submitted, where it is, what came out.")


class QFTForm(StrEnum):
    """Forms of the quantum Fourier transform."""

    full = "full"
    line = "line"
    semiclassical = "semiclassical"


class Evolution(StrEnum):
    """How the matrix becomes gates."""

    exponential = "exponential"
    diagonalised = "diagonalised"
    trotter = "trotter"


class Window(StrEnum):
    """Amplitudes of the clock."""

    uniform = "uniform"
    sine = "sine"


class Precision(StrEnum):
    """Of a simulator's amplitudes."""

    double = "double"
    single = "single"


class Transform(StrEnum):
    """How the Fourier transform of a signal is done."""

    coherent = "coherent"
    semiclassical = "semiclassical"
    line = "line"


Out = Annotated[
    Path, typer.Option("-o", "--out", metavar="FILE", help="Where to write: .qasm (OpenQASM 2), .qasm3 or .qpy.")
]
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
MatrixFile = Annotated[Path, typer.Argument(metavar="A.npy", help="The matrix, as numpy.save writes it.")]
VectorFile = Annotated[Path, typer.Argument(metavar="B.npy", help="The right-hand side.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line.

    Parameters
    ----------
    app : typer.Typer
        The whole.
    """
    app.add_typer(circuit, name="circuit")
    app.command()(submit)
    app.add_typer(jobs, name="jobs")
    app.command()(solve)
    app.command()(spectrum)
    app.command()(backends)


def _array(path: Path) -> NDArray[Any]:
    """Read an array of numbers; nothing in the file is executed."""
    import numpy as np

    if path.stat().st_size > _MAX_ARRAY:
        raise ValueError(f"'{path}' must be at most {_MAX_ARRAY // 2**20} MiB, but it has {path.stat().st_size} bytes.")
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        found = None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biufc":
        raise ValueError(f"'{path}' must be an array of numbers as numpy.save writes it, but it is not.")
    return found


def _draw(drawn: QuantumCircuit, path: Path | None) -> None:
    """Write a circuit's drawing, if one was asked for."""
    if path is None:
        return
    from qmlphys import plotting

    plotting.save(plotting.circuit_drawing(drawn), path)
    typer.echo(f"Picture: {path}")


def _write_circuit(built: QuantumCircuit, out: Path, figure: Path | None) -> None:
    """Write a circuit and say what it is made of."""
    from qmlphys.execution import circuit_files
    from qmlphys.execution._rules import n_two_qubit_gates

    circuit_files.write(built, out)
    gates = f"{len(built.data)} instructions, {n_two_qubit_gates(built)} gates on two qubits"
    typer.echo(f"{built.name}: {built.num_qubits} qubits, {gates}, depth {built.depth()}: {out}")
    _draw(built, figure)


@circuit.command("qft")
def circuit_qft(
    n: Annotated[int, typer.Argument(metavar="N", help="Qubits.")],
    out: Out,
    form: Annotated[
        QFTForm,
        typer.Option(help="All-to-all; nearest neighbours on a line; or measured at once, without two-qubit gates."),
    ] = QFTForm.full,
    inverse: Annotated[bool, typer.Option("--inverse", help="The inverse transform.")] = False,
    swaps: Annotated[bool, typer.Option(help="Put the output bits into natural order (full form only).")] = True,
    error: Annotated[
        float, typer.Option(min=0.0, help="Operator-norm error that may be spent on leaving out rotations (full form).")
    ] = 0.0,
    figure: Picture = None,
) -> None:
    """Write the quantum Fourier transform of N qubits."""
    _circuit_file(out)
    writable(figure, suffix=".svg")
    from circuits import fourier

    if form is not QFTForm.full and (error or not swaps):
        raise ValueError("Options --error and --no-swaps belong to --form full only.")
    if form is QFTForm.full:
        built = fourier.qft(n, inverse=inverse, swaps=swaps, error=error)
    elif form is QFTForm.line:
        built = fourier.line_qft(n, inverse=inverse)
    else:
        built = fourier.semiclassical_qft(n, inverse=inverse)
    _write_circuit(built, out, figure)
    if error:
        typer.echo(f"Operator-norm error: at most {built.metadata['error_bound']:.3g}")


@circuit.command("hhl")
def circuit_hhl(
    matrix: MatrixFile,
    vector: VectorFile,
    out: Out,
    clock: Annotated[int, typer.Option(help="Qubits of the clock register.")] = 6,
    evolution: Annotated[
        Evolution,
        typer.Option(help="How exp(iAt) becomes gates; 'diagonalised' is a demonstration that knows A's eigenvalues."),
    ] = Evolution.exponential,
    window: Annotated[Window, typer.Option(help="The clock's amplitudes.")] = Window.uniform,
    time: Annotated[float | None, typer.Option(help="t in exp(iAt); from bounds of the spectrum unless given.")] = None,
    figure: Picture = None,
) -> None:
    """Write the HHL circuit of a Hermitian matrix with 2, 4, 8, ... rows, ready for post-selection.

    `qmlphys solve` chooses clock and time itself and takes any matrix.
    """
    _circuit_file(out)
    writable(figure, suffix=".svg")
    from circuits import linear_systems

    built = linear_systems.hhl(
        _array(matrix), _array(vector), n_clock=clock, evolution=evolution.value, window=window.value, time=time
    )
    _write_circuit(built, out, figure)
    if built.metadata["demonstration"]:
        typer.echo(
            "A demonstration: the circuit was built from the eigenvalues of the matrix, which solve the problem."
        )


def _circuit_file(path: Path) -> None:
    """Refuse, before any work, a circuit file that could not be written."""
    if path.suffix not in (".qasm", ".qasm3", ".qpy"):
        raise ValueError(f"The name of the circuit file must end in .qasm, .qasm3 or .qpy, but it is '{path}'.")
    writable(path)


def submit(
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


def solve(
    matrix: MatrixFile,
    vector: VectorFile,
    error: Annotated[float, typer.Option(help="Allowed ||x - x*|| / ||x*||, or error of the expectations.")] = 1e-2,
    backend: BackendName = "statevector",
    shots: Annotated[int | None, typer.Option(help="Shots a circuit, on sampled backends.")] = None,
    observable: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PAULIS",
            help="On sampled backends: a Pauli string such as ZI, first site leftmost; may be repeated.",
        ),
    ] = None,
    seed: SampledSeed = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="X.npy", help="Write the solution here.")] = None,
    figure: Picture = None,
    table: Table = None,
) -> None:
    """Solve A x = b with the HHL algorithm, and say what it cost.

    On the exact backend the solution comes with its norm; sampled ones give expectations of observables with errors.
    """
    writable(out, suffix=".npy")
    writable(figure, suffix=".svg")
    writable(table)
    A, b = _array(matrix), _array(vector)
    from qmlphys.workflows import linear_system

    found = linear_system.solve(
        A, b, error=error, backend=backend, shots=shots, observables=tuple(observable or ()), rng=seed
    )
    print_rows(found.rows(compare=False), title="A x = b by the HHL algorithm", deviations=False)
    for note in (*found.notes, found.advice):
        typer.echo(note)
    if found.solution is None and (out is not None or figure is not None):
        raise ValueError(f"Backend '{backend}' gives expectations, not the solution: leave --out and --figure away.")
    if out is not None:
        import numpy as np

        from qmlphys._atomic import atomic_path

        with atomic_path(out) as temporary, temporary.open("wb") as stream:
            np.save(stream, np.asarray(found.solution))
        typer.echo(f"Solution: {out}")
    if figure is not None:
        from qmlphys import plotting

        here, classical = found.bars()
        drawn = plotting.components({"HHL": here, "classical": classical}, x_label="unknown", y_label="$|x_i|$")
        plotting.save(drawn, figure)
        typer.echo(f"Picture: {figure}")
    if table is not None:
        write_rows(found.rows(compare=False), table)


def spectrum(
    signal: Annotated[Path, typer.Argument(metavar="SIGNAL.npy", help="Samples, 2^n of them.")],
    sample_rate: Annotated[float, typer.Option(help="Samples a second; frequencies come in Hz then.")] = 1.0,
    backend: BackendName = "statevector",
    shots: Annotated[int | None, typer.Option(help="Shots, on sampled backends.")] = None,
    transform: Annotated[Transform, typer.Option(help="How the transform is done.")] = Transform.coherent,
    seed: SampledSeed = None,
    figure: Picture = None,
    table: Table = None,
) -> None:
    """Find the frequencies of a signal with the quantum Fourier transform, and say what it cost."""
    writable(figure, suffix=".svg")
    writable(table)
    samples = _array(signal)
    from qmlphys.workflows import spectrum as workflow

    found = workflow.find_frequencies(
        samples, sample_rate=sample_rate, backend=backend, shots=shots, method=transform.value, rng=seed
    )
    print_rows(found.rows, title="Frequencies by the quantum Fourier transform", deviations=False)
    for note in found.notes:
        typer.echo(note)
    if figure is not None:
        from qmlphys import plotting

        plotting.save(plotting.spectrum({found.backend: found.power}, peaks=found.frequencies), figure)
        typer.echo(f"Picture: {figure}")
    if table is not None:
        write_rows(found.rows, table)


def backends() -> None:
    """Show what this machine can run circuits on and, where something is missing, the line that mends it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from qmlphys.execution.backends import available

    table = Table()
    table.add_column("backend", no_wrap=True)
    table.add_column("ready", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    table.add_column("what to do", overflow="fold")
    for status in available():
        table.add_row(*map(escape, (status.name, "yes" if status.ok else "no", status.detail, status.remedy)))
    Console().print(table)
