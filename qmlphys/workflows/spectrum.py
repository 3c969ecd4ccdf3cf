"""The quantum Fourier transform at work on data: the frequencies in a signal, and what loading and read-out cost.

The samples become the amplitudes of a state, the inverse transform turns the state into its spectrum, and a measurement
gives the bin k with the probability |X_k|^2 / sum |X|^2: a periodogram, drawn one count at a time. Peaks are told from
noise by the counts alone (`qmlphys.workflows._spectrum_peaks`), and each is located between the bins from the counts
around it.

This is not a faster way to analyse a record of numbers. Loading N samples takes about N gates, and so does looking at
them; a fast Fourier transform then needs N log2 N operations and gives every amplitude with its phase. The transform by
itself needs only (log2 N)^2 gates, and none on two qubits in its semiclassical form: it pays where the state comes out
of another quantum computation, such as phase estimation, and need not be loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import stats as distributions

from qmlphys import bits, execution
from qmlphys.execution.backends import resolve
from qmlphys.report import Row
from qmlphys.stats import Estimate
from qmlphys.workflows._spectrum_circuits import (
    Method,
    check_method,
    cost_of,
    joined,
    n_cx,
    parts_of,
    samples_of,
    spectrum_circuit,
)
from qmlphys.workflows._spectrum_peaks import Peak, Powers, far_from, find_peaks, tail

__all__ = ["Method", "Spectrum", "find_frequencies", "shots_needed", "spectrum_circuit"]

_MAX_SHOTS_NEEDED = 10**9


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The frequencies of a signal, and what it took to find them.

    Parameters
    ----------
    frequencies : tuple of Estimate
        Frequencies of the tones, the clearest first, in the units of the sample rate; positive for a real signal,
        within (-rate/2, rate/2] for a complex one. Errors come from shots, from the noise of the signal and from tones
        that disturb each other.
    shares : tuple of Estimate
        Share of the signal's power (its mean removed) in each tone; they need not add up to 1. A tone between two bins
        has a mean of its own, whose removal raises its share, for a single tone to a little above 1.
    p_values : tuple of float
        How often white noise would show as strong a peak anywhere in the spectrum.
    power : xarray.Dataset
        ``power`` and its ``error`` over ``frequency``, ascending: the measured share of each of the N bins.
    background : float
        Mean share of a bin that belongs to no tone.
    method, backend : str
        How the transform was made, and where it ran.
    shots : int or None
        Shots; None for exact probabilities.
    n_qubits, n_two_qubit_gates, depth : int
        Of the circuit that ran: on a device as it was translated, otherwise in CX and one-qubit gates.
    n_two_qubit_gates_loading, n_two_qubit_gates_transform : int
        CX of the two parts where all qubits are connected.
    shots_needed : int or None
        Shots, about, that find the faintest of these tones with a probability of 99 %, estimated from this spectrum.
        None without tones, or if no number of counts tells it from noise.
    notes : tuple of str
        What the numbers mean.
    units : str
        Unit of the frequencies.
    """

    frequencies: tuple[Estimate, ...]
    shares: tuple[Estimate, ...]
    p_values: tuple[float, ...]
    power: xr.Dataset
    background: float
    method: str
    backend: str
    shots: int | None
    n_qubits: int
    n_two_qubit_gates: int
    depth: int
    n_two_qubit_gates_loading: int
    n_two_qubit_gates_transform: int
    shots_needed: int | None
    notes: tuple[str, ...]
    units: str

    @property
    def rows(self) -> list[Row]:
        """The numbers as rows of a report."""
        how = f"{self.method} transform on {self.backend}, " + (
            "exact" if self.shots is None else f"{self.shots} shots"
        )
        rows = []
        for number, (frequency, share, p_value) in enumerate(
            zip(self.frequencies, self.shares, self.p_values, strict=True), start=1
        ):
            chance = f"{how}; white noise shows such a peak with probability {p_value:.1g}"
            rows.append(Row(f"frequency {number}", frequency.mean, frequency.error, unit=self.units, source=chance))
            of = f"{how}; of the signal less its mean, so that a single tone can come out a little above 1"
            rows.append(Row(f"share of the power, frequency {number}", share.mean, share.error, source=of))
        loading, transform = self.n_two_qubit_gates_loading, self.n_two_qubit_gates_transform
        rows.append(Row("two-qubit gates, loading the signal", loading, source="CX, all qubits connected"))
        rows.append(Row("two-qubit gates, Fourier transform", transform, source="CX, all qubits connected"))
        rows.append(Row("two-qubit gates of the circuit", self.n_two_qubit_gates, source=f"as run on {self.backend}"))
        return rows


