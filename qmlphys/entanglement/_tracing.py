"""Passes through a torch network, operation by operation, with what nonlinear operations return held fixed or not.

An operation is linear if its name says so and no factor of a product, no divisor and no index depends on the input. All
others are nonlinear, also those that this file has never heard of: that can only lengthen the list of features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten

__all__ = ["Operation", "Tracer"]

# Linear in all their floating tensors together, or independent of their values.
_LINEAR_NAMES = """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _conj _conj_physical _neg_view _pad_circular _reshape_alias _to_copy
    _unsafe_view adaptive_avg_pool1d add alias as_strided avg_pool1d avg_pool2d avg_pool3d broadcast_tensors cat
    chunk clone col2im complex conj_physical constant_pad_nd contiguous copy cumsum detach diag_embed diagonal
    diagonal_copy diff dropout empty_like expand expand_copy fill flip full_like gather im2col imag index index_add
    index_copy index_put index_select lift_fresh lift_fresh_copy masked_fill masked_scatter masked_select mean
    movedim narrow native_dropout neg new_empty new_empty_strided new_full new_ones new_zeros ones_like permute
    positive rand_like randn_like real reflection_pad1d reflection_pad2d reflection_pad3d repeat replication_pad1d
    replication_pad2d replication_pad3d reshape resolve_conj resolve_neg roll rot90 rsub scatter scatter_add select
    select_scatter slice slice_scatter split split_with_sizes squeeze stack sub sum t take trace transpose tril triu
    unbind unfold unsafe_chunk unsafe_split unsqueeze view view_as_complex view_as_real where zero zeros_like
