"""What is particular to the conditional GAN."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from pipeline.batches import Pool
from pipeline.core import Split
from pipeline.families.cgan import ConditionalGAN
from pipeline.families.cgan.discriminators import Projection
from pipeline.nets import Shape, conditions
from pipeline.params import validate
from tests.pipeline.test_families import draw, run

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
    few = np.concatenate([np.flatnonzero(digits.target == label)[:n] for label, n in enumerate((60, 30, 15))])
    images = np.round(digits.images * 255 / 16).astype(np.uint8)[..., None]
    train = Split(images[few], digits.target[few].astype(np.int64), ("0", "1", "2"))
    settings = {
        "preset": "classic", "steps": 1000, "batch": 32, "latent": 16, "generator_width": 32,
        "discriminator_width": 32, "loss": "hinge", "conditioning": "projection", "spectral_norm": ["discriminator"],
        "generator_learning_rate": 0.001, "discriminator_learning_rate": 0.001, "beta2": 0.99,
        "average_decay": 0.99, "mismatch": 0.5, "augment": ["translation", "brightness"],
    }  # fmt: skip
    (sampler,) = validate(ConditionalGAN, settings).fit(train, monitor=train, seeds=[0], run=run())
    labels = np.repeat([0, 1, 2], 50)
    drawn = draw(sampler, labels.tolist()).flatten(1).numpy()
    known = images[digits.target < 3].reshape(-1, 64) / 127.5 - 1
    judge = KNeighborsClassifier().fit(known, digits.target[digits.target < 3])
    assert (judge.predict(drawn) == labels).mean() > 0.9
    for label in range(3):
        spread, real_spread = drawn[labels == label].std(0).mean(), images[digits.target == label].std(0).mean() / 127.5
        assert spread > 0.5 * real_spread


def test_real_images_are_drawn_with_uniform_labels_however_rare_a_class_is() -> None:
    _, labels = Pool(corners(), CPU).draw(6000, torch.Generator().manual_seed(0))
    shares = labels.bincount(minlength=3) / 6000
    assert (shares - 1 / 3).abs().max() < 0.03  # five standard errors


def test_drawn_images_are_those_of_their_labels() -> None:
    split = corners()
    images, labels = Pool(split, CPU).draw(50, torch.Generator().manual_seed(0))
    originals = torch.from_numpy(split.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    for image, label in zip(images, labels, strict=True):
        assert any(torch.equal(image, originals[k]) for k in np.flatnonzero(split.labels == int(label)))


def test_a_mismatched_label_is_never_the_right_one_and_always_one_that_occurs() -> None:
    split = Split(np.zeros((6, 8, 8, 1), np.uint8), np.array([0, 0, 2, 2, 3, 3]), ("a", "none of it", "c", "d"))
    labels = torch.tensor([0, 2, 3] * 50)
    wrong = Pool(split, CPU).another(labels, torch.Generator().manual_seed(0))
    assert not (wrong == labels).any()
    assert set(wrong.tolist()) == {0, 2, 3}


def test_the_score_is_the_projection_of_the_features_on_the_label() -> None:
    network = Projection(Shape(8, 1, 3), width=4, normed=False, attention=None)
    features = torch.randn(2, 4)
    expected = network.realness(features)[:, 0] + (features * network.classes[[2, 0]]).sum(1)
    torch.testing.assert_close(network.score(features, conditions(torch.tensor([2, 0]), 3)), expected)
