"""Every backend on the same circuits: distributions, seeds, sweeps, registers, noise, and a learner at the end.

One long file: all of it shares the circuits and their exact distributions.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Gate, Parameter, QuantumRegister
from qiskit.circuit.library import DiagonalGate, Initialize, QFTGate
from qiskit.quantum_info import Operator, random_unitary
from scipy.stats import chi2

from qmlphys import bits, snapshots
from qmlphys.execution import _exact, _running, _simulators, backends
from qmlphys.execution._check import CircuitRefused, check
from qmlphys.execution._options import Options
from qmlphys.execution._running import execute, run, statevector
from qmlphys.execution._task import make_task

LOCAL = ["statevector", "aer", "aer-mps", "fake_manila"]


def ideal(backend: str) -> Options:
    return Options(noise=False) if backend.startswith("fake_") else Options()


def outcomes(ds: xr.Dataset, point: int = 0) -> NDArray[np.int64]:
    n_bits = ds.sizes["site"]
    return np.bincount(bits.spins_to_integers(ds["spins"].values[point, 0]), minlength=2**n_bits)


def p_value(found: NDArray[np.int64], expected: NDArray[np.float64]) -> float:
    """Pearson's chi-squared test; outcomes expected fewer than five times are taken together."""
    counts = found.sum() * expected
    rare = counts < 5
    pairs = [*zip(found[~rare], counts[~rare], strict=True)]
    if counts[rare].sum() > 0:
        pairs.append((found[rare].sum(), counts[rare].sum()))
    elif found[rare].sum():
        return 0.0
    statistic = sum((seen - want) ** 2 / want for seen, want in pairs)
    return float(chi2.sf(statistic, len(pairs) - 1))


def feed_forward_probabilities(first: float = 1.1, second: float = 0.4, third: float = 0.7) -> NDArray[np.float64]:
    """The fixture's distribution by hand: bit 0 is `first`, bits 1 and 2 are `second`, that is qubits 1 and 2."""
    one = np.sin(first / 2) ** 2
    flipped, turned = np.sin(second / 2) ** 2, np.sin(third / 2) ** 2
    result = np.zeros(8)
    # Measured 0: qubit 1 is 0, qubit 2 is turned. Measured 1: qubit 1 was 1 and is turned, qubit 2 is 1.
    result[0b000], result[0b100] = (1 - one) * (1 - turned), (1 - one) * turned
    result[0b111], result[0b101] = one * (1 - flipped), one * flipped
    return result


def test_exact_probabilities_of_feed_forward(feed_forward: QuantumCircuit) -> None:
    ds = run(feed_forward, "statevector", shots=None)
    assert ds["probability"].dims == ("parameter", "outcome")
    assert ds["outcome"].values.tolist() == list(range(8))
    np.testing.assert_allclose(ds["probability"].values[0], feed_forward_probabilities(), rtol=1e-12, atol=1e-16)
    assert json.loads(ds.attrs["registers"]) == {"first": 1, "second": 2}


@pytest.mark.parametrize("backend", LOCAL)
def test_twins_sample_the_same_distribution(feed_forward: QuantumCircuit, backend: str) -> None:
    ds = run(feed_forward, backend, shots=4000, rng=11, options=ideal(backend))
    snapshots.check(ds)
    assert ds["register"].values.tolist() == ["first", "second", "second"]
    assert p_value(outcomes(ds), feed_forward_probabilities()) > 1e-3
    # The test can fail: an angle that is off by 0.2 is seen.
    assert p_value(outcomes(ds), feed_forward_probabilities(second=0.6)) < 1e-3


@pytest.mark.parametrize("backend", LOCAL)
def test_twins_on_a_static_circuit(backend: str) -> None:
    circuit = QuantumCircuit(4)
    circuit.append(Initialize(np.sqrt(np.arange(16) / 120)), range(4))
    circuit.append(QFTGate(4), range(4))
    circuit.measure_all()
    expected = run(circuit, "statevector", shots=None)["probability"].values[0]
    vector = Operator(QFTGate(4)).data @ np.sqrt(np.arange(16) / 120)
    np.testing.assert_allclose(expected, np.abs(vector) ** 2, rtol=1e-11, atol=1e-15)  # a chain of a dozen gates
    ds = run(circuit, backend, shots=4000, rng=5, options=ideal(backend))
    assert p_value(outcomes(ds), expected) > 1e-3
    assert p_value(outcomes(ds), np.roll(expected, 1)) < 1e-6


