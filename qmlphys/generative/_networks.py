"""Networks of two-valued indices: contraction of many rows at once, environments, and exact sampling.

A network is a list of tensors whose axes are named by integers; an index may belong to any number of tensors, and the
value of the network is the sum over all indices of the product of the tensors. Rows (data) enter through tensors that
have several *patterns*, for example one for each bit of a visible qubit. A partial contraction depends only on the bits
below it, so that it is done once for each pattern of these, not once for each row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from qmlphys.generative._trees import Tree, contraction_tree

__all__ = ["Ids", "Network", "Plan", "network"]

Ids = NDArray[np.int64]

# Complex numbers of all partial results of one chunk of rows: 256 MiB.
_CHUNK = 2**24
_MOST = 2**28  # for one row: 4 GiB


@dataclass(frozen=True)
class _Join:
    """Which patterns of the left and right part make the patterns of a node; None takes all, or the only one."""

    left: torch.Tensor | None
    right: torch.Tensor | None


@dataclass(frozen=True)
class Plan:
    """Patterns of every partial contraction for given rows."""

    joins: tuple[_Join, ...]
    ids: tuple[Ids | None, ...]
    counts: tuple[int, ...]


class Network:
    """The structure of a network, with the order in which it is contracted.

    Parameters
    ----------
    inputs : tuple of tuple of int
        Indices of each tensor, all of dimension 2; at least two tensors. Where environments are wanted, each index must
        belong to several tensors.
    argument : str
        What errors call the source of the network.

    Raises
    ------
    ValueError
        If the best order that is found needs too much memory.
    """

    def __init__(self, inputs: tuple[tuple[int, ...], ...], argument: str = "graph") -> None:
        self.argument = argument
        self.tree: Tree = contraction_tree(inputs, argument)

    def rows_at_once(self, *, kept: bool) -> int:
        """Return how many rows fit into a chunk.

        Parameters
        ----------
        kept : bool
            Whether all partial results stay in memory, as for gradients and samples.

        Raises
        ------
        ValueError
            If they are too many for a single row.
        """
        size = self.tree.total if kept else 4 * self.tree.largest
        if size > _MOST:
            raise ValueError(
                f"Argument `{self.argument}` must be of small treewidth, but gradients and samples would keep {size} "
                f"numbers in memory (at most {_MOST})."
            )
        return max(1, _CHUNK // size)

    def plan(self, ids: Sequence[Ids | None], counts: Sequence[int]) -> Plan:
        """Find the patterns of all partial results.

        Parameters
        ----------
        ids : sequence of (None or ndarray of int64, shape (n_rows,))
            For each tensor the pattern that a row takes; None where it is the same for all rows.
        counts : sequence of int
            Number of patterns of each tensor.
        """
        all_ids, all_counts, joins = list(ids), list(counts), []
        for node in self.tree.nodes:
            join, found, count = _join(
                all_ids[node.left], all_counts[node.left], all_ids[node.right], all_counts[node.right]
            )
            joins.append(join)
            all_ids.append(found)
            all_counts.append(count)
        return Plan(tuple(joins), tuple(all_ids), tuple(all_counts))

    def contract(self, tensors: Sequence[torch.Tensor], plan: Plan) -> tuple[torch.Tensor, torch.Tensor]:
        """Contract everything.

        Parameters
        ----------
        tensors : sequence of Tensor, each of shape (n_patterns, 2, ..., 2)
            The tensors.
        plan : Plan
            Which patterns meet.

        Returns
        -------
        (Tensor, Tensor), each of shape (n_patterns of the root,)
            Values of the order of one, and logarithms of the positive factors that were taken out of them. Autograd
            sees the factors as constants, which is right for the logarithm of the value.
        """
        values, logs = self._upwards(tensors, plan)
        return values[-1], torch.zeros(1, dtype=torch.float64) if logs[-1] is None else logs[-1]

    def _upwards(
        self, tensors: Sequence[torch.Tensor], plan: Plan, *, keep: bool = False
    ) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
        values: list[torch.Tensor] = list(tensors)
        logs: list[torch.Tensor | None] = [None] * len(values)
        for node, join in zip(self.tree.nodes, plan.joins, strict=True):
            value = _product(node.equation, values[node.left], values[node.right], join)
            log = _sum(_taken(logs[node.left], join.left), _taken(logs[node.right], join.right))
            if log is not None and len(log) < len(value):
                log = log.expand(len(value))  # the factor of a part that is the same for all rows
            if node.rescaled:
                value, factor = _rescaled(value)
                log = _sum(log, factor.log())
            values.append(value)
            logs.append(log)
            if not keep:
                values[node.left] = values[node.right] = _NOTHING
        return values, logs

    def environments(
        self, tensors: Sequence[torch.Tensor], plan: Plan, leaves: Sequence[int]
    ) -> Iterator[tuple[int, torch.Tensor, Ids | None]]:
        """Yield, for tensors of the network, the contraction of all others with open indices.

        Parameters
        ----------
        tensors : sequence of Tensor
            The tensors.
        plan : Plan
            Which patterns meet.
        leaves : sequence of int
            Which tensors are left out, one at a time.

        Yields
        ------
        (int, Tensor of shape (n_patterns, 2, ..., 2), ids)
            The tensor's number, its environment up to a positive factor a pattern, and the pattern of each row.
        """
        values, _ = self._upwards(tensors, plan, keep=True)
        wanted = self.tree.above(leaves)
        outer: dict[int, tuple[torch.Tensor, Ids | None, int]] = {
            self.tree.root: (torch.ones(1, dtype=values[-1].dtype), None, 1)
        }
        for number in range(self.tree.root, -1, -1):
            if number not in wanted:
                continue
            value, ids, count = outer.pop(number)
            if number < self.tree.n_leaves:
                yield number, value, ids
                continue
            node = self.tree.nodes[number - self.tree.n_leaves]
            for child, other in ((node.left, node.right), (node.right, node.left)):
                if child in wanted:
                    join, found, n = _join(ids, count, plan.ids[other], plan.counts[other])
                    equation = self.tree.downward(number, other, child)
                    outer[child] = (_rescaled(_product(equation, value, values[other], join))[0], found, n)

    def sample(
        self,
        tensors: Sequence[torch.Tensor],
        branches: dict[int, torch.Tensor],
        uniform: NDArray[np.float64],
        forced: dict[int, int] | None = None,
    ) -> tuple[dict[int, Ids], float]:
        """Draw which branch each of some tensors takes; the tensor itself is the sum of its two branches.

        Parameters
        ----------
        tensors : sequence of Tensor, each of shape (1, 2, ..., 2)
            The tensors.
        branches : dict of int to Tensor of shape (2, 2, ..., 2)
            The two parts, by the number of the tensor. The value of the network with one branch for each of these
            tensors is the weight of the configuration, and must not be negative.
        uniform : ndarray, shape (n, number of free branches)
            Random numbers, one a tensor that is drawn, in the order of `branches`.
        forced : dict of int to int, optional
            Tensors that take a given branch without a draw.

        Returns
        -------
        (dict of int to ndarray of int64, shape (n,), float)
            Branches taken, and the smallest conditional probability of a forced branch, of all rows.

        Notes
        -----
        Each partial contraction is visited once: its surroundings know the branches drawn so far, and sum over the
        others. The two parts of a node are visited one after the other, the second one surrounded by what was drawn in
        the first. So a draw costs about three contractions, whatever the number of sites.
        """
        forced = forced or {}
        values, _ = self._upwards(tensors, self.plan([None] * len(tensors), [1] * len(tensors)), keep=True)
        parts: list[tuple[torch.Tensor, Ids | None, int]] = [(value, None, 1) for value in values]
        column = {leaf: k for k, leaf in enumerate(leaf for leaf in branches if leaf not in forced)}
        wanted = self.tree.above(list(branches))
        drawn: dict[int, Ids] = {}
        smallest = 1.0
        tree = self.tree
        stack: list[tuple[str, int, tuple[torch.Tensor, Ids | None, int]]] = [
            ("enter", tree.root, (torch.ones(1, dtype=values[-1].dtype), None, 1))
        ]
        while stack:
            stage, number, outer = stack.pop()
            if number < tree.n_leaves:
                weights = _weights(outer[0], branches[number])
                shares = weights[:, 1] / weights.sum(axis=1)
                rows = np.zeros(len(uniform), dtype=np.int64) if outer[1] is None else outer[1]
                if number in forced:
                    taken = np.full(len(rows), forced[number])
                    smallest = min(smallest, float((shares if forced[number] else 1 - shares).min()))
                else:
                    taken = (uniform[:, column[number]] < shares[rows]).astype(np.int64)
                drawn[number] = taken
                parts[number] = (branches[number], taken, 2)
                continue
            node = tree.nodes[number - tree.n_leaves]
            if stage == "leave":
                left, right = parts[node.left], parts[node.right]
                join, ids, count = _join(left[1], left[2], right[1], right[2])
                parts[number] = (_rescaled(_product(node.equation, left[0], right[0], join))[0], ids, count)
                continue
            if stage == "enter":
                # Last in, first out: the left part, then the right part, then the node itself.
                stack += [("leave", number, outer), ("right", number, outer), ("left", number, outer)]
                continue
            child, other = (node.left, node.right) if stage == "left" else (node.right, node.left)
            if child in wanted:
                join, ids, count = _join(outer[1], outer[2], parts[other][1], parts[other][2])
                value = _product(tree.downward(number, other, child), outer[0], parts[other][0], join)
                stack.append(("enter", child, (_rescaled(value)[0], ids, count)))
        return drawn, smallest


@lru_cache(maxsize=256)
def network(inputs: tuple[tuple[int, ...], ...], argument: str = "graph") -> Network:
    """Return the network of this structure; the search for its order is done once."""
    return Network(inputs, argument)


def _weights(outer: torch.Tensor, branches: torch.Tensor) -> NDArray[np.float64]:
    """Weights of the two branches in their surroundings, (n_patterns, 2); rounding may leave them below zero."""
    found = outer.reshape(len(outer), -1) @ branches.reshape(2, -1).T
    weights = np.maximum(found.real.numpy(), 0.0)
    # Surroundings that rounding made zero altogether cannot have been drawn but by rounding.
    weights[weights.sum(axis=1) == 0] = 1.0
    return weights


_NOTHING = torch.empty(0)


def _join(a: Ids | None, n_a: int, b: Ids | None, n_b: int) -> tuple[_Join, Ids | None, int]:
    if a is None or b is None:
        return _Join(None, None), b if a is None else a, n_b if a is None else n_a
    keys = a * n_b + b
    if n_a * n_b <= 4 * len(keys) + 64:
        pairs = np.flatnonzero(np.bincount(keys, minlength=n_a * n_b))
        numbers = np.empty(n_a * n_b, dtype=np.int64)
        numbers[pairs] = np.arange(len(pairs))
        ids = numbers[keys]
    else:
        pairs, ids = np.unique(keys, return_inverse=True)
    return _Join(_selection(pairs // n_b, n_a), _selection(pairs % n_b, n_b)), ids, len(pairs)


def _selection(patterns: Ids, n: int) -> torch.Tensor | None:
    if len(patterns) == n and (patterns == np.arange(n)).all():
        return None
    return torch.from_numpy(patterns)


def _taken(value: torch.Tensor | None, selection: torch.Tensor | None) -> torch.Tensor | None:
    return value if value is None or selection is None else value.index_select(0, selection)


def _sum(a: torch.Tensor | None, b: torch.Tensor | None) -> torch.Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _product(equation: str, left: torch.Tensor, right: torch.Tensor, join: _Join) -> torch.Tensor:
    if join.left is not None:
        left = left.index_select(0, join.left)
    if join.right is not None:
        right = right.index_select(0, join.right)
    return torch.einsum(equation, left, right)


def _rescaled(value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Divide every pattern by its largest absolute value, which is returned, too; zeros are left alone."""
    with torch.no_grad():
        factor = value.reshape(len(value), -1).abs().amax(dim=1)
        factor = torch.where(factor > 0, factor, torch.ones_like(factor))
    return value / factor.reshape(-1, *(1,) * (value.ndim - 1)), factor
