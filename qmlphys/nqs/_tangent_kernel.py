"""Products O O^H of recorded derivatives, by the cheapest of three ways.

For a layer applied once, the derivatives delta (x) features make the kernel an elementwise product of two Gram
matrices; for few positions the same holds for every pair of positions; otherwise blocks of the layer's Jacobian are
built and thrown away. The kernel is Hermitian: only blocks on and below the diagonal are computed.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from qmlphys.nqs._tangent_contract import contract
from qmlphys.nqs._tape import Explicit, Factors

__all__ = ["add_gram", "gram_cost", "gram_into", "mirror"]

# Bytes of the temporary matrices.
_BLOCK_BYTES = 2**27

# Multiplications an element of the kernel that a pass over it takes as long as.
_PASS_COST = 20

# Blocks of rows that a Hermitian matrix is cut into: eight leave 9/16 of the work.
_N_BANDS = 8


def gram_into(kernel: Tensor, block: Factors | Explicit, scale: Tensor, *, stacked: bool) -> None:
    """Add a block's part of the kernel diag(scale) O O^H diag(scale), on and below the diagonal.

    Parameters
    ----------
    kernel : Tensor, shape (rows, rows)
        Changed in place; rows is n, or 2n when stacked. What it holds above the diagonal then is for `mirror` to set.
    block : Factors or Explicit
        Derivatives of n samples.
    scale : Tensor of float64, shape (n,)
        Weights of the rows.
    stacked : bool, keyword
        Whether the rows are the real parts of O and below them the imaginary parts.
    """
    if isinstance(block, Explicit):
        add_gram(kernel, _stack(block.values * scale[:, None], stacked))
        return
    deltas = _stack(block.deltas * scale[:, None, None], stacked)
    features = torch.cat([block.features] * 2) if stacked else block.features
    bias = block.bias is not None
    positions, n_in, n_out = features.shape[1], features.shape[2], deltas.shape[2]
    if block.mask is None and (positions == 1 or _in_pairs(positions, n_in, n_out)):
        _add_pairs(kernel, features, deltas, bias=bias)
        return
    if block.mask is not None and positions == 1:
        _add_weights(kernel, features[:, 0], deltas[:, 0], block.mask)
    else:
        _add_rows_of_weights(kernel, features, deltas, block.mask)
    if bias:
        add_gram(kernel, deltas.sum(dim=1))


def gram_cost(block: Factors | Explicit) -> int:
    """Multiplications that `gram_into` takes for each element of the kernel."""
    if isinstance(block, Explicit):
        return block.values.shape[1]
    positions, n_in, n_out = block.features.shape[1], block.features.shape[2], block.deltas.shape[2]
    if block.mask is not None and positions == 1:
        return n_out + sum(_rectangle_cost(len(out), len(inner)) for out, inner in _rectangles(block.mask))
    if block.mask is not None:
        return n_out + int(block.mask.sum())
    pairs = positions == 1 or _in_pairs(positions, n_in, n_out)
    return positions**2 * (n_in + n_out) if pairs else n_in * n_out + n_out


def add_gram(matrix: Tensor, rows: Tensor) -> None:
    """Add R R^H to a matrix, on and below the diagonal.

    Parameters
    ----------
    matrix : Tensor, shape (n, n)
        Changed in place.
    rows : Tensor, shape (n, k)
        R.
    """
    for band, end in _bands(len(matrix)):
        matrix[band, :end].addmm_(rows[band], rows[:end].mH)


def mirror(matrix: Tensor) -> None:
    """Make a matrix Hermitian, in place, from what stands on and below the diagonal."""
    for band, end in _bands(len(matrix)):
        matrix[: band.start, band] = matrix[band, : band.start].mH
        corner = matrix[band, band.start : end]
        corner.copy_(corner.tril() + corner.tril(-1).mH)


def _bands(n: int) -> Iterator[tuple[slice, int]]:
    step = -(-n // _N_BANDS)
    for first in range(0, n, step):
        end = min(first + step, n)
        yield slice(first, end), end


def _in_pairs(positions: int, n_in: int, n_out: int) -> bool:
    return positions**2 * (n_in + n_out) < n_in * n_out


def _stack(values: Tensor, stacked: bool) -> Tensor:
    return torch.cat([values.real, values.imag]) if stacked else values


def _add_pairs(kernel: Tensor, features: Tensor, deltas: Tensor, *, bias: bool) -> None:
    """Sum over pairs of positions of (X X^H + 1) * (D D^H), for a few samples at a time."""
    n, positions, _ = features.shape
    x, d = features.flatten(0, 1), deltas.flatten(0, 1)
    for band, end in _bands(n):
        step = max(1, _BLOCK_BYTES // (2 * d.element_size() * positions**2 * end))
        for first in range(band.start, band.stop, step):
            last = min(first + step, band.stop)
            some, before = slice(first * positions, last * positions), slice(end * positions)
            inner = x[some] @ x[before].mH
            if bias:
                inner += 1.0
            outer = d[some] @ d[before].mH
            outer *= inner
            if positions > 1:
                outer = outer.view(last - first, positions, end, positions).sum(dim=(1, 3))
            kernel[first:last, :end] += outer


def _add_rows_of_weights(kernel: Tensor, features: Tensor, deltas: Tensor, mask: Tensor | None) -> None:
    """Blocks of the Jacobian, for a few rows of the weight at a time."""
    n, _, n_in = features.shape
    step = max(1, _BLOCK_BYTES // (deltas.element_size() * n * n_in))
    for first in range(0, deltas.shape[2], step):
        block = contract(features, deltas[:, :, first : first + step])
        if mask is not None:
            block = block[:, mask[first : first + step].flatten()]
        add_gram(kernel, block)


def _add_weights(kernel: Tensor, features: Tensor, deltas: Tensor, mask: Tensor) -> None:
    """The same of a masked layer that is applied once: products of Gram matrices for blocks of units that see the same.

    What is left are columns of the Jacobian, a few at a time.
    """
    left = torch.zeros_like(mask)
    for out, inner in _rectangles(mask):
        if _rectangle_cost(len(out), len(inner)) < len(out) * len(inner):
            _add_pairs(kernel, features[:, None, inner], deltas[:, None, out], bias=False)
        else:
            left[out[:, None], inner] = True
    out, inner = left.nonzero(as_tuple=True)
    step = max(1, _BLOCK_BYTES // (deltas.element_size() * len(deltas)))
    for first in range(0, len(out), step):
        some = slice(first, first + step)
        add_gram(kernel, deltas[:, out[some]] * features[:, inner[some]])


def _rectangle_cost(n_out: int, n_in: int) -> int:
    return min(n_out * n_in, n_out + n_in + _PASS_COST)


def _rectangles(mask: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Cut a mask into blocks without holes, of equal rows or of equal columns, whichever is cheaper."""
    by_rows = [(owners, pattern.nonzero()[:, 0]) for owners, pattern in _equal_rows(mask)]
    by_columns = [(pattern.nonzero()[:, 0], owners) for owners, pattern in _equal_rows(mask.mT)]
    costs = [sum(_rectangle_cost(len(o), len(i)) for o, i in blocks) for blocks in (by_rows, by_columns)]
    return by_rows if costs[0] <= costs[1] else by_columns


def _equal_rows(mask: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    patterns, owner = torch.unique(mask, dim=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        yield (owner == number).nonzero()[:, 0], pattern