@pytest.mark.parametrize("backend", LOCAL)
def test_one_seed_gives_the_same_bits_and_points_of_a_scan_different_ones(swept: QuantumCircuit, backend: str) -> None:
    def spins(rng: int) -> NDArray[np.int8]:
        ds = run(swept, backend, shots=400, rng=rng, parameter_values=[np.pi / 2] * 3)
        assert ds.attrs["seed"] == rng
        return ds["spins"].values[:, 0, :, 0]

    first = spins(3)
    np.testing.assert_array_equal(first, spins(3))
    assert (first != spins(4)).any()
    # The same circuit at three points: were the random numbers shared, the correlations would be 1 instead of 0.05.
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(first[a], first[b])[0, 1]) < 0.25
    assert np.corrcoef(first[0], first[0])[0, 1] > 0.25


def test_without_a_seed_the_result_records_a_fresh_one(bell: QuantumCircuit) -> None:
    one, other = (run(bell, "statevector", shots=64) for _ in range(2))
    assert one.attrs["seed"] != other.attrs["seed"]
    again = run(bell, "statevector", shots=64, rng=int(one.attrs["seed"]))
    np.testing.assert_array_equal(again["spins"].values, one["spins"].values)


@pytest.mark.parametrize("backend", LOCAL)
def test_a_sweep_is_one_job(swept: QuantumCircuit, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from qiskit_aer import AerSimulator

    jobs: list[int] = []
    original = AerSimulator.run

    def counted(self: AerSimulator, circuits: list[QuantumCircuit], **options: object) -> object:
        jobs.append(len(circuits))
        return original(self, circuits, **options)

    monkeypatch.setattr(AerSimulator, "run", counted)
    angles = np.linspace(0.2, 2.8, 5)
    ds = run(
        swept, backend, shots=2000, rng=2, parameter_values=angles, name="angle", units="rad", options=ideal(backend)
    )
    assert jobs == ([] if backend == "statevector" else [1])
    np.testing.assert_array_equal(ds["parameter"].values, angles)
    assert (ds["parameter"].attrs["name"], ds["parameter"].attrs["units"]) == ("angle", "rad")
    for point, angle in enumerate(angles):
        chance = np.sin(angle / 2) ** 2
        ones = (ds["spins"].values[point, 0, :, 0] == -1).mean()
        assert abs(ones - chance) < 5 * np.sqrt(chance * (1 - chance) / 2000)


def test_one_circuit_a_point_and_parameters_that_the_translation_drops() -> None:
    circuits = []
    for flip in (0, 1):
        circuit = QuantumCircuit(1, 1)
        if flip:
            circuit.x(0)
        circuit.measure(0, 0)
        circuits.append(circuit)
    ds = run(circuits, "aer", shots=5, rng=0, values=[0.5, 1.5])
    assert ds["spins"].values[:, 0, :, 0].tolist() == [[1] * 5, [-1] * 5]
    useless, angle = QuantumCircuit(1, 1), Parameter("a")
    useless.rz(angle, 0)
    useless.measure(0, 0)
    ds = run(useless, "aer", shots=5, rng=0, parameter_values=[0.1, 0.2], options=Options(optimization_level=3))
    assert ds["spins"].values.ravel().tolist() == [1] * 10


def test_bits_of_many_registers_come_out_in_order() -> None:
    registers = [ClassicalRegister(size, f"r{size}") for size in (9, 1, 17, 3)]
    circuit = QuantumCircuit(QuantumRegister(30, "q"), *registers)
    pattern = np.array([1, 0, 1, 1, 0] * 6)
    circuit.x(np.flatnonzero(pattern).tolist())
    circuit.measure(range(30), circuit.clbits)
    for backend in ("aer-mps", "fake_torino"):
        options = Options(noise=False, max_bond=2) if backend.startswith("fake_") else Options()
        ds = run(circuit, backend, shots=3, rng=0, options=options)
        np.testing.assert_array_equal(bits.spins_to_bits(ds["spins"].values[0, 0]), np.tile(pattern, (3, 1)))
        assert ds["register"].values.tolist() == ["r9"] * 9 + ["r1"] + ["r17"] * 17 + ["r3"] * 3


def test_hexadecimal_strings_become_bits() -> None:
    rows = _simulators._bits(["0x0", "0x1", "0x1ff", "0x100"], 9)
    assert rows.tolist() == [[0] * 9, [1] + [0] * 8, [1] * 9, [0] * 8 + [1]]


def test_noise_is_the_devices_own() -> None:
    """The noise of the few qubits in use is that of Aer's model of the whole device."""
    from qiskit_aer.noise import NoiseModel

    device = backends.fake_device("fake_manila")
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.measure_all()
    task = make_task(circuit, "fake_manila", shots=1, options=Options(layout=(4, 3, 2)))
    isa = check(task).isa
    part = _simulators._noise(device.target, [2, 3, 4], isa)
    whole = NoiseModel.from_backend(device)
    n_compared = 0
    for name, errors in part._local_quantum_errors.items():
        for qubits, error in errors.items():
            assert error == whole._local_quantum_errors[name][tuple(q + 2 for q in qubits)]
            n_compared += 1
    for qubits, error in part._local_readout_errors.items():
        assert error == whole._local_readout_errors[tuple(q + 2 for q in qubits)]
        n_compared += 1
    assert n_compared >= 6
    assert {"cx", "measure", "sx"} <= set(part.noise_instructions)


def test_noise_is_seen_and_can_be_switched_off(bell: QuantumCircuit) -> None:
    def disagreements(options: Options) -> float:
        ds = run(bell, "fake_torino", shots=1000, rng=1, options=options)
        assert ds.attrs["calibration_time"].startswith("2025-")
        assert len(json.loads(ds.attrs["layout"])) == 2
        assert ds.attrs["n_two_qubit_gates"] == 1
        assert "qiskit-aer" in json.loads(ds.attrs["versions"])
        spins = ds["spins"].values[0, 0]
        return float((spins[:, 0] != spins[:, 1]).mean())

    assert disagreements(Options(noise=False)) == 0
    assert 0.005 < disagreements(Options()) < 0.2
    # Another route to the same noise: trajectories of matrix product states instead of a density matrix.
    assert 0.005 < disagreements(Options(max_bond=8)) < 0.2


def test_noise_acts_inside_conditional_blocks() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 0)):
        for _ in range(100):
            circuit.x(1)
            circuit.barrier(1)
    circuit.measure(1, 1)
    ds = run(circuit, "fake_manila", shots=400, rng=1, options=Options(optimization_level=0))
    assert 0.03 < (ds["spins"].values[..., 1] == -1).mean() < 0.5


