"""Pictures of neural quantum states."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from qmlphys import plotting
from qmlphys.stats import Estimate


def test_convergence_shows_scores_and_errors() -> None:
    history = xr.Dataset(
        {"energy": ("step", [-1.0, -1.9, -2.0]), "v_score": ("step", [0.1, 0.01, 0.0])}, {"step": [0, 1, 2]}
    )
    ax = plotting.convergence(history, exact=-2.0)
    score, error = ax.lines
    np.testing.assert_allclose(np.asarray(score.get_ydata())[:2], [0.1, 0.01])
    assert np.isnan(np.asarray(score.get_ydata())[2])  # a logarithm has no zero
    np.testing.assert_allclose(error.get_ydata(), [0.5, 0.05, 0.0], atol=1e-15)
    assert len(plotting.convergence(history).lines) == 1


def test_scores_are_sorted_by_the_parameter() -> None:
    ax = plotting.v_scores({"L = 8": (np.array([2.0, 1.0]), np.array([1e-6, 1e-4]))})
    assert ax.lines[0].get_xdata().tolist() == [1.0, 2.0]
    assert ax.lines[0].get_ydata().tolist() == [1e-4, 1e-6]
    assert ax.get_yscale() == "log"
    with pytest.raises(ValueError, match="at least one curve"):
        plotting.v_scores({})


def test_the_phase_diagram_has_a_row_a_size() -> None:
    lines = {
        8.0: plotting.curve([0.5, 1.0, 1.5], [1.0, 0.6, 0.1], name="field", units="J"),
        16.0: plotting.curve([0.5, 1.0, 1.5], [1.0, 0.5, 0.0], name="field", units="J"),
    }
    ax = plotting.phase_diagram(lines, critical_point=Estimate(1.0, 0.1), exact=1.0)
    values = ax.collections[0].get_array()
    assert values is not None
    assert np.asarray(values).reshape(2, 3).tolist() == [[1.0, 0.6, 0.1], [1.0, 0.5, 0.0]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["8", "16"]
    assert ax.get_xlabel() == "field $h$ ($J$)"
    with pytest.raises(ValueError, match="at least one curve"):
        plotting.phase_diagram({})
    with pytest.raises(ValueError, match="one length"):
        plotting.phase_diagram(lines | {32.0: plotting.curve([0.5, 1.0], [1.0, 0.0])})
