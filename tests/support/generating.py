"""Settings of `generate`."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML

from makeweight.core.parameters import GenerateSettings
from makeweight.core.validation import validate
from tests.conftest import PROJECT, merge


def generate_settings(**changes: Any) -> GenerateSettings:
    """Those of the project's params.yaml, with changes."""
    return validate(GenerateSettings, merge(YAML(typ="safe").load(PROJECT / "params.yaml")["generate"], changes))
