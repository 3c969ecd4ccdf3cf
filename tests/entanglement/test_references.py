"""Closed forms against sums over exact fractions and states."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from qmlphys import nqs
from qmlphys.entanglement import (
    area_law_ceiling,
    block_entropies,
    dicke_asymptote,
    dicke_entropy,
    page_entropy,
)

LN2 = math.log(2)


def page_sum(n_a, n):
    m, k = 2 ** min(n_a, n - n_a), 2 ** max(n_a, n - n_a)
    return float(sum(Fraction(1, j) for j in range(k + 1, m * k + 1)) - Fraction(m - 1, 2 * k))


@pytest.mark.parametrize(("n_a", "n"), [(0, 3), (1, 1), (1, 2), (1, 5), (2, 4), (3, 7), (5, 7), (5, 10)])
def test_pages_sum_of_fractions(n_a, n):
    assert page_entropy(n_a, n) == pytest.approx(page_sum(n_a, n), rel=1e-13, abs=1e-13)


def test_pages_value_joins_its_asymptote():
    for n in (58, 59, 60, 61, 62):  # digamma below, the series above 30 sites on the larger side
        for n_a in (n // 2 - 1, n // 2):
            series = n_a * LN2 - 2.0 ** (2 * n_a - n) / 2
            assert page_entropy(n_a, n) == pytest.approx(series, abs=1e-13)
    assert page_entropy(10, 10**6) == pytest.approx(10 * LN2, abs=1e-13)
    assert page_entropy(20, 41) == pytest.approx(page_entropy(21, 41))


def test_dicke_spectrum_is_hypergeometric():
    for n, k, n_a in ((9, 4, 3), (12, 5, 6), (7, 7, 3), (30, 2, 11)):
        p = [math.comb(n_a, j) * math.comb(n - n_a, k - j) / math.comb(n, k) for j in range(n_a + 1) if j <= k]
        p = np.array([x for x in p if x > 0])
        assert dicke_entropy(n, k, n_a) == pytest.approx(-(p * np.log(p)).sum(), abs=1e-13)
        assert dicke_entropy(n, k, n_a, order=2) == pytest.approx(-math.log((p**2).sum()), abs=1e-13)
        assert dicke_entropy(n, k, n_a, order=0) == pytest.approx(math.log(len(p)), abs=1e-13)


def test_dicke_asymptote_is_reached_as_one_over_n():
    differences = [dicke_entropy(n, n // 4, n // 2) - dicke_asymptote(n, n // 4, n // 2) for n in (400, 4000, 40_000)]
    assert np.array(differences[:2]) / differences[1:] == pytest.approx(10, rel=0.05)
    assert dicke_entropy(10**6, 500_000, 500_000) == pytest.approx(dicke_asymptote(10**6, 500_000, 500_000), abs=1e-6)


def test_short_range_machines_stay_below_the_ceiling_and_come_near():
    largest = 0.0
    for seed in range(6):
        ansatz = nqs.ShortRangeRBM(12, radius=1, dtype="complex128", scale=0.8, rng=seed)
        spins = torch.from_numpy(1.0 - 2.0 * ((np.arange(2**12)[:, None] >> np.arange(12)) & 1))
        with torch.no_grad():
            vector = ansatz(spins).exp().numpy()
        largest = max(largest, float(block_entropies(vector, lengths=[6]).max()))
    assert area_law_ceiling(2, 1) == pytest.approx(4 * LN2)
    assert 0.25 * area_law_ceiling(2, 1) < largest < area_law_ceiling(2, 1)
    assert area_law_ceiling(1, 2, units_per_site=3) == pytest.approx(12 * LN2)
    assert area_law_ceiling(0, 5) == 0


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (page_entropy, (3, 2), "n_a"),
        (page_entropy, (0, 0), "n_sites"),
        (dicke_entropy, (4, 5, 1), "n_down"),
        (dicke_entropy, (4, 2, 5), "n_a"),
        (dicke_entropy, (0, 0, 0), "n_sites"),
        (dicke_asymptote, (4, 4, 2), "n_down"),
        (dicke_asymptote, (4, 2, 4), "n_a"),
        (area_law_ceiling, (-1, 2), "surface"),
        (area_law_ceiling, (1, -2), "interaction_range"),
    ],
)
def test_bad_arguments(function, arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must be between"):
        function(*arguments)


def test_bad_order_and_units():
    with pytest.raises(ValueError, match="`order` must be at least 0"):
        dicke_entropy(4, 2, 2, order=-1)
    with pytest.raises(ValueError, match="`units_per_site` must be"):
        area_law_ceiling(1, 1, units_per_site=0)
    with pytest.raises(TypeError, match="`n_a` must be an integer"):
        page_entropy(1.5, 4)