"""
_LINEAR = frozenset(_LINEAR_NAMES.split())
# Products: of the arguments at these places at most one may depend on the input.
_PRODUCTS: dict[str, tuple[int, int]] = {
    "_convolution": (0, 1),
    "addbmm": (1, 2),
    "addcmul": (1, 2),
    "addmm": (1, 2),
    "addmv": (1, 2),
    "addr": (1, 2),
    "baddbmm": (1, 2),
    "bmm": (0, 1),
    "convolution": (0, 1),
    "dot": (0, 1),
    "linear": (0, 1),
    "mkldnn_convolution": (0, 1),
    "mm": (0, 1),
    "mul": (0, 1),
    "mv": (0, 1),
    "outer": (0, 1),
    "vdot": (0, 1),
}
# Whether a number is exactly this is decided on a set without volume: at real inputs the answer never changes.
_EQUALITIES = frozenset({"eq", "equal", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "ne"})
_DIVISIONS = frozenset({"div", "true_divide"})
_SPLITS = frozenset({"real", "imag", "view_as_real"})


@dataclass
class Operation:
    """One call of an operation in a pass, and what other passes showed of it.

    Parameters
    ----------
    name : str
        As torch calls it.
    arguments : list of Tensor or None
        Copies of its tensors at the first point; None for parameters of the network.
    varies : list of bool
        Which of them differ at other points.
    nonlinear : bool
        Whether it is.
    outputs : list
        What it returned at the base point, if it is nonlinear.
    """

    name: str
    arguments: list[Tensor | None]
    varies: list[bool]
    nonlinear: bool = False
    outputs: list[Any] | None = None

    @property
    def splits(self) -> bool:
        """Whether it takes a complex number that depends on the input apart, for what works on real numbers only."""
        first = self.arguments[0] if self.arguments else None
        return self.name in _SPLITS and first is not None and first.is_complex() and self.varies[0]

    @property
    def recorded(self) -> list[int]:
        """Places of the tensors whose numbers enter the nonlinearity: floating, and dependent on the input."""
        return [
            k
            for k, argument in enumerate(self.arguments)
            if self.varies[k] and argument is not None and (argument.is_floating_point() or argument.is_complex())
        ]


class Tracer:
    """Evaluates a function at single inputs and looks at the arguments of its nonlinear operations.

    Parameters
    ----------
    function : callable, Tensor of shape (1, n_sites) -> Tensor
        The network; the same operations whatever the input.
    module : torch.nn.Module or None
        Holder of its parameters, which no input changes.
    points : ndarray, shape (n_points, n_sites)
        Real inputs at which dependence is looked for; the first is the base point. At least two.
    dtype : torch.dtype
        Of the input.
    """

    def __init__(
        self, function: Callable[[Tensor], Any], module: Any, points: NDArray[np.float64], dtype: torch.dtype
    ) -> None:
        self.function, self.dtype = function, dtype
        held = [*module.parameters(), *module.buffers()] if module is not None else []
        self._held = {tensor.untyped_storage().data_ptr() for tensor in held}
        self.operations: list[Operation] = []
        self._find_operations(points)
        # The base point again: what nonlinear operations return there is held fixed in `evaluate_frozen`.
        self.base = points[0]
        output, arguments = self._pass(self.base, keep=True)
        again, same = self._pass(self.base)
        if not (np.isfinite(output).all() and np.isfinite(arguments).all()):
            raise ValueError(
                "Argument `module` must be finite at real inputs, not at spins alone, but it is not; for an ansatz "
                "with zero amplitudes there are no features to be found this way."
            )
        if not (np.array_equal(output, again) and np.array_equal(arguments, same)):
            raise ValueError(
                "Argument `module` must give the same output for the same input, but it does not; call its `eval()`."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Nonlinear operations that see the input, in order of first use."""
        return tuple(dict.fromkeys(operation.name for operation in self.operations if operation.nonlinear))

    def kinds(self) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.bool_]]:
        """Say of each number in a row of arguments what it is.

        Returns
        -------
        complex_parts : ndarray of bool
            Whether it is the real part of a complex number, whose imaginary part follows.
        places : ndarray of int
            The number of its operation.
        split : ndarray of bool
            Whether the operation only takes complex numbers apart, and is linear.
        """
        parts, places, split = [np.zeros(0, dtype=bool)], [np.zeros(0, dtype=int)], [np.zeros(0, dtype=bool)]
        for index, operation in enumerate(self.operations):
            for place in operation.recorded if operation.nonlinear or operation.splits else []:
                tensor = operation.arguments[place]
                if tensor is None:
                    continue
                size = tensor.numel() * (2 if tensor.is_complex() else 1)
                parts.append(np.tile([True, False], tensor.numel()) if tensor.is_complex() else np.zeros(size, bool))
                places.append(np.full(size, index))
                split.append(np.full(size, not operation.nonlinear))
        return np.concatenate(parts), np.concatenate(places), np.concatenate(split)

    def evaluate(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the output and the arguments of all nonlinear operations at an input, each as one row of numbers.

        Complex numbers that are taken apart stand among the arguments.
        """
        return self._pass(x)

    def evaluate_frozen(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Do the same with what nonlinear operations return held as at the base point: all is affine in x then."""
        return self._pass(x, frozen=True)

    def _find_operations(self, points: NDArray[np.float64]) -> None:
        def first(_: int, func: Any, args: Any, kwargs: Any) -> Any:
            copies = [None if self._is_held(t) else _copy(t) for t in _tensors(args, kwargs)]
            self.operations.append(Operation(_name(func), copies, [False] * len(copies)))
            return func(*args, **kwargs)

        def later(index: int, func: Any, args: Any, kwargs: Any) -> Any:
            operation = self._operation(index, func)
            tensors = _tensors(args, kwargs)
            for place, (old, new) in enumerate(zip(operation.arguments, tensors, strict=True)):
                if old is not None and not _same(old, new):
                    operation.varies[place] = True
            if operation.name == "_local_scalar_dense" and any(operation.varies):
                raise ValueError(
                    "Argument `module` must not turn what depends on its input into Python numbers or conditions, but "
                    "it does."
                )
            out = func(*args, **kwargs)
            operation.nonlinear = operation.nonlinear or _is_nonlinear(func, operation, args, kwargs, out)
            return out

        self._run(points[0], first)
        for point in points[1:]:
            self._run(point, later)

    def _pass(
        self, x: NDArray[np.float64], *, keep: bool = False, frozen: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows: list[NDArray[np.float64]] = [np.zeros(0)]

        def visit(index: int, func: Any, args: Any, kwargs: Any) -> Any:
            operation = self._operation(index, func)
            if operation.nonlinear or operation.splits:
                tensors = _tensors(args, kwargs)
                rows.extend(_numbers(tensors[place]) for place in operation.recorded)
            if not operation.nonlinear:
                return func(*args, **kwargs)
            out = func(*args, **kwargs)
            flat, structure = tree_flatten(out)
            if keep:
                operation.outputs = [_copy(value) if isinstance(value, Tensor) else value for value in flat]
            if not frozen or operation.outputs is None:
                return out
            if func._schema.is_mutable:  # the answer is one of the arguments, which must hold the fixed numbers
                for value, fixed in zip(flat, operation.outputs, strict=True):
                    if isinstance(value, Tensor):
                        value.copy_(fixed)
                return out
            return tree_unflatten([v.clone() if isinstance(v, Tensor) else v for v in operation.outputs], structure)

        output = self._run(x, visit)
        return _numbers(output), np.concatenate(rows)

    def _run(self, x: NDArray[np.float64], visit: Callable[[int, Any, Any, Any], Any]) -> Tensor:
        inputs = torch.from_numpy(np.array(x, dtype=np.float64)[None]).to(self.dtype)
        mode = _Visiting(visit)
        with _plain_attention(), mode:
            output = self.function(inputs)
        if mode.count != len(self.operations):
            raise self._different()
        if not isinstance(output, Tensor):
            raise TypeError(f"Argument `module` must return a tensor, but it returned {type(output).__name__}.")
        return output.detach()

    def _operation(self, index: int, func: Any) -> Operation:
        if index >= len(self.operations) or self.operations[index].name != _name(func):
            raise self._different()
        return self.operations[index]

    def _different(self) -> ValueError:
        return ValueError(
            "Argument `module` must do the same operations whatever its input, but they differ between inputs."
        )

    def _is_held(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage().data_ptr() in self._held


class _Visiting(TorchDispatchMode):
    """Hands every operation to a function, with its number in the pass."""

    def __init__(self, visit: Callable[[int, Any, Any, Any], Any]) -> None:
        super().__init__()
        self.visit, self.count = visit, 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled here, and torch would load its compiler to make sure of it: seconds at the first call.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        index, self.count = self.count, self.count + 1
        return self.visit(index, func, args, kwargs or {})


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Without derivatives, and without torch's fused transformer layers, which are one operation for everything."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _name(func: Any) -> str:
    """Return the operation without its overload, and without the underscore of one that writes to its argument."""
    name = str(func.overloadpacket).rpartition(".")[2]
    return name.removesuffix("_")


def _tensors(args: Any, kwargs: Any) -> list[Tensor]:
    return [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().resolve_conj().resolve_neg().clone()


def _numbers(tensor: Tensor) -> NDArray[np.float64]:
    """Return all numbers as one row; complex ones as real and imaginary part after each other."""
    plain = _copy(tensor).cpu()
    parts = torch.view_as_real(plain) if plain.is_complex() else plain
    return parts.reshape(-1).to(torch.float64).numpy()


def _same(old: Tensor, new: Tensor) -> bool:
    return old.shape == new.shape and torch.equal(old, new.detach())


def _is_nonlinear(func: Any, operation: Operation, args: Any, kwargs: Any, out: Any) -> bool:
    if not any(operation.varies) or operation.name in _EQUALITIES:
        return False
    tensors = _tensors(args, kwargs)
    discrete = [not (t.is_floating_point() or t.is_complex()) for t in tensors]
    if any(varies and whole for varies, whole in zip(operation.varies, discrete, strict=True)):
        return True  # an index or a condition that depends on the input
    if operation.name in _DIVISIONS:
        return "mode" in str(func) or _depends(args, 1, operation, tensors)
    if operation.name in _PRODUCTS:
        return all(_depends(args, place, operation, tensors) for place in _PRODUCTS[operation.name])
    if operation.name not in _LINEAR:
        return True
    results = [value for value in tree_flatten(out)[0] if isinstance(value, Tensor)]
    return any(not (value.is_floating_point() or value.is_complex()) for value in results)


def _depends(args: Any, place: int, operation: Operation, tensors: list[Tensor]) -> bool:
    """Whether an argument depends on the input."""
    if place >= len(args) or not isinstance(args[place], Tensor):
        return False
    return any(varies and t is args[place] for varies, t in zip(operation.varies, tensors, strict=True))
