"""Settings of a small machine."""

from __future__ import annotations

from makeweight.core.parameters import ComputeSettings

COMPUTE = ComputeSettings(
    device="cpu",
    precision="float32",
    workers=1,
    threads_per_replicate=1,
    replicates_per_program=1,
    checkpoint_seconds=5.0,
)
