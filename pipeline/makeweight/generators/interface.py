"""What a family is; families by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from makeweight.core.data import Split
from makeweight.core.plugins import configured
from makeweight.training.loop import Sampler, TrainingContext


class Family(Protocol):
    """A kind of generative model: a frozen settings model with one verb.

    One whose class says `fits_together = True` is given several seeds at once, to be trained in one program; others
    get one seed at a time.
    """

    @property
    def total_steps(self) -> int:
        """How many steps one fit takes, for the progress bar."""
        ...

    @property
    def images_per_step(self) -> int:
        """How many real images a step looks at, to tell images a second."""
        ...

    def fit(self, train: Split, *, monitor: Split, seeds: Sequence[int], run: TrainingContext) -> Sequence[Sampler]:
        """Fit one sampler for each seed to `train`; `monitor` is only logged.

        Figures of it are recorded under names that end with `_validation`: nothing that steers a training reads these.
        """
        ...

    @staticmethod
    def load(folder: Path) -> Sampler:
        """Read back what `Sampler.save` wrote."""
        ...

    def model_dump(self) -> dict[str, Any]:
        """The settings as plain values, as every pydantic model does."""
        ...


def find_family(name: str, families: Mapping[str, Any]) -> Family:
    """The registered family `name` with its settings. BadInput if there is none, or they are not allowed."""
    family: Family = configured("families", name, "families", families)
    return family
