"""Power and what it takes, against SciPy's noncentral t, statsmodels and made data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from makeweight.comparison.power import POWER, anticipated, detectable_effect, noncentrality, power, power_analysis
from makeweight.comparison.variance_components import Component, VarianceComponents

COMPONENTS = VarianceComponents(5, 400, Component(0.0025**2, 4), Component(0.002**2, 399), Component(0.001**2, 1596))


@pytest.mark.parametrize("dof", [1, 2, 4.5, 30, 1000])
@pytest.mark.parametrize("effect", [0.0, 0.5, 2.0, 4.0])
def test_it_is_the_noncentral_t_distributions(dof: float, effect: float) -> None:
    critical = stats.t.isf(0.025, dof)
    expected = stats.nct.sf(critical, dof, effect) + stats.nct.cdf(-critical, dof, effect)
    assert power(effect, dof, 0.05) == pytest.approx(expected, abs=1e-4)


def test_it_is_statsmodels_power_of_a_paired_t_test() -> None:
    expected = TTestPower().power(effect_size=0.8, nobs=10, alpha=0.0125)
    assert power(0.8 * 10**0.5, 9, 0.0125) == pytest.approx(expected, abs=1e-4)


def test_no_effect_is_found_as_often_as_the_level_says_and_a_large_one_always() -> None:
    assert power(0.0, 4, 0.05) == pytest.approx(0.05, abs=1e-4)
    assert power(1e6, 4, 0.05) == pytest.approx(1)
    assert power(50.0, 1e9, 0.05) == pytest.approx(1)  # where SciPy's distribution gives up


@pytest.mark.parametrize("dof", [1, 4, 60])
def test_the_effect_that_is_found_with_a_chance_of_80_percent(dof: float) -> None:
    assert power(noncentrality(dof, 0.05), dof, 0.05) == pytest.approx(POWER, abs=1e-4)


def test_what_could_have_been_seen_is_found_so_often() -> None:
    found = power_analysis(COMPONENTS, 0.01, 0.05)
    assert found.detectable.value is not None
    rng = np.random.default_rng(0)
    scale = COMPONENTS.widest(0.05)
    error, dof = scale.value**0.5, scale.dof
    estimates = found.detectable.value + error * rng.standard_normal(40_000)
    errors = error * np.sqrt(rng.chisquare(dof, 40_000) / dof)
    seen = np.abs(estimates) > stats.t.isf(0.025, dof) * errors
    assert seen.mean() == pytest.approx(POWER, abs=0.01)


def test_so_many_replicates_are_enough_and_one_less_is_not() -> None:
    found = power_analysis(COMPONENTS, 0.01, 0.05).replicates_needed.value
    assert found is not None
    for replicates, enough in ((int(found), True), (int(found) - 1, False)):
        design = COMPONENTS.of_design(replicates, COMPONENTS.units)
        assert (power(0.01 / design.widest(0.05).value ** 0.5, design.widest(0.05).dof, 0.05) >= POWER) == enough


def test_where_the_images_alone_leave_too_much_doubt_no_number_of_replicates_would_do() -> None:
    few_images = VarianceComponents(5, 40, Component(0.001**2, 4), Component(0.02**2, 39), Component(0.0005**2, 156))
    found = power_analysis(few_images, 0.01, 0.05)
    assert found.replicates_needed.value is None
    assert found.images_needed.value is not None
    assert found.images_needed.value > 40


def test_the_range_holds_the_figure_and_a_stricter_level_sees_less() -> None:
    found, stricter = power_analysis(COMPONENTS, 0.01, 0.05), power_analysis(COMPONENTS, 0.01, 0.05 / 4)
    for name in ("power", "detectable", "replicates_needed", "images_needed"):
        about = getattr(found, name)
        assert about.low < about.value
        assert about.high is None or about.value < about.high
    assert (stricter.power.value or 0) < (found.power.value or 0)
    assert (stricter.detectable.value or 0) > (found.detectable.value or 0)


def test_what_is_anticipated_follows_from_the_test_set_and_the_replicates() -> None:
    # Two classes of 50 and 10 test images, on 5% of which arms disagree: 0.05 · (1/50 + 1/10) / 4; and 0.01² / 5.
    found = anticipated(np.array([50, 10]), 5, disagreement=0.05, deviation=0.01)
    assert found.total.value == pytest.approx(0.05 * (1 / 50 + 1 / 10) / 4 + 0.01**2 / 5)
    assert (found.replicates, found.units) == (5, 60)
    few = anticipated(np.array([5, 1]), 5, disagreement=0.05, deviation=0.01)
    more = anticipated(np.array([50, 10]), 20, disagreement=0.05, deviation=0.01)
    effects = [detectable_effect(components.widest(0.05), 0.05) for components in (more, found, few)]
    assert effects == sorted(effects)
    absent = anticipated(np.array([50, 0, 10]), 5, disagreement=0.05, deviation=0.01)
    assert absent.total == found.total
