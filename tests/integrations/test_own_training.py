"""The comparison for a training function of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import makeweight
from makeweight import BadInput, compare

LABELS = np.repeat(np.array(["cat", "dog", "hen"]), 100)


def guess(accuracy: float, seed: int) -> Any:
    """Predictions of which a fraction is right: a different one for each seed."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(LABELS)) < accuracy, LABELS, np.roll(LABELS, 100))


def test_a_large_difference_is_found_and_its_sign_is_that_of_augmented_minus_real() -> None:
    better = compare(0.6, lambda seed: 0.9, guess, test=(None, LABELS), replicates=4)
    worse = compare(0.9, lambda seed: 0.6, guess, test=(None, LABELS), replicates=4)
    assert (better.verdict, worse.verdict) == ("helps", "hurts")
    assert better.scores["difference"].mean() == pytest.approx(0.3, abs=0.05)
    assert better.scores["real"].mean() == pytest.approx(0.6, abs=0.05)
    frame = better.to_frame()
    assert frame["low"].tolist() == [better.result.interval.low]
    assert frame["replicates"].tolist() == [4]


def test_equal_training_functions_give_no_difference() -> None:
    """Both trainings of a pair get the same seed, so that equal sets give equal predictions."""
    result = compare(0.8, lambda seed: 0.8, guess, test=(None, LABELS), replicates=3)
    assert (result.scores["difference"] == 0).all()
    assert result.verdict in {"equivalent", "inconclusive"}


def test_the_figures_are_those_of_the_pipeline(tmp_path: Path) -> None:
    """The same predictions through the pipeline's own statistics."""
    from makeweight.comparison.inference import new_test_images
    from makeweight.comparison.influence import contributions
    from makeweight.comparison.variance_components import variance_components

    result = compare(0.7, lambda seed: 0.8, guess, test=(None, LABELS), replicates=3, folder=tmp_path)
    truth = np.unique(LABELS, return_inverse=True)[1]
    stored = {
        side: np.stack([np.load(tmp_path / f"{side}_replicate_{k}.npz")["predicted"] for k in range(3)])
        for side in ("real", "synthetic")
    }
    difference = contributions("balanced_accuracy", truth, stored["synthetic"]) - contributions(
        "balanced_accuracy", truth, stored["real"]
    )
    components = variance_components(difference, np.arange(len(truth)))
    expected = new_test_images(float(difference.values.mean()), components).interval(0.05)
    assert (result.result.interval.low, result.result.interval.high) == (expected.low, expected.high)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_other_metrics(metric: Any) -> None:
    assert compare(0.6, lambda seed: 0.9, guess, test=(None, LABELS), metric=metric, replicates=3).verdict == "helps"


