"""The tangent space of a state at samples: O = d log psi / d parameters, as an operator and as a kernel.

Neither the operator O nor its adjoint nor the kernel O O^H needs the Jacobian where the state is built of structured
layers: for a restricted Boltzmann machine with spins S and t = tanh(theta) the kernel is
S S^T + t t^H + (S S^T) * (t t^H).
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from qmlphys.nqs._tangent_kernel import gram_cost, gram_into, mirror
from qmlphys.nqs._tape import record
from qmlphys.nqs.ansatz._base import Ansatz, check_spins

__all__ = ["Tangent", "assign_flat", "flat_parameters"]


class Tangent:
    """Derivatives of log psi by all parameters, at samples.

    O has one row a sample and one column a parameter, in the order of ``ansatz.parameters()``. It is float64 for states
    with the derivative "real" and else complex128, whatever the precision of the network.

    Parameters
    ----------
    ansatz : Ansatz
        The state. Its structured layers must be called as modules, sample by sample: rows k i to k (i + 1) - 1 of a
        layer's input belong to sample i, where k >= 1 is the number of rows a sample. Parameters outside of such layers
        are differentiated by ``torch.func.vmap`` of ``log_psi``, which it must then allow.
    spins : Tensor of -1 and +1, shape (n, n_sites)
        Samples, on the device of the state.
    chunk : int, optional, keyword
        Samples in one pass, which bounds the memory; the numbers do not depend on it. None lets the size of the
        network decide.

    Attributes
    ----------
    derivative : {"real", "holomorphic", "complex"}
        Of the state.
    log_psi : Tensor of complex128, shape (n,)
        Of the samples.
    n_samples, n_parameters : int
        Shape of O.
    n_rows : int
        Rows of `kernel`: n, or 2n for the derivative "complex".

    Raises
    ------
    ValueError
        If the spins do not fit the state, if chunk is less than 1, if a parameter is frozen (``requires_grad`` is
        False) or its dtype does not go with the derivative, or if two layers share one weight.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import RBM
    >>> tangent = Tangent(RBM(4, alpha=2, rng=1), torch.tensor([[1, 1, -1, 1], [-1, 1, 1, 1]]))
    >>> tangent.n_parameters, tuple(tangent.kernel().shape)
    (44, (2, 2))
    >>> bool(torch.allclose(tangent.kernel(), tangent.jacobian() @ tangent.jacobian().mH))
    True
    """

    def __init__(self, ansatz: Ansatz, spins: Tensor, *, chunk: int | None = None) -> None:
        check_spins(spins, ansatz.n_sites)
        if not len(spins):
            raise ValueError(f"Argument `spins` must hold at least one sample, but its shape is {tuple(spins.shape)}.")
        if chunk is not None and (isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1):
            raise ValueError(f"Argument `chunk` must be an integer of at least 1 or None, but it is {chunk!r}.")
        _check_parameters(ansatz)
        self.derivative = ansatz.derivative
        self.n_samples, self.n_parameters = len(spins), ansatz.n_parameters
        self.n_rows = 2 * self.n_samples if self.derivative == "complex" else self.n_samples
        self.log_psi, self._blocks = record(ansatz, spins, chunk)

    @property
    def parameter_dtype(self) -> torch.dtype:
        """Of vectors of parameters: complex128 for the derivative "holomorphic", else float64."""
        return torch.complex128 if self.derivative == "holomorphic" else torch.float64

    @property
    def row_dtype(self) -> torch.dtype:
        """Of O: float64 for the derivative "real", else complex128."""
        return torch.float64 if self.derivative == "real" else torch.complex128

    @property
    def kernel_cost(self) -> int:
        """Multiplications that an element of the kernel takes."""
        return sum(gram_cost(block) for block in self._blocks)

    @cached_property
    def active(self) -> Tensor:
        """Places of the parameters that exist, int64; a mask of a layer removes weights."""
        found = torch.zeros(self.n_parameters, dtype=torch.bool, device=self.log_psi.device)
        for block in self._blocks:
            found[block.places()] = True
        return found.nonzero()[:, 0]

    def kernel(self, weights: Tensor | None = None) -> Tensor:
        """Return X X^H, the tangent kernel.

        Parameters
        ----------
        weights : Tensor of float64, shape (n,), optional
            w >= 0 with sum 1: then X has the rows sqrt(w_i) (O_i - sum_j w_j O_j). None takes X = O.

        Returns
        -------
        Tensor, shape (n_rows, n_rows)
            float64, of X stacked as [Re X; Im X] for the derivative "complex"; complex128 for "holomorphic".
        """
        device = self.log_psi.device
        root = torch.ones(self.n_samples, dtype=torch.float64, device=device) if weights is None else weights.sqrt()
        kernel = torch.zeros(self.n_rows, self.n_rows, dtype=self.parameter_dtype, device=device)
        for block in self._blocks:
            gram_into(kernel, block, root, stacked=self.derivative == "complex")
        mirror(kernel)
        if weights is not None:
            self._centre(kernel, root)
        return kernel

    def _centre(self, kernel: Tensor, root: Tensor) -> None:
        """Project sqrt(w) out of rows and columns: K - u q^H - q u^H with q = sqrt(w), u = K q - q (q^H K q) / 2."""
        # Real and imaginary parts have means of their own.
        q = torch.block_diag(*[root[:, None]] * (self.n_rows // self.n_samples)).to(kernel.dtype)
        u = kernel @ q
        u -= q @ (q.mH @ u) / 2
        kernel.addmm_(torch.cat([u, q], dim=1), torch.cat([q, u], dim=1).mH, alpha=-1.0)

    def apply(self, vector: Tensor) -> Tensor:
        """Return O v.

        Parameters
        ----------
        vector : Tensor of `parameter_dtype`, shape (n_parameters,)
            v, a change of the parameters.

        Returns
        -------
        Tensor of `row_dtype`, shape (n,)
            The change of log psi at the samples, to first order.
        """
        out = torch.zeros(self.n_samples, dtype=self.row_dtype, device=self.log_psi.device)
        for block in self._blocks:
            out += block.apply(vector)
        return out

    def adjoint(self, rows: Tensor) -> Tensor:
        """Return O^H c; its real part where the parameters are real.

        Parameters
        ----------
        rows : Tensor of float64 or complex128, shape (n,)
            c, one number a sample.

        Returns
        -------
        Tensor of `parameter_dtype`, shape (n_parameters,)
            For real parameters and complex rows this is [Re O; Im O]^T [Re c; Im c].
        """
        if self.derivative == "real" and rows.is_complex():
            rows = rows.real
        out = torch.zeros(self.n_parameters, dtype=self.row_dtype, device=self.log_psi.device)
        for block in self._blocks:
            block.adjoint_into(out, rows.to(self.row_dtype))
        return out.real.clone() if self.derivative == "complex" else out

    def mean(self, weights: Tensor) -> Tensor:
        """Return the mean of the rows of O.

        Parameters
        ----------
        weights : Tensor of float64, shape (n,)
            w, with sum 1.

        Returns
        -------
        Tensor of `row_dtype`, shape (n_parameters,)
            sum_i w_i O_i.
        """
        if self.derivative == "complex":
            return torch.complex(self.adjoint(weights), self.adjoint(1j * weights))
        return self.adjoint(weights).conj()

    def jacobian(self, rows: slice = slice(None)) -> Tensor:
        """Return O itself: for few parameters, and for tests.

        Parameters
        ----------
        rows : slice, optional
            Samples; all of them by default.

        Returns
        -------
        Tensor of `row_dtype`, shape (samples, n_parameters)
            d log psi / d parameter. Weights that a mask removes have zeros.
        """
        n = len(range(*rows.indices(self.n_samples)))
        out = torch.zeros(n, self.n_parameters, dtype=self.row_dtype, device=self.log_psi.device)
        for block in self._blocks:
            block.jacobian_into(out, rows)
        return out


def flat_parameters(ansatz: Ansatz) -> Tensor:
    """Return all parameters as one vector.

    Parameters
    ----------
    ansatz : Ansatz
        The state.

    Returns
    -------
    Tensor of float64 or complex128, shape (n_parameters,)
        A copy, in the order of ``ansatz.parameters()``.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import RBM
    >>> flat_parameters(RBM(4, alpha=1, rng=1)).shape
    torch.Size([24])
    """
    flat = torch.cat([parameter.detach().flatten() for parameter in ansatz.parameters()])
    return flat.to(torch.complex128 if flat.is_complex() else torch.float64)


@torch.no_grad()
def assign_flat(ansatz: Ansatz, vector: Tensor) -> None:
    """Set all parameters from one vector, rounding it to their precision.

    Parameters
    ----------
    ansatz : Ansatz
        The state, changed in place.
    vector : Tensor, shape (n_parameters,)
        In the order of ``ansatz.parameters()``; complex only if the parameters are.

    Raises
    ------
    ValueError
        If the length is wrong, or the vector is complex and the parameters are real.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import RBM
    >>> state = RBM(4, alpha=1, rng=1)
    >>> assign_flat(state, 2 * flat_parameters(state))
    """
    if vector.shape != (ansatz.n_parameters,):
        raise ValueError(
            f"Argument `vector` must have shape ({ansatz.n_parameters},), one number a parameter, "
            f"but it has {tuple(vector.shape)}."
        )
    if vector.is_complex() and not ansatz.dtype.is_complex:
        raise ValueError(f"Argument `vector` must be real, as the parameters are, but it is {vector.dtype}.")
    for parameter, part in zip(
        ansatz.parameters(), vector.split([p.numel() for p in ansatz.parameters()]), strict=True
    ):
        parameter.copy_(part.view_as(parameter))


def _check_parameters(ansatz: Ansatz) -> None:
    if ansatz.derivative not in ("real", "holomorphic", "complex"):
        raise ValueError(
            "Argument `ansatz` must have the derivative 'real', 'holomorphic' or 'complex', "
            f"but it is {ansatz.derivative!r}."
        )
    for name, parameter in ansatz.named_parameters():
        if not parameter.requires_grad:
            raise ValueError(f"Argument `ansatz` must have no frozen parameter, but `{name}` is.")
        if parameter.is_complex() != (ansatz.derivative == "holomorphic"):
            kind = "complex" if ansatz.derivative == "holomorphic" else "real"
            raise ValueError(
                f"Argument `ansatz` must have {kind} parameters for the derivative {ansatz.derivative!r}, "
                f"but `{name}` is {parameter.dtype}."
            )
