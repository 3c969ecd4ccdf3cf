"""Entanglement of neural states: measured, judged, and drawn."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from qmlphys import entanglement
from qmlphys.nqs import ensembles
from qmlphys.workflows import _entanglement_steps, _entanglement_windows
from qmlphys.workflows import _entanglement_wide as wide
from qmlphys.workflows import entanglement_scaling as workflow
from qmlphys.workflows._entanglement_steps import Journey, exact_states
from qmlphys.workflows.runs import RunFolder, Steps

LN2 = math.log(2)


def random_state(n_sites: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    return rng.standard_normal(2**n_sites) + 1j * rng.standard_normal(2**n_sites)


def ghz(n_sites: int, rng: np.random.Generator) -> NDArray[np.float64]:
    vector = np.zeros(2**n_sites)
    vector[[0, -1]] = 1.0
    return vector


def half_dicke(n_sites: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.array([float(i.bit_count() == n_sites // 2) for i in range(2**n_sites)])


class Line(torch.nn.Module):
    """log psi of one nonlinearity."""

    def __init__(self, n_sites: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.n_sites = n_sites
        self.weight = torch.nn.Parameter(torch.from_numpy(rng.standard_normal(n_sites)))

    def log_psi(self, spins: torch.Tensor) -> torch.Tensor:
        return torch.tanh(spins @ self.weight)

    forward = log_psi


@pytest.mark.parametrize("order", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("kind", ["complex", "real"])
@pytest.mark.parametrize(("n_sites", "starts"), [(9, [0, 4, 7]), (8, [1, 2, 5, 6, 1])])  # halves of 8 come twice
def test_windows_are_the_entropies_of_their_sites(n_sites: int, starts: list[int], kind: str, order: float) -> None:
    states = random_state(n_sites, np.random.default_rng(0)) * 1e200
    psi: NDArray[Any] = states if kind == "complex" else states.real
    lengths = [4, 1, 3]
    found = workflow.window_entropies(psi, starts, lengths=lengths, order=order)
    expected = [
        [entanglement.entropy(psi, [(start + k) % n_sites for k in range(length)], order=order) for length in lengths]
        for start in starts
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    assert found.std() > 0.1  # windows differ


@pytest.mark.parametrize(("n_sites", "n_terms", "few"), [(16, 20, 64), (16, 200, None), (20, 120, 256)])
def test_few_schmidt_values_are_found_from_few_rows(n_sites: int, n_terms: int, few: int | None) -> None:
    rng = np.random.default_rng(n_terms)
    half = n_sites // 2
    # Schmidt values of the first half are those of the small matrix: its sides are isometries.
    left, right = (np.linalg.qr(rng.standard_normal((1 << half, n_terms)))[0] for _ in range(2))
    weights = np.exp(-0.15 * np.arange(n_terms))
    psi = (right @ np.diag(weights) @ left.T).ravel()
    compressed = _entanglement_windows._compressed(psi.reshape(-1, 1 << half))
    assert (None if compressed is None else len(compressed)) == few
    p = weights**2 / (weights**2).sum()
    (found,) = workflow.window_entropies(psi, [0], lengths=[half, half - 1, 2])
    assert found[0] == pytest.approx(-(p * np.log(p)).sum(), rel=1e-12)
    assert found[2] == pytest.approx(entanglement.entropy(psi, [0, 1]), rel=1e-12)
    if n_sites == 16:
        assert found[1] == pytest.approx(entanglement.entropy(psi, range(half - 1)), rel=1e-12)


@pytest.mark.parametrize(
    ("vector", "settings", "words"),
    [
        (np.ones(6), {"lengths": [1]}, "2\\^n amplitudes"),
        (np.zeros(8), {"lengths": [1]}, "not zero"),
        (np.full(8, np.nan), {"lengths": [1]}, "finite"),
        (np.ones(8), {"lengths": [2]}, "`lengths` must be between 1 and 1"),
        (np.ones(8), {"lengths": []}, "at least one length"),
        (np.ones(8), {"lengths": [1], "order": 0.5}, "`order` must be at least 1"),
    ],
)
def test_windows_refuse_what_has_none(vector: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        workflow.window_entropies(vector, [0], **settings)
    with pytest.raises(ValueError, match="`starts`"):
        workflow.window_entropies(np.ones(8), [3], lengths=[1])


def test_random_states_have_the_entropy_of_page_and_a_volume_law() -> None:
    found = workflow.measure(random_state, (4, 6, 8, 10), n_seeds=40, n_windows=3, rng=3)
    table = found.entropies
    pull = ((table["mean"] - table["page"]) / table["error"]).values
    pull = pull[np.isfinite(pull)]
    assert len(pull) == 2 + 3 + 4 + 5
    assert np.abs(pull).max() < 5
    # Source: Page, Phys. Rev. Lett. 71, 1291 (1993): for equal halves of dimension m, ln m - 1/2 at large m.
    assert float(table["mean"].sel(size=10, length=5)) == pytest.approx(5 * LN2 - 0.5, abs=0.02)
    assert found.growth is not None
    assert found.growth.verdict == "volume"
    assert found.growth.rejects_logarithm
    assert found.features == {}


def test_laws_of_known_states_are_recognised() -> None:
    flat = workflow.measure(ghz, (4, 6, 8, 10), n_seeds=1)
    np.testing.assert_allclose(flat.entropies["mean"].sel(size=10), LN2, rtol=1e-12)
    assert flat.growth is not None
    assert flat.growth.verdict == "area"
    logarithm = workflow.measure(half_dicke, (4, 6, 8, 10, 12, 14), n_seeds=2, name="Dicke")
    exact = [entanglement.dicke_entropy(n, n // 2, n // 2) for n in (4, 6, 8, 10, 12, 14)]
    np.testing.assert_allclose(logarithm.at_block()[1], exact, rtol=1e-11)
    assert logarithm.growth is not None
    assert logarithm.growth.verdict == "logarithmic"
    # Half a logarithm: Latorre, Orus, Rico, Vidal, Phys. Rev. A 71, 064101 (2005).
    # At these n its local slope is still smaller, by (12 n)^-1 and the like.
    assert 0.4 < logarithm.growth.slope < 0.5


def test_networks_are_measured_and_their_features_counted() -> None:
    told: list[str] = []
    found = workflow.measure(Line, (4, 6, 8, 10), n_seeds=3, block=2, name="line", tell=told.append)
    assert [features.n_nonlinearities for features in found.features.values()] == [1] * 4
    assert [features.rank for features in found.features.values()] == [1] * 4
    assert told[0] == "line: 4 sites, 3 states"
    network = Line(6, np.random.default_rng(np.random.SeedSequence([0, 6, 0])))
    psi = ensembles.amplitudes(network, 6)
    alone = workflow.measure(Line, (6,), n_seeds=1, n_windows=1, count_features=False)
    expected = entanglement.entropy(psi, range(3))
    assert float(alone.entropies["mean"].sel(size=6, length=3)) == pytest.approx(expected, rel=1e-10)
    assert (alone.growth, alone.features) == (None, {})
    assert "Fewer than four sizes" in alone.sentence
    left, right = found.figure.axes
    assert len(left.get_legend_handles_labels()[1]) == 5
    assert "|A| = 2" in right.get_title("left")


@pytest.mark.parametrize(
    ("make", "sizes", "settings", "error", "words"),
    [
        (3, (4,), {}, TypeError, "must be a callable"),
        (random_state, (), {}, ValueError, "growing numbers of sites"),
        (random_state, (6, 4), {}, ValueError, "growing numbers of sites"),
        (random_state, (4, 26), {}, ValueError, "`sizes` must be between 2 and 24"),
        (random_state, (4, 6), {"block": 3}, ValueError, "`block` must be between 1 and 2"),
        (random_state, (4, 6), {"block": 0.7}, ValueError, "at most 0.5"),
        (random_state, (4, 6), {"block": "half"}, TypeError, "must be a number"),
        (random_state, (4, 6), {"n_seeds": 0}, ValueError, "`n_seeds`"),
        (lambda n, rng: np.ones(3), (4,), {}, ValueError, "16 amplitudes for 4 sites"),
        (lambda n, rng: None, (4,), {}, TypeError, "must return a network"),
    ],
)
def test_measure_says_what_is_wrong(
    make: Any, sizes: Any, settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        workflow.measure(make, sizes, **settings)


@pytest.mark.parametrize(
    ("name", "k", "rank"),
    # psi of the MLP: 3 units of the first layer are functions of the spins, 6 in all; of cosnet, H in each part.
    [("tanh", 1, 1), ("sin-i", 1, 1), ("tanh-4", 4, 4), ("mlp-tanh", 6, 3), ("mlp-sin-2", 4, 2), ("cosnet-3", 6, 6)],
)
def test_nonlinearities_of_built_in_networks(name: str, k: int, rank: int) -> None:
    found = workflow.count_features(name, n_sites=10)
    assert (found.n_nonlinearities, found.rank) == (k, rank)
    assert not found.bounds_nothing
    assert found.largest_change < 1e-10


def test_the_bound_says_nothing_of_a_transformer() -> None:
    assert workflow.count_features("transformer", n_sites=6).bounds_nothing
    assert workflow.count_features("cosnet-20", n_sites=10).bounds_nothing
    assert set(workflow.network_names()) >= {"tanh", "transformer", "cosnet"}


@pytest.mark.parametrize("name", ["nothing", "cosnet-", "cosnet-0", "gelu-x", "random-states"])
def test_names_that_are_no_network(name: str) -> None:
    with pytest.raises(ValueError, match="`name` must be"):
        workflow.count_features(name, n_sites=8)


def test_references_are_those_of_the_literature() -> None:
    rows = {row.name: row for row in workflow.reference_values(2, 1, n_down=1)}
    assert rows["random states"].value == pytest.approx(1 / 3)
    assert rows["Dicke state, 1 spins down"].value == pytest.approx(LN2)
    assert rows["ceiling of a Boltzmann machine of range 1"].value == pytest.approx(4 * LN2)
    assert "its asymptote" not in {row.name for row in workflow.reference_values(6, 2, n_down=0)}
    with pytest.raises(ValueError, match="`n_a`"):
        workflow.reference_values(6, 6)


def test_exact_constructions_have_their_entropies() -> None:
    found = exact_states()["values"]
    assert found["star of the toric code, 3x3 torus"][0] == pytest.approx(3 * LN2, abs=1e-12)
    lack, trap = (value for name, (value, _) in found.items() if name.startswith("largest lack"))
    assert abs(lack) < 1e-12
    assert trap > 0.5 * LN2
    for value, exact in found.values():
        assert math.isnan(exact) or value == pytest.approx(exact, abs=1e-10)


def test_purities_of_wide_networks_follow_wick() -> None:
    part = workflow.InfiniteWidthConfig(n_sites=6, widths=(1000,), n_networks=200)
    for width in (1000, None):
        found = wide.sampled_purity(part, width, seed=2)
        pull = (np.array(found["annealed"]) - found["exact"]) / np.array(found["annealed_error"])
        assert np.abs(pull).max() < 5
        # Normalised states: the ratio's fluctuations lower the purity, an effect that must be seen.
        assert found["mean"][-1] < found["exact"][-1] - 3 * found["mean_error"][-1]
    # (r^n_A + r^(n - n_A)) / (1 + r^n): Luo and Halverson, arXiv:2112.00723, and Wick's theorem.
    r = (1 + math.exp(-4 * 2.0**2 / 8)) / 2
    assert wide.closed_form(8, 4, 2.0) == pytest.approx(-math.log(2 * r**4 / (1 + r**8)), rel=1e-12)
    assert wide.closed_form(4096, 2048, 1.0) == pytest.approx(math.log(math.cosh(1.0)), abs=1e-3)


def small_tangent(**changes: Any) -> workflow.TangentConfig:
    settings: dict[str, Any] = {
        "n_sites": 6, "hubbard": (1, 2), "width": 2048, "widths": (256, 512, 1024, 2048), "n_networks": 6,
        "kernel_sites": 5, "stop_loss": 1e-7,
    }  # fmt: skip
    return workflow.TangentConfig(**(settings | changes))


def test_training_follows_the_linear_flow() -> None:
    part = small_tangent()
    for name in wide.targets(part):
        found = wide.trained(part, name, seed=1)
        assert found["converged"]
        assert found["infidelity"] < 1e-6
        assert found["drift"] < 0.05
        assert found["deviation"] < 0.05
    # The dimer at half filling: U/2 - sqrt(U^2/4 + 4 t^2).
    assert wide.target_of(part, "hubbard")[2] == pytest.approx(2 - math.sqrt(8), rel=1e-12)


def test_kernels_approach_the_limit_and_a_small_sigma_is_hopeless() -> None:
    part = small_tangent()
    found = wide.kernel_distances(part, seed=3)
    assert found["slope"] == pytest.approx(-0.5, abs=0.1)
    assert found["mean"] == sorted(found["mean"], reverse=True)
    slow, middle, quick = wide.convergence_rates(part)["times"]
    assert slow > 1e3 * middle > 1e6 * quick
    known = wide.conditioned(part, seed=1)
    for values in known["infidelities"]:
        assert values[0] > 0.1
        assert values[-1] < 1e-10


def tiny(**changes: Any) -> workflow.BatteryConfig:
    settings: dict[str, Any] = {
        "n_sites": 8, "sizes": (4, 6, 8, 10), "transformer_sizes": (6,), "n_seeds": 2, "n_windows": 2,
        "n_growth_seeds": 12, "max_length": 4, "fixed_length": 2, "n_nonlinearities": (1, 3), "mlp_widths": (1, 2),
        "hidden": (1, 50), "tangent": small_tangent(width=512, n_networks=2, stop_loss=1e-5),
        "infinite_width": workflow.InfiniteWidthConfig(n_sites=6, widths=(100,), n_networks=20),
    }  # fmt: skip
    return workflow.BatteryConfig(**(settings | changes))


def test_the_battery_draws_every_figure_and_resumes(tmp_path: Path) -> None:
    told: list[str] = []
    first = workflow.run(tiny(), out=tmp_path / "run", tell=told.append)
    names = {
        "single", "single-i", "networks", "growth-half", "growth-fixed", "laws", "nonlinearities", "cosnet",
        "tanh-network", "width", "purity", "saturation", "training", "kernels", "rates", "conditioned", "parameters",
    }  # fmt: skip
    assert {path.stem for path in (tmp_path / "run" / "figures").iterdir()} == {f"entanglement-{n}" for n in names}
    assert any("one tanh, a = 1: 8 sites" in text for text in told)
    rows = {row.name: row for row in first.rows}
    control = rows["logarithm rejected, random states (control), half of the sites"]
    assert (control.value, control.exact) == (1.0, 1.0)
    assert rows["nonlinearities k, MLP 3x3, tanh"].value == 6
    assert rows["time"].value > 0
    # From one hidden unit to many the entropy approaches Page's value; one stays far below.
    page = entanglement.page_entropy(4, 8)
    few, many = (rows[f"entropy of 4 sites, cosine network, H = {h}"].value for h in (1, 50))
    assert few < 0.6 * page < 0.9 * page < many < page
    told.clear()
    folder = RunFolder(tmp_path / "run", workflow="entanglement")
    again = Journey(tiny(), folder, tell=told.append)
    tables = again.single()
    for step in (again.networks, again.growth, again.nonlinearities, again.wide, again.infinite_width, again.tangent):
        step()
    assert told == []
    assert folder.n_resumed > 40
    assert float(tables["tanh"]["mean"].sel(size=8, length=4)) == rows["entropy of 4 sites, one tanh, a = 1"].value
    Journey(tiny(seed=2), folder, tell=told.append).single()
    assert len(told) == 8  # other settings are computed
    written = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert len(written) == len(first.rows)
    assert first.report.exists()


def test_large_states_are_kept_in_groups_and_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Journey(tiny(n_seeds=6), RunFolder(tmp_path / "whole", workflow="entanglement"))
    expected = whole.entropies("sin-i", 8, [1, 4])
    monkeypatch.setattr(_entanglement_steps, "_QUICK_SITES", 7)
    told: list[str] = []
    parts = Journey(tiny(n_seeds=6), RunFolder(tmp_path / "parts", workflow="entanglement"), tell=told.append)
    np.testing.assert_array_equal(parts.entropies("sin-i", 8, [1, 4]), expected)
    assert [text.rsplit(", ", 1)[1] for text in told] == ["states 1 to 4 of 6", "states 5 to 6 of 6"]
    assert expected.shape == (6, 2, 2)
    assert len(np.unique(expected[:, 0, 1])) == 6  # states are independent of each other


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_sites": 25}, "`n_sites`"),
        ({"sizes": (4, 6)}, "`sizes` must hold at least 4"),
        ({"sizes": (4, 6, 8, 9)}, "`sizes` must be even"),
        ({"transformer_sizes": (12,)}, "`transformer_sizes` must be 6"),
        ({"n_seeds": 1}, "`n_seeds`"),
        ({"max_length": 5}, "`max_length`"),
        ({"fixed_length": 3}, "`fixed_length`"),
        ({"seed": -1}, "`seed`"),
        ({"hidden": (5, 1)}, "`hidden`"),
    ],
)
def test_settings_that_do_not_fit(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiny(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hubbard": (1, 3)}, "even number"),
        ({"hubbard": (2,)}, "rows and columns"),
        ({"widths": (4, 8)}, "at least 3"),
        ({"stop_loss": 0.0}, "`stop_loss` must be positive"),
    ],
)
def test_tangent_settings_that_do_not_fit(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        small_tangent(**changes)
    with pytest.raises(ValueError, match="`n_networks`"):
        workflow.InfiniteWidthConfig(n_networks=2)


def test_the_demonstration_has_one_panel(tmp_path: Path) -> None:
    config = workflow.OverviewConfig(
        n_sites=8,
        sizes=(4, 6, 8, 10),
        n_seeds=4,
        n_windows=2,
        n_growth_seeds=30,
        hidden=(1, 60),
        n_networks=20,
        width=50,
    )
    steps = Steps(workflow.N_STEPS, shown=False)
    found = workflow.panel(config, RunFolder(tmp_path, workflow="demo"), steps=steps)
    assert steps.n_begun == workflow.N_STEPS
    assert set(found.figures) == {"entanglement-overview"}
    rows = {row.name: row for row in found.rows}
    star = next(row for name, row in rows.items() if "star" in name)
    assert star.value == pytest.approx(3 * LN2, abs=1e-12)
    assert rows["logarithm rejected, random states (control), half of the sites"].value == 1
    assert rows["weight of ln n against n, random states (control), half of the sites"].value < 1e-6
    page = rows["entropy of half of 10 sites, random states"]
    assert page.error is not None
    assert page.exact is not None
    assert abs(page.value - page.exact) < 5 * page.error
    assert workflow.demo_config(seed=3).battery.seed == 3


@pytest.mark.slow
def test_the_numbers_of_the_theory_are_reached() -> None:
    # Widths, targets and tolerances of the comparison with Luo and Halverson, arXiv:2112.00723.
    part = workflow.TangentConfig()
    for name in wide.targets(part):
        found = wide.trained(part, name, seed=1)
        assert found["drift"] <= 0.02
        assert found["deviation"] <= 0.02
        assert found["infidelity"] <= 1e-8
    assert wide.kernel_distances(part, seed=1)["slope"] == pytest.approx(-0.5, abs=0.1)
