"""Functions between the layers, safe at large arguments."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["activation", "log_amplitude", "log_cosh"]


def log_cosh(x: Tensor) -> Tensor:
    """Return log(2 cosh x), elementwise.

    Of a complex argument, exp of the result is 2 cosh x; the imaginary part is the phase of 2 cosh x in [-pi, pi].

    Parameters
    ----------
    x : Tensor
        Real or complex, of any size: neither exp(|x|) nor its square is formed.

    Examples
    --------
    >>> [round(y, 4) for y in log_cosh(torch.tensor([0.0, -800.0])).tolist()]
    [0.6931, 800.0]
    """
    if not x.is_complex():
        return torch.logaddexp(x, -x)
    a, b = x.real, x.imag
    lost = -torch.expm1(-2 * a.abs())  # 1 - e^-2|a|
    cos, sin = torch.cos(b), torch.sin(b)
    # 2 cosh x = e^|a| [(1 + e^-2|a|) cos b + i sgn(a) (1 - e^-2|a|) sin b], whose modulus is
    # e^|a| sqrt((1 - e^-2|a|)^2 + 4 e^-2|a| cos^2 b): the form without cancellation near the zeros.
    modulus = a.abs() + 0.5 * torch.log(lost * lost + 4 * (1 - lost) * cos * cos)
    return torch.complex(modulus, torch.atan2(torch.tanh(a) * sin, cos))


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": nn.functional.gelu,
    "log_cosh": log_cosh,
    "selu": nn.functional.selu,
    "silu": nn.functional.silu,
    "tanh": torch.tanh,
}
_HOLOMORPHIC = ("log_cosh", "tanh")


def activation(name: str, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Return an activation by name.

    Raises
    ------
    ValueError
        If there is none of this name, or if the numbers are complex and it is not holomorphic.
    """
    if name not in _ACTIVATIONS:
        raise ValueError(f"Argument `activation` must be one of {sorted(_ACTIVATIONS)}, but it is {name!r}.")
    if dtype.is_complex and name not in _HOLOMORPHIC:
        raise ValueError(
            f"Argument `activation` must be holomorphic for complex weights, one of {list(_HOLOMORPHIC)}, "
            f"but it is {name!r}."
        )
    return _ACTIVATIONS[name]


def log_amplitude(modulus: Tensor, phase: Tensor | None = None) -> Tensor:
    """Return log psi as complex128 from a complex number, or from a real one and an optional phase."""
    if modulus.is_complex():
        return modulus.to(torch.complex128)
    modulus = modulus.to(torch.float64)
    return torch.complex(modulus, torch.zeros_like(modulus) if phase is None else phase.to(torch.float64))
