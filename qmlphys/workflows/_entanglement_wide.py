"""Wide networks of `qmlphys.workflows.entanglement_scaling`: beside the infinite width, and beside their kernels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats as distributions

from qmlphys import exact, lattices
from qmlphys.hamiltonians import TransverseIsing
from qmlphys.workflows._entanglement_config import InfiniteWidthConfig, TangentConfig
from qmlphys.workflows._entanglement_windows import generator_of

__all__ = [
    "closed_form",
    "conditioned",
    "convergence_rates",
    "kernel_distances",
    "sampled_purity",
    "target_of",
    "targets",
    "trained",
]

_N_SHOWN = 400  # points of a curve that are kept
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)  # of the amplitudes that a state is conditioned on
_GP_SCALES = (0.3, 1.0)  # sigma_w / sqrt(n) of its kernel


def sampled_purity(config: InfiniteWidthConfig, width: int | None, *, seed: int) -> dict[str, Any]:
    """Draw cosine networks and return the purities of their blocks, annealed and averaged, with errors.

    Parameters
    ----------
    config : InfiniteWidthConfig
        Settings.
    width : int or None
        Hidden units; None for the infinite network.
    seed : int
        Where all randomness starts.

    Returns
    -------
    dict
        `lengths`, and lists over them: `annealed` is E[Tr rho_A^2 norm^2] / E[norm^2], and `mean` E[Tr rho_A^2] of
        normalised states; each with its `_error`, and `exact`, the closed form of the former at infinite width.
    """
    from qmlphys.nqs import infinite_width

    n, sigma_w = config.n_sites, config.scale * math.sqrt(config.n_sites)
    lengths = list(range(1, n // 2 + 1))
    found: dict[str, list[float]] = {key: [] for key in ("annealed", "annealed_error", "mean", "mean_error", "exact")}
    for length in lengths:
        states = infinite_width.cosnet_ensemble(
            n,
            length,
            sigma_w=sigma_w,
            width=width,
            n_draws=config.n_networks,
            rng=generator_of(seed, width or 0, length),
        )
        for key, estimate in (("annealed", states.annealed_purity), ("mean", states.mean_purity)):
            found[key].append(estimate.mean)
            found[f"{key}_error"].append(estimate.error)
        found["exact"].append(infinite_width.annealed_purity(n, length, sigma_w=sigma_w))
    return {"lengths": lengths, **found}


def closed_form(n_sites: int, n_a: int, sigma_w: float) -> float:
    """Return the Rényi-2 entropy of the annealed purity at infinite width, in nats."""
    from qmlphys.nqs import infinite_width

    return -math.log(infinite_width.annealed_purity(n_sites, n_a, sigma_w=sigma_w))


def target_of(config: TangentConfig, name: str) -> tuple[Any, NDArray[np.float64], float]:
    """Return strings, amplitudes and energy of a ground state that is learned: "ising" or "hubbard"."""
    from qmlphys.nqs.neural_tangent import StringSet

    if name == "ising":
        model = TransverseIsing(lattices.chain(config.n_sites, periodic=False), field=1.0)
        found = exact.ground_state(model, vectors=True)
        return StringSet.all(config.n_sites), np.real(found.vector), found.energy
    from qmlphys.hamiltonians.fermi_hubbard import fermi_hubbard_ground_state

    half = math.prod(config.hubbard) // 2
    state = fermi_hubbard_ground_state(config.hubbard, half, n_down=half, hopping=1.0, interaction=4.0)
    return StringSet(state.up, state.down), state.amplitudes, state.energy


def targets(config: TangentConfig) -> dict[str, str]:
    """Return the names of the targets and what they are."""
    found = {"ising": f"open TFIM chain of {config.n_sites} sites, h = J"}
    if config.hubbard:
        shape = "x".join(map(str, config.hubbard))
        found["hubbard"] = f"open {shape} Fermi-Hubbard model, half filling, U/t = 4"
    return found


def trained(config: TangentConfig, name: str, *, seed: int) -> dict[str, Any]:
    """Teach a cosine network a ground state by descent, beside the same steps under its kernel at the start."""
    from qmlphys.nqs.neural_tangent import TangentCosNet, train_supervised

    strings, target, energy = target_of(config, name)
    n = strings.n_sites
    network = TangentCosNet.random(n, width=config.width, sigma_w=math.sqrt(n), rng=generator_of(seed, n, 0))
    done = train_supervised(
        network, target, strings=strings, step=1.0, stop_loss=config.stop_loss, max_steps=config.max_steps
    )
    last = len(done.loss) - 1
    shown = np.unique(np.linspace(0, last, min(_N_SHOWN, last + 1)).round().astype(int))
    return {
        "n_strings": len(strings),
        "energy": energy,
        "time": (done.time * float(done.rates[-1]))[shown],  # in units of the fastest mode's
        "loss": done.loss[shown],
        "linear_loss": done.linear_loss[shown],
        "drift": done.drift,
        "deviation": done.deviation(down_to=max(1e-6, 1.01 * float(done.linear_loss[-1]))),
        "infidelity": float(done.infidelity[-1]),
        "final_loss": float(done.loss[-1]),
        "n_steps": last,
        "converged": done.converged,
    }


def kernel_distances(config: TangentConfig, *, seed: int) -> dict[str, Any]:
    """Return the relative distances of tangent kernels from the infinite one, with the slope of their logarithms."""
    from qmlphys.nqs.neural_tangent import StringSet, TangentCosNet, cosnet_tangent_kernel

    n = config.kernel_sites
    strings = StringSet.all(n)
    limit = cosnet_tangent_kernel(strings.spins, sigma_w=math.sqrt(n))
    means, errors = [], []
    for width in config.widths:
        found = []
        for k in range(config.n_networks):
            network = TangentCosNet.random(n, width=width, sigma_w=math.sqrt(n), rng=generator_of(seed, width, k))
            theta, _ = network.tangent_kernels(strings)
            found.append(float(np.linalg.norm(theta - limit) / np.linalg.norm(limit)))
        means.append(float(np.mean(found)))
        errors.append(float(np.std(found, ddof=1) / math.sqrt(len(found))))
    # Unweighted: the scatter of a few networks is itself too uncertain to weigh with.
    line = distributions.linregress(np.log(config.widths), np.log(means))
    return {
        "widths": list(config.widths),
        "mean": means,
        "error": errors,
        "slope": float(line.slope),
        "slope_error": float(line.stderr),
        "prefactor": math.exp(float(line.intercept)),
    }


def convergence_rates(config: TangentConfig) -> dict[str, Any]:
    """Return the eigenvalues of infinitely wide kernels, and how long each takes to learn the Ising ground state.

    `time` is that to a loss of 1e-6 in units of the fastest mode's; None where no finite time is enough.
    """
    from qmlphys.nqs.neural_tangent import LinearFlow, cosnet_tangent_kernel

    strings, target, _ = target_of(config, "ising")
    found: dict[str, Any] = {"scales": list(config.sigma_w), "eigenvalues": [], "times": []}
    for scale in config.sigma_w:
        flow = LinearFlow(cosnet_tangent_kernel(strings.spins, sigma_w=scale * math.sqrt(strings.n_sites)))
        time = flow.time_to(1e-6, -target / np.linalg.norm(target)) * float(flow.rates[-1])
        found["eigenvalues"].append(flow.rates[::-1])
        found["times"].append(time)
    return found


def conditioned(config: TangentConfig, *, seed: int) -> dict[str, Any]:
    """Condition the infinitely wide state on some amplitudes of the Ising ground state, and compare its mean with it.

    Which amplitudes are known is drawn at random, once; larger sets hold the smaller ones.
    """
    from qmlphys.nqs.infinite_width import CosNetKernel, GaussianProcessState

    _, target, _ = target_of(config, "ising")
    n_strings = len(target)
    order = generator_of(seed, n_strings, 0).permutation(n_strings)
    counts = sorted({max(1, round(n_strings * share)) for share in _SHARES})
    found: dict[str, Any] = {"counts": counts, "n_strings": n_strings, "scales": list(_GP_SCALES), "infidelities": []}
    for scale in _GP_SCALES:
        kernel = CosNetKernel(scale * math.sqrt(config.n_sites))
        prior = GaussianProcessState.prior(kernel, config.n_sites)
        found["infidelities"].append(
            [max(0.0, prior.condition(order[:n], target[order[:n]]).infidelity(target)) for n in counts]
        )
    return found
