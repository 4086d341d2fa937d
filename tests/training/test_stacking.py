"""Replicates that are trained in one batched program: the same as one by one, to rounding."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from makeweight.core.data import Split
from makeweight.core.parameters import read_parameters
from makeweight.generators.blocks.layers import spectrally_normed
from makeweight.generators.blocks.networks import Decoder, Shape, conditions
from makeweight.generators.families.cgan.family import ConditionalGAN
from makeweight.generators.fit import Fit
from makeweight.generators.interface import find_family
from makeweight.generators.train import train_generators
from makeweight.runtime.machine import fixed_threads
from makeweight.training.checkpoints import Checkpoints
from makeweight.training.loop import BatchedTrainingFailure, Sampler, TrainingContext
from makeweight.training.monitors import Monitor
from makeweight.training.rng import ReplicateGenerators
from makeweight.training.stacking import StackedNetworks, stack
from tests.conftest import PROJECT, write_params

CPU = torch.device("cpu")
STEPS, SEEDS = 20, (5, 6, 7)
# Biases before a batch norm have gradients of rounding alone, which Adam blows up to its learning rate: a small one.
SMALL = {
    "generator_width": 8, "discriminator_width": 8, "latent": 8, "batch": 16,
    "generator_learning_rate": 0.0005, "discriminator_learning_rate": 0.0005,
}  # fmt: skip
PENALTIES = {"gradient_penalty": 1.0, "r1": 1.0, "r2": 1.0, "lecam": 0.1}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("cgan", SMALL),
    "penalties": ("cgan", {**SMALL, "loss": "relativistic", "penalties": PENALTIES, "attention": 4}),
    "auxiliary": (
        "cgan",
        {**SMALL, "conditioning": "auxiliary", "matching_aware_weight": 0.0, "discriminator_steps": 2},
    ),
    "concat": ("cgan", {**SMALL, "conditioning": "concat", "spectral_norm": ["generator"], "ramp": 0.5}),
    "cvae": ("cvae", {"encoder_width": 8, "decoder_width": 8, "latent": 8, "batch": 16}),
    "autoencoder": ("autoencoder", {"encoder_width": 8, "decoder_width": 8, "latent": 8, "batch": 16}),
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with fixed_threads(1):
        yield


def split() -> Split:
    rng = np.random.default_rng(0)
    labels = np.arange(45) % 3
    images = rng.integers(0, 120, (45, 12, 12, 1)) + 60 * labels[:, None, None, None]
    return Split(images.astype(np.uint8), labels, ("a", "b", "c"))


def family(path: Path, name: str, settings: dict[str, Any]) -> Any:
    write_params(path / "params.yaml", {"families": {name: {"steps": STEPS, **settings}}})
    return find_family(name, read_parameters(path / "params.yaml").families)


def draw(sampler: Sampler) -> torch.Tensor:
    return sampler.sample(torch.arange(30) % 3, rng=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("case", CASES)
def test_together_they_agree_with_one_by_one_over_the_first_20_steps(case: str, tmp_path: Path) -> None:
    model = family(tmp_path, *CASES[case])
    batched = TrainingContext(CPU, None)
    samplers = model.fit(split(), monitor=split(), seeds=SEEDS, run=batched)
    assert len(samplers) == len(SEEDS)
    for seed, sampler, history in zip(SEEDS, samplers, batched.histories, strict=True):
        alone = TrainingContext(CPU, None)
        (expected,) = model.fit(split(), monitor=split(), seeds=[seed], run=alone)
        torch.testing.assert_close(draw(sampler), draw(expected), rtol=0, atol=1e-3)
        for row, alone_row in zip(history, alone.histories[0], strict=True):
            assert row == pytest.approx(alone_row, rel=1e-3, abs=1e-3)
    assert (draw(samplers[0]) - draw(samplers[1])).abs().mean() > 0.01


def test_a_batched_training_that_is_killed_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("makeweight.training.checkpoints.SHARE", 1e9)
    model = family(tmp_path, *CASES["penalties"])

    def fit(run: TrainingContext) -> tuple[list[bytes], object]:
        samplers = model.fit(split(), monitor=split(), seeds=SEEDS, run=run)
        return [draw(sampler).numpy().tobytes() for sampler in samplers], run.histories

    class Killed(Exception):
        pass

    def die(step: int) -> None:
        if step == 13:
            raise Killed

    expected = fit(TrainingContext(CPU, None))
    with pytest.raises(Killed):
        fit(TrainingContext(CPU, None, die, checkpoints=Checkpoints(tmp_path / "checkpoints", 0.0)))
    seen: list[int] = []
    assert (
        fit(TrainingContext(CPU, None, seen.append, checkpoints=Checkpoints(tmp_path / "checkpoints", 0.0))) == expected
    )
    assert seen[0] == 12


def test_one_that_goes_wrong_takes_the_others_out_of_the_program(tmp_path: Path) -> None:
    rules = read_parameters(PROJECT / "params.yaml").monitor
    model = family(tmp_path, "cvae", {**CASES["cvae"][1], "learning_rate": 1e30})
    with pytest.raises(BatchedTrainingFailure, match="NaN or infinite"):
        model.fit(
            split(), monitor=split(), seeds=SEEDS, run=TrainingContext(CPU, None, monitor=Monitor(rules, split()))
        )


def test_each_replicate_draws_what_it_would_draw_alone() -> None:
    both = ReplicateGenerators([3, 4], CPU)
    alone = [ReplicateGenerators([seed], CPU) for seed in (3, 4)]
    assert torch.equal(both.rand(10, 2), torch.cat([rng.rand(5, 2) for rng in alone]))
    assert torch.equal(both.randn(6), torch.cat([rng.randn(3) for rng in alone]))
    assert torch.equal(both.randint(0, 100, 8, 1), torch.cat([rng.randint(0, 100, 4, 1) for rng in alone]))


def test_networks_come_out_as_they_went_in() -> None:
    networks = [Decoder(Shape(12, 1, 3), 8, 4, normed=True, attention=6) for _ in range(3)]
    before = [{name: value.clone() for name, value in network.state_dict().items()} for network in networks]
    for network, weights in zip(stack(networks, CPU).networks(), before, strict=True):
        assert {name: value.tolist() for name, value in network.state_dict().items()} == {
            name: value.tolist() for name, value in weights.items()
        }


def test_a_stack_has_the_modes_the_buffers_and_the_gradients_of_its_networks() -> None:
    networks = [Decoder(Shape(12, 1, 3), 8, 4) for _ in range(2)]
    stacked = stack(networks, CPU)
    assert isinstance(stacked, StackedNetworks)
    codes, labels = torch.randn(2, 6, 8), conditions(torch.arange(6) % 3, 3).expand(2, 6, 3)
    images_in_training = stacked(codes, labels)
    for k, network in enumerate(networks):
        torch.testing.assert_close(images_in_training[k], network(codes[k], labels[k]), rtol=1e-4, atol=1e-5)
        network.zero_grad()
        network(codes[k], labels[k]).square().sum().backward()
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        stacked.zero_grad()
        stacked(codes, labels).square().sum().backward()
        torch.testing.assert_close(stacked.gradient_norms()[k], norm, rtol=1e-4, atol=1e-5)
    stacked.eval()
    copies = stacked.networks()
    for k, network in enumerate(copies):
        torch.testing.assert_close(stacked(codes, labels)[k], network.eval()(codes[k], labels[k]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 8, 3), nn.Conv2d(6, 5, 1), nn.ConvTranspose2d(3, 8, 4, stride=2)], ids=str
)
def test_spectral_norm_is_that_of_torch(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    ours, theirs = deepcopy(layer), deepcopy(layer)
    torch.manual_seed(0)
    spectrally_normed(ours, enabled=True)
    torch.manual_seed(0)
    spectral_norm(theirs)
    images = torch.randn(2, layer.in_channels, 9, 9)
    for _ in range(3):
        assert torch.equal(ours(images), theirs(images))
    ours.eval()
    theirs.eval()
    assert torch.equal(ours(images), theirs(images))


def test_after_a_failure_they_are_trained_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    parameters = read_parameters(PROJECT / "params.yaml")
    unwatched = parameters.monitor.model_copy(update={"min_diversity_ratio": 0.0, "scorer_steps": 4})
    model = family(tmp_path, *CASES["autoencoder"])
    fit = type(model).fit

    def fit_or_fail(
        self: Any, train: Split, *, monitor: Split, seeds: list[int], run: TrainingContext
    ) -> list[Sampler]:
        if len(seeds) > 1:
            raise BatchedTrainingFailure("replicate 1: it went wrong")
        return list(fit(self, train, monitor=monitor, seeds=seeds, run=run))

    def models(size: int, out: str) -> dict[str, bytes]:
        compute = parameters.compute.model_copy(update={"device": "cpu", "workers": 1, "replicates_per_program": size})
        work = Fit("autoencoder", model, split(), split(), unwatched, 0, compute.checkpoint_seconds)
        train_generators(work, tmp_path / out, replicates=2, compute=compute, card=lambda machine, warnings: "")
        files = (file for file in sorted((tmp_path / out).rglob("*")) if file.suffix in {".safetensors", ".csv"})
        return {str(file.relative_to(tmp_path / out)): file.read_bytes() for file in files}

    expected = models(1, "alone")
    monkeypatch.setattr(type(model), "fit", fit_or_fail)
    assert models(2, "after a failure") == expected
    assert "replicate 1: it went wrong. These replicates are now trained one by one" in capsys.readouterr().err


def test_a_stage_trains_several_in_one_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parameters = read_parameters(PROJECT / "params.yaml")
    compute = parameters.compute.model_copy(update={"device": "cpu", "replicates_per_program": 3})
    model = family(tmp_path, *CASES["default"])
    monitor = parameters.monitor.model_copy(update={"scorer_steps": 4})
    work = Fit("cgan", model, split(), split(), monitor, 0, compute.checkpoint_seconds)
    train_generators(work, tmp_path / "out", replicates=3, compute=compute, card=lambda machine, warnings: "")
    history = pd.read_csv(tmp_path / "out" / "history.csv")
    assert history.groupby("replicate")["step"].max().to_dict() == {0: STEPS, 1: STEPS, 2: STEPS}
    assert history.groupby("replicate")["generator_loss"].first().nunique() == 3
    samplers = [ConditionalGAN.load(tmp_path / "out/samplers" / f"replicate_{k}") for k in range(3)]
    assert len({draw(sampler).numpy().tobytes() for sampler in samplers}) == 3
