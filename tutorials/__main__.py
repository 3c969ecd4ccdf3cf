"""Execute the tutorials, each in a fresh kernel: `python -m tutorials`, or `make tutorials`.

A notebook is good when every cell ran, nothing was written to stderr (warnings, progress bars), and it took less than
the time limit. The kernel is always this very Python, and has one thread, so that the outputs do not depend on the
number of cores; two notebooks run at a time. Each has a temporary working directory of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class TutorialError(Exception):
    """A notebook that did not run to its end, or not quietly; the text is what the reader of a log needs."""


@dataclass(frozen=True)
class Finished:
    """One notebook, executed: how long it took, and what was wrong with it, if anything."""

    path: Path
    wall: float
    cpu: float
    fault: str | None


def find(names: list[str]) -> list[Path]:
    """Return the notebooks that are meant by numbers, names or paths; all of them for an empty list.

    Parameters
    ----------
    names : list of str
        `3`, `03`, `03-title`, `03-title.ipynb` or `tutorials/03-title.ipynb`.

    Returns
    -------
    list of Path
        In order, each once.

    Raises
    ------
    ValueError
        If a name means none of them.
    """
    every = sorted(HERE.glob("[0-9][0-9]-*.ipynb"))
    if not names:
        return every
    chosen = set()
    for name in names:
        stem = Path(name).name.removesuffix(".ipynb")
        number = f"{int(stem):02d}-" if stem.isdecimal() else None
        found = [path for path in every if path.stem == stem or (number and path.name.startswith(number))]
        if not found:
            known = ", ".join(path.stem for path in every) or "none"
            raise ValueError(f"Argument `names` must hold tutorials or their numbers ({known}), but it has {name!r}.")
        chosen.update(found)
    return sorted(chosen)


class Runner:
    """Executes notebooks, and can stop all of them at once.

    Parameters
    ----------
    timeout : float
        Seconds that one notebook may take, start of its kernel included.
    save : bool
        Write the outputs back into the notebook.
    """

    def __init__(self, *, timeout: float, save: bool) -> None:
        self.timeout = timeout
        self.save = save
        self.stopped = False
        self._clients: set[Any] = set()

    def run(self, path: Path) -> Finished:
        """Execute one notebook and judge it."""
        start = time.monotonic()
        cpu = [0.0]
        try:
            self._execute(path, start + self.timeout, cpu)
            fault = None
        except TutorialError as error:
            fault = str(error)
        return Finished(path, time.monotonic() - start, cpu[0], fault)

    def stop(self) -> None:
        """End the kernels, those that are just starting too; the threads that wait for them then end by themselves."""
        self.stopped = True
        deadline = time.monotonic() + 15
        while self._clients and time.monotonic() < deadline:
            for client in list(self._clients):
                with suppress(OSError, AttributeError, TypeError):  # not started yet, or gone already
                    os.kill(client.km.provisioner.pid, signal.SIGKILL)
            time.sleep(0.1)

    def _execute(self, path: Path, deadline: float, cpu: list[float]) -> None:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

        try:
            notebook = nbformat.read(path, as_version=4)
        except (OSError, ValueError, nbformat.ValidationError) as error:
            raise TutorialError(f"it is no notebook that can be read: {error}") from None
        for cell in notebook.cells:  # what an earlier run left must not be taken for an output of this one
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        with tempfile.TemporaryDirectory(prefix="tutorial-", ignore_cleanup_errors=True) as folder:
            Path(folder, "work").mkdir()
            client: Any = NotebookClient(
                notebook,
                km=_kernel_manager(folder),
                resources={"metadata": {"path": str(Path(folder, "work"))}},
                timeout_func=lambda _: max(deadline - time.monotonic(), 0.1),
                record_timing=False,
                coalesce_streams=True,
                on_cell_executed=lambda **_: cpu.__setitem__(0, _cpu_seconds(client)),
            )
            self._clients.add(client)
            try:
                if self.stopped:  # looked at after `add`: `stop` sees the client, or the client sees the stop
                    raise TutorialError("stopped")
                # A kernel manager of our own is ours to shut down, hence `cleanup_kc`.
                client.execute(env=_environment(folder), cleanup_kc=True)
            except CellExecutionError as error:
                raise TutorialError(error.traceback or str(error)) from None
            except CellTimeoutError:
                raise TutorialError(f"it took longer than {self.timeout:g} s") from None
            except DeadKernelError:
                raise TutorialError("stopped" if self.stopped else "the kernel died") from None
            except (OSError, RuntimeError) as error:
                raise TutorialError("stopped" if self.stopped else f"the kernel did not start: {error}") from None
            finally:
                self._clients.discard(client)
        _check_quiet(notebook)
        if self.save:
            _save(notebook, path)


def _kernel_manager(folder: str) -> Any:
    """Return a manager whose only kernel is this Python's: kernels that a user has registered may belong to others.

    Sockets in the temporary folder are out of reach of other users of the machine, which ports are not.
    """
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    return AsyncKernelManager(
        kernel_name="python3",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
        transport="ipc",
        connection_file=str(Path(folder, "kernel.json")),
    )


def _environment(folder: str) -> dict[str, str]:
    """Return the kernel's environment: nothing of the user's home is read or written."""
    own = {
        "QMLPHYS_REPOSITORY": str(HERE.parent),
        "QMLPHYS_HOME": str(Path(folder, "ledger")),
        "IPYTHONDIR": str(Path(folder, "ipython")),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # a remark of the debugger that nobody asked for
    }
    return os.environ | dict.fromkeys(_ONE_THREAD, "1") | own


def _cpu_seconds(client: Any) -> float:
    """Return the processor time of the kernel, its finished children included."""
    import psutil  # type: ignore[import-untyped]  # ipykernel brings it

    try:
        times = psutil.Process(client.km.provisioner.pid).cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system + times.children_user + times.children_system


def _check_quiet(notebook: Any) -> None:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                raise TutorialError(f"it wrote to stderr:\n{output.text}\nin the cell\n{cell.source}")


def _save(notebook: Any, path: Path) -> None:
    """Write the notebook with its outputs, and with nothing that differs from one run to the next."""
    import nbformat

    from qmlphys._atomic import write_text

    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for k, cell in enumerate(notebook.cells):
        cell.id = f"cell-{k:02d}"
        cell.metadata = nbformat.from_dict({"tags": cell.metadata.tags} if cell.metadata.get("tags") else {})
    nbformat.validate(notebook)
    write_text(path, nbformat.writes(notebook) + "\n")


@contextmanager
def _stopping(runner: Runner) -> Iterator[None]:
    """Turn SIGTERM into what Ctrl-C does, and leave no kernel behind in either case."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        runner.stop()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 good, 1 a notebook failed, 2 wrong input, 130 stopped."""
    parser = argparse.ArgumentParser(prog="python -m tutorials", description="Execute the tutorials.")
    parser.add_argument("names", nargs="*", help="numbers or names; all of them by default")
    parser.add_argument("--save", action="store_true", help="write the outputs back into the notebooks")
    parser.add_argument("--timeout", type=float, default=600, help="seconds that one notebook may take (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at a time (%(default)s)")
    options = parser.parse_args(arguments)
    if options.timeout <= 0:
        parser.error(f"argument `--timeout` must be positive, but it is {options.timeout:g}.")
    if options.jobs < 1:
        parser.error(f"argument `--jobs` must be at least 1, but it is {options.jobs}.")
    missing = [name for name in ("ipykernel", "nbclient", "nbformat") if find_spec(name) is None]
    if missing:
        print(f"The tutorials need {', '.join(missing)}: `make tutorials` installs it.", file=sys.stderr)
        return 2
    try:
        paths = find(options.names)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return _run(paths, Runner(timeout=options.timeout, save=options.save), n_jobs=options.jobs)


def _run(paths: list[Path], runner: Runner, *, n_jobs: int) -> int:
    """Run the notebooks, print a line for each as it ends, and return the exit code."""
    failed = []
    pool = ThreadPoolExecutor(n_jobs)
    try:
        with _stopping(runner):
            for future in as_completed([pool.submit(runner.run, path) for path in paths]):
                done = future.result()
                print(
                    f"{'FAILED' if done.fault else 'ok':6s} {done.wall:6.1f} s ({done.cpu:5.1f} s of one core)  "
                    f"{done.path.stem}",
                    flush=True,
                )
                if done.fault:
                    failed.append(done.path.stem)
                    print(done.fault if sys.stdout.isatty() else _COLOURS.sub("", done.fault), flush=True)
    except KeyboardInterrupt:
        print("Stopped; notebooks that had not ended are as they were.", file=sys.stderr, flush=True)
        pool.shutdown(cancel_futures=True)
        os._exit(130)  # nbclient would try to shut down once more, at exit, the kernels that are gone
    pool.shutdown()
    if failed:
        print(f"{len(failed)} of {len(paths)} failed: {', '.join(sorted(failed))}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
