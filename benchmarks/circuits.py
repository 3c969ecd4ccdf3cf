"""Two-qubit gates of our circuits beside Qiskit's and published ones, and the time of QFT-20 to 26 on two simulators.

    python benchmarks/circuits.py [--qubits 20 21 22 23 24 25 26] [--repeats 5] [--threads 1] [--json FILE]

Counts are CX in CX and one-qubit gates: Fourier transforms as they are built (optimisation drops phases below about
1e-12 from large ones, ours and Qiskit's alike), linear solvers at optimisation level 1. Times are wall times of one
process: Aer as it comes, Aer without gate fusion, and PennyLane's lightning.qubit run the same gates (ry, h, cp, swap)
on the same initial state, in turns A B C A B C, with the same number of threads allowed; each ends with the same
expectation value. Ratios are of neighbouring runs: median and range. What is compared and what is not:
benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Run as a script, this file would hide the package of the same name: its own folder comes first on the path.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

RESULTS = Path(__file__).parent / "results" / "circuits.json"
BYTES = 16  # of one amplitude
COPIES = 3  # of the state vector that must fit: the simulator's, and its temporaries
PUBLISHED = {  # (unknowns, clock bits): two-qubit gates
    (8, 6): (72_449, "QASMBench hhl_n10, arXiv:2005.13018"),
    (4, 4): (286, "Classiq's public notebook on HHL"),
}
KINDS = {"exponential": "matrix exponentials", "diagonalised": "diagonalised classically: a demonstration"}


# --- counts -----------------------------------------------------------------------------------------------------------


def in_cx(circuit: Any, *, level: int = 0) -> Any:
    from qiskit import transpile

    return transpile(circuit, basis_gates=["cx", "u"], optimization_level=level, seed_transpiler=1)


def n_cx(circuit: Any, *, level: int = 0) -> int:
    return int(in_cx(circuit, level=level).count_ops().get("cx", 0))


def depth(circuit: Any) -> int:
    return int(in_cx(circuit).depth(lambda instruction: len(instruction.qubits) == 2))


def fourier_rows(sizes: list[int]) -> list[dict[str, Any]]:
    """Fourier transforms beside Qiskit's."""
    from qiskit.synthesis import synth_qft_full, synth_qft_line

    from circuits.fourier import line_qft, qft

    rows = []
    for n in sizes:
        full = n_cx(synth_qft_full(n, do_swaps=False))
        line, line_depth = n_cx(synth_qft_line(n)), depth(synth_qft_line(n))
        reversed_line = n_cx(synth_qft_line(n, do_swaps=False))
        rows += [
            row(f"QFT-{n}, any pairs, no swaps", n_cx(qft(n, swaps=False)), "Qiskit synth_qft_full", full),
            row(
                f"QFT-{n}, any pairs, operator norm to 0.01",
                n_cx(qft(n, swaps=False, error=0.01)),
                "Qiskit synth_qft_full, exact",
                full,
            ),
            row(f"QFT-{n}, line, bits reversed", n_cx(line_qft(n)), "Qiskit synth_qft_line, natural order", line),
            row(
                f"QFT-{n}, line, bits reversed",
                n_cx(line_qft(n)),
                "Qiskit synth_qft_line(do_swaps=False)",
                reversed_line,
            ),
            row(f"QFT-{n}, line, bits reversed", n_cx(line_qft(n)), "Park and Ahn 2023, formula", n * n + n - 4),
            row(
                f"QFT-{n}, line, natural order",
                n_cx(line_qft(n, order="natural")),
                "Qiskit synth_qft_line",
                line,
            ),
            row(
                f"QFT-{n}, line, bits reversed: CX depth",
                depth(line_qft(n)),
                "Qiskit synth_qft_line",
                line_depth,
            ),
            row(
                f"QFT-{n}, line, natural order: CX depth",
                depth(line_qft(n, order="natural")),
                "Qiskit synth_qft_line",
                line_depth,
            ),
        ]
    return rows


def hhl_rows() -> list[dict[str, Any]]:
    """Linear solvers beside published circuits of the same size; all eigenvalues lie on the grid of the clock."""
    import numpy as np
    from scipy.stats import unitary_group

    from circuits.linear_systems import hhl

    rows = []
    for (size, n_clock), (peer, source) in PUBLISHED.items():
        rng = np.random.default_rng(1)
        values = rng.choice(np.array([k for k in range(1 - 2 ** (n_clock - 1), 2 ** (n_clock - 1)) if k]), size, False)
        vectors = unitary_group.rvs(size, random_state=1)
        matrix = (vectors * values) @ vectors.conj().T
        vector = rng.normal(size=size) + 1j * rng.normal(size=size)
        for evolution in KINDS:
            circuit = hhl(matrix, vector, n_clock=n_clock, evolution=evolution, time=2 * np.pi / 2**n_clock)
            label = f"HHL {size}x{size}, {n_clock} clock bits, {KINDS[evolution]}"
            rows.append(row(label, n_cx(circuit, level=1), source, peer))
    return rows


