"""Errors that a user can cause: one line, no traceback."""

import traceback
from collections.abc import Iterator
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
def explained(message: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn exceptions of these kinds into a UserError, with the cause in place of `{}`."""
    try:
        yield
    except UserError:
        raise
    except kinds as error:
        raise UserError(message.replace("{}", cause_of(error))) from None


def cause_of(error: Exception) -> str:
    """What the exception says, in one line, or else its kind."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def naming(who: str) -> Iterator[None]:
    """Where a file of architectures/ raises, name it, the line, and who was at work.

    Other exceptions are raised again as they are, with a note that says who.
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
        raise UserError(
            f"{who}: {file}, line {frames[-1].lineno}: "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from None
