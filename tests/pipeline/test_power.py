"""Power and what it takes, against SciPy's noncentral t, statsmodels and made data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from pipeline.power import WANTED, noncentrality, power, sight
from pipeline.variances import Spread, Term

SPREAD = Spread(5, 400, Term(0.0025**2, 4), Term(0.002**2, 399), Term(0.001**2, 1596))


@pytest.mark.parametrize("freedom", [1, 2, 4.5, 30, 1000])
@pytest.mark.parametrize("effect", [0.0, 0.5, 2.0, 4.0])
def test_it_is_the_noncentral_t_distributions(freedom: float, effect: float) -> None:
    critical = stats.t.isf(0.025, freedom)
    expected = stats.nct.sf(critical, freedom, effect) + stats.nct.cdf(-critical, freedom, effect)
    assert power(effect, freedom, 0.05) == pytest.approx(expected, abs=1e-4)


def test_it_is_statsmodels_power_of_a_paired_t_test() -> None:
    expected = TTestPower().power(effect_size=0.8, nobs=10, alpha=0.0125)
    assert power(0.8 * 10**0.5, 9, 0.0125) == pytest.approx(expected, abs=1e-4)


def test_no_effect_is_found_as_often_as_the_level_says_and_a_large_one_always() -> None:
    assert power(0.0, 4, 0.05) == pytest.approx(0.05, abs=1e-4)
    assert power(1e6, 4, 0.05) == pytest.approx(1)
    assert power(50.0, 1e9, 0.05) == pytest.approx(1)  # where SciPy's distribution gives up


@pytest.mark.parametrize("freedom", [1, 4, 60])
def test_the_effect_that_is_found_with_a_chance_of_80_percent(freedom: float) -> None:
    assert power(noncentrality(freedom, 0.05), freedom, 0.05) == pytest.approx(WANTED, abs=1e-4)


def test_what_could_have_been_seen_is_found_so_often() -> None:
    found = sight(SPREAD, 0.01, 0.05)
    assert found.detectable.value is not None
    rng = np.random.default_rng(0)
    error, freedom = SPREAD.variance**0.5, SPREAD.freedom
    estimates = found.detectable.value + error * rng.standard_normal(40_000)
    errors = error * np.sqrt(rng.chisquare(freedom, 40_000) / freedom)
    seen = np.abs(estimates) > stats.t.isf(0.025, freedom) * errors
    assert seen.mean() == pytest.approx(WANTED, abs=0.01)


def test_so_many_replicates_are_enough_and_one_less_is_not() -> None:
    found = sight(SPREAD, 0.01, 0.05).replicates_needed.value
    assert found is not None
    for replicates, enough in ((int(found), True), (int(found) - 1, False)):
        design = SPREAD.of_design(replicates, SPREAD.images)
        assert (power(0.01 / design.variance**0.5, design.freedom, 0.05) >= WANTED) == enough


def test_where_the_images_alone_leave_too_much_doubt_no_number_of_replicates_would_do() -> None:
    few_images = Spread(5, 40, Term(0.001**2, 4), Term(0.02**2, 39), Term(0.0005**2, 156))
    found = sight(few_images, 0.01, 0.05)
    assert found.replicates_needed.value is None
    assert found.images_needed.value is not None
    assert found.images_needed.value > 40


def test_the_range_holds_the_figure_and_a_stricter_level_sees_less() -> None:
    found, stricter = sight(SPREAD, 0.01, 0.05), sight(SPREAD, 0.01, 0.05 / 4)
    for name in ("power", "detectable", "replicates_needed", "images_needed"):
        about = getattr(found, name)
        assert about.low < about.value
        assert about.high is None or about.value < about.high
    assert (stricter.power.value or 0) < (found.power.value or 0)
    assert (stricter.detectable.value or 0) > (found.detectable.value or 0)


def test_where_nothing_varies_everything_is_seen() -> None:
    nothing = Spread(3, 10, Term(0.0, 2), Term(0.0, 9), Term(0.0, 18))
    found = sight(nothing, 0.01, 0.05)
    assert (found.power.value, found.detectable.value, found.replicates_needed.value) == (1.0, 0.0, 2)
