"""Supervised training of a wide network beside its linear theory. Public through `qmlphys.nqs.neural_tangent`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys._arguments import whole_number
from qmlphys.nqs._wide_cosnet import CosNetParameters, TangentCosNet, positive_number
from qmlphys.nqs._wide_domain import StringSet
from qmlphys.nqs._wide_flow import LinearFlow

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["SupervisedTraining", "train_supervised"]

# eta * (largest rate) at which the largest mode stops decaying: |1 - z| = 1, and for Runge-Kutta of fourth order.
_STABLE = {"descent": 2.0, "flow": 2.785}


@dataclass(frozen=True, eq=False)
class SupervisedTraining:
    """What came of `train_supervised`.

    Parameters
    ----------
    network : TangentCosNet
        After training.
    psi : ndarray of complex128, shape (n_strings,)
        The learned state: values of the network less those at its start.
    time : ndarray of float64, shape (n_steps + 1,)
        eta t, from 0.
    loss : ndarray of float64, shape (n_steps + 1,)
        sum |psi - target|^2 of the network.
    linear_loss : ndarray of float64, shape (n_steps + 1,)
        The same under the kernels at the start, exactly: the flow, or the same steps of descent.
    infidelity : ndarray of float64, shape (n_steps + 1,)
        1 - |<target|psi>|^2 / (|target|^2 |psi|^2); 1 where psi is 0.
    step : float
        eta of one step.
    drift : float
        |Theta(end) - Theta(start)| / |Theta(start)| in the Frobenius norm.
    rates, weights : ndarray of float64, shape (2 n_strings,)
        Eigenvalues of the kernels at the start, rising, and how much of |target|^2 lies in each mode.
    converged : bool
        Whether the loss has reached the level asked for.
    """

    network: TangentCosNet
    psi: NDArray[np.complex128]
    time: NDArray[np.float64]
    loss: NDArray[np.float64]
    linear_loss: NDArray[np.float64]
    infidelity: NDArray[np.float64]
    step: float
    drift: float
    rates: NDArray[np.float64]
    weights: NDArray[np.float64]
    converged: bool

    def deviation(self, *, down_to: float = 1e-6) -> float:
        """Return the largest |loss / linear_loss - 1| while the linear loss is at least `down_to`."""
        there = self.linear_loss >= positive_number("down_to", down_to)
        if not there.any():
            raise ValueError(f"Argument `down_to` must be at most the loss at the start, but it is {down_to!r}.")
        return float(np.abs(self.loss[there] / self.linear_loss[there] - 1).max())

    def to_dataset(self) -> xr.Dataset:
        """Return the curves over `time` and the modes over `mode`, with the single numbers in `attrs`."""
        import xarray as xr

        curves = {name: ("time", getattr(self, name)) for name in ("loss", "linear_loss", "infidelity")}
        modes = {"rate": ("mode", self.rates), "weight": ("mode", self.weights)}
        attrs = {
            "step": self.step,
            "drift": self.drift,
            "converged": int(self.converged),
            "width": self.network.width,
            "n_sites": self.network.n_sites,
        }
        return xr.Dataset(curves | modes, coords={"time": ("time", self.time, {"units": "eta t"})}, attrs=attrs)


def train_supervised(
    network: TangentCosNet,
    target: ArrayLike,
    *,
    strings: StringSet,
    method: Literal["descent", "flow"] = "descent",
    step: float = 0.5,
    stop_loss: float = 1e-9,
    max_steps: int = 5_000,
) -> SupervisedTraining:
    """Teach a wide network a state from all its amplitudes at once, and compare with the linear theory.

    The network is centred: psi is its values less those at its start, so that the loss begins at |target|^2.

    Parameters
    ----------
    network : TangentCosNet
        At its start; it is not changed.
    target : array_like of float64 or complex128, shape (n_strings,)
        Amplitudes; they are normalised.
    strings : StringSet, keyword
        The configurations, at most 4,096.
    method : {"descent", "flow"}, keyword
        Full-batch gradient descent of sum |psi - target|^2, or its flow by Runge-Kutta steps of fourth order.
    step : float, keyword
        eta times the largest eigenvalue of the kernels at the start; below 2 for descent and 2.785 for the flow, where
        the fastest mode no longer decays. At 0.5 the flow is integrated to a few parts in ten thousand.
    stop_loss : float, keyword
        Training ends when the loss falls below.
    max_steps : int, keyword
        And after so many steps.

    Returns
    -------
    SupervisedTraining
        Curves, drift of the kernel, the network.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or the shapes do not fit.

    Notes
    -----
    Theory: Luo and Halverson, arXiv:2112.00723. Values, gradients and kernels of all strings are matrix products of
    waves on the two parts of `StringSet`.

    Examples
    --------
    >>> strings = StringSet.all(4)
    >>> start = TangentCosNet.random(4, width=2000, sigma_w=2.0, rng=1)
    >>> done = train_supervised(start, np.ones(16), strings=strings, step=1.0, stop_loss=1e-6)
    >>> done.converged, done.drift < 0.1, bool(done.infidelity[-1] < 1e-6)
    (True, True, True)
    """
    if not isinstance(network, TangentCosNet):
        raise TypeError(f"Argument `network` must be a TangentCosNet, but it is {network!r}.")
    if not isinstance(strings, StringSet):
        raise TypeError(f"Argument `strings` must be a StringSet, but it is {strings!r}.")
    if len(strings) > 4096:
        raise ValueError(f"Argument `strings` must hold at most 4096 strings, but it holds {len(strings)}.")
    aim = _unit(target, len(strings))
    if method not in _STABLE:
        raise ValueError(f"Argument `method` must be 'descent' or 'flow', but it is {method!r}.")
    if not 0 < step < _STABLE[method]:
        raise ValueError(f"Argument `step` must lie between 0 and {_STABLE[method]} for {method}, but it is {step!r}.")
    stop_loss, max_steps = positive_number("stop_loss", stop_loss), whole_number("max_steps", max_steps)
    kernel, other = network.tangent_kernels(strings)
    linear = LinearFlow(kernel, other)
    eta = float(step / linear.rates[-1])
    start = network.values(strings)
    now, psi = network.parameters, np.zeros_like(start)
    loss, infidelity = [1.0], [1.0]
    while loss[-1] > stop_loss and len(loss) <= max_steps:
        first = TangentCosNet(now).gradient(strings, psi - aim)
        now = now.moved(-eta, first) if method == "descent" else _runge_kutta(now, first, eta, strings, start + aim)
        psi = TangentCosNet(now).values(strings) - start
        loss.append(float((np.abs(psi - aim) ** 2).sum()))
        infidelity.append(max(0.0, 1 - float(abs(np.vdot(aim, psi)) ** 2 / (np.abs(psi) ** 2).sum())))
    trained = TangentCosNet(now)
    counts = np.arange(len(loss), dtype=np.float64)
    linear_loss = linear.losses(-aim, counts, step=eta) if method == "descent" else linear.losses(-aim, eta * counts)
    rates, weights = linear.weights(-aim)
    return SupervisedTraining(
        network=trained,
        psi=psi,
        time=eta * counts,
        loss=np.array(loss),
        linear_loss=linear_loss,
        infidelity=np.array(infidelity),
        step=eta,
        drift=float(np.linalg.norm(trained.tangent_kernels(strings)[0] - kernel) / np.linalg.norm(kernel)),
        rates=rates,
        weights=weights,
        converged=loss[-1] <= stop_loss,
    )


def _runge_kutta(
    now: CosNetParameters, first: CosNetParameters, eta: float, strings: StringSet, aim: NDArray[np.complex128]
) -> CosNetParameters:
    """One step of the flow; `first` is the gradient at its start and `aim` the values at which it rests."""

    def slope(parameters: CosNetParameters) -> CosNetParameters:
        network = TangentCosNet(parameters)
        return network.gradient(strings, network.values(strings) - aim)

    second = slope(now.moved(-eta / 2, first))
    third = slope(now.moved(-eta / 2, second))
    fourth = slope(now.moved(-eta, third))
    for weight, part in ((1, first), (2, second), (2, third), (1, fourth)):
        now = now.moved(-eta * weight / 6, part)
    return now


def _unit(target: ArrayLike, n_strings: int) -> NDArray[np.complex128]:
    aim = np.asarray(target, dtype=np.complex128)
    if aim.shape != (n_strings,):
        raise ValueError(f"Argument `target` must have shape ({n_strings},), but it is {aim.shape}.")
    norm = np.linalg.norm(aim)
    if not np.isfinite(norm) or norm == 0:
        raise ValueError("Argument `target` must be finite and not all 0.")
    return aim / norm
