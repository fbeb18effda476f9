"""Errors that a user can cause: one line, no traceback."""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(Exception):
    """What is wrong, where, what is allowed and what to do, in one line.

    Whatever cannot be printed, or would break the line, is written as an escape.
    """

    def __init__(self, message: str) -> None:
        super().__init__(
            "".join(c if c.isprintable() else ascii(c).strip("'") for c in message)
        )


@contextmanager
def naming(who: str) -> Iterator[None]:
    """Say who was at it when a file of architectures/ raised, and in which line.

    Anything that no architecture's file had a part in goes on as it is, with a note.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).parent.name == "architectures"
        ]
        if not frames:
            error.add_note(f"in {who}")
            raise
        file = f"architectures/{Path(frames[-1].filename).name}"
        cause = " ".join(str(error).split())
        raise UserError(
            f"{who}: {file}, line {frames[-1].lineno}: {type(error).__name__}: {cause}"
        ) from None


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
