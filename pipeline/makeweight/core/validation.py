"""Validation of plain values against frozen settings models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from makeweight.core import renamed
from makeweight.core.errors import BadInput
from makeweight.core.text import nearest

Model = TypeVar("Model", bound=BaseModel)
# What pydantic appends to the location of an error: the type in a union that it has tried.
BRANCH_OF_UNION = re.compile(r"^(constrained-\w+|int|str|(literal|tuple|dict)\[.*\])$")


class Settings(BaseModel):
    """Base class of settings: frozen, strict, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def validate(model: type[Model], values: object, *, key: str = "") -> Model:
    """Validate `values` and return them as a `model`.

    Args:
        model: the settings model.
        values: plain values, as read from YAML.
        key: of `values` in the file.

    Raises:
        BadInput: one line for each error: key, value, allowed values.
    """
    try:
        # As JSON, since strict models accept its lists as tuples; dates in YAML become strings, and are refused.
        return model.model_validate_json(json.dumps(values, default=str), context={"key": key})
    except ValidationError as error:
        raise BadInput(*_errors(error, model, values, key)) from error


def _errors(error: ValidationError, model: type[BaseModel], values: object, key: str) -> Iterator[str]:
    """A line for each key, even if pydantic has an error for each of several types of the key."""
    found: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        found.setdefault(_keys(details["loc"], values), []).append(details)
    unknown = [".".join([key, *location]).strip(".") for location, (first, *_) in found.items()
               if first["type"] == "extra_forbidden"]  # fmt: skip
    given_under_old_names = renamed.replaced(unknown)
    for location, (details, *others) in found.items():
        if any(other[: len(location)] == location for other in found if other != location):
            continue  # pydantic also reports a list with a wrong item as too short
        name = ".".join([key, *location]).strip(".")
        if details["type"] == "missing" and name in given_under_old_names:
            continue
        if details["type"] == "extra_forbidden" and renamed.new_name(name):
            yield renamed.message(name)
        elif details["type"] == "extra_forbidden":
            fields = _fields_at(model, location[:-1])
            yield f"{name} is not a parameter{nearest(location[-1], fields)}; allowed here: {', '.join(fields)}"
        elif details["type"] == "missing":
            yield f"{name} is missing"
        elif details["type"] == "value_error":
            yield ": ".join(part for part in (name, str(details["ctx"]["error"])) if part)
        else:
            allowed = " or ".join(_allowed(alternative) for alternative in (details, *others))
            yield f"{name} is {details['input']!r}, but should be {allowed}"


def _keys(location: tuple[int | str, ...], values: object) -> tuple[str, ...]:
    """The keys and indices in the location of an error, without the types of unions that pydantic has tried."""
    keys = []
    for part in location:
        if isinstance(values, dict) and part in values:  # even if it is called `int`
            keys.append(str(part))
            values = values[part]
        elif not BRANCH_OF_UNION.search(str(part)):
            keys.append(str(part))
            values = values[part] if isinstance(values, list) and isinstance(part, int) else None
    return tuple(keys)


def _allowed(details: ErrorDetails) -> str:
    """What is allowed, in the terms of YAML instead of Python."""
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