def find_frequencies(
    signal: ArrayLike,
    *,
    sample_rate: float = 1.0,
    units: str = "",
    n_peaks: int | None = None,
    method: Method = "coherent",
    backend: str = "statevector",
    shots: int | None = None,
    false_alarm: float = 0.01,
    remove_mean: bool = True,
    rng: int | np.random.Generator | None = None,
    options: execution.Options | None = None,
) -> Spectrum:
    """Find the frequencies of a signal by a quantum Fourier transform.

    Parameters
    ----------
    signal : array_like of float or complex, shape (N,), N = 8, 16, ..., 4096
        Samples at equal distances. Other lengths are refused: zeros at the end would make neighbouring bins depend
        on each other, and the false-alarm probability would no longer hold.
    sample_rate : float
        Samples a unit of time; frequencies are multiples of it.
    units : str
        Unit of the sample rate, for the report.
    n_peaks : int, optional
        Report at most so many tones; None: all that stand out.
    method : {"coherent", "line", "semiclassical"}
        The transform: with gates between any two qubits, between neighbours on a line, or by measurement and
        feed-forward (not on the exact backend).
    backend : str
        "statevector" for exact probabilities, or any backend of `qmlphys.execution`.
    shots : int, optional
        Shots, 1 or more; None on the exact backend only.
    false_alarm : float
        Probability, in (0, 0.5], that white noise of any strength shows a peak.
    remove_mean : bool
        Take away the mean before loading: a constant would use up the shots. A tone of frequency 0 is then not seen;
        of a real signal it is never looked for.
    rng : int, Generator or None
        Randomness of the shots.
    options : qmlphys.execution.Options, optional
        Options of the backend.

    Returns
    -------
    Spectrum
        Frequencies with errors, the spectrum, and the costs.

    Raises
    ------
    TypeError, ValueError
        If the signal does not hold finite numbers, has another length or is constant, a number is out of range, the
        shots do not fit the backend, or the method or backend is not known.

    References
    ----------
    Fisher, Proc. R. Soc. Lond. A 125, 54 (1929): the test of the largest ordinate of a periodogram.

    Examples
    --------
    >>> times = np.arange(64) / 100.0  # at 100 Hz
    >>> spectrum = find_frequencies(np.sin(2 * np.pi * 12.5 * times), sample_rate=100.0, units="Hz")
    >>> [round(frequency.mean, 3) for frequency in spectrum.frequencies]
    [12.5]
    """
    samples, real = samples_of(signal, remove_mean=remove_mean)
    rate = _positive(sample_rate, "sample_rate")
    if not isinstance(false_alarm, (int, float)) or not 0.0 < false_alarm <= 0.5:
        raise ValueError(f"Argument `false_alarm` must lie in (0, 0.5], but it is {false_alarm!r}.")
    if n_peaks is not None and (isinstance(n_peaks, bool) or not isinstance(n_peaks, int) or n_peaks < 1):
        raise ValueError(f"Argument `n_peaks` must be an integer >= 1, or None for all, but it is {n_peaks!r}.")
    _check_run(method, backend, shots)
    loading, transform = parts_of(samples, method)
    circuit = joined(loading, transform, method)
    result = execution.run(circuit, backend, shots=shots, rng=rng, options=options)
    values = _values(result, shots, samples.size)
    power = _power(values, rate, shots, {"sample_rate": rate, "units": units, "method": method, "backend": backend})
    powers = _powers(values, shots, real=real, without_zero=remove_mean)
    peaks, background = find_peaks(powers, false_alarm=float(false_alarm), n_peaks=n_peaks)
    n_loading, n_transform = n_cx(loading), n_cx(transform)
    n_two_qubit_gates, depth = cost_of(result, circuit)
    needed = _needed(peaks, powers, float(false_alarm))
    step = rate / samples.size
    return Spectrum(
        frequencies=tuple(Estimate(_signed(p.position, samples.size) * step, p.position_error * step) for p in peaks),
        shares=tuple(Estimate(peak.share, peak.share_error) for peak in peaks),
        p_values=tuple(peak.p_value for peak in peaks),
        power=power,
        background=background,
        method=method,
        backend=backend,
        shots=shots,
        n_qubits=circuit.num_qubits,
        n_two_qubit_gates=n_two_qubit_gates,
        depth=depth,
        n_two_qubit_gates_loading=n_loading,
        n_two_qubit_gates_transform=n_transform,
        shots_needed=needed,
        notes=_notes(samples.size, step, n_loading, n_transform, needed, method, shots),
        units=units,
    )


