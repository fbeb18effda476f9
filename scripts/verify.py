"""Whether the committed results are those of the committed code, params and data.

Needs neither data nor models nor DVC's cache: what is only not here is told from what is
other than dvc.lock says.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark import errors

BENCHMARK, NOTEBOOK = Path("dvc.yaml"), Path("notebook/dvc.yaml")
WHAT_TO_DO = "bring results up to date with `dvc repro`, or take the change back"


def main() -> None:
    status, tracked = dvc_status(BENCHMARK), git_tracks()
    found = list(faults(status, tracked))
    for line in found:
        print(line)
    absent = sum(1 for _ in missing(status, tracked))
    print(f"{absent} entries are not here or not in this cache, which is fine.")
    if NOTEBOOK.exists() and any(faults(dvc_status(NOTEBOOK), tracked)):
        print("docs/notebook.md is of other code or params; `make notebook` renews it.")
    if found:
        raise errors.UserError(f"{len(found)} differ from dvc.lock; {WHAT_TO_DO}")
    print("Metrics, predictions and plots are those of this code, these params and data.")


def faults(status: dict[str, Any], tracked: set[str]) -> Iterator[str]:
    """A line for each thing that is other than dvc.lock says."""
    for stage, kind, path, state in entries(status):
        if not is_only_missing(path, state, tracked):
            yield f"{stage}: {kind}: {path}: {state}" if path else f"{stage}: {kind}"


def missing(status: dict[str, Any], tracked: set[str]) -> Iterator[str]:
    """Each path of data or models that is not here."""
    for _, _, path, state in entries(status):
        if is_only_missing(path, state, tracked):
            yield path


def is_only_missing(path: str, state: str, tracked: set[str]) -> bool:
    """Whether it is DVC's to bring: git has neither the file nor one in that folder."""
    if state not in ("deleted", "not in cache"):
        return False
    return not any(name == path or name.startswith(f"{path}/") for name in tracked)


def entries(status: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Stage, kind of change, path (or path and key of a param), and state."""
    for stage, changes in status.items():
        for change in changes:
            if isinstance(change, str):
                yield stage, change, "", ""
                continue
            for kind, paths in change.items():
                for path, state in paths.items():
                    if isinstance(state, dict):
                        for key, what in state.items():
                            # A param is in git, so one that is gone is a change.
                            yield stage, kind, f"{path}: {key}", f"param {what}"
                    else:
                        yield stage, kind, path, state


def dvc_status(pipeline: Path) -> dict[str, Any]:
    """What `dvc status` says of the stages in this dvc.yaml. Raises UserError."""
    found: dict[str, Any] = json.loads(dvc("status", "--json", str(pipeline)))
    return found


def dvc(*command: str) -> str:
    """What DVC prints. Raises UserError: what it gives as its error.

    Some of its tables come in the order of a hash, so that is fixed.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "dvc", *command],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8"},
    )
    if ran.returncode:
        why = ran.stderr.rpartition("ERROR: ")[2]
        raise errors.UserError(f"dvc {' '.join(command)}: {' '.join(why.split())}")
    return ran.stdout


def git_tracks() -> set[str]:
    """The files that git tracks, whether or not they are here."""
    ran = subprocess.run(["git", "ls-files", "-z"], capture_output=True, encoding="utf-8")
    if ran.returncode:
        raise errors.UserError("verifying needs git, and a clone; run it where dvc.yaml is")
    return set(filter(None, ran.stdout.split("\0")))


if __name__ == "__main__":
    errors.run(main)
