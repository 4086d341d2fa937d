"""Errors that users see."""

from __future__ import annotations

import errno

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # error numbers of a full disk or quota
OUT_OF_MEMORY = (
    "a worker process was killed, probably because memory ran out: lower compute.workers or free some memory, and run "
    "the same command again; what was finished is kept"
)


class BadInput(Exception):
    """Errors in a user's input.

    Attributes:
        errors: one line each, which says what is wrong, where, and what to do.
    """

    def __init__(self, error: str, *others: str) -> None:
        super().__init__(error, *others)
        self.errors: tuple[str, ...] = (error, *others)

    def __str__(self) -> str:
        return "\n".join(self.errors)


class ImageError(Exception):
    """An image that cannot be used. The message is the reason; the code that catches it knows the path."""
