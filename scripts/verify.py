"""Whether the committed results are those of the committed code, params and data.

Needs neither data nor models nor DVC's cache: what is only not here is told from what is
other than dvc.lock says.
"""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo

from benchmark.running import cli, errors

BENCHMARK, NOTEBOOK = Path("dvc.yaml"), Path("notebook/dvc.yaml")
# What DVC says of a thing that is not here.
ABSENT = {"deleted", "not in cache"}
STALE_NOTEBOOK = "docs/notebook.md is of other code or params; `make notebook` renews it."
WHAT_TO_DO = "bring results up to date with `dvc repro`, or take the change back"


def main() -> None:
    found, missing = told_apart(dvc_status(BENCHMARK))
    for line in found:
        print(line)
    print(f"{len(missing)} entries are not here or not in this cache, which is fine.")
    if notebook_is_stale():
        print(STALE_NOTEBOOK)
    if found:
        raise errors.UserError(f"{len(found)} differ from dvc.lock; {WHAT_TO_DO}")
    print("Metrics, predictions and plots are those of this code, these params and data.")


def notebook_is_stale() -> bool:
    """Whether the notebook's rows are of other code or params. Raises UserError."""
    return NOTEBOOK.exists() and bool(told_apart(dvc_status(NOTEBOOK))[0])


def told_apart(status: dict[str, Any]) -> tuple[list[str], list[str]]:
    """A line for each thing that is other than dvc.lock says; each that is only missing.

    What git ignores is DVC's to bring, so it may be missing. Anything else is in git, or
    was until somebody removed it.
    """
    found = list(entries(status))
    absent = [path for _, _, path, state in found if state in ABSENT]
    ignored = git_ignores(absent)
    faults, missing = [], []
    for stage, kind, path, state in found:
        if state in ABSENT and path in ignored:
            missing.append(path)
        else:
            faults.append(
                f"{stage}: {kind}: {path}: {state}" if path else f"{stage}: {kind}"
            )
    return faults, missing


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
    with (
        errors.explained("dvc status: {}; run it where dvc.yaml is", DvcException),
        Repo() as repo,
    ):
        return dict(repo.status(targets=[str(pipeline)]))


def git_ignores(paths: Iterable[str]) -> set[str]:
    """Those that .gitignore leaves to DVC, whether or not they are here."""
    ran = subprocess.run(
        ["git", "check-ignore", "-z", "--stdin"],
        input="\0".join(paths),
        capture_output=True,
        encoding="utf-8",
    )
    if ran.returncode > 1:  # 1: it ignores none
        raise errors.UserError("verifying needs git, and a clone; run it where dvc.yaml is")
    return set(filter(None, ran.stdout.split("\0")))


if __name__ == "__main__":
    cli.run(main)
