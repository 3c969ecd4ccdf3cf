"""The command line: a thin shell around the workflows and the execution of circuits.

Whatever is wrong with what a user typed or with a file gives one line on standard error and exit code 2; a job that
failed, is not ready, or a service that does not answer, gives one line and exit code 1; Ctrl-C gives exit code 130, and
what was finished before stays. Heavy imports happen inside the commands, so that help is immediate.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from qmlphys.cli import _quantum
from qmlphys.cli._entanglement import entanglement
from qmlphys.cli._generative import generative
from qmlphys.cli._nqs import nqs
from qmlphys.cli._phases import ising, phases, temperatures_of
from qmlphys.cli._show import Seed, print_rows, watched, writable_folder

__all__ = ["app", "main", "print_rows", "temperatures_of"]

_NOT_DONE = 1
_USER_ERROR = 2
_INTERRUPTED = 130
_ORDER = ["demo", "ising", "phases", "nqs", "generative", "entanglement", "circuit", "solve", "spectrum", "backends"]
_ORDER += ["submit", "jobs", "criticality", "version"]


class _InOrder(TyperGroup):
    """Commands in the order in which they are met, not the one in which they are defined."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


app = typer.Typer(
    name="qmlphys",
    cls=_InOrder,
    help="Machine learning of statistical and quantum physics: configurations in, critical points with error bars out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
"""All commands, for programs that put them into one of their own."""

app.add_typer(ising, name="ising")
app.add_typer(phases, name="phases")
app.add_typer(nqs, name="nqs")
app.add_typer(generative, name="generative")
app.add_typer(entanglement, name="entanglement")
_quantum.register(app)


@app.command("version")
def _version() -> None:
    """Print the version."""
    import qmlphys

    typer.echo(f"qmlphys {qmlphys.__version__}")


@app.command("demo")
def _demo(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="The run folder.")] = Path("runs/demo"),
    seed: Seed = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compute everything again, whatever is there already.")
    ] = False,
) -> None:
    """Go the whole way in three minutes: sample, learn, generate, run circuits, and report.

    A run that was stopped goes on where it was; a finished one is only reported again.
    """
    # One thread for the small networks here: faster than several that wait for each other, above all on a busy machine,
    # and the numbers are then the same on any number of cores. Monte Carlo has threads of its own.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    writable_folder(out)
    from qmlphys.workflows import demo as workflow

    outcome = workflow.run(workflow.DemoConfig.seeded(seed), out=out, progress=True, bars=watched(), fresh=fresh)
    print_rows(outcome.rows, title=outcome.title, deviations=True)
    resumed = f", {outcome.n_resumed} steps taken up from before" if outcome.n_resumed else ""
    typer.echo(f"Report: {outcome.report}  ({outcome.seconds:.0f} s{resumed})")


@app.command("criticality")
def _criticality(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="The run folder.")] = Path("runs/criticality"),
    seed: Seed = 1,
) -> None:
    """Measure Tc and nu of the square lattice to four digits, with networks that saw only both ends (minutes).

    A run that was stopped goes on where it was.
    """
    writable_folder(out)
    from qmlphys.report import read_results
    from qmlphys.workflows import criticality as workflow

    workflow.run(workflow.CriticalityConfig(seed=seed), out=out, progress=watched())
    print_rows(read_results(out), title="Critical point of the Ising model on the square lattice", deviations=True)
    typer.echo(f"Report: {out / 'report.html'}")


def _one_line(error: BaseException) -> str:
    """Return the text of an error as one line."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.strerror}: '{error.filename}'"
    return text or type(error).__name__


def _out_of_memory(error: RuntimeError) -> bool:
    """Tell whether this is how torch says that memory is used up; it has no common class for that."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _too_large(error: BaseException) -> str:
    """Return one line on memory that was not there."""
    found = re.search(r"[Uu]nable to allocate [\d.]+ ?\w+|tried to allocate [\d.]+ ?\w+", str(error))
    return f"There is not enough memory ({found[0] if found else _one_line(error)}): take smaller numbers."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with an exit code: 0 well, 1 not done, 2 wrong input, 130 stopped with Ctrl-C.

    Parameters
    ----------
    arguments : sequence of str, optional
        What was typed after the program's name; from the process unless given.

    Examples
    --------
    >>> try:
    ...     main(["version"])
    ... except SystemExit as left:
    ...     print(left.code)
    qmlphys ...
    0
    """
    # Typer exports one kind of usage error, but not the base of all.
    usage_error = cast("type[Exception]", typer.BadParameter.__base__)
    try:
        code = app(args=None if arguments is None else list(arguments), prog_name="qmlphys", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except usage_error as error:
        text = " ".join(error.format_message().split())  # type: ignore[attr-defined]
        if text:  # without any argument the help was printed, and there is nothing to add
            typer.echo(f"Error: {text}", err=True)
        code = _USER_ERROR
    except TimeoutError as error:
        typer.echo(f"Error: {_one_line(error)}", err=True)
        code = _NOT_DONE
    except RuntimeError as error:
        if _out_of_memory(error):
            typer.echo(f"Error: {_too_large(error)}", err=True)
            sys.exit(_USER_ERROR)
        if not type(error).__module__.startswith("qmlphys."):
            raise  # a fault of the program: its traceback is what helps
        typer.echo(f"Error: {_one_line(error)}", err=True)
        code = _NOT_DONE
    except MemoryError as error:
        typer.echo(f"Error: {_too_large(error)}", err=True)
        code = _USER_ERROR
    except (ValueError, OSError) as error:
        typer.echo(f"Error: {_one_line(error)}", err=True)
        code = _USER_ERROR
    if code == _INTERRUPTED:  # some versions of typer turn Ctrl-C into this code themselves
        typer.echo("Stopped. What was finished before is kept.", err=True)
    sys.exit(code if isinstance(code, int) else 0)
