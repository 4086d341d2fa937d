"""The conditional GAN: training, settings, conditioning and error rates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from makeweight.core.data import Split
from makeweight.core.errors import BadInput
from makeweight.core.images import as_images
from makeweight.core.validation import validate
from makeweight.generators.blocks.batches import RealImages
from makeweight.generators.blocks.losses import GRADIENT_PENALTIES, LOSSES
from makeweight.generators.blocks.networks import Shape, conditions
from makeweight.generators.families.cgan.discriminators import DISCRIMINATORS, Auxiliary, Projection
from makeweight.generators.families.cgan.family import ConditionalGAN, GANSampler
from makeweight.generators.families.cgan.presets import CLASSIC
from makeweight.generators.families.cgan.steps import error_rates
from makeweight.generators.interface import find_family
from makeweight.training.checkpoints import State
from makeweight.training.loop import Step, TrainingContext
from makeweight.training.monitors import Monitor, diversity_ratio, real_diversities
from makeweight.training.rng import ReplicateGenerators
from tests.support.families import draw, run
from tests.support.monitoring import monitor_settings

CPU = torch.device("cpu")


def corners() -> Split:
    """Three scarce classes that are easy to tell apart: a bright square in one of three corners."""
    images = np.zeros((60, 8, 8, 1), dtype=np.uint8)
    labels = np.repeat([0, 1, 2], [40, 14, 6]).astype(np.int64)
    for image, label in zip(images, labels, strict=True):
        row, column = ((0, 0), (0, 4), (4, 0))[label]
        image[row : row + 4, column : column + 4] = 255
    return Split(images, labels, ("left", "right", "below"))


def test_the_generator_learns_which_class_it_is_asked_for_and_draws_more_than_one_image_of_it() -> None:
    digits = load_digits()
    scarce = np.concatenate([np.flatnonzero(digits.target == label)[:n] for label, n in enumerate((60, 30, 15))])
    images = np.round(digits.images * 255 / 16).astype(np.uint8)[..., None]
    train = Split(images[scarce], digits.target[scarce].astype(np.int64), ("0", "1", "2"))
    settings = {
        "preset": "classic", "steps": 1000, "batch": 32, "latent": 16, "generator_width": 32,
        "discriminator_width": 32, "loss": "hinge", "conditioning": "projection", "spectral_norm": ["discriminator"],
        "generator_learning_rate": 0.001, "discriminator_learning_rate": 0.001, "beta2": 0.99,
        "ema_decay": 0.99, "matching_aware_weight": 0.5, "augment": ["translation", "brightness"],
    }  # fmt: skip
    (sampler,) = validate(ConditionalGAN, settings).fit(train, monitor=train, seeds=[0], run=run())
    labels = np.repeat([0, 1, 2], 50)
    drawn = draw(sampler, labels.tolist()).flatten(1).numpy()
    real = images[digits.target < 3].reshape(-1, 64) / 127.5 - 1
    classifier = KNeighborsClassifier().fit(real, digits.target[digits.target < 3])
    assert (classifier.predict(drawn) == labels).mean() > 0.9
    for label in range(3):
        deviation = drawn[labels == label].std(0).mean()
        real_deviation = images[digits.target == label].std(0).mean() / 127.5
        assert deviation > 0.5 * real_deviation


def test_real_images_are_drawn_with_uniform_labels_however_rare_a_class_is() -> None:
    _, labels = RealImages(corners(), CPU).draw(6000, ReplicateGenerators([0], CPU))
    shares = labels[0].bincount(minlength=3) / 6000
    assert (shares - 1 / 3).abs().max() < 0.03  # five standard errors


def test_drawn_images_are_those_of_their_labels() -> None:
    split = corners()
    (images,), (labels,) = RealImages(split, CPU).draw(50, ReplicateGenerators([0], CPU))
    originals = torch.from_numpy(split.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    for image, label in zip(images, labels, strict=True):
        assert any(torch.equal(image, originals[k]) for k in np.flatnonzero(split.labels == int(label)))


def test_a_mismatched_label_is_never_the_right_one_and_always_one_that_occurs() -> None:
    split = Split(np.zeros((6, 8, 8, 1), np.uint8), np.array([0, 0, 2, 2, 3, 3]), ("a", "empty", "c", "d"))
    labels = torch.tensor([[0, 2, 3] * 50])
    wrong = RealImages(split, CPU).other_labels(labels, ReplicateGenerators([0], CPU))
    assert not (wrong == labels).any()
    assert set(wrong[0].tolist()) == {0, 2, 3}


def test_the_score_is_the_projection_of_the_features_on_the_label() -> None:
    network = Projection(Shape(8, 1, 3), width=4, normed=False, attention=None)
    features = torch.randn(2, 4)
    expected = network.realness(features)[:, 0] + (features * network.classes[[2, 0]]).sum(1)
    torch.testing.assert_close(network.score(features, conditions(torch.tensor([2, 0]), 3)), expected)


SMALL_SETTINGS: dict[str, Any] = {
    "preset": "classic", "steps": 4, "batch": 8, "latent": 8, "generator_width": 4, "discriminator_width": 4,
}  # fmt: skip


def settings(**changes: Any) -> ConditionalGAN:
    return validate(ConditionalGAN, {**SMALL_SETTINGS, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        *({"loss": loss} for loss in LOSSES),
        *({"conditioning": conditioning} for conditioning in DISCRIMINATORS),
        *(
            {"conditioning": conditioning, "matching_aware_weight": 0.5, "loss": "relativistic"}
            for conditioning in ("projection", "concat")
        ),
        *({"penalties": {name: 10.0}} for name in (*GRADIENT_PENALTIES, "lecam")),
        {"penalties": {"r1": 1.0, "r2": 1.0, "lecam": 0.3}, "loss": "relativistic", "conditioning": "auxiliary"},
        {"spectral_norm": ["generator", "discriminator"], "attention": 4, "conditioning": "projection"},
        {"discriminator_steps": 3, "loss": "wasserstein", "penalties": {"gradient_penalty": 10.0}},
        {"warm_up": 0.5, "ramp": 0.25, "conditioning": "auxiliary"},
    ],
    ids=str,
)
def test_settings_combine_freely(changes: dict[str, Any]) -> None:
    context = run()
    sampler = settings(**changes).fit(corners(), monitor=corners(), seeds=[0], run=context)[0]
    slow = settings(**changes, generator_learning_rate=1e-12)
    untrained = slow.fit(corners(), monitor=corners(), seeds=[0], run=run())[0]
    assert np.isfinite([list(row.values()) for row in context.histories[0]]).all()
    assert all(row["generator_gradient"] > 0 and row["discriminator_gradient"] > 0 for row in context.histories[0])
    assert draw(sampler, [0, 1, 2]).isfinite().all()
    assert not torch.allclose(draw(sampler, [0, 1, 2]), draw(untrained, [0, 1, 2]), atol=1e-4)


def test_a_discriminator_that_wins_against_a_generator_that_does_not_learn_is_noticed() -> None:
    rules = monitor_settings(on_divergence="stop", min_discriminator_error=0.02, min_diversity_ratio=0.0)
    context = TrainingContext(CPU, None, monitor=Monitor(rules, corners()))
    strong = {"batch": 32, "discriminator_width": 16, "discriminator_learning_rate": 0.002}
    untrainable = settings(steps=300, conditioning="projection", generator_learning_rate=1e-12, **strong)
    with pytest.raises(BadInput, match="discriminator saturation"):
        untrainable.fit(corners(), monitor=corners(), seeds=[0], run=context)


def test_validation_images_change_no_step_back_no_weight_and_no_sampler(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = monitor_settings(on_divergence="rollback", min_discriminator_error=0.02, min_diversity_ratio=0.0)
    strong = {"batch": 32, "discriminator_width": 16, "discriminator_learning_rate": 0.002}
    model = settings(steps=60, conditioning="projection", generator_learning_rate=1e-6, **strong)
    train = corners()
    # Validation images as easy to discriminate as the training images, and impossible ones: noise, and fewer.
    noise = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), dtype=np.uint8)
    monitors = (train, Split(noise, np.array([0, 1, 1, 2, 2, 2, 2]), train.classes))
    histories, saved, messages = [], [], []
    for number, monitor in enumerate(monitors):
        context = TrainingContext(CPU, None, monitor=Monitor(rules, train))
        (sampler,) = model.fit(train, monitor=monitor, seeds=[0], run=context)
        (folder := tmp_path / str(number)).mkdir()
        sampler.save(folder)
        saved.append({path.name: path.read_bytes() for path in folder.iterdir()})
        histories.append(pd.DataFrame(context.histories[0]))
        messages.append(capsys.readouterr().err)
    first, second = (history.drop(columns="error_validation") for history in histories)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert saved[0] == saved[1]
    assert messages[0] == messages[1]
    assert "discriminator saturation" in messages[0]
    assert (histories[0]["error_validation"] != histories[1]["error_validation"]).any()


def test_penalties_change_what_is_learned() -> None:
    plain, penalized = (
        settings(penalties=penalties, steps=30).fit(corners(), monitor=corners(), seeds=[0], run=run())[0]
        for penalties in ({}, {"r1": 100.0})
    )
    assert not torch.allclose(draw(plain, [0, 1]), draw(penalized, [0, 1]), atol=1e-3)


def test_labels_play_no_part_while_warming_up_and_fade_in_after(monkeypatch: pytest.MonkeyPatch) -> None:
    model = settings(steps=20, warm_up=0.5, ramp=0.25)
    assert [round(model._conditioning_scale(step), 3) for step in (1, 10, 11, 12, 15, 20)] == [0, 0, 0.2, 0.4, 1, 1]
    assert settings(steps=20)._conditioning_scale(1) == 1
    assert [settings(steps=20, warm_up=0.5)._conditioning_scale(step) for step in (10, 11)] == [0, 1]
    changes = {"conditioning": "projection", "ema_decay": 0.0}
    slow = settings(**changes, generator_learning_rate=1e-12)
    untrained = slow.fit(corners(), monitor=corners(), seeds=[0], run=run())[0]
    monkeypatch.setattr(ConditionalGAN, "_conditioning_scale", lambda self, step: 0.0)
    unconditional = settings(**changes).fit(corners(), monitor=corners(), seeds=[0], run=run())[0]
    gains, initial = (sampler.generator.norms[0].gain for sampler in (unconditional, untrained))
    assert torch.allclose(gains, initial, atol=1e-6)  # type: ignore[arg-type]
    assert not torch.allclose(unconditional.generator.first.weight, untrained.generator.first.weight, atol=1e-6)


def test_an_auxiliary_head_pays_for_labels_that_it_does_not_tell() -> None:
    network = Auxiliary(Shape(8, 1, 3), width=4, normed=False, attention=None)
    features, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    expected = torch.nn.functional.cross_entropy(network.classes(features), labels)
    torch.testing.assert_close(network.label_loss(features, conditions(labels, 3)), expected)
    assert network.label_loss(features, conditions(labels, 3, scale=0.0)) == 0
    logits = [network.score(features, conditions(labels, 3, scale)) for scale in (0.0, 1.0)]
    assert torch.equal(*logits)


def test_a_preset_fills_in_what_is_not_given() -> None:
    classic = validate(ConditionalGAN, {"preset": "classic"})
    assert (classic.latent, classic.batch, classic.loss, classic.beta1) == (100, 128, "non_saturating", 0.5)
    assert (classic.generator_learning_rate, classic.discriminator_learning_rate) == (2e-4, 4e-4)
    assert validate(ConditionalGAN, {"preset": "classic", "steps": 7}).steps == 7


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preset": "modern"}, "preset is 'modern', but should be 'classic'"),
        ({**CLASSIC, "preset": "classic"}, "preset 'classic' has nothing to fill in"),
        ({"preset": "classic", "stepz": 3}, "stepz is not a parameter"),
        ({"preset": "classic", "warm_up": 0.7, "ramp": 0.7}, "together less than 1"),
        ({"preset": "classic", "conditioning": "auxiliary", "matching_aware_weight": 0.5}, "set it to 0 for auxiliary"),
        ({"preset": "classic", "penalties": {"r3": 1.0}}, "penalties.r3"),
        ({"preset": None}, ".steps is missing"),
    ],
)
def test_errors_in_settings_give_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as error:
        validate(ConditionalGAN, values, key="families.cgan")
    (line,) = [line for line in str(error.value).splitlines() if message in line]
    assert line.startswith("families.cgan")


def test_error_rates_count_what_is_on_the_wrong_side() -> None:
    logits = {
        "train": torch.tensor([[1.0, 2, 3, -1]]), "validation": torch.tensor([[1.0, -1, -1, -1]]),
        "generated": torch.tensor([[-1.0, 1, 1, -2]]),
    }  # fmt: skip
    expected = {"error_train": [0.25], "error_validation": [0.75], "error_generated": [0.5]}
    shifted = {name: values + 7 for name, values in logits.items()}
    for values, relative in ((logits, False), (shifted, True)):
        assert {name: rate.tolist() for name, rate in error_rates(values, relative=relative).items()} == expected


def test_temperature_widens_what_is_drawn() -> None:
    sampler = settings(steps=1).fit(corners(), monitor=corners(), seeds=[0], run=run())[0]
    cold = GANSampler(sampler.generator, 1e-6)
    first, second = draw(cold, [1, 1])
    assert torch.allclose(first, second, atol=1e-4)
    hot = GANSampler(sampler.generator, 2.0)
    deviations = [float(draw(sampler, [1] * 100).std(0).mean()) for sampler in (cold, sampler, hot)]
    assert deviations == sorted(deviations)


def noisy(counts: tuple[int, ...]) -> Split:
    """Noise, with other brightness in each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.random.default_rng(0).integers(0, 100, (len(labels), 8, 8, 1)) + 10 * labels[:, None, None, None]
    return Split(images.astype(np.uint8), labels, tuple(f"class {k}" for k in range(len(counts))))


