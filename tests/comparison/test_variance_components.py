"""Components of variance against statsmodels' analysis of variance, hand-worked examples and made data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from makeweight.comparison.influence import Contributions
from makeweight.comparison.variance_components import PRIOR_DOF, Component, VarianceComponents, variance_components


def crossed(rng: np.random.Generator, k: int, n: int, rows: float, columns: float, rest: float) -> NDArray[np.float64]:
    return (rows * rng.normal(size=(k, 1)) + columns * rng.normal(size=n) + rest * rng.normal(size=(k, n))).astype(
        float
    )


def unstratified(values: NDArray[np.float64]) -> Contributions:
    n = values.shape[1]
    return Contributions(values.mean(1), values / n, np.zeros(n, dtype=np.int64))


def components(difference: Contributions, groups: NDArray[np.int64] | None = None) -> VarianceComponents:
    """Each image a group of its own, unless groups are given."""
    return variance_components(difference, np.arange(len(difference.strata)) if groups is None else groups)


def test_mean_squares_are_those_of_a_two_way_analysis_of_variance() -> None:
    k, n = 4, 9
    values = crossed(np.random.default_rng(0), k, n, 1.0, 2.0, 0.5)
    table = pd.DataFrame(
        {"y": values.ravel(), "replicate": np.repeat(np.arange(k), n), "image": np.tile(np.arange(n), k)}
    )
    anova = anova_lm(ols("y ~ C(replicate) + C(image)", table).fit())
    found = components(unstratified(values))
    # A mean square of rows is N times the variance of their means, and so on: each ends as its part of V.
    expected = anova["mean_sq"] / (k * n)
    assert [found.rows.value, found.columns.value, found.residual.value] == pytest.approx(expected.tolist())
    assert [found.rows.dof, found.columns.dof, found.residual.dof] == pytest.approx(anova["df"].tolist())


def test_a_hand_worked_example() -> None:
    found = VarianceComponents(5, 100, Component(3.0, 4), Component(2.0, 99), Component(0.5, 396))
    assert (found.from_replicates, found.from_images, found.total.value) == (2.5, 1.5, 4.5)
    assert found.total.dof == pytest.approx(4.5**2 / (9 / 4 + 4 / 99 + 0.25 / 396))


@pytest.mark.parametrize(
    ("rows", "columns", "variance", "freedom"),
    [(0.2, 2.0, 2.0, 99), (3.0, 0.2, 3.0, 4), (0.2, 0.2, 0.5, 396)],
)
def test_a_component_is_never_below_nothing(rows: float, columns: float, variance: float, freedom: float) -> None:
    found = VarianceComponents(5, 100, Component(rows, 4), Component(columns, 99), Component(0.5, 396))
    assert found.total.value == pytest.approx(variance)
    assert found.total.dof == pytest.approx(freedom)


def test_an_interval_is_never_narrower_than_students_t_over_replicates() -> None:
    columns, residual = Component(4e-6, 99), Component(2e-6, 198)
    apart, close = Component(1e-4, 2), Component(1e-9, 2)
    assert VarianceComponents(3, 100, apart, columns, residual).widest(0.05) == apart
    assert VarianceComponents(3, 100, close, columns, residual).widest(0.05).value == columns.value
    enough = VarianceComponents(5, 100, Component(2.5e-6, 4), columns, residual)
    assert enough.widest(0.05) == enough.total
    # In the far tail, where Satterthwaite's degrees of freedom are too many, Student's t takes over.
    assert enough.widest(0.05 / 1000) == enough.rows


@pytest.mark.parametrize("k", [2, 3, 30])
def test_no_discordant_image_leaves_the_variance_of_two(k: int) -> None:
    # All arms agree on all of 8 images: as if two of them were discordant, one each way, a mean square of 2/8.
    found = components(unstratified(np.full((k, 8), 0.25)))
    assert found.rows.value == found.residual.value == 0
    assert [found.total.value, found.total.dof] == pytest.approx([2 / 8 / 8, 7])
    assert found.total.half_width(0.05) > 0.4


def stratified(parts: list[NDArray[np.float64]]) -> Contributions:
    """A mean over classes, a part a class, each [replicates, images]."""
    values = np.mean([part.mean(1) for part in parts], axis=0)
    influence = np.concatenate([part / (len(parts) * part.shape[1]) for part in parts], axis=1)
    return Contributions(values, influence, np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts]))


def averaged(parts: list[NDArray[np.float64]]) -> tuple[float, list[float]]:
    """By hand: the pooled variance over images, and each class's own averaged with it."""
    own = [float(part.mean(0).var(ddof=1)) if part.shape[1] > 1 else 0.0 for part in parts]
    dof = [part.shape[1] - 1 for part in parts]
    pooled = sum(variance * weight for variance, weight in zip(own, dof, strict=True)) / sum(dof)
    return pooled, [(v * d + PRIOR_DOF * pooled) / (d + PRIOR_DOF) for v, d in zip(own, dof, strict=True)]


