"""Errors that a user can cause: one line, no traceback."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """What is wrong, where, what is allowed and what to do, in one line."""


def run(stage: Callable[[], None]) -> None:
    """Run a script's main function; what a user can cause ends it with one line.

    Beside UserError that is what the system refuses (a full disk, a missing
    file, a read-only folder) and an interruption. Anything else is a fault of
    the code and keeps its traceback.
    """
    try:
        stage()
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
