"""`params.yaml` as frozen models that refuse unknown keys and wrong types.

No field has a default: the file is the only source of values, and documents them.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from makeweight.core import plugins
from makeweight.core.data import LARGEST_SIDE, SMALLEST_SIDE
from makeweight.core.errors import BadInput
from makeweight.core.metrics import Metric
from makeweight.core.text import listed
from makeweight.core.validation import Settings, validate

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Level = Annotated[int, Field(ge=0, le=255)]
Side = Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE)]
Budgets = Annotated[tuple[Count, ...], Field(min_length=1)]
FilterName = Literal["agreement", "density", "novelty"]
FILTER_NAMES: tuple[FilterName, ...] = get_args(FilterName)
Automatic = Literal["auto"]  # the source of synthetic images that is chosen on validation images


class DataSettings(Settings):
    """Where the images come from, how they are read, and how they are split."""

    reader: str
    path: str | None
    download: bool | None
    image_size: Side | None
    fit: Literal["pad", "crop", "stretch"]
    channels: Literal[1, 3] | None
    background: Annotated[tuple[Level, ...], Field(min_length=3, max_length=3)]
    bands: Annotated[tuple[Count, ...], Field(min_length=1, max_length=4)] | None
    value_range: Annotated[tuple[float, ...], Field(min_length=2, max_length=2)] | Literal["data"] | None
    first_frame: bool
    follow_links: bool
    on_bad_file: Literal["refuse", "quarantine"]
    near_duplicates: Annotated[float, Field(gt=0, lt=1)] | None
    max_group_fraction: Fraction
    on_leak: Literal["keep", "drop"]
    test_fraction: Fraction
    validation_fraction: Fraction
    counts: tuple[Count, ...] | dict[str, Count] | None
    imbalance: Annotated[float, Field(ge=1)] | None

    def with_home_expanded(self) -> Self:
        """The same with `~` at the beginning of `path` as the home directory; reports show `path` as it was written."""
        if self.path is None:
            return self
        path = os.path.expanduser(self.path)  # noqa: PTH111 - Path.expanduser raises an error where no such user exists
        return self.model_copy(update={"path": path})

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.counts is not None and self.imbalance is not None:
            raise ValueError("counts and imbalance cannot both be given: set one of them to null")
        if self.test_fraction + self.validation_fraction >= 1:
            raise ValueError("test_fraction and validation_fraction leave nothing to train on")
        if self.bands is not None and len(self.bands) == 2:
            raise ValueError(
                "bands must name one band (grey), three (red, green, blue) or four (the last one: opacity)"
            )
        if isinstance(self.value_range, tuple) and self.value_range[0] >= self.value_range[1]:
            raise ValueError("value_range must increase: first the value of black, then that of white")
        return self


class FilterSettings(Settings):
    """The limits of the filters of drawn images."""

    max_drawn: Annotated[float, Field(ge=1)]
    neighbours: Count
    min_novelty: NotNegative


class GenerateSettings(Settings):
    """How many synthetic images are drawn, which of them are kept, and how they are mixed with real images."""

    strategy: Literal["uniform", "balance"]
    per_class: Count
    synthetic_fraction: Fraction
    base: str
    balance_to: Count | None
    max_synthetic_ratio: Positive
    filters: tuple[FilterName, ...]
    filtering: FilterSettings

    @model_validator(mode="after")
    def _each_filter_once(self) -> Self:
        if len(set(self.filters)) < len(self.filters):
            raise ValueError(f"filters has duplicates: {', '.join(self.filters)}")
        return self


class AssessSettings(Settings):
    """The assessment of synthetic images, and the bounds of its alerts."""

    families: tuple[str, ...]
    weights: str | None
    neighbours: Count
    max_images: Annotated[int, Field(ge=2)]
    per_class: Count
    near_copy: Fraction
    alarm_copies: Annotated[float, Field(ge=0, le=1)]
    alarm_ratio: Annotated[float, Field(ge=0, lt=1)]
    alarm_membership: Annotated[float, Field(ge=0.5, le=1)]
    alarm_separable: Annotated[float, Field(ge=0.5, le=1)]


class ClassifierSettings(Settings):
    """The classifier of every arm and its training."""

    name: str
    steps: Count | Budgets
    batch: Annotated[int, Field(ge=2)]
    learning_rate: Positive
    weight_decay: NotNegative
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    mix: Literal["none", "mixup", "cutmix"]
    mix_alpha: Positive

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if any(later <= earlier for earlier, later in pairwise(self.budgets)):
            raise ValueError(f"steps is {list(self.budgets)}, but a list of budgets must increase strictly")
        return self

    @property
    def budgets(self) -> tuple[int, ...]:
        """The numbers of optimizer steps on offer to every arm, the smallest first."""
        return (self.steps,) if isinstance(self.steps, int) else self.steps

    def with_budget(self, steps: int) -> Self:
        """The same with one budget."""
        return self.model_copy(update={"steps": steps})


class ChoiceSettings(Settings):
    """The trainings by which budgets and the control are chosen on validation images."""

    replicates: Count


class AutoSettings(Settings):
    """What automatic arms choose from, besides families and unions; no synthetic images are always a candidate."""

    synthetic_fractions: Annotated[tuple[Fraction, ...], Field(min_length=1)]
    filters: Annotated[tuple[tuple[FilterName, ...], ...], Field(min_length=1)]
    candidates: Count

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for key in ("synthetic_fractions", "filters"):
            values: tuple[object, ...] = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key} has duplicates")
        return self


class CompareSettings(Settings):
    """The comparison, which is fixed before anything runs."""

    metric: Metric
    control: str
    primary: str | None
    margin: Fraction


class MonitorSettings(Settings):
    """Detection of training failures, and the reaction to them."""

    on_divergence: Literal["rollback", "stop"]
    min_discriminator_error: Annotated[float, Field(ge=0, lt=0.5)]
    min_diversity_ratio: Annotated[float, Field(ge=0, lt=1)]
    alarm_diversity_ratio: Annotated[float, Field(ge=0, lt=1)]
    alarm_recognised_ratio: Annotated[float, Field(ge=0, lt=1)]
    scorer_steps: Count


class ComputeSettings(Settings):
    """Where and how to compute. `workers` and `checkpoint_seconds` do not change any result."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bfloat16"]
    workers: Count | Literal["auto"]
    threads_per_replicate: Count
    replicates_per_program: Count | Literal["auto"]
    checkpoint_seconds: Positive


