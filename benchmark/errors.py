"""Errors that a user can cause: one line, no traceback."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """What is wrong, where, what is allowed and what to do, in one line."""


def run(stage: Callable[[], None]) -> None:
    """Run a stage's main function; end with status 1 and one line on UserError."""
    try:
        stage()
    except UserError as error:
        sys.exit(f"error: {error}")
