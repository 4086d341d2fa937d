"""Drawing of the synthetic images that an automatic arm is trained on."""

from __future__ import annotations

from pathlib import Path

from makeweight.core.choices import Candidate
from makeweight.core.data import Split
from makeweight.core.errors import BadInput
from makeweight.core.parameters import Parameters, families_of
from makeweight.core.plugins import find
from makeweight.generators.generate import Generation, drawing_job, filter_counts, warn_of_shortages
from makeweight.runtime.artifacts import SAMPLERS, replicate_name
from makeweight.runtime.replicates import run_replicates


def draw_chosen(parameters: Parameters, candidate: Candidate, train: Split, models: Path) -> dict[str, list[Path]]:
    """Draw images with the filters of a candidate, or find them in the cache if they have been drawn alike.

    Args:
        parameters: of the study.
        candidate: that was chosen for an automatic arm.
        train: the training images.
        models: generators, with a folder for each family.

    Returns:
        for each family of the candidate, the folder of each replicate's images, in the cache; empty if the candidate
        has no synthetic images.

    Raises:
        BadInput: generators are missing, or filters leave a class without images.
    """
    families = families_of(candidate.source) if candidate.has_synthetic_images else ()
    return {name: _draw(parameters, candidate, name, train, models / name / SAMPLERS) for name in families}


def _draw(parameters: Parameters, candidate: Candidate, family: str, train: Split, samplers: Path) -> list[Path]:
    of_replicates = [samplers / replicate_name(k) for k in range(parameters.replicates)]
    if missing := next((folder for folder in of_replicates if not folder.is_dir()), None):
        raise BadInput(f"{missing} is missing: run train-generator --family {family}")
    generation = Generation(
        family,
        find("families", family).load,
        of_replicates,
        train,
        candidate.settings(parameters.generate),
        parameters.seed,
        parameters.monitor.scorer_steps,
    )
    name = " ".join(["automatic images", family, *candidate.filters])
    folders = run_replicates(drawing_job(generation, name), len(of_replicates), parameters.compute)
    warn_of_shortages(generation, filter_counts(folders))
    return folders