Names = Annotated[tuple[str, ...], Field(min_length=1)]


VERSION_KEY = "makeweight"
CHECKOUT = None  # the value of this key where the code is in the same repository as the parameters


class Parameters(Settings):
    """All of `params.yaml`.

    `families` and `recipes` are plain values here: families and transforms, which may be third-party, validate them.
    `makeweight` is the version of the package that the file is for, or `CHECKOUT`.
    """

    seed: Annotated[int, Field(ge=0)]
    replicates: Annotated[int, Field(ge=2)]
    controls: Names
    generators: Names
    unions: tuple[str, ...]
    automatic: tuple[Automatic, ...]
    transforms: Names
    one_generator: tuple[str, ...]
    data: DataSettings
    families: dict[str, Any]
    monitor: MonitorSettings
    generate: GenerateSettings
    assess: AssessSettings
    recipes: dict[str, Any]
    classifier: ClassifierSettings
    choice: ChoiceSettings
    auto: AutoSettings
    compare: CompareSettings
    compute: ComputeSettings
    makeweight: str | None

    @model_validator(mode="after")
    def _consistent_lists(self) -> Self:
        for key in ("controls", "generators", "unions", "automatic", "transforms", "one_generator"):
            names = getattr(self, key)
            if len(set(names)) < len(names):
                raise ValueError(f"{key} has duplicates: {', '.join(names)}")
        if len(set(self.assess.families)) < len(self.assess.families):
            raise ValueError(f"assess.families has duplicates: {', '.join(self.assess.families)}")
        if clash := set(plugins.names("controls")) & set(self.generators):
            raise ValueError(f"generators cannot hold {clash.pop()!r}: that is the name of a control")
        for key, names in (("one_generator", self.one_generator), ("assess.families", self.assess.families)):
            if others := [name for name in names if name not in self.generators]:
                raise ValueError(
                    f"{key} names {others[0]!r}, which is not in generators: add it there or remove it here"
                )
        return self

    @model_validator(mode="after")
    def _automatic_arms_have_a_choice(self) -> Self:
        if clash := set(get_args(Automatic)) & {*self.controls, *self.generators}:
            raise ValueError(f"controls and generators cannot hold {clash.pop()!r}: that is the name of automatic arms")
        if self.automatic and self.generate.strategy != "uniform":
            raise ValueError(
                "automatic needs generate.strategy: uniform, since a synthetic fraction is part of what is chosen"
            )
        if self.automatic and self.choice.replicates < 2:
            raise ValueError("automatic needs choice.replicates of at least 2, to estimate a standard error")
        return self

    @model_validator(mode="after")
    def _unions_of_generators(self) -> Self:
        found: dict[frozenset[str], str] = {}
        for union in self.unions:
            families = families_of(union)
            if len(families) < 2 or len(set(families)) < len(families):
                raise ValueError(f"unions: {union!r} must name at least two different families, joined by +")
            if unknown := [name for name in families if name not in self.generators]:
                raise ValueError(
                    f"unions: {union!r} names {unknown[0]!r}, which is not among the generators, "
                    f"{listed(self.generators)}"
                )
            if (equal := found.setdefault(frozenset(families), union)) != union:
                raise ValueError(f"unions: {equal!r} and {union!r} combine the same families")
        return self


def filters_used(parameters: Parameters) -> tuple[FilterName, ...]:
    """All filters that a study draws images with, those that automatic arms choose from included."""
    used = {*parameters.generate.filters}
    if parameters.automatic:
        used.update(*parameters.auto.filters)
    return tuple(name for name in FILTER_NAMES if name in used)


def families_of(source: str) -> tuple[str, ...]:
    """The families of a source of synthetic images: one, or those of a union."""
    return tuple(source.split("+"))


def read_parameters(path: Path) -> Parameters:
    """Read `path` as YAML 1.2 (in which 1e-3 is a number) and validate it.

    Raises:
        BadInput: the file is missing, is not YAML, is for another version of Makeweight, or has values that are not
            allowed; one line for each error.
    """
    values = load_values(path)
    written_for, installed = values.get(VERSION_KEY), version("makeweight")
    if isinstance(written_for, str) and written_for != installed:
        raise BadInput(
            f"{path} is for makeweight {written_for}, and {installed} is installed: install that version, or run "
            "`makeweight init --upgrade` in its folder"
        )
    return validate(Parameters, values)


def load_values(path: Path) -> dict[str, Any]:
    """The values of the YAML file `path`, not validated.

    Raises:
        BadInput: the file is missing, is not YAML, or holds no mapping.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}): run in a project's folder, or name the file with --params"
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text: save it in that encoding") from error
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BadInput(f"{path}{line} is not valid YAML: {(error.problem or str(error)).splitlines()[0]}") from error
    except YAMLError as error:
        raise BadInput(f"{path} is not valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(values, dict):
        raise BadInput(f"{path} holds no parameters: it must be a mapping of keys to values")
    return values
