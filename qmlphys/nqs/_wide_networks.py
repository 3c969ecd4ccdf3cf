"""Networks of the random ensembles. Public through `qmlphys.nqs.ensembles`."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qmlphys.nqs._wide_cosnet import CosNetParameters, TangentCosNet
from qmlphys.nqs._wide_domain import StringSet
from qmlphys.nqs._wide_tanh import tanh_sums

__all__ = ["RandomMLP", "RandomState", "RandomTransformer", "RidgeState", "SumNetwork", "activation"]

Activation = Callable[[Tensor], Tensor]

_ACTIVATIONS: dict[str, Activation] = {
    "cos": torch.cos,
    "gelu": nn.functional.gelu,
    "relu": torch.relu,
    "sin": torch.sin,
    "tanh": torch.tanh,
}


def activation(name: str, function: str | Activation, *, allowed: tuple[str, ...]) -> Activation:
    """Return an activation by name, or the function itself."""
    if callable(function):
        return function
    if function not in allowed:
        raise ValueError(f"Argument `{name}` must be one of {allowed} or a function, but it is {function!r}.")
    return _ACTIVATIONS[function]


def _normal(rng: np.random.Generator, shape: tuple[int, ...], deviation: float = 1.0) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(deviation * rng.standard_normal(shape)))


class RandomState(nn.Module):
    """A random network that takes real numbers, not spins alone, and returns psi or log psi.

    Attributes
    ----------
    n_sites : int
        Spins.
    n_read : int
        How many of the first spins it looks at; the amplitudes do not depend on the others.
    output : {"psi", "log_psi"}
        What it returns, as complex128 of shape (n,).
    """

    output: Literal["psi", "log_psi"]

    def __init__(self, n_sites: int, output: Literal["psi", "log_psi"], *, n_read: int | None = None) -> None:
        super().__init__()
        self.n_sites, self.output = n_sites, output
        self.n_read = n_sites if n_read is None else n_read

    def all_values(self) -> NDArray[np.complex128] | None:
        """Return the output at all strings in the order of integers where there is a quick way, else None."""
        return None


class RidgeState(RandomState):
    """log psi = scale * sum over units of phi(w.s + b)."""

    def __init__(self, n_sites: int, phi: Activation, scale: complex, k: int, rng: np.random.Generator) -> None:
        super().__init__(n_sites, "log_psi")
        self.phi, self.scale = phi, complex(scale)
        self.weight, self.bias = _normal(rng, (k, n_sites)), _normal(rng, (k,))

    def forward(self, spins: Tensor) -> Tensor:
        """Return log psi of (n, n_sites)."""
        total = self.phi(spins.to(self.weight.dtype) @ self.weight.T + self.bias).sum(dim=1)
        return torch.complex(self.scale.real * total, self.scale.imag * total)


class RandomMLP(RandomState):
    """psi = re + i im, the two outputs of a perceptron."""

    def __init__(self, n_sites: int, phi: Activation, widths: list[int], bias: float, rng: np.random.Generator) -> None:
        super().__init__(n_sites, "psi")
        self.phi = phi
        sizes = [n_sites, *widths, 2]
        pairs = list(pairwise(sizes))
        self.weights = nn.ParameterList(_normal(rng, (out, size), 1 / math.sqrt(size)) for size, out in pairs)
        self.biases = nn.ParameterList(_normal(rng, (out,), bias) for _, out in pairs)

    def forward(self, spins: Tensor) -> Tensor:
        """Return psi of (n, n_sites)."""
        x = spins.to(torch.float64)
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = (self.phi(x) if k else x) @ weight.T + bias
        return torch.complex(x[:, 0], x[:, 1])


class SumNetwork(RandomState):
    """psi = f + i g or f, with f(x) = sum_i a_i phi(w_i.x + b_i) and parts that share no parameter."""

    def __init__(
        self,
        n_sites: int,
        hidden: int,
        *,
        phi: Activation,
        sigma_w: float,
        sigma_a: float,
        parts: int,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(n_sites, "psi")
        self.phi = phi
        self.w = _normal(rng, (parts, hidden, n_sites), sigma_w / math.sqrt(n_sites))
        self.a = _normal(rng, (parts, hidden), sigma_a / math.sqrt(hidden))
        self.b = nn.Parameter(torch.from_numpy(rng.uniform(-np.pi, np.pi, (parts, hidden))))

    def forward(self, spins: Tensor) -> Tensor:
        """Return psi of (n, n_sites)."""
        x = spins.to(self.w.dtype)
        parts = [self.phi(x @ w.T + b) @ a for w, a, b in zip(self.w, self.a, self.b, strict=True)]
        return torch.complex(parts[0], parts[1] if len(parts) == 2 else torch.zeros_like(parts[0]))

    def all_values(self) -> NDArray[np.complex128] | None:
        """Return psi of all strings: cosines and tangents follow from exponentials of both halves of the spins."""
        a, w, b = (p.detach().cpu().numpy() for p in (self.a, self.w, self.b))
        if self.phi is torch.tanh:
            parts = [tanh_sums(*unit) for unit in zip(a, w, b, strict=True)]
            if any(part is None for part in parts):
                return None
            return np.array(parts, dtype=np.float64).T @ np.array([1, 1j][: len(parts)])
        if self.phi is not torch.cos:
            return None
        if len(a) == 1:
            a, w, b = np.concatenate([a, 0 * a]), np.concatenate([w, w]), np.concatenate([b, b])
        scaled = CosNetParameters(a * math.sqrt(a.shape[1]), w * math.sqrt(self.n_sites), b)
        return TangentCosNet(scaled).values(StringSet.all(self.n_sites))


class RandomTransformer(RandomState):
    """log psi = re + i im, read off a transformer on overlapping patches by two vectors of unit length."""

    def __init__(
        self,
        n_sites: int,
        *,
        patch: int,
        stride: int,
        d_model: int,
        n_heads: int,
        n_layers: int,
        d_hidden: int,
        dtype: torch.dtype,
        rng: np.random.Generator,
    ) -> None:
        n_patches = (n_sites - patch) // stride + 1
        super().__init__(n_sites, "log_psi", n_read=(n_patches - 1) * stride + patch)
        self.patch, self.stride = patch, stride
        self.embedding = _normal(rng, (d_model, patch), 1 / math.sqrt(patch))
        self.positions = _normal(rng, (n_patches, d_model))
        self.layers = nn.ModuleList(_PostNorm(d_model, n_heads, d_hidden, rng) for _ in range(n_layers))
        heads = rng.standard_normal((2, d_model))
        self.heads = nn.Parameter(torch.from_numpy(heads / np.linalg.norm(heads, axis=1, keepdims=True)))
        self.heads.requires_grad_(False)
        self.to(dtype)

    def forward(self, spins: Tensor) -> Tensor:
        """Return log psi of (n, n_sites)."""
        patches = spins.to(self.embedding.dtype).unfold(1, self.patch, self.stride)
        x = patches @ self.embedding.T + self.positions
        for layer in self.layers:
            x = layer(x)
        out = (x.mean(dim=1) @ self.heads.T).to(torch.float64)
        return torch.complex(out[:, 0], out[:, 1])


class _PostNorm(nn.Module):
    """Attention and a perceptron with ReLU, each added to its input and normalised afterwards."""

    def __init__(self, d_model: int, n_heads: int, d_hidden: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.joint = _normal(rng, (3 * d_model, d_model), 1 / math.sqrt(d_model))
        self.mix = _normal(rng, (d_model, d_model), 1 / math.sqrt(d_model))
        self.wide = _normal(rng, (d_hidden, d_model), 1 / math.sqrt(d_model))
        self.narrow = _normal(rng, (d_model, d_hidden), 1 / math.sqrt(d_hidden))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to (n, patches, d_model)."""
        n, patches, d_model = x.shape
        q, k, v = (
            (x @ self.joint.T).reshape(n, patches, 3, self.n_heads, d_model // self.n_heads).permute(2, 0, 3, 1, 4)
        )
        scores = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(d_model // self.n_heads), dim=-1)
        seen = (scores @ v).transpose(1, 2).reshape(n, patches, d_model)
        x = nn.functional.layer_norm(x + seen @ self.mix.T, (d_model,))
        inner = torch.relu(x @ self.wide.T) @ self.narrow.T
        return nn.functional.layer_norm(x + inner, (d_model,))
