"""Pictures of entanglement and of wide networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from qmlphys import plotting
from qmlphys.plotting import _entanglement as pictures


def heights(line: Line2D) -> NDArray[np.float64]:
    return np.asarray(line.get_ydata(), dtype=np.float64)


def labels(ax: Axes) -> list[str]:
    return ax.get_legend_handles_labels()[1]


def test_curves_with_errors_and_references() -> None:
    ax = pictures.entropy_curves(
        {"tanh": ([1, 2, 3], [0.3, 0.5, 0.6], [0.1, 0.1, 0.2]), "x_$": ([1, 2], [0.2, 0.4], None)},
        references={"Page": ([1, 2, 3], [0.6, 1.2, 1.7])},
        title="n = 12",
    )
    drawn = [container for container in ax.containers if isinstance(container, ErrorbarContainer)]
    np.testing.assert_allclose(heights(drawn[0].lines[0]), [0.3, 0.5, 0.6])
    assert sorted(labels(ax)) == ["Page", "tanh", r"x_\$"]
    assert ax.get_ylim()[0] == 0
    assert ax.get_title("left") == "n = 12"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "3"]


def test_a_logarithm_is_a_straight_line_of_the_picture() -> None:
    n = np.array([8, 10, 12, 14, 16])
    ax = pictures.entropy_curves({"log": (n, 0.5 * np.log(n), None)}, log_x=True, ordered=True)
    points = ax.transData.transform(np.column_stack([n, 0.5 * np.log(n)]))
    slopes = np.diff(points[:, 1]) / np.diff(points[:, 0])
    np.testing.assert_allclose(slopes, slopes[0], rtol=1e-9)


def test_laws_are_drawn_and_the_verdict_is_strong() -> None:
    laws = {"area": (1.0, 0.0), "logarithmic": (0.1, 0.5), "volume": (0.7, 0.05)}
    ax = pictures.growth_laws([8, 16, 32], [1.1, 1.5, 1.8], [0.1, 0.1, 0.1], laws=laws, verdict="logarithmic")
    lines = {str(line.get_label()): line for line in ax.lines}
    chosen = lines[r"$a + b\,\ln\,n$, chosen"]
    np.testing.assert_allclose(heights(chosen), 0.1 + 0.5 * np.log(np.asarray(chosen.get_xdata(), dtype=np.float64)))
    assert chosen.get_linewidth() > lines[r"$a + b\,n$"].get_linewidth()
    assert "measured" in labels(ax)


def test_training_and_flow_share_their_times() -> None:
    ax = pictures.training_flow({"a": ([1, 10], [0.5, 0.1], [0.5, 0.09]), "b": ([1, 10], [0.4, 0.0], [0.4, 0.1])})
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert labels(ax) == ["a", "b", "linear flow"]
    assert np.isnan(heights(ax.lines[2])[1])  # a logarithm has no zero


def test_distances_with_their_slope() -> None:
    widths = np.array([1024, 4096])
    ax = pictures.kernel_distances(widths, 0.64 * widths**-0.5, [1e-3, 1e-3], slope=-0.5, prefactor=0.64)
    line = next(line for line in ax.lines if "propto" in str(line.get_label()))
    np.testing.assert_allclose(heights(line), 0.64 * np.asarray(line.get_xdata(), dtype=np.float64) ** -0.5)
    assert len(pictures.kernel_distances(widths, widths**-0.5).lines) == 1


def test_eigenvalues_fall_and_rounding_is_not_drawn() -> None:
    ax = pictures.kernel_spectra({"small": [1e-20, 2.0, 1.0], "large": [1.0, 1.0]})
    np.testing.assert_allclose(heights(ax.lines[0])[:2], [1.0, 0.5])
    assert np.isnan(heights(ax.lines[0])[2])


def test_parameters_grow_linearly_and_exponentially() -> None:
    from qmlphys.nqs import constructions

    table = constructions.parameters_for_entropy(np.log(2) * np.arange(1, 9))
    ax = pictures.parameter_counts(table)
    lines = {str(line.get_label()): heights(line) for line in ax.lines}
    np.testing.assert_allclose(lines["Boltzmann machine, sparse"], 3 * np.arange(1, 9))
    assert lines["matrix product state"][-1] > 2**16
    assert ax.get_yscale() == "log"


def test_pictures_are_drawn_on_given_axes_and_written(tmp_path: Path) -> None:
    _, axes = plotting.figure(1, 2)
    assert pictures.entropy_curves({"a": ([1, 2], [0.1, 0.2], None)}, ax=axes[0]) is axes[0]
    assert pictures.growth_laws([4, 6], [0.1, 0.2], laws={}, ax=axes[1]) is axes[1]
    plotting.save(axes[0], tmp_path / "both.svg")
    assert (tmp_path / "both.svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize(
    ("function", "arguments", "settings", "words"),
    [
        (pictures.entropy_curves, ({},), {}, "at least one curve"),
        (pictures.entropy_curves, ({"a": ([1, 2], [1.0], None)},), {}, "a row of 2 numbers"),
        (pictures.entropy_curves, ({"a": ([], [], None)},), {}, "a row of numbers"),
        (pictures.growth_laws, ([4, 6], [1.0]), {"laws": {}}, "`entropies` must be a row of 2"),
        (pictures.growth_laws, ([4], [1.0]), {"laws": {"cubic": (0.0, 0.0)}}, "must name laws"),
        (pictures.training_flow, ({},), {}, "at least one run"),
        (pictures.kernel_distances, ([1, 0], [1.0, 1.0]), {}, "`widths` must be positive"),
        (pictures.kernel_spectra, ({},), {}, "at least one spectrum"),
        (pictures.kernel_spectra, ({"a": [0.0]},), {}, "positive largest"),
        (pictures.parameter_counts, (xr.Dataset({"rbm": ("entropy", [1.0])}),), {}, "must hold dense_rbm"),
    ],
)
def test_pictures_refuse_what_they_cannot_draw(
    function: Any, arguments: tuple[Any, ...], settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        function(*arguments, **settings)
