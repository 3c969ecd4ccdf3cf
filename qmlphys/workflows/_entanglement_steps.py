"""Steps of `qmlphys.workflows.entanglement_scaling`: each is kept in the run folder and read when it is there."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys import entanglement
from qmlphys._arguments import whole_number
from qmlphys.report import Row
from qmlphys.workflows import _entanglement_wide as wide
from qmlphys.workflows._entanglement_config import BatteryConfig, InfiniteWidthConfig
from qmlphys.workflows._entanglement_measure import at_block, table_of
from qmlphys.workflows._entanglement_states import CONTROL, LABELS, NONLINEARITIES, maker_of
from qmlphys.workflows._entanglement_windows import amplitudes_of, generator_of, sample_entropies, window_entropies
from qmlphys.workflows.runs import RunFolder

__all__ = ["GROWING", "SINGLE", "Journey", "count_features", "exact_states", "reference_values"]

SINGLE = tuple(f"{phi}{suffix}" for suffix in ("", "-i") for phi in NONLINEARITIES)
"""States of one nonlinearity."""

GROWING = ("tanh", "sin-i", "mlp-tanh", "mlp-sin", CONTROL)
"""States whose growth with the number of sites is measured; the last one must be rejected."""

COUNTED = ("tanh", "sin-i", "mlp-tanh", "mlp-sin")
"""States whose growth with the number of nonlinearities is measured."""

_LONGEST_SINGLE = 9
# Many states are measured here: longer blocks of 22 sites take four times as long.
_COUNTED_LENGTH = 8
_FEATURE_SITES = 24
# States of more sites than this are kept in groups, so that a run that is stopped loses minutes at most.
_QUICK_SITES = 16
_GROUP = 4


class Journey:
    """Computes what the figures show, or reads it where an earlier start has done so.

    Parameters
    ----------
    config : BatteryConfig
        Settings.
    folder : RunFolder
        Where finished steps are kept.
    tell : callable, optional
        Told of each kind of states as it begins.
    """

    def __init__(self, config: BatteryConfig, folder: RunFolder, *, tell: Callable[[str], None] | None = None) -> None:
        self.config = config
        self.folder = folder
        self.tell = tell or _silent

    def entropies(
        self, name: str, n_sites: int, lengths: Sequence[int], *, n_seeds: int | None = None
    ) -> NDArray[np.float64]:
        """Return entropies (n_seeds, n_windows, n_lengths) of the states of a name."""
        config = self.config
        n_states = n_seeds or config.n_seeds
        group = n_states if n_sites <= _QUICK_SITES else _GROUP
        parts = []
        for first in range(0, n_states, group):
            number = min(group, n_states - first)
            settings = {
                "state": name,
                "n_sites": n_sites,
                "lengths": list(lengths),
                "states": [first, number],
                "n_windows": config.n_windows,
                "seed": config.seed,
            }

            def compute(first: int = first, number: int = number) -> dict[str, Any]:
                states = f"states {first + 1} to {first + number} of {n_states}"
                self.tell(f"{LABELS.get(name, name)}: {n_sites} sites, |A| up to {max(lengths)}, {states}")
                return {
                    "entropies": sample_entropies(
                        maker_of(name),
                        n_sites,
                        lengths=lengths,
                        n_seeds=number,
                        n_windows=config.n_windows,
                        seed=self.seed(name),
                        first=first,
                    )
                }

            key = f"entanglement-{name}-n{n_sites}-a{lengths[0]}-{lengths[-1]}-s{first + 1}-{first + number}"
            parts.append(np.array(self.folder.step(key, settings, compute)["entropies"]))
        return np.concatenate(parts)

    def seed(self, name: str) -> int:
        """Return the seed of a kind of states, another one for each name."""
        return zlib.crc32(f"{self.config.seed} {name}".encode())

    def against_length(
        self, names: Sequence[str], *, n_sites: int, longest: int, first: int = 1
    ) -> dict[str, xr.Dataset]:
        """Return entropies against |A| at one number of sites."""
        lengths = list(range(first, min(longest, n_sites // 2) + 1))
        return {name: table_of({n_sites: (lengths, self.entropies(name, n_sites, lengths))}) for name in names}

    def single(self) -> dict[str, xr.Dataset]:
        """Entropies of states of one nonlinearity against |A|."""
        config = self.config
        return self.against_length(SINGLE, n_sites=config.n_sites, longest=min(_LONGEST_SINGLE, config.max_length))

    def networks(self) -> dict[str, xr.Dataset]:
        """Entropies of perceptrons and of a transformer against |A|."""
        config = self.config
        found = self.against_length(("mlp-tanh", "mlp-sin"), n_sites=config.n_sites, longest=config.max_length)
        largest = config.transformer_sizes[-1]
        return found | self.against_length(("transformer",), n_sites=largest, longest=largest // 2)

    def growth(self) -> dict[str, xr.Dataset]:
        """Entropies at |A| = n / 2 and at a fixed |A|, at every number of sites."""
        config = self.config
        found = {name: self.growth_of(name, config.sizes) for name in GROWING}
        return found | {"transformer": self.growth_of("transformer", config.transformer_sizes)}

    def growth_of(self, name: str, sizes: Sequence[int]) -> xr.Dataset:
        """Return entropies at |A| = n / 2 and at a fixed |A| of the states of a name."""
        table = {}
        for n in sizes:
            if name == "transformer":  # amplitudes take longest: the same step as that of the figure against |A|
                lengths, n_seeds = list(range(1, n // 2 + 1)), self.config.n_seeds
            else:
                lengths, n_seeds = sorted({self.config.fixed_length, n // 2}), self.config.n_growth_seeds
            table[n] = (lengths, self.entropies(name, n, lengths, n_seeds=n_seeds))
        return table_of(table)

    def nonlinearities(self) -> dict[str, list[dict[str, Any]]]:
        """Entropies of a block of eight sites against the number of nonlinearities."""
        config = self.config
        length = min(_COUNTED_LENGTH, config.max_length)
        found: dict[str, list[dict[str, Any]]] = {}
        for kind in COUNTED:
            found[kind] = []
            for number in config.mlp_widths if kind.startswith("mlp") else config.n_nonlinearities:
                name = f"{kind}-{number}"
                table = table_of({config.n_sites: ([length], self.entropies(name, config.n_sites, [length]))})
                _, (mean,), (error,) = at_block(table, length)
                found[kind].append({**self.features(name), "mean": mean, "error": error, "length": length})
        return found

    def features(self, name: str) -> dict[str, Any]:
        """Return the counts of a network at the sites of the figures."""
        n_sites = self.config.transformer_sizes[-1] if name == "transformer" else self.config.n_sites
        settings = {"state": name, "n_sites": n_sites, "seed": self.config.seed}

        def compute() -> dict[str, Any]:
            return _counts(count_features(name, n_sites=n_sites, seed=self.seed(name)))

        return self.folder.step(f"entanglement-features-{name}", settings, compute)

    def wide(self) -> dict[str, dict[str, xr.Dataset]]:
        """Entropies of networks of one hidden layer of growing width against |A|."""
        config = self.config
        return {
            kind: self.against_length(
                [f"{kind}-{hidden}" for hidden in config.hidden],
                n_sites=config.n_sites,
                longest=config.max_length,
                first=2,
            )
            for kind in ("cosnet", "tanh-network")
        }

    def infinite_width(self) -> dict[str, dict[str, Any]]:
        """Purities of random cosine networks by width; "infinite" for the limit itself."""
        part = self.config.infinite_width
        if part is None:
            return {}
        return {str(width or "infinite"): self.purity(part, width) for width in (*part.widths, None)}

    def purity(self, part: InfiniteWidthConfig, width: int | None) -> dict[str, Any]:
        """Return purities of random cosine networks of one width; None for the infinite one."""
        settings = {"part": part, "width": width, "seed": self.config.seed}

        def compute() -> dict[str, Any]:
            self.tell(f"{part.n_networks} cosine networks of width {width or 'infinity'}")
            return wide.sampled_purity(part, width, seed=self.config.seed)

        return self.folder.step(f"entanglement-purity-{width or 'infinite'}", settings, compute)

    def tangent(self) -> dict[str, Any]:
        """Training beside the tangent kernel, distances of kernels, rates of convergence, conditioned states."""
        part = self.config.tangent
        if part is None:
            return {}
        seed = self.config.seed
        settings = {"part": part, "seed": seed}
        found: dict[str, Any] = {"trained": {}}
        for name, words in wide.targets(part).items():

            def compute(name: str = name, words: str = words) -> dict[str, Any]:
                self.tell(f"training a cosine network of width {part.width}: {words}")
                return wide.trained(part, name, seed=seed)

            found["trained"][name] = self.folder.step(f"entanglement-trained-{name}", settings, compute)
        for name, words, function in (
            ("distances", "tangent kernels by width", partial(wide.kernel_distances, part, seed=seed)),
            ("rates", "rates of convergence by sigma_w", partial(wide.convergence_rates, part)),
            ("conditioned", "infinitely wide states given amplitudes", partial(wide.conditioned, part, seed=seed)),
        ):

            def evaluate(words: str = words, function: Callable[[], dict[str, Any]] = function) -> dict[str, Any]:
                self.tell(words)
                return function()

            found[name] = self.folder.step(f"entanglement-kernel-{name}", settings, evaluate)
        return found

    def exact_states(self) -> dict[str, Any]:
        """Entropies of exact constructions beside their closed forms."""
        return self.folder.step("entanglement-exact-states", {}, exact_states)


def _silent(_text: str) -> None:
    """Tell nobody."""


def count_features(name: str, *, n_sites: int, seed: int = 1) -> entanglement.AffineFeatures:
    """Count the nonlinearities of a network of a name, and its affine features.

    Parameters
    ----------
    name : str
        As `maker_of` takes it, such as "mlp-tanh" or "cosnet-20".
    n_sites : int
        Sites, 2 to 24.
    seed : int
        Where all randomness starts.

    Returns
    -------
    AffineFeatures
        The counts.

    Raises
    ------
    ValueError
        If there is no such network, or it needs more sites.

    Examples
    --------
    >>> count_features("mlp-tanh", n_sites=6)  # doctest: +ELLIPSIS
    AffineFeatures(...)
    """
    make = maker_of(name)
    n_sites = whole_number("n_sites", n_sites, least=2, most=_FEATURE_SITES)
    if name == CONTROL:
        raise ValueError(f"Argument `name` must be that of a network, but it is {name!r}.")
    return entanglement.affine_features(make(n_sites, generator_of(seed, n_sites, 0)), n_sites=n_sites)


def _counts(found: entanglement.AffineFeatures) -> dict[str, Any]:
    return {
        "n_nonlinearities": found.n_nonlinearities,
        "rank": found.rank,
        "bounds_nothing": found.bounds_nothing,
        "largest_change": found.largest_change,
        "sentence": found.sentence,
    }


def exact_states() -> dict[str, Any]:
    """Return entropies of exact constructions, and the table of parameters that entropies need.

    Returns
    -------
    dict
        `values`: name to entropy and closed form, in nats; `parameters`: columns over `entropy`.
    """
    from qmlphys.nqs import constructions

    code = constructions.ToricCode(3)
    values: dict[str, tuple[float, float]] = {}
    psi = amplitudes_of(constructions.toric_code_rbm(3), code.n_sites)
    star = entanglement.entropy(psi, code.star(0, 0))
    values["star of the toric code, 3x3 torus"] = (star, 3 * math.log(2))
    n = 12
    for with_chain in (False, True):
        psi = amplitudes_of(constructions.maximal_entanglement_rbm(n, with_chain=with_chain), n)
        blocks = window_entropies(psi, range(n), lengths=range(1, n // 2 + 1))
        missing = (np.arange(1, n // 2 + 1) * math.log(2) - blocks).max()
        # What the chain's own CZs take away is no error: it is the trap, which has no closed form here.
        label = "largest lack of entropy of a block, paired sites" + (" with the chain's own CZs" if with_chain else "")
        values[label] = (float(missing), math.nan if with_chain else 0.0)
    psi = amplitudes_of(constructions.dicke_ansatz(n, n // 2), n)
    dicke = float(window_entropies(psi, [0], lengths=[n // 2])[0, 0])
    values[f"half of a Dicke state of {n} sites, half of them down"] = (
        dicke,
        entanglement.dicke_entropy(n, n // 2, n // 2),
    )
    table = constructions.parameters_for_entropy(math.log(2) * np.arange(1, 26))
    names = ("rbm", "dense_rbm", "mps")
    parameters = {"entropy": table["entropy"].values, **{name: table[name].values for name in names}}
    return {"values": {name: list(pair) for name, pair in values.items()}, "parameters": parameters}


def reference_values(n_sites: int, n_a: int, *, n_down: int | None = None, reach: int = 1) -> list[Row]:
    """Return entropies that are known in closed form, as rows of a table.

    Parameters
    ----------
    n_sites, n_a : int
        Sites, at least 2, and those of the block, 1 to n_sites - 1.
    n_down : int, optional
        Spins -1 of the Dicke state; half of the sites by default.
    reach : int
        Range of the Boltzmann machine whose ceiling is given.

    Returns
    -------
    list of Row
        Page's value, the largest possible, Dicke's exactly and asymptotically, GHZ, and the area-law ceiling.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Examples
    --------
    >>> [row.name for row in reference_values(22, 11)][:2]
    ['random states', 'largest possible']
    """
    n_sites = whole_number("n_sites", n_sites, least=2)
    n_a = whole_number("n_a", n_a, most=n_sites - 1)
    k = n_sites // 2 if n_down is None else whole_number("n_down", n_down, least=0, most=n_sites)
    rows = [
        Row("random states", entanglement.page_entropy(n_a, n_sites), unit="nats", source="Page, PRL 71, 1291 (1993)"),
        Row("largest possible", min(n_a, n_sites - n_a) * math.log(2), unit="nats", source="ln 2 a site"),
        Row(
            f"Dicke state, {k} spins down",
            entanglement.dicke_entropy(n_sites, k, n_a),
            unit="nats",
            source="hypergeometric; Latorre et al., PRA 71, 064101 (2005)",
        ),
    ]
    if 0 < k < n_sites:
        asymptote = entanglement.dicke_asymptote(n_sites, k, n_a)
        rows.append(Row("its asymptote", asymptote, unit="nats", source="ln(2 pi e p (1 - p) n_A n_B / n) / 2"))
    rows += [
        Row("GHZ state", math.log(2), unit="nats", source="two equal Schmidt values"),
        Row(
            f"ceiling of a Boltzmann machine of range {reach}",
            entanglement.area_law_ceiling(2, reach),
            unit="nats",
            source="2 |surface| R ln 2, a block with two ends; Deng, Li, Das Sarma, PRX 7, 021021 (2017)",
        ),
    ]
    return rows
