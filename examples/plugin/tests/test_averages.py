"""The family by itself: images of the right class, the same after saving."""

import numpy as np
import torch
from makeweight_averages import Averages

import makeweight


def test_images_lie_between_two_training_images_of_their_class(tmp_path):
    """Brightness tells the two classes apart."""
    images = np.array([0, 100, 200, 250], np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)
    train = makeweight.Split(images, np.array([0, 0, 1, 1]), ("dark", "bright"))
    family = Averages(least_weight=0.2)
    run = makeweight.TrainingContext(torch.device("cpu"), None)
    (sampler,) = family.fit(train, monitor=train, seeds=[0], run=run)

    labels = torch.tensor([0, 1] * 50)
    drawn = makeweight.as_images(sampler.sample(labels, rng=torch.Generator().manual_seed(0)))
    assert drawn.shape == (100, 8, 8, 1)
    assert drawn[::2].max() <= 100
    assert drawn[1::2].min() >= 200
    assert len(np.unique(drawn[::2])) > 10

    sampler.save(tmp_path)
    again = family.load(tmp_path).sample(labels, rng=torch.Generator().manual_seed(0))
    assert np.array_equal(makeweight.as_images(again), drawn)
