"""How much entanglement a neural quantum state can hold: entropies of any ansatz, and the figures of the theory.

`measure` takes an ansatz of the user's own and says how its entropy grows. `run` draws all figures: random networks
against the bound by their nonlinearities, growing and infinite width, tangent kernels and exact constructions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike

from qmlphys import entanglement
from qmlphys.plotting._entanglement import entropy_curves
from qmlphys.report import Row
from qmlphys.workflows import _entanglement_limits as limits
from qmlphys.workflows import _entanglement_output as output
from qmlphys.workflows._entanglement_config import BatteryConfig, InfiniteWidthConfig, TangentConfig
from qmlphys.workflows._entanglement_measure import Measured, at_block, fit_at, measure
from qmlphys.workflows._entanglement_states import CONTROL, maker_of, network_names
from qmlphys.workflows._entanglement_steps import Journey, count_features, reference_values
from qmlphys.workflows._entanglement_windows import window_entropies
from qmlphys.workflows.outcome import Outcome
from qmlphys.workflows.runs import Panel, RunFolder, Steps

__all__ = [
    "N_BATTERY_STEPS",
    "N_STEPS",
    "BatteryConfig",
    "InfiniteWidthConfig",
    "Measured",
    "OverviewConfig",
    "TangentConfig",
    "count_features",
    "demo_config",
    "maker_of",
    "measure",
    "network_names",
    "panel",
    "reference_values",
    "run",
    "window_entropies",
]

_TITLE = "How much entanglement a neural quantum state can hold"
_SUMMARY = (
    "Entropies in nats of neighbouring sites of a ring, of random networks with few and with many nonlinearities, at "
    "infinite width and beside tangent kernels, and of states that networks hold exactly."
)

N_BATTERY_STEPS = 7
"""How many steps a user of `run` is told of."""

N_STEPS = 2
"""How many steps a user of `panel` is told of."""


@dataclass(frozen=True)
class OverviewConfig:
    """Settings of the short form in the demonstration.

    Parameters
    ----------
    n_sites : int
        Sites of the figure against |A|, 4 to 24.
    sizes : tuple of int
        Even numbers of sites of the verdicts, growing, at least four.
    n_seeds, n_windows : int
        States of each kind, and cyclic windows of each.
    n_growth_seeds : int
        States of each kind and size that the verdicts rest on.
    hidden : tuple of int
        Hidden units of the cosine networks, growing.
    n_networks : int
        Wide networks whose purity is compared with the closed form.
    width : int
        Their hidden units.
    seed : int
        Where all randomness starts.

    Examples
    --------
    >>> OverviewConfig(n_sites=10).battery.n_sites
    10
    """

    n_sites: int = 12
    sizes: tuple[int, ...] = (6, 8, 10, 12, 14)
    n_seeds: int = 12
    n_windows: int = 4
    n_growth_seeds: int = 120
    hidden: tuple[int, ...] = (1, 5, 100)
    n_networks: int = 200
    width: int = 1000
    seed: int = 1

    def __post_init__(self) -> None:
        self.battery  # noqa: B018 - refuses numbers now

    @property
    def battery(self) -> BatteryConfig:
        """The same as settings of the battery, whose steps do the work."""
        return BatteryConfig(
            n_sites=self.n_sites,
            sizes=self.sizes,
            transformer_sizes=(6,),
            n_seeds=self.n_seeds,
            n_windows=self.n_windows,
            n_growth_seeds=self.n_growth_seeds,
            max_length=self.n_sites // 2,
            fixed_length=2,
            hidden=self.hidden,
            infinite_width=InfiniteWidthConfig(n_sites=8, widths=(self.width,), n_networks=self.n_networks),
            tangent=None,
            seed=self.seed,
        )


def demo_config(*, seed: int = 1) -> OverviewConfig:
    """Return the settings of the demonstration: seconds.

    Parameters
    ----------
    seed : int
        Where all randomness starts.

    Returns
    -------
    OverviewConfig
        For `panel`.

    Examples
    --------
    >>> demo_config(seed=4).seed
    4
    """
    return OverviewConfig(seed=seed)


def panel(config: OverviewConfig, folder: RunFolder, *, steps: Steps) -> Panel:
    """Show in one picture and a few numbers how entanglement grows with the number of nonlinearities.

    Parameters
    ----------
    config : OverviewConfig
        Settings.
    folder : RunFolder
        Where finished steps are kept.
    steps : Steps
        Told of each step as it begins.

    Returns
    -------
    Panel
        Numbers and pictures.
    """
    battery = config.battery
    journey = Journey(battery, folder)
    steps.begin(f"entropies of random networks of {', '.join(map(str, config.hidden))} nonlinearities")
    names = ["tanh", *(f"cosnet-{hidden}" for hidden in config.hidden)]
    tables = journey.against_length(names, n_sites=config.n_sites, longest=config.n_sites // 2)
    rows = _overview_growth(battery, journey)
    steps.begin("entropies of exact constructions and of infinite width")
    for name, (value, exact) in list(journey.exact_states()["values"].items())[:2]:
        label = f"entropy of a {name}" if name.startswith("star") else name
        rows.append(Row(label, value, None, exact, "nats", "Boltzmann machine with weights known in closed form"))
    part = battery.infinite_width
    if part is not None:
        found = journey.purity(part, config.width)
        text = f"{config.n_networks} cosine networks of width {config.width}, n = {part.n_sites}; exact: infinite width"
        length = found["lengths"][-1]
        row = Row(
            f"annealed purity of {length} sites", found["annealed"][-1], found["annealed_error"][-1],
            found["exact"][-1], "", text,
        )  # fmt: skip
        rows.append(row)
    labels = {"tanh": "one tanh"} | {f"cosnet-{hidden}": f"cosine network, H = {hidden}" for hidden in config.hidden}
    ax = entropy_curves(
        {labels[name]: output.curve_of(table) for name, table in tables.items()},
        references={"random states (Page)": output.page_curve(tables["tanh"])},
        title=f"n = {config.n_sites}",
    )
    caption = (
        f"Entropy of |A| neighbouring sites of random networks of {config.n_sites} sites, {config.n_seeds} of each: "
        "one nonlinearity holds little, many reach what random states have."
    )
    return Panel(_TITLE, _SUMMARY, rows, {"entanglement-overview": (output.figure_of(ax), caption)})


def _overview_growth(config: BatteryConfig, journey: Journey) -> list[Row]:
    """Judge how one nonlinearity and random states grow."""
    rows: list[Row] = []
    for name in ("tanh", CONTROL):
        found = journey.growth_of(name, config.sizes)
        sizes, means, errors = at_block(found, 0.5)
        rows += output.growth_rows(name, "half of the sites", fit_at(sizes, means, errors), sizes)
        if name == CONTROL:
            value = entanglement.page_entropy(sizes[-1] // 2, sizes[-1])
            label = f"entropy of half of {sizes[-1]} sites, random states"
            rows.append(Row(label, means[-1], errors[-1], value, "nats", "exact: Page, PRL 71, 1291 (1993)"))
    return rows


def run(
    config: BatteryConfig | None = None,
    *,
    out: str | PathLike[str] = "runs/entanglement",
    progress: bool = False,
    tell: Callable[[str], None] | None = None,
    fresh: bool = False,
) -> Outcome:
    """Compute and draw every figure, and write the report.

    Parameters
    ----------
    config : BatteryConfig, optional
        Settings; the default takes minutes, `BatteryConfig.full` hours.
    out : path-like
        Run folder. Steps that were finished in it with the same settings are read instead of computed.
    progress : bool
        Tell on standard error which step is under way.
    tell : callable, optional
        Told of each kind of states as it begins.
    fresh : bool
        Compute every step again.

    Returns
    -------
    Outcome
        Every number, and where the report is.

    Raises
    ------
    ValueError
        If the settings do not fit.
    OSError
        If the folder cannot be written.
    """
    started = time.perf_counter()
    config = config or BatteryConfig()
    folder = RunFolder(out, workflow="entanglement", fresh=fresh)
    steps = Steps(N_BATTERY_STEPS, shown=progress)
    journey = Journey(config, folder, tell=tell)
    steps.begin(f"states of one nonlinearity, {config.n_sites} sites")
    panels = [output.single_panel(config, journey.single())]
    steps.begin("perceptrons and transformers: growth with sites and with nonlinearities")
    networks, growth, nonlinearities = journey.networks(), journey.growth(), journey.nonlinearities()
    counted = ("tanh", "sin-i", "mlp-tanh", "mlp-sin", "transformer", f"cosnet-{config.hidden[-1]}")
    features = {name: journey.features(name) for name in counted}
    panels.append(output.growth_panel(config, networks, growth, nonlinearities, features))
    steps.begin(f"networks of up to {config.hidden[-1]} hidden units")
    panels.append(output.wide_panel(config, journey.wide()))
    steps.begin("infinite width: purities beside Wick's theorem")
    if config.infinite_width is not None:
        panels.append(limits.infinite_panel(config, journey.infinite_width()))
    steps.begin("tangent kernels: training beside the linear flow")
    if config.tangent is not None:
        panels.append(limits.tangent_panel(config, journey.tangent()))
    steps.begin("exact constructions and what they cost")
    panels.append(output.exact_panel(journey.exact_states()))
    steps.begin("the report")
    seconds = time.perf_counter() - started
    source = f"wall clock, this start; {folder.n_resumed} steps taken up from before"
    panels[-1] = replace(panels[-1], rows=[*panels[-1].rows, Row("time", seconds, unit="s", source=source)])
    report = folder.write_panels(config, panels, title=_TITLE, summary=_SUMMARY)
    rows = [row for found in panels for row in found.rows]
    return Outcome(_TITLE, rows, report, time.perf_counter() - started, folder.n_resumed)
