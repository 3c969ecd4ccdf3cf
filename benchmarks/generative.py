"""What the generative models reach: bars and stripes, binarised digits, Ising snapshots.

    python benchmarks/generative.py [--threads 2] [--only TEXT] [--json FILE]

Bars and stripes: time and NLL of the Born machine, beside the floor ln 30. Digits: train and test NLL of the Born
machine, an independent-pixel model, restricted Boltzmann machines and, as a second classical model, a factor graph on
the pixel lattice; every model has its settings chosen on the same validation rows, is then fitted again on all training
rows, and sees the test rows once. Ising: energy, |m| and spin correlations of samples beside those of a Monte Carlo
run that no model has seen, in standard errors.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESULTS = Path(__file__).parent / "results" / "generative.json"
BARS_AIM = 3.4013

Rows = NDArray[np.int8]


def measure_bars(n_repeats: int = 5) -> Iterator[dict[str, Any]]:
    """Train on the 30 patterns of the 4 x 4 lattice from several seeds."""
    from qmlphys.generative import BornMachine
    from qmlphys.workflows.generative import bars_and_stripes

    X = bars_and_stripes(4)
    seconds, cpu_seconds, found, steps = [], [], [], []
    for seed in range(n_repeats):
        started, cpu = time.perf_counter(), time.process_time()
        model = BornMachine(max_bond=32, random_state=seed).fit(X)
        seconds.append(time.perf_counter() - started)
        cpu_seconds.append(time.process_time() - cpu)
        found.append(-model.score(X))
        steps.append(model.history_.sizes["step"])
    yield {
        "name": "bars and stripes 4x4, NLL",
        "value": max(found),
        "unit": "nats",
        "aim": BARS_AIM,
        "floor": float(np.log(len(X))),
        "range": [min(found), max(found)],
        "seeds": n_repeats,
        "seconds": float(np.median(seconds)),
        "cpu_seconds": float(np.median(cpu_seconds)),
        "seconds_range": [min(seconds), max(seconds)],
        "seconds_allowed": 60,
        "sweeps": steps,
        "bonds": list(model.bonds_),
    }


# Digits ----------------------------------------------------------------------------------------------------------


def digits() -> tuple[Rows, Rows, Rows]:
    """Return rows for choosing, their validation rows, and the test rows: 850, 150, 797; ink where a pixel is > 7."""
    from sklearn.datasets import load_digits

    X = (load_digits().data > 7).astype(np.int8)
    X = X[np.random.default_rng(0).permutation(len(X))]
    return X[:850], X[850:1000], X[1000:]


Fit = Callable[[Rows], Callable[[Rows], NDArray[np.float64]]]


def chosen(name: str, fits: dict[str, Fit]) -> dict[str, Any]:
    """Choose among settings on validation rows, fit again on all training rows, and look at the test rows."""
    train, validation, test = digits()
    started, cpu = time.perf_counter(), time.process_time()
    scores = {label: -float(fit(train)(validation).mean()) for label, fit in fits.items()}
    best = min(scores, key=scores.__getitem__)
    together = np.concatenate([train, validation])
    log_likelihood = fits[best](together)
    on_test = -log_likelihood(test)
    return {
        "name": f"digits, test NLL, {name}",
        "value": float(on_test.mean()),
        "error": float(on_test.std(ddof=1) / np.sqrt(len(test))),
        "unit": "nats",
        "train_nll": -float(log_likelihood(together).mean()),
        "chosen": best,
        "validation_nll": scores,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
    }


def independent(pseudo_count: float) -> Fit:
    def fit(X: Rows) -> Callable[[Rows], NDArray[np.float64]]:
        p = (X.sum(axis=0) + pseudo_count) / (len(X) + 2 * pseudo_count)
        return lambda Y: Y @ np.log(p) + (1 - Y) @ np.log(1 - p)

    return fit


def rbm_log_likelihood(rbm: Any, rows: Rows) -> NDArray[np.float64]:
    """Return exact ln p of a restricted Boltzmann machine with at most 20 hidden units: Z is a sum over all of them."""
    W, hidden, visible = rbm.components_, rbm.intercept_hidden_, rbm.intercept_visible_
    half = len(hidden) // 2

    def all_states(n: int) -> NDArray[np.float64]:
        return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.float64)

    first, second = all_states(half), all_states(len(hidden) - half)
    fields, others = first @ W[:half] + visible, second @ W[half:]
    log_weights = (first @ hidden[:half])[:, None] + second @ hidden[half:]
    # Logarithms of products of four are four times cheaper, and far from overflow.
    first_factors, second_factors = np.exp(fields), np.exp(others)
    for sites in np.array_split(np.arange(W.shape[1]), W.shape[1] // 4):
        product = np.ones_like(log_weights)
        for site in sites:
            product *= 1 + np.outer(first_factors[:, site], second_factors[:, site])
        log_weights += np.log(product)
    log_z = np.logaddexp.reduce(log_weights, axis=None)
    return rows @ visible + np.logaddexp(0, rows @ W.T + hidden).sum(axis=1) - log_z


def rbm(n_hidden: int, learning_rate: float, n_epochs: int) -> Fit:
    """Persistent contrastive divergence; the learning rate falls to a tenth over the last half of the epochs."""
    from sklearn.neural_network import BernoulliRBM

    def fit(X: Rows) -> Callable[[Rows], NDArray[np.float64]]:
        rng = np.random.default_rng(1)
        model = BernoulliRBM(n_components=n_hidden, learning_rate=learning_rate, random_state=1)
        p = np.clip(X.mean(axis=0), 0.01, 0.99)
        for epoch in range(n_epochs):
            model.learning_rate = learning_rate * min(1.0, 10 ** (1 - 2 * epoch / n_epochs))
            order = rng.permutation(len(X))
            for batch in np.array_split(X[order], len(X) // 10):
                model.partial_fit(batch)
                if epoch == 0 and not hasattr(model, "_started"):
                    # Visible biases start at the single-pixel distribution: without it, the first epochs learn that.
                    model.intercept_visible_ = np.log(p / (1 - p))
                    model._started = True
        return lambda Y: rbm_log_likelihood(model, Y)

    return fit


@lru_cache
def trained(max_bond: int, n_sweeps: int, content: bytes) -> Any:
    from qmlphys.generative import BornMachine

    X = np.frombuffer(content, dtype=np.int8).reshape(-1, 64)
    model = BornMachine(max_bond=max_bond, learning_rate=0.2, max_sweeps=n_sweeps, patience=n_sweeps, random_state=0)
    return model.fit(X)


def born(max_bond: int, n_sweeps: int, smoothing: float) -> Fit:
    """As `BornMachine(smoothing=...)`, but training is not repeated for every value of it."""

    def fit(X: Rows) -> Callable[[Rows], NDArray[np.float64]]:
        from qmlphys.generative import BornMachine
        from qmlphys.mps import MatrixProductState

        gate = np.cosh(smoothing) * np.eye(2) + np.sinh(smoothing) * np.eye(2)[::-1]
        tensors = trained(max_bond, n_sweeps, X.tobytes()).state_.tensors
        state = MatrixProductState(tuple(np.einsum("ts,lsr->ltr", gate, tensor) for tensor in tensors))
        return BornMachine.from_state(state, alphabet="bits").score_samples

    return fit


def lattice_scopes(size: int, reach: int) -> list[tuple[int, ...]]:
    """Return pairs of pixels at most `reach` apart along a row or column, diagonals too for `reach` 2, and singles."""
    scopes: list[tuple[int, ...]] = [(site,) for site in range(size * size)]
    steps = [(0, 1), (1, 0)] + ([(1, 1), (1, -1)] if reach == 2 else [])
    for y, x in itertools.product(range(size), repeat=2):
        for dy, dx in steps:
            if y + dy < size and 0 <= x + dx < size:
                scopes.append((y * size + x, (y + dy) * size + x + dx))
    return scopes


def factor_graph(l2: float, reach: int) -> Fit:
    def fit(X: Rows) -> Callable[[Rows], NDArray[np.float64]]:
        from qmlphys.generative import FactorGraphModel

        return FactorGraphModel(lattice_scopes(8, reach), n_sites=64, l2=l2).fit(X).score_samples

    return fit


def measure_digits() -> Iterator[dict[str, Any]]:
    """Put the models side by side on the 8 x 8 digits."""
    counts = (0.1, 0.3, 1.0, 3.0)
    yield chosen("independent pixels", {f"pseudo-count {c}": independent(c) for c in counts})
    plain = list(itertools.product((8, 12, 16, 24), (3, 6, 12), (0.0,)))
    smooth = list(itertools.product((16, 24, 32), (6, 12), (0.05, 0.08, 0.11, 0.14)))
    for name, settings in (("Born machine", plain), ("Born machine with smoothing", smooth)):
        yield chosen(name, {f"bond {d}, {n} sweeps, smoothing {tau}": born(d, n, tau) for d, n, tau in settings})
    machines = [*itertools.product((20,), (0.1, 0.05, 0.02), (50, 150, 400)), (12, 0.05, 150)]
    yield chosen(
        "restricted Boltzmann machine, at most 20 hidden units",
        {f"{h} hidden, rate {r}, {n} epochs": rbm(h, r, n) for h, r, n in machines},
    )
    graphs = list(itertools.product((1e-4, 1e-3, 1e-2), (1, 2)))
    yield chosen(
        "factor graph on the pixel lattice",
        {f"l2 {p}, reach {k}": factor_graph(p, k) for p, k in graphs},
    )


# Ising -----------------------------------------------------------------------------------------------------------


def observables(spins: Rows, size: int, model: Any) -> dict[str, NDArray[np.float64]]:
    """Energy per site, |m|, and correlations along the chain of the columns (x) and across it (y), a value a row."""
    s = spins.reshape(len(spins), size, size).astype(np.float64)
    found = {"energy": model.energy(spins) / size**2, "|m|": np.abs(s.mean(axis=(1, 2)))}
    for distance in range(1, size // 2 + 1):
        found[f"x{distance}"] = (s * np.roll(s, distance, axis=2)).mean(axis=(1, 2))
        found[f"y{distance}"] = (s * np.roll(s, distance, axis=1)).mean(axis=(1, 2))
    return found


def mean_and_error(values: NDArray[np.float64], groups: NDArray[Any] | None) -> tuple[float, float]:
    """Return a mean and its standard error; draws of one chain are correlated, so that chains are what is counted."""
    if groups is not None:
        index = np.unique(groups, return_inverse=True)[1]
        values = np.bincount(index, weights=values) / np.bincount(index)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def symmetric_copies(spins: Rows, size: int, n_copies: int, rng: np.random.Generator) -> Rows:
    """Return each row in random equivalent forms: translated, turned or mirrored, and with all spins reversed."""
    copies = []
    for _ in range(n_copies):
        s = spins.reshape(-1, size, size)
        turned = np.stack([np.rot90(m, k, axes=(1, 2)) for m in (s, s.transpose(0, 2, 1)) for k in range(4)])
        s = turned[rng.integers(8, size=len(s)), np.arange(len(s))]
        shift = rng.integers(size, size=(2, len(s), 1, 1))
        rows, columns = np.arange(size)[:, None], np.arange(size)[None, :]
        s = s[np.arange(len(s))[:, None, None], (rows + shift[0]) % size, (columns + shift[1]) % size]
        copies.append((s * rng.choice(np.array([-1, 1], dtype=np.int8), size=(len(s), 1, 1))).reshape(len(s), -1))
    return np.concatenate(copies)


@dataclass(frozen=True)
class Snapshots:
    """One row: a lattice, a temperature, how much is learned and with which bond."""

    size: int
    temperature: float
    max_bond: int
    n_draws: int = 150
    n_copies: int = 8
    n_sweeps: int = 10


ISING = (
    *(Snapshots(4, temperature, 32) for temperature in (1.8, 2.269, 3.5)),
    *(Snapshots(5, temperature, 64, n_draws=60, n_copies=4, n_sweeps=8) for temperature in (1.8, 2.269)),
    Snapshots(5, 3.5, 96, n_draws=60, n_copies=32, n_sweeps=4),
    Snapshots(6, 2.269, 96, n_draws=60, n_copies=4, n_sweeps=8),
)


def measure_ising() -> Iterator[dict[str, Any]]:
    """Learn snapshots, and compare samples with an independent Monte Carlo run of 64,000 snapshots."""
    for task in ISING:
        yield learn_snapshots(task)


def learn_snapshots(task: Snapshots) -> dict[str, Any]:
    from qmlphys.generative import BornMachine
    from qmlphys.hamiltonians import Ising
    from qmlphys.lattices import square
    from qmlphys.montecarlo import sample
    from qmlphys.snapshots import as_xy

    size = task.size
    model = Ising(square(size))
    X, _, groups = as_xy(sample(model, [task.temperature], n_chains=64, n_draws=task.n_draws, rng=1))
    fresh, _, its_groups = as_xy(sample(model, [task.temperature], n_chains=64, n_draws=1000, rng=2))
    rows = symmetric_copies(X, size, task.n_copies, np.random.default_rng(3))
    started, cpu = time.perf_counter(), time.process_time()
    # No early stopping: what is asked for here are few-site averages, which the rows fix well, not new rows.
    machine = BornMachine(max_bond=task.max_bond, max_sweeps=task.n_sweeps, patience=task.n_sweeps, random_state=0)
    machine.fit(rows)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    generated = observables(machine.sample(len(X), 4), size, model)
    learned = observables(X, size, model)
    expected = observables(fresh, size, model)
    deviations, values = {}, {}
    for key in expected:
        found = {
            "generated": mean_and_error(generated[key], None),
            "monte_carlo": mean_and_error(expected[key], its_groups),
            "training": mean_and_error(learned[key], groups),
        }
        error = float(np.sqrt(sum(pair[1] ** 2 for pair in found.values())))
        deviations[key] = (found["generated"][0] - found["monte_carlo"][0]) / error
        values[key] = found
    return {
        "name": f"Ising {size}x{size}, T = {task.temperature}, largest deviation",
        "value": float(max(np.abs(list(deviations.values())))),
        "unit": "standard errors",
        "deviations": deviations,
        "values": values,
        "training_rows": len(X),
        "symmetric_copies": task.n_copies,
        "generated_rows": len(X),
        "chosen": f"bond {task.max_bond}, {task.n_sweeps} sweeps",
        "bonds": max(machine.bonds_),
        "train_nll": -machine.score(rows),
        "test_nll": -machine.score(fresh),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Generative models")
    for column in ("row", "value", "train NLL", "seconds", "settings"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['value']:.6g} {row['unit']}" + (f" ± {row['error']:.2g}" if "error" in row else ""),
            f"{row['train_nll']:.4g}" if "train_nll" in row else "-",
            f"{row['seconds']:.2g}",
            row.get("chosen", "-"),
        )
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--only", default="", help="bars, digits or ising")
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    # Before anything that reads them is imported.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, str(arguments.threads))
    parts: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "bars": measure_bars,
        "digits": measure_digits,
        "ising": measure_ising,
    }
    rows = []
    for name, measure in parts.items():
        if arguments.only in name:
            for row in measure():
                rows.append(row | {"threads": arguments.threads})
                print(f"{row['name']}: {row['value']:.6g} {row['unit']}", flush=True)
    show(rows)
    names = ("qmlphys", "numpy", "scipy", "scikit-learn", "torch")
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    content = {"rows": rows, "machine": machine, "versions": {name: version(name) for name in names}}
    arguments.json.parent.mkdir(exist_ok=True)
    arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"Numbers: {arguments.json}")


if __name__ == "__main__":
    main()
