"""The design of the study, fixed by the parameters alone: its arms, its contrasts, and the one that is primary."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core import Arm, BadInput
from pipeline.params import Parameters


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two arms compared, replicate by replicate."""

    arm: Arm
    control: Arm

    def __str__(self) -> str:
        return f"{self.arm}_vs_{self.control}"


def arms(parameters: Parameters) -> list[Arm]:
    """All arms, controls first, in the order of the parameters."""
    sources = [*parameters.controls, *parameters.generators]
    return [Arm(source, transform) for source in sources for transform in parameters.transforms]


def contrasts(parameters: Parameters) -> list[Contrast]:
    """What is compared.

    Each generator arm with transform T against `none-T`, `oversample-T` and `oversample-classical`, as far as
    these arms exist; once, where they coincide.
    """
    existing = set(arms(parameters))
    found: dict[Contrast, None] = {}
    for generator in parameters.generators:
        for transform in parameters.transforms:
            for control in (Arm("none", transform), Arm("oversample", transform), Arm("oversample", "classical")):
                if control in existing:
                    found[Contrast(Arm(generator, transform), control)] = None
    return list(found)


def primary(parameters: Parameters) -> Contrast | None:
    """The contrast that stands by itself; None: none does.

    `auto` is the last one of the first generator: under the last transform, against the strongest control.

    Raises:
        BadInput: `compare.primary` is not among the contrasts.
    """
    wanted, existing = parameters.compare.primary, {str(each): each for each in contrasts(parameters)}
    if wanted == "auto":
        return [each for each in existing.values() if each.arm.source == parameters.generators[0]][-1]
    if wanted is not None and wanted not in existing:
        raise BadInput(
            f"compare.primary is {wanted!r}, which is no contrast here: name one of {', '.join(existing)}, or null"
        )
    return existing[wanted] if wanted is not None else None
