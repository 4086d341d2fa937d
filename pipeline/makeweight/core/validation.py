"""Checking of plain values against frozen settings models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from makeweight.core import renamed
from makeweight.core.errors import BadInput

Model = TypeVar("Model", bound=BaseModel)
BRANCH_OF_UNION = re.compile(
    r"^(constrained-\w+|int|str|(literal|tuple|dict)\[.*\])$"
)  # what pydantic adds to the name of a key


class Settings(BaseModel):
    """Base of every group of settings: frozen, strict, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def validate(model: type[Model], values: object, *, key: str = "") -> Model:
    """`values` as a `model`.

    Args:
        model: the settings to fill.
        values: what the YAML held.
        key: under which `values` stand in the file.

    Raises:
        BadInput: one line for each mistake: key, value, what is allowed.
    """
    try:
        # By way of JSON, since strict models take its lists as tuples; YAML's dates become texts, and are refused.
        return model.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise BadInput(*_errors(error, model, key)) from error


def _errors(error: ValidationError, model: type[BaseModel], key: str) -> Iterator[str]:
    """A line for each key, also where pydantic has one for each type that the key may be of."""
    found: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        location = tuple(str(part) for part in details["loc"] if not BRANCH_OF_UNION.search(str(part)))
        found.setdefault(location, []).append(details)
    unknown = [".".join([key, *location]).strip(".") for location, (first, *_) in found.items()
               if first["type"] == "extra_forbidden"]  # fmt: skip
    given_under_old_names = renamed.replaced(unknown)
    for location, (details, *others) in found.items():
        if any(other[: len(location)] == location for other in found if other != location):
            continue  # a list with a wrong item counts as too short as well
        name = ".".join([key, *location]).strip(".")
        if details["type"] == "missing" and name in given_under_old_names:
            continue
        if details["type"] == "extra_forbidden" and renamed.new_name(name):
            yield renamed.message(name)
        elif details["type"] == "extra_forbidden":
            yield f"{name} is not a parameter; allowed here: {', '.join(_fields_at(model, location[:-1]))}"
        elif details["type"] == "missing":
            yield f"{name} is missing"
        elif details["type"] == "value_error":
            yield ": ".join(part for part in (name, str(details["ctx"]["error"])) if part)
        else:
            allowed = " or ".join(_allowed(each) for each in (details, *others))
            yield f"{name} is {details['input']!r}, but should be {allowed}"


def _allowed(details: ErrorDetails) -> str:
    """What may stand there, in the words of YAML and not of Python."""
    context = details.get("ctx", {})
    words = {
        "too_short": f"a list of at least {context.get('min_length')}",
        "too_long": f"a list of at most {context.get('max_length')}" if context.get("max_length") else "empty: []",
        "tuple_type": "a list", "list_type": "a list", "string_type": "text", "bool_type": "true or false",
        "dict_type": "keys with values", "model_type": "keys with values", "model_attributes_type": "keys with values",
    }  # fmt: skip
    return words.get(details["type"], details["msg"].removeprefix("Input should be "))


def _fields_at(model: type[BaseModel], location: tuple[str, ...]) -> list[str]:
    for part in location:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return sorted(model.model_fields)
