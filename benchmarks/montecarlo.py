"""Spin updates per nanosecond beside mcising and peapods, and the time to a set of independent configurations.

    python benchmarks/montecarlo.py [--seconds 1] [--repeats 7] [--only TEXT] [--json FILE]

An update is one attempted change of one spin: n_sites a Metropolis sweep, n_sites a Swendsen-Wang update (every spin
is asked), the sites of the cluster for a Wolff update. All packages run the same lattice (periodic, J = 1, no field) at
the same temperature, 2.269, in processes of their own, on the same number of threads, in turns: A B C A B C. Rates are
medians of the repeats, with the range; clocks are wall clocks. What is compared and what is not: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

T = 2.269
BUSY = 0.9  # a process that has less of its cores than this shares them with others: its rate is not to be trusted
PEERS = ("mcising", "peapods")
WORKER = Path(__file__).with_name("_montecarlo_worker.py")
RESULTS = Path(__file__).parent / "results" / "montecarlo.json"


@dataclass(frozen=True)
class Task:
    """One row: what runs, on how many threads; `n_chains` is qmlphys' own (peers run one chain a thread)."""

    name: str
    lattice: str
    size: int
    algorithm: str = "metropolis"
    n_threads: int = 1
    n_chains: int = 512
    aim: float | None = None


TASKS = (
    Task("square, L = 128", "square", 128, aim=8.0),
    Task("square, L = 127", "square", 127),
    Task("triangular, L = 128", "triangular", 128, aim=3.0),
    Task("honeycomb, L = 64", "honeycomb", 64, aim=3.0),
    Task("cubic, L = 24", "cubic", 24, aim=3.0),
    Task("chain, N = 16384", "chain", 16384, aim=3.0),
    Task("square, L = 128, 64 chains", "square", 128, n_chains=64),
    Task("square, L = 127, 64 chains", "square", 127, n_chains=64),
    Task("square, L = 128, a single chain", "square", 128, n_chains=1),
    Task("Swendsen-Wang, square, L = 128", "square", 128, "swendsen-wang", n_chains=8, aim=0.08),
    Task("Wolff, square, L = 128", "square", 128, "wolff", n_chains=8),
    Task("square, L = 128, two threads", "square", 128, n_threads=2, n_chains=1024),
    Task("triangular, L = 128, two threads", "triangular", 128, n_threads=2, n_chains=1024),
    Task("Swendsen-Wang, square, L = 128, two threads", "square", 128, "swendsen-wang", n_threads=2, n_chains=16),
)


class Process:
    """A package in a process of its own, which keeps its chains from one request to the next."""

    def __init__(self, engine: str, task: Task) -> None:
        command = [sys.executable, str(WORKER), "rate", engine, json.dumps(asdict(task) | {"temperature": T})]
        environment = environment_of(task.n_threads)
        self.pipe = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.runs = self._read() is True
        self.n_sweeps = 1

    def _read(self) -> Any:
        line = self.pipe.stdout.readline() if self.pipe.stdout else ""
        if not line:
            raise SystemExit("A worker of the benchmark ended without an answer; its error is above.")
        return json.loads(line)

    def measure(self) -> tuple[float, float, float]:
        """Return updates, wall and CPU seconds of `n_sweeps` sweeps."""
        print(self.n_sweeps, file=self.pipe.stdin, flush=True)
        updates, wall, cpu = self._read()
        return updates, wall, cpu

    def calibrate(self, seconds: float) -> None:
        """Choose the number of sweeps that lasts about so long; warms up on the way."""
        while True:
            _, wall, _ = self.measure()
            if wall > 0.25 * seconds:
                self.n_sweeps = max(1, round(self.n_sweeps * seconds / wall))
                return
            self.n_sweeps *= 2

    def close(self) -> None:
        """End the process."""
        self.pipe.communicate()