def shots_needed(chance: float, n_bins: int, *, false_alarm: float = 0.01, confidence: float = 0.99) -> int:
    """Return how many shots find a tone among bins of noise.

    Parameters
    ----------
    chance : float
        Probability, in (0, 1], that a shot falls into the tone's strongest bin. A tone half-way between two bins puts
        only 0.405 of its power into either.
    n_bins : int
        Number of bins looked at, at least 2; about N for complex signals and N/2 for real ones.
    false_alarm : float
        Probability, in (0, 1), that white noise shows a peak.
    confidence : float
        Probability, in (0, 1), that the tone is found.

    Returns
    -------
    int
        Number of shots.

    Raises
    ------
    ValueError
        If a number is out of range, or no number of shots suffices because noise itself makes such bins that often.

    Examples
    --------
    >>> shots_needed(0.9, 31), shots_needed(0.4, 31), shots_needed(0.4, 4095)
    (8, 85, 18)
    """
    if not 0.0 < chance <= 1.0:
        raise ValueError(f"Argument `chance` must lie in (0, 1], but it is {chance!r}.")
    if isinstance(n_bins, bool) or not isinstance(n_bins, int) or n_bins < 2:
        raise ValueError(f"Argument `n_bins` must be an integer >= 2, but it is {n_bins!r}.")
    for name, value in (("false_alarm", false_alarm), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"Argument `{name}` must lie in (0, 1), but it is {value!r}.")
    if n_bins * (1.0 - chance) ** (n_bins - 1) > false_alarm:
        raise ValueError(
            f"Argument `chance` must be larger: white noise puts {chance:.3g} of its power into the strongest of "
            f"{n_bins} bins too often, and no number of shots changes that. Take more samples of the signal."
        )
    high = 1
    while _found(high, chance, n_bins, false_alarm) < confidence:
        high *= 2
        if high > _MAX_SHOTS_NEEDED:
            raise ValueError(f"Argument `chance` must be larger: more than {_MAX_SHOTS_NEEDED} shots would be needed.")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _found(middle, chance, n_bins, false_alarm) >= confidence else (middle, high)
    return high


def _found(shots: int, chance: float, n_bins: int, false_alarm: float) -> float:
    """Return the probability that a tone stands out after so many shots."""
    low, high = 0, shots + 1  # the smallest count that is significant lies in (low, high]
    while high - low > 1:
        middle = (low + high) // 2
        significant = n_bins * tail(np.array([float(middle)]), float(shots), n_bins, sampled=True)[0] <= false_alarm
        low, high = (low, middle) if significant else (middle, high)
    return float(distributions.binom.sf(high - 1, shots, chance))


def _positive(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)) or not 0.0 < value < math.inf:
        raise ValueError(f"Argument `{name}` must be a finite number > 0, but it is {value!r}.")
    return float(value)


def _check_run(method: str, backend: str, shots: int | None) -> None:
    """Refuse what cannot be run before anything is computed."""
    check_method(method)
    exact = resolve(backend).kind == "statevector"
    if exact and shots is not None:
        raise ValueError(f"Argument `shots` must be None on the exact backend, but it is {shots!r}.")
    if exact and method == "semiclassical":
        raise ValueError(
            "Argument `method` must be 'coherent' or 'line' on the exact backend, but it is 'semiclassical', which "
            "measures on the way: take backend='aer' and shots."
        )
    if not exact and (isinstance(shots, bool) or not isinstance(shots, int) or shots < 1):
        raise ValueError(f"Argument `shots` must be an integer >= 1 on the backend {backend!r}, but it is {shots!r}.")


