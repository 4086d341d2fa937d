"""Seconds of training until 95% of each class's samples are recognised: ours, a plain loop, mimicry's conditional GAN.

python -m benchmarks.seconds_to_good MNIST_ROOT [MINUTES] [SEEDS]

MNIST with 4000 to 40 training images a digit; the judge is trained on all of them but the validation images. About
every 50 steps 100 images of each class are drawn; the clock stands still for that, and counts the seconds of the one
thread, so that other processes count for little. Ours draws from noise as in training, as the others do, and from
hotter noise as `params.yaml` says (`temperature`), which is recognised later. Each contender gets at most MINUTES (30).
From seed to seed the moment moves by a fifth, so that SEEDS (1) trainings of each are worth more than one; mimicry's
is done once.
mimicry (`pip install --no-deps torch-mimicry`, and its tensorboard and scikit-image) is left out where it is not
installed; its networks, losses and optimizers are its own, at the 32 pixels and 3 channels that they are made for.
"""

from __future__ import annotations

import os

import makeweight.training.loop
from benchmarks import plain
from makeweight.generators.interface import find_family

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate

from benchmarks.generator_throughput import now
from benchmarks.judge import judge, labels_for, recognised
from benchmarks.mnist_imbalanced import COUNTS
from benchmarks.workspace import PROJECT, mnist
from makeweight.core.data import Images, Split
from makeweight.core.images import as_images
from makeweight.core.parameters import read_parameters
from makeweight.generators.families.cgan.family import ConditionalGAN, GANSampler
from makeweight.runtime.machine import Machine, fixed_threads, machine, retain_heap
from makeweight.training.loop import Sampler, TrainingContext

EVERY, EACH, WANTED = 50, 100, 0.95

Draw = Callable[[torch.Tensor], Images]  # labels [n] to images


class Reached(Exception):
    """The samples are good."""


class Clock:
    """Counts the seconds of training, and looks at samples while it stands still."""

    def __init__(self, name: str, network: nn.Module, chosen: Machine, classes: tuple[str, ...], limit: float) -> None:
        self.name, self.network, self.machine, self.classes, self.limit = name, network, chosen, classes, limit
        self.seconds, self.since = 0.0, now(torch.device(chosen.device))
        self.good: dict[str, float] = {}

    def look(self, step: int, draws: Mapping[str, Draw]) -> None:
        """Stop the clock, judge what is drawn in several ways, and go on, or end the training by `Reached`."""
        device = torch.device(self.machine.device)
        self.seconds += now(device) - self.since
        labels = labels_for(len(self.classes), EACH)
        for way, draw in draws.items():
            drawn = Split(draw(torch.from_numpy(labels)), labels, self.classes)
            worst = recognised(self.network, drawn, self.machine).min()
            print(f"  {self.name}{way}: {step} steps, {self.seconds:.0f} s, worst class {worst:.0%}", flush=True)
            if worst >= WANTED:
                self.good.setdefault(way, self.seconds)
        if len(self.good) == len(draws) or self.seconds > self.limit:
            raise Reached
        self.since = now(device)


def timed(train: Callable[[Clock], None], clock: Clock) -> dict[str, float]:
    """Seconds until it was good, for each way of drawing; those of the whole training if it never was."""
    with suppress(Reached):
        train(clock)
    return {clock.name + way: seconds for way, seconds in (clock.good or {"": clock.seconds}).items()}


def ours(settings: ConditionalGAN, train: Split, monitor: Split, chosen: Machine, seed: int) -> Callable[[Clock], None]:
    """The family itself."""

    class Watched(TrainingContext):
        clock: Clock

        def show(self, step: int, *samplers: Sampler) -> None:
            (sampler,) = samplers
            assert isinstance(sampler, GANSampler)

            def draw(temperature: float) -> Draw:
                return partial(_drawn, GANSampler(sampler.generator, temperature), torch.Generator().manual_seed(step))

            self.clock.look(step, {f", temperature {each:g}": draw(each) for each in (1.0, settings.temperature)})

    def run(clock: Clock) -> None:
        retain_heap()
        told = Watched(torch.device(chosen.device), chosen.autocast)
        told.clock = clock
        makeweight.training.loop.SHOWINGS = settings.steps // EVERY
        settings.fit(train, monitor=monitor, seeds=[seed], run=told)

    return run


def _drawn(sampler: Sampler, rng: torch.Generator, labels: torch.Tensor) -> Images:
    return as_images(sampler.sample(labels, rng=rng))


