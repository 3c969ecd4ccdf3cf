"""The frequencies of a signal: exact and sampled, every transform, false alarms, errors, costs and refusals."""

from __future__ import annotations

import dataclasses
import math
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import transpile
from scipy import stats

from qmlphys.workflows._spectrum_peaks import Powers, find_peaks, tail
from qmlphys.workflows.spectrum import find_frequencies, shots_needed, spectrum_circuit

FALSE_ALARM = 0.1
N_TRIALS = 300


def tones(
    positions: list[float],
    amplitudes: list[float],
    *,
    n: int = 64,
    noise: float = 0.0,
    seed: int = 0,
    real: bool = True,
) -> NDArray[Any]:
    """Tones of random phases, by their position in bins, in white noise of a given mean power."""
    rng = np.random.default_rng(seed)
    j = np.arange(n)
    signal = sum(
        a * np.exp(2j * np.pi * (p * j / n + rng.random())) for p, a in zip(positions, amplitudes, strict=True)
    )
    blank = rng.normal(size=n) + 1j * rng.normal(size=n)
    signal = signal + noise * blank / math.sqrt(2)
    return signal.real * math.sqrt(2) if real else signal


def powers_of(signal: NDArray[Any], shots: int | None, rng: np.random.Generator, *, real: bool) -> Powers:
    """What a perfect device would measure, from NumPy's transform instead of a circuit."""
    power = np.abs(np.fft.fft(signal - signal.mean())) ** 2
    power /= power.sum()
    values = power if shots is None else rng.multinomial(shots, power).astype(float)
    n = signal.size
    if real:
        k = np.arange(1, n // 2)
        return Powers(values[k] + values[n - k], k, n, shots, real=True)
    k = np.arange(1, n)
    return Powers(values[k], k, n, shots, real=False)


# --- the circuits and their spectra -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["coherent", "line"])
@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("n", [8, 32])
def test_exact_power_is_the_periodogram(method: Any, real: bool, n: int) -> None:
    signal = tones([1.3, 2.6], [1.0, 0.5], n=n, noise=0.7, real=real)
    found = find_frequencies(signal, method=method, sample_rate=10.0, remove_mean=False)
    expected = np.abs(np.fft.fft(signal)) ** 2
    expected /= expected.sum()
    frequencies = np.fft.fftfreq(n, 0.1)
    frequencies[n // 2] *= -1  # the Nyquist bin is counted as positive
    order = np.argsort(frequencies)
    np.testing.assert_allclose(found.power.frequency, frequencies[order], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.power.power, expected[order], rtol=0, atol=1e-12)
    assert not np.allclose(expected[order], expected[order][::-1], atol=1e-3) or real
    assert (found.power.error == 0).all()


@pytest.mark.parametrize("method", ["coherent", "line", "semiclassical"])
@pytest.mark.parametrize("real", [True, False])
def test_samples_of_every_transform_follow_the_periodogram(method: Any, real: bool) -> None:
    signal = tones([2.3], [1.0], n=16, noise=1.2, real=real, seed=2)
    shots = 4000
    found = find_frequencies(signal, method=method, backend="aer", shots=shots, rng=3, remove_mean=False)
    expected = np.roll(np.abs(np.fft.fft(signal)) ** 2, 7)
    expected *= shots / expected.sum()
    counts = found.power.power.values * shots
    used = expected > 5  # the others together are one bin, if there are any
    bins = [np.append(array[used], [array[~used].sum()] * (not used.all())) for array in (counts, expected)]
    assert stats.chisquare(*bins).pvalue > 1e-3
    wrong = np.roll(expected, 1)  # negative control: a spectrum moved by one bin
    assert ((counts - wrong) ** 2 / np.maximum(wrong, 1)).sum() > 200
    again = find_frequencies(signal, method=method, backend="aer", shots=shots, rng=3, remove_mean=False)
    assert again.frequencies == found.frequencies


@pytest.mark.parametrize(("method", "backend"), [("line", "fake_torino"), ("semiclassical", "fake_torino")])
def test_a_noisy_device_finds_a_tone(method: Any, backend: str) -> None:
    pytest.importorskip("qiskit_ibm_runtime", reason="needs the extra `ibm`")
    pytest.importorskip("qiskit_aer", reason="needs the extra `aer`")
    signal = tones([3.0], [1.0], n=16, noise=0.1, seed=1)
    found = find_frequencies(signal, method=method, backend=backend, shots=1000, rng=5, sample_rate=16.0)
    assert len(found.frequencies) == 1
    assert abs(found.frequencies[0].deviation(3.0)) < 5
    assert found.frequencies[0].error < 0.5
    assert found.n_two_qubit_gates >= found.n_two_qubit_gates_loading > 0
    assert found.depth > 10


def test_costs_are_those_of_the_circuits() -> None:
    signal = tones([5.2], [1.0], noise=0.3)
    for method, n_transform in (("coherent", 30), ("line", 34)):
        found = find_frequencies(signal, method=method)  # type: ignore[arg-type]
        assert found.n_two_qubit_gates_transform == n_transform
        assert 0 < found.n_two_qubit_gates_loading <= 2**6 - 6 - 1
        circuit = transpile(spectrum_circuit(signal, method=method), basis_gates=["cx", "u"])  # type: ignore[arg-type]
        assert found.n_two_qubit_gates <= found.n_two_qubit_gates_loading + n_transform
        assert circuit.count_ops()["cx"] <= found.n_two_qubit_gates
        assert found.n_qubits == 6
    semiclassical = find_frequencies(signal, method="semiclassical", backend="aer", shots=100, rng=1)
    assert semiclassical.n_two_qubit_gates_transform == 0
    assert semiclassical.n_two_qubit_gates == semiclassical.n_two_qubit_gates_loading


# --- frequencies and their errors -------------------------------------------------------------------------------------


def test_clean_tones_are_found_to_high_precision() -> None:
    single = find_frequencies(tones([10.3], [1.0], real=False), sample_rate=64.0)
    assert len(single.frequencies) == 1
    assert single.frequencies[0].mean == pytest.approx(10.3, abs=1e-6)  # the floor on the noise of a bin, 1e-9
    assert single.frequencies[0].error < 1e-3
    assert single.shares[0].mean == pytest.approx(1.0, abs=0.01)
    negative = find_frequencies(tones([-10.3], [1.0], real=False), sample_rate=64.0)
    assert negative.frequencies[0].mean == pytest.approx(-10.3, abs=1e-6)
    grid = find_frequencies(tones([10.0, 20.0], [1.0, 0.1]), sample_rate=64.0)
    assert [f.mean for f in grid.frequencies] == pytest.approx([10.0, 20.0], abs=1e-4)
    assert [s.mean for s in grid.shares] == pytest.approx([1 / 1.01, 0.01 / 1.01], abs=1e-3)
    assert grid.background < 1e-9


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("shots", [None, 2000])
def test_noisy_tones_are_found_within_their_errors(real: bool, shots: int | None) -> None:
    rng = np.random.default_rng(7)
    deviations, n_found, n_false = [], 0, 0
    for seed in range(30):
        signal = tones([9.4, 20.75], [1.0, 0.7], noise=0.3, seed=seed, real=real)
        peaks, _ = find_peaks(powers_of(signal, shots, rng, real=real), false_alarm=0.01)
        for peak in peaks:
            nearest = min((9.4, 20.75), key=lambda p: abs(p - peak.position))
            if abs(nearest - peak.position) > 2:
                n_false += 1
                continue
            n_found += 1
            assert peak.position_error < 0.3
            deviations.append((peak.position - nearest) / peak.position_error)
    assert n_found >= 57  # of 60
    assert n_false <= 3  # 0.3 are expected at the most
    # The errors are neither too small nor far too large: chi-squared of 60 deviations, rounded up for their tails.
    assert 0.4 < np.sqrt(np.mean(np.square(deviations))) < 1.4
    assert max(np.abs(deviations)) < 5


def test_the_share_of_a_tone_between_two_bins_is_of_the_power_less_the_mean() -> None:
    signal = np.exp(0.4j * np.pi * np.arange(32))
    found = find_frequencies(signal)
    above = 1.0 / (1.0 - abs(signal.mean()) ** 2)
    assert above > 1.002  # the removal of the mean is seen
    assert found.shares[0].mean == pytest.approx(above, abs=4 * found.shares[0].error)
    row = next(row for row in found.rows if row.name.startswith("share"))
    assert "less its mean" in row.source


def test_whole_numbers_of_cycles_need_no_interpolation() -> None:
    rng = np.random.default_rng(3)
    signal = tones([12.0], [1.0], noise=0.5, seed=4)
    peaks, _ = find_peaks(powers_of(signal, 500, rng, real=True), false_alarm=0.01)
    assert [abs(peak.position - 12.0) < 3 * peak.position_error < 1.0 for peak in peaks] == [True]


# --- false alarms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("shots", [None, 60, 1000])
def test_white_noise_shows_peaks_as_often_as_stated(real: bool, shots: int | None) -> None:
    rng = np.random.default_rng(12)
    n_alarms = 0
    for _ in range(N_TRIALS):
        noise = rng.normal(size=64) if real else rng.normal(size=64) + 1j * rng.normal(size=64)
        n_alarms += bool(find_peaks(powers_of(noise, shots, rng, real=real), false_alarm=FALSE_ALARM)[0])
    # At most the stated rate; not far below it, or tones would be missed. Few shots lose some: counts are integers.
    assert n_alarms < N_TRIALS * FALSE_ALARM + 4 * math.sqrt(N_TRIALS * FALSE_ALARM * (1 - FALSE_ALARM))
    assert n_alarms > N_TRIALS * FALSE_ALARM * 0.2


def test_alarms_without_the_look_elsewhere_factor_are_too_many() -> None:
    """Negative control: the probability of a single bin, not times their number, gives far more alarms than stated."""
    rng = np.random.default_rng(12)
    n_alarms = 0
    for _ in range(N_TRIALS):
        powers = powers_of(rng.normal(size=64), 1000, rng, real=True)
        chance = tail(powers.values, float(powers.values.sum()), powers.bins.size, sampled=True).min()
        n_alarms += chance <= FALSE_ALARM
    assert n_alarms > 5 * N_TRIALS * FALSE_ALARM


def test_white_noise_end_to_end() -> None:
    noise = np.random.default_rng(8).normal(size=64)
    for arguments in ({}, {"backend": "aer", "shots": 1000, "rng": 1, "method": "semiclassical"}):
        found = find_frequencies(noise, **arguments)  # type: ignore[arg-type]
        assert found.frequencies == found.shares == found.p_values == ()
        assert found.shots_needed is None
        assert found.rows[0].name.startswith("two-qubit gates")
    # Positive control: the same noise with a tone in it.
    assert len(find_frequencies(noise + 1.5 * np.sin(np.arange(64) * 0.9)).frequencies) == 1


def test_tail_counts_all_ways_to_share_the_shots() -> None:
    total, n_bins = 7, 4
    ways = [np.bincount(chosen, minlength=n_bins) for chosen in combinations_with_replacement(range(n_bins), total)]
    for count in range(total + 1):
        share = np.mean([way[0] >= count for way in ways])
        assert tail(np.array([float(count)]), float(total), n_bins, sampled=True)[0] == pytest.approx(share, rel=1e-12)
    exact = tail(np.array([0.3]), 1.0, 4, sampled=False)[0]
    assert exact == pytest.approx(0.7**3, rel=1e-12)
    many = tail(np.array([0.3e7]), 1e7, 4, sampled=True)[0]
    assert many == pytest.approx(exact, rel=1e-5)  # the limit of many shots


# --- shots ------------------------------------------------------------------------------------------------------------


def test_shots_needed_are_enough_and_not_too_many() -> None:
    rng = np.random.default_rng(1)
    signal = tones([9.0, 20.0], [1.0, 0.4], noise=0.2, seed=3)
    needed = find_frequencies(signal).shots_needed
    assert needed is not None
    assert 10 < needed < 1000

    def rate(shots: int) -> float:
        found = [find_peaks(powers_of(signal, shots, rng, real=True), false_alarm=0.01)[0] for _ in range(40)]
        return float(np.mean([any(abs(p.position - 20.0) < 1 for p in peaks) for peaks in found]))

    assert rate(2 * needed) >= 0.95
    assert rate(needed) >= 0.85  # four standard errors below 99 % would be 0.93; the estimate itself is a rough one
    assert rate(max(1, needed // 5)) < 0.7


def test_shots_needed_by_simulation() -> None:
    rng = np.random.default_rng(2)
    chance, n_bins = 0.3, 63
    shots = shots_needed(chance, n_bins, confidence=0.9)
    counts = rng.binomial(shots, chance, size=4000)
    found = n_bins * tail(counts.astype(float), float(shots), n_bins, sampled=True) <= 0.01
    assert 0.9 - 4 * math.sqrt(0.09 / 4000) < found.mean() < 0.99
    fewer = rng.binomial(shots // 2, chance, size=4000)
    assert (n_bins * tail(fewer.astype(float), float(shots // 2), n_bins, sampled=True) <= 0.01).mean() < 0.8


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"chance": 0.0, "n_bins": 31}, "`chance` must lie in"),
        ({"chance": 0.1, "n_bins": 31}, "Take more samples"),
        ({"chance": 0.5, "n_bins": 1}, "`n_bins` must be an integer >= 2"),
        ({"chance": 0.5, "n_bins": 31, "confidence": 1.0}, "`confidence` must lie in"),
        ({"chance": 0.5, "n_bins": 31, "false_alarm": 0.0}, "`false_alarm` must lie in"),
    ],
)
def test_shots_that_cannot_be_named(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        shots_needed(**arguments)


# --- the result and the refusals --------------------------------------------------------------------------------------


def test_the_result_is_frozen_and_complete() -> None:
    found = find_frequencies(tones([9.0, 20.0], [1.0, 0.5]), sample_rate=128.0, units="Hz", n_peaks=1)
    assert len(found.frequencies) == len(found.shares) == len(found.p_values) == 1  # `n_peaks` is a limit
    assert found.frequencies[0].mean == pytest.approx(18.0, abs=0.05)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.depth = 1  # type: ignore[misc]
    rows = found.rows
    assert rows[0].unit == "Hz"
    assert rows[0].value == found.frequencies[0].mean
    assert len(rows) == 5
    assert found.power.attrs["units"] == "Hz"
    assert any("FFT" in note for note in found.notes)


def test_the_mean_is_removed_unless_told_otherwise() -> None:
    signal = 5.0 + tones([6.0], [1.0], real=False)
    assert [round(f.mean * 64, 3) for f in find_frequencies(signal).frequencies] == [6.0]
    kept = find_frequencies(signal, remove_mean=False)
    assert [round(f.mean * 64, 3) for f in kept.frequencies] == [0.0, 6.0]


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_scale_of_the_signal_does_not_matter(scale: float) -> None:
    signal = tones([6.3], [1.0], noise=0.2)
    np.testing.assert_allclose(
        find_frequencies(scale * signal).power.power, find_frequencies(signal).power.power, atol=1e-12
    )


@pytest.mark.parametrize(
    ("signal", "arguments", "problem", "text"),
    [
        (np.zeros(16), {}, ValueError, "must not be zero"),
        (np.full(16, 3.3), {}, ValueError, "must vary"),
        ([1.0, math.nan] * 8, {}, ValueError, "must be finite, but 8 of 16"),
        ([1.0, math.inf] * 8, {}, ValueError, "must be finite"),
        (np.arange(100), {}, ValueError, r"cut it, for example to signal\[:64\]"),
        (np.arange(4), {}, ValueError, "must have 8, 16, 32"),
        (np.ones((4, 4)), {}, ValueError, "in one row"),
        (np.arange(8192), {}, ValueError, r"signal\[:4096\]"),
        (["a"] * 8, {}, TypeError, "must hold numbers"),
        (np.arange(16), {"shots": 100}, ValueError, "`shots` must be None on the exact backend"),
        (np.arange(16), {"backend": "aer"}, ValueError, "`shots` must be an integer >= 1 on the backend 'aer'"),
        (np.arange(16), {"backend": "aer", "shots": 0}, ValueError, "`shots` must be an integer >= 1"),
        (np.arange(16), {"method": "semiclassical"}, ValueError, "take backend='aer' and shots"),
        (np.arange(16), {"method": "fast"}, ValueError, "`method` must be one of coherent, line, semiclassical"),
        (np.arange(16), {"backend": "fake_nothing"}, ValueError, "fake_nothing"),
        (np.arange(16), {"sample_rate": 0.0}, ValueError, "`sample_rate` must be a finite number > 0"),
        (np.arange(16), {"sample_rate": math.nan}, ValueError, "`sample_rate` must be a finite number > 0"),
        (np.arange(16), {"n_peaks": 0}, ValueError, "`n_peaks` must be an integer >= 1"),
        (np.arange(16), {"false_alarm": 0.9}, ValueError, "`false_alarm` must lie in"),
    ],
)
def test_what_is_refused(signal: Any, arguments: dict[str, Any], problem: type[Exception], text: str) -> None:
    with pytest.raises(problem, match=text):
        find_frequencies(signal, **arguments)
