"""What `train-generator` leaves beside the samplers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from makeweight.generators.fit import Fit
from makeweight.generators.train import train_generators
from makeweight.runtime.files import read_json
from makeweight.runtime.machine import Machine
from tests.support.families import family, split
from tests.support.machine import COMPUTE
from tests.support.monitoring import monitor_settings


def train(alarm: float, out: Path) -> list[str]:
    """Train two generators; return the warnings that the card gets."""
    given: list[str] = []
    fit = Fit(
        "gaussian",
        family("gaussian"),
        split(8, 1),
        split(8, 1, seed=1),
        monitor_settings(alarm_diversity_ratio=alarm),
        0,
        5.0,
    )

    def card(machine: Machine, warnings: Sequence[str]) -> str:
        given.extend(warnings)
        return ""

    train_generators(fit, out, replicates=2, compute=COMPUTE, card=card)
    return given


def test_the_figures_of_each_replicate_are_written_and_another_alarm_warns_without_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    train(0.0, tmp_path / "out")
    quality = read_json(tmp_path / "out/sample_quality.json")
    assert quality["family"] == "gaussian"
    assert quality["classes"] == ["a", "b", "c"]
    assert [set(row) for row in quality["replicates"]] == [{"diversity", "recognised", "recognised_validation"}] * 2
    assert np.shape([list(row.values()) for row in quality["replicates"]]) == (2, 3, 3)
    monkeypatch.setattr(Fit, "__call__", lambda self, replicates: pytest.fail("trained again"))
    capsys.readouterr()
    warnings = [line for line in train(0.999, tmp_path / "out") if "vary much less" in line]
    assert len(warnings) == 1
    assert f"train-generator {warnings[0]}" in capsys.readouterr().err
