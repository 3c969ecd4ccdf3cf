"""The quantum part of the demonstration: a linear system by HHL, a signal's frequencies by the Fourier transform.

The same circuits run on the exact simulator, on sampled shots, and on a fake device, that is with the calibrated noise
of a real one; what noise does to them is left to be seen. Both problems are easily solved classically, and the report
says so.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import circuits
from qmlphys import plotting
from qmlphys.report import Row
from qmlphys.stats import Estimate
from qmlphys.workflows import linear_system, spectrum
from qmlphys.workflows.outcome import Outcome
from qmlphys.workflows.runs import Panel, RunFolder, Steps

__all__ = ["N_STEPS", "QuantumCircuitsConfig", "panel", "rod", "run", "tones"]

N_STEPS = 3
"""How many steps a user is told of."""

_TITLE = "Linear systems and spectra on quantum circuits"

_SUMMARY = (
    "Two textbook algorithms at work: the HHL algorithm solves the heat equation of a rod, and the quantum Fourier "
    "transform finds the tones in a noisy signal - exactly, with the shots of a simulator, and with the calibrated "
    "noise of a device. No eigenvalue and no solution of the matrix entered its circuit. Error bars are those of the "
    "shots: where noise shifts a number by many of them, that is what today's devices do to such circuits. "
    "For problems of this size a classical computer is the better choice; loading data and reading them out "
    "would cost more than the transform saves."
)

_SIMULATOR = "aer"


@dataclass(frozen=True)
class QuantumCircuitsConfig:
    """Settings; equal settings give the same numbers.

    Parameters
    ----------
    n_unknowns, n_sampled_unknowns : int
        Points along the rod, solved exactly and by sampling.
    shots : int
        Shots for the sampled linear system, on each backend.
    n_samples : int
        Length of the signal, a power of two.
    tones : tuple of float
        Its frequencies in Hz; it is sampled at 1000 Hz.
    noise : float
        Standard deviation of the signal's noise; its tones have amplitudes 1, 0.7, 0.7, ...
    spectrum_shots : int
        Shots for the spectrum, on each backend.
    device : str
        A fake device.
    seed : int
        Where all randomness starts.

    Examples
    --------
    >>> QuantumCircuitsConfig(seed=3).device
    'fake_torino'
    """

    n_unknowns: int = 8
    n_sampled_unknowns: int = 4
    shots: int = 40_000
    n_samples: int = 64
    tones: tuple[float, ...] = (137.0, 322.0)
    noise: float = 0.3
    spectrum_shots: int = 2000
    device: str = "fake_torino"
    seed: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "tones", tuple(self.tones))
        for name in ("n_unknowns", "n_sampled_unknowns"):
            if not 2 <= getattr(self, name) <= linear_system.MAX_UNKNOWNS:
                raise ValueError(f"Argument `{name}` must be 2 to 64, but it is {getattr(self, name)}.")
        if not self.tones or not all(0 < tone < _RATE / 2 for tone in self.tones):
            raise ValueError(f"Argument `tones` must lie between 0 and {_RATE / 2:g} Hz, but they are {self.tones}.")


_RATE = 1000.0
"""Samples of the signal a second."""


def rod(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the heat equation -u'' = f of a rod with cold ends, heated at one point two thirds along it.

    Parameters
    ----------
    n : int
        Points between the ends.

    Returns
    -------
    matrix : ndarray of float, shape (n, n)
        The second difference, 2 on the diagonal and -1 beside it.
    rhs : ndarray of float, shape (n,)
        The heating.

    Examples
    --------
    >>> matrix, rhs = rod(4)
    >>> np.linalg.solve(matrix, rhs).round(2).tolist()
    [0.4, 0.8, 1.2, 0.6]
    """
    rhs = np.zeros(n)
    rhs[2 * n // 3] = 1.0
    return 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1), rhs


def tones(config: QuantumCircuitsConfig) -> NDArray[np.float64]:
    """Return the signal: tones in white noise.

    Parameters
    ----------
    config : QuantumCircuitsConfig
        Settings.

    Returns
    -------
    ndarray of float, shape (n_samples,)
        Samples, `_RATE` a second.

    Examples
    --------
    >>> tones(QuantumCircuitsConfig(n_samples=64)).shape
    (64,)
    """
    moments = np.arange(config.n_samples) / _RATE
    rng = np.random.default_rng([config.seed, 17])
    heights = [1.0, *[0.7] * (len(config.tones) - 1)]
    pure = sum(
        a * np.cos(2 * np.pi * f * moments + k) for k, (a, f) in enumerate(zip(heights, config.tones, strict=True))
    )
    return np.asarray(pure + config.noise * rng.standard_normal(config.n_samples))


