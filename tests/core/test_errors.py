"""Errors in a user's input."""

from __future__ import annotations

import pickle

from makeweight.core.errors import BadInput


def test_errors_keep_their_lines_when_they_come_from_another_process() -> None:
    for error in (BadInput("one"), BadInput("one", "two")):
        received = pickle.loads(pickle.dumps(error))
        assert received.errors == error.errors
        assert str(received) == "\n".join(error.errors)
