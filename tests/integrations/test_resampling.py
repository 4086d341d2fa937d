"""The sampler for imbalanced-learn, held against imbalanced-learn's own checks of samplers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from imblearn.pipeline import Pipeline
from imblearn.utils import estimator_checks
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from makeweight import BadInput, GeneratorOverSampler

TINY = {"steps": 3, "batch": 8, "generator_width": 8, "discriminator_width": 8}


def few(*, shape: tuple[int, ...] = (64,), dtype: Any = np.float64) -> tuple[NDArray[Any], NDArray[Any]]:
    """40 zeros, 20 ones and 10 twos of 8 × 8 pixels."""
    digits = load_digits()
    indices = np.concatenate([np.flatnonzero(digits.target == label)[:n] for label, n in enumerate((40, 20, 10))])
    return digits.data[indices].reshape(-1, *shape).astype(dtype), digits.target[indices]


def imagelike() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The data of imbalanced-learn's checks, with as many features as an image of 8 × 8 pixels has."""
    return make_classification(  # type: ignore[no-any-return]
        n_samples=300, n_features=64, n_classes=3, n_informative=4, weights=[0.2, 0.3, 0.5], random_state=0
    )


# All checks of samplers, except: those with sparse matrices, which no images are; check_samplers_fit, whose data have
# two features; and check_samplers_sample_indices, _string and _nan, which are for samplers with other tags.
CHECKS = [
    estimator_checks.check_target_type,
    estimator_checks.check_samplers_one_label,
    estimator_checks.check_samplers_fit_resample,
    estimator_checks.check_samplers_sampling_strategy_fit_resample,
    estimator_checks.check_samplers_pandas,
    estimator_checks.check_samplers_list,
    estimator_checks.check_samplers_multiclass_ova,
    estimator_checks.check_samplers_preserve_dtype,
    estimator_checks.check_samplers_2d_target,
    estimator_checks.check_sampler_get_feature_names_out,
    estimator_checks.check_sampler_get_feature_names_out_pandas,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_checks_of_imbalanced_learn(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With data of 64 features, since other numbers of features are no images."""
    monkeypatch.setattr(estimator_checks, "sample_dataset_generator", imagelike)
    monkeypatch.setattr(
        estimator_checks, "make_classification", lambda **given: make_classification(**{**given, "n_features": 64})
    )
    check("GeneratorOverSampler", GeneratorOverSampler("gaussian", random_state=0))


@pytest.mark.parametrize("shape", [(64,), (8, 8), (1, 8, 8), (8, 8, 1)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_layouts_and_types_are_kept(shape: tuple[int, ...], dtype: Any) -> None:
    X, y = few(shape=shape, dtype=dtype)
    X = X * 15 if dtype == np.uint8 else X  # up to 240: the range of uint8 is fixed, that of others is the data's
    X_more, y_more = GeneratorOverSampler("gaussian", random_state=0).fit_resample(X, y)
    assert X_more.shape == (120, *shape)
    assert X_more.dtype == dtype
    assert np.array_equal(X_more[:70], X)
    assert np.array_equal(y_more[:70], y)
    assert np.bincount(y_more).tolist() == [40, 40, 40]
    assert X_more.min() >= X.min()
    assert X_more.max() <= (255 if dtype == np.uint8 else X.max())


def test_drawn_images_of_truth_values_have_as_many_true_pixels_as_the_given_ones() -> None:
    X, y = few()
    X_more, _ = GeneratorOverSampler("gaussian", random_state=0).fit_resample(X > 8, y)
    assert X_more.dtype == bool
    assert X_more[70:].mean() == pytest.approx((X > 8).mean(), abs=0.1)


def test_the_global_random_numbers_of_the_caller_are_left_alone() -> None:
    X, y = few()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    for family, settings in (("cgan", TINY), ("gaussian", {})):
        GeneratorOverSampler(family, settings=settings, random_state=0).fit_resample(X, y)
        assert torch.equal(torch.get_rng_state(), before)


def test_drawn_images_look_like_their_class_in_every_layout() -> None:
    """A wrong axis order would give other pixels: means of drawn and of real images of a class agree."""
    for shape in ((64,), (1, 8, 8), (8, 8, 1)):
        X, y = few(shape=shape)
        X_more, y_more = GeneratorOverSampler("gaussian", random_state=0).fit_resample(X, y)
        drawn, real = X_more[70:][y_more[70:] == 2].mean(0).ravel(), X[y == 2].mean(0).ravel()
        assert np.corrcoef(drawn, real)[0, 1] > 0.9


def test_rgb_channels_first_and_last_agree() -> None:
    rng = np.random.default_rng(0)
    last = rng.random((30, 8, 8, 3)) * np.array([1.0, 0.5, 0.1])
    y = np.repeat([0, 1], [20, 10])
    sampler = GeneratorOverSampler("gaussian", random_state=0)
    from_last = sampler.fit_resample(last, y)[0]
    from_first = sampler.fit_resample(last.transpose(0, 3, 1, 2), y)[0]
    assert np.array_equal(from_first.transpose(0, 2, 3, 1), from_last)
    assert from_last[30:, ..., 2].max() < 0.3  # the dark channel stays dark


def test_flat_rgb_images_need_a_shape_only_if_they_are_not_square() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.random((30, 8 * 8 * 3)), np.repeat([0, 1], [20, 10])
    assert len(GeneratorOverSampler("gaussian").fit_resample(X, y)[0]) == 40
    assert len(GeneratorOverSampler("gaussian", image_shape=(8, 8, 3)).fit_resample(X, y)[0]) == 40
    with pytest.raises(ValueError, match="give image_shape"):
        GeneratorOverSampler("gaussian").fit_resample(rng.random((30, 20)), y)
    with pytest.raises(ValueError, match="no square images"):
        GeneratorOverSampler("gaussian", image_shape=(8, 8)).fit_resample(X, y)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("auto", [40, 40, 40]),
        ("minority", [40, 20, 40]),
        ("not majority", [40, 40, 40]),
        ({2: 25}, [40, 20, 25]),
        (lambda y: {1: 30, 2: 15}, [40, 30, 15]),
    ],
    ids=["auto", "minority", "not majority", "mapping", "function"],
)
def test_sampling_strategies(strategy: Any, expected: list[int]) -> None:
    X, y = few()
    _, y_more = GeneratorOverSampler("gaussian", sampling_strategy=strategy).fit_resample(X, y)
    assert np.bincount(y_more).tolist() == expected


def test_text_labels_and_seeds() -> None:
    X, y = few()
    names = np.array(["zero", "one", "two"])[y]
    first = GeneratorOverSampler("gaussian", random_state=1).fit_resample(X, names)
    second = GeneratorOverSampler("gaussian", random_state=1).fit_resample(X, names)
    other = GeneratorOverSampler("gaussian", random_state=2).fit_resample(X, names)
    assert dict(zip(*np.unique(first[1], return_counts=True), strict=True)) == {"one": 40, "two": 40, "zero": 40}
    assert np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], other[0])
    drawn = first[0][70:][first[1][70:] == "two"].mean(0)
    assert np.corrcoef(drawn, X[y == 2].mean(0))[0, 1] > 0.9


def test_clone_pipeline_and_grid_search() -> None:
    X, y = few()
    sampler = GeneratorOverSampler("smote", random_state=0)
    assert clone(sampler).get_params() == sampler.get_params()
    pipeline = Pipeline([("sample", sampler), ("classify", LogisticRegression(max_iter=1000))])
    search = GridSearchCV(pipeline, {"sample__family": ["smote", "gaussian"]}, cv=2, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.9


def test_settings_are_laid_over_those_of_the_parameters() -> None:
    X, y = few()
    X_more, _ = GeneratorOverSampler("cgan", settings=TINY, random_state=0).fit_resample(X, y)
    assert len(X_more) == 120
    with pytest.raises(BadInput, match="stepz"):
        GeneratorOverSampler("cgan", settings={"stepz": 3}).fit_resample(X, y)
    with pytest.raises(BadInput, match="not among the registered families"):
        GeneratorOverSampler("dcgan").fit_resample(X, y)


def test_nan_is_refused() -> None:
    X, y = few()
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        GeneratorOverSampler("gaussian").fit_resample(X, y)
