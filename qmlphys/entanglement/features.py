"""Affine features: the linear forms of the input that a network's output is a function of."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys._arguments import whole_number
from qmlphys.entanglement._clusters import labels_of_rows

if TYPE_CHECKING:
    import torch

    from qmlphys.entanglement._tracing import Tracer

__all__ = ["AffineFeatures", "affine_features", "check_features"]

# Relative size below which a weight, or a direction, is rounding.
_ROUNDING = 1e-10
# Step of numerical derivatives, and what they are good for: the error is of third order.
_STEP = 1e-4
_PARALLEL = 1e-6
_N_BASES = 3
_N_PROBES = 4
_MAX_NUMBERS = 2**25
# Operations that are not analytic everywhere; some networks use them inside functions that are.
_KINK_NAMES = """
    abs amax amin argmax argmin bernoulli ceil clamp elu floor ge gt hardshrink hardsigmoid hardswish hardtanh le
    leaky_relu logical_and lt max maximum min minimum prelu relu relu6 round rrelu_with_noise sgn sign softshrink
    sort threshold topk trunc
"""
_KINKS = frozenset(_KINK_NAMES.split())


@dataclass(frozen=True, eq=False)
class AffineFeatures:
    """The features that a network's output is a function of.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n_rows, n_sites)
        Weights of the features, in order of first use; rows differ by more than a factor.
    rank : int
        mu, the number of linearly independent ones.
    n_nonlinearities : int
        k, the different scalars that enter nonlinear operations. Functions of one scalar, one after another, count
        once; an operation on many scalars, such as a normalisation, counts each. A complex scalar counts once, also
        where functions of it are written in its real and imaginary part.
    n_read : int
        Inputs that any feature depends on.
    bounds_nothing : bool
        Whether mu reaches the number of inputs that are read, so that the output may be any function of them.
    operations : tuple of str
        Nonlinear operations, as torch calls them.
    kinks : tuple of str
        Those of them that are not analytic everywhere.
    largest_change : float
        Largest relative change of the output along the null space of `matrix`; nan where there is none.
    sentence : str
        All this in words.
    """

    matrix: NDArray[np.float64]
    rank: int
    n_nonlinearities: int
    n_read: int
    bounds_nothing: bool
    operations: tuple[str, ...]
    kinks: tuple[str, ...]
    largest_change: float
    sentence: str = field(repr=False)


def affine_features(
    module: torch.nn.Module | Callable[[torch.Tensor], torch.Tensor],
    *,
    n_sites: int | None = None,
    rng: np.random.Generator | int | None = 0,
) -> AffineFeatures:
    """Count the nonlinearities of a network and find the affine features of its input.

    Parameters
    ----------
    module : torch.nn.Module or callable
        Takes a tensor (n, n_sites) of real numbers, not only spins, and returns log psi or psi, real or complex. If it
        has a method `log_psi`, that is called: those of `qmlphys.nqs` have it, and their `forward` takes spins only.
        Modules are copied, in double precision and on the CPU.
    n_sites : int, optional, keyword
        Length of the input; by default `module.n_sites`.
    rng : None, int or numpy.random.Generator, keyword
        Source of the real inputs at which it is looked at.

    Returns
    -------
    AffineFeatures
        The matrix and what follows from it.

    Raises
    ------
    ValueError, TypeError
        If `n_sites` is missing, the module is random, not finite at real inputs, turns its input into Python numbers,
        or its operations depend on the input.
    RuntimeError
        If the output changes along the null space of the matrix by more than 1e-10: the module computes in less than
        double precision whatever its dtype, or this function is wrong about it.

    Notes
    -----
    Every operation of torch is looked at as it is called. The argument of a nonlinear one is an affine form of the
    input plus a combination of what nonlinear ones before it returned; passes in which those are held fixed show the
    form, and it is a feature. So is the affine part of the output itself. Products count as functions of both factors.
    Hence the output is a function of the features alone, and mu <= k + 1 for a real network (2 k + 2 for a complex one,
    whose scalars have two parts): arXiv:2510.11797. k is counted by comparing the derivatives of scalars at random
    inputs.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Linear(12, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
    >>> found = affine_features(network, n_sites=12)
    >>> found.n_nonlinearities, found.rank, found.bounds_nothing
    (2, 2, False)
    """
    from qmlphys.entanglement._tracing import Tracer

    function, holder, dtype, n_sites = _read_module(module, n_sites)
    generator = np.random.default_rng(rng)
    points = generator.standard_normal((3, n_sites))
    tracer = Tracer(function, holder, points, dtype)
    output, arguments = tracer.evaluate_frozen(tracer.base)
    if n_sites * arguments.size > _MAX_NUMBERS:
        raise ValueError(
            f"Argument `module` must have fewer nonlinearities than the {arguments.size} numbers that enter them here "
            f"with {n_sites} inputs: their affine parts would take more than {_MAX_NUMBERS} numbers."
        )
    matrix = _feature_rows(tracer, output, arguments)
    n_nonlinearities = _n_scalars(tracer, generator, arguments.size)
    rank = _rank(matrix)
    n_read = int(np.count_nonzero(matrix.any(axis=0)))
    largest = math.nan
    if rank < n_sites:
        largest = check_features(module, matrix, rng=generator)
        if largest > _ROUNDING:
            raise RuntimeError(
                f"The output changes by {largest:.2g} along inputs that the {rank} features do not see: the module "
                f"computes in less than double precision, or one of {', '.join(tracer.names)} was misread."
            )
    kinks = tuple(name for name in tracer.names if name in _KINKS)
    return AffineFeatures(
        matrix=matrix,
        rank=rank,
        n_nonlinearities=n_nonlinearities,
        n_read=n_read,
        bounds_nothing=rank >= n_read,
        operations=tracer.names,
        kinks=kinks,
        largest_change=largest,
        sentence=_sentence(n_nonlinearities, rank, n_read, n_sites, kinks),
    )


def check_features(
    module: torch.nn.Module | Callable[[torch.Tensor], torch.Tensor],
    matrix: ArrayLike,
    *,
    n_moves: int = 16,
    rng: np.random.Generator | int | None = 0,
) -> float:
    """Move real inputs along the null space of a matrix and return how much the output changes.

    Parameters
    ----------
    module : torch.nn.Module or callable
        As for `affine_features`.
    matrix : array_like of float, shape (n_rows, n_sites)
        Weights of features that the output should be a function of; of rank below n_sites.
    n_moves : int, keyword
        Random inputs, of standard normal numbers, each moved by another vector of the same kind.
    rng : None, int or numpy.random.Generator, keyword
        Source of them.

    Returns
    -------
    float
        Largest |change of the output| / max(1, |output|): below 1e-10 if the features are all there are. Spin strings
        alone cannot tell: on them s^2 = 1 hides features, and few null vectors join two of them.

    Raises
    ------
    ValueError, TypeError
        If the matrix is malformed or has no null space.

    Examples
    --------
    >>> import torch
    >>> def log_psi(x):
    ...     return torch.tanh(x[:, 0] + x[:, 1]) + x[:, 2] ** 2
    >>> check_features(log_psi, [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) < 1e-10
    True
    >>> check_features(log_psi, [[1.0, 1.0, 0.0]]) > 0.1
    True
    """
    import torch

    weights = np.asarray(matrix, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] < 1 or not np.isfinite(weights).all():
        raise ValueError(
            f"Argument `matrix` must be finite, of shape (n_rows, n_sites), but its shape is {weights.shape}."
        )
    n_moves = whole_number("n_moves", n_moves, most=2**20)
    function, _, dtype, n_sites = _read_module(module, weights.shape[1])
    null = _null_space(weights)
    if not null.shape[1]:
        raise ValueError(f"Argument `matrix` must have a null space, but its rank is {n_sites}, the number of columns.")
    generator = np.random.default_rng(rng)
    start = generator.standard_normal((n_moves, n_sites))
    end = start + generator.standard_normal((n_moves, null.shape[1])) @ null.T
    with torch.no_grad():
        # Row by row, as they were traced.
        before, after = (
            torch.cat([function(torch.from_numpy(row[None]).to(dtype)).reshape(1, -1) for row in rows]).resolve_conj()
            for rows in (start, end)
        )
        change = (after - before).abs() / before.abs().clamp(min=1.0)
    return float(change.max())


def _read_module(module: Any, n_sites: int | None) -> tuple[Callable[[Any], Any], Any, torch.dtype, int]:
    """Return the function of real inputs, the module that holds its parameters, the input's dtype and length."""
    import torch

    if not callable(module):
        raise TypeError(f"Argument `module` must be a torch module or a function, but it is {module!r}.")
    owner = getattr(module, "__self__", None)
    bound = isinstance(owner, torch.nn.Module)
    length = n_sites if n_sites is not None else getattr(owner if bound else module, "n_sites", None)
    if length is None:
        raise ValueError("Argument `n_sites` must be given where the module has no attribute `n_sites`.")
    length = whole_number("n_sites", length, most=2**14)
    holder = owner if bound else module if isinstance(module, torch.nn.Module) else None
    if holder is None:
        return module, None, torch.float64, length
    name = module.__name__ if bound else "log_psi" if callable(getattr(module, "log_psi", None)) else "__call__"
    doubled = copy.deepcopy(holder).cpu().double()
    for tensor in (*doubled.parameters(), *doubled.buffers()):  # `double` leaves complex numbers as they are
        if tensor.dtype == torch.complex64:
            tensor.data = tensor.data.to(torch.complex128)
    return getattr(doubled, name), doubled, torch.float64, length


def _feature_rows(tracer: Tracer, output: NDArray[np.float64], arguments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine parts of all arguments of nonlinear operations and of the output, up to factors."""
    n_sites = len(tracer.base)
    start = np.concatenate([arguments, output])
    columns = np.empty((n_sites, start.size))
    for site in range(n_sites):
        moved = tracer.base.copy()
        moved[site] += 1.0
        here, before = tracer.evaluate_frozen(moved)
        columns[site] = np.concatenate([before, here]) - start
    # What is only taken apart is no feature yet.
    used = np.concatenate([~tracer.kinds()[2], np.ones(output.size, dtype=bool)])
    rows, start = columns.T[used], start[used]
    # Differences of numbers as large as `start`, and of sums of numbers near 1: what rounding explains is no weight.
    noise = _ROUNDING / 100 * np.maximum(1.0, np.abs(start))
    rows = np.where(np.abs(rows) > noise[:, None], rows, 0.0)[np.abs(rows).max(axis=1) > noise]
    if not len(rows):
        return np.zeros((0, n_sites))
    directions = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    # Up to the sign: that of a random projection, which is zero for no direction.
    directions *= np.sign(directions @ np.random.default_rng(0).standard_normal(n_sites))[:, None]
    _, first = np.unique(labels_of_rows(directions, _ROUNDING), return_index=True)
    return rows[np.sort(first)]


def _n_scalars(tracer: Tracer, generator: np.random.Generator, n_arguments: int) -> int:
    """Count the scalars among the arguments that are not functions of one another.

    Functions of one scalar have parallel derivatives at every input, so their changes along a few random directions are
    the same up to a factor. Compared at a few inputs; one where all changes vanish, as behind a kink, says nothing.
    """
    if not n_arguments:
        return 0
    complex_parts, places, split = tracer.kinds()
    whole = np.ones(n_arguments, dtype=bool)
    whole[1:] &= ~complex_parts[:-1]  # an imaginary part belongs to the real part before it
    shown = np.empty((_N_BASES, _N_PROBES, int(whole.sum())), dtype=np.complex128)
    for base in range(_N_BASES):
        x = generator.standard_normal(len(tracer.base))
        for probe in range(_N_PROBES):
            step = _STEP * generator.standard_normal(len(x))
            slopes = (tracer.evaluate(x + step)[1] - tracer.evaluate(x - step)[1]) / (2 * _STEP)
            joined = slopes.astype(np.complex128)
            joined[complex_parts] += 1j * slopes[np.flatnonzero(complex_parts) + 1]
            shown[base, probe] = joined[whole]
    classes = np.stack([_directions(slopes) for slopes in shown])
    return _n_classes(_of_complex_scalars(classes, shown, places[whole], split[whole]))


def _directions(slopes: NDArray[np.complex128]) -> NDArray[np.int64]:
    """Number columns by their direction, up to a real or complex factor; -1 where they vanish."""
    labels = np.full(slopes.shape[1], -1)
    size = np.linalg.norm(slopes, axis=0)
    known = size > _PARALLEL
    rows = slopes[:, known] / size[known]
    rows = rows[1:] * np.exp(-1j * np.angle(rows[0]))
    labels[known] = labels_of_rows(np.concatenate([rows.real, rows.imag]).T, _PARALLEL)
    return labels


def _of_complex_scalars(
    classes: NDArray[np.int64], shown: NDArray[np.complex128], places: NDArray[np.int64], split: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Give functions of a complex number that was taken apart before them the class of that number.

    Functions that are written in real and imaginary part have changes that are real combinations of those two.
    """
    classes = classes.copy()
    columns = np.flatnonzero(split & (classes >= 0).all(axis=0))
    _, first = np.unique(classes[:, columns], axis=1, return_index=True)
    taken = np.zeros(classes.shape[1], dtype=bool)
    for column in columns[np.sort(first)]:
        inside = ~split & ~taken & (places > places[column])
        for slopes in shown:
            frame, _ = np.linalg.qr(np.stack([slopes[:, column].real, slopes[:, column].imag], axis=1))
            for part in (slopes.real, slopes.imag):
                rest = np.linalg.norm(part - frame @ (frame.T @ part), axis=0)
                inside &= rest <= _PARALLEL * np.maximum(1.0, np.linalg.norm(part, axis=0))
        classes[:, inside] = np.where(classes[:, inside] >= 0, classes[:, column, None], -1)
        taken |= inside
    return classes[:, ~split]


def _n_classes(classes: NDArray[np.int64]) -> int:
    """Count columns that differ in a row where both are known; those that are known nowhere are constant here."""
    columns = np.unique(classes[:, (classes >= 0).any(axis=0)], axis=1).T
    known = columns >= 0
    found: list[NDArray[np.int64]] = []
    # Columns with the most known rows first: they make the classes that the others may belong to.
    for mask in sorted({tuple(row) for row in known.tolist()}, key=sum, reverse=True):
        rows = np.array(mask)
        taken = {tuple(column[rows].tolist()) for column in found if (column[rows] >= 0).all()}
        found.extend(
            column for column in columns[(known == rows).all(axis=1)] if tuple(column[rows].tolist()) not in taken
        )
    return len(found)


def _rank(matrix: NDArray[np.float64]) -> int:
    return matrix.shape[1] - _null_space(matrix).shape[1]


def _null_space(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an orthonormal basis of the inputs that no row sees, shape (n_sites, n_null); rows count by direction."""
    norms = np.linalg.norm(matrix, axis=1)
    rows = matrix[norms > 0] / norms[norms > 0, None]
    n_sites = matrix.shape[1]
    if not len(rows):
        return np.eye(n_sites)
    _, singular, v = np.linalg.svd(np.linalg.qr(rows, mode="r") if len(rows) > n_sites else rows)
    rank = int((singular > 1e-9 * singular[0]).sum())
    return v[rank:].T


def _sentence(k: int, rank: int, n_read: int, n_sites: int, kinks: tuple[str, ...]) -> str:
    text = (
        f"{k} scalar {'nonlinearity' if k == 1 else 'nonlinearities'} and {rank} affine "
        f"{'feature' if rank == 1 else 'features'} of {n_read} spins"
    )
    if n_read < n_sites:
        text += f" ({n_sites - n_read} of the {n_sites} {'is' if n_sites - n_read == 1 else 'are'} never read)"
    if rank >= n_read:
        return f"{text}: as many features as spins, so the bound S_A <= c mu ln n says nothing."
    text += f": S_A <= c {rank} ln {n_sites} for a constant c, if psi is an analytic, bounded function of the features"
    return f"{text}; {', '.join(kinks)} may not be analytic." if kinks else f"{text}."
