"""Variational Monte Carlo: the driver that takes a state to the ground state, step by step.

One file for one class, whose steps and checkpoints share its state; nearly half of it documents them.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from qmlphys._arguments import whole_number
from qmlphys.hamiltonians import SpinHalf
from qmlphys.nqs import _checkpoint
from qmlphys.nqs._checkpoint import CheckpointError
from qmlphys.nqs._errors import VMCError
from qmlphys.nqs._expectation import Expectation, check_hamiltonian
from qmlphys.nqs._history import Diagnostics, History
from qmlphys.nqs._progress import Bar, Interrupt
from qmlphys.nqs._settings import Settings, named_parameters, restore
from qmlphys.nqs._state import State
from qmlphys.nqs.collective import CollectiveModes, check_modes
from qmlphys.nqs.natural_gradient import NaturalGradient
from qmlphys.nqs.schedules import Schedule, as_schedule
from qmlphys.nqs.tangent import Tangent, assign_flat, flat_parameters

__all__ = ["VMC", "CheckpointError", "VMCError"]

_LOG = logging.getLogger(__name__)

_KEYS = {"settings", "parameters", "state", "history", "diagnostics", "previous"}
_TARGET_STEPS = 10  # steps that a target is averaged over, so that no lucky draw ends a run


class VMC:
    """Variational Monte Carlo with natural-gradient steps.

    Each step takes samples of the state, measures the energy, and moves the parameters by `step_size` times the natural
    gradient.

    Parameters
    ----------
    hamiltonian : SpinHalf
        The model whose ground state is sought.
    state : State
        A `MonteCarloState`, or for small systems a `FullSumState`; its ansatz is trained in place.
    natural_gradient : NaturalGradient, optional, keyword
        How the step is computed; by default a `NaturalGradient()`.
    step_size : float or Schedule, keyword
        Factor of the step, positive. With a small diagonal shift a step of size t is exp(-t H) to first order: it grows
        out of bounds when t is well above 2 / (E_max - E_min), and larger systems need smaller steps.
    collective : CollectiveModes, optional, keyword
        Slow modes that each step relaxes faster: for states near a transition, once they are near the ground state.

    Raises
    ------
    TypeError
        If an argument is of another kind.
    ValueError
        If the Hamiltonian is not Hermitian, has another number of sites, or leads out of the sampled sector; if the
        collective modes have another number of sites.

    References
    ----------
    G. Carleo and M. Troyer, Science 355, 602 (2017), eqs. 3-4 (energy and its minimisation by stochastic
    reconfiguration).

    Examples
    --------
    >>> from qmlphys.hamiltonians import TransverseIsing
    >>> from qmlphys.lattices import chain
    >>> from qmlphys.nqs import FullSumState
    >>> from qmlphys.nqs.ansatz import RBM
    >>> vmc = VMC(TransverseIsing(chain(6), field=2.0), FullSumState(RBM(6, alpha=2, rng=1)))
    >>> history = vmc.run(60)
    >>> round(vmc.estimate().energy.mean, 3), dict(history.sizes)
    (-12.769, {'step': 60})
    """

    def __init__(
        self,
        hamiltonian: SpinHalf,
        state: State,
        *,
        natural_gradient: NaturalGradient | None = None,
        step_size: float | Schedule = 0.05,
        collective: CollectiveModes | None = None,
    ) -> None:
        if not isinstance(state, State):
            raise TypeError(
                f"Argument `state` must be a MonteCarloState or a FullSumState, but it is a {type(state).__name__}."
            )
        check_hamiltonian(hamiltonian, state)
        if natural_gradient is None:
            natural_gradient = NaturalGradient()
        elif not isinstance(natural_gradient, NaturalGradient):
            raise TypeError(f"Argument `natural_gradient` must be a NaturalGradient, but it is {natural_gradient!r}.")
        self.hamiltonian = hamiltonian
        self.state = state
        self.natural_gradient = natural_gradient
        self.step_size = as_schedule(step_size, name="step_size")
        if collective is not None:
            check_modes(collective, state, name="collective")
        self.collective = collective
        self._history = History()
        self._diagnostics = Diagnostics()
        self._previous: Tensor | None = None  # the last direction, which SPRING carries on
        self._good: Tensor | None = None  # parameters of the last step whose energy was finite
        self._whole = True  # False in the middle of a step
        state.prepare()  # compiled and warmed up here, the first step is like the others

    @property
    def n_steps(self) -> int:
        """Steps that have been taken."""
        return len(self._history)

    def history(self) -> xr.Dataset:
        """Return what was written down at each step.

        Returns
        -------
        xarray.Dataset
            Over `step`: `energy`, `error`, `variance`, `v_score`, `r_hat`, `tau`, `acceptance`, `step_size`,
            `diagonal_shift`, `update_norm`, `seconds`. Each energy is that of one step's samples, before the step; the
            final number is `estimate()`'s.
        """
        state = self.state
        lattice = self.hamiltonian.lattice
        return self._history.to_dataset(
            {
                "model": self.hamiltonian.label,
                "lattice": "" if lattice is None else lattice.label,
                "n_sites": state.n_sites,
                "ansatz": type(state.ansatz).__name__,
                "n_parameters": state.ansatz.n_parameters,
                "sampler": repr(state.sampler),
                "n_samples": getattr(state, "n_samples", 0),
                "seed": str(state.seed),
                "natural_gradient": repr(self.natural_gradient),
                "step_size": repr(self.step_size),
                "collective": "" if self.collective is None else repr(self.collective),
            }
        )

    def estimate(self, n_samples: int | None = None, *, rng: int | np.random.Generator | None = None) -> Expectation:
        """Measure the energy of the present parameters on fresh samples: new chains, warmed up, that no step has seen.

        Parameters
        ----------
        n_samples : int, optional
            Configurations, rounded up to whole draws of the state's `n_samples`; by default 16 of these. A full sum
            takes all configurations whatever it says.
        rng : None, int or numpy.random.Generator, keyword
            By default it follows from the state's seed and the number of steps, so that the optimisation goes on as if
            nothing had been measured, and the same number comes out after a resume.

        Returns
        -------
        Expectation
            Energy, variance and V-score with errors.

        Raises
        ------
        FloatingPointError
            If a local energy is nan or inf.
        """
        if rng is None:
            rng = int(np.random.SeedSequence([self.state.seed, self.n_steps]).generate_state(2, np.uint64)[1] >> 1)
        if n_samples is None:
            n_samples = 16 * getattr(self.state, "n_samples", 1)
        return self.state.fresh(rng).expect(self.hamiltonian, n_samples=n_samples)

    def run(
        self,
        n_steps: int,
        *,
        target: float | None = None,
        target_error: float | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float = 60.0,
        progress: bool = False,
        callback: Callable[[VMC], bool | None] | None = None,
    ) -> xr.Dataset:
        """Take steps.

        Ctrl-C ends the run after the step at hand, once the checkpoint is written; a second one ends it at once.

        Parameters
        ----------
        n_steps : int
            How many more at most.
        target : float, optional, keyword
            Stop when the V-score of the last ten steps together is at most this.
        target_error : float, optional, keyword
            Stop when the standard error of a step's energy, averaged over the last ten, is at most this.
        checkpoint : path-like, optional, keyword
            File to write now and then, and at the end, whichever way it comes; `VMC.resume` goes on from it.
        checkpoint_every : float, keyword
            Seconds between two checkpoints; 0 writes one after every step.
        progress : bool, keyword
            Show a progress bar.
        callback : callable, optional, keyword
            Called with this object after every step; True ends the run.

        Returns
        -------
        xarray.Dataset
            `history()`.

        Raises
        ------
        VMCError
            If an energy or a step is nan or inf. The parameters are then those of the last step whose energy was
            finite, and the checkpoint holds them.
        ValueError
            If a number is out of range.
        """
        n_steps = whole_number("n_steps", n_steps, least=0)
        for name, value in (("target", target), ("target_error", target_error), ("checkpoint_every", checkpoint_every)):
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"Argument `{name}` must be a finite number >= 0, but it is {value!r}.")
        path = None if checkpoint is None else Path(checkpoint)
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"Argument `checkpoint` must lie in an existing folder, but it is {path}.")
        last = self.n_steps + n_steps
        written = time.monotonic()
        with Interrupt() as interrupt, Bar(last, enabled=progress) as bar:
            try:
                self.state.prepare()  # if the state was restarted since
                while self.n_steps < last and not interrupt.wished:
                    self._step()
                    columns = self._history.columns
                    stop = callback is not None and bool(callback(self))
                    stop = stop or self._reached(target, target_error)
                    bar.show(
                        self.n_steps,
                        *(columns[name][-1] for name in ("energy", "error", "v_score")),
                        last=stop or self.n_steps == last,
                    )
                    if stop:
                        _LOG.info("stopped after step %d, as asked", self.n_steps - 1)
                        break
                    if path is not None and time.monotonic() - written >= checkpoint_every:
                        self.save(path)
                        written = time.monotonic()
            finally:
                # In the middle of a step (a second Ctrl-C, no memory left) the file that is there is the good one.
                if path is not None and self._whole:
                    self.save(path)
        if interrupt.wished:
            raise KeyboardInterrupt
        return self.history()

    def _reached(self, target: float | None, target_error: float | None) -> bool:
        """Tell whether a target is met by the last steps together."""
        history = self._history
        if len(history) < _TARGET_STEPS:
            return False
        if target is not None:
            gain = (history.mean("energy", _TARGET_STEPS) - self.hamiltonian.reference_energy) ** 2
            if self.state.n_sites * history.mean("variance", _TARGET_STEPS) <= target * gain:
                return True
        return target_error is not None and history.mean("error", _TARGET_STEPS) <= target_error

    def _step(self) -> None:
        """Take one step."""
        began = time.perf_counter()
        state, step = self.state, self.n_steps
        ansatz = state.ansatz
        self._whole = False
        try:
            samples = state.samples()
            energies, expectation, series = state.measure(self.hamiltonian, samples)
        except FloatingPointError as error:
            self._restore()
            raise self._error(str(error), step, "energy") from error
        parameters = flat_parameters(ansatz)
        tangent = Tangent(ansatz, samples.spins, chunk=state.chunk)
        size = self.step_size(step)
        try:
            if self.collective is not None:
                energies = self.collective.accelerated(self.hamiltonian, state, samples, energies, step_size=size)
            direction = self.natural_gradient.direction(
                tangent, energies, samples.weights, step=step, previous=self._previous
            )
        except (FloatingPointError, torch.linalg.LinAlgError) as error:
            self._whole = True
            raise self._error(str(error), step, "step") from error
        delta = direction.delta
        norm = size * float(torch.linalg.vector_norm(delta))
        if not math.isfinite(norm):
            self._whole = True
            raise self._error("The step is nan or inf", step, "step")
        assign_flat(ansatz, parameters - size * delta)
        self._good = parameters
        if self.natural_gradient.momentum:
            self._previous = delta
        r_hat, tau = (math.nan, math.nan) if series is None else self._diagnostics.add(series)
        self._history.append(
            energy=expectation.energy.mean,
            error=expectation.energy.error,
            variance=expectation.variance.mean,
            v_score=expectation.v_score,
            r_hat=r_hat,
            tau=tau,
            acceptance=expectation.acceptance,
            step_size=size,
            diagonal_shift=direction.shift,
            update_norm=norm,
            seconds=time.perf_counter() - began,
        )
        self._whole = True

    def _restore(self) -> None:
        """Go back to the parameters of the last finite energy, with new chains."""
        if self._good is not None:
            assign_flat(self.state.ansatz, self._good)
            self._history.truncate(self.n_steps - 1)
        self._good = self._previous = None
        self._diagnostics.clear()
        self.state.restart()
        self._whole = True

    def _error(self, reason: str, step: int, where: str) -> VMCError:
        """Say what happened at which step, and which parameters the ansatz holds now."""
        reason = reason.strip().splitlines()[0].rstrip(".")
        return VMCError(
            f"Step {step} of {self.hamiltonian.label} with {type(self.state.ansatz).__name__}: {reason}. The ansatz "
            f"holds the parameters of step {self.n_steps}, the last with a finite energy; a smaller `step_size` or a "
            "larger diagonal shift may help.",
            step=step,
            where=where,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint under a temporary name and rename it: a reader finds the old one or the new one, whole.

        Parameters
        ----------
        path : path-like
            Where to; the folder must exist. An existing file is replaced.
        """
        settings = Settings.of(self.hamiltonian, self.state, self.natural_gradient, self.step_size, self.collective)
        _checkpoint.write(
            path,
            {
                "settings": settings.to_json(),
                "parameters": named_parameters(self.state),
                "state": self.state.state_dict(),
                "history": self._history.state_dict(),
                "diagnostics": self._diagnostics.state_dict(),
                "previous": self._previous,
            },
        )

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        hamiltonian: SpinHalf,
        state: State,
        *,
        natural_gradient: NaturalGradient | None = None,
        step_size: float | Schedule | None = None,
    ) -> VMC:
        """Go on from a checkpoint: the steps that follow are bit for bit those that would have followed.

        Collective modes are the checkpoint's.

        That holds for one machine and number of threads; otherwise they agree to rounding.

        Parameters
        ----------
        path : path-like
            A file of `save`, or of `run(..., checkpoint=path)`.
        hamiltonian : SpinHalf
            The same model.
        state : State
            The same kind of ansatz, sampler and number of samples; its parameters, chains and random numbers are
            replaced.
        natural_gradient : NaturalGradient, optional, keyword
            By default the checkpoint's.
        step_size : float or Schedule, optional, keyword
            By default the checkpoint's.

        Returns
        -------
        VMC
            With `n_steps` steps behind it.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        CheckpointError
            If it is no checkpoint, is damaged, or belongs to another calculation (a ValueError).
        """
        name = Path(path).name
        content = _checkpoint.read(path, keys=_KEYS)
        saved = Settings.from_json(content["settings"], name)
        vmc = cls(
            hamiltonian,
            state,
            natural_gradient=saved.natural_gradient if natural_gradient is None else natural_gradient,
            step_size=saved.step_size if step_size is None else step_size,
            collective=saved.collective,
        )
        saved.require_same(Settings.of(hamiltonian, state, vmc.natural_gradient, vmc.step_size, vmc.collective), name)
        vmc._previous = restore(content, state, vmc._history, vmc._diagnostics)
        return vmc
