"""Commands of the quantum side: build circuits, solve linear systems, find frequencies; jobs are in `_jobs`."""

from __future__ import annotations

import tokenize
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmlphys.cli import _jobs
from qmlphys.cli._jobs import BackendName, SampledSeed
from qmlphys.cli._show import Picture, Table, print_rows, writable, write_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit


__all__ = ["register"]

_MAX_ARRAY = 64 * 2**20  # bytes of an .npy file: far above what any command here can use

circuit = typer.Typer(help="Build a circuit and write it as OpenQASM 2, OpenQASM 3 or QPY.", no_args_is_help=True)


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


class Transform(StrEnum):
    """How the Fourier transform of a signal is done."""

    coherent = "coherent"
    semiclassical = "semiclassical"
    line = "line"


Out = Annotated[
    Path, typer.Option("-o", "--out", metavar="FILE", help="Where to write: .qasm (OpenQASM 2), .qasm3 or .qpy.")
]
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
    app.command()(_jobs.submit)
    app.add_typer(_jobs.jobs, name="jobs")
    app.command()(solve)
    app.command()(spectrum)
    app.command()(backends)


def _array(path: Path) -> NDArray[Any]:
    """Read an array of numbers; nothing in the file is executed."""
    import numpy as np

    if not path.exists():
        raise ValueError(f"There is no file '{path}'.")
    if not path.is_file():
        raise ValueError(f"'{path}' must be an array of numbers as numpy.save writes it, but it is no regular file.")
    if path.stat().st_size > _MAX_ARRAY:
        raise ValueError(f"'{path}' must be at most {_MAX_ARRAY // 2**20} MiB, but it has {path.stat().st_size} bytes.")
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, MemoryError, tokenize.TokenError):  # of which damaged heads are full
        found = None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biufc":
        raise ValueError(f"'{path}' must be an array of numbers as numpy.save writes it, but it is not.")
    return found


def _write_circuit(built: QuantumCircuit, out: Path, figure: Path | None) -> None:
    """Write a circuit and say what it is made of."""
    from qmlphys.execution import circuit_files
    from qmlphys.execution._rules import n_two_qubit_gates

    drawing = None
    if figure is not None:  # before anything is written: a circuit may be too long to be drawn
        from qmlphys import plotting

        drawing = plotting.circuit_drawing(built)
    circuit_files.write(built, out)
    gates = f"{len(built.data)} instructions, {n_two_qubit_gates(built)} gates on two qubits"
    typer.echo(f"{built.name}: {built.num_qubits} qubits, {gates}, depth {built.depth()}: {out}")
    if figure is not None and drawing is not None:
        plotting.save(drawing, figure)
        typer.echo(f"Picture: {figure}")


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
    if observable and backend == "statevector":
        raise ValueError("Option --observable belongs to sampled backends: the exact one gives the solution itself.")
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