def row(name: str, value: int, peer: str, peer_value: int) -> dict[str, Any]:
    ratio = peer_value / value if value else None
    return {
        "name": name,
        "value": value,
        "unit": "layers" if "depth" in name else "CX",
        "peer": peer,
        "peer_value": peer_value,
        "ratio": ratio,
    }


# --- times ------------------------------------------------------------------------------------------------------------


def start_state(n: int) -> list[float]:
    """Angles of an RY on every qubit: a product state without zeros, the same for all."""
    return [0.3 + 0.1 * qubit for qubit in range(n)]


def aer(n: int, *, fusion: bool, threads: int) -> tuple[Callable[[], float], int]:
    """Return what runs the transform on Aer once, and its number of gates."""
    from qiskit.quantum_info import SparsePauliOp
    from qiskit_aer import AerSimulator

    circuit, n_gates = transform(n)
    circuit.save_expectation_value(SparsePauliOp.from_sparse_list([("X", [0], 1.0)], n), range(n), label="x")
    simulator = AerSimulator(method="statevector", fusion_enable=fusion, max_parallel_threads=threads)

    def once() -> float:
        result = simulator.run(circuit, shots=1).result()
        if not result.success:
            raise SystemExit(f"Aer could not run {n} qubits: {result.status}")
        return float(result.data()["x"])

    return once, n_gates


def lightning(n: int) -> Callable[[], float]:
    """Return what runs the transform on lightning.qubit once; its first wire is the highest qubit, as in memory."""
    import pennylane as qml

    circuit, _ = transform(n)
    gates = {"ry": qml.RY, "h": qml.Hadamard, "cp": qml.ControlledPhaseShift, "swap": qml.SWAP}
    operations = []
    for instruction in circuit.data:
        wires = [n - 1 - circuit.find_bit(qubit).index for qubit in instruction.qubits]
        operations.append(gates[instruction.operation.name](*map(float, instruction.operation.params), wires=wires))
    script = qml.tape.QuantumScript(operations, [qml.expval(qml.X(n - 1))])

    def once() -> float:
        device = qml.device("lightning.qubit", wires=n)
        return float(device.execute(script))

    return once


def transform(n: int) -> tuple[Any, int]:
    """Return the product state and the transform after it as one circuit, and the number of gates."""
    from qiskit import QuantumCircuit

    from circuits.fourier import qft

    circuit = QuantumCircuit(n)
    for qubit, turn in enumerate(start_state(n)):
        circuit.ry(turn, qubit)
    circuit.compose(qft(n), inplace=True)
    return circuit, len(circuit.data)


def bandwidth(n: int, repeats: int) -> list[float]:
    """Bytes a second of reading and writing 2^n amplitudes in place on one thread: what a gate does at the least."""
    import numpy as np

    state = np.ones(2 * 2**n)
    found = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        np.negative(state, out=state)
        found.append(2 * BYTES * 2**n / (time.perf_counter() - begin))
    return found[1:]  # the first one waits for the pages


