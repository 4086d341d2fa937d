"""Plug-ins by name."""

from __future__ import annotations

import pytest

from makeweight.core import plugins
from makeweight.core.errors import BadInput


def test_unknown_plugins_are_told_with_those_that_there_are() -> None:
    with pytest.raises(BadInput, match="'vae' is not among the registered families: autoencoder, cgan"):
        plugins.find("families", "vae")
    with pytest.raises(BadInput, match=r"'\.\./cgan' cannot be a name"):
        plugins.find("families", "../cgan")
