"""Errors that users see."""

from __future__ import annotations


class BadInput(Exception):
    """A user's mistake. The message is one line that says what, where and what to do."""


class ImageError(Exception):
    """A picture that cannot be used. The message is the reason; whoever catches it knows the path."""
