"""The order in which a network of two-valued indices is contracted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from heapq import heapify, heappop, heappush

__all__ = ["MAX_WIDTH", "Node", "Tree", "contraction_tree"]

MAX_WIDTH = 26
"""Largest number of indices of a partial contraction: 2^26 complex numbers are 1 GiB, and a few are held at once."""

_MAX_SUM = 40  # indices of a pairwise contraction: 2^40 products would take an hour
_LETTERS = "abcdefghijklmnopqrstuvwxyABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PARTS_A_FACTOR = 8  # tensors contracted between two rescalings; entries range over 1e-12 to 1 at most
_N_GREEDY = 8
_GREEDY_WORK = 5_000  # sum of cubes of the uses of indices, to which the time of a greedy search grows

Path = list[tuple[int, int]]


@dataclass(frozen=True)
class Node:
    """A pairwise contraction; numbers below the number of tensors are tensors, others are nodes."""

    left: int
    right: int
    indices: tuple[int, ...]
    equation: str
    rescaled: bool


class Tree:
    """A binary tree of contractions.

    Parameters
    ----------
    inputs : tuple of tuple of int
        Indices of the tensors.
    path : list of (int, int)
        Which two are contracted; each result takes the next free number.
    """

    def __init__(self, inputs: tuple[tuple[int, ...], ...], path: Path) -> None:
        self.n_leaves = len(inputs)
        self.indices: list[tuple[int, ...]] = list(inputs)
        uses = Counter(index for term in inputs for index in term)
        inside: list[Counter[int]] = [Counter(term) for term in inputs]
        weights = [1] * len(inputs)
        self.nodes: list[Node] = []
        self._sums = [0]
        for left, right in path:
            count = inside[left] + inside[right]
            open_indices = tuple(sorted(index for index in count if count[index] < uses[index]))
            # Closed indices need no count any more: they stand nowhere else.
            inside.append(Counter({index: count[index] for index in open_indices}))
            self._sums.append(len(set(self.indices[left]) | set(self.indices[right])))
            n_parts = weights[left] + weights[right]
            last = len(self.nodes) == len(path) - 1
            rescaled = last or n_parts >= _PARTS_A_FACTOR
            weights.append(1 if rescaled else n_parts)
            self.nodes.append(Node(left, right, open_indices, "", rescaled))
            self.indices.append(open_indices)
            inside[left] = inside[right] = Counter()

    def compiled(self) -> Tree:
        """Write the equations of the nodes; only for a tree that is used."""
        self.nodes = [
            Node(
                n.left,
                n.right,
                n.indices,
                _equation(self.indices[n.left], self.indices[n.right], n.indices),
                n.rescaled,
            )
            for n in self.nodes
        ]
        return self

    @property
    def root(self) -> int:
        """Number of the last result."""
        return len(self.indices) - 1

    @cached_property
    def width(self) -> int:
        """Largest number of indices of a partial result."""
        return max(len(indices) for indices in self.indices)

    @cached_property
    def widest_sum(self) -> int:
        """Largest number of indices that meet in one contraction."""
        return max(self._sums)

    @cached_property
    def cost(self) -> int:
        """Number of products."""
        return sum(1 << number for number in self._sums)

    @cached_property
    def total(self) -> int:
        """Numbers in all partial results together."""
        return sum(1 << len(indices) for indices in self.indices)

    @property
    def largest(self) -> int:
        """Numbers in the largest partial result."""
        return 1 << self.width

    def above(self, leaves: Sequence[int]) -> set[int]:
        """Return the tensors and all partial results that hold one of them."""
        found = set(leaves)
        for number, node in enumerate(self.nodes, self.n_leaves):
            if node.left in found or node.right in found:
                found.add(number)
        return found

    def downward(self, parent: int, other: int, child: int) -> str:
        """Return the equation for the surroundings of a part: those of its parent times the other part."""
        return _equation(self.indices[parent], self.indices[other], self.indices[child])


@lru_cache(maxsize=2**14)
def _equation(left: tuple[int, ...], right: tuple[int, ...], result: tuple[int, ...]) -> str:
    letters = {index: _LETTERS[k] for k, index in enumerate(dict.fromkeys((*left, *right)))}
    terms = ["z" + "".join(letters[index] for index in term) for term in (left, right, result)]
    return f"{terms[0]},{terms[1]}->{terms[2]}"


def contraction_tree(inputs: tuple[tuple[int, ...], ...], argument: str = "graph") -> Tree:
    """Find a good order: the cheaper one of minimal fill-in and of cotengra's random greedy search.

    Parameters
    ----------
    inputs : tuple of tuple of int
        Indices of the tensors.
    argument : str
        What errors call the source of the network.

    Raises
    ------
    ValueError
        If the best order found needs more than 2^26 numbers at once.

    Notes
    -----
    Fill-in is nearly optimal on lattices and trees; greedy search (Gray and Kourtis, Quantum 5, 410 (2021)) is at times
    better on small irregular graphs, and slow on large or dense ones, where it is left out. Both are deterministic.
    """
    paths = [_fill_in_path(inputs)]
    uses = Counter(index for term in inputs for index in term)
    if sum(number**3 for number in uses.values()) <= _GREEDY_WORK:
        paths.append(_greedy_path(inputs))
    trees = [Tree(inputs, path) for path in paths if path is not None]
    narrow = [tree for tree in trees if tree.width <= MAX_WIDTH and tree.widest_sum <= _MAX_SUM]
    if not narrow:
        least = f"2^{min(tree.width for tree in trees)}" if trees else f"more than 2^{MAX_WIDTH}"
        raise ValueError(
            f"Argument `{argument}` must be of small treewidth, but the best contraction that was found needs {least} "
            f"numbers at once (at most 2^{MAX_WIDTH}), or too many products: take a narrower one."
        )
    return min(narrow, key=lambda tree: (tree.cost, tree.width)).compiled()


def _greedy_path(inputs: tuple[tuple[int, ...], ...]) -> Path:
    import cotengra  # type: ignore[import-untyped]

    names = [tuple(map(cotengra.get_symbol, term)) for term in inputs]
    sizes = {name: 2 for term in names for name in term}
    search = cotengra.RandomGreedyOptimizer(max_repeats=_N_GREEDY, seed=0, accel=False, parallel=False)
    steps = search.ssa_path(names, (), sizes)
    return _pairs(len(inputs), [tuple(step) for step in steps])


def _pairs(n: int, steps: Sequence[tuple[int, ...]]) -> Path:
    """Make steps of one or several tensors steps of two, and join what is left over."""
    numbers = dict(enumerate(range(n)))  # their numbers to ours
    path: Path = []
    theirs = ours = n
    for step in steps:
        here = numbers.pop(step[0])
        for other in step[1:]:
            path.append((here, numbers.pop(other)))
            here = ours
            ours += 1
        numbers[theirs] = here
        theirs += 1
    rest = list(numbers.values())
    here = rest[0]
    for other in rest[1:]:
        path.append((here, other))
        here = ours
        ours += 1
    return path


def _fill_in_path(inputs: tuple[tuple[int, ...], ...]) -> Path | None:
    """Sum over the indices one by one, each time the one that joins the fewest new pairs; None if hopeless."""
    neighbours: dict[int, set[int]] = {}
    for term in inputs:
        for index in term:
            neighbours.setdefault(index, set()).update(term)
    for index, others in neighbours.items():
        others.discard(index)
    holders: dict[int, set[int]] = {index: set() for index in neighbours}
    for number, term in enumerate(inputs):
        for index in term:
            holders[index].add(number)
    terms = {number: set(term) for number, term in enumerate(inputs)}
    fill = {index: _fill(neighbours, index) for index in neighbours}
    queue = [(*cost, index) for index, cost in fill.items()]
    heapify(queue)
    path: Path = []
    free = len(inputs)
    while neighbours:
        *cost, index = heappop(queue)
        if fill.get(index) != tuple(cost):
            continue  # the cost has changed since, and stands in the queue again
        if len(neighbours[index]) > MAX_WIDTH + 2:
            return None
        # The smallest tensors first: the result holds the union of their indices.
        group = sorted(holders.pop(index), key=lambda number: (len(terms[number]), number))
        here = group[0]
        for other in group[1:]:
            path.append((here, other))
            here = free
            free += 1
        union = set().union(*(terms[number] for number in group)) - {index}
        for number in group:
            del terms[number]
            for k in union:
                holders[k].discard(number)
        terms[here] = union
        for k in union:
            holders[k].add(here)
        around = neighbours.pop(index)
        del fill[index]
        for k in around:
            neighbours[k] |= around
            neighbours[k] -= {k, index}
        for k in around.union(*(neighbours[j] for j in around)):
            fill[k] = _fill(neighbours, k)
            heappush(queue, (*fill[k], k))
    rest = sorted(terms)
    here = rest[0]
    for other in rest[1:]:
        path.append((here, other))
        here = free
        free += 1
    return path


def _fill(neighbours: dict[int, set[int]], index: int) -> tuple[int, int]:
    """New pairs that summing over the index would join, and its number of neighbours."""
    around = neighbours[index]
    n = len(around)
    if n > MAX_WIDTH + 2:
        return 2**40, n
    joined = sum(len(neighbours[k] & around) for k in around)
    return n * (n - 1) - joined, n