class Fitted:
    """A model as scikit-learn returns it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, images: Any) -> Any:
        assert images == "images"
        return self.answer


@pytest.mark.parametrize(
    "form",
    [
        lambda labels: labels,
        list,
        Fitted,
        lambda labels: np.eye(3)[np.unique(labels, return_inverse=True)[1]],
        lambda labels: torch.eye(3)[torch.from_numpy(np.unique(labels, return_inverse=True)[1])].requires_grad_(),
        lambda labels: torch.eye(3)[torch.from_numpy(np.unique(labels, return_inverse=True)[1])].bfloat16(),
    ],
    ids=["array", "list", "model", "scores", "tensor", "bfloat16"],
)
def test_predictions_may_have_any_usual_form(form: Callable[[Any], Any]) -> None:
    result = compare(None, [None, None], lambda data, seed: form(LABELS), test=("images", LABELS), replicates=2)
    assert result.scores[["real", "synthetic"]].to_numpy() == pytest.approx(1)


@pytest.mark.parametrize(("test", "predicted"), [(str, object), (object, str), (object, object)])
def test_strings_may_be_objects_as_in_pandas(test: Any, predicted: Any) -> None:
    labels = LABELS.astype(test)
    result = compare(None, [None] * 2, lambda *_: LABELS.astype(predicted), test=(None, labels), replicates=2)
    assert result.scores["real"].to_numpy() == pytest.approx(1)


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        (np.where(np.arange(300) % 2, 0.8, 1.0), "fit returned 0.8, which is no label of the test set, such as 0"),
        (np.arange(300) % 2 + 5, "fit returned 5, which is no label"),
        (np.full(300, np.nan), "NaN or infinite"),
    ],
    ids=["probabilities", "other labels", "NaN"],
)
def test_predictions_that_are_no_labels_are_not_counted_as_errors(predicted: Any, message: str) -> None:
    labels = np.arange(300) % 2
    with pytest.raises(BadInput, match=message):
        compare(None, [None] * 2, lambda *_: predicted, test=(None, labels), replicates=2)


def test_numbers_may_be_objects_as_in_pandas() -> None:
    labels = np.arange(300) % 3
    result = compare(None, [None] * 2, lambda *_: labels, test=(None, labels.astype(object)), replicates=2)
    assert result.scores["real"].to_numpy() == pytest.approx(1)


def test_numbers_of_numpy_are_accepted(tmp_path: Path) -> None:
    of_numpy: dict[str, Any] = {"replicates": np.int64(2), "seed": np.int64(1)}
    compare(0.6, 0.9, guess, test=(None, LABELS), folder=tmp_path, **of_numpy)
    assert (tmp_path / "study.json").is_file()


def test_a_predicted_class_that_the_test_set_lacks_is_an_error_of_the_classifier() -> None:
    predicted = np.where(np.arange(300) < 30, "zebra", LABELS)
    result = compare(None, [None] * 2, lambda *_: predicted, test=(None, LABELS), replicates=2, metric="macro_f1")
    accuracy = compare(None, [None] * 2, lambda *_: predicted, test=(None, LABELS), replicates=2, metric="accuracy")
    assert accuracy.scores["real"].tolist() == [0.9, 0.9]
    assert 0.9 < result.scores["real"][0] < 1


def test_a_single_set_is_labelled_as_one_generator() -> None:
    single = compare(0.5, 0.9, guess, test=(None, LABELS), replicates=2)
    several = compare(0.5, [0.9, 0.9], guess, test=(None, LABELS), replicates=2)
    assert "this generator only" in single.summary()
    assert "this generator only" not in several.summary()


def test_generators_of_different_replicates_get_different_seeds() -> None:
    seeds: list[int] = []

    def augmented(seed: int) -> float:
        seeds.append(seed)
        return 0.5

    compare(0.5, augmented, guess, test=(None, LABELS), replicates=3)
    assert len(set(seeds)) == 3


def test_finished_trainings_are_kept_when_fit_fails(tmp_path: Path) -> None:
    calls: list[int] = []

    def fit(accuracy: float, seed: int) -> Any:
        calls.append(seed)
        if len(calls) == 6:
            raise RuntimeError("out of patience")
        return guess(accuracy, seed)

    with pytest.raises(RuntimeError, match="out of patience") as caught:
        compare(0.6, lambda seed: 0.9, fit, test=(None, LABELS), replicates=5, folder=tmp_path)
    assert "replicate 2, synthetic images" in caught.value.__notes__[0]
    assert str(tmp_path) in caught.value.__notes__[0]
    again = compare(0.6, lambda seed: 0.9, fit, test=(None, LABELS), replicates=5, folder=tmp_path)
    assert len(calls) == 11  # five kept, six failed or not begun
    fresh = compare(0.6, lambda seed: 0.9, guess, test=(None, LABELS), replicates=5)
    assert again.to_frame().equals(fresh.to_frame())


def test_a_folder_of_another_study_is_refused_and_kept(tmp_path: Path) -> None:
    compare(0.6, [0.9] * 2, guess, test=(None, LABELS), replicates=2, folder=tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(BadInput, match="another test set or seed"):
        compare(0.6, [0.9] * 2, guess, test=(None, LABELS[::-1]), replicates=2, folder=tmp_path)
    with pytest.raises(BadInput, match="another test set or seed"):
        compare(0.6, [0.9] * 2, guess, test=(None, LABELS), replicates=2, folder=tmp_path, seed=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fit": lambda *_: LABELS[:5]}, r"replicate 0, real images: fit returned an array of shape \[5\]"),
        ({"fit": lambda *_: np.zeros((300, 2))}, r"fit returned an array of shape \[300, 2\]"),
        ({"fit": lambda *_: np.full((300, 3), np.nan)}, "NaN or infinite"),
        ({"fit": lambda *_: np.zeros(300)}, "labels of type float64"),
        ({"replicates": 1}, "replicates must be at least 2"),
        ({"augmented": [1, 2, 3]}, "3 sets for 2 replicates"),
        ({"fit": lambda *_: Fitted(LABELS)}, "test holds no images"),
        ({"fit": None, "metric": "f1"}, "metric is 'f1', but must be one of accuracy, balanced_accuracy, macro_f1"),
        ({"margin": 1.0}, "margin is 1.0"),
        ({"test": object()}, "pair"),
        ({"test": (None, np.zeros((4, 3)))}, r"shape \[4, 3\]"),
        ({"test": (None, np.zeros(4))}, "all test images have the same label"),
        ({"test": (None, [0, 1, None])}, "some test labels are missing"),
        ({"test": (None, [0, 1, np.nan])}, "some test labels are missing"),
        ({"folder": __file__}, "is a file: name a folder"),
        ({"groups": [1, 2]}, "there are 300 test images"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"fit": guess, "replicates": 2, "augmented": 0.9, "test": (None, LABELS)} | changes
    with pytest.raises(BadInput, match=message) as caught:
        compare(0.6, **arguments)
    assert "\n" not in str(caught.value)


def test_groups_enlarge_the_variance_that_is_due_to_test_images() -> None:
    """Images of a group that are right or wrong together count as one."""

    def together(accuracy: float, seed: int) -> Any:
        ease = np.random.default_rng(0).random(30).repeat(10)  # the same groups are easy in every replicate
        right = ease < accuracy + np.random.default_rng(seed).normal(0, 0.02)
        return np.where(right, LABELS, np.roll(LABELS, 100))

    arguments: dict[str, Any] = {"test": (None, LABELS), "replicates": 4}
    alone = compare(0.6, lambda _: 0.8, together, **arguments)
    grouped = compare(0.6, lambda _: 0.8, together, groups=np.arange(300) // 10, **arguments)
    assert grouped.to_frame()["groups"][0] == 30
    assert grouped.to_frame()["variance_images"][0] > 2 * alone.to_frame()["variance_images"][0]


def test_html_escapes_and_shows_the_verdict() -> None:
    page = compare(0.6, lambda seed: 0.9, guess, test=(None, LABELS), replicates=2)._repr_html_()
    assert "<b>" in page
    assert "Synthetic images" in page


def test_it_is_part_of_the_public_interface() -> None:
    assert makeweight.compare is compare
