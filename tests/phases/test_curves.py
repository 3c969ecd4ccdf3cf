"""Labels from the far ends of a scan, and mean curves with errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmlphys.phases.curves import far_ends, mean_curve


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.floats(0.1, 10), min_size=2, max_size=30, unique=True),
    fraction=st.floats(0.01, 0.49),
    seed=st.integers(0, 99),
)
def test_the_ends_never_meet(values, fraction, seed):
    parameter = np.random.default_rng(seed).permutation(np.repeat(values, 2))
    mask, y = far_ends(parameter, fraction=fraction)
    assert y.shape == (mask.sum(),)
    ordered, disordered = parameter[mask][y == 1], parameter[mask][y == 0]
    assert len(ordered) >= 2
    assert len(disordered) >= 2
    assert ordered.max() < disordered.min()
    between = parameter[~mask]
    assert ((between > ordered.max()) & (between < disordered.min())).all()
    span = parameter.max() - parameter.min()
    assert np.ptp(ordered) <= fraction * span * (1 + 1e-12)


def test_the_ends_may_be_named():
    mask, y = far_ends([1.0, 2.0, 3.0, 4.0], low=2.0, high=4.0)
    assert mask.tolist() == [True, True, False, True]
    assert y.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fraction": 0.5}, "`fraction` must lie between 0 and 0.5"),
        ({"fraction": 0.0}, "`fraction` must lie between"),
        ({"low": 3.0, "high": 2.0}, "must leave the ends apart"),
        ({"low": 2.0, "high": 2.0}, "must leave the ends apart"),
        ({"low": 0.5}, "must have rows in both ends"),
    ],
)
def test_ends_that_overlap_or_are_empty_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        far_ends([1.0, 2.0, 3.0, 4.0], **settings)


def test_a_scan_of_one_value_or_of_nonsense_is_refused():
    with pytest.raises(ValueError, match="must leave the ends apart"):
        far_ends([2.0, 2.0])
    with pytest.raises(ValueError, match="must be finite"):
        far_ends([1.0, np.nan])


def test_means_and_errors_by_hand():
    # Two chains at each value; the chain means at 1.0 are 0.9 and 0.7, so the error of their mean is 0.1.
    output = [1.0, 0.8, 0.6, 0.8, 0.2, 0.2, 0.4, 0.4]
    parameter = [1.0] * 4 + [2.0] * 4
    groups = [0, 0, 1, 1, 2, 2, 3, 3]
    curve = mean_curve(output, parameter, groups=groups)
    np.testing.assert_allclose(curve["mean"], [0.8, 0.3], rtol=1e-12)
    np.testing.assert_allclose(curve["error"], [0.1, 0.1], rtol=1e-12)
    assert curve["n_groups"].values.tolist() == [2, 2]
    assert curve["n_rows"].values.tolist() == [4, 4]
    single = mean_curve(output, parameter, groups=[0] * 4 + [1] * 4)
    assert np.isnan(single["error"]).all()


def test_errors_cover_the_scatter_of_correlated_rows():
    rng = np.random.default_rng(0)
    pulls, naive = [], []
    for _ in range(300):
        chain = np.repeat(rng.normal(size=20), 10)
        pulls.append(
            float(
                np.divide(
                    *(
                        mean_curve(chain, np.zeros(200), groups=np.repeat(np.arange(20), 10))[k].item()
                        for k in ("mean", "error")
                    )
                )
            )
        )
        naive.append(float(np.divide(*(mean_curve(chain, np.zeros(200))[k].item() for k in ("mean", "error")))))
    assert np.std(pulls) == pytest.approx(
        np.sqrt(19 / 17), abs=5 / np.sqrt(600)
    )  # Student's t with 19 degrees of freedom
    assert np.std(naive) > 2.5  # rows that count as independent: too small by sqrt(10)


def test_lengths_and_numbers_are_checked():
    with pytest.raises(ValueError, match="inconsistent numbers"):
        mean_curve([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="`output` must be finite"):
        mean_curve([np.nan], [1.0])
    with pytest.raises(ValueError, match="one number a row"):
        mean_curve([[1.0]], [1.0])
