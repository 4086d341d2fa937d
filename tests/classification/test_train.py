"""Training and scoring an arm's classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from makeweight.classification import fit as fit_module
from makeweight.classification.fit import Training, fit, predict
from makeweight.classification.interface import Transform, find_transform
from makeweight.classification.train import train_classifiers
from makeweight.classification.transforms import Plain
from makeweight.core.data import Images, Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.parameters import ClassifierSettings
from makeweight.core.study import Arm
from makeweight.runtime.files import read_arrays
from makeweight.runtime.machine import Machine
from makeweight.runtime.replicates import Replicate
from makeweight.training import checkpoints
from makeweight.training.loop import TrainingContext
from tests.support.generating import generate_settings
from tests.support.machine import COMPUTE

MACHINE = Machine("cpu", "float32", 1)
GENERATE = generate_settings(per_class=4)
SETTINGS = ClassifierSettings(
    name="small_cnn",
    steps=30,
    batch=16,
    learning_rate=0.01,
    weight_decay=0.0,
    label_smoothing=0.0,
    mix="none",
    mix_alpha=1.0,
)


Batches = Callable[[int], Iterator[tuple[Images, Labels]]]


class Killed(Exception):
    """The training ends at any step."""


def halves(n: int, seed: int, mark: int = 0) -> Split:
    """Bright on the left (0) or on the right (1), with noise; `mark` in a corner pixel tells splits apart."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (n, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(n) % 2
    images[labels == 0, :, :4] += 150
    images[labels == 1, :, 4:] += 150
    images[:, 0, 0] = mark
    return Split(images, labels.astype(np.int64), ("left", "right"))