@pytest.mark.parametrize(
    ("counts", "changes"),
    [
        ((6, 4), {"mode_seeking": 1e30}),
        ((6, 1), {"mode_seeking": 5.0}),
        ((1, 1), {"mode_seeking": 5.0}),
        ((3,) * 12, {"mode_seeking": 5.0, "batch": 2}),
        ((6, 4), {"mode_seeking": 5.0, "warm_up": 0.5}),
    ],
    ids=["any weight", "a class of one image", "classes of one image", "fewer images than classes", "warm-up"],
)
def test_mode_seeking_works_with(counts: tuple[int, ...], changes: dict[str, Any]) -> None:
    train, context = noisy(counts), run()
    (sampler,) = settings(steps=10, conditioning="projection", **changes).fit(
        train, monitor=train, seeds=[0], run=context
    )
    assert np.isfinite([list(row.values()) for row in context.histories[0]]).all()
    assert draw(sampler, list(range(len(counts)))).isfinite().all()


@pytest.mark.parametrize(("images", "steps"), [(2, 1000), (100, 2000), (1000, 3000), (12_376, 4100)])
def test_steps_follow_from_the_number_of_training_images(images: int, steps: int) -> None:
    train = noisy((images - 1, 1))
    given = {**settings().model_dump(), "preset": None}
    found = find_family("cgan", {"cgan": {**given, "steps": None}}, train).total_steps
    assert (found, type(found)) == (steps, int)  # a float would be another fingerprint than the number in params.yaml
    assert find_family("cgan", {"cgan": {**given, "steps": 7}}, train).total_steps == 7


