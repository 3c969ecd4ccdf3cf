"""Derivatives of log psi for many samples, kept in the form that is cheapest to contract.

One forward and one backward pass record, for every structured layer y = W x + b, the features x and the derivatives
delta of log psi by y. The derivative by W is the sum over positions of delta x^T: either these factors are kept, or,
when that is smaller (few weights at many positions), the product itself. All other parameters are differentiated sample
by sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from qmlphys.nqs._tangent_contract import contract, contract_convolution, product
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.ansatz._layers import Dense, PeriodicConvolution

__all__ = ["Explicit", "Factors", "record"]

Layer = Dense | PeriodicConvolution

# Bytes of features and deltas that one pass may hold before the samples are cut into chunks.
_PASS_BYTES = 2**26


@dataclass(frozen=True, eq=False)
class Factors:
    """Derivatives by a layer's weight and bias: sums over positions of delta (x) features.

    Attributes
    ----------
    weight : int
        Where the weight begins in the flat parameter vector.
    bias : int or None
        The same of the bias.
    features : Tensor, shape (n, positions, n_in)
        float64 where they are real, even in a complex network, else complex128.
    deltas : Tensor, shape (n, positions, n_out)
        d log psi / d output, float64 or complex128.
    mask : Tensor of bool, shape (n_out, n_in), or None
        Weights that exist.
    """

    weight: int
    bias: int | None
    features: Tensor
    deltas: Tensor
    mask: Tensor | None

    def places(self) -> Tensor:
        """Places of the parameters that exist in the flat vector."""
        n_in, n_out = self.features.shape[2], self.deltas.shape[2]
        weight = torch.arange(self.weight, self.weight + n_in * n_out, device=self.deltas.device)
        weight = weight if self.mask is None else weight[self.mask.flatten()]
        return weight if self.bias is None else torch.cat([weight, self.bias + torch.arange(n_out).to(weight)])

    def apply(self, vector: Tensor) -> Tensor:
        """Multiply the Jacobian's columns of this layer with its part of a parameter vector; shape (n,)."""
        n, positions, n_in = self.features.shape
        n_out = self.deltas.shape[2]
        matrix = vector[self.weight : self.weight + n_in * n_out].view(n_out, n_in)
        if self.mask is not None:
            matrix = matrix * self.mask
        change = product(self.features.reshape(n * positions, n_in), matrix.mT)
        if self.bias is not None:
            change += vector[self.bias : self.bias + n_out]
        return (change.view(n, positions, n_out) * self.deltas).sum(dim=(1, 2))

    def adjoint_into(self, out: Tensor, rows: Tensor) -> None:
        """Write the conjugate transpose of the columns, times one number a sample, into a parameter vector."""
        n, positions, n_in = self.features.shape
        n_out = self.deltas.shape[2]
        scaled = (self.deltas.conj() * rows[:, None, None]).reshape(n * positions, n_out)
        matrix = product(scaled.mT, self.features.reshape(n * positions, n_in).conj())
        if self.mask is not None:
            matrix = matrix * self.mask
        out[self.weight : self.weight + n_in * n_out] = matrix.reshape(-1)
        if self.bias is not None:
            out[self.bias : self.bias + n_out] = scaled.sum(dim=0)

    def jacobian_into(self, out: Tensor, rows: slice) -> None:
        """Write the columns for some samples into a matrix of shape (rows, n_parameters)."""
        features, deltas = self.features[rows], self.deltas[rows]
        n_out = deltas.shape[2]
        block = contract(features, deltas)
        if self.mask is not None:
            block = block * self.mask.flatten()
        out[:, self.weight : self.weight + block.shape[1]] = block
        if self.bias is not None:
            out[:, self.bias : self.bias + n_out] = deltas.sum(dim=1)


@dataclass(frozen=True, eq=False)
class Explicit:
    """Derivatives by some parameters as a matrix.

    Attributes
    ----------
    columns : Tensor of int64, shape (k,)
        Their places in the flat parameter vector.
    values : Tensor, shape (n, k)
        Derivatives, float64 or complex128.
    """

    columns: Tensor
    values: Tensor

    def places(self) -> Tensor:
        """Places of the parameters in the flat vector."""
        return self.columns

    def apply(self, vector: Tensor) -> Tensor:
        """Multiply the columns with their part of a parameter vector; shape (n,)."""
        return self.values @ vector[self.columns].to(self.values.dtype)

    def adjoint_into(self, out: Tensor, rows: Tensor) -> None:
        """Write the conjugate transpose of the columns, times one number a sample, into a parameter vector."""
        out[self.columns] = self.values.mH @ rows.to(self.values.dtype)

    def jacobian_into(self, out: Tensor, rows: slice) -> None:
        """Write the columns for some samples into a matrix of shape (rows, n_parameters)."""
        out[:, self.columns] = self.values[rows]


