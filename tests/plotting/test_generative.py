"""Pictures of generative models show the numbers they are given."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from qmlphys import plotting


def test_images_are_those_of_the_rows_bits_and_spins_alike() -> None:
    bits = np.array([[0, 1, 1, 0, 0, 1], [1, 1, 1, 0, 0, 0]])
    ax = plotting.generated_images({"data": bits, "Aer": 1 - 2 * bits[:1]}, shape=(2, 3))
    first, second, same = (np.asarray(image.get_array()) for image in ax.images)
    np.testing.assert_array_equal(first, 1 - 2 * bits[0].reshape(2, 3))
    np.testing.assert_array_equal(second, 1 - 2 * bits[1].reshape(2, 3))
    np.testing.assert_array_equal(same, first)
    assert [text.get_text() for text in ax.texts] == ["data", "Aer"]
    # Row 0 of an image is at its top.
    assert all(image.origin == "upper" for image in ax.images)
    few = plotting.generated_images({"data": bits}, shape=(2, 3), n_images=1, weights={"data": [0.25, 0.75]})
    assert len(few.images) == 1
    assert [text.get_text() for text in few.texts] == ["25 %", "data"]


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one set of rows"):
        plotting.generated_images({}, shape=(2, 2))
    with pytest.raises(ValueError, match=r"rows of 2 x 2 sites, but those of 'data' have the shape \(1, 3\)"):
        plotting.generated_images({"data": [[0, 1, 1]]}, shape=(2, 2))
    with pytest.raises(ValueError, match="'data' holds other numbers"):
        plotting.generated_images({"data": [[0, 1, 2, 0]]}, shape=(2, 2))
    with pytest.raises(ValueError, match="one share an image"):
        plotting.generated_images({"data": [[0, 1, 1, 0]]}, shape=(2, 2), weights={"data": [0.5, 0.5]})
    with pytest.raises(ValueError, match="`n_images` must be at least 1"):
        plotting.generated_images({"data": [[0, 1, 1, 0]]}, shape=(2, 2), n_images=0)


def test_the_loss_shows_both_curves_and_what_was_kept() -> None:
    steps = xr.Dataset(
        {"train_nll": ("step", [4.0, 3.0, 2.5]), "validation_nll": ("step", [4.1, 3.3, 3.6])}, attrs={"best_step": 1}
    )
    ax = plotting.loss_curve(steps, floor=2.0, label="ln 8 =")
    train, held_out, kept, floor = ax.lines
    assert train.get_ydata().tolist() == [4.0, 3.0, 2.5]
    assert held_out.get_ydata().tolist() == [4.1, 3.3, 3.6]
    assert (np.atleast_1d(kept.get_xdata()).tolist(), np.atleast_1d(kept.get_ydata()).tolist()) == ([1], [3.3])
    assert floor.get_label() == "ln 8 = 2"
    bare = plotting.loss_curve(steps.assign(validation_nll=("step", np.full(3, np.nan))))
    assert len(bare.lines) == 2  # training and what was kept
    above = plotting.loss_curve(steps, floor=2.0, label="ln 8", above_floor=True)
    assert above.lines[0].get_ydata().tolist() == [2.0, 1.0, 0.5]
    assert (above.get_yscale(), above.get_ylabel()) == ("log", "NLL above ln 8 (nats)")
    with pytest.raises(ValueError, match="`floor` must be given"):
        plotting.loss_curve(steps, above_floor=True)
    with pytest.raises(ValueError, match="`train_nll` over at least one step"):
        plotting.loss_curve(xr.Dataset())


def test_trainings_are_averaged_over_their_seeds() -> None:
    ax = plotting.training_starts({"random": [[4.0, 2.0], [2.0, 1.0]], "good": [[1.0, 0.5]]}, floor=0.4, log=True)
    assert ax.lines[2].get_ydata().tolist() == [3.0, 1.5]
    assert ax.lines[2].get_label() == "random (2)"
    assert ax.get_yscale() == "log"
    with pytest.raises(ValueError, match="one length"):
        plotting.training_starts({"random": [[4.0, 2.0], [2.0]]})
    with pytest.raises(ValueError, match="at least one trace a label"):
        plotting.training_starts({"random": []})


def test_success_falls_on_a_logarithmic_scale() -> None:
    ax = plotting.success_probability([3, 4], [0.5, 0.25], measured=[0.4, 0.0], errors=[0.01, 0.01], certain=[3, 5])
    assert ax.get_yscale() == "log"
    assert ax.lines[0].get_ydata().tolist() == [0.5, 0.25]
    assert np.isnan(np.asarray(ax.lines[1].get_ydata())[1])  # a logarithm has no zero
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["3", "4", "5"]
    with pytest.raises(ValueError, match="one number a size"):
        plotting.success_probability([3, 4], [0.5])
    with pytest.raises(ValueError, match="one number a size"):
        plotting.success_probability([3, 4], [0.5, 0.2], measured=[0.5])
    with pytest.raises(ValueError, match="probabilities above 0"):
        plotting.success_probability([3, 4], [0.5, 0.0])


def test_correlations_of_several_sources_stand_beside_each_other() -> None:
    distances = np.array([1.0, 2.0])
    ax = plotting.correlations(
        {"data": (distances, [0.7, 0.5], [0.01, 0.01]), "Aer": (distances, [0.71, 0.4], [0.01, 0.01])},
        exact=(distances, [0.7, 0.5]),
    )
    first, second = (container.lines[0] for container in ax.containers)
    assert first.get_ydata().tolist() == [0.7, 0.5]
    assert (np.asarray(second.get_xdata()) > np.asarray(first.get_xdata())).all()
    with pytest.raises(ValueError, match="at least one curve"):
        plotting.correlations({})
    with pytest.raises(ValueError, match="arrays of one length"):
        plotting.correlations({"data": ([1, 2], [0.5], [0.1])})


def test_residuals_lie_around_zero() -> None:
    line = plotting.curve([1.0, 2.0], [0.1, -0.1], [0.05, 0.05], name="field", units="J")
    ax = plotting.residuals({"first": line, "second": line}, y_label="E - exact")
    first, second = (container.lines[0] for container in ax.containers)
    assert first.get_ydata().tolist() == second.get_ydata().tolist() == [0.1, -0.1]
    np.testing.assert_allclose(np.asarray(second.get_xdata()) - np.asarray(first.get_xdata()), 0.1)
    assert ax.get_xlabel() == "field $h$ ($J$)"
    with pytest.raises(ValueError, match="at least one curve"):
        plotting.residuals({}, y_label="")
