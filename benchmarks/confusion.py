"""Learning by confusion: what one network for all cuts costs, and how near its W curve comes to the optimum.

    python benchmarks/confusion.py [--chains 16] [--draws 25] [--networks 10] [--seed 1] [--repeats 3]

For each size, on one scan of 101 temperatures and 100 cuts: the CPU time to fit all cuts with one network over that to
fit a single classifier (same data, settings and epochs; best of some repeats, in turns), the original scheme with one
network a cut (for fewer cuts), the largest distance from the optimum on the same held-out snapshots, the maxima.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from qmlphys import snapshots
from qmlphys.hamiltonians import Ising
from qmlphys.lattices import square
from qmlphys.montecarlo import sample
from qmlphys.phases.confusion import ConfusionScheme, optimal_indicator
from qmlphys.stats import Estimate

SIZES = (16, 32)
TEMPERATURES = np.linspace(1.0, 3.5, 101)


def timed_fit(X: Any, parameter: Any, groups: Any, **settings: Any) -> tuple[ConfusionScheme, float]:
    scheme = ConfusionScheme(random_state=0, **settings)
    start = time.process_time()
    scheme.fit(X, parameter, groups=groups)
    return scheme, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chains", type=int, default=16, help="independent chains a temperature")
    parser.add_argument("--draws", type=int, default=25, help="draws from each chain")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="of each timing; the shortest counts")
    parser.add_argument("--networks", type=int, default=10, help="cuts of the original scheme, one network each")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    arguments = parser.parse_args()
    console = Console()
    table = Table(title="Learning by confusion: one network for 100 cuts")
    columns = "L", "network", "strategy", "fit [CPU s]", "cost / one classifier", "max |W - W_opt|", "mean W - W_opt"
    for column in (*columns, "T of the maximum", "T, optimum"):
        table.add_column(column)
    for size in arguments.sizes:
        dataset = sample(
            Ising(square(size)), TEMPERATURES, n_chains=arguments.chains, n_draws=arguments.draws, rng=arguments.seed
        )
        X, parameter, groups = snapshots.as_xy(dataset)
        energy = dataset["energy"].values.reshape(-1)
        for network in ("cnn", "dense"):
            settings: dict[str, Any] = {"network": network, "shape": (size, size)}
            timings: dict[str, list[float]] = {"all": [], "one": []}
            for _ in range(arguments.repeats):
                scheme, seconds = timed_fit(X, parameter, groups, **settings)
                timings["all"].append(seconds)
                timings["one"].append(timed_fit(X, parameter, groups, n_splits=1, **settings)[1])
            one = min(timings["one"])
            rows = [("one network", scheme, min(timings["all"]))]
            if network == "cnn":
                original = settings | {"strategy": "per-split", "n_splits": arguments.networks}
                rows.append((f"{arguments.networks} networks", *timed_fit(X, parameter, groups, **original)))
            for strategy, fitted, seconds in rows:
                optimum = optimal_indicator(
                    energy, parameter, splits=fitted.splits_, groups=groups, held_out=fitted.held_out_, rng=0
                )
                difference = fitted.indicator_ - optimum.indicator
                table.add_row(
                    str(size),
                    network,
                    strategy,
                    f"{seconds:.2f}",
                    f"{seconds / one:.2f}",
                    f"{np.abs(difference).max():.4f}",
                    f"{difference.mean():+.4f}",
                    str(Estimate(fitted.critical_point_, fitted.critical_point_error_)),
                    str(Estimate(optimum.critical_point, optimum.critical_point_error)),
                )
    console.print(table)
    console.print(
        f"{len(TEMPERATURES)} temperatures from {TEMPERATURES[0]} to {TEMPERATURES[-1]}, {arguments.chains} chains x "
        f"{arguments.draws} draws each; half of the chains held out. One classifier is the same fit with a single cut."
    )


if __name__ == "__main__":
    main()