TRAIN, VALIDATION, TEST, DRAWN = (halves(40, seed, mark) for seed, mark in enumerate((11, 22, 33, 44)))
RANDOM = find_transform("rand_augment", {"rand_augment": {"num_ops": 1, "magnitude": 9, "num_magnitude_bins": 31}})
GROUPS = {"validation": np.arange(40) // 4, "test": np.arange(40) // 2}


def training(source: str = "none", synthetic: list[Split] | None = None) -> Training:
    parts = None if synthetic is None else [[split] for split in synthetic]
    return Training(
        Arm(source, "plain"), TRAIN, VALIDATION, TEST, parts, Plain.model_validate(()), SETTINGS, GENERATE,
        base=source if synthetic is None else "oversample", seed=0, groups=GROUPS, checkpoint_seconds=5.0,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_classifier_learns_what_is_easy(tmp_path: Path) -> None:
    table = train_classifiers(training(), tmp_path / "arm", stage="train", replicates=2, compute=COMPUTE)
    accuracy = table[(table["metric"] == "accuracy") & (table["split"] == "test")]["value"]
    assert (accuracy > 0.95).all()


def test_scores_are_those_of_the_predictions_and_every_replicate_differs(tmp_path: Path) -> None:
    train_classifiers(training(), tmp_path / "arm", stage="train", replicates=2, compute=COMPUTE)
    table = pd.read_csv(tmp_path / "arm" / "scores.csv")
    stored = read_arrays(tmp_path / "arm" / "predictions.npz")
    assert stored["labels"].tolist() == TEST.labels.tolist()
    assert stored["groups"].tolist() == GROUPS["test"].tolist()
    assert stored["validation_groups"].tolist() == GROUPS["validation"].tolist()
    assert stored["validation_labels"].tolist() == VALIDATION.labels.tolist()
    for k in range(2):
        right = (stored[f"replicate_{k}"] == TEST.labels).mean()
        chosen = (table["replicate"] == k) & (table["split"] == "test") & (table["metric"] == "accuracy")
        assert table.loc[chosen, "value"].tolist() == pytest.approx([right])
    first, second = (
        read_arrays(tmp_path / "arm" / "replicates" / f"replicate_{k}" / "test.npz")["probabilities"] for k in range(2)
    )
    assert not np.array_equal(first, second)
    np.testing.assert_allclose(first.sum(1), 1, rtol=1e-5)
    assert stored["replicate_0"].dtype == np.uint8
    assert np.array_equal(stored["replicate_0"], first.argmax(1))
    of_validation = read_arrays(tmp_path / "arm/replicates/replicate_1/validation.npz")["probabilities"]
    assert np.array_equal(stored["validation_replicate_1"], of_validation.argmax(1))
    assert stored["validation_replicate_1"].dtype == np.uint8


@pytest.mark.parametrize(("source", "allowed"), [("none", {11}), ("oversample", {11}), ("cgan", {11, 44})])
def test_only_training_and_synthetic_images_are_learned_from(
    source: str, allowed: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()
    original = fit

    def watching(train: Split, batches: Batches, *args: object, **kwargs: object) -> object:
        def watched(done: int) -> Iterator[tuple[Images, Labels]]:
            for images, labels in batches(done):
                seen.update(images[:, 0, 0, 0].tolist())
                yield images, labels

        return original(train, watched, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(fit_module, "fit", watching)
    synthetic = [DRAWN] if source == "cgan" else None
    train_classifiers(training(source, synthetic), tmp_path / "arm", stage="train", replicates=1, compute=COMPUTE)
    assert seen == allowed


def test_all_arms_of_a_replicate_share_first_weights_and_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_weights, sizes = [], []
    original = fit

    def watching(train: Split, batches: Batches, *args: object, **kwargs: object) -> object:
        taken = list(batches(0))
        sizes.append([len(labels) for _, labels in taken])
        nothing = SETTINGS.model_copy(update={"learning_rate": 1e-30})
        network, history = original(train, lambda done: taken, nothing, **kwargs)  # type: ignore[arg-type]
        first_weights.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
        return network, history

    monkeypatch.setattr(fit_module, "fit", watching)
    for source, synthetic in (("none", None), ("oversample", None), ("cgan", [DRAWN])):
        train_classifiers(training(source, synthetic), tmp_path / source, stage="train", replicates=1, compute=COMPUTE)
    assert sizes == [[16] * 30] * 3
    for weights in first_weights[1:]:
        torch.testing.assert_close(weights, first_weights[0], rtol=0, atol=1e-20)


def test_a_generator_arm_is_served_the_batches_of_its_control_but_for_the_synthetic_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: dict[str, list[Images]] = {"oversample": [], "cgan": []}
    original = fit

    def watching(train: Split, batches: Batches, *args: object, **kwargs: object) -> object:
        taken = list(batches(0))
        arm = "cgan" if served["oversample"] else "oversample"
        served[arm] = [images for images, _ in taken]
        return original(train, lambda done: taken, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(fit_module, "fit", watching)
    for source, synthetic in (("oversample", None), ("cgan", [DRAWN])):
        train_classifiers(training(source, synthetic), tmp_path / source, stage="train", replicates=1, compute=COMPUTE)
    control, arm = (np.stack(served[source]) for source in ("oversample", "cgan"))
    real = arm[:, :, 0, 0, 0] == 11
    assert real.mean() == 1 - GENERATE.synthetic_fraction
    assert np.array_equal(arm[real], control[real])


def test_missing_synthetic_images_are_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cgan-plain: 1 of 2 replicates have synthetic images"):
        train_classifiers(training("cgan", [DRAWN]), tmp_path / "arm", stage="train", replicates=2, compute=COMPUTE)


def test_predictions_do_not_depend_on_other_images_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = [(TRAIN.images[:16], TRAIN.labels[:16])] * SETTINGS.budgets[0]
    run = TrainingContext(torch.device("cpu"), None)
    network, _ = fit(TRAIN, lambda done: batches, SETTINGS, loss=cross_entropy, seed=0, run=run)
    whole = predict(network, TEST.images, MACHINE)
    monkeypatch.setattr(fit_module, "PREDICTION_BATCH", 7)
    np.testing.assert_allclose(predict(network, TEST.images, MACHINE), whole, atol=1e-5)


def test_another_generator_share_trains_anew_but_only_where_it_matters() -> None:
    other = GENERATE.model_copy(update={"synthetic_fraction": 0.25})
    for source, synthetic, same in (("none", None, True), ("cgan", [DRAWN], False)):
        first = training(source, synthetic)
        second = Training(**{**{name: getattr(first, name) for name in first.__dataclass_fields__}, "generate": other})
        assert (first.inputs()(0) == second.inputs()(0)) is same


def test_the_fingerprint_covers_the_base() -> None:
    arm = training("cgan", [DRAWN])
    assert arm.inputs()(0) != replace(arm, base="logit_adjusted").inputs()(0)


def test_the_fingerprint_of_a_replicate_ignores_the_others_images() -> None:
    alone, beside = (training("cgan", drawn).inputs()(0) for drawn in ([DRAWN], [DRAWN, TRAIN]))
    assert alone == beside


@pytest.mark.parametrize(
    ("source", "base", "transform", "mix"),
    [("none", "none", Plain.model_validate(()), "none"), ("cgan", "deferred", RANDOM, "cutmix")],
)
def test_a_killed_training_resumes_bit_for_bit(
    source: str, base: str, transform: Transform, mix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SHARE", 1e9)  # a checkpoint after each step
    arm = replace(
        training(source, [DRAWN] if source == "cgan" else None),
        base=base, transform=transform, checkpoint_seconds=1e-9, settings=SETTINGS.model_copy(update={"mix": mix}),
    )  # fmt: skip

    def run(name: str, unfinished: str, progress: Callable[[int], None] = lambda done: None) -> dict[str, bytes]:
        (tmp_path / name).mkdir(exist_ok=True)
        arm([Replicate(0, tmp_path / name, tmp_path / unfinished, MACHINE, progress)])
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    def kill(done: int) -> None:
        if done == 17:
            raise Killed

    whole = run("whole", "unused")
    with pytest.raises(Killed):
        run("killed", "unfinished", kill)
    torch.rand(5)
    steps: list[int] = []
    assert run("killed", "unfinished", steps.append) == whole
    assert steps == list(range(16, 31))


def test_mixed_images_are_refused_before_anything_is_trained_where_priors_would_be_wrong(tmp_path: Path) -> None:
    arm = replace(training("logit_adjusted"), settings=SETTINGS.model_copy(update={"mix": "mixup"}))
    with pytest.raises(
        BadInput, match=r"^classifier\.mix is mixup, but the loss of the control logit_adjusted does not"
    ):
        train_classifiers(arm, tmp_path / "arm", stage="train", replicates=1, compute=COMPUTE)
    assert not (tmp_path / ".makeweight/cache").exists()


class Noisy(torch.nn.Linear):
    """A classifier that records what it draws in each step of training."""

    drawn: ClassVar[list[float]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Draw one number."""
        self.drawn.append(torch.rand(()).item())
        logits: torch.Tensor = super().forward(images.flatten(1))
        return logits


def test_what_a_classifier_draws_in_a_step_depends_on_the_seed_and_the_step_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fit_module, "find", lambda group, name: lambda channels, size, classes: Noisy(64, classes))

    def drawn(seed: int, disturbing: bool) -> list[float]:
        def batches(done: int) -> Iterator[tuple[Images, Labels]]:
            for _ in range(4):
                if disturbing:
                    torch.rand(3)
                yield TRAIN.images[:16], TRAIN.labels[:16]

        Noisy.drawn.clear()
        settings = SETTINGS.model_copy(update={"steps": 4})
        run = TrainingContext(torch.device("cpu"), None)
        fit(TRAIN, batches, settings, loss=cross_entropy, seed=seed, run=run)
        return list(Noisy.drawn)

    assert drawn(0, disturbing=False) == drawn(0, disturbing=True)
    assert len({*drawn(0, disturbing=False), *drawn(1, disturbing=False)}) == 8
