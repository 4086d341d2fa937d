"""One replicate of an arm: training and predictions of a classifier, the cached work that `train.py` runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from makeweight.classification.interface import Transform, find_control
from makeweight.classification.mixing import Loss, Mixing, control_mixing, generator_mixing, mixed_batches
from makeweight.classification.mixup import mixed_images
from makeweight.classification.unions import equal_parts
from makeweight.classification.weights import save_classifier
from makeweight.core.data import Images, Labels, Split
from makeweight.core.images import from_uint8
from makeweight.core.parameters import ClassifierSettings, GenerateSettings
from makeweight.core.plugins import find
from makeweight.core.seeds import derive
from makeweight.core.study import Arm
from makeweight.runtime import fingerprints, plugin_code
from makeweight.runtime.artifacts import HISTORY
from makeweight.runtime.files import write_arrays, write_csv
from makeweight.runtime.machine import Machine, mixed_precision
from makeweight.runtime.replicates import Replicate
from makeweight.training.checkpoints import Checkpoints, State
from makeweight.training.loop import Step, TrainingContext

RECORDS = 50  # rows in the history of one replicate
PREDICTION_BATCH, PREDICTION_VALUES = 1000, 2**22  # most images, and most pixel values, that are predicted at a time


@dataclass(frozen=True)
class Training:
    """Everything that one arm's classifiers depend on.

    Attributes:
        arm: source and transform.
        train: the real training images.
        validation: only scored.
        test: only scored; None: not scored at all, in a training by which something is chosen.
        synthetic: the synthetic images of each replicate, those of each family of a union apart; None for a control.
        transform: augmentation of each image as it enters a batch.
        settings: the classifier and its training with one budget; the same for all arms but for the budget.
        generate: how synthetic images are mixed in; not read for a control.
        base: the control whose sampling and loss the arm uses: a control arm's own, or `core.study.base`.
        seed: of the whole pipeline.
        groups: the group of each validation and test image, int64 [images]; stored with the predictions.
        checkpoint_seconds: the time between two checkpoints.
    """

    arm: Arm
    train: Split
    validation: Split
    test: Split | None
    synthetic: Sequence[Sequence[Split]] | None
    transform: Transform
    settings: ClassifierSettings
    generate: GenerateSettings
    base: str
    seed: int
    groups: Mapping[str, Labels]
    checkpoint_seconds: float

    @property
    def steps(self) -> int:
        """The number of optimizer steps."""
        (steps,) = self.settings.budgets
        return steps

    @property
    def scored(self) -> dict[str, Split]:
        """The splits whose images are classified."""
        splits = {"validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def __call__(self, replicates: Sequence[Replicate]) -> None:
        """Train the classifier of one replicate; write its history, its weights and its predictions."""
        (replicate,) = replicates
        # Independent of arm and stage: all arms of a replicate share initial weights and the order of batches.
        seed = derive(self.seed, "classifier", replicate.number)
        mixing = self._mixing(replicate.number, seed)
        batches = partial(transformed_batches, mixing, self.transform, self.steps, seed)
        machine, loss = replicate.machine, mixing.loss(self.settings.label_smoothing)
        run = TrainingContext(
            torch.device(machine.device),
            machine.autocast,
            replicate.progress,
            f"{self.arm.stage} {self.arm}, replicate {replicate.number}",
            checkpoints=Checkpoints(replicate.unfinished, self.checkpoint_seconds),
            records=RECORDS,
        )
        network, history = fit(self.train, batches, self.settings, loss=loss, seed=seed, run=run)
        write_csv(replicate.folder / HISTORY, history)
        save_classifier(network, self.settings.name, self.train, replicate.folder)
        for name, split in self.scored.items():
            probabilities = predict(network, split.images, machine)
            write_arrays(replicate.folder / f"{name}.npz", {"probabilities": probabilities})

    def _mixing(self, replicate: int, seed: int) -> Mixing:
        if self.synthetic is None:
            return control_mixing(self.base, self.train, self.settings.batch, seed)
        synthetic = equal_parts(self.synthetic[replicate])
        return generator_mixing(self.train, synthetic, self.generate, self.base, self.settings.batch, seed)

    def inputs(self) -> Callable[[int], Mapping[str, object]]:
        """All that the result of a replicate depends on, as a function of its number."""
        shared = {
            "work": "train-classifier",
            "arm": str(self.arm),
            "settings": self.settings.model_dump(),
            "transform": self.transform.model_dump(),
            "mixed": None if self.synthetic is None else [self.generate.strategy, self.generate.synthetic_fraction],
            "base": self.base,
            "splits": [fingerprints.of_split(split) for split in (self.train, *self.scored.values())],
            "seed": self.seed,
            "code": plugin_code.of_code(
                __name__,
                plugin_code.Plugin("transforms", self.arm.transform, self.transform),
                plugin_code.Plugin("controls", self.base, find_control(self.base)),
                plugin_code.Plugin("classifiers", self.settings.name, find("classifiers", self.settings.name)),
            ),
        }
        synthetic = [[fingerprints.of_split(split) for split in parts] for parts in self.synthetic or ()]
        return lambda k: {**shared, "synthetic": synthetic[k] if synthetic else None, "replicate": k}


def transformed_batches(
    mixing: Mixing, transform: Transform, steps: int, seed: int, done: int = 0
) -> Iterator[tuple[Images, Labels]]:
    """The batches of a training of `steps` steps after the first `done`: transformed images, and labels."""
    for step, (images, labels) in enumerate(mixed_batches(mixing, steps, seed, done), start=done):
        yield transform.apply(images, derive(seed, "transform", step)), labels


def fit(
    train: Split,
    batches: Callable[[int], Iterable[tuple[Images, Labels]]],
    settings: ClassifierSettings,
    *,
    loss: Loss,
    seed: int,
    run: TrainingContext,
) -> tuple[nn.Module, pd.DataFrame]:
    """Train a classifier: AdamW (Loshchilov & Hutter 2019) under a one-cycle schedule (Smith & Topin 2018).

    Args:
        train: gives the number of channels and classes and the size of the images.
        batches: called with a number of steps that are done, the batches of the other ones.
        settings: the classifier and its training with one budget.
        loss: of a batch, as `Mixing.loss` returns it.
        seed: of the initial weights, of dropout and of the mixing of batches.
        run: where to compute, and from which checkpoint to resume.

    Returns:
        The trained network, and its history: step, loss, learning_rate.
    """
    torch.manual_seed(derive(seed, "weights"))  # layers draw from the global stream
    classes, device = len(train.classes), run.device
    network: nn.Module = find("classifiers", settings.name)(train.channels, train.size, classes)
    network = network.to(device).to(memory_format=torch.channels_last).train()
    (steps,) = settings.budgets
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps)
    state: State = {"network": network, "optimizer": optimizer, "scheduler": scheduler}
    for step, images, labels in _with_batches(run.steps(steps, state), batches):
        inputs, targets = _as_input(images, device), torch.from_numpy(labels).to(device)
        inputs, targets = mixed_images(inputs, targets, classes, settings, derive(seed, "mix", step.number))
        _seed_dropout(derive(seed, "dropout", step.number), device.type)  # by step: no generator is part of the state
        with mixed_precision(device.type, run.autocast):
            logits = network(inputs)
        error = loss(logits.float(), targets)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        learning_rate = scheduler.get_last_lr()[0]
        scheduler.step()
        if step.recorded:
            run.record({"step": step.number, "loss": error.item(), "learning_rate": learning_rate})
    return network, pd.DataFrame(run.histories[0])


def _with_batches(
    steps: Iterator[Step], batches: Callable[[int], Iterable[tuple[Images, Labels]]]
) -> Iterator[tuple[Step, Images, Labels]]:
    """Each step with its batch, from the step on with which a resumed training continues."""
    remaining: Iterator[tuple[Images, Labels]] | None = None
    for step in steps:
        if remaining is None:
            remaining = iter(batches(step.number - 1))
        images, labels = next(remaining)
        yield step, images, labels


def _seed_dropout(seed: int, device: str) -> None:
    """Seed the global stream of the device; `torch.manual_seed` takes 0.2 ms, since it seeds absent devices, too."""
    torch.default_generator.manual_seed(seed)
    if device == "cuda":
        torch.cuda.manual_seed(seed)


@torch.no_grad()
def predict(network: nn.Module, images: Images, machine: Machine) -> NDArray[np.float32]:
    """Class probabilities, float32 [n, classes]."""
    network.eval()
    parts = []
    batch = max(1, min(PREDICTION_BATCH, PREDICTION_VALUES // images[0].size))
    for start in range(0, len(images), batch):
        with mixed_precision(machine.device, machine.autocast):
            logits: Tensor = network(_as_input(images[start : start + batch], torch.device(machine.device)))
        parts.append(logits.float().softmax(1).cpu().numpy())
    return np.concatenate(parts)


def _as_input(images: Images, device: torch.device) -> Tensor:
    """Uint8 [n, h, w, c] to float [n, c, h, w] in [-1, 1], on the device."""
    pixels = torch.tensor(images).to(device).permute(0, 3, 1, 2)
    return from_uint8(pixels.contiguous(memory_format=torch.channels_last))