def test_amplitudes() -> None:
    circuit = QuantumCircuit(3, 3, global_phase=0.3)
    circuit.h(0)
    circuit.reset(2)
    circuit.cx(0, 2)
    circuit.append(QFTGate(3), range(3))
    plain = circuit.copy_empty_like()
    for item in circuit.data:
        if item.operation.name != "reset":
            plain.append(item)
    circuit.barrier()
    circuit.measure(range(3), range(3))
    np.testing.assert_allclose(statevector(circuit), Operator(plain).data[:, 0], rtol=1e-12, atol=1e-15)
    for spoil in ("measure", "if_test"):
        middle = QuantumCircuit(1, 1)
        middle.h(0)
        middle.measure(0, 0)
        if spoil == "measure":
            middle.h(0)
        else:
            with middle.if_test((middle.clbits[0], 1)):
                middle.x(0)
        with pytest.raises(CircuitRefused, match="no single state vector"):
            statevector(middle)
    free = QuantumCircuit(1)
    free.rx(Parameter("a"), 0)
    with pytest.raises(ValueError, match="free parameters"):
        statevector(free)


def test_gates_and_diagonals_act_in_order() -> None:
    rng = np.random.default_rng(5)
    diagonal = np.exp(2j * np.pi * rng.random(8))
    circuit = QuantumCircuit(4)
    circuit.unitary(random_unitary(8, seed=1), [0, 3, 1])
    circuit.append(DiagonalGate(list(diagonal)), [2, 0, 3])
    circuit.h(0)
    circuit.append(DiagonalGate(list(diagonal.conj())), [1, 2, 3])
    circuit.cx(2, 0)
    np.testing.assert_allclose(statevector(circuit), Operator(circuit).data[:, 0], rtol=0, atol=1e-14)
    opaque = QuantumCircuit(2)
    opaque.h(0)
    opaque.append(Gate("mystery", 2, []), [0, 1])
    with pytest.raises(CircuitRefused, match="cannot apply `mystery`"):
        statevector(opaque)