def free_bytes() -> int:
    """Memory that is free now; a large number where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        line = next(line for line in text.splitlines() if line.startswith("MemAvailable:"))
        return 1024 * int(line.split()[1])
    except (OSError, StopIteration):
        return 2**62


def timing_rows(n: int, *, repeats: int, threads: int) -> tuple[list[dict[str, Any]], str]:
    """Time one size on all simulators, in turns."""
    plain, n_gates = aer(n, fusion=False, threads=threads)
    runs = {"Aer": aer(n, fusion=True, threads=threads)[0], "Aer without fusion": plain}
    if installed("pennylane-lightning"):
        runs["lightning.qubit"] = lightning(n)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    shares: dict[str, list[float]] = {name: [] for name in runs}
    values: dict[str, float] = {}
    for repeat in range(repeats + 1):
        for name, once in runs.items():
            cpu, begin = time.process_time(), time.perf_counter()
            values[name] = once()
            wall = time.perf_counter() - begin
            if repeat:  # the first turn warms up
                seconds[name].append(wall)
                shares[name].append((time.process_time() - cpu) / wall)
    spread = max(values.values()) - min(values.values())
    if spread > 1e-9:
        raise SystemExit(f"The simulators disagree on <X_0> of QFT-{n} by {spread:.2g}: {values}")
    speed = statistics.median(bandwidth(n, repeats))
    floor = n_gates * 2 * BYTES * 2**n / speed
    rows = []
    for name, measured in seconds.items():
        ratios = sorted(a / b for a, b in zip(measured, seconds["Aer"], strict=True))
        rows.append(
            {
                "name": f"QFT-{n}: {name}",
                "value": statistics.median(measured),
                "range": [min(measured), max(measured)],
                "unit": "s",
                "threads": threads,
                "gates": n_gates,
                "cores_used": statistics.median(shares[name]),
                "floor": floor,
                "bandwidth": speed,
                "peer": "Aer",
                "peer_value": statistics.median(seconds["Aer"]),
                "ratio": statistics.median(ratios),
                "ratio_range": [ratios[0], ratios[-1]],
            }
        )
    return rows, f"QFT-{n}: all agree on <X_0> = {values['Aer']:.9f} to {spread:.1e}"


# --- the script -------------------------------------------------------------------------------------------------------


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def show_counts(rows: list[dict[str, Any]], console: Any) -> None:
    from rich.table import Table

    table = Table(title="Two-qubit gates")
    for column in ("circuit", "ours", "other", "its value", "other / ours"):
        table.add_column(column, justify="left" if column in ("circuit", "other") else "right")
    for item in rows:
        ratio = "" if item["ratio"] is None else f"{item['ratio']:.3g}"
        table.add_row(item["name"], str(item["value"]), item["peer"], str(item["peer_value"]), ratio)
    console.print(table)


def show_times(rows: list[dict[str, Any]], console: Any) -> None:
    from rich.table import Table

    table = Table(title="Time of one transform: medians, ranges in brackets")
    for column in ("circuit: simulator", "gates", "cores used", "time [s]", "time / Aer", "floor [s]", "floor / time"):
        table.add_column(column, justify="left" if column == "circuit: simulator" else "right")
    for item in rows:
        low, high = item["range"]
        first, last = item["ratio_range"]
        table.add_row(
            item["name"],
            str(item["gates"]),
            f"{item['cores_used']:.2f}",
            f"{item['value']:.3g} [{low:.3g} - {high:.3g}]",
            f"{item['ratio']:.3g} [{first:.3g} - {last:.3g}]",
            f"{item['floor']:.3g}",
            f"{item['floor'] / item['value']:.2f}",
        )
    console.print(table)


def write(document: dict[str, Any], path: Path) -> None:
    """Write to a temporary name and rename: a reader finds the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    Path(file.name).replace(path)


def main(arguments: list[str] | None = None) -> None:
    from rich.console import Console

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--qubits", type=int, nargs="*", default=list(range(20, 27)), help="sizes that are timed")
    parser.add_argument("--sizes", type=int, nargs="*", default=[4, 8, 16, 32, 64], help="sizes that are counted")
    parser.add_argument("--repeats", type=int, default=5, help="timings of each simulator, in turns, after a warm-up")
    parser.add_argument("--threads", type=int, default=1, help="threads that each simulator may use")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the rows are written")
    given = parser.parse_args(arguments)
    # Read once, when the libraries are loaded: before anything else is imported.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(given.threads)
    console = Console()
    notes: list[str] = []
    counts = fourier_rows(given.sizes) + hhl_rows()
    show_counts(counts, console)
    times: list[dict[str, Any]] = []
    if given.qubits and not installed("qiskit-aer"):
        notes.append(f"Times need Qiskit Aer: {sys.executable} -m pip install qiskit-aer")
        given.qubits = []
    if given.qubits and not installed("pennylane-lightning"):
        notes.append("pennylane-lightning is not installed: Aer is timed alone.")
    for n in given.qubits:
        needed = COPIES * BYTES * 2**n
        if needed > free_bytes():
            notes.append(
                f"QFT-{n} was left out: it needs {needed / 2**30:.1f} GiB, {free_bytes() / 2**30:.1f} are free."
            )
            continue
        console.print(f"[dim]QFT-{n}[/]")
        rows, agreement = timing_rows(n, repeats=given.repeats, threads=given.threads)
        times += rows
        notes.append(agreement)
    if times:
        show_times(times, console)
        notes.append(
            "Floor: 32 x 2^n bytes for each gate at the bandwidth of one thread, measured beside. A controlled phase "
            "touches a quarter of the amplitudes and a swap half, and fusion joins gates: below the floor is possible."
        )
    for note in notes:
        console.print(note)
    packages = ("qmlphys", "qiskit", "qiskit-aer", "pennylane", "pennylane-lightning", "numpy")
    document = {"versions": {name: installed(name) for name in packages}, "notes": notes, "rows": counts + times}
    write(document, given.json)
    console.print(f"rows written to {given.json}")


if __name__ == "__main__":
    main()
