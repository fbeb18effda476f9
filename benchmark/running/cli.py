"""Command lines: arguments, `--help`, and one-line errors."""

import argparse
import os
import sys
from collections.abc import Callable
from inspect import unwrap
from typing import Any

from benchmark.running.errors import UserError

Argument = tuple[str, dict[str, Any]]


def argument(name: str, **options: Any) -> Argument:
    """Describe an argument of a script's main function, with the options of argparse."""
    return name, options


REAL_IMAGES = argument(
    "--real-images", action="store_true", help="show CIFAR-10 images; write to pictures/"
)
ROW = argument("row", help="a name under rows in params.yaml")
BASE = argument("base", help="the commit to compare with: main, HEAD~1, a tag")


def run(main: Callable[..., None], *arguments: Argument) -> None:
    """Run a script's main function with the arguments from the command line.

    A UserError, an OSError (a full disk, a missing file, a read-only folder) and an
    interrupt each end the script with one line. Any other exception is a bug and keeps its
    traceback.
    """
    # Elsewhere than on Linux, a console may not know characters such as −.
    if sys.stdout:
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        main(**parse_args(main, arguments))
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")


def parse_args(
    main: Callable[..., None], arguments: tuple[Argument, ...]
) -> dict[str, Any]:
    """Parse the command line into keyword arguments of `main`.

    `--help` shows the docstring of the module that defines `main`.
    """
    module = unwrap(main).__globals__
    spec = module.get("__spec__")  # None if the file is run by its path
    parser = argparse.ArgumentParser(
        prog=f"python -m {spec.name.removesuffix('.__main__')}" if spec else None,
        description=module["__doc__"],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, options in arguments:
        parser.add_argument(name, **options)
    return vars(parser.parse_args())
