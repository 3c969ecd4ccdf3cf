"""Schedules: their ends, their shapes, and their way through JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise

import pytest

from qmlphys.nqs.schedules import Constant, CosineDecay, ExponentialDecay, Linear, Schedule, WarmUp, as_schedule

EXAMPLES = [
    Constant(0.02),
    Linear(0.0, 0.5, n_steps=20),
    ExponentialDecay(1e-1, 1e-3, n_steps=20),
    CosineDecay(0.3, 0.1, n_steps=20),
    WarmUp(0.1, n_steps=5),
    WarmUp(CosineDecay(0.3, 0.1, n_steps=20), n_steps=7),
]
every_schedule = pytest.mark.parametrize("schedule", EXAMPLES, ids=lambda s: type(s).__name__)
FALLING = [Linear, ExponentialDecay, CosineDecay]


@every_schedule
def test_json_there_and_back(schedule):
    text = json.dumps(schedule.to_dict())
    back = Schedule.from_dict(json.loads(text))
    assert back == schedule
    assert type(back) is type(schedule)
    assert [back(step) for step in range(50)] == [schedule(step) for step in range(50)]


@every_schedule
def test_values_are_finite_and_not_negative(schedule):
    values = [schedule(step) for step in (*range(60), 10**9)]
    assert all(math.isfinite(value) and value >= 0 for value in values)
    assert values[-1] == values[-2]  # all of them come to rest


@pytest.mark.parametrize("kind", FALLING)
def test_ends_and_middle(kind):
    schedule = kind(0.4, 0.1, n_steps=10)
    values = [schedule(step) for step in range(15)]
    assert values[0] == pytest.approx(0.4, rel=1e-15)
    assert values[10] == pytest.approx(0.1, rel=1e-15)
    assert values[10:] == [values[10]] * 5
    assert all(a > b for a, b in pairwise(values[:11]))
    middle = {Linear: 0.25, CosineDecay: 0.25, ExponentialDecay: 0.2}[kind]
    assert values[5] == pytest.approx(middle, rel=1e-14)


def test_exponential_has_one_ratio():
    values = [ExponentialDecay(0.4, 0.1, n_steps=10)(step) for step in range(11)]
    ratios = [b / a for a, b in pairwise(values)]
    assert ratios == pytest.approx([0.25**0.1] * 10, rel=1e-13)


def test_warm_up():
    base = ExponentialDecay(1.0, 0.1, n_steps=30)
    warm = WarmUp(base, n_steps=4)
    assert [warm(step) / base(step) for step in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1], rel=1e-15)


def test_numbers_are_constants():
    assert as_schedule(0.5) == Constant(0.5)
    assert as_schedule(1)(3) == 1.0
    schedule = Linear(1, 0, n_steps=2)
    assert as_schedule(schedule) is schedule
    with pytest.raises(TypeError, match="Argument `step_size` must be a number or a schedule, but it is 'fast'"):
        as_schedule("fast", name="step_size")


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
def test_bad_values(value):
    with pytest.raises(ValueError, match=f"Argument `value` must be finite and at least 0, but it is {value}"):
        Constant(value)
    with pytest.raises(ValueError, match="Argument `shift` must be finite and at least 0"):
        as_schedule(value, name="shift")
    with pytest.raises(ValueError, match="Argument `stop` must be finite"):
        Linear(0.1, value, n_steps=3)


def test_other_bad_arguments():
    with pytest.raises(ValueError, match=r"Argument `stop` must be finite and greater than 0, but it is 0\.0"):
        ExponentialDecay(0.1, 0.0, n_steps=3)
    for n_steps in (0, -1, 2.0, True):
        with pytest.raises(
            ValueError, match=f"Argument `n_steps` must be an integer of at least 1, but it is {n_steps}"
        ):
            CosineDecay(0.1, 0.0, n_steps=n_steps)
    with pytest.raises(TypeError, match="Argument `start` must be a number, but it is '1'"):
        Linear("1", 0, n_steps=3)
    with pytest.raises(TypeError, match="Argument `schedule` must be a number or a schedule, but it is None"):
        WarmUp(None, n_steps=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Constant(1.0).value = 2.0


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "Cubic", "value": 1.0},
        {"value": 1.0},
        [],
        {"kind": "Constant"},
        {"kind": "Constant", "value": 1.0, "more": 2},
        {"kind": ["Constant"], "value": 1.0},
    ],
)
def test_dictionaries_of_no_schedule(values):
    with pytest.raises(ValueError, match="Argument `values` must have the key"):
        Schedule.from_dict(values)
