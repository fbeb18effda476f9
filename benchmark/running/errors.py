"""Errors that a user can cause. They are shown as one line, without a traceback."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(Exception):
    """One line that says what is wrong, where, what is allowed and what to do.

    Line breaks and unprintable characters are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Escape line breaks and unprintable characters, which file names can contain."""
    return "".join(c if c.isprintable() else ascii(c).strip("'") for c in text)


class DivergedError(UserError):
    """The loss is not finite."""


@contextmanager
def explained(message: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn exceptions of these kinds into a UserError; the last `{}` is for the cause."""
    try:
        yield
    except UserError:
        raise
    except kinds as error:
        # A file name before the last {} may contain another one.
        before, found, after = message.rpartition("{}")
        cause = cause_of(error) if found else ""
        raise UserError(f"{before}{cause}{after}") from None


def cause_of(error: Exception) -> str:
    """Return the exception's message in one line, or its type if it has no message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def blame_architecture(who: str) -> Iterator[None]:
    """Turn an exception raised in architectures/ into a UserError with file and line.

    Other exceptions are re-raised with a note that names `who`: the net, or net and seed.
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
