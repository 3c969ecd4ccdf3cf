"""Pictures show the numbers they are given; files are the same every time; the caller's style is left alone."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from qiskit import QuantumCircuit

from qmlphys import lattices, plotting, snapshots
from qmlphys.stats import Estimate


def snapshots_on(lattice: lattices.Lattice, n_parameters: int = 3) -> xr.Dataset:
    rng = np.random.default_rng(2)
    spins = rng.choice(np.array([-1, 1], dtype=np.int8), (n_parameters, 2, lattice.size, lattice.n_sites))
    return snapshots.dataset(
        spins,
        np.linspace(1, 3, n_parameters),
        name="temperature",
        units="J/k_B",
        source="montecarlo",
        model="Ising(coupling=1.0, field=0.0)",
        lattice=lattice.label,
        seed=2,
    )


@pytest.fixture
def two_sizes() -> dict[str, xr.Dataset]:
    temperature = np.linspace(2.0, 2.6, 7)
    return {
        f"L = {size}": plotting.curve(
            temperature,
            1 / (1 + np.exp((temperature - 2.27) * size)),
            np.full(7, 0.01),
            name="temperature",
            units="J/k_B",
        )
        for size in (8, 16)
    }


def test_snapshot_grid_shows_the_spins() -> None:
    ds = snapshots_on(lattices.square(5))
    ax = plotting.snapshot_grid(ds, n_values=2, chain=1, draw=0)
    first, last = (image.get_array() for image in ax.images)
    np.testing.assert_array_equal(first, ds["spins"].values[0, 1, 0].reshape(5, 5))
    np.testing.assert_array_equal(last, ds["spins"].values[2, 1, 0].reshape(5, 5))
    assert [text.get_text() for text in ax.texts] == ["$T$ = 1.00", "$T$ = 3.00"]


@pytest.mark.parametrize("lattice", [lattices.triangular(4), lattices.honeycomb(3)], ids=str)
def test_snapshot_grid_colours_every_site(lattice: lattices.Lattice) -> None:
    ds = snapshots_on(lattice)
    ax = plotting.snapshot_grid(ds)
    assert len(ax.collections) == 3
    colours = ax.collections[1].get_facecolors()
    up = ds["spins"].values[1, 0, -1] > 0
    assert len(colours) == lattice.n_sites
    assert len({tuple(c) for c in colours[up]}) == len({tuple(c) for c in colours[~up]}) == 1
    assert tuple(colours[up][0]) != tuple(colours[~up][0])
    # Each site's cell lies where the site does: neighbours in the lattice are neighbours in the picture.
    centres = np.array([path.vertices[:-1].mean(axis=0) for path in ax.collections[0].get_paths()])
    inner = lattices.from_label(lattice.label.replace(")", ", periodic=False)"))
    lengths = np.linalg.norm(centres[inner.edges[:, 0]] - centres[inner.edges[:, 1]], axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-9)  # the drawing's own arithmetic


def test_snapshot_grid_of_a_chain_stacks_draws() -> None:
    ds = snapshots_on(lattices.chain(6))
    ax = plotting.snapshot_grid(ds, n_values=1)
    np.testing.assert_array_equal(ax.images[0].get_array(), ds["spins"].values[0, 0])


def test_snapshot_grid_refuses_what_it_cannot_draw() -> None:
    with pytest.raises(ValueError, match="flat lattice"):
        plotting.snapshot_grid(snapshots_on(lattices.cubic(3)))
    with pytest.raises(ValueError, match="`chain` must be one of 2, but it is 5"):
        plotting.snapshot_grid(snapshots_on(lattices.square(3)), chain=5)


def test_curves_show_values_errors_and_the_result(two_sizes: dict[str, xr.Dataset]) -> None:
    ax = plotting.network_output(
        two_sizes, critical_point=Estimate(2.27, 0.02), exact=2.269185, trained_on=[(2.0, 2.1), (2.5, 2.6)]
    )
    lines = {container.get_label(): container for container in ax.containers}
    assert set(lines) == {"L = 8", "L = 16"}
    np.testing.assert_array_equal(lines["L = 16"][0].get_ydata(), two_sizes["L = 16"]["mean"])
    segments = lines["L = 8"][2][0].get_segments()
    np.testing.assert_allclose([s[1][1] - s[0][1] for s in segments], 0.02, rtol=1e-9)  # difference of float64 ends
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    np.testing.assert_allclose([band.x0, band.x1], [2.25, 2.29], rtol=1e-9)  # there and back through pixels
    legend = ax.get_legend()
    assert legend is not None
    assert [t.get_text() for t in legend.get_texts()] == ["L = 8", "L = 16", "2.27(2)", "exact 2.26918", "labels seen"]


def test_curves_without_a_result_or_errors() -> None:
    ax = plotting.curves(
        {"a": plotting.curve([3, 1, 2], [0.3, 0.1, 0.2])}, y_label="y", critical_point=Estimate(np.nan, 1)
    )
    assert ax.containers[0][0].get_xdata().tolist() == [1, 2, 3]
    assert not ax.patches


def test_collapse_scales_the_temperature(two_sizes: dict[str, xr.Dataset]) -> None:
    ax = plotting.data_collapse(two_sizes, [8, 16], critical_point=2.27, exponent=0.5, y_label="R")
    np.testing.assert_allclose(ax.containers[1][0].get_xdata(), (np.linspace(2, 2.6, 7) - 2.27) * 16**2, rtol=1e-12)


def test_indicator_names_what_is_varied(two_sizes: dict[str, xr.Dataset]) -> None:
    ax = plotting.indicator(two_sizes)
    assert ax.get_xlabel().startswith("assumed critical temperature")


def test_plane_draws_a_bounded_selection() -> None:
    rng = np.random.default_rng(0)
    points, temperature = rng.normal(size=(9000, 3)), np.repeat(np.arange(9.0), 1000)
    ax = plotting.plane(points, temperature, explained_variance_ratio=np.array([0.6, 0.25, 0.1]))
    dots = ax.collections[0]
    assert len(dots.get_offsets()) == 4000
    values = dots.get_array()
    assert values is not None
    assert np.bincount(np.asarray(values, dtype=int)).min() > 400
    assert ax.get_ylabel() == "second component (25 %)"


def test_accuracies_are_percent() -> None:
    ax = plotting.accuracies(
        [8, 16], {"cnn": [0.9, 0.95]}, errors={"cnn": [0.01, 0.02]}, limits={"Bayes limit": [0.92, 0.96]}
    )
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [92, 96], rtol=1e-12)
    np.testing.assert_allclose(ax.containers[0][0].get_ydata(), [90, 95], rtol=1e-12)


def test_estimates_may_be_shown_relative_to_their_own_exact_values() -> None:
    found = {"square": Estimate(2.0, 0.02), "triangular": Estimate(4.1, 0.04)}
    ax = plotting.estimates(found, exact={"square": 2.0, "triangular": 4.0})
    drawn = [float(np.asarray(container[0].get_xdata())[0]) for container in ax.containers]
    np.testing.assert_allclose(drawn, [0.0, 2.5], atol=1e-12)
    segment = ax.containers[1][2][0].get_segments()[0]
    np.testing.assert_allclose(segment[:, 0], [1.5, 3.5], rtol=1e-9)  # sums of rounded numbers


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plotting.curve([1, 2], [1]), "one length"),
        (lambda: plotting.curves({}, y_label="y"), "at least one curve"),
        (lambda: plotting.plane([[1.0], [2.0]], [1, 2]), "n, 2 or more"),
        (lambda: plotting.accuracies([1], {"a": [1, 2]}), "one size a number of 'a'"),
        (lambda: plotting.estimates({}), "at least one estimate"),
        (lambda: plotting.data_collapse({}, [1], critical_point=1, exponent=1, y_label=""), "one size a curve"),
        (
            lambda: plotting.data_collapse(
                {"a": plotting.curve([1], [1])}, [1], critical_point=1, exponent=0, y_label=""
            ),
            "must be > 0",
        ),
        (lambda: plotting.save(Figure(), "picture.png"), r"end in '\.svg'"),
    ],
)
def test_wrong_arguments_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_strange_texts_are_drawn_as_they_stand(tmp_path: Path) -> None:
    """Names come from files; a stray dollar must not start mathematics, nor markup reach the file."""
    strange = "50$ \\frac{ </text><script>alert(1)</script> & \n" + "x" * 500
    line = plotting.curve([1, 2], [0.0, 1.0], name=strange, units=strange)
    ax = plotting.curves({strange: line}, y_label="y")
    plotting.save(ax.figure, tmp_path / "a.svg")
    root = ET.parse(tmp_path / "a.svg").getroot()  # noqa: S314 - written by the line above
    assert not [element for element in root.iter() if element.tag.endswith("script")]


def test_files_are_the_same_every_time_and_in_every_process(tmp_path: Path) -> None:
    program = (
        "import sys; from qmlphys import plotting\n"
        "ax = plotting.plane([[0.0, 1.0], [1.0, 0.5], [0.2, 0.1]], [1.0, 2.0, 3.0])\n"
        "plotting.save(ax.figure, sys.argv[1])\n"
    )
    for name in ("a.svg", "b.svg"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], check=True)
    content = (tmp_path / "a.svg").read_bytes()
    assert content == (tmp_path / "b.svg").read_bytes()
    assert len(content) > 5000
    root = ET.fromstring(content)  # noqa: S314 - written just above
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    links = [value for element in root.iter() for key, value in element.attrib.items() if key.endswith("href")]
    assert links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links), "nothing is loaded from elsewhere"


def test_the_callers_style_is_left_alone() -> None:
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.size": 31}):
        ax = plotting.estimates({"a": Estimate(1, 0.1)})
        assert mpl.rcParams["font.size"] == 31
        assert ax.xaxis.label.get_fontsize() < 12
    assert dict(mpl.rcParams) == before


def test_pyplot_is_never_loaded(tmp_path: Path) -> None:
    program = (
        "import sys; from qmlphys import plotting; from qmlphys.stats import Estimate\n"
        "plotting.save(plotting.estimates({'a': Estimate(1, 0.1)}).figure, sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.svg")], check=True)


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def test_circuit_drawing_has_a_box_a_gate_and_folds(tmp_path: Path) -> None:
    ax = plotting.circuit_drawing(bell())
    assert "H" in {text.get_text().strip("$") for text in ax.texts}
    long = QuantumCircuit(1)
    for k in range(60):
        long.rx(0.1 + k, 0)
    folded, flat = plotting.circuit_drawing(long, fold=20), plotting.circuit_drawing(long, fold=-1)
    assert folded.figure.get_figheight() > flat.figure.get_figheight()
    plotting.save(ax.figure, tmp_path / "bell.svg")
    with pytest.raises(ValueError, match="at most 2000 instructions to be drawn, but it has 2001"):
        plotting.circuit_drawing(QuantumCircuit(1).compose(_many(2001)))


def test_circuit_drawing_leaves_pyplot_alone() -> None:
    """Qiskit writes a global phase with pyplot; a notebook would show a second, nearly empty picture."""
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    circuit = bell()
    circuit.global_phase = 0.5
    plotting.circuit_drawing(circuit)
    assert pyplot.get_fignums() == before
    assert circuit.global_phase == 0.5


def _many(number: int) -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    for _ in range(number):
        circuit.x(0)
    return circuit


def test_histogram_shows_shares_errors_and_the_rest() -> None:
    counts = {"00": 60, "11": 30, "01": 10}
    ds = snapshots.from_counts(counts, 0.0, name="field", units="J", model="", lattice="", seed=1)
    ax = plotting.histogram(ds, exact={"00": 0.5, "11": 0.5}, n_most=2)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["00", "11", "others"]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.6, 0.3, 0.1])
    (segments,) = [c.get_segments() for c in ax.collections]
    assert segments[0][1, 1] - segments[0][0, 1] == pytest.approx(2 * np.sqrt(0.6 * 0.4 / 100))
    assert list(ax.lines[-1].get_ydata()) == [0.5, 0.5]
    with pytest.raises(ValueError, match="`n_most` must be at least 1, but it is 0"):
        plotting.histogram(ds, n_most=0)


def test_components_stand_beside_each_other() -> None:
    ax = plotting.components({"quantum": [1.0, -2.0], "classical": [1.1, -2.1]}, errors={"quantum": [0.1, 0.2]})
    assert [bar.get_height() for bar in ax.patches] == [1.0, -2.0, 1.1, -2.1]
    lefts = [bar.get_x() for bar in ax.patches]
    assert lefts[0] < lefts[2] < lefts[1] < lefts[3]
    with pytest.raises(ValueError, match="vectors of one length"):
        plotting.components({"a": [1.0], "b": [1.0, 2.0]})
    with pytest.raises(ValueError, match="must hold real vectors"):
        plotting.components({"a": [1j]})
    with pytest.raises(ValueError, match="must have 1 names, but it has 2"):
        plotting.components({"a": [1.0]}, labels=["x", "y"])


def shares(frequency: list[float], power: list[float], error: list[float]) -> xr.Dataset:
    values = {"power": ("frequency", power), "error": ("frequency", error)}
    return xr.Dataset(values, {"frequency": ("frequency", frequency, {"units": "Hz"})})


def test_spectrum_sorts_frequencies_and_marks_peaks() -> None:
    exact = shares([0.0, 0.25, -0.25], [0.1, 0.8, 0.1], [0.0, 0.0, 0.0])
    sampled = shares([0.25, 0.0], [0.7, 0.2], [0.05, 0.04])
    ax = plotting.spectrum({"exact": exact, "sampled": sampled}, peaks=[Estimate(0.24, 0.01)], exact=[0.25])
    assert list(ax.lines[0].get_xdata()) == [-0.25, 0.0, 0.25]
    assert list(ax.lines[0].get_ydata()) == [0.1, 0.1, 0.8]
    assert list(ax.lines[1].get_ydata()) == [0.2, 0.7]
    assert ax.get_xlabel() == "frequency (Hz)"
    assert list(ax.lines[-1].get_xdata()) == [0.24]
    with pytest.raises(ValueError, match="at least one spectrum"):
        plotting.spectrum({})


def test_notebooks_show_a_figure_as_a_picture() -> None:
    """Without pyplot matplotlib offers them text only; the same drawing gives the same bytes."""
    first, second = (plotting.components({"one": [1.0, 2.0]}).figure._repr_png_() for _ in range(2))
    assert first[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(first) > 2000
    assert first == second