def plainly(settings: ConditionalGAN, train: Split, seed: int) -> Callable[[Clock], None]:
    """The same networks in a plain loop."""

    def run(clock: Clock) -> None:
        for step, generator in enumerate(plain.cgan(settings, train, seed), start=1):
            if step % EVERY == 0:
                rng = torch.Generator().manual_seed(step)
                sampler = GANSampler(generator, 1.0)
                clock.look(step, {"": partial(_drawn, sampler, rng)})
                generator.train()

    return run


def mimicry(train: Split) -> Callable[[Clock], None]:
    """Its conditional GAN with projection (32 pixels), by its own training steps."""
    for unused in ("metrics", "datasets"):  # they want TensorFlow and an old torch, and nobody asks them
        sys.modules[f"torch_mimicry.{unused}"] = types.ModuleType(unused)
    from torch_mimicry.nets.cgan_pd.cgan_pd_32 import CGANPDDiscriminator32, CGANPDGenerator32

    def loop() -> Iterator[tuple[int, nn.Module]]:
        classes = len(train.classes)
        generator, discriminator = CGANPDGenerator32(num_classes=classes), CGANPDDiscriminator32(num_classes=classes)
        optimize_g, optimize_d = (
            torch.optim.Adam(network.parameters(), 2e-4, (0.0, 0.9)) for network in (generator, discriminator)
        )
        step = 0
        while True:  # five steps of the discriminator to one of the generator, as its tutorial sets
            for _ in range(5):
                images, labels = next(batches)
                images = interpolate(images, size=32).expand(-1, 3, -1, -1)
                generator_data = {"optD": optimize_d, "netG": generator, "device": torch.device("cpu")}
                discriminator.train_step((images, labels), log_data=Log(), global_step=step, **generator_data)
            step += 1
            generator.train_step(
                (images, labels), netD=discriminator, optG=optimize_g, log_data=Log(), device=torch.device("cpu"),
                global_step=step,
            )  # fmt: skip
            yield step, generator

    batches = plain.batches(train, 64)

    def run(clock: Clock) -> None:
        for step, generator in loop():
            if step % 5 == 0:  # a step takes it half a minute
                generator.eval()

                def draw(labels: torch.Tensor, generator: nn.Module = generator) -> Images:
                    noise = torch.randn(len(labels), int(generator.nz))  # type: ignore[arg-type]
                    with torch.no_grad():
                        drawn = torch.cat(
                            [generator(z, y=y) for z, y in zip(noise.split(100), labels.split(100), strict=True)]
                        )
                    return as_images(interpolate(drawn.mean(1, keepdim=True), size=train.size, mode="area"))

                clock.look(step, {"": draw})
                generator.train()

    return run


class Log:
    """Takes mimicry's figures and forgets them."""

    def add_metric(self, *_: object, **__: object) -> None:
        """Nothing."""


def main(root: Path, minutes: float, seeds: int) -> None:
    """Print the seconds of each contender, and the ratios: the median over seeds, and each."""
    parameters = read_parameters(PROJECT / "params.yaml")
    chosen, settings = machine(parameters.compute), find_family("cgan", parameters.families)
    assert isinstance(settings, ConditionalGAN)
    train, validation, everything = mnist(root, COUNTS)
    with fixed_threads(chosen.threads):
        network = judge(everything, chosen)
        right = recognised(network, validation, chosen)
        print(f"the judge takes {np.average(right):.2%} of real validation images for what they are")
        contenders = {"plain loop": [plainly(settings, train, seed) for seed in range(seeds)]}
        try:
            contenders["mimicry"] = [mimicry(train)]
        except ImportError:
            print("mimicry is not installed")
        # Last: it changes how memory is kept.
        contenders["ours"] = [ours(settings, train, validation, chosen, seed) for seed in range(seeds)]
        seconds: dict[str, list[float]] = {}
        for name, trainings in contenders.items():
            for training in trainings:
                clock = Clock(name, network, chosen, train.classes, 60 * minutes)
                for way, taken in timed(training, clock).items():
                    seconds.setdefault(way, []).append(taken)
    mine = {name: median(values) for name, values in seconds.items() if name.startswith("ours")}
    for name, values in seconds.items():
        each = (f"{value:.0f}" + " (not reached)" * (value >= 60 * minutes) for value in values)
        print(f"{name}: {median(values):.0f} s ({', '.join(each)})")
        for own, taken in mine.items() if name not in mine else ():
            print(f"  {own} takes {taken / median(values):.2f} of it")


if __name__ == "__main__":
    match sys.argv[1:]:
        case [root, *numbers]:
            minutes, seeds = (*numbers, *("30", "1")[len(numbers) :])
            main(Path(root), float(minutes), int(seeds))
        case _:
            raise SystemExit(__doc__)