def environment_of(n_threads: int) -> dict[str, str]:
    """The environment that gives every package the same number of threads."""
    names = ("NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return os.environ | dict.fromkeys(names, str(n_threads))


# --- rates ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rate:
    """Updates per nanosecond: median and range of the repeats, and the share of the cores that the process had."""

    value: float
    low: float
    high: float
    share: float


def compare(task: Task, engines: list[str], *, seconds: float, repeats: int) -> dict[str, Rate]:
    """Measure a task with every package that offers it, in turns."""
    processes = {engine: Process(engine, task) for engine in engines}
    running = {engine: process for engine, process in processes.items() if process.runs}
    for process in running.values():
        process.calibrate(seconds)
    found: dict[str, list[tuple[float, float, float]]] = {engine: [] for engine in running}
    for _ in range(repeats):
        for engine, process in running.items():
            found[engine].append(process.measure())
    for process in processes.values():
        process.close()
    rates = {}
    for engine, runs in found.items():
        values = [updates / wall * 1e-9 for updates, wall, _ in runs]
        share = sum(cpu for _, _, cpu in runs) / sum(wall for _, wall, _ in runs) / task.n_threads
        rates[engine] = Rate(statistics.median(values), min(values), max(values), share)
    return rates


def rows_of(task: Task, rates: dict[str, Rate]) -> list[dict[str, Any]]:
    """One row a peer: name, value, unit, peer, ratio; a row without a peer where there is none."""
    own = rates["qmlphys"]
    row = {
        "name": f"{task.name}: updates",
        "value": own.value,
        "range": [own.low, own.high],
        "unit": "1/ns",
        "threads": task.n_threads,
        "chains": task.n_chains,
        "aim": task.aim,
        "core_share": own.share,
    }
    peers = [peer for peer in PEERS if peer in rates]
    if not peers:
        return [row | {"peer": None, "peer_value": None, "peer_range": None, "peer_core_share": None, "ratio": None}]
    return [
        row
        | {
            "peer": peer,
            "peer_value": rates[peer].value,
            "peer_range": [rates[peer].low, rates[peer].high],
            "peer_core_share": rates[peer].share,
            "ratio": own.value / rates[peer].value,
        }
        for peer in peers
    ]


# --- the whole job: independent configurations ------------------------------------------------------------------------

JOB_SIZE = 32
JOB_TEMPERATURES = [round(1.5 + 0.1 * k, 3) for k in range(8)] + [round(2.3 + 0.1 * k, 3) for k in range(8)]
JOB_CHAINS, JOB_DRAWS = 64, 100


def times_for_the_peer() -> list[tuple[str, int]]:
    """For each temperature, the algorithm that is cheaper for the peer, and two autocorrelation times of it, in sweeps.

    Measured by qmlphys and given to the peer for nothing. A sweep of Swendsen-Wang costs the peer five of Metropolis.
    """
    from math import ceil

    from qmlphys.hamiltonians import Ising
    from qmlphys.lattices import square
    from qmlphys.montecarlo import Simulation

    times = {}
    for algorithm in ("metropolis", "swendsen-wang"):
        run = Simulation(Ising(square(JOB_SIZE)), JOB_TEMPERATURES, n_chains=64, algorithm=algorithm, rng=1)
        run.thermalize()
        # The peer accepts 16/15 times as many Metropolis moves (see LAZY_DIGITS in qmlphys).
        times[algorithm] = run.autocorrelation_times * (15 / 16 if algorithm == "metropolis" else 1.0)
    chosen = []
    for single, cluster in zip(times["metropolis"], times["swendsen-wang"], strict=True):
        name, tau = ("metropolis", single) if single < 5.0 * cluster else ("swendsen_wang", cluster)
        chosen.append((name, max(1, ceil(2.0 * tau))))
    return chosen


def run_job(engine: str, seed: int, plan: list[tuple[str, int]] | None, n_threads: int) -> dict[str, Any]:
    """Run the job once in a process of its own; its seconds do not contain the start of the process."""
    job = {"size": JOB_SIZE, "temperatures": JOB_TEMPERATURES, "n_chains": JOB_CHAINS, "n_draws": JOB_DRAWS}
    settings = json.dumps(job | {"seed": seed, "plan": plan, "n_threads": n_threads})
    command = [sys.executable, str(WORKER), "job", engine, settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment_of(n_threads))
    if done.returncode:
        raise SystemExit(f"The job of {engine} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def compare_jobs(*, repeats: int, with_mcising: bool, n_threads: int) -> tuple[dict[str, Any], list[str]]:
    """Time the whole job in turns; the energies of both are checked against Kaufman's exact ones."""
    import numpy as np

    from qmlphys import exact

    plan = times_for_the_peer() if with_mcising else None
    engines = ["qmlphys", "mcising"] if with_mcising else ["qmlphys"]
    seconds: dict[str, list[float]] = {engine: [] for engine in engines}
    truth = exact.ising_square_energy(JOB_SIZE, np.array(JOB_TEMPERATURES))
    heat = exact.ising_square_specific_heat(JOB_SIZE, np.array(JOB_TEMPERATURES))
    sigma = np.sqrt(heat * np.array(JOB_TEMPERATURES) ** 2 / JOB_SIZE**2 / (JOB_CHAINS * JOB_DRAWS))
    worst = dict.fromkeys(engines, 0.0)
    for seed in range(1, repeats + 1):
        for engine in engines:
            result = run_job(engine, seed, plan, n_threads)
            seconds[engine].append(result["seconds"])
            worst[engine] = max(worst[engine], float(np.abs((np.array(result["energy"]) - truth) / sigma).max()))
    notes = [
        f"{engine}: largest deviation of an energy from Kaufman's exact one {worst[engine]:.1f} sigma "
        f"(sigma of {JOB_CHAINS * JOB_DRAWS} independent draws; {repeats} x {len(truth)} energies)"
        for engine in engines
    ]
    own = statistics.median(seconds["qmlphys"])
    row = {
        "name": f"job: square, L = {JOB_SIZE}, {len(truth)} temperatures x {JOB_CHAINS} chains x {JOB_DRAWS} draws",
        "value": own,
        "range": [min(seconds["qmlphys"]), max(seconds["qmlphys"])],
        "unit": "s",
        "threads": n_threads,
        "peer": None,
        "peer_value": None,
        "ratio": None,
    }
    if with_mcising:
        peer = statistics.median(seconds["mcising"])
        peer_range = [min(seconds["mcising"]), max(seconds["mcising"])]
        row |= {"peer": "mcising", "peer_value": peer, "peer_range": peer_range, "ratio": peer / own}
    return row, notes


# --- the script -------------------------------------------------------------------------------------------------------


def show(rows: list[dict[str, Any]], console: Any) -> None:
    from rich.table import Table

    table = Table(title="Monte Carlo beside other packages: medians, ranges in brackets")
    for column in ("what", "threads", "qmlphys", "aim", "peer", "its value", "ratio"):
        table.add_column(column, justify="left" if column in ("what", "peer") else "right")
    for row in rows:
        value = f"{row['value']:.3g} [{row['range'][0]:.3g} - {row['range'][1]:.3g}] {row['unit']}"
        aim = "" if row.get("aim") is None else f">= {row['aim']:g}"
        peer = peer_value = ratio = ""
        if row["peer"]:
            low, high = row["peer_range"]
            peer, peer_value = row["peer"], f"{row['peer_value']:.3g} [{low:.3g} - {high:.3g}]"
            ratio = f"{row['ratio']:.3g}"
        table.add_row(row["name"], str(row["threads"]), value, aim, peer, peer_value, ratio)
    console.print(table)


def processor() -> str:
    """Name of the processor, and whether it has 512-bit vectors (which the Metropolis kernel uses where they are)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    name = next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), "")
    return f"{name or platform.machine()}, {'with' if 'avx512f' in text else 'without'} AVX-512"


def write(document: dict[str, Any], path: Path) -> None:
    """Write to a temporary name and rename: a reader finds the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    Path(file.name).replace(path)


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main(arguments: list[str] | None = None) -> None:
    from rich.console import Console

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one measurement")
    parser.add_argument("--repeats", type=int, default=7, help="measurements of each package, in turns")
    parser.add_argument("--only", default="", help="rows whose name contains this text ('job' for the whole job)")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the rows are written")
    given = parser.parse_args(arguments)
    console = Console()
    versions = {name: installed(name) for name in ("qmlphys", "numba", "numpy", *PEERS)}
    engines = ["qmlphys", *(peer for peer in PEERS if versions[peer])]
    missing = [peer for peer in PEERS if not versions[peer]]
    if missing:
        console.print(
            f"[bold]{' and '.join(missing)} not installed:[/] only what is here is measured. Install with\n"
            f"    {sys.executable} -m pip install -r benchmarks/requirements.txt"
        )
    notes = []
    rows: list[dict[str, Any]] = []
    for task in TASKS:
        if given.only in task.name:
            console.print(f"[dim]{task.name}[/]")
            rates = compare(task, engines, seconds=given.seconds, repeats=given.repeats)
            rows += rows_of(task, rates)
            busy = [name for name, rate in rates.items() if rate.share < BUSY and task.n_chains > 1]
            if busy:
                notes.append(
                    f"{task.name}: {', '.join(busy)} had less than {BUSY:.0%} of its cores; the machine is busy"
                )
    if given.only in "job":
        console.print("[dim]job[/]")
        row, judged = compare_jobs(
            repeats=max(1, given.repeats // 2), with_mcising="mcising" in engines, n_threads=min(2, os.cpu_count() or 1)
        )
        rows.append(row)
        notes += judged
    show(rows, console)
    for note in notes:
        console.print(note)
    write({"machine": processor(), "versions": versions, "temperature": T, "notes": notes, "rows": rows}, given.json)
    console.print(f"{processor()}; rows written to {given.json}")


if __name__ == "__main__":
    main()
