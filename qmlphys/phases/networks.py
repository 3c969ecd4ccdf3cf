"""The networks that learn phases: a dense net, and a periodic convolutional net that knows no lattice size.

The convolutional net averages local features over the lattice before its small dense head. Its weights therefore apply
to every size, and for spins there is a short cut: if it has one convolution layer, a local feature is a function of the
window of spins it looks at, so the average over the lattice is *exactly* linear in the counts of the local patterns
(512 of them for a 3 x 3 window). Patterns are counted once a snapshot; after that, training and inference on any
lattice cost one (n, 512) x (512, channels) product instead of a convolution over all sites.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from qmlphys.phases._patterns import MAX_PATTERN_SITES, pattern_spins

__all__ = ["DenseNetwork", "PeriodicCNN"]


def _positive(values: Sequence[int], name: str) -> tuple[int, ...]:
    """Check a list of layer widths."""
    widths = (values,) if isinstance(values, int) else tuple(values)
    if not all(isinstance(w, int) and not isinstance(w, bool) and w > 0 for w in widths):
        raise ValueError(f"Argument `{name}` must hold positive integers, but it is {values!r}.")
    return widths


def _dense(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between them, none after the last."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class DenseNetwork(nn.Module):
    """Fully connected network, ReLU between its layers, logits at its end.

    Parameters
    ----------
    n_sites : int
        Number of input features.
    hidden : sequence of int
        Widths of the hidden layers, at least one.
    n_outputs : int
        Number of logits.

    References
    ----------
    J. Carrasquilla and R. G. Melko, Nature Physics 13, 431 (2017): one hidden layer of 100 units.

    Examples
    --------
    >>> DenseNetwork(16, hidden=(8,))(torch.ones(3, 16)).shape
    torch.Size([3, 1])
    """

    def __init__(self, n_sites: int, *, hidden: Sequence[int] = (100,), n_outputs: int = 1) -> None:
        super().__init__()
        widths = _positive(hidden, "hidden")
        if not widths:
            raise ValueError("Argument `hidden` must name at least one hidden layer, but it is empty.")
        self.n_sites = n_sites
        self.first = nn.Linear(n_sites, widths[0])
        # Pre-activations of order one, kinks spread over them (He et al., ICCV 2015). Torch's smaller start leaves
        # units that differ little: after 12 epochs on the Ising scan at L = 20 it is 0.14 points worse.
        nn.init.kaiming_normal_(self.first.weight)
        nn.init.uniform_(self.first.bias, -1.0, 1.0)
        self.head = _dense((*widths, *_positive((n_outputs,), "n_outputs")))

    def features(self, x: Tensor) -> Tensor:
        """Return the first layer's linear response, before any nonlinearity.

        Parameters
        ----------
        x : Tensor of shape (n, n_sites)
            Input.

        Returns
        -------
        Tensor of shape (n, hidden[0])
            W x + b: linear in the spins.
        """
        return self.first(x)

    def readout(self, features: Tensor) -> Tensor:
        """Turn features into logits.

        Parameters
        ----------
        features : Tensor of shape (n, hidden[0])
            What `features` returned.

        Returns
        -------
        Tensor of shape (n, n_outputs)
            Logits.
        """
        return self.head(functional.relu(features))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, n_outputs) of input (n, n_sites)."""
        return self.readout(self.features(x))


