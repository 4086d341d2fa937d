"""Discriminators, one for each way of conditioning on the label."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, relu

from makeweight.generators.blocks.networks import Encoder, Shape

Conditioning = Literal["projection", "auxiliary", "concat"]


class Discriminator(nn.Module, ABC):
    """Image and condition to a logit. Subclasses define the conditioning.

    The convolutions may be under spectral norm; the linear heads are not: under it, ten classes share a norm of one,
    and on scarce data the discriminator then ignores the labels.
    """

    def __init__(self, shape: Shape, width: int, *, normed: bool, attention: int | None) -> None:
        super().__init__()
        self.encoder = Encoder(shape, width, normed=normed, attention=attention)

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        """Logits, float32 [n], of images [n, c, h, w] under conditions [n, classes]."""
        return self.score(self.features(images), condition)

    def features(self, images: Tensor) -> Tensor:
        """Images to features [n, width], summed over positions."""
        features: Tensor = self.encoder(images).sum((2, 3))
        return features.float()

    @abstractmethod
    def score(self, features: Tensor, condition: Tensor) -> Tensor:
        """Logits [n] of features under conditions; higher means more likely real."""

    def label_loss(self, features: Tensor, condition: Tensor) -> Tensor:
        """Classification loss of the labels, part of the loss of both networks; 0 by default."""
        return torch.zeros((), device=features.device)


class Projection(Discriminator):
    """A linear function of the features, plus their inner product with the label's embedding (Miyato & Koyama 2018)."""

    def __init__(self, shape: Shape, width: int, *, normed: bool, attention: int | None) -> None:
        super().__init__(shape, width, normed=normed, attention=attention)
        self.realness = nn.Linear(self.encoder.channels, 1)
        self.classes = nn.Parameter(torch.randn(shape.classes, self.encoder.channels))

    def score(self, features: Tensor, condition: Tensor) -> Tensor:
        """Logits [n]: the unconditional part plus the projection on the label."""
        realness: Tensor = self.realness(features).squeeze(1)
        return realness + ((condition @ self.classes) * features).sum(1)


class Auxiliary(Discriminator):
    """A logit without the label, and a second head that classifies the features (AC-GAN: Odena et al. 2017)."""

    def __init__(self, shape: Shape, width: int, *, normed: bool, attention: int | None) -> None:
        super().__init__(shape, width, normed=normed, attention=attention)
        self.realness = nn.Linear(self.encoder.channels, 1)
        self.classes = nn.Linear(self.encoder.channels, shape.classes)

    def score(self, features: Tensor, condition: Tensor) -> Tensor:
        """Logits [n], whatever the condition."""
        realness: Tensor = self.realness(features).squeeze(1)
        return realness

    def label_loss(self, features: Tensor, condition: Tensor) -> Tensor:
        """Cross-entropy of the second head, scaled with the conditions."""
        return -(condition * log_softmax(self.classes(features), 1)).sum(1).mean()


class Concat(Discriminator):
    """A hidden layer over concatenated features and label (Mirza & Osindero 2014; Reed et al. 2016, fig. 2)."""

    def __init__(self, shape: Shape, width: int, *, normed: bool, attention: int | None) -> None:
        super().__init__(shape, width, normed=normed, attention=attention)
        self.hidden = nn.Linear(self.encoder.channels + shape.classes, self.encoder.channels)
        self.realness = nn.Linear(self.encoder.channels, 1)

    def score(self, features: Tensor, condition: Tensor) -> Tensor:
        """Logits [n] of image and label together."""
        realness: Tensor = self.realness(relu(self.hidden(torch.cat([features, condition], 1)))).squeeze(1)
        return realness


DISCRIMINATORS: dict[Conditioning, type[Discriminator]] = {
    "projection": Projection,
    "auxiliary": Auxiliary,
    "concat": Concat,
}
