"""Learners that find phases of matter in snapshots: scikit-learn estimators, and the baselines they are measured by."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qmlphys.phases.clustering import PhaseClusterer
    from qmlphys.phases.confusion import ConfusionScheme
    from qmlphys.phases.supervised import SupervisedPhaseClassifier, far_ends

__all__ = ["ConfusionScheme", "PhaseClusterer", "SupervisedPhaseClassifier", "baselines", "far_ends"]

# Read when first used: the clusterer and the baselines need no torch.
_HOMES = {
    "ConfusionScheme": "confusion",
    "PhaseClusterer": "clustering",
    "SupervisedPhaseClassifier": "supervised",
    "far_ends": "supervised",
}
_MODULES = ("baselines", "curves", "networks")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"Module {__name__!r} has no attribute {name!r}.")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
