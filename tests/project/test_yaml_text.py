"""Edits of YAML text that keep everything else."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from makeweight.project.yaml_text import scalar, with_missing, with_value

TEXT = """\
# The head.
seed: 0      # of every stream

# ── Images ──
data:
  reader: digits    # which one
  primary: auto     # the first
                    # of several
  nested:
    inner: 1

# ── The rest ──
last: [1, 2]
"""


def values(text: str) -> object:
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize("value", ["a b", "0.2.0", "0.2", "no # comment", "a: b", "true", "", "null", "ü'\"\\"])
def test_a_scalar_is_read_back_as_what_it_was(value: str) -> None:
    changed = with_value(TEXT, ("data", "reader"), value)
    assert values(changed)["data"]["reader"] == value  # type: ignore[index]
    kept = [line for line in TEXT.split("\n") if "reader" not in line]
    assert [line for line in changed.split("\n") if "reader" not in line] == kept
    assert "# which one" in changed
    assert scalar("0.2.0") == "0.2.0"


def test_a_comment_keeps_its_column() -> None:
    changed = with_value(TEXT, ("data", "reader"), "csv")
    assert changed.split("\n")[5] == "  reader: csv       # which one"


def test_a_missing_key_goes_behind_the_one_that_it_follows_with_its_comments() -> None:
    without = TEXT.replace("  primary: auto     # the first\n                    # of several\n", "")
    assert with_missing(without, TEXT, [("data", "primary")]) == TEXT
    without = TEXT.replace("    inner: 1\n", "    other: 2\n")
    assert with_missing(without, TEXT, [("data", "nested", "inner")]).count("    inner: 1\n    other: 2\n") == 1


def test_a_mapping_in_flow_style_is_refused() -> None:
    with pytest.raises(KeyError):
        with_missing("seed: 0\ndata: {reader: csv}\n", TEXT, [("data", "primary")])
