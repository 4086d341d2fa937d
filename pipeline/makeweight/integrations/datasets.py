"""A PyTorch dataset of real and synthetic images, and the batches of a generator arm."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from makeweight.classification.mixing import batch_indices, uniform_mixing
from makeweight.core.data import Labels, Split
from makeweight.core.errors import BadInput
from makeweight.runtime.splits import read_split

Transform = Callable[[Image.Image], Any]


class BalancedDataset(Dataset[tuple[Any, int]]):
    """Real images followed by synthetic ones, with the attributes of torchvision's datasets.

    Without `target`, it holds all real images and as many synthetic ones of each class as bring it to the size of the
    largest class. Synthetic images then occur in small classes only, and a classifier can learn the generator's
    artefacts in order to recognise these classes: `MixedBatchSampler` avoids this.

    Attributes:
        classes: class names in the order of their labels.
        class_to_idx: label of each class name.
        targets: label of each image.
        synthetic: whether each image is synthetic, bool [n].

    Args:
        real: the real training images.
        synthetic: the synthetic images, of the same classes and shape.
        transform: called with each image as a PIL image, as torchvision does. None: images are returned as tensors,
            float32 [c, h, w] in [0, 1].
        target: images of each class; "largest": as many as the largest class of real images has; "all": every synthetic
            image is used.

    Raises:
        BadInput: classes or shapes differ, or a class has too few synthetic images.

    Examples:
        >>> import numpy as np
        >>> images = np.zeros((6, 8, 8, 1), np.uint8)
        >>> real = Split(images, np.array([0, 0, 0, 0, 1, 1]), ("cat", "dog"))
        >>> synthetic = Split(images, np.array([0, 0, 0, 1, 1, 1]), ("cat", "dog"))
        >>> dataset = BalancedDataset(real, synthetic)
        >>> len(dataset), dataset.targets.count(0), dataset.targets.count(1)
        (8, 4, 4)
    """

    def __init__(
        self,
        real: Split,
        synthetic: Split,
        *,
        transform: Transform | None = None,
        target: int | str = "largest",
    ) -> None:
        if tuple(real.classes) != tuple(synthetic.classes):
            raise BadInput(
                f"real images have the classes {', '.join(real.classes)}, synthetic ones "
                f"{', '.join(synthetic.classes)}: both must be the same, in the same order"
            )
        if real.images.shape[1:] != synthetic.images.shape[1:]:
            raise BadInput(
                f"real images have the shape {list(real.images.shape[1:])}, synthetic ones "
                f"{list(synthetic.images.shape[1:])}: both must be the same"
            )
        self.real, self.transform = real, transform
        self.added = synthetic.take(_selected(real, synthetic, target))
        self.classes = list(real.classes)
        self.class_to_idx = {name: label for label, name in enumerate(self.classes)}
        self.targets: list[int] = [*real.labels.tolist(), *self.added.labels.tolist()]
        self.synthetic = np.arange(len(self)) >= len(real)

    @classmethod
    def from_folders(
        cls,
        train: Path | str,
        synthetic: Path | str,
        *,
        transform: Transform | None = None,
        target: int | str = "largest",
    ) -> BalancedDataset:
        """The dataset of two folders of the pipeline, such as `data/train` and `data/synthetic/cgan/replicate_0`.

        Raises:
            BadInput: a folder holds no images, or they do not fit together.
        """
        return cls(read_split(Path(train)), read_split(Path(synthetic)), transform=transform, target=target)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        index = range(len(self))[index]  # negative indices, and an IndexError beyond the end
        n = len(self.real)
        pixels = self.real.images[index] if index < n else self.added.images[index - n]
        if self.transform is None:
            return _as_tensor(pixels), self.targets[index]
        return self.transform(Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)), self.targets[
            index
        ]


def _as_tensor(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float().div(255)


def _selected(real: Split, synthetic: Split, target: int | str) -> Labels:
    """Indices of the synthetic images that are used: the first ones of each class."""
    if target == "all":
        return np.arange(len(synthetic))
    size = real.counts.max() if target == "largest" else target
    if not isinstance(size, int | np.integer) or size < 1:
        raise BadInput(f'target is {target!r}: it must be "largest", "all" or a number of images')
    lacking = np.where(real.counts > 0, np.maximum(0, size - real.counts), 0)
    if len(short := np.flatnonzero(synthetic.counts < lacking)):
        label = int(short[0])
        raise BadInput(
            f"class {real.classes[label]!r} needs {lacking[label]} synthetic images to reach {size}, but there are "
            f"{synthetic.counts[label]}: generate more, or set target lower"
        )
    rank = np.zeros(len(synthetic), np.int64)  # of each image within its class
    for label in range(len(synthetic.classes)):
        of_class = np.flatnonzero(synthetic.labels == label)
        rank[of_class] = np.arange(len(of_class))
    return np.flatnonzero(rank < lacking[synthetic.labels])


class MixedBatchSampler(Sampler[list[int]]):
    """Batches in which every class has the same fraction of synthetic images.

    Classes are balanced by oversampling, then a fraction of each batch is replaced by synthetic images of the same
    classes, as in generator arms with `generate.base: oversample`. So being synthetic carries no information about the
    class. Each iteration continues where the last one ended. Use it as
    `DataLoader(dataset, batch_sampler=MixedBatchSampler(dataset, ...))`.

    Args:
        dataset: with synthetic images of every class: made with `target="all"`.
        batch_size: images in a batch.
        synthetic_fraction: of each batch, between 0 and 1.
        seed: of the order.

    Raises:
        BadInput: a class has no synthetic images, or an argument is out of range.
    """

    def __init__(
        self, dataset: BalancedDataset, batch_size: int, *, synthetic_fraction: float = 0.5, seed: int = 0
    ) -> None:
        if batch_size < 2:
            raise BadInput("batch_size must be at least 2: one real and one synthetic image")
        if not 0 < synthetic_fraction < 1:
            raise BadInput(f"synthetic_fraction is {synthetic_fraction}, but must lie between 0 and 1")
        lacking = (dataset.real.counts > 0) & (dataset.added.counts == 0)
        if lacking.any():
            raise BadInput(
                f"the dataset holds no synthetic images of class {dataset.classes[int(lacking.argmax())]!r}: make it "
                'with target="all"'
            )
        mixing = uniform_mixing(dataset.real, dataset.added, "oversample", synthetic_fraction, batch_size, seed)
        self.batches: Iterator[Labels] = batch_indices(mixing, sys.maxsize, seed)
        self.length = max(1, len(mixing.phases[0].epoch) // batch_size)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[list[int]]:
        for indices in islice(self.batches, self.length):
            yield indices.tolist()