def test_measurements_in_the_middle_are_followed_exactly() -> None:
    # A qubit measured, turned and measured again; the same bit written twice keeps the last value.
    circuit = QuantumCircuit(2, 2)
    circuit.ry(0.8, 0)
    circuit.measure(0, 0)
    circuit.ry(0.6, 0)
    circuit.measure(0, 1)
    circuit.reset(0)
    circuit.measure(0, 0)
    found = run(circuit, "statevector", shots=None)["probability"].values[0]
    a, b = np.sin(0.4) ** 2, np.sin(0.3) ** 2
    second = a * (1 - b) + (1 - a) * b
    np.testing.assert_allclose(found, [1 - second, 0, second, 0], rtol=1e-12, atol=1e-15)


def test_the_semiclassical_fourier_transform_has_the_coherent_distribution() -> None:
    n, rng = 4, np.random.default_rng(3)
    vector = rng.normal(size=16) + 1j * rng.normal(size=16)
    vector /= np.linalg.norm(vector)
    circuit = QuantumCircuit(n, n)
    circuit.append(Initialize(vector), range(n))
    for bit in range(n):  # output bit 0 comes from the input's highest qubit
        qubit = n - 1 - bit
        for earlier in range(bit):
            with circuit.if_test((circuit.clbits[earlier], 1)):
                circuit.p(np.pi / 2 ** (bit - earlier), qubit)
        circuit.h(qubit)
        circuit.measure(qubit, bit)
    found = run(circuit, "statevector", shots=None)["probability"].values[0]
    np.testing.assert_allclose(found, np.abs(np.fft.ifft(vector, norm="ortho")) ** 2, rtol=1e-11, atol=1e-15)


def test_limits_of_the_exact_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_exact, "MAX_BRANCHES", 16)
    many = QuantumCircuit(1, 6)
    for i in range(5):
        many.h(0)
        many.measure(0, i)
    many.h(0)
    with pytest.raises(CircuitRefused, match="at most 16 outcomes"):
        run(many, "statevector", shots=None)
    monkeypatch.setattr(_exact, "_ALWAYS_THERE", 0)
    monkeypatch.setattr(_exact, "available_bytes", lambda: 100)
    with pytest.raises(CircuitRefused, match=r"branches .* need"):
        run(many, "statevector", shots=None)
    looped = QuantumCircuit(1, 1)
    looped.while_loop((looped.clbits[0], 1), QuantumCircuit(1, 1), [0], [0])
    looped.measure(0, 0)
    with pytest.raises(CircuitRefused, match="`while_loop`: use aer"):
        run(looped, "statevector", shots=1)
    assert run(looped, "aer", shots=2, rng=0)["spins"].values.ravel().tolist() == [1, 1]
    wide = QuantumCircuit(1, 63)
    wide.measure(0, 0)
    with pytest.raises(CircuitRefused, match="at most 62 classical bits"):
        run(wide, "statevector", shots=1)
    monkeypatch.setattr(_running, "available_bytes", lambda: 100)
    with pytest.raises(CircuitRefused, match="GiB are free"):
        run(QuantumCircuit(5), "statevector", shots=None)


def test_impossible_outcomes_are_never_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    class AlwaysOne:
        def random(self, size: int) -> NDArray[np.float64]:
            return np.full(size, np.nextafter(1.0, 0.0))

    monkeypatch.setattr(_running.np.random, "default_rng", lambda stream: AlwaysOne())
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.measure_all()
    assert run(circuit, "statevector", shots=4, rng=0)["spins"].values[0, 0].tolist() == [[-1, 1]] * 4


def test_a_worker_that_starts_again_gives_the_same_bits(feed_forward: QuantumCircuit) -> None:
    from qmlphys.execution._task import task_from_bytes, task_to_bytes

    task = make_task(feed_forward, "fake_manila", shots=50)
    again = task_from_bytes(task_to_bytes(task))
    one, other = (execute(t, check(t), seed=77) for t in (task, again))
    assert one.identical(other)
    assert task.seed is None


def test_single_precision_and_bond_dimensions_do_something(bell: QuantumCircuit) -> None:
    ghz = QuantumCircuit(6)
    ghz.h(0)
    for i in range(5):
        ghz.cx(i, i + 1)
    ghz.measure_all()
    full = run(ghz, "aer-mps", shots=200, rng=1)["spins"].values[0, 0]
    assert set(np.abs(full.sum(axis=1))) == {6}
    assert 0.3 < (full[:, 0] == 1).mean() < 0.7
    cut = run(ghz, "aer-mps", shots=200, rng=1, options=Options(max_bond=1))["spins"].values[0, 0]
    assert len(np.unique(cut, axis=0)) == 1  # a product state keeps one of the two halves
    assert run(bell, "aer", shots=1, options=Options(precision="single")).attrs["precision"] == "single"


