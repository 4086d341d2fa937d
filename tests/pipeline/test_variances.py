"""Components of variance against statsmodels' analysis of variance, hand-worked examples and made data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from pipeline.metrics import Contributions
from pipeline.variances import Spread, Term, spread_of


def crossed(rng: np.random.Generator, k: int, n: int, rows: float, columns: float, rest: float) -> NDArray[np.float64]:
    return (rows * rng.normal(size=(k, 1)) + columns * rng.normal(size=n) + rest * rng.normal(size=(k, n))).astype(
        float
    )


def unstratified(values: NDArray[np.float64]) -> Contributions:
    return Contributions(values.mean(1), values, np.zeros(values.shape[1], dtype=np.int64))


def test_mean_squares_are_those_of_a_two_way_analysis_of_variance() -> None:
    k, n = 4, 9
    values = crossed(np.random.default_rng(0), k, n, 1.0, 2.0, 0.5)
    table = pd.DataFrame(
        {"y": values.ravel(), "replicate": np.repeat(np.arange(k), n), "image": np.tile(np.arange(n), k)}
    )
    anova = anova_lm(ols("y ~ C(replicate) + C(image)", table).fit())
    found = spread_of(unstratified(values))
    # A mean square of rows is N times the variance of their means, and so on: each ends as its part of V.
    expected = anova["mean_sq"] / (k * n)
    assert [found.rows.value, found.columns.value, found.rest.value] == pytest.approx(expected.tolist())
    assert [found.rows.freedom, found.columns.freedom, found.rest.freedom] == pytest.approx(anova["df"].tolist())


def test_a_hand_worked_example() -> None:
    found = Spread(5, 100, Term(3.0, 4), Term(2.0, 99), Term(0.5, 396))
    assert (found.from_replicates, found.from_images, found.variance) == (2.5, 1.5, 4.5)
    assert found.freedom == pytest.approx(4.5**2 / (9 / 4 + 4 / 99 + 0.25 / 396))


@pytest.mark.parametrize(
    ("rows", "columns", "variance", "freedom"),
    [(0.2, 2.0, 2.0, 99), (3.0, 0.2, 3.0, 4), (0.2, 0.2, 0.5, 396)],
)
def test_a_component_is_never_below_nothing(rows: float, columns: float, variance: float, freedom: float) -> None:
    found = Spread(5, 100, Term(rows, 4), Term(columns, 99), Term(0.5, 396))
    assert found.variance == pytest.approx(variance)
    assert found.freedom == pytest.approx(freedom)


def test_of_few_replicates_it_is_never_surer_than_students_t() -> None:
    columns, rest = Term(4e-6, 99), Term(2e-6, 198)
    apart, close = Term(1e-4, 2), Term(1e-9, 2)
    assert (Spread(3, 100, apart, columns, rest).variance, Spread(3, 100, apart, columns, rest).freedom) == (1e-4, 2)
    assert Spread(3, 100, close, columns, rest).variance == columns.value
    enough = Term(1e-4, 4)
    assert Spread(5, 100, enough, columns, rest).variance == pytest.approx(1e-4 + 4e-6 - 2e-6)


def test_nothing_varies_where_all_is_alike() -> None:
    found = spread_of(unstratified(np.full((3, 8), 0.25)))
    assert found.variance == 0
    assert found.freedom == 2


def test_strata_are_summed_up_and_their_means_do_not_count_as_spread() -> None:
    rng = np.random.default_rng(1)
    parts = [crossed(rng, 4, n, 0.0, 1.0, 0.5) for n in (6, 10)]
    influence = np.concatenate([parts[0] + 100, parts[1]], axis=1) / 2
    strata = np.repeat([0, 1], [6, 10])
    found = spread_of(Contributions(influence.mean(1), influence, strata))
    alone = [spread_of(unstratified(part / 2)) for part in parts]
    assert found.columns.value == pytest.approx(sum(each.columns.value for each in alone))
    assert found.rest.value == pytest.approx(sum(each.rest.value for each in alone))
    terms = [each.columns for each in alone]
    expected = sum(t.value for t in terms) ** 2 / sum(t.value**2 / t.freedom for t in terms)
    assert found.columns.freedom == pytest.approx(expected)


def test_a_class_with_one_image_borrows_the_spread_of_all() -> None:
    influence = crossed(np.random.default_rng(2), 3, 7, 0.0, 1.0, 0.5)
    strata = np.array([0, 0, 0, 0, 0, 0, 1])
    found = spread_of(Contributions(influence.mean(1), influence, strata))
    alone = spread_of(unstratified(influence[:, :6]))
    borrowed = influence.mean(0).var(ddof=1)
    assert found.columns.value == pytest.approx(alone.columns.value + borrowed)


def test_the_variance_is_right_on_average() -> None:
    rng = np.random.default_rng(3)
    k, n, rows, columns, rest = 4, 20, 0.5, 1.0, 2.0
    found = [spread_of(unstratified(crossed(rng, k, n, rows, columns, rest))) for _ in range(2000)]
    parts = np.array([[f.rows.value + f.columns.value - f.rest.value, f.rest.value] for f in found]).mean(0)
    assert parts == pytest.approx([rows**2 / k + columns**2 / n + rest**2 / (k * n), rest**2 / (k * n)], rel=0.05)


def test_a_design_of_the_same_size_is_itself_and_more_of_either_leaves_the_other() -> None:
    found = spread_of(unstratified(crossed(np.random.default_rng(4), 5, 40, 0.5, 1.0, 1.0)))
    same = found.of_design(5, 40)
    assert (same.variance, same.freedom) == pytest.approx((found.variance, found.freedom))
    assert found.of_design(10**9, 40).variance == pytest.approx(found.from_images)
    assert found.of_design(5, 10**9).variance == pytest.approx(found.from_replicates)
    double = found.of_design(10, 80)
    assert double.variance == pytest.approx(found.from_replicates / 2 + found.from_images / 2 + found.rest.value / 4)
