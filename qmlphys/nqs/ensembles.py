"""Random neural quantum states, and the amplitudes of any network on all spin strings.

Each ensemble is a function that draws a torch module: it takes real numbers (n, n_sites), not spins alone, so that its
affine features can be looked at, and its attribute `output` says whether it returns psi or log psi. The ensembles are
those of arXiv:2510.11797, on the bound of the entanglement by the number of nonlinearities, and the cosine network of
arXiv:2112.00723.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qmlphys import bits
from qmlphys._arguments import whole_number
from qmlphys.nqs._wide_cosnet import positive_number
from qmlphys.nqs._wide_networks import (
    Activation,
    RandomMLP,
    RandomState,
    RandomTransformer,
    RidgeState,
    SumNetwork,
    activation,
)
from qmlphys.nqs.ansatz._arguments import read_dtype

__all__ = [
    "RandomMLP",
    "RandomState",
    "RandomTransformer",
    "RidgeState",
    "SumNetwork",
    "amplitudes",
    "cosnet",
    "random_mlp",
    "random_transformer",
    "single_nonlinearity",
    "tanh_network",
]

_MAX_SITES = 24


def single_nonlinearity(
    n: int,
    phi: str | Activation = "tanh",
    *,
    scale: complex = 1.0,
    k: int = 1,
    rng: np.random.Generator | int | None = None,
) -> RidgeState:
    """Draw psi = exp(scale * phi(w.s + b)) with w, b ~ N(0, 1): a function of one affine feature.

    Parameters
    ----------
    n : int
        Spins.
    phi : {"tanh", "sin", "gelu", "relu", "cos"} or callable on tensors
        The nonlinearity.
    scale : complex, keyword
        1 for positive amplitudes, 1j for phases.
    k : int, keyword
        Number of nonlinearities, each with its own w and b: the exponent is their sum.
    rng : None, int or numpy.random.Generator, keyword
        Source of w and b.

    Returns
    -------
    RidgeState
        A torch module that returns log psi.

    Examples
    --------
    >>> amplitudes(single_nonlinearity(4, "sin", scale=1j, rng=0), 4).shape
    (16,)
    """
    n, k = whole_number("n", n), whole_number("k", k)
    function = activation("phi", phi, allowed=("tanh", "sin", "gelu", "relu", "cos"))
    try:
        factor = complex(scale)
    except (TypeError, ValueError):
        raise TypeError(f"Argument `scale` must be a number, but it is {scale!r}.") from None
    if not cmath.isfinite(factor) or factor == 0:
        raise ValueError(f"Argument `scale` must be finite and not 0, but it is {scale!r}.")
    return RidgeState(n, function, factor, k, np.random.default_rng(rng))


def random_mlp(
    n: int,
    phi: str | Activation = "tanh",
    *,
    width: int = 3,
    depth: int = 2,
    bias: float = 0.2,
    rng: np.random.Generator | int | None = None,
) -> RandomMLP:
    """Draw a perceptron psi = re + i im: weights N(0, 1 / fan-in), biases of all layers N(0, bias^2).

    Parameters
    ----------
    n : int
        Spins.
    phi : {"tanh", "sin", "gelu", "relu", "cos"} or callable on tensors
        Activation of the hidden layers.
    width, depth : int, keyword
        Units of a hidden layer, and hidden layers; the output has two units, without activation.
    bias : float, keyword
        Standard deviation of the biases, at least 0.
    rng : None, int or numpy.random.Generator, keyword
        Source of weights and biases.

    Returns
    -------
    RandomMLP
        A torch module that returns psi: a function of at most `width` affine features.

    Examples
    --------
    >>> [tuple(weight.shape) for weight in random_mlp(10, rng=0).weights]
    [(3, 10), (3, 3), (2, 3)]
    """
    n, width, depth = whole_number("n", n), whole_number("width", width), whole_number("depth", depth)
    function = activation("phi", phi, allowed=("tanh", "sin", "gelu", "relu", "cos"))
    bias = positive_number("bias", bias, zero=True)
    return RandomMLP(n, function, [width] * depth, bias, np.random.default_rng(rng))


def random_transformer(
    n: int,
    *,
    patch: int = 6,
    stride: int = 5,
    d_model: int = 32,
    n_heads: int = 4,
    n_layers: int = 4,
    d_hidden: int = 64,
    dtype: str | torch.dtype = "float64",
    rng: np.random.Generator | int | None = None,
) -> RandomTransformer:
    """Draw a transformer, psi = exp(re + i im).

    Patches of spins are embedded, layers of attention and of a perceptron follow, each normalised after it was added to
    its input, and the mean over patches is read by two frozen random vectors of unit length.

    Parameters
    ----------
    n : int
        Spins, at least `patch`.
    patch, stride : int, keyword
        Spins of a patch, and the distance between patches. Spins behind the last whole patch are never read
        (`n_read` counts those that are): with 6 and 5 that is so unless n = 6, 11, 16, 21, 26, ...; of 22 spins the
        last one is not.
    d_model, n_heads, n_layers, d_hidden : int, keyword
        Numbers a patch is embedded in, a multiple of n_heads; heads; layers; hidden units of their perceptrons (ReLU).
    dtype : {"float64", "float32"} or torch.dtype, keyword
        Of the parameters; float32 takes half of the time.
    rng : None, int or numpy.random.Generator, keyword
        Source of the parameters: weights N(0, 1 / fan-in) without biases, and a vector N(0, 1) for the position of each
        patch.

    Returns
    -------
    RandomTransformer
        A torch module that returns log psi.

    Examples
    --------
    >>> [random_transformer(n, n_layers=1, rng=0).n_read for n in (11, 16, 21, 22, 26)]
    [11, 16, 21, 21, 26]
    """
    patch = whole_number("patch", patch)
    n = whole_number("n", n, least=patch)
    n_heads, d_model = whole_number("n_heads", n_heads), whole_number("d_model", d_model)
    if d_model % n_heads:
        raise ValueError(f"Argument `d_model` must be a multiple of `n_heads`, {n_heads}, but it is {d_model}.")
    return RandomTransformer(
        n,
        patch=patch,
        stride=whole_number("stride", stride),
        d_model=d_model,
        n_heads=n_heads,
        n_layers=whole_number("n_layers", n_layers),
        d_hidden=whole_number("d_hidden", d_hidden),
        dtype=read_dtype(dtype, real=True),
        rng=np.random.default_rng(rng),
    )


def cosnet(
    n: int,
    hidden: int,
    *,
    sigma_w: float = 10.0,
    sigma_a: float = 1.0,
    complex_valued: bool = True,
    rng: np.random.Generator | int | None = None,
) -> SumNetwork:
    """Draw a cosine network, psi = f + i g with f(x) = sum_i a_i cos(w_i.x + b_i).

    w ~ N(0, sigma_w^2 / n), a ~ N(0, sigma_a^2 / H), b uniform in (-pi, pi).

    Parameters
    ----------
    n : int
        Spins.
    hidden : int
        H, hidden units of f, and as many others of g.
    sigma_w, sigma_a : float, keyword
        Positive.
    complex_valued : bool, keyword
        Whether g is there.
    rng : None, int or numpy.random.Generator, keyword
        Source of the parameters.

    Returns
    -------
    SumNetwork
        A torch module that returns psi.

    Examples
    --------
    >>> network = cosnet(6, 20, rng=0)
    >>> network(torch.ones(2, 6)).shape, network.output
    (torch.Size([2]), 'psi')
    """
    return _sum_network(n, hidden, torch.cos, sigma_w, sigma_a, complex_valued, rng)


def tanh_network(
    n: int,
    hidden: int,
    *,
    sigma_w: float = 10.0,
    sigma_a: float = 1.0,
    complex_valued: bool = True,
    rng: np.random.Generator | int | None = None,
) -> SumNetwork:
    """Draw a network like `cosnet` with tanh in place of the cosine.

    Parameters
    ----------
    n, hidden, sigma_w, sigma_a, complex_valued, rng
        As of `cosnet`.

    Returns
    -------
    SumNetwork
        A torch module that returns psi.

    Examples
    --------
    >>> sum(p.numel() for p in tanh_network(6, 20, complex_valued=False, rng=0).parameters())
    160
    """
    return _sum_network(n, hidden, torch.tanh, sigma_w, sigma_a, complex_valued, rng)


def amplitudes(
    state: nn.Module | Callable[[Tensor], Tensor],
    n: int,
    *,
    gives: Literal["psi", "log_psi"] | None = None,
    chunk: int = 2**12,
) -> NDArray[np.complex128]:
    """Return the normalised amplitudes of a network on all 2^n spin strings.

    Parameters
    ----------
    state : torch.nn.Module or callable
        Takes spins, float64 of shape (rows, n), and returns psi or log psi, shape (rows,). An ansatz will do.
    n : int
        Spins, at most 24.
    gives : {"psi", "log_psi"}, optional, keyword
        What it returns; by default "log_psi" if it has a method of that name, else what its attribute `output` says,
        else "psi".
    chunk : int, keyword
        Strings in one pass.

    Returns
    -------
    ndarray of complex128, shape (2^n,)
        Of norm 1; site i has weight 2^i and bit 0 is spin +1. Logarithms are taken relative to the largest before they
        are exponentiated, so that none overflows. Strings that differ in spins that a `RandomState` does not read are
        evaluated once.

    Raises
    ------
    ValueError, TypeError
        If the state has another number of spins, returns something else, or all amplitudes are 0.

    Examples
    --------
    >>> psi = amplitudes(lambda spins: 1000.0 * (spins.sum(1) > 3), 4, gives="log_psi")
    >>> psi.real.tolist()[:3]
    [1.0, 0.0, 0.0]
    """
    n, chunk = whole_number("n", n, most=_MAX_SITES), whole_number("chunk", chunk)
    if not callable(state):
        raise TypeError(f"Argument `state` must be a module or another callable, but it is {state!r}.")
    n_sites = getattr(state, "n_sites", n)
    if n_sites != n:
        raise ValueError(f"Argument `n` must be the number of sites of the state, {n_sites}, but it is {n}.")
    if gives is None:
        gives = "log_psi" if callable(getattr(state, "log_psi", None)) else getattr(state, "output", "psi")
    if gives not in ("psi", "log_psi"):
        raise ValueError(f"Argument `gives` must be 'psi' or 'log_psi', but it is {gives!r}.")
    values = state.all_values() if isinstance(state, RandomState) else None
    if values is None:
        n_read = state.n_read if isinstance(state, RandomState) else n
        values = np.empty(2**n_read, dtype=np.complex128)
        for first in range(0, 2**n_read, chunk):
            numbers = np.arange(first, min(first + chunk, 2**n_read))
            values[numbers] = _evaluate(state, bits.integers_to_spins(numbers, n))
        values = np.tile(values, 2 ** (n - n_read))
    if gives == "log_psi":
        largest = values.real.max()
        if np.isnan(values).any() or not largest < math.inf:
            raise ValueError("Argument `state` must return logarithms below infinity, but it does not.")
        values = np.exp(values - (largest if largest > -math.inf else 0.0))
    size = np.abs(values).max()
    if not np.isfinite(size) or size == 0:
        raise ValueError("Argument `state` must return finite amplitudes that are not all 0, but it does not.")
    values = values / size  # squares of very small or large amplitudes would leave the range of numbers
    return values / np.linalg.norm(values)


def _evaluate(state: Callable[[Tensor], Any], spins: NDArray[np.int8]) -> NDArray[np.complex128]:
    device = next((p.device for p in state.parameters()), None) if isinstance(state, nn.Module) else None
    with torch.no_grad():
        found = state(torch.from_numpy(spins).to(device=device, dtype=torch.float64))
    array = np.asarray(found.detach().cpu()) if isinstance(found, Tensor) else np.asarray(found)
    if array.shape != (len(spins),):
        raise ValueError(f"Argument `state` must return one number a string, but {len(spins)} gave {array.shape}.")
    return array.astype(np.complex128)


def _sum_network(
    n: int,
    hidden: int,
    phi: Activation,
    sigma_w: float,
    sigma_a: float,
    complex_valued: bool,
    rng: np.random.Generator | int | None,
) -> SumNetwork:
    if not isinstance(complex_valued, bool | np.bool_):
        raise TypeError(f"Argument `complex_valued` must be True or False, but it is {complex_valued!r}.")
    return SumNetwork(
        whole_number("n", n),
        whole_number("hidden", hidden, most=2**24),
        phi=phi,
        sigma_w=positive_number("sigma_w", sigma_w),
        sigma_a=positive_number("sigma_a", sigma_a),
        parts=2 if complex_valued else 1,
        rng=np.random.default_rng(rng),
    )
