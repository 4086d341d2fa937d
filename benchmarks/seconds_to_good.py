"""Training time until 95% of each class's samples are recognised: `cgan`, a plain loop, mimicry's conditional GAN.

python -m benchmarks.seconds_to_good MNIST_ROOT [MINUTES] [SEEDS]

MNIST with 4000 to 40 training images per digit; the reference classifier is trained on all images except the
validation images. About every 50 steps 100 images of each class are drawn; the clock is stopped meanwhile, and counts
the CPU time of the only thread, so that other processes have little effect. `cgan` draws from noise as in training, as
the others do, and from noise of the `temperature` in `params.yaml`, whose images are recognised later. Each method gets
at most MINUTES (30). The time varies by a fifth between seeds: SEEDS (1) trainings of each method are run, but one of
mimicry.
mimicry (`pip install --no-deps torch-mimicry`, and its tensorboard and scikit-image) is skipped if it is not installed;
its networks, losses and optimizers are its own, at the 32 pixels and 3 channels that they are made for.
"""

from __future__ import annotations

import os

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

STEPS_PER_CHECK, IMAGES_PER_CLASS, TARGET = 50, 100, 0.95

Draw = Callable[[torch.Tensor], Images]  # labels [n] to images


class TargetReached(Exception):
    """The samples are recognised, or the time is up."""


class Clock:
    """Measures the time of training, and is stopped while samples are evaluated."""

    def __init__(self, name: str, network: nn.Module, chosen: Machine, classes: tuple[str, ...], limit: float) -> None:
        self.name, self.network, self.machine, self.classes, self.limit = name, network, chosen, classes, limit
        self.seconds, self.since = 0.0, now(torch.device(chosen.device))
        self.reached: dict[str, float] = {}

    def evaluate(self, step: int, draws: Mapping[str, Draw]) -> None:
        """Stop the clock, classify samples drawn in several ways, and continue or raise `TargetReached`."""
        device = torch.device(self.machine.device)
        self.seconds += now(device) - self.since
        labels = labels_for(len(self.classes), IMAGES_PER_CLASS)
        for way, draw in draws.items():
            drawn = Split(draw(torch.from_numpy(labels)), labels, self.classes)
            worst = recognised(self.network, drawn, self.machine).min()
            print(f"  {self.name}{way}: {step} steps, {self.seconds:.0f} s, worst class {worst:.0%}", flush=True)
            if worst >= TARGET:
                self.reached.setdefault(way, self.seconds)
        if len(self.reached) == len(draws) or self.seconds > self.limit:
            raise TargetReached
        self.since = now(device)


def timed(train: Callable[[Clock], None], clock: Clock) -> dict[str, float]:
    """Seconds until the target was reached, for each way of drawing; those of the whole training if it never was."""
    with suppress(TargetReached):
        train(clock)
    return {clock.name + way: seconds for way, seconds in (clock.reached or {"": clock.seconds}).items()}


def ours(settings: ConditionalGAN, train: Split, monitor: Split, chosen: Machine, seed: int) -> Callable[[Clock], None]:
    """The family `cgan`."""

    class EvaluatedContext(TrainingContext):
        clock: Clock

        def show(self, step: int, *samplers: Sampler) -> None:
            (sampler,) = samplers
            assert isinstance(sampler, GANSampler)

            def draw(temperature: float) -> Draw:
                return partial(_drawn, GANSampler(sampler.generator, temperature), torch.Generator().manual_seed(step))

            self.clock.evaluate(
                step, {f", temperature {value:g}": draw(value) for value in (1.0, settings.temperature)}
            )

    def run(clock: Clock) -> None:
        retain_heap()
        context = EvaluatedContext(
            torch.device(chosen.device), chosen.autocast, shown_frames=settings.total_steps // STEPS_PER_CHECK
        )
        context.clock = clock
        settings.fit(train, monitor=monitor, seeds=[seed], run=context)

    return run


def _drawn(sampler: Sampler, rng: torch.Generator, labels: torch.Tensor) -> Images:
    return as_images(sampler.sample(labels, rng=rng))


def plain_loop(settings: ConditionalGAN, train: Split, seed: int) -> Callable[[Clock], None]:
    """The same networks in a plain loop."""

    def run(clock: Clock) -> None:
        for step, generator in enumerate(plain.cgan(settings, train, seed), start=1):
            if step % STEPS_PER_CHECK == 0:
                rng = torch.Generator().manual_seed(step)
                sampler = GANSampler(generator, 1.0)
                clock.evaluate(step, {"": partial(_drawn, sampler, rng)})
                generator.train()

    return run


