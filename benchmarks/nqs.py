"""One step of variational Monte Carlo beside NetKet, and the accuracy that ground states reach.

    python benchmarks/nqs.py [--repeats 7] [--threads 2] [--only TEXT] [--netket PYTHON] [--accuracy]
                             [--representations] [--json FILE]

A step is all of it: one sweep of every chain, local energies, the tangent kernel, its solution, the update. Both
packages have the same model, network, number of chains and samples, and diagonal shift, in processes of their own on
the same number of threads, in turns after a warm-up: A B A B. NetKet's driver is tried in all its modes first, and the
fastest is the one compared. `--netket` names a Python that has it (its own environment does not disturb this one).
`--accuracy` adds ground states, each trained once from one seed and then measured on fresh samples: minutes.
`--representations` adds restricted Boltzmann machines beside matrix product states on one Hamiltonian.

One file, because every row lands in one table and one file of results.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from dataclasses import field as setting
from importlib.metadata import version
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("_nqs_worker.py")
RESULTS = Path(__file__).parent / "results" / "nqs.json"

# NetKet's modes: the kernel in sample space with and without its Jacobian, and plain stochastic reconfiguration.
MODES: dict[str, dict[str, Any]] = {
    "minSR": {"use_ntk": True, "on_the_fly": False},
    "minSR on the fly": {"use_ntk": True, "on_the_fly": True},
    "SR": {"use_ntk": False, "on_the_fly": False},
    "SR on the fly": {"use_ntk": False, "on_the_fly": True},
}


@dataclass(frozen=True)
class Task:
    """One row: a model, a network, what is aimed at (NetKet's time over ours)."""

    name: str
    size: int
    alpha: int
    complex: bool
    n_samples: int = 1008
    n_chains: int = 1008
    field: float = 1.0
    aim: float = 1.0
    options: dict[str, Any] = setting(default_factory=dict)


TASKS = (
    Task("TFIM 80, complex RBM alpha = 4, 1008 samples", 80, 4, True, aim=8.0),
    Task("TFIM 40, real RBM alpha = 1, 1008 samples", 40, 1, False, aim=1.0),
)


@dataclass(frozen=True)
class Goal:
    """One row of accuracy: a ground state, how it is trained, what is aimed at and in what time."""

    name: str
    model: str  # of `qmlphys.hamiltonians`
    settings: dict[str, float]
    lattice: str  # its label
    alpha: int
    energy: float  # exact
    n_steps: int
    seconds: float
    v_score: float | None = None
    relative: float | None = None
    n_samples: int = 1000
    shift: tuple[float, float, int] = (1e-2, 1e-4, 200)
    step: tuple[float, float] = (0.1, 0.01)
    momentum: float = 0.9
    clip: float = 2.0
    summed: bool = False  # over all symmetry orbits instead of samples
    origin: str = "free fermions"


GOALS = (
    Goal("TFIM chain 32, h = 1", "TransverseIsing", {"field": 1.0}, "chain(32)", 16, -40.7600324942, 450, 180,
         v_score=3.8e-6, n_samples=2000, shift=(1e-2, 5e-5, 200)),
    Goal("TFIM chain 32, h = 0.5", "TransverseIsing", {"field": 0.5}, "chain(32)", 8, -34.0334211192, 400, 180,
         v_score=9e-6),
    Goal("Heisenberg chain 20", "Heisenberg", {}, "chain(20)", 40, -35.6175461195, 450, 300, v_score=8e-7,
         shift=(1e-2, 5e-5, 300), step=(0.1, 0.02), summed=True, origin="Bethe ansatz"),
    Goal("TFIM 6x6, h = 3", "TransverseIsing", {"field": 3.0}, "square(6)", 10, -115.2327073, 320, 600, relative=1e-5,
         n_samples=2000, step=(0.03, 0.005), origin="sparse diagonalisation, published"),
    Goal("J1-J2 4x4, J2 = 0.5", "J1J2", {"j2": 0.5}, "square(4)", 6, -33.8316934056, 350, 600, relative=1e-4,
         shift=(1e-1, 1e-4, 400), step=(0.03, 0.02), momentum=0.8, clip=1.0, summed=True,
         origin="sparse diagonalisation"),
)  # fmt: skip


class Process:
    """A package in a process of its own, which keeps its state from one step to the next."""

    def __init__(self, engine: str, task: Task, python: str, threads: int) -> None:
        names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, str(threads))
        # The kernel spreads this process over so many cores; jax takes what it may run on.
        cores = sorted(os.sched_getaffinity(0))[:threads] if hasattr(os, "sched_getaffinity") else []
        prefix = ["taskset", "-c", ",".join(map(str, cores))] if cores else []
        self.pipe = subprocess.Popen(
            [*prefix, python, str(WORKER), engine, json.dumps(asdict(task))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if engine == "netket" else None,
            text=True,
            env=environment,
        )
        self.ready = self._read() == "ready"

    def _read(self) -> Any:
        line = self.pipe.stdout.readline() if self.pipe.stdout else ""
        return json.loads(line) if line else None

    def step(self) -> tuple[float, float, float] | None:
        """Return wall seconds, CPU seconds and energy of one step; None if the process has ended."""
        try:
            print(1, file=self.pipe.stdin, flush=True)
        except OSError:
            return None
        answer = self._read()
        return None if answer is None else tuple(answer)

    def close(self) -> None:
        """End the process."""
        self.pipe.communicate()


def fastest_mode(task: Task, python: str, threads: int) -> tuple[str, dict[str, float]]:
    """Try all modes of NetKet's driver for three steps after the first; those that fail are left out."""
    seconds = {}
    for name, options in MODES.items():
        process = Process("netket", Task(**(asdict(task) | {"options": options})), python, threads)
        if process.ready and process.step() is not None:
            later = [process.step() for _ in range(3)]
            if None not in later:
                seconds[name] = min(step[0] for step in later if step is not None)
        process.close()
    if not seconds:
        raise SystemExit(f"NetKet runs in none of its modes with {python}.")
    return min(seconds, key=seconds.__getitem__), seconds


def compare(task: Task, *, python: str | None, repeats: int, threads: int) -> dict[str, Any]:
    """Time one task in turns."""
    modes: dict[str, float] = {}
    processes = {"qmlphys": Process("qmlphys", task, sys.executable, threads)}
    if python:
        mode, modes = fastest_mode(task, python, threads)
        processes["netket"] = Process("netket", Task(**(asdict(task) | {"options": MODES[mode]})), python, threads)
    times: dict[str, list[float]] = {engine: [] for engine in processes}
    first: dict[str, float] = {}
    energy: dict[str, float] = {}
    for engine, process in processes.items():
        answer = process.step()
        if answer is None:
            raise SystemExit(f"The worker of {engine} ended without an answer.")
        first[engine] = answer[0]
        process.step()
    for _ in range(repeats):
        for engine, process in processes.items():
            answer = process.step()
            if answer is None:
                raise SystemExit(f"The worker of {engine} ended without an answer.")
            times[engine].append(answer[0])
            energy[engine] = answer[2]
    for process in processes.values():
        process.close()
    own = statistics.median(times["qmlphys"])
    row: dict[str, Any] = {
        "name": task.name,
        "value": own,
        "range": [min(times["qmlphys"]), max(times["qmlphys"])],
        "unit": "s",
        "threads": threads,
        "first_step": first["qmlphys"],
        "first_over_later": first["qmlphys"] / own,
        "energy": energy,
        "peer": None,
        "ratio": None,
        "aim": task.aim,
    }
    if "netket" in times:
        ratios = [theirs / ours for theirs, ours in zip(times["netket"], times["qmlphys"], strict=True)]
        row |= {
            "peer": "netket",
            "peer_mode": mode,
            "peer_modes": modes,
            "peer_value": statistics.median(times["netket"]),
            "peer_range": [min(times["netket"]), max(times["netket"])],
            "peer_first_step": first["netket"],
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
        }
    return row


def accuracy(goal: Goal, threads: int) -> dict[str, Any]:
    """Train one ground state, then measure it on fresh samples of new chains."""
    import time

    import torch

    from qmlphys import hamiltonians, lattices, nqs

    torch.set_num_threads(threads)
    lattice = lattices.from_label(goal.lattice)
    model = getattr(hamiltonians, goal.model)(lattice, **goal.settings)
    started = time.perf_counter()
    frustrated = isinstance(model, hamiltonians.J1J2)
    ansatz: nqs.Ansatz = nqs.TranslationRBM(
        lattice,
        alpha=goal.alpha,
        dtype="complex128" if frustrated else "float64",
        visible_bias=False,
        hidden_bias=False,
        scale=0.1,
        rng=0,
    )
    group = nqs.SymmetryGroup.translations(lattice) * nqs.SymmetryGroup.spin_flip(model.n_sites)
    if frustrated:
        ansatz = nqs.Symmetrized(ansatz, nqs.SymmetryGroup.point_group(lattice))
        group = group * nqs.SymmetryGroup.point_group(lattice)
    exchange = model.conserves_magnetization
    if exchange:
        ansatz = nqs.Marshall(ansatz, lattice)
    chains = (
        nqs.Metropolis(1000, moves="exchange", lattice=lattice) if exchange else nqs.Metropolis(1000, flip_all=True)
    )
    sampled = nqs.MonteCarloState(ansatz, chains, n_samples=goal.n_samples, rng=0)
    state: nqs.State = (
        nqs.FullSumState(ansatz, magnetization=0 if exchange else None, symmetry=group) if goal.summed else sampled
    )
    first, last, over = goal.shift
    driver = nqs.VMC(
        model,
        state,
        natural_gradient=nqs.NaturalGradient(
            diagonal_shift=nqs.ExponentialDecay(first, last, n_steps=over), momentum=goal.momentum, clip=goal.clip
        ),
        step_size=nqs.CosineDecay(*goal.step, n_steps=goal.n_steps),
    )
    driver.run(goal.n_steps)
    trained = time.perf_counter() - started
    found = sampled.fresh(rng=1).expect(model, n_samples=16_000 if frustrated else 64_000)
    energy = found.energy
    relative = (energy.mean - goal.energy) / abs(goal.energy)
    row: dict[str, Any] = {
        "name": f"{'V-score' if goal.v_score else 'relative error'}, {goal.name}",
        "value": found.v_score if goal.v_score else relative,
        "unit": "1",
        "aim": goal.v_score or goal.relative,
        "seconds": time.perf_counter() - started,
        "seconds_of_training": trained,
        "seconds_allowed": goal.seconds,
        "threads": threads,
        "v_score": found.v_score,
        "energy": energy.mean,
        "energy_error": energy.error,
        "exact": goal.energy,
        "exact_origin": goal.origin,
        "sigma": (energy.mean - goal.energy) / energy.error,
        "relative_error": relative,
        "relative_error_of_it": energy.error / abs(goal.energy),
        "n_parameters": ansatz.n_parameters,
        "trained_on": "sums over symmetry orbits" if goal.summed else f"{goal.n_samples} samples a step",
    }
    if goal.summed:  # there is no error of sampling in these
        summed = state.expect(model)
        row |= {"summed_v_score": summed.v_score, "summed_relative_error": summed.energy.mean / goal.energy * -1 + 1}
        if goal.relative:
            row["value"] = row["summed_relative_error"]
    return row


# Name and part of the steps that relax collective modes.
ORDERS = (
    ("<m^2> / exact, TFIM chain 64, h = 1, without collective modes", 0.0),
    ("<m^2> / exact, TFIM chain 64, h = 1, with collective modes", 2 / 3),
)


def order(name: str, relaxation: float, threads: int) -> dict[str, Any]:
    """Train one state at the transition, with or without its collective modes, and measure its order."""
    import time

    import numpy as np
    import torch

    from qmlphys import exact
    from qmlphys.workflows import ground_state

    torch.set_num_threads(threads)
    n = 64
    config = ground_state.ScanConfig(
        size=n, fields=(1.0,), n_first_steps=400, relaxation=relaxation, n_draws=60, n_skip=8
    )
    started = time.perf_counter()
    ds = ground_state.scan(config)
    known = float(np.mean(exact.tfim_chain_correlations(n, field=1.0)))
    chains = (ds["spins"].values[0].mean(axis=-1) ** 2).mean(axis=1) / known
    row = {
        "name": name,
        "value": float(chains.mean()),
        "error": float(chains.std(ddof=1) / np.sqrt(len(chains))),
        "unit": "1",
        "aim": 1.0,
        "seconds": time.perf_counter() - started,
        "threads": threads,
        "v_score": json.loads(ds.attrs["v_scores"])[0],
        "trained_on": f"{config.recipe.n_samples} samples a step, {config.n_first_steps} steps",
    }
    if relaxation:
        row["field_offset"], row["field_offset_error"] = json.loads(ds.attrs["offsets"])[0]
    return row


def representations(threads: int) -> list[dict[str, Any]]:
    """Put restricted Boltzmann machines beside matrix product states: one Hamiltonian, energy, parameters, time."""
    import time

    from qmlphys import hamiltonians, lattices, mps

    rows = []
    goal = GOALS[0]
    for alpha in (1, 2, 4, 8):
        smaller = replace(goal, name=f"translation RBM, alpha = {alpha}", alpha=alpha, n_samples=1000)
        found = accuracy(smaller, threads)
        keys = ("energy", "energy_error", "v_score", "n_parameters", "seconds", "trained_on", "threads")
        rows.append({key: found[key] for key in keys} | {"name": f"{smaller.name} ({goal.name})"})
    model = hamiltonians.TransverseIsing(lattices.chain(32), field=1.0)
    for bond in (8, 16, 32):
        started = time.perf_counter()
        result = mps.dmrg(model, max_bond=bond, rng=1)
        rows.append(
            {
                "name": f"matrix product state, bond {bond}, DMRG ({goal.name})",
                "energy": result.energy,
                "energy_error": 0.0,
                "v_score": model.n_sites * result.variance / result.energy**2,
                "n_parameters": result.state.n_parameters,
                "seconds": time.perf_counter() - started,
                "trained_on": "no samples: contraction",
                "threads": threads,
            }
        )
    for row in rows:
        row |= {
            "value": (row["energy"] - goal.energy) / abs(goal.energy),
            "unit": "relative error",
            "exact": goal.energy,
            "aim": 0.0,
        }
    return rows


def netket_python(chosen: str | None) -> str | None:
    """Return a Python that has NetKet: the one named, or this one, or none."""
    for python in (chosen,) if chosen else (sys.executable,):
        done = subprocess.run([python, "-c", "import netket"], capture_output=True, check=False)
        if done.returncode == 0:
            return python
        if chosen:
            raise SystemExit(f"{python} has no NetKet:\n{done.stderr.decode()[-500:]}")
    return None


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    from rich.console import Console
    from rich.table import Table

    from qmlphys.stats import Estimate

    table = Table(title="Neural quantum states")
    for column in ("row", "value", "peer", "peer's value", "ratio", "aim", "first / later step"):
        table.add_column(column)
    for row in rows:
        ratio = row.get("ratio")
        low, high = row.get("ratio_range", (0.0, 0.0))
        table.add_row(
            row["name"],
            f"{Estimate(row['value'], row['error'])}" if "error" in row else f"{row['value']:.3g} {row['unit']}",
            f"{row['peer']}, {row['peer_mode']}" if row.get("peer") else "-",
            f"{row['peer_value']:.3g} s" if row.get("peer") else "-",
            "-" if ratio is None else f"{ratio:.1f} ({low:.1f} to {high:.1f})",
            f"{row['aim']:.2g}",
            f"{row['first_over_later']:.2f}" if "first_over_later" in row else f"{row['seconds']:.0f} s",
        )
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--only", default="", help="rows whose name contains this text")
    parser.add_argument("--netket", default=os.environ.get("NETKET_PYTHON"), help="a Python that has NetKet")
    parser.add_argument("--accuracy", action="store_true", help="also the accuracy of ground states: minutes")
    parser.add_argument("--representations", action="store_true", help="also RBM beside MPS: minutes")
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    python = netket_python(arguments.netket)
    if python is None:
        print("NetKet is not installed here: qmlphys is measured alone. See benchmarks/README.md.", file=sys.stderr)
    rows = [
        compare(task, python=python, repeats=arguments.repeats, threads=arguments.threads)
        for task in TASKS
        if arguments.only in task.name
    ]
    if arguments.accuracy:
        rows += [accuracy(goal, arguments.threads) for goal in GOALS if arguments.only in goal.name]
        rows += [order(name, part, arguments.threads) for name, part in ORDERS if arguments.only in name]
    if arguments.representations:
        rows += representations(arguments.threads)
    show(rows)
    versions = {name: version(name) for name in ("qmlphys", "torch", "numba", "numpy")}
    if python:
        text = "import importlib.metadata as m; print(m.version('netket'), m.version('jax'))"
        found = subprocess.run([python, "-c", text], capture_output=True, text=True, check=True).stdout.split()
        versions |= {"netket": found[0], "jax": found[1]}
    arguments.json.parent.mkdir(exist_ok=True)
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    content = {"rows": rows, "machine": machine, "versions": versions}
    arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"Numbers: {arguments.json}")


if __name__ == "__main__":
    main()
