"""One package in a process of its own; `montecarlo.py` starts it and talks to it by lines of JSON.

python _montecarlo_worker.py rate ENGINE TASK      then a number of sweeps a line: [updates, wall s, CPU s] a line
python _montecarlo_worker.py job ENGINE TASK       one answer: seconds, mean energies
"""

from __future__ import annotations

import json
import sys
import time
from types import SimpleNamespace
from typing import Any


class QmlphysWorker:
    """Sweeps through the public `Simulation`; Wolff through its kernel, which alone counts the flipped spins."""

    def __init__(self, task: SimpleNamespace) -> None:
        from qmlphys import lattices
        from qmlphys.hamiltonians import Ising
        from qmlphys.montecarlo import Simulation

        self.task = task
        model = Ising(getattr(lattices, task.lattice)(task.size))
        self.n_sites = model.lattice.n_sites
        self.simulation = Simulation(model, [task.temperature], n_chains=task.n_chains, algorithm=task.algorithm, rng=1)
        self.simulation.thermalize(1)

    def run(self, n: int) -> int:
        if self.task.algorithm != "wolff":
            self.simulation.thermalize(n)
            return n * self.n_sites * self.task.n_chains
        from qmlphys.montecarlo import _clusters

        flipped = 0
        for unit in self.simulation._units:
            tables = unit._tables
            for spins, state in zip(unit._spins, unit._state, strict=True):
                move = (unit._alike, unit._threshold, state, n)
                flipped += _clusters.wolff(spins, tables.partners, tables.degree, *move)
        return flipped


class McisingWorker:
    """The compiled core itself, one object a thread: `sweep`, which measures nothing.

    With more threads `production_sweeps` with one measurement at the end: `sweep` holds Python's global lock.
    """

    def __init__(self, task: SimpleNamespace) -> None:
        from mcising._core import IsingSimulation

        self.task = task
        arguments = (1.0, 0.0, 0.0, 0.0)
        names = (task.algorithm.replace("-", "_"), task.lattice)
        self.chains = [IsingSimulation(task.size, *arguments, seed, *names) for seed in range(task.n_threads)]
        self.run(20)

    def run(self, n: int) -> int:
        from concurrent.futures import ThreadPoolExecutor

        T = self.task.temperature
        if len(self.chains) == 1:
            return self.chains[0].sweep(n, temperature=T)[1]
        with ThreadPoolExecutor(len(self.chains)) as pool:
            list(pool.map(lambda chain: chain.production_sweeps(1, n, temperature=T, store_configs=False), self.chains))
        return n * sum(chain.num_sites for chain in self.chains)


class PeapodsWorker:
    """`Ising.sample` with all sweeps counted as warm-up, so that nothing is averaged; one replica a thread.

    It has no honeycomb, and makes cluster updates only between Metropolis sweeps: no row there.
    """

    def __init__(self, task: SimpleNamespace) -> None:
        import numpy as np
        from peapods import Ising

        if task.algorithm != "metropolis" or task.lattice == "honeycomb":
            raise NotImplementedError
        dimensions = {"chain": 1, "cubic": 3}.get(task.lattice, 2)
        extra = {"geometry": "triangular"} if task.lattice == "triangular" else {}
        shape = (task.size,) * dimensions
        self.model = Ising(shape, temperatures=np.array([task.temperature]), n_replicas=task.n_threads, **extra)
        self.settings = {"sweep_mode": "metropolis", "warmup_ratio": 1.0, "sequential": task.n_threads == 1}
        self.updates = task.size**dimensions * task.n_threads
        self.run(20)

    def run(self, n: int) -> int:
        import numpy as np

        with np.errstate(all="ignore"):  # averages of no samples
            self.model.sample(n, **self.settings)
        return n * self.updates


WORKERS = {"qmlphys": QmlphysWorker, "mcising": McisingWorker, "peapods": PeapodsWorker}


def serve(engine: str, task: SimpleNamespace) -> None:
    """Answer requests 'run n sweeps' on standard input with (updates, wall seconds, CPU seconds)."""
    try:
        worker = WORKERS[engine](task)
    except NotImplementedError:
        print("null", flush=True)
        return
    print("true", flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        updates = worker.run(int(line))
        print(json.dumps([updates, time.perf_counter() - wall, time.process_time() - cpu]), flush=True)


def job_qmlphys(job: SimpleNamespace) -> dict[str, Any]:
    """`sample` with everything left to it: pilot runs, thermalisation, two autocorrelation times between draws."""
    from qmlphys.hamiltonians import Ising
    from qmlphys.lattices import square
    from qmlphys.montecarlo import sample

    model = Ising(square(job.size))
    sample(model, [2.0, 2.3], n_chains=2, n_draws=1, rng=1)  # loads the compiled kernels of Metropolis
    sample(model, [2.3], n_chains=2, n_draws=1, rng=1, algorithm="swendsen-wang")
    start = time.perf_counter()
    ds = sample(model, job.temperatures, n_chains=job.n_chains, n_draws=job.n_draws, rng=job.seed)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "energy": ds["energy"].mean(("chain", "draw")).values.tolist()}


def job_mcising(job: SimpleNamespace) -> dict[str, Any]:
    """As many configurations from one long chain a temperature: it thermalises once, not once for each of 64 chains.

    Chains start ordered, as those of qmlphys do: from random spins, Metropolis stays in stripes below the transition.
    """
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    from mcising._core import IsingSimulation

    def one(k: int) -> float:
        algorithm, interval = job.plan[k]
        chain = IsingSimulation(job.size, 1.0, 0.0, 0.0, 0.0, job.seed + k, algorithm, "square")
        chain.set_spins(np.ones((job.size, job.size), dtype=np.int8))
        chain.sweep(10 * interval, temperature=job.temperatures[k])
        run = chain.production_sweeps(
            job.n_chains * job.n_draws, interval, temperature=job.temperatures[k], store_configs=True
        )
        if len(run["configurations"]) != job.n_chains * job.n_draws:
            raise RuntimeError("The peer did not keep the configurations.")
        return float(run["energies"].mean())

    start = time.perf_counter()
    with ThreadPoolExecutor(job.n_threads) as pool:
        energy = list(pool.map(one, range(len(job.temperatures))))
    return {"seconds": time.perf_counter() - start, "energy": energy}


JOBS = {"qmlphys": job_qmlphys, "mcising": job_mcising}

if __name__ == "__main__":
    what, engine, text = sys.argv[1:]
    settings = SimpleNamespace(**json.loads(text))
    if what == "rate":
        serve(engine, settings)
    else:
        print(json.dumps(JOBS[engine](settings)))