def test_a_fit_without_a_number_of_steps_is_that_with_the_number_that_follows_from_the_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("makeweight.generators.families.cgan.family.STEPS_PER_DECADE", 100)
    train, context = noisy((5, 5)), run()
    settings(steps=None).fit(train, monitor=train, seeds=[0], run=context)
    assert context.histories[0][-1]["step"] == 100


def test_mode_seeking_brings_the_diversity_of_each_class_towards_that_of_its_training_images() -> None:
    train = noisy((30, 20))
    real, ratios = real_diversities(train), []
    for largest in (0.0, 20.0):
        (sampler,) = settings(
            steps=150, batch=16, conditioning="projection", generator_learning_rate=0.002, mode_seeking=largest
        ).fit(train, monitor=train, seeds=[0], run=run())
        ratios.append([diversity_ratio(as_images(draw(sampler, [label] * 200)), real[label]) for label in (0, 1)])
    assert min(ratios[1]) > max(ratios[0]) + 0.05
    assert max(ratios[1]) < 1.2


def test_the_weights_of_mode_seeking_are_part_of_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[State] = []
    steps = TrainingContext.steps

    def spy(self: TrainingContext, total: int, state: State, replicates: int = 1) -> Iterator[Step]:
        states.append(state)
        return steps(self, total, state, replicates)

    monkeypatch.setattr(TrainingContext, "steps", spy)
    train = noisy((6, 4))
    for largest in (5.0, 0.0):
        settings(conditioning="projection", mode_seeking=largest).fit(train, monitor=train, seeds=[0, 1], run=run())
    with_term, without = states
    item = with_term["mode_seeking"]
    assert not isinstance(item, torch.Generator)
    weights = item.state_dict()["weights"]
    assert weights.shape == (2, 2)
    assert (weights > 0).all()
    assert "mode_seeking" not in without
