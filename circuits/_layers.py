"""Staircase layers of two-qubit gates: exact overlaps with a matrix product state, and optimisation gate by gate.

A layer has one gate on each pair of neighbours (i, i + 1), the last pair first. A circuit of L layers on |0...0>,
closed with <psi|, is a net of L rows and one column a pair. Contracted column by column, its boundary has two values
for each gate and side: 2 * 4**(L - 1) times the bond of psi, whatever the number of sites. Nothing is truncated.

In column i, gate l joins an index of the boundary on its left, (value before, value after) on qubit i, with one of the
boundary on its right, the same on qubit i + 1. So a column is a product of L matrices of 4 x 4 between two boundaries;
row 1 starts at |0> of qubit i, which leaves 2 of its 4 rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.linalg import null_space

from circuits import _tensors
from circuits._multiplexers import Complex

__all__: list[str] = []

Layer = list[Complex]
"""Unitaries (4, 4) of the pairs (0, 1), (1, 2), ...; in an index the lower qubit has weight 1."""

# Bonds of the state that is still to be disentangled. It only gives the start of an optimisation.
_MAX_RESIDUAL = 64
# 1 - F that rounding leaves of an exact circuit.
_EXACT = 1e-14
_TINY = 1e-300
# Sweeps after which one of two starts is chosen.
_RACE = 10
# Radians by which gates are shaken: enough to leave a saddle, too little to leave a valley.
_SHAKE = 0.01


class LayerNet:
    """The overlap <psi|layers|0...0> and what each gate sees of the others.

    Parameters
    ----------
    state : list of ndarray of complex128, (left, 2, right)
        psi, right-canonical of norm 1, at least two sites.
    layers : list of list of ndarray of complex128, (4, 4)
        The layer that acts first stands first; changed in place by `sweep`.
    """

    def __init__(self, state: list[Complex], layers: list[Layer]) -> None:
        self.layers = layers
        self._bra = [tensor.conj() for tensor in state]
        self._n_layers = len(layers)
        self._rights = self._all_rights()

    def restart(self, layers: list[Layer]) -> None:
        """Take other gates, as many as before."""
        self.layers = [list(layer) for layer in layers]
        self._rights = self._all_rights()

    def amplitude(self) -> complex:
        """Return <psi|layers|0...0>."""
        left, scale = self._first_left()
        closed, log = self._with_site(self._rights[0], 1)
        rows = [_rows(self.layers[row][0], row) for row in range(self._n_layers)]
        for row in range(self._n_layers):
            left = _applied(left, rows[row], row)
        value = complex(np.vdot(left.conj(), closed))
        return value * math.exp(scale + log)

    def sweep(self) -> float:
        """Replace each gate by the best one in its surroundings, there and back; return the squared overlap.

        The overlap is linear in a gate, Tr(E G), and largest for the unitary polar factor of E^H (Evenbly and Vidal,
        Phys. Rev. B 79, 144108 (2009)); so it never decreases.
        """
        n_columns = len(self._bra) - 1
        left, log = self._first_left()
        lefts = [(left, log)]
        for column in range(n_columns):
            self._improve(column, lefts[column])
            if column + 1 < n_columns:
                lefts.append(self._left_of(column, lefts[column]))
        size = 0.0
        for column in range(n_columns - 1, -1, -1):
            size = self._improve(column, lefts[column])
            if column:
                self._rights[column - 1] = self._right_of(column)
        return size**2

    def _improve(self, column: int, boundary: tuple[Complex, float]) -> float:
        """Update the gates of a column, first row to last; return the size of the overlap."""
        left, log_left = boundary
        closed, log_right = self._with_site(self._rights[column], column + 1)
        rows = [_rows(self.layers[row][column], row) for row in range(self._n_layers)]
        behind = [closed]
        for row in range(self._n_layers - 1, 0, -1):
            behind.append(_applied(behind[-1], rows[row].T, row))
        size = 0.0
        for row in range(self._n_layers):
            seen = _joined(left, behind[-1 - row], row)
            gate, size = _best(seen, self.layers[row][column], row)
            self.layers[row][column] = gate
            left = _applied(left, _rows(gate, row), row)
        return size * math.exp(log_left + log_right)

    def _all_rights(self) -> list[tuple[Complex, float]]:
        """Return the boundaries on the right of all columns."""
        n_columns = len(self._bra) - 1
        # The last qubit has no gate on its other side: values before and after are equal, and the first is 0.
        last = np.array([1.0, 0.0], dtype=np.complex128)
        for _ in range(self._n_layers - 1):
            last = np.multiply.outer(last, np.eye(2).reshape(-1))
        boundary = (last[..., np.newaxis], 0.0)
        rights = [boundary] * n_columns
        self._rights = rights
        for column in range(n_columns - 1, 0, -1):
            rights[column - 1] = self._right_of(column)
        return rights

    def _right_of(self, column: int) -> tuple[Complex, float]:
        """Return the boundary on the right of the column before."""
        found, log = self._with_site(self._rights[column], column + 1)
        for row in range(self._n_layers):
            found = _applied(found, _rows(self.layers[row][column], row).T, row)
        return _rescaled(found, log)

    def _with_site(self, boundary: tuple[Complex, float], site: int) -> tuple[Complex, float]:
        """Contract the right boundary of a column with psi at its upper qubit: an axis of 4 for each row, the bond."""
        found = np.tensordot(boundary[0], self._bra[site], axes=(-1, 2))
        found = np.moveaxis(found, -1, -2)
        return found.reshape(*[4] * self._n_layers, -1), boundary[1]

    def _first_left(self) -> tuple[Complex, float]:
        """Return the boundary on the left of column 0: values before and after are equal, the last one goes to psi."""
        first = np.ones(1, dtype=np.complex128)
        for _ in range(self._n_layers - 1):
            first = np.multiply.outer(first, np.eye(2))
        first = np.multiply.outer(first, self._bra[0][0])
        return first.reshape(2, *[4] * (self._n_layers - 1), -1), 0.0

    def _left_of(self, column: int, boundary: tuple[Complex, float]) -> tuple[Complex, float]:
        """Return the boundary on the left of the next column."""
        left, log = boundary
        for row in range(self._n_layers):
            left = _applied(left, _rows(self.layers[row][column], row), row)
        bond = left.shape[-1]
        site = self._bra[column + 1]
        left = left.reshape(-1, 2, bond).transpose(0, 2, 1).reshape(-1, bond * 2)
        left = left @ site.reshape(bond * 2, -1)
        return _rescaled(left.reshape(2, *[4] * (self._n_layers - 1), -1), log)


class Ascent:
    """Sweeps with momentum: before a sweep, gates go on in the direction of their last changes.

    As in Nesterov's method with restarts (O'Donoghue and Candes, Found. Comput. Math. 15, 715 (2015)): where a step led
    to less, it is taken back and the momentum starts anew, so that the overlap never decreases. Without it, the sweeps
    creep along valleys, and take two to four times as many.
    """

    def __init__(self, net: LayerNet) -> None:
        self._net = net
        self._before: list[Layer] | None = None
        self._age = 0
        self.layers = [list(layer) for layer in net.layers]
        self.reached = abs(net.amplitude()) ** 2
        self.done = 1.0 - self.reached < _EXACT

    def run(self, n_sweeps: int, tolerance: float) -> None:
        """Sweep until one sweep lowers -log of the squared overlap by less than a fraction `tolerance` of it."""
        for _ in range(n_sweeps):
            if self.done:
                return
            before = self.reached
            self._step()
            # -log F adds up over sites, so it is the same measure for large and small states.
            gain = math.log(self.reached / before) if before > 0.0 else math.inf
            self.done = 1.0 - self.reached < _EXACT or gain <= -tolerance * math.log(max(before, _TINY))

    def _step(self) -> None:
        if self._before is not None and self._age > 0:
            weight = self._age / (self._age + 3.0)
            self._net.restart(_extrapolated(self.layers, self._before, weight))
            reached = self._net.sweep()
            if reached < self.reached:
                self._age = 0
                self._net.restart(self.layers)
                reached = self._net.sweep()
        else:
            reached = self._net.sweep()
        self._before, self.layers = self.layers, [list(layer) for layer in self._net.layers]
        self.reached = max(reached, self.reached)
        self._age += 1


def _extrapolated(layers: list[Layer], before: list[Layer], weight: float) -> list[Layer]:
    """Return the unitaries nearest to where the last change of the gates leads."""
    moved = np.array(layers) + weight * (np.array(layers) - np.array(before))
    left, _, right = np.linalg.svd(moved)
    return [list(layer) for layer in left @ right]


def _rows(gate: Complex, row: int) -> Complex:
    """Return a gate as a matrix from (before, after) of its lower qubit to those of the upper; row 0 starts at |0>."""
    # Axes of a gate: upper and lower qubit after it, upper and lower before it.
    matrix = gate.reshape(2, 2, 2, 2).transpose(3, 1, 2, 0)
    return (matrix[:1] if row == 0 else matrix).reshape(-1, 4)


def _applied(boundary: Complex, matrix: Complex, axis: int) -> Complex:
    """Multiply one axis by a matrix from the right."""
    shape = boundary.shape
    before, behind = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    found = np.matmul(matrix.T, boundary.reshape(before, shape[axis], behind))
    return found.reshape(*shape[:axis], matrix.shape[1], *shape[axis + 1 :])


def _joined(left: Complex, right: Complex, axis: int) -> Complex:
    """Contract all axes but one of either boundary."""
    before = math.prod(left.shape[:axis])
    first = left.reshape(before, left.shape[axis], -1).transpose(1, 0, 2).reshape(left.shape[axis], -1)
    second = right.reshape(before, right.shape[axis], -1).transpose(0, 2, 1).reshape(-1, right.shape[axis])
    return first @ second


def _rescaled(boundary: Complex, log: float) -> tuple[Complex, float]:
    """Return a boundary of norm 1 and the logarithm of what was divided out."""
    norm = float(np.linalg.norm(boundary))
    return (boundary / norm, log + math.log(norm)) if norm > 0.0 else (boundary, log)


def _best(seen: Complex, gate: Complex, row: int) -> tuple[Complex, float]:
    """Return the unitary that makes the overlap largest, and that overlap up to the scale of the boundaries."""
    # Back to axes of a gate: after (upper, lower), before (upper, lower).
    matrix = seen.reshape(-1, 2, 2, 2).transpose(3, 1, 2, 0).conj()
    if row == 0:
        # Qubit i comes as |0>: two columns are free, and stay as near to what they are as they can.
        left, weights, right = np.linalg.svd(matrix.reshape(4, 2), full_matrices=False)
        return completed(left @ right, [0, 2], gate), float(weights.sum())
    left, weights, right = np.linalg.svd(matrix.reshape(4, 4))
    return left @ right, float(weights.sum())


def completed(columns: Complex, places: list[int], near: Complex | None = None) -> Complex:
    """Return the unitary with given columns at `places` that is nearest to `near` (the identity) elsewhere."""
    size = columns.shape[0]
    near = np.eye(size, dtype=np.complex128) if near is None else near
    free = [place for place in range(size) if place not in places]
    unitary = np.empty((size, size), dtype=np.complex128)
    unitary[:, places] = columns
    if free:
        rest = null_space(columns.conj().T)
        left, _, right = np.linalg.svd(rest.conj().T @ near[:, free])
        unitary[:, free] = rest @ (left @ right)
    return unitary


def disentangler(state: list[Complex]) -> Layer:
    """Return the layer that prepares the state with its bonds cut to 2 (Ran, Phys. Rev. A 101, 032310 (2020))."""
    left, _ = _tensors.centred(_tensors.canonical(state, max_bond=2), len(state) - 1)
    layer = []
    # The values of qubit 0 take the place of its bond.
    turn = left[0][0]
    for tensor in left[1:]:
        columns = np.einsum("xl,lsr->sxr", turn, tensor)
        right = columns.shape[2]
        layer.append(completed(columns.reshape(4, right), [0, 2][:right]))
        turn = np.eye(2, dtype=np.complex128)[:, :right]
    return layer


def undone(state: list[Complex], layer: Layer) -> list[Complex]:
    """Return the state with a layer taken off, bonds cut to 64, right-canonical."""
    found = []
    carried = state[0]
    for gate, tensor in zip(layer, state[1:], strict=True):
        pair = np.tensordot(carried, tensor, axes=(2, 0))  # left, lower, upper, right
        inverse = gate.conj().T.reshape(2, 2, 2, 2)  # upper and lower after, upper and lower before
        pair = np.einsum("UVul,aluz->aVUz", inverse, pair)
        left, right = pair.shape[0], pair.shape[3]
        u, weights, v = np.linalg.svd(pair.reshape(left * 2, 2 * right), full_matrices=False)
        kept = min(_MAX_RESIDUAL, int(np.count_nonzero(weights > 1e-12 * weights[0])))
        found.append(u[:, :kept].reshape(left, 2, kept))
        carried = (weights[:kept, np.newaxis] * v[:kept]).reshape(kept, 2, right)
    found.append(carried)
    return _tensors.canonical(found)


def grown(state: list[Complex], n_layers: int, n_sweeps: int, tolerance: float) -> Iterator[tuple[list[Layer], float]]:
    """Yield layers that prepare the state better and better, one more each time, and the squared overlap.

    Stacks race for a few sweeps: the layers found so far behind the disentangler of what they leave (or behind
    identities, if those do better), and disentanglers alone, which are a worse start but often in a better valley; each
    as it is and slightly shaken, since states with symmetries start on saddles, where sweeps come to rest. The first of
    them is never worse than the layers before, so neither is the winner.
    """
    layers: list[Layer] = []
    alone: list[Layer] = []
    for _ in range(n_layers):
        alone = _with_disentangler(state, alone)
        nets = [_tried(state, alone)]
        if layers:
            identities = [np.eye(4, dtype=np.complex128) for _ in layers[0]]
            trials = [_tried(state, trial) for trial in (_with_disentangler(state, layers), [identities, *layers])]
            nets.append(max(trials, key=lambda trial: trial.reached))
        if n_sweeps > 0 and not any(net.done for net in nets):
            nets += [_tried(state, _shaken(net.layers)) for net in nets]
        for net in nets:
            net.run(min(n_sweeps, _RACE), tolerance)
        best = max(nets, key=lambda net: net.reached)
        best.run(n_sweeps - _RACE, tolerance)
        layers = best.layers
        yield layers, best.reached
        if 1.0 - best.reached < _EXACT:
            return


def _shaken(layers: list[Layer]) -> list[Layer]:
    """Return gates turned by small random angles, the same at each call."""
    rng = np.random.default_rng(0)
    shape = np.shape(layers)
    turn = rng.normal(scale=_SHAKE, size=shape) + 1j * rng.normal(scale=_SHAKE, size=shape)
    left, _, right = np.linalg.svd(np.array(layers) + turn)
    return [list(layer) for layer in left @ right]


def _with_disentangler(state: list[Complex], layers: list[Layer]) -> list[Layer]:
    """Return layers behind the disentangler of what they leave of the state."""
    for layer in reversed(layers):
        state = undone(state, layer)
    return [disentangler(state), *layers]


def _tried(state: list[Complex], layers: list[Layer]) -> Ascent:
    """Return the ascent from a copy of some layers."""
    return Ascent(LayerNet(state, [list(layer) for layer in layers]))