def test_classes_are_summed_and_their_means_do_not_count() -> None:
    rng = np.random.default_rng(1)
    parts = [crossed(rng, 4, n, 0.0, 1.0, 0.5) for n in (6, 10)]
    found = components(stratified(parts))
    _, variances = averaged(parts)
    terms = [variance / (4 * part.shape[1]) for variance, part in zip(variances, parts, strict=True)]
    assert found.columns.value == pytest.approx(sum(terms))
    assert found.columns.dof == pytest.approx(sum(terms) ** 2 / (terms[0] ** 2 / 6 + terms[1] ** 2 / 10))
    shifted = components(stratified([parts[0] + 100, parts[1]]))
    assert shifted.columns.value == pytest.approx(found.columns.value)
    assert shifted.residual.value == pytest.approx(found.residual.value)


def test_a_class_with_one_image_has_the_pooled_variance() -> None:
    rng = np.random.default_rng(2)
    parts = [crossed(rng, 3, 6, 0.0, 1.0, 0.5), crossed(rng, 3, 1, 0.0, 1.0, 0.5)]
    pooled, (own, borrowed) = averaged(parts)
    assert borrowed == pooled
    assert components(stratified(parts)).columns.value == pytest.approx((own / 6 + pooled) / 4)


def test_groups_are_the_columns_whether_they_span_classes_or_not() -> None:
    # Two replicates, as equal as can be; four groups of three images. Sums by hand, group by group, over all classes.
    rng = np.random.default_rng(3)
    right = rng.normal(size=12)
    groups = np.repeat(np.arange(4), 3)
    for strata in (np.repeat([0, 1], 6), np.tile([0, 1, 1], 4)):
        counts = np.bincount(strata)
        influence = right / (2 * counts[strata])
        deviations = influence - np.array([influence[strata == c].mean() for c in (0, 1)])[strata]
        held = np.array([len(np.unique(groups[strata == c])) for c in (0, 1)])
        corrected = deviations * np.sqrt(held / (held - 1))[strata]
        by_hand = sum(corrected[groups == g].sum() ** 2 for g in range(4))
        # What averaging with the pooled variance adds.
        cells = np.array([[deviations[(groups == g) & (strata == c)].sum() for g in range(4)] for c in (0, 1)])
        squares = ((cells * 2 * held[:, None]) ** 2).sum(1)
        pooled = squares.sum() / (held - 1).sum()
        extra = (squares + pooled) / held - squares / (held - 1)
        by_hand += float((extra / (4 * held)).sum())
        difference = Contributions(np.full(2, influence.sum()), np.stack([influence, influence]), strata)
        found = components(difference, groups)
        assert found.columns.value == pytest.approx(by_hand)
        assert (found.units, found.columns.dof <= 3) == (4, True)


def test_the_names_of_groups_do_not_matter_and_images_without_a_group_are_groups() -> None:
    difference = stratified([crossed(np.random.default_rng(4), 3, n, 0.1, 1.0, 0.5) for n in (5, 9)])
    alone = components(difference)
    assert components(difference, np.random.default_rng(5).permutation(14) + 100) == alone


def test_the_variance_is_right_on_average() -> None:
    rng = np.random.default_rng(3)
    k, n, rows, columns, rest = 4, 20, 0.5, 1.0, 2.0
    found = [components(unstratified(crossed(rng, k, n, rows, columns, rest))) for _ in range(2000)]
    parts = np.array([[f.rows.value + f.columns.value - f.residual.value, f.residual.value] for f in found]).mean(0)
    assert parts == pytest.approx([rows**2 / k + columns**2 / n + rest**2 / (k * n), rest**2 / (k * n)], rel=0.05)


def test_a_design_of_the_same_size_is_itself_and_more_of_either_leaves_the_other() -> None:
    found = components(unstratified(crossed(np.random.default_rng(4), 5, 40, 0.5, 1.0, 1.0)))
    same = found.of_design(5, 40)
    assert (same.total.value, same.total.dof) == pytest.approx((found.total.value, found.total.dof))
    assert found.of_design(10**9, 40).total.value == pytest.approx(found.from_images)
    assert found.of_design(5, 10**9).total.value == pytest.approx(found.from_replicates)
    double = found.of_design(10, 80)
    assert double.total.value == pytest.approx(
        found.from_replicates / 2 + found.from_images / 2 + found.residual.value / 4
    )
