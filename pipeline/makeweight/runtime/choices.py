"""Reading and writing of the choices (`core/choices.py`) as a file: `results/choices.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from makeweight.core.choices import NOTHING_CHOSEN, Choices, is_open
from makeweight.core.errors import BadInput
from makeweight.core.parameters import Parameters
from makeweight.core.study import Arm
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
    with atomic_files(path.parent) as folder:
        write_json(folder / path.name, values)


def read_choices(parameters: Parameters, path: Path) -> Choices:
    """Read what `write_choices` wrote; no file is needed where the parameters leave nothing to be chosen.

    Raises:
        BadInput: the file is missing or damaged.
    """
    if not is_open(parameters):
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
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} is damaged: run choose again") from error
