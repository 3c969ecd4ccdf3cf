"""What a checkpoint says about its calculation, as JSON, and whether a continuation is of the same one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qmlphys.hamiltonians import SpinHalf
from qmlphys.nqs import _checkpoint
from qmlphys.nqs._checkpoint import CheckpointError
from qmlphys.nqs._history import COLUMNS, Diagnostics, History
from qmlphys.nqs._state import State
from qmlphys.nqs.collective import CollectiveModes
from qmlphys.nqs.natural_gradient import NaturalGradient
from qmlphys.nqs.schedules import Schedule
from qmlphys.nqs.tangent import flat_parameters

__all__ = ["Settings", "named_parameters", "restore"]


@dataclass(frozen=True)
class Settings:
    """Settings of an optimisation.

    Parameters
    ----------
    identity : dict
        What a checkpoint and its continuation must share: Hamiltonian and matrix elements, ansatz, sampler, samples.
    natural_gradient : NaturalGradient
        May change.
    step_size : Schedule
        May change.
    collective : CollectiveModes or None
        Slow modes that are relaxed faster.
    """

    identity: dict[str, Any]
    natural_gradient: NaturalGradient
    step_size: Schedule
    collective: CollectiveModes | None

    @classmethod
    def of(
        cls,
        hamiltonian: SpinHalf,
        state: State,
        natural_gradient: NaturalGradient,
        step_size: Schedule,
        collective: CollectiveModes | None,
    ) -> Settings:
        """Describe a calculation."""
        terms = hamiltonian.flip_terms
        digest = hashlib.sha256()
        for array in (terms.flips, terms.owner, terms.coefficients, terms.zsites):
            digest.update(repr(array.shape).encode() + array.tobytes())
        identity = {
            "hamiltonian": hamiltonian.label,
            "matrix_elements": digest.hexdigest(),
            "ansatz": type(state.ansatz).__name__,
            "sampler": repr(state.sampler),
            "n_samples": getattr(state, "n_samples", 0),
        }
        return cls(identity, natural_gradient, step_size, collective)

    def to_json(self) -> str:
        """Write the settings."""
        parts = {
            "natural_gradient": self.natural_gradient.to_dict(),
            "step_size": self.step_size.to_dict(),
            "collective": None if self.collective is None else self.collective.to_dict(),
        }
        return json.dumps({**self.identity, **parts})

    @classmethod
    def from_json(cls, text: Any, name: str) -> Settings:
        """Read the settings of the file called `name`, or raise CheckpointError."""
        try:
            identity = json.loads(text)
            gradient = NaturalGradient.from_dict(identity.pop("natural_gradient"))
            step_size, modes = Schedule.from_dict(identity.pop("step_size")), identity.pop("collective", None)
            return cls(identity, gradient, step_size, None if modes is None else CollectiveModes.from_dict(modes))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"The settings of checkpoint {name!r} are damaged: {error!r}.") from error

    def require_same(self, present: Settings, name: str) -> None:
        """Refuse to go on with another calculation."""
        for key, value in present.identity.items():
            if self.identity.get(key) != value:
                raise CheckpointError(
                    f"Checkpoint {name!r} belongs to another calculation: its `{key}` is {self.identity.get(key)!r}, "
                    f"but here it is {value!r}."
                )


def named_parameters(state: State) -> dict[str, Tensor]:
    """Return the parameters by name, without gradients."""
    return {name: parameter.detach() for name, parameter in state.ansatz.named_parameters()}


def restore(content: dict[str, Any], state: State, history: History, diagnostics: Diagnostics) -> Tensor | None:
    """Take over the parts of a checkpoint, the parameters last: what does not fit leaves them alone.

    Parameters
    ----------
    content : dict
        Of `qmlphys.nqs._checkpoint.read`.
    state : State
        Gets parameters, chains and random numbers.
    history, diagnostics
        Get what was written down.

    Returns
    -------
    Tensor or None
        The last direction.

    Raises
    ------
    CheckpointError
        If a part does not fit.
    """
    _checkpoint.require_tensors(content["parameters"], named_parameters(state), "parameters")
    _checkpoint.require_history(content["history"], COLUMNS)
    previous: Tensor | None = content["previous"]
    if previous is not None:
        _checkpoint.require_tensors({"": previous}, {"": flat_parameters(state.ansatz)}, "last direction")
    try:
        state.load_state_dict(content["state"])
        diagnostics.load_state_dict(content["diagnostics"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"The chains of the checkpoint do not fit: {error}.") from error
    with torch.no_grad():
        for name, parameter in state.ansatz.named_parameters():
            parameter.copy_(content["parameters"][name])
    history.load_state_dict(content["history"])
    return None if previous is None else previous.to(state.ansatz.device)
