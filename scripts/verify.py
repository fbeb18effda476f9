"""Check that the committed results match the committed code, params and data.

Needs no data, no models and no DVC cache: it distinguishes missing files, which are fine,
from changed ones.
"""

import subprocess
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.rwlock import RWLockFileCorruptedError

from benchmark import params
from benchmark.reporting.results import METRICS, RESULTS
from benchmark.running import cli, errors
from benchmark.running.repository import why_git_failed

BENCHMARK, NOTEBOOK = Path("dvc.yaml"), Path("notebook/dvc.yaml")
# The states that DVC reports for a missing file.
ABSENT = {"deleted", "not in cache"}
REDRAW_NOTEBOOK = f"dvc repro --allow-missing {NOTEBOOK}:report"
# What a new row of the benchmark changes for the notebook's page: nothing that it shows.
OTHER_METRICS = f"{NOTEBOOK.as_posix()}:report: changed deps: metrics: modified"
WHAT_TO_DO = "update the results with `dvc repro`, or undo the change"


def main() -> None:
    changed, missing = split_status(dvc_status(BENCHMARK))
    for line in changed:
        print(line)
    left = left_behind(params.read_yaml(params.PARAMS).get("rows") or ())
    for path in left:
        print(f"{path}: {params.PARAMS} has no such row")
    print(f"{len(missing)} files are missing here or in the cache, which is fine.")
    if stale := stale_notebook():
        print(stale)
    if changed:
        raise errors.UserError(f"{len(changed)} entries differ from dvc.lock; {WHAT_TO_DO}")
    if left:
        raise errors.UserError(
            f"these files belong to removed rows; delete them: git rm -r {' '.join(left)}"
        )
    print("All committed results match the committed code, params and data.")


def left_behind(rows: Collection[str]) -> list[str]:
    """Return metrics and results that belong to none of these rows of params.yaml."""
    found = [*METRICS.glob("*.json"), *RESULTS.glob("*/")]
    return sorted(path.as_posix() for path in found if path.stem not in rows)


def stale_notebook() -> str:
    """Say how to update the notebook's results; "" if they match. Raises UserError."""
    changed = split_status(dvc_status(NOTEBOOK))[0] if NOTEBOOK.exists() else []
    if not changed or (changed == [OTHER_METRICS] and is_same_page()):
        return ""
    # Training its rows takes hours, and the page alone takes seconds.
    is_trained = all(line.startswith(f"{NOTEBOOK}:report: ") for line in changed)
    command = REDRAW_NOTEBOOK if is_trained else "make notebook"
    return f"docs/notebook.md does not match this code; `{command}` updates it."


def is_same_page() -> bool:
    """Return whether the notebook's page would be the same again, after a new row."""
    from notebook import report  # imports torch

    with suppress(OSError, errors.UserError):  # metrics are missing
        return report.REPORT.read_text("utf-8") == report.report(report.read())
    return False


def split_status(status: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Split a status into a line for each changed entry, and the paths of missing files.

    Files that git ignores may be missing, because DVC can fetch them. A missing file that
    belongs in git counts as changed.
    """
    changes = list(entries(status))
    absent = [path for _, _, path, state in changes if state in ABSENT]
    ignored = git_ignores(absent)
    changed, missing = [], []
    for stage, kind, path, state in changes:
        if state in ABSENT and path in ignored:
            missing.append(path)
        else:
            changed.append(
                f"{stage}: {kind}: {path}: {state}" if path else f"{stage}: {kind}"
            )
    return changed, missing


def entries(status: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield stage, kind of change, path (and key, for a param), and state."""
    for stage, changes in status.items():
        for change in changes:
            if isinstance(change, str):
                yield stage, change, "", ""
                continue
            for kind, paths in change.items():
                for path, state in paths.items():
                    if isinstance(state, dict):
                        for key, param_state in state.items():
                            # Params are in git, so a deleted one is a change.
                            yield stage, kind, f"{path}: {key}", f"param {param_state}"
                    else:
                        yield stage, kind, path, state


def dvc_status(pipeline: Path) -> dict[str, Any]:
    """Return `dvc status` for the stages of this dvc.yaml. Raises UserError."""
    with (
        errors.explained(
            "dvc status: {}; run this in the folder of dvc.yaml", DvcException
        ),
        errors.explained(
            "dvc status: {}; if no dvc is running, delete this file",
            RWLockFileCorruptedError,
        ),
        Repo() as repo,
    ):
        return dict(repo.status(targets=[str(pipeline)]))


def git_ignores(paths: Iterable[str]) -> set[str]:
    """Return the paths that .gitignore matches, whether or not they exist."""
    completed = subprocess.run(
        ["git", "check-ignore", "-z", "--stdin"],
        input="\0".join(paths),
        capture_output=True,
        encoding="utf-8",
    )
    if completed.returncode > 1:  # 1: it ignores none
        raise errors.UserError(f"verify needs git: {why_git_failed(completed.stderr)}")
    return set(filter(None, completed.stdout.split("\0")))


if __name__ == "__main__":
    cli.run(main)
