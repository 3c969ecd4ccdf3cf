"""The picture of several sources shows the numbers it is given."""

from __future__ import annotations

import numpy as np
import pytest

from qmlphys import plotting


def test_sources_stand_beside_each_other_and_the_exact_line_where_it_is() -> None:
    field = [0.5, 1.0, 1.5]
    first = plotting.curve(field, [0.9, 0.5, 0.1], [0.01, 0.02, 0.03], name="field", units="J")
    second = plotting.curve(field, [0.8, 0.4, 0.2], [0.01, 0.02, 0.03], name="field", units="J")
    known = plotting.curve([0.5, 1.5], [0.85, 0.15])
    ax = plotting.sources(
        {"aer": first, "device $x$": second},
        exact=known,
        trained_on=[(0.4, 0.6)],
        level=0.5,
        y_label="output",
    )
    assert ax.get_xlabel() == "field $h$ ($J$)"
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["aer", r"device \$x\$", "exact", "labels seen"]
    points = [container.lines[0].get_xydata() for container in ax.containers]
    shift = points[1][:, 0] - points[0][:, 0]
    assert (shift > 0).all()
    assert shift.max() < 0.2 * 0.5
    np.testing.assert_allclose((points[0] + points[1])[:, 0] / 2, field)
    np.testing.assert_allclose(points[1][:, 1], [0.8, 0.4, 0.2])
    line = next(line for line in ax.lines if line.get_label() == "exact")
    np.testing.assert_allclose(line.get_xydata(), [[0.5, 0.85], [1.5, 0.15]])
    with pytest.raises(ValueError, match="at least one curve"):
        plotting.sources({}, y_label="output")
