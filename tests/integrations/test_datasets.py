"""The PyTorch dataset and the batches that the comparison trains on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, WeightedRandomSampler
from torchvision import transforms

from makeweight import BadInput, BalancedDataset, MixedBatchSampler, Split, write_split


def split(counts: list[int], value: int, *, channels: int = 1) -> Split:
    """Images of which each pixel is `value` plus the label."""
    labels = np.repeat(np.arange(len(counts)), counts)
    pixels = (value + labels).astype(np.uint8)[:, None, None, None]
    return Split(np.tile(pixels, (1, 8, 8, channels)), labels, ("cat", "dog", "hen"))


REAL, DRAWN = split([20, 6, 2], 0), split([30, 30, 30], 100)


def test_classes_are_filled_to_the_size_of_the_largest() -> None:
    dataset = BalancedDataset(REAL, DRAWN)
    assert Counter(dataset.targets) == {0: 20, 1: 20, 2: 20}
    assert dataset.synthetic.sum() == 14 + 18
    assert not dataset.synthetic[: len(REAL)].any()
    assert dataset.classes == ["cat", "dog", "hen"]
    assert dataset.class_to_idx == {"cat": 0, "dog": 1, "hen": 2}
    for index in (0, 25, 40, -1):
        image, label = dataset[index]
        assert round(float(image.max()) * 255) == label + (100 if dataset.synthetic[index] else 0)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_other_targets() -> None:
    of_numpy: dict[str, Any] = {"target": np.int64(25)}
    assert Counter(BalancedDataset(REAL, DRAWN, **of_numpy).targets) == {0: 25, 1: 25, 2: 25}
    assert Counter(BalancedDataset(REAL, DRAWN, target="all").targets) == {0: 50, 1: 36, 2: 32}
    assert Counter(BalancedDataset(REAL, DRAWN, target=5).targets) == {0: 20, 1: 6, 2: 5}


def test_class_names_may_be_a_list() -> None:
    listed: Any = list(DRAWN.classes)
    assert len(BalancedDataset(REAL, Split(DRAWN.images, DRAWN.labels, listed), target="all")) == len(REAL) + len(DRAWN)


@pytest.mark.parametrize(
    ("drawn", "arguments", "message"),
    [
        (split([0, 3, 30], 100), {}, "class 'dog' needs 14 synthetic images to reach 20, but there are 3"),
        (split([9, 9, 9], 100, channels=3), {}, r"shape \[8, 8, 1\], synthetic ones \[8, 8, 3\]"),
        (Split(DRAWN.images, DRAWN.labels, ("a", "b", "c")), {}, "classes cat, dog, hen, synthetic ones a, b, c"),
        (DRAWN, {"target": "most"}, 'must be "largest", "all" or a number'),
    ],
)
def test_sets_that_do_not_fit_are_refused(drawn: Split, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        BalancedDataset(REAL, drawn, **arguments)


def test_torchvision_transforms_get_pil_images() -> None:
    transform = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor()])
    for channels in (1, 3):
        real, drawn = split([5, 5, 2], 0, channels=channels), split([9, 9, 9], 100, channels=channels)
        image, _ = BalancedDataset(real, drawn, transform=transform)[0]
        assert image.shape == (channels, 8, 8)


def test_folders_of_the_pipeline_and_loaders_in_other_processes(tmp_path: Path) -> None:
    write_split(tmp_path / "train", REAL, {})
    write_split(tmp_path / "drawn", DRAWN, {})
    dataset = BalancedDataset.from_folders(tmp_path / "train", tmp_path / "drawn")
    loader = DataLoader(dataset, batch_size=16, num_workers=1, multiprocessing_context="spawn")
    labels = torch.cat([labels for _, labels in loader])
    assert labels.tolist() == dataset.targets


def test_samplers_of_pytorch_take_the_targets() -> None:
    dataset = BalancedDataset(REAL, DRAWN, target="all")
    counts = np.bincount(dataset.targets)
    sampler = WeightedRandomSampler(
        (1 / counts)[dataset.targets].tolist(), 32, generator=torch.Generator().manual_seed(0)
    )
    (images, labels), *_ = DataLoader(dataset, batch_size=32, sampler=sampler)
    assert images.shape == (32, 1, 8, 8)
    assert labels.dtype == torch.int64


def test_every_class_has_the_same_fraction_of_synthetic_images() -> None:
    dataset = BalancedDataset(REAL, DRAWN, target="all")
    sampler = MixedBatchSampler(dataset, 12, synthetic_fraction=0.25, seed=3)
    labels, synthetic = np.array(dataset.targets), dataset.synthetic
    batches = [batch for _ in range(20) for batch in sampler]
    assert {len(batch) for batch in batches} == {12}
    assert {int(synthetic[batch].sum()) for batch in batches} == {3}
    served = np.concatenate(batches)
    for label in range(3):
        of_class = served[labels[served] == label]
        assert len(of_class) / len(served) == pytest.approx(1 / 3, abs=0.02)
        assert synthetic[of_class].mean() == pytest.approx(0.25, abs=0.02)


def test_batches_in_a_loader_go_on_from_epoch_to_epoch_and_follow_the_seed() -> None:
    dataset = BalancedDataset(REAL, DRAWN, target="all")

    def epochs(seed: int) -> list[list[list[int]]]:
        sampler = MixedBatchSampler(dataset, 12, seed=seed)
        return [list(sampler), list(sampler)]

    assert epochs(0) == epochs(0)
    assert epochs(0)[0] != epochs(0)[1]
    assert epochs(0) != epochs(1)
    sampler = MixedBatchSampler(dataset, 12)
    assert len(list(DataLoader(dataset, batch_sampler=sampler))) == len(sampler) == 5


@pytest.mark.parametrize(
    ("dataset", "arguments", "message"),
    [
        (BalancedDataset(REAL, DRAWN), {"batch_size": 8}, "no synthetic images of class 'cat'"),
        (BalancedDataset(REAL, DRAWN, target="all"), {"batch_size": 1}, "at least 2"),
        (BalancedDataset(REAL, DRAWN, target="all"), {"batch_size": 8, "synthetic_fraction": 1.0}, "between 0 and 1"),
    ],
)
def test_wrong_arguments_of_the_sampler(dataset: BalancedDataset, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        MixedBatchSampler(dataset, **arguments)
