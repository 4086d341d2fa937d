"""Check of the parameters before any work starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from makeweight.classification.interface import find_control, find_transform
from makeweight.classification.mixup import require_mix_allowed
from makeweight.classification.trial import try_on_noise
from makeweight.core.errors import BadInput
from makeweight.core.parameters import Parameters
from makeweight.core.plugins import find, names
from makeweight.core.study import Arm, base, check_contrasts, is_control
from makeweight.core.text import nearest, printable
from makeweight.generators.interface import find_family
from makeweight.intake.interface import find_reader
from makeweight.quality.features import backbone_features, weights_path
from makeweight.runtime.machine import machine
from makeweight.runtime.plugin_code import Plugin


def check(parameters: Parameters) -> None:
    """Check what `read_parameters` does not: names of plug-ins, their settings, and the machine.

    Raises:
        BadInput: one line for each error.
    """
    if errors := list(_errors(parameters)):
        raise BadInput(*errors)


def _require_data(parameters: Parameters) -> None:
    data = parameters.data.with_home_expanded()
    if "path" in find_reader(data).uses and not data.download and not Path(data.path or "").exists():
        path = Path(data.path or "")
        beside = [printable(other.name) for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise BadInput(
            f"data.path: {printable(path)} does not exist (current folder: {printable(Path.cwd())})"
            f"{nearest(path.name, beside)}"
        )


def _try_transform(name: str, parameters: Parameters) -> None:
    try_on_noise(find_transform(name, parameters.recipes), parameters.data)


def third_party(parameters: Parameters) -> dict[str, str]:
    """The hash of each third-party plug-in that the parameters name, by group and name."""
    selected = {
        "readers": [parameters.data.reader],
        "controls": _controls(parameters),
        "families": parameters.generators,
        "transforms": [name for name in parameters.transforms if name in names("transforms")],  # others: recipes
        "classifiers": [parameters.classifier.name],
    }
    hashes = {
        f"{group} {name}": Plugin(group, name, find(group, name)).third_party()
        for group, selected_names in selected.items()
        for name in selected_names
        if name in names(group)  # a transform may be a recipe by itself
    }
    return {key: value for key, value in hashes.items() if value is not None}


def _controls(parameters: Parameters) -> list[str]:
    """The controls that the parameters name: those of the study, and the base of its generator arms."""
    named = [] if parameters.generate.base == "auto" else [parameters.generate.base]
    return list(dict.fromkeys([*parameters.controls, *named]))


def _require_base(parameters: Parameters) -> None:
    if parameters.generate.base != "auto":
        find_control(base(parameters, Arm.named(parameters.compare.control)))


def _require_mix_allowed(name: str, parameters: Parameters) -> None:
    if is_control(name):  # else another check reports it
        require_mix_allowed(name, parameters.classifier)


def _require_weights(parameters: Parameters) -> None:
    if parameters.assess.families and parameters.assess.weights is not None:
        backbone_features(weights_path(parameters.assess.weights))


def link_weights(parameters: Parameters, link: Path) -> None:
    """Make `link` a link to the file that `assess.weights` names; a file that says so where it names none.

    DVC hashes what a link leads to, and cannot depend on a path that may be null.
    """
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    if parameters.assess.families and parameters.assess.weights is not None:
        link.symlink_to(weights_path(parameters.assess.weights).absolute())
    else:
        link.write_text("No weights are used.\n", encoding="utf-8")


def _errors(parameters: Parameters) -> Iterator[str]:
    checks: list[Callable[[], object]] = [
        lambda: _require_data(parameters),
        lambda: find("classifiers", parameters.classifier.name),
        lambda: machine(parameters.compute),
        *(partial(find_control, name) for name in parameters.controls),
        lambda: _require_base(parameters),
        *(partial(_require_mix_allowed, name, parameters) for name in _controls(parameters)),
        lambda: check_contrasts(parameters),
        *(partial(find_family, name, parameters.families) for name in parameters.generators),
        *(partial(_try_transform, name, parameters) for name in parameters.transforms),
        lambda: _require_weights(parameters),
    ]
    for run_check in checks:
        try:
            run_check()
        except BadInput as error:
            yield from error.errors