def run(
    config: QuantumCircuitsConfig | None = None,
    *,
    out: str | PathLike[str] = "runs/quantum-circuits",
    progress: bool = False,
    fresh: bool = False,
) -> Outcome:
    """Solve, transform, and write the report.

    Parameters
    ----------
    config : QuantumCircuitsConfig, optional
        Settings.
    out : path-like
        Run folder. Steps that were finished in it with the same settings are read instead of computed.
    progress : bool
        Tell on standard error which step is under way.
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
    config = config or QuantumCircuitsConfig()
    folder = RunFolder(out, workflow="quantum-circuits", fresh=fresh)
    found = panel(config, folder, steps=Steps(N_STEPS, shown=progress))
    report = folder.write_panels(config, [found])
    return Outcome(_TITLE, list(found.rows), report, time.perf_counter() - started, folder.n_resumed)


def panel(config: QuantumCircuitsConfig, folder: RunFolder, *, steps: Steps) -> Panel:
    """Do the work of `run` and return what it found instead of writing a report.

    Parameters
    ----------
    config : QuantumCircuitsConfig
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
    steps.begin(f"a linear system by HHL: exactly, sampled on Aer, and with the noise of {config.device}")
    exact = folder.step("hhl-exact", config, partial(_solved, config))
    sampled = {name: folder.step(f"hhl-{name}", config, partial(_sampled, config, name)) for name in _backends(config)}
    steps.begin("the frequencies of a signal: coherent and semiclassical Fourier transform")
    spectra = {
        name: folder.step(f"spectrum-{name}", config, partial(_transformed, config, name))
        for name in ("statevector", *_backends(config))
    }
    steps.begin("pictures of the circuits and what they gave")
    return Panel(_TITLE, _SUMMARY, _rows(config, exact, sampled, spectra), _figures(config, exact, spectra))


def _backends(config: QuantumCircuitsConfig) -> tuple[str, str]:
    return _SIMULATOR, config.device


def _solved(config: QuantumCircuitsConfig) -> dict[str, Any]:
    """Solve the rod exactly."""
    found = linear_system.solve(*rod(config.n_unknowns), error=0.01)
    here, classical = found.bars()
    return {
        "solution": here,
        "classical": classical,
        "error": float(np.linalg.norm(here - classical) / np.linalg.norm(classical)),
        "bound": found.error_bound,
        "probability": found.success_probability.mean,
        "qubits": found.n_qubits,
        "gates": found.n_two_qubit_gates,
        "advice": found.advice,
    }


