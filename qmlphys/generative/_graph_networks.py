"""Weights, gradients and samples of graph states with a matrix on each qubit, by contraction."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from qmlphys.generative._graph_parameters import Angles, condition_numbers
from qmlphys.generative._graphs import Graph
from qmlphys.generative._networks import Ids, Network, Plan, network

__all__ = ["GraphLikelihood", "GraphNetworks"]

_Chunks = list[tuple[slice, Plan]]

_CZ = torch.tensor([[[1.0, 1.0], [1.0, -1.0]]], dtype=torch.complex128)
_ONES = torch.ones((1, 2), dtype=torch.complex128)
_FLOOR = 1e-300
_LOG_HALF = float(np.log(0.5))


class _Layers:
    """The network of <Q| (projectors on measured qubits) |Q>, all other qubits traced out.

    The two layers <Q| and |Q> are joined by N = M^+ M on each qubit that is not measured. A measured one enters each
    layer as a vector, a row of M. If all are measured, one layer is the conjugate of the other and only one is
    contracted.
    """

    def __init__(self, graph: Graph, measured: tuple[int, ...]) -> None:
        self.graph = graph
        self.measured = measured
        n = graph.n_qubits
        self.double = len(measured) < n
        is_measured = set(measured)
        self.ket: dict[int, int] = {}
        self.bra: dict[int, int] = {}
        self.pair: dict[int, int] = {}
        inputs: list[tuple[int, ...]] = []
        for qubit in range(n):
            if qubit not in is_measured:
                self.pair[qubit] = len(inputs)
                inputs.append((qubit, n + qubit))
                continue
            self.ket[qubit] = len(inputs)
            inputs.append((qubit,))
            if self.double:
                self.bra[qubit] = len(inputs)
                inputs.append((n + qubit,))
        self.n_matrices = len(inputs)
        for i, j in graph.edges:
            inputs.append((i, j))
            if self.double:
                inputs.append((n + i, n + j))
        # The index of a qubit without neighbours needs another tensor, lest its environment has no such axis.
        for qubit in sorted(set(range(n)).difference(*graph.edges)):
            inputs.append((qubit,))
            if self.double:
                inputs.append((n + qubit,))
        self.inputs = tuple(inputs)
        self.network: Network = network(self.inputs)

    def tensors(self, matrices: torch.Tensor) -> list[torch.Tensor]:
        found: list[torch.Tensor] = [_ONES] * self.n_matrices
        for qubit, leaf in self.ket.items():
            found[leaf] = matrices[qubit]
        for qubit, leaf in self.bra.items():
            found[leaf] = matrices[qubit].conj()
        if self.pair:
            traced = torch.einsum("qyg,qyh->qgh", matrices, matrices.conj())
            for qubit, leaf in self.pair.items():
                found[leaf] = traced[qubit : qubit + 1]
        return found + [_CZ if len(term) == 2 else _ONES for term in self.inputs[self.n_matrices :]]

    def plan(self, bits: NDArray[np.int8]) -> Plan:
        """Patterns for rows of bits, columns in the order of `measured`."""
        ids: list[Ids | None] = [None] * len(self.inputs)
        counts = [1] * len(self.inputs)
        for column, qubit in enumerate(self.measured):
            for layer in (self.ket, self.bra):
                if qubit in layer:
                    ids[layer[qubit]] = bits[:, column].astype(np.int64)
                    counts[layer[qubit]] = 2
        return self.network.plan(ids, counts)

    def log_weights(self, matrices: torch.Tensor, plan: Plan, *, floor: float = 0.0) -> torch.Tensor:
        """Logarithms of the weights of all patterns of the plan, the norm of |G> included.

        Training has a floor in place of zeros, at which the derivative vanishes instead of being undefined.
        """
        values, logs = self.network.contract(self.tensors(matrices), plan)
        size = values.real if self.double else values.abs()
        found = torch.log(size.clamp(min=floor)) + logs
        return (found if self.double else 2 * found) + self.graph.n_qubits * _LOG_HALF


class GraphNetworks:
    """Everything that is contracted for one graph and one choice of visible qubits.

    Parameters
    ----------
    graph : Graph
        The graph.
    visible : tuple of int
        Visible qubits, in the order of the columns of rows.

    Raises
    ------
    ValueError
        If the contraction needs too much memory.
    """

    def __init__(self, graph: Graph, visible: tuple[int, ...]) -> None:
        self.graph = graph
        self.visible = visible
        self.rows = _Layers(graph, visible)
        self.norm = _Layers(graph, ())
        self._norm_plan = self.norm.plan(np.zeros((1, 0), dtype=np.int8))

    def log_norm(self, matrices: torch.Tensor) -> torch.Tensor:
        """Return log <Q|Q>, a scalar."""
        return self.norm.log_weights(matrices, self._norm_plan)[0]

    def plans(self, bits: NDArray[np.int8], *, kept: bool) -> Iterator[tuple[slice, Plan]]:
        """Cut rows into chunks that fit into memory; `kept` for gradients, which keep all partial results."""
        self.norm.network.rows_at_once(kept=kept)
        step = self.rows.network.rows_at_once(kept=kept)
        for first in range(0, len(bits), step):
            part = slice(first, first + step)
            yield part, self.rows.plan(bits[part])

    def log_likelihood(self, matrices: NDArray[np.complex128], bits: NDArray[np.int8]) -> NDArray[np.float64]:
        """Return log q of each row."""
        found = np.empty(len(bits))
        with torch.no_grad():
            tensor = torch.from_numpy(matrices)
            for part, plan in self.plans(bits, kept=False):
                logs = self.rows.log_weights(tensor, plan)
                found[part] = _by_row(logs, plan).numpy()
            found -= float(self.log_norm(tensor))
        return found

    def gradient_by_autograd(
        self, matrices: torch.Tensor, chunks: list[tuple[slice, Plan]], weights: torch.Tensor
    ) -> tuple[float, torch.Tensor]:
        """Return sum_r w_r log q(x_r), weights of sum 1, and its gradient for every entry, d/dRe + i d/dIm."""
        leaf = matrices.detach().clone().requires_grad_()
        log_norm = self.log_norm(leaf)
        (-log_norm).backward()
        total = -float(log_norm.detach())
        for part, plan in chunks:
            share = (weights[part] * _by_row(self.rows.log_weights(leaf, plan, floor=_FLOOR), plan)).sum()
            share.backward()
            total += float(share.detach())
        assert leaf.grad is not None  # noqa: S101 - for the type checker: every entry takes part
        return total, leaf.grad

    def value(self, matrices: torch.Tensor, chunks: list[tuple[slice, Plan]], weights: torch.Tensor) -> float:
        """Return sum_r w_r log q(x_r), weights of sum 1."""
        with torch.no_grad():
            total = -float(self.log_norm(matrices))
            for part, plan in chunks:
                logs = self.rows.log_weights(matrices, plan, floor=_FLOOR)
                total += float((weights[part] * _by_row(logs, plan)).sum())
        return total

    def gradient_by_expectation(
        self, matrices: NDArray[np.complex128], bits: NDArray[np.int8], weights: NDArray[np.float64]
    ) -> NDArray[np.complex128]:
        """Return the gradient from reduced operators of single qubits, without autograd.

        Notes
        -----
        With O = dM M^-1 the change of log <Q|Q> is 2 Re tr(O rho), rho the reduced density matrix of the qubit in |Q>;
        that of log <Q|P_x|Q> is the same with rho from <x|Q> for a hidden qubit, and with the operator R =
        tr_rest(|Q><Q| P_x) / <P_x> for a visible one. For dM = |a><g| the trace is (M^-1 rho)[g, a].
        """
        tensor = torch.from_numpy(matrices)
        inverse = np.linalg.inv(matrices)
        n = self.graph.n_qubits
        reduced = np.zeros((n, 2, 2), dtype=np.complex128)
        with torch.no_grad():
            tensors = self.norm.tensors(tensor)
            qubits = {leaf: qubit for qubit, leaf in self.norm.pair.items()}
            for leaf, outer, _ in self.norm.network.environments(tensors, self._norm_plan, list(qubits)):
                m = matrices[qubits[leaf]]
                # The environment's axes are those of |Q> and <Q| before M.
                rho = m @ outer[0].numpy() @ m.conj().T
                reduced[qubits[leaf]] -= rho / np.trace(rho)
            for part, plan in self.plans(bits, kept=True):
                self._add_rows(reduced, tensor, plan, weights[part])
        return 2 * np.swapaxes(inverse @ reduced, 1, 2).conj()

    def _add_rows(
        self, reduced: NDArray[np.complex128], tensor: torch.Tensor, plan: Plan, weights: NDArray[np.float64]
    ) -> None:
        """Add the weighted mean of R (visible qubits) and of the reduced states in <x|Q> (hidden ones)."""
        tensors = self.rows.tensors(tensor)
        ket = {leaf: qubit for qubit, leaf in self.rows.ket.items()}
        pair = {leaf: qubit for qubit, leaf in self.rows.pair.items()}
        matrices = tensor.numpy()
        for leaf, outer, ids in self.rows.network.environments(tensors, plan, [*ket, *pair]):
            env = outer.numpy()
            if leaf in ket:
                m = matrices[ket[leaf]]
                own = plan.ids[leaf]
                assert own is not None  # noqa: S101 - for the type checker: a measured qubit has a bit in every row
                # <b| Q> with the qubit left open; only the measured outcome meets P_x.
                open_ends = env @ m.T
                rows = np.zeros(len(own), dtype=np.int64) if ids is None else ids
                share = weights / open_ends[rows, own]
                for outcome in (0, 1):
                    here = own == outcome
                    reduced[ket[leaf]][:, outcome] += share[here] @ open_ends[rows[here]]
            else:
                m = matrices[pair[leaf]]
                rho = m @ env @ m.conj().T
                rho /= np.trace(rho, axis1=1, axis2=2)[:, None, None]
                share = np.array([weights.sum()]) if ids is None else np.bincount(ids, weights, minlength=len(rho))
                reduced[pair[leaf]] += np.tensordot(share, rho, axes=(0, 0))

    def sample(
        self, matrices: NDArray[np.complex128], uniform: NDArray[np.float64], forced: dict[int, int]
    ) -> tuple[NDArray[np.int8], float]:
        """Draw rows of bits, and the smallest conditional probability of a forced bit.

        Parameters
        ----------
        matrices : ndarray
            The matrices.
        uniform : ndarray, shape (n, number of free columns)
            Random numbers.
        forced : dict of int to int
            Bits of columns that are given.
        """
        with torch.no_grad():
            tensor = torch.from_numpy(matrices)
            tensors = self.norm.tensors(tensor)
            outcomes = torch.einsum("qyg,qyh->qygh", tensor, tensor.conj())
            leaves = [self.norm.pair[qubit] for qubit in self.visible]
            branches = {leaf: outcomes[qubit] for leaf, qubit in zip(leaves, self.visible, strict=True)}
            fixed = {leaves[column]: bit for column, bit in forced.items()}
            bits = np.empty((len(uniform), len(leaves)), dtype=np.int8)
            smallest = 1.0
            if fixed:
                _, smallest = self.norm.network.sample(
                    tensors, {leaf: branches[leaf] for leaf in fixed}, np.empty((1, 0)), fixed
                )
                for leaf, bit in fixed.items():
                    tensors[leaf] = branches.pop(leaf)[bit : bit + 1]
            step = self.norm.network.rows_at_once(kept=True)
            for first in range(0, len(uniform), step):
                part = slice(first, first + step)
                drawn, _ = self.norm.network.sample(tensors, branches, uniform[part]) if branches else ({}, 1.0)
                for column, leaf in enumerate(leaves):
                    bits[part, column] = fixed[leaf] if leaf in fixed else drawn[leaf]
        return bits, smallest


class GraphLikelihood:
    """The negative log-likelihood as a function of the angles of the matrices."""

    def __init__(self, networks: GraphNetworks, angles: Angles) -> None:
        self.networks = networks
        self.angles = angles

    def prepare(self, rows: NDArray[np.int8], weights: NDArray[np.float64]) -> tuple[_Chunks, torch.Tensor]:
        """Find the patterns of partial contractions."""
        return list(self.networks.plans(rows, kept=True)), torch.from_numpy(weights)

    def gradient(
        self, theta: NDArray[np.float64], batch: tuple[_Chunks, torch.Tensor]
    ) -> tuple[float, float, NDArray[np.float64]]:
        """Return the NLL twice (there is no penalty), and its gradient."""
        angles = torch.from_numpy(theta).clone().requires_grad_()
        matrices = self.angles.matrices(angles)
        value, gradient = self.networks.gradient_by_autograd(matrices, *batch)
        matrices.backward(gradient)
        assert angles.grad is not None  # noqa: S101 - for the type checker
        return -value, -value, -angles.grad.numpy()

    def nll(self, theta: NDArray[np.float64], batch: tuple[_Chunks, torch.Tensor]) -> float:
        """Return the NLL."""
        return -self.networks.value(self.angles.matrices(torch.from_numpy(theta)), *batch)

    def measured(self, theta: NDArray[np.float64]) -> dict[str, float]:
        """Return the largest condition number."""
        matrices = self.angles.matrices(torch.from_numpy(theta)).numpy()
        return {"condition": float(condition_numbers(matrices).max())}


def _by_row(values: torch.Tensor, plan: Plan) -> torch.Tensor:
    ids = plan.ids[-1]
    return values if ids is None else values.index_select(0, torch.from_numpy(ids))
