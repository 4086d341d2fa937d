"""The study that the parameters define: its arms, its control and its contrasts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from makeweight.core.errors import BadInput
from makeweight.core.parameters import Parameters, families_of
from makeweight.core.plugins import names

AUTO = "auto"  # a control that is to be chosen, and the source of automatic arms


@dataclass(frozen=True, slots=True)
class Contrast:
    """The paired difference of two arms: `arm` minus `reference`, replicate by replicate."""

    arm: Arm
    reference: Arm

    def __str__(self) -> str:
        return f"{self.arm}_vs_{self.reference}"


def is_control(source: str) -> bool:
    """Whether a source of training images is registered as a control; otherwise it is a family or a union."""
    return source in names("controls")


def is_union(source: str) -> bool:
    """Whether a source of training images is a union of families."""
    return len(families_of(source)) > 1


def is_automatic(source: str) -> bool:
    """Whether a source of training images is chosen on validation images, from families and unions."""
    return source == AUTO


def arms(parameters: Parameters) -> list[Arm]:
    """All arms in the order of the parameters: of controls, of families, of unions, automatic ones."""
    return [*control_arms(parameters), *generator_arms(parameters)]


def control_arms(parameters: Parameters) -> list[Arm]:
    """The arms without synthetic images."""
    return _arms_of(parameters, parameters.controls)


def generator_arms(parameters: Parameters) -> list[Arm]:
    """The arms with synthetic images: those of families, those of unions, automatic ones."""
    return [*_arms_of(parameters, (*parameters.generators, *parameters.unions)), *automatic_arms(parameters)]


def automatic_arms(parameters: Parameters) -> list[Arm]:
    """The arms whose synthetic images, or none, are chosen on validation images."""
    return _arms_of(parameters, parameters.automatic)


def _arms_of(parameters: Parameters, sources: tuple[str, ...]) -> list[Arm]:
    return [Arm(source, transform) for source in sources for transform in parameters.transforms]


def arms_with_one_generator(parameters: Parameters) -> list[Arm]:
    """The generator arms that are also trained with one generator for all replicates."""
    return _arms_of(parameters, parameters.one_generator)


def control(parameters: Parameters) -> Arm:
    """The control arm that every generator arm is tested against; `core.choices.resolved` replaces `auto` first.

    Raises:
        BadInput: `compare.control` is not a control arm of this study.
    """
    existing = {str(arm): arm for arm in control_arms(parameters)}
    name = parameters.compare.control
    if name not in existing:
        raise BadInput(
            f"compare.control is {name!r}, which is not a control arm of this study: set it to one of "
            + ", ".join(existing)
            + ", or to auto"
        )
    return existing[name]


def contrasts(parameters: Parameters) -> list[Contrast]:
    """The tested contrasts: each generator arm against the control arm."""
    reference = control(parameters)
    return [Contrast(arm, reference) for arm in generator_arms(parameters)]


def other_contrasts(parameters: Parameters) -> list[Contrast]:
    """All other pairs of arms, the later against the earlier one: estimated, not tested."""
    tested = {frozenset((contrast.arm, contrast.reference)) for contrast in contrasts(parameters)}
    pairs = combinations(arms(parameters), 2)
    return [Contrast(later, earlier) for earlier, later in pairs if frozenset((later, earlier)) not in tested]


def primary(parameters: Parameters) -> Contrast | None:
    """The primary contrast, which is tested at the full significance level; None: all tested contrasts share it.

    `auto` is the first generator with the transform of the control, so that only the source differs.

    Raises:
        BadInput: `compare.primary` is not a tested contrast.
    """
    name, existing = parameters.compare.primary, {str(contrast): contrast for contrast in contrasts(parameters)}
    if name is None:
        return None
    if name == AUTO:
        reference = control(parameters)
        return Contrast(Arm(parameters.generators[0], reference.transform), reference)
    if name not in existing:
        raise BadInput(
            f"compare.primary is {name!r}, which is not a tested contrast: set it to one of {', '.join(existing)}, "
            "to auto or to null"
        )
    return existing[name]


def check_contrasts(parameters: Parameters) -> None:
    """Check the names of the control and of the primary contrast.

    Raises:
        BadInput: one of them is not part of the study, or the primary contrast names a control that is to be chosen.
    """
    if parameters.compare.control != AUTO:
        primary(parameters)
    elif (name := parameters.compare.primary) not in (AUTO, None):
        raise BadInput(
            f"compare.primary is {name!r}, but compare.control is auto: set compare.primary to auto or to null, or "
            "name the control"
        )


def base(parameters: Parameters, control_arm: Arm) -> str:
    """The control whose batches and loss the generator arms use.

    Under `generate.strategy: uniform` that is `generate.base`: the images are then the only difference between a
    generator arm and the arm of its base with the same transform. `auto` is the source of the study's control arm;
    `oversample` in place of `none`, since images of a rare class could hardly be replaced in batches that hold hardly
    any. Under `balance` it is `oversample`.

    Args:
        parameters: of the study.
        control_arm: that the generator arms are tested against.

    Raises:
        BadInput: `generate.base` is not a control.
    """
    if parameters.generate.strategy == "balance":
        return "oversample"
    name = parameters.generate.base
    if name == "auto":
        return "oversample" if control_arm.source == "none" else control_arm.source
    if not is_control(name):
        raise BadInput(f"generate.base is {name!r}: set it to auto or to a control: {', '.join(names('controls'))}")
    return name


@dataclass(frozen=True, slots=True)
class Arm:
    """A source of training images and a transform: one way to train the classifier."""

    source: str
    transform: str

    @classmethod
    def named(cls, name: str) -> Arm:
        """The arm with a name such as `cgan-classical`; the parts themselves hold no hyphen."""
        source, _, transform = name.partition("-")
        return cls(source, transform)

    @property
    def stage(self) -> str:
        """The command that trains it."""
        if is_control(self.source):
            return "train-baseline"
        if is_automatic(self.source):
            return "train-auto"
        return "train-union" if is_union(self.source) else "train-augmented"

    def __str__(self) -> str:
        return f"{self.source}-{self.transform}"