def _values(result: xr.Dataset, shots: int | None, n_samples: int) -> NDArray[np.float64]:
    """Return the counts, or the probabilities, of the bins 0 to N - 1."""
    if shots is None:
        return np.asarray(result["probability"].values[0], dtype=np.float64)
    drawn = bits.spins_to_integers(result["spins"].values.reshape(-1, result.sizes["site"]))
    return np.bincount(drawn, minlength=n_samples).astype(np.float64)


def _power(values: NDArray[np.float64], rate: float, shots: int | None, attrs: dict[str, Any]) -> xr.Dataset:
    """Return the measured spectrum in ascending order of frequency."""
    n_samples = values.size
    k = np.arange(1 - n_samples // 2, n_samples // 2 + 1)
    share = values[k % n_samples] / (1.0 if shots is None else shots)
    error = np.zeros(n_samples) if shots is None else np.sqrt(share * (1.0 - share) / shots)
    frequency = ("frequency", k * rate / n_samples, {"units": attrs["units"]})
    variables = {"power": ("frequency", share), "error": ("frequency", error)}
    return xr.Dataset(variables, {"frequency": frequency}, attrs | ({} if shots is None else {"shots": shots}))


def _powers(values: NDArray[np.float64], shots: int | None, *, real: bool, without_zero: bool) -> Powers:
    """Return the bins in which tones are looked for."""
    n_samples = values.size
    if real:
        # The bins 0 and N/2 have no partner, and noise fills them with another distribution.
        k = np.arange(1, n_samples // 2)
        return Powers(values[k] + values[n_samples - k], k, n_samples, shots, real=True)
    k = np.arange(1 if without_zero else 0, n_samples)
    return Powers(values[k], k, n_samples, shots, real=False)


def _signed(position: float, n_samples: int) -> float:
    """Return a position as one in (-N/2, N/2]."""
    wrapped = position % n_samples
    return wrapped - n_samples if wrapped > n_samples / 2 else wrapped


def _needed(peaks: list[Peak], powers: Powers, false_alarm: float) -> int | None:
    """Return the shots that find the last of the tones, by its strongest bin, once all others are found."""
    if not peaks:
        return None
    weakest, others = peaks[-1], peaks[:-1]
    allowed = far_from(powers, others)
    # Only the shots that fall beside the other tones count.
    beside = float(powers.values[allowed].sum()) / powers.scale
    chance = float(powers.values[powers.bins == weakest.bin][0]) / powers.scale / beside
    try:
        needed = shots_needed(min(chance, 1.0), int(allowed.sum()), false_alarm=false_alarm)
    except ValueError:  # so few bins, or so weak a tone, that single counts do not show it
        return None
    return math.ceil(needed / beside)


def _notes(
    n_samples: int, step: float, n_loading: int, n_transform: int, needed: int | None, method: str, shots: int | None
) -> tuple[str, ...]:
    """Say what the numbers mean."""
    n = n_samples.bit_length() - 1
    notes = [
        f"Loading {n_samples} samples takes {n_loading} two-qubit gates, the {method} transform of {n} qubits "
        f"{n_transform}: the loading grows as the number of samples, the transform as the square of its logarithm.",
        f"A classical FFT takes about {n_samples * n} operations on the same samples and gives every amplitude with "
        "its phase. For numbers that lie in a computer it is the better choice; the quantum transform pays where the "
        "state comes out of another quantum computation.",
        f"The bins are {step:.6g} apart; tones closer than two bins are not told apart.",
    ]
    if needed is not None:
        notes.append(
            f"About {needed} shots find the faintest of the tones, beside the others, with a probability of 99 %."
        )
    if shots is not None:
        notes.append(
            "Errors hold for shots, white noise in the signal and the mutual disturbance of tones. The noise of a "
            "device raises the background; a systematic bias of a device is not part of them."
        )
    return tuple(notes)
