"""Third-party plug-ins: installed, they run through the pipeline without a change of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from makeweight.runtime.splits import read_split
from tests.conftest import PROJECT, Invoke, write_params

CODE = '''
from dataclasses import dataclass

import numpy as np
import torch
from makeweight.core.validation import Settings


class Mean(Settings):
    """Generates the mean image of each class, brighter by `brighter`."""

    brighter: float
    total_steps: int = 1
    images_per_step: int = 1

    def fit(self, train, *, monitor, seeds, run):
        means = np.stack([train.images[train.labels == k].mean(0) for k in range(len(train.classes))])
        run.progress(1)
        run.record({"step": 1, "mean": float(means.mean())})
        return [MeanSampler(means + self.brighter) for _ in seeds]

    @staticmethod
    def load(folder):
        return MeanSampler(np.load(folder / "means.npy", allow_pickle=False))


class MeanSampler:
    def __init__(self, means):
        self.means = means

    def sample(self, labels, *, rng):
        return torch.from_numpy(self.means[labels.numpy()]).permute(0, 3, 1, 2).float() / 127.5 - 1

    def save(self, folder):
        np.save(folder / "means.npy", self.means, allow_pickle=False)


@dataclass(frozen=True)
class Half:
    """Every other image."""

    description: str = "trained on every other real image"
    changes: tuple[float, ...] = ()
    allows_mix: bool = True

    def epoch(self, labels, seed, progress):
        return np.arange(0, len(labels), 2)

    def loss(self, logits, targets, frequencies, label_smoothing):
        return torch.nn.functional.cross_entropy(logits, targets)


half = Half()
'''


def install(folder: Path) -> None:
    """Lay out a package as pip does."""
    metadata = folder / "guest-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[makeweight.families]\nmean_image = guest:Mean\n[makeweight.controls]\nhalf = guest:half\n"
    )
    (folder / "guest.py").write_text(CODE)


def test_a_third_party_family_and_control_run_through_the_pipeline(
    workspace: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = workspace / "site"
    site.mkdir()
    install(site)
    monkeypatch.syspath_prepend(str(site))
    change = {
        "generators": ["mean_image"], "families": {"mean_image": {"brighter": 5.0}},
        "controls": ["half"], "transforms": ["plain"], "compute": {"workers": 1},
    }  # fmt: skip
    write_params(workspace / "params.yaml", change)
    for arguments in (
        ("check",),
        ("prepare",),
        ("train-generator", "--family", "mean_image"),
        ("generate", "--family", "mean_image"),
        ("train-baseline", "--source", "half", "--transform", "plain"),
        ("train-augmented", "--family", "mean_image", "--transform", "plain"),
        ("compare",),
    ):
        code, output = invoke(*arguments)
        assert code == 0, output
    assert "(half-plain, the control)" in output
    assert "trained on every other real image" in " ".join(output.split())
    assert "controls half: " in Path(".makeweight/checked").read_text(encoding="utf-8")
    train, synthetic = read_split(Path("data/train")), read_split(Path("data/synthetic/mean_image/replicate_0"))
    expected = train.images[train.labels == 3].mean(0) + 5
    assert abs(synthetic.images[synthetic.labels == 3][0] - expected).max() <= 0.5

    write_params(workspace / "params.yaml", change, {"families": {"mean_image": {"darker": 1}}})
    code, output = invoke("check")
    assert (code, output.split(";")[0]) == (2, "families.mean_image.darker is not a parameter")


NETWORK = {
    "guest/__init__.py": """
import importlib
from functools import partial
from torch import nn

def build(channels, size, classes, *, third):
    first = importlib.import_module("guest.second").WIDTH
    second = importlib.import_module("guest_core").WIDTH
    return nn.Sequential(
        nn.Flatten(), nn.Linear(channels * size * size, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(),
        nn.Linear(second, third), nn.ReLU(), nn.Linear(third, classes)
    )
""",
    "guest/arguments.py": "from functools import partial\nfrom guest import build\nnet = partial(build, third=8)\n",
    "guest/second.py": "WIDTH = 8\n",
    "guest_core.py": "WIDTH = 8\n",
}


@pytest.mark.parametrize("changed", ["guest/second.py", "guest_core.py", "guest/arguments.py"])
def test_a_change_anywhere_in_a_third_party_package_retrains_and_changes_what_check_writes(
    changed: str, workspace: Path
) -> None:
    site = workspace / "site"
    metadata = site / "guest-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[makeweight.classifiers]\nguest_net = guest.arguments:net\n")
    (metadata / "RECORD").write_text("".join(f"{name},,\n" for name in NETWORK))
    for name, text in NETWORK.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(text)
    write_params(workspace / "params.yaml", {"classifier": {"name": "guest_net"}, "compute": {"workers": 1}})

    def stage(name: str, *arguments: str) -> None:
        command = [sys.executable, "-P", str(PROJECT / f"stages/{name}.py"), *arguments]
        environment = os.environ | {"PYTHONPATH": str(site)}
        done = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def trained() -> tuple[int, bytes, str]:
        stage("check")
        stage("train_baseline", "--source", "none", "--transform", "plain")
        finished = len(list(Path(".makeweight/cache").iterdir()))
        return finished, Path("runs/none-plain/predictions.npz").read_bytes(), Path(".makeweight/checked").read_text()

    stage("prepare")
    before = trained()
    assert trained() == before
    (site / changed).write_text((site / changed).read_text().replace("8", "12"))
    after = trained()
    assert after[0] == 2 * before[0]
    assert after[1] != before[1]
    assert after[2] != before[2]
    assert "classifiers guest_net: " in after[2]
