"""Three ways in which a discriminator hears the label of an image. Each tells what it is told to the generator."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, relu

from makeweight.generators.blocks.networks import Encoder, Shape

Conditioning = Literal["projection", "auxiliary", "concat"]


class Discriminator(nn.Module):
    """An image and a condition to a score. Subclasses say how the condition is heard.

    The convolutions may be under spectral norm; the maps at the end are not: under it, ten classes share a norm of
    one, and on scarce data the labels then go unheard.
    """

    def __init__(self, shape: Shape, width: int, *, normed: bool, attention: int | None) -> None:
        super().__init__()
        self.encoder = Encoder(shape, width, normed=normed, attention=attention)

    def forward(self, images: Tensor, wanted: Tensor) -> Tensor:
        """Scores, float32 [n], of images [n, c, h, w] under conditions [n, classes]."""
        return self.score(self.features(images), wanted)

    def features(self, images: Tensor) -> Tensor:
        """Images to features [n, width], summed over the image."""
        features: Tensor = self.encoder(images).sum((2, 3))
        return features.float()

    def score(self, features: Tensor, wanted: Tensor) -> Tensor:
        """Scores [n] of images with these features under these conditions: the higher, the more real."""
        raise NotImplementedError

    def label_loss(self, features: Tensor, wanted: Tensor) -> Tensor:
        """What is lost where the features do not tell the label; both networks pay it."""
        return torch.zeros((), device=features.device)


class Projection(Discriminator):
    """The score is linear in the features, plus their product with the label's embedding (Miyato & Koyama 2018)."""

    def __init__(self, shape: Shape, width: int, *, normed: bool, attention: int | None) -> None:
        super().__init__(shape, width, normed=normed, attention=attention)
        self.realness = nn.Linear(self.encoder.channels, 1)
        self.classes = nn.Parameter(torch.randn(shape.classes, self.encoder.channels))

    def score(self, features: Tensor, wanted: Tensor) -> Tensor:
        """Scores [n]: realness, and how well the label fits."""
        realness: Tensor = self.realness(features).squeeze(1)
        return realness + ((wanted @ self.classes) * features).sum(1)


class Auxiliary(Discriminator):
    """The score does not know the label; a second head tells it from the features (AC-GAN: Odena et al. 2017)."""

    def __init__(self, shape: Shape, width: int, *, normed: bool, attention: int | None) -> None:
        super().__init__(shape, width, normed=normed, attention=attention)
        self.realness = nn.Linear(self.encoder.channels, 1)
        self.classes = nn.Linear(self.encoder.channels, shape.classes)

    def score(self, features: Tensor, wanted: Tensor) -> Tensor:
        """Scores [n]: realness alone."""
        realness: Tensor = self.realness(features).squeeze(1)
        return realness

    def label_loss(self, features: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy of the second head, by the influence of the labels."""
        return -(wanted * log_softmax(self.classes(features), 1)).sum(1).mean()


class Concat(Discriminator):
    """Label and features side by side go through a hidden layer (Mirza & Osindero 2014; Reed et al. 2016, fig. 2)."""

    def __init__(self, shape: Shape, width: int, *, normed: bool, attention: int | None) -> None:
        super().__init__(shape, width, normed=normed, attention=attention)
        self.hidden = nn.Linear(self.encoder.channels + shape.classes, self.encoder.channels)
        self.realness = nn.Linear(self.encoder.channels, 1)

    def score(self, features: Tensor, wanted: Tensor) -> Tensor:
        """Scores [n] of the pair."""
        realness: Tensor = self.realness(relu(self.hidden(torch.cat([features, wanted], 1)))).squeeze(1)
        return realness


DISCRIMINATORS: dict[Conditioning, type[Discriminator]] = {
    "projection": Projection,
    "auxiliary": Auxiliary,
    "concat": Concat,
}
