"""The choices (`core/choices.py`) as a file, `results/choices.json`, and what those of automatic arms depend on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from makeweight.core.choices import NOTHING_CHOSEN, AutomaticChoice, Candidate, Choices, Difference, is_open
from makeweight.core.data import Split
from makeweight.core.errors import BadInput
from makeweight.core.parameters import Parameters
from makeweight.core.study import Arm
from makeweight.runtime import fingerprints
from makeweight.runtime.files import atomic_files, read_json, write_json


def write_choices(choices: Choices, path: Path) -> None:
    """Write the choices, and the scores that led to them."""
    values: dict[str, Any] = {
        "control": str(choices.control) if choices.control else None,
        "steps": {str(arm): steps for arm, steps in choices.steps.items()},
        "scores": {
            str(arm): {str(steps): list(values) for steps, values in by_steps.items()}
            for arm, by_steps in choices.scores.items()
        },
    }
    if choices.automatic:
        values["automatic"] = {str(arm): _automatic(choice) for arm, choice in choices.automatic.items()}
        values["made_from"] = dict(choices.made_from)
    with atomic_files(path.parent) as folder:
        write_json(folder / path.name, values)


def read_choices(parameters: Parameters, path: Path, *, automatic: bool = False) -> Choices:
    """Read what `write_choices` wrote; no file is needed where the parameters leave nothing to be chosen.

    Args:
        parameters: of the study.
        path: the file.
        automatic: whether the choices of automatic arms are needed.

    Raises:
        BadInput: the file is missing or damaged.
    """
    if not is_open(parameters) and not automatic:
        return NOTHING_CHOSEN
    if not path.exists():
        raise BadInput(f"{path} is missing: run choose first")
    try:
        values = read_json(path)
        return Choices(
            Arm.named(values["control"]) if values["control"] else None,
            {Arm.named(name): steps for name, steps in values["steps"].items()},
            {
                Arm.named(name): {int(steps): tuple(of_trainings) for steps, of_trainings in by_steps.items()}
                for name, by_steps in values["scores"].items()
            },
            {Arm.named(name): _read_automatic(choice) for name, choice in values.get("automatic", {}).items()},
            values.get("made_from", {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} is damaged: run choose again") from error


def made_from(parameters: Parameters, train: Split, validation: Split) -> dict[str, str]:
    """The hash of each setting and split that the choices of automatic arms depend on.

    Args:
        parameters: of the study.
        train: the training images.
        validation: the validation images.
    """
    settings = {
        "auto": parameters.auto.model_dump(mode="json"),
        "choice": parameters.choice.model_dump(),
        "classifier": parameters.classifier.model_dump(mode="json"),
        "compare.control": parameters.compare.control,
        "compare.metric": parameters.compare.metric,
        "controls": parameters.controls,
        "families": {name: parameters.families[name] for name in parameters.generators},
        "generate": parameters.generate.model_dump(),
        "generators": parameters.generators,
        "monitor": parameters.monitor.model_dump(),
        "recipes": {name: parameters.recipes[name] for name in parameters.transforms},
        "seed": parameters.seed,
        "transforms": parameters.transforms,
        "unions": parameters.unions,
    }
    return {
        **{name: fingerprints.of_values({name: value}) for name, value in settings.items()},
        "training images": fingerprints.of_split(train),
        "validation images": fingerprints.of_split(validation),
    }


def require_current(choices: Choices, parameters: Parameters, train: Split, validation: Split) -> None:
    """Refuse choices of automatic arms that were made with other settings or images; arguments as for `made_from`.

    Raises:
        BadInput: they were.
    """
    now = made_from(parameters, train, validation)
    if changed := [name for name, value in now.items() if choices.made_from.get(name) != value]:
        raise BadInput(
            f"the choices of automatic arms are outdated (changed since: {', '.join(changed)}): run choose again"
        )


def _automatic(choice: AutomaticChoice) -> dict[str, Any]:
    """A choice as plain values."""
    tried = []
    for candidate, by_steps in choice.scores.items():
        own = choice.differences.get(candidate)
        scores = {str(steps): list(values) for steps, values in by_steps.items()}
        tried.append({**asdict(candidate), "scores": scores, "difference": asdict(own) if own else None})
    return {
        "chosen": {**asdict(choice.chosen), "steps": choice.steps},
        "candidates": tried,
        "left_out": [{**asdict(candidate), "reason": reason} for candidate, reason in choice.left_out.items()],
    }


def _read_automatic(values: dict[str, Any]) -> AutomaticChoice:
    tried = {_candidate(row): row for row in values["candidates"]}
    return AutomaticChoice(
        chosen=_candidate(values["chosen"]),
        steps=values["chosen"]["steps"],
        scores={
            candidate: {int(steps): tuple(of_trainings) for steps, of_trainings in row["scores"].items()}
            for candidate, row in tried.items()
        },
        differences={
            candidate: Difference(**row["difference"]) for candidate, row in tried.items() if row["difference"]
        },
        left_out={_candidate(row): row["reason"] for row in values["left_out"]},
    )


def _candidate(row: dict[str, Any]) -> Candidate:
    return Candidate(row["source"], row["synthetic_fraction"], tuple(row["filters"]))