class PeriodicCNN(nn.Module):
    """Circular convolutions, pointwise layers, the mean over the lattice, and a small dense head.

    Parameters
    ----------
    shape : sequence of int, or int
        The lattice's shape, 1 to 3 axes; sites are numbered in row-major order. It may be set anew at any time
        (`network.shape = (64, 64)`): no weight depends on it.
    channels : sequence of int
        Channels of the convolution layers, at least one. With one layer (the default), spins can be fed as counts.
    kernel_size : int, optional
        Width of the convolution window along every axis; 3 by default, 2 in three dimensions.
    pointwise : sequence of int
        Widths of the layers that mix the channels of each site (1 x 1 convolutions).
    hidden : sequence of int
        Widths of the hidden layers of the head, after averaging.
    n_outputs : int
        Number of logits.

    Examples
    --------
    >>> from qmlphys.phases._patterns import count_patterns
    >>> network = PeriodicCNN((4, 4), channels=(8,))
    >>> spins = 2 * torch.randint(2, (5, 16)) - 1
    >>> counts = torch.from_numpy(count_patterns(spins.numpy(), (4, 4)))
    >>> torch.allclose(network(spins.float()), network.forward_histogram(counts), atol=1e-5)
    True
    """

    centre: Tensor
    whiten: Tensor
    patterns: Tensor

    def __init__(
        self,
        shape: Sequence[int] | int,
        *,
        channels: Sequence[int] = (16,),
        kernel_size: int | None = None,
        pointwise: Sequence[int] = (16,),
        hidden: Sequence[int] = (32,),
        n_outputs: int = 1,
    ) -> None:
        super().__init__()
        self.shape = _positive(shape, "shape") if not isinstance(shape, int) else _positive((shape,), "shape")
        n_dimensions = len(self.shape)
        if not 1 <= n_dimensions <= 3:
            raise ValueError(f"Argument `shape` must have 1 to 3 axes, but it is {shape!r}.")
        widths = _positive(channels, "channels")
        if not widths:
            raise ValueError("Argument `channels` must name at least one convolution layer, but it is empty.")
        default_size = 2 if n_dimensions == 3 else 3
        (self.kernel_size,) = _positive((default_size if kernel_size is None else kernel_size,), "kernel_size")
        make = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[n_dimensions - 1]
        self.convolutions = nn.ModuleList(make(i, o, self.kernel_size) for i, o in itertools.pairwise((1, *widths)))
        mixed = (widths[-1], *_positive(pointwise, "pointwise"))
        self.pointwise = nn.ModuleList(nn.Linear(i, o) for i, o in itertools.pairwise(mixed))
        self.head = _dense((mixed[-1], *_positive(hidden, "hidden"), *_positive((n_outputs,), "n_outputs")))
        self.n_features = mixed[-1]
        self.register_buffer("centre", torch.zeros(self.n_features))
        self.register_buffer("whiten", torch.eye(self.n_features))
        windows = torch.empty(0)
        if self.supports_histogram:
            windows = torch.from_numpy(pattern_spins(n_dimensions, self.kernel_size)).float()[:, None]
        # The windows are the same for all networks of one geometry and so are left out of the saved state.
        self.register_buffer("patterns", windows, persistent=False)

    @property
    def supports_histogram(self) -> bool:
        """Whether local features depend on one window that is small enough to tabulate."""
        return len(self.convolutions) == 1 and self.kernel_size ** len(self.shape) <= MAX_PATTERN_SITES

    def _wrap(self, x: Tensor) -> Tensor:
        """Continue a (n, channels, *shape) field periodically, also if an axis is shorter than the window."""
        left = (self.kernel_size - 1) // 2
        right = self.kernel_size - 1 - left
        for axis in range(2, x.ndim):
            size = x.shape[axis]
            x = x.index_select(axis, torch.arange(-left, size + right, device=x.device) % size)
        return x

    def _mix(self, x: Tensor) -> Tensor:
        """Apply the pointwise layers to channels that are the last axis."""
        for layer in self.pointwise:
            x = functional.relu(layer(x))
        return x

    def features(self, x: Tensor) -> Tensor:
        """Return the local features averaged over the lattice.

        Parameters
        ----------
        x : Tensor of shape (n, prod(shape))
            Input, sites in row-major order.

        Returns
        -------
        Tensor of shape (n, n_features)
            Averages; each is the lattice mean of a local function of the input.
        """
        x = x.reshape(len(x), 1, *self.shape)
        for layer in self.convolutions:
            x = functional.relu(layer(self._wrap(x)))
        return self._mix(x.flatten(2).transpose(1, 2)).mean(1)

    def pattern_features(self) -> Tensor:
        """Return the local features of every pattern, shape (n_patterns, n_features).

        Raises
        ------
        ValueError
            If the network has more than one convolution layer, or a window too large to tabulate.
        """
        if not self.supports_histogram:
            raise ValueError(
                f"Pattern counts need one convolution layer with a window of at most {MAX_PATTERN_SITES} sites, but "
                f"there are {len(self.convolutions)} layers, windows of {self.kernel_size ** len(self.shape)} sites."
            )
        return self._mix(functional.relu(self.convolutions[0](self.patterns)).flatten(1))

    def features_histogram(self, counts: Tensor) -> Tensor:
        """Return the same features from pattern counts (or frequencies), shape (n, n_patterns)."""
        weights = counts.to(self.centre.dtype)
        return weights @ self.pattern_features() / weights.sum(1, keepdim=True)

    def calibrate(self, features: Tensor) -> None:
        """Set the frozen affine map in front of the head so that these features come out white.

        Energies near a critical point differ by little compared with the features' own values, and the features are
        nearly collinear; without this the optimiser spends its time on a badly conditioned problem.

        Parameters
        ----------
        features : Tensor of shape (n, n_features)
            Features of the training data at the present weights.
        """
        with torch.no_grad():
            data = features.cpu().double()  # not every device has float64
            centre = data.mean(0)
            values, vectors = torch.linalg.eigh((data - centre).T @ (data - centre) / len(data))
            # Directions below the floor are rounding noise; they are passed on without being blown up.
            floor = 1e-6 * values[-1].clamp_min(1e-12)
            whiten = vectors / values.clamp_min(floor).sqrt()
            self.centre.copy_(centre)
            self.whiten.copy_(whiten)

    def readout(self, features: Tensor) -> Tensor:
        """Turn averaged features (n, n_features) into logits (n, n_outputs)."""
        return self.head((features - self.centre) @ self.whiten)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, n_outputs) of input (n, prod(shape))."""
        return self.readout(self.features(x))

    def forward_histogram(self, counts: Tensor) -> Tensor:
        """Return the logits of snapshots given by their pattern counts.

        Parameters
        ----------
        counts : Tensor of shape (n, n_patterns)
            Counts or frequencies of the local patterns; rows are normalised here.

        Returns
        -------
        Tensor of shape (n, n_outputs)
            The same numbers as `forward` gives for the snapshots, to rounding.
        """
        return self.readout(self.features_histogram(counts))
