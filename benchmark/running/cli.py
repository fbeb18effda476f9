"""Command lines: what a script takes, `--help`, and errors in one line."""

import argparse
import sys
from collections.abc import Callable
from inspect import unwrap
from typing import Any

from benchmark.running.errors import UserError

Argument = tuple[str, dict[str, Any]]


def argument(name: str, **options: Any) -> Argument:
    """An argument of a script's main function; the options are those of argparse."""
    return name, options


PHOTOGRAPHS = argument(
    "--photographs", action="store_true", help="with images of CIFAR-10, in pictures/"
)
ARCHITECTURE = argument("architecture", help="its name in params.yaml")
BASE = argument("base", help="the commit to compare with: main, HEAD~1, a tag")


def run(main: Callable[..., None], *arguments: Argument) -> None:
    """Run a script's main function with what the command line says.

    What a user can cause ends it with one line: a UserError, what the system refuses (a
    full disk, a missing file, a read-only folder), an interrupt. Anything else is a fault
    of the code and keeps its traceback.
    """
    try:
        main(**parse(main, arguments))
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")


def parse(main: Callable[..., None], arguments: tuple[Argument, ...]) -> dict[str, Any]:
    """The command line as keyword arguments of `main`, whose module describes itself."""
    module = unwrap(main).__globals__
    spec = module.get("__spec__")  # none where a file is run by its path
    parser = argparse.ArgumentParser(
        prog=f"python -m {spec.name.removesuffix('.__main__')}" if spec else None,
        description=module["__doc__"],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, options in arguments:
        parser.add_argument(name, **options)
    return vars(parser.parse_args())