def test_results_are_kept_in_snapshot_files(tmp_path: object, feed_forward: QuantumCircuit) -> None:
    from pathlib import Path

    ds = run(feed_forward, "fake_manila", shots=10, rng=1)
    path = Path(str(tmp_path), "a.nc")
    snapshots.save(ds, path)
    assert snapshots.load(path).identical(ds)


def scan(center: float) -> tuple[xr.Dataset, NDArray[np.float64]]:
    """Snapshots of a state that loses its order along a parameter: a GHZ state whose qubits are turned more and more.

    All spins agree where the angle is 0; at pi/2 each is up or down with equal chance. The angle rises steeply at
    `center`.
    """
    n = 9
    angle = Parameter("angle")
    circuit = QuantumCircuit(n)
    circuit.h(0)
    for i in range(n - 1):
        circuit.cx(i, i + 1)
    circuit.ry(angle, range(n))
    circuit.measure_all()
    values = np.linspace(0, 2, 21)
    turned = 0.5 / (1 + np.exp(-(values - center) / 0.06))
    angles = 2 * np.arcsin(np.sqrt(turned))
    ds = run(circuit, "aer", shots=100, rng=9, parameter_values=angles, values=values, name="field", units="J")
    return ds, values


@pytest.mark.parametrize("center", [1.0, 1.3])
def test_snapshots_go_straight_into_a_learner(center: float) -> None:
    from qmlphys.phases import PhaseClusterer

    ds, _ = scan(center)
    X, field, _ = snapshots.as_xy(ds)
    found = PhaseClusterer(random_state=0).fit(X).transition(X, field)
    # The change is complete within 0.2 on either side. A learner that always answered the middle would fail at 1.3.
    assert abs(found.mean - center) < 0.15


@pytest.mark.gpu
def test_the_gpu_is_a_twin_too(feed_forward: QuantumCircuit, swept: QuantumCircuit) -> None:
    row = next(row for row in backends.available() if row.name == "aer-gpu")
    if not row.ok:
        pytest.skip(f"aer-gpu: {row.detail}")
    for precision in ("double", "single"):
        ds = run(feed_forward, "aer-gpu", shots=4000, rng=11, options=Options(precision=precision))
        assert ds.attrs["device"] == "GPU"
        assert ds.attrs["custatevec"] == int(backends.custatevec())
        assert p_value(outcomes(ds), feed_forward_probabilities()) > 1e-3
        assert p_value(outcomes(ds), feed_forward_probabilities(second=0.6)) < 1e-3
    ds = run(swept, "aer-gpu", shots=100, rng=1, parameter_values=np.linspace(0, np.pi, 5))
    assert ds["spins"].values[0].max() == 1 == ds["spins"].values[0].min()


def test_the_gpu_is_asked_for_as_it_should_be(swept: QuantumCircuit, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(swept, "aer-gpu", shots=1, parameter_values=[0.1], options=Options(precision="single"))
    for fast in (True, False):
        monkeypatch.setattr(backends, "custatevec", lambda fast=fast: fast)
        options, attrs = _simulators._plain_options(task)
        assert options == {
            "method": "statevector",
            "precision": "single",
            "device": "GPU",
            "cuStateVec_enable": fast,
            "batched_shots_gpu": True,
        }
        assert attrs["custatevec"] == int(fast)


def test_where_it_is_not_there_the_gpu_is_refused(swept: QuantumCircuit) -> None:
    row = next(row for row in backends.available() if row.name == "aer-gpu")
    if row.ok:
        pytest.skip("this machine has the GPU")
    with pytest.raises(backends.BackendMissing, match="aer-gpu cannot be used here"):
        run(swept, "aer-gpu", shots=1, parameter_values=[0.1])


def test_the_branches_keep_the_norm() -> None:
    rng = np.random.default_rng(1)
    circuit = QuantumCircuit(3, 3)
    for step in range(6):
        circuit.ry(rng.uniform(0, 3), step % 3)
        circuit.cx(step % 3, (step + 1) % 3)
        circuit.measure(step % 3, step % 3)
    outcome, probabilities = _exact.distribution(circuit)
    branches, _ = _exact._run(circuit)
    assert len(branches) > 4
    assert sum(float(np.vdot(b.state, b.state).real) for b in branches) == pytest.approx(1, rel=1e-12)
    assert probabilities.sum() == pytest.approx(1, rel=1e-12)
    assert len(outcome) > 1