def mimicry(train: Split) -> Callable[[Clock], None]:
    """The conditional GAN of mimicry with projection (32 pixels), with its own training steps."""
    for unused in ("metrics", "datasets"):  # need TensorFlow and an old torch, and are not used
        sys.modules[f"torch_mimicry.{unused}"] = types.ModuleType(unused)
    from torch_mimicry.nets.cgan_pd.cgan_pd_32 import CGANPDDiscriminator32, CGANPDGenerator32

    def loop() -> Iterator[tuple[int, nn.Module]]:
        classes = len(train.classes)
        generator, discriminator = CGANPDGenerator32(num_classes=classes), CGANPDDiscriminator32(num_classes=classes)
        g_optimizer, d_optimizer = (
            torch.optim.Adam(network.parameters(), 2e-4, (0.0, 0.9)) for network in (generator, discriminator)
        )
        step = 0
        while True:  # five discriminator steps for each generator step, as in its tutorial
            for _ in range(5):
                images, labels = next(batches)
                images = interpolate(images, size=32).expand(-1, 3, -1, -1)
                generator_data = {"optD": d_optimizer, "netG": generator, "device": torch.device("cpu")}
                discriminator.train_step((images, labels), log_data=Log(), global_step=step, **generator_data)
            step += 1
            generator.train_step(
                (images, labels), netD=discriminator, optG=g_optimizer, log_data=Log(), device=torch.device("cpu"),
                global_step=step,
            )  # fmt: skip
            yield step, generator

    batches = plain.batches(train, 64)

    def run(clock: Clock) -> None:
        for step, generator in loop():
            if step % 5 == 0:  # a step takes half a minute
                generator.eval()

                def draw(labels: torch.Tensor, generator: nn.Module = generator) -> Images:
                    noise = torch.randn(len(labels), int(generator.nz))  # type: ignore[arg-type]
                    with torch.no_grad():
                        drawn = torch.cat(
                            [generator(z, y=y) for z, y in zip(noise.split(100), labels.split(100), strict=True)]
                        )
                    return as_images(interpolate(drawn.mean(1, keepdim=True), size=train.size, mode="area"))

                clock.evaluate(step, {"": draw})
                generator.train()

    return run


class Log:
    """Discards mimicry's metrics."""

    def add_metric(self, *_: object, **__: object) -> None:
        """Nothing."""


def main(root: Path, minutes: float, seeds: int) -> None:
    """Print the seconds of each method (median over seeds, and single values), and the ratios of `cgan` to them."""
    parameters = read_parameters(PROJECT / "params.yaml")
    train, validation, everything = mnist(root, COUNTS)
    chosen, settings = machine(parameters.compute), find_family("cgan", parameters.families, train)
    assert isinstance(settings, ConditionalGAN)
    with fixed_threads(chosen.threads):
        network = judge(everything, chosen)
        right = recognised(network, validation, chosen)
        print(f"the reference classifier recognises {np.average(right):.2%} of real validation images")
        methods = {"plain loop": [plain_loop(settings, train, seed) for seed in range(seeds)]}
        try:
            methods["mimicry"] = [mimicry(train)]
        except ImportError:
            print("mimicry is not installed")
        # Last, since it changes how the heap is retained.
        methods["ours"] = [ours(settings, train, validation, chosen, seed) for seed in range(seeds)]
        seconds: dict[str, list[float]] = {}
        for name, trainings in methods.items():
            for training in trainings:
                clock = Clock(name, network, chosen, train.classes, 60 * minutes)
                for way, elapsed in timed(training, clock).items():
                    seconds.setdefault(way, []).append(elapsed)
    of_cgan = {name: median(values) for name, values in seconds.items() if name.startswith("ours")}
    for name, values in seconds.items():
        texts = (f"{value:.0f}" + " (not reached)" * (value >= 60 * minutes) for value in values)
        print(f"{name}: {median(values):.0f} s ({', '.join(texts)})")
        for own_name, own_seconds in of_cgan.items() if name not in of_cgan else ():
            print(f"  {own_name} takes {own_seconds / median(values):.2f} of it")


if __name__ == "__main__":
    match sys.argv[1:]:
        case [root, *numbers]:
            minutes, seeds = (*numbers, *("30", "1")[len(numbers) :])
            main(Path(root), float(minutes), int(seeds))
        case _:
            raise SystemExit(__doc__)