def _sampled(config: QuantumCircuitsConfig, backend: str) -> dict[str, Any]:
    """Measure norm and expectations of a smaller rod's solution from shots."""
    matrix, rhs = rod(config.n_sampled_unknowns)
    warm = np.diag((np.arange(len(rhs)) >= len(rhs) // 2).astype(float))
    try:
        found = linear_system.solve(
            matrix, rhs, error=0.1, backend=backend, shots=config.shots, observables=[matrix, warm], rng=config.seed
        )
    except linear_system.TooFewShotsError as refusal:
        if refusal.result is None:
            raise
        found = refusal.result  # noise took successes away: the error bars are larger than asked for, and shown
    return {
        "norm": [found.norm.mean, found.norm.error],
        "roughness": [found.expectations[0].mean, found.expectations[0].error],
        "warm half": [found.expectations[1].mean, found.expectations[1].error],
        "probability": [found.success_probability.mean, found.success_probability.error],
        "gates": found.n_two_qubit_gates,
        "qubits": found.n_qubits,
    }


def _transformed(config: QuantumCircuitsConfig, backend: str) -> dict[str, Any]:
    """Find the tones."""
    exact = backend == "statevector"
    found = spectrum.find_frequencies(
        tones(config),
        sample_rate=_RATE,
        units="Hz",
        backend=backend,
        shots=None if exact else config.spectrum_shots,
        method="semiclassical" if backend == config.device else "coherent",
        rng=config.seed,
    )
    return {
        "method": found.method,
        "frequencies": [[one.mean, one.error] for one in found.frequencies],
        "frequency": found.power["frequency"].values,
        "power": found.power["power"].values,
        "error": found.power["error"].values,
        "loading": found.n_two_qubit_gates_loading,
        "transform": found.n_two_qubit_gates_transform,
        "gates": found.n_two_qubit_gates,
    }


def _label(config: QuantumCircuitsConfig, backend: str) -> str:
    """Name a backend for a reader."""
    return {"statevector": "exact", _SIMULATOR: "Aer"}.get(backend, f"noise of {config.device}")


def _rows(
    config: QuantumCircuitsConfig, exact: dict[str, Any], sampled: dict[str, Any], spectra: dict[str, Any]
) -> list[Row]:
    """List every number."""
    n, small = config.n_unknowns, config.n_sampled_unknowns
    matrix, rhs = rod(small)
    x = np.linalg.solve(matrix, rhs)
    length = float(np.linalg.norm(x))
    known = {
        "norm": length,
        "roughness": float(x @ matrix @ x) / length**2,
        "warm half": float((x[small // 2 :] ** 2).sum()) / length**2,
    }
    names = {"norm": "||x||", "roughness": "<x|A|x>/<x|x>", "warm half": "share of |x|^2 in the heated half"}
    how = f"HHL, state vector of {exact['qubits']} qubits, {exact['gates']} CX"
    rows = [
        Row(f"||x - x*|| / ||x*||, rod of {n} points", exact["error"], source=f"{how}; x* by a classical solve"),
        Row("the same, certified beforehand", exact["bound"], source="from bounds on the spectrum; asked: 0.01"),
        Row("probability of success", exact["probability"], source="post-selection of clock and flag"),
    ]
    for key, name in names.items():
        for backend, found in sampled.items():
            source = f"HHL, {found['qubits']} qubits, {found['gates']} two-qubit gates, {config.shots} shots"
            value, error = found[key]
            label = f"{name}, rod of {small} points, {_label(config, backend)}"
            rows.append(Row(label, value, error, known[key], source=f"{source}; exact: classical solve"))
    for backend, found in spectra.items():
        shots = "" if backend == "statevector" else f", {config.spectrum_shots} shots"
        source = f"{found['method']} transform, {found['gates']} two-qubit gates{shots}"
        for value, error in sorted(found["frequencies"]):
            nearest = config.tones[int(np.argmin(np.abs(np.subtract(config.tones, value))))]
            known_tone = nearest if abs(nearest - value) < _RATE / config.n_samples else None
            rows.append(Row(f"frequency, {_label(config, backend)}", value, error, known_tone, "Hz", source))
        if not found["frequencies"]:
            rows.append(Row(f"frequency, {_label(config, backend)}", float("nan"), unit="Hz", source=source))
    first = spectra["statevector"]
    rows += [
        Row("CX to load the signal", first["loading"], source=f"{config.n_samples} amplitudes, exactly"),
        Row("CX of its Fourier transform", first["transform"], source="coherent; none in the semiclassical form"),
    ]
    return rows


def _figures(config: QuantumCircuitsConfig, exact: dict[str, Any], spectra: dict[str, Any]) -> dict[str, Any]:
    """Draw the pictures."""
    n = config.n_unknowns
    solution = plotting.components(
        {"HHL": exact["solution"], "classical": exact["classical"]},
        labels=[str(i + 1) for i in range(n)],
        x_label="point along the rod",
        y_label="temperature (arbitrary units)",
    )
    shown = {
        f"{_label(config, backend)}, {found['method']}": xr.Dataset(
            {key: ("frequency", np.asarray(found[key])) for key in ("power", "error")},
            {"frequency": ("frequency", np.asarray(found["frequency"]), {"units": "Hz"})},
        ).sel(frequency=slice(0, None))
        for backend, found in spectra.items()
    }
    peaks = [Estimate(*pair) for pair in spectra[_SIMULATOR]["frequencies"]]
    spectrum_axes = plotting.spectrum(shown, peaks=peaks, exact=config.tones)
    matrix, rhs = rod(2)
    small = circuits.hhl(matrix, rhs, n_clock=3)
    drawn = {
        "hhl-circuit": (
            plotting.circuit_drawing(small, fold=30),
            "The HHL circuit of the smallest rod, 2 points with a clock of 3 qubits. The one that was solved has "
            f"{exact['qubits']} qubits and {exact['gates']} two-qubit gates.",
        ),
        "hhl-solution": (
            solution,
            f"Temperature along a rod with cold ends, heated at one point: HHL on the exact simulator, with a relative "
            f"error of {exact['error']:.2g} where {exact['bound']:.2g} was certified, beside a classical solve. "
            f"{exact['advice']}",
        ),
        "spectrum": (
            spectrum_axes,
            "Tones in a noisy signal by the quantum Fourier transform; dotted lines: the tones that were put in, "
            f"triangles: those found on Aer. The noise of {config.device} leaves a part of them: of its "
            f"{spectra[config.device]['gates']} two-qubit gates nearly all load the signal.",
        ),
    }
    return {name: (ax.get_figure(root=True), caption) for name, (ax, caption) in drawn.items()}
