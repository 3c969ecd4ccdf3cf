"""One package in a process of its own; `nqs.py` starts it and talks to it by lines of JSON.

python _nqs_worker.py ENGINE TASK      then one line for each step wanted: its wall seconds a line

The process says "ready" when the state is made; the first step, with all that is compiled for it, is still to come.
"""

from __future__ import annotations

import json
import os
import sys
import time
from types import SimpleNamespace
from typing import Any


class QmlphysWorker:
    """The public driver: sampling one sweep, local energies, kernel, solve, update."""

    def __init__(self, task: SimpleNamespace) -> None:
        from qmlphys import lattices, nqs
        from qmlphys.hamiltonians import TransverseIsing

        dtype = "complex128" if task.complex else "float64"
        ansatz = nqs.RBM(task.size, alpha=task.alpha, dtype=dtype, rng=1)
        state = nqs.MonteCarloState(ansatz, nqs.Metropolis(task.n_chains), n_samples=task.n_samples, rng=1)
        gradient = nqs.NaturalGradient("minsr", diagonal_shift=1e-3)
        model = TransverseIsing(lattices.chain(task.size), field=task.field)
        self.driver = nqs.VMC(model, state, natural_gradient=gradient, step_size=0.01)

    def step(self) -> float:
        self.driver.run(1)
        return float(self.driver.history()["energy"].values[-1])


class NetketWorker:
    """`VMC_SR`, the driver NetKet recommends, in one of its modes; as many chains, one sweep a step."""

    def __init__(self, task: SimpleNamespace) -> None:
        import netket as nk
        import optax

        graph = nk.graph.Chain(task.size, pbc=True)
        hilbert = nk.hilbert.Spin(0.5, task.size)
        # Compiled for this model where NetKet has such an operator, which is faster than its general one.
        model = nk.operator.IsingJax(hilbert, graph=graph, h=task.field, J=-1.0)
        dtype = complex if task.complex else float
        machine = nk.models.RBM(alpha=task.alpha, param_dtype=dtype)
        sampler = nk.sampler.MetropolisLocal(hilbert, n_chains=task.n_chains, sweep_size=task.size)
        state = nk.vqs.MCState(sampler, machine, n_samples=task.n_samples, n_discard_per_chain=0, seed=1)
        options: dict[str, Any] = dict(task.options)
        self.driver = nk.driver.VMC_SR(model, optax.sgd(0.01), diag_shift=1e-3, variational_state=state, **options)

    def step(self) -> float:
        self.driver.run(1, out=None, show_progress=False)
        # Nothing is measured until the parameters are there: jax hands out promises.
        import jax

        jax.block_until_ready(self.driver.state.parameters)
        return float(self.driver._loss_stats.mean.real)


WORKERS = {"qmlphys": QmlphysWorker, "netket": NetketWorker}


def main() -> None:
    engine, text = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a package prints is not an answer
    worker = WORKERS[engine](SimpleNamespace(**json.loads(text)))
    print(json.dumps("ready"), file=answers, flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        energy = worker.step()
        answer = [time.perf_counter() - wall, time.process_time() - cpu, energy]
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
