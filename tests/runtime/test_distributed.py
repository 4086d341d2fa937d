"""Training of one replicate in two processes, started by torchrun, with gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from makeweight.core.errors import BadInput
from makeweight.runtime import distributed
from tests.conftest import PROJECT, write_params

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
# No random operations on a shard, whose numbers would differ between processes.
SAME_IN_ALL_PROCESSES = {"augment": [], "matching_aware_weight": 0.0}


def torchrun(path: Path, *command: str) -> None:
    """Run a command in two processes, with their output as the message of a failure."""
    done = subprocess.run([*TORCHRUN, *command], cwd=path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


GRADIENTS = """
import json, os, sys
from pathlib import Path
import torch
from makeweight.runtime import distributed
from makeweight.generators.families.cgan.discriminators import Projection
from makeweight.generators.blocks.losses import LOSSES, LeCam
from makeweight.generators.blocks.networks import Decoder, Shape, conditions

def gradients():
    torch.manual_seed(0)
    shape = Shape(16, 1, 3)
    generator = Decoder(shape, 8, 4)
    discriminator = Projection(shape, 4, normed=True, attention=None)
    lecam, rng = LeCam(1), torch.Generator().manual_seed(1)
    noise, images = torch.randn(12, 8, generator=rng), torch.randn(12, 1, 16, 16, generator=rng)
    labels = conditions(torch.arange(12) % 3, 3)
    noise, images, labels = (distributed.shard(values[None])[0] for values in (noise, images, labels))
    generated = generator(noise, labels)
    on_real, on_generated = discriminator(images, labels), discriminator(generated, labels)
    loss = LOSSES["hinge"].discriminator(on_real, on_generated) + lecam(on_real[None], on_generated[None])[0]
    loss.backward()
    for network in (generator, discriminator):
        distributed.average_gradients(network)
    gradients = {name: value.grad for net in (generator, discriminator) for name, value in net.named_parameters()}
    return gradients, generator.norms[0].norm.running_var, len(noise)

alone, variance_alone, n_alone = gradients()
distributed.init("cpu")
averaged, variance, n = gradients()
rank = os.environ["RANK"]
# Gradients of biases before a batch norm are rounding errors, so errors are relative to the largest gradient.
scale = max(float(value.abs().max()) for value in alone.values())
worst = max(float((averaged[name] - value).abs().max()) / scale for name, value in alone.items())
result = {"worst": worst, "parts": [n_alone, n], "processes": distributed.world_size(), "scale": scale,
          "variance": float((variance - variance_alone).abs().max()),
          "sums": [float(value.double().sum()) for value in averaged.values()]}
Path(sys.argv[1], rank).write_text(json.dumps(result))
"""


def test_gradients_are_those_of_one_process_with_twice_the_batch_and_the_same_on_both(tmp_path: Path) -> None:
    script = tmp_path / "gradients.py"
    script.write_text(GRADIENTS)
    torchrun(tmp_path, str(script), str(tmp_path))
    first, second = (json.loads((tmp_path / rank).read_text()) for rank in ("0", "1"))
    assert first["processes"] == 2
    assert first["parts"] == [12, 6]
    assert first["scale"] > 0.1
    assert first["worst"] < 1e-5
    assert first["variance"] < 1e-6
    assert first["sums"] == second["sums"]


WEIGHTS = """
import os
from pathlib import Path
import torch
from makeweight.runtime import distributed
from makeweight.core.parameters import read_parameters
from makeweight.generators.interface import find_family
from makeweight.runtime.splits import read_split
from makeweight.training.loop import TrainingContext

distributed.init("cpu")
train = read_split(Path("data/train"))
for name in ("cgan", "cvae", "autoencoder"):
    family = find_family(name, read_parameters(Path("params.yaml")).families)
    (sampler,) = family.fit(train, monitor=train, seeds=[0], run=TrainingContext(torch.device("cpu"), None))
    out = Path(os.environ["RANK"], name)
    out.mkdir(parents=True)
    sampler.save(out)
"""


def workspace(path: Path) -> Path:
    """A folder with the default images and a small configuration."""
    path.mkdir()
    changes = {"families": {"cgan": SAME_IN_ALL_PROCESSES}, "compute": {"precision": "float32"}}
    write_params(path / "params.yaml", changes)
    subprocess.run([sys.executable, "-m", "makeweight", "prepare"], cwd=path, check=True, capture_output=True)
    return path


def test_both_processes_end_with_the_same_weights(tmp_path: Path) -> None:
    path = workspace(tmp_path / "project")
    (path / "weights.py").write_text(WEIGHTS)
    torchrun(path, "weights.py")
    names = [file.relative_to(path / "0") for file in sorted((path / "0").rglob("*")) if file.is_file()]
    assert len(names) == 9
    assert all((path / "0" / name).read_bytes() == (path / "1" / name).read_bytes() for name in names)


def test_the_command_trains_a_replicate_in_two_processes_as_in_one(tmp_path: Path) -> None:
    histories = []
    for name, start in (("one", [sys.executable]), ("two", TORCHRUN)):
        path = workspace(tmp_path / name)
        command = [*start, "-m", "makeweight", "train-generator", "--family", "cgan"]
        done = subprocess.run(command, cwd=path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert len(list((path / "models/cgan/samplers").iterdir())) == 2
        histories.append(pd.read_csv(path / "models/cgan/history.csv"))
    losses = [history[history["step"] <= 3]["discriminator_loss"].to_numpy() for history in histories]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_batch_that_cannot_be_divided_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(BadInput, match="a batch of 15 cannot be divided among 2 processes: choose a multiple"):
        distributed.shard(torch.zeros(1, 15))


def test_in_one_process_nothing_happens() -> None:
    distributed.init("cpu")
    distributed.barrier()
    assert (distributed.world_size(), distributed.is_main_process()) == (1, True)