@dataclass
class _Calls:
    """What one pass saw of one layer."""

    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)

    @property
    def n_rows(self) -> int:
        return sum(len(x) for x in self.inputs)


@contextmanager
def _watch(ansatz: Ansatz) -> Iterator[dict[Layer, _Calls]]:
    """Note what goes into and comes out of every structured layer of an ansatz."""
    layers: dict[nn.Module, Layer] = {m: m for m in ansatz.modules() if isinstance(m, Dense | PeriodicConvolution)}
    seen: dict[Layer, _Calls] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls = seen.setdefault(layers[module], _Calls())
        calls.inputs.append(inputs[0].detach())
        calls.outputs.append(output)

    handles = [layer.register_forward_hook(note) for layer in layers.values()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def record(ansatz: Ansatz, spins: Tensor, chunk: int | None) -> tuple[Tensor, list[Factors | Explicit]]:
    """Differentiate log psi of every sample by every parameter.

    Parameters
    ----------
    ansatz : Ansatz
        The state.
    spins : Tensor, shape (n, n_sites)
        Checked configurations.
    chunk : int or None
        Samples in one pass; None takes as many as fit into 64 MiB of features, judged from one sample.

    Returns
    -------
    log_psi : Tensor of complex128, shape (n,)
        Without gradient.
    blocks : list of Factors and Explicit
        Together they hold every parameter once.
    """
    with torch.no_grad(), _watch(ansatz) as one:
        ansatz.log_psi(spins[:1])
    if chunk is None:
        chunk = max(1, min(len(spins), _PASS_BYTES // max(1, _bytes(one))))

    log_psi: list[Tensor] = []
    parts: dict[Layer, list[tuple[Tensor, ...]]] = {}
    for rows in spins.split(chunk):
        with torch.enable_grad(), _watch(ansatz) as seen:
            value = ansatz.log_psi(rows)
        if not log_psi:
            # A layer that does not see every sample (that makes a table of embeddings, say) has no factors a sample.
            parts = {layer: [] for layer, calls in seen.items() if calls.n_rows == len(rows) * one[layer].n_rows}
        with torch.enable_grad():
            deltas = iter(_derivatives(ansatz, value, [y for layer in parts for y in seen[layer].outputs]))
        for layer, pieces in parts.items():
            calls = seen[layer]
            pieces.append(_factors(layer, calls.inputs, [next(deltas) for _ in calls.outputs], len(rows)))
        log_psi.append(value.detach())
    return torch.cat(log_psi), _assemble(ansatz, spins, chunk, parts)


def _bytes(calls: dict[Layer, _Calls]) -> int:
    """Memory of the features and deltas of one sample, in float64 or complex128."""
    total = 0
    for layer, found in calls.items():
        for output in found.outputs:
            total += output.numel() // layer.n_out * (layer.n_in + layer.n_out) * (16 if output.is_complex() else 8)
    return total


def _derivatives(ansatz: Ansatz, log_psi: Tensor, outputs: list[Tensor]) -> list[Tensor]:
    """Return d log psi / d output for every output; rows belong to one sample each, so one backward pass serves all."""
    if not outputs:
        return []
    real = torch.autograd.grad(
        log_psi.real.sum(), outputs, retain_graph=ansatz.derivative == "complex", materialize_grads=True
    )
    if ansatz.derivative == "real":
        return [g.to(torch.float64) for g in real]
    if ansatz.derivative == "holomorphic":
        # PyTorch's gradient of Re f is the conjugate of f'.
        return [g.to(torch.complex128).conj_physical() for g in real]
    imaginary = torch.autograd.grad(log_psi.imag.sum(), outputs, materialize_grads=True)
    return [torch.complex(a.to(torch.float64), b.to(torch.float64)) for a, b in zip(real, imaginary, strict=True)]


def _factors(layer: Layer, inputs: list[Tensor], deltas: list[Tensor], n: int) -> tuple[Tensor, ...]:
    """Return the features and deltas of one pass, or what they contract to if that is smaller."""
    outer = [layer.deltas(y).reshape(n, -1, layer.n_out) for y in deltas]
    positions = sum(d.shape[1] for d in outer)
    n_weights = layer.n_in * layer.n_out if layer.mask is None else int(layer.mask.sum())
    n_biases = 0 if layer.bias is None else layer.n_out
    if n_weights + n_biases > positions * (layer.n_in + layer.n_out):
        features = [_features(layer, x, n) for x in inputs]
        return (features[0], outer[0]) if len(outer) == 1 else (torch.cat(features, dim=1), torch.cat(outer, dim=1))
    values = outer[0].new_zeros(n, layer.n_in * layer.n_out)
    for x, y, d in zip(inputs, deltas, outer, strict=True):
        if isinstance(layer, PeriodicConvolution):
            x = x.to(torch.promote_types(x.dtype, torch.float64))
            values += contract_convolution(layer, x, y, n)
        else:
            values += contract(_features(layer, x, n), d)
    if layer.mask is not None:
        values = values[:, layer.mask.flatten()]
    if layer.bias is None:
        return (values,)
    return (torch.cat([values, torch.stack([d.sum(dim=1) for d in outer]).sum(dim=0)], dim=1),)


def _features(layer: Layer, x: Tensor, n: int) -> Tensor:
    """Return the features in double precision; those of a real input stay real in a complex layer."""
    features = layer.features(x)
    if features.is_complex() and not x.is_complex():
        features = features.real
    return features.to(torch.promote_types(features.dtype, torch.float64)).reshape(n, -1, layer.n_in)


def _assemble(
    ansatz: Ansatz, spins: Tensor, chunk: int, parts: dict[Layer, list[tuple[Tensor, ...]]]
) -> list[Factors | Explicit]:
    """Join the passes, and differentiate by what they did not cover."""
    place, start = {}, 0
    for parameter in ansatz.parameters():
        place[id(parameter)] = torch.arange(start, start + parameter.numel(), device=spins.device)
        start += parameter.numel()

    blocks: list[Factors | Explicit] = []
    columns, values = [], []
    for layer, pieces in parts.items():
        tensors = [torch.cat(same) if len(same) > 1 else same[0] for same in zip(*pieces, strict=True)]
        if id(layer.weight) not in place:
            raise ValueError("Argument `ansatz` must not share a weight between layers, but two hold the same one.")
        weight, bias = place.pop(id(layer.weight)), None if layer.bias is None else place.pop(id(layer.bias))
        if len(tensors) == 2:
            first = None if bias is None else int(bias[0])
            blocks.append(Factors(int(weight[0]), first, tensors[0], tensors[1], layer.mask))
        else:
            columns.append(weight if layer.mask is None else weight[layer.mask.flatten()])
            columns += [] if bias is None else [bias]
            values.append(tensors[0])
    loose = {name: p for name, p in ansatz.named_parameters() if id(p) in place}
    if loose:
        columns += [place[id(p)] for p in loose.values()]
        values.append(torch.cat([_one_by_one(ansatz, loose, rows) for rows in spins.split(chunk)]))
    if values:
        # In one matrix, whose part of the kernel is one product.
        blocks.append(Explicit(torch.cat(columns), torch.cat(values, dim=1) if len(values) > 1 else values[0]))
    return blocks


class _LogPsi(nn.Module):
    """`Ansatz.log_psi` as a forward, since the checks of `Ansatz.forward` read values and cannot be vectorised."""

    def __init__(self, ansatz: Ansatz) -> None:
        super().__init__()
        self.ansatz = ansatz

    def forward(self, spins: Tensor) -> Tensor:
        return self.ansatz.log_psi(spins)


def _one_by_one(ansatz: Ansatz, loose: dict[str, nn.Parameter], spins: Tensor) -> Tensor:
    """Derivatives by parameters without structure, shape (n, k), by vectorised reverse mode."""
    module = _LogPsi(ansatz)
    fixed = {f"ansatz.{name}": p.detach() for name, p in ansatz.named_parameters() if name not in loose}
    free = {f"ansatz.{name}": p.detach() for name, p in loose.items()}

    def jacobian(part: str) -> Tensor:
        def value(free: dict[str, Tensor], spin: Tensor) -> Tensor:
            return getattr(torch.func.functional_call(module, {**fixed, **free}, (spin[None],)), part)[0]

        found = torch.func.vmap(torch.func.grad(value), in_dims=(None, 0))(free, spins)
        return torch.cat([found[name].flatten(1) for name in free], dim=1)

    real = jacobian("real")
    if ansatz.derivative == "real":
        return real.to(torch.float64)
    if ansatz.derivative == "holomorphic":
        return real.to(torch.complex128).conj_physical()
    return torch.complex(real.to(torch.float64), jacobian("imag").to(torch.float64))
