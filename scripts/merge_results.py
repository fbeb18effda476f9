"""Resolve the conflicts of a git merge in results: dvc.lock, tables and pictures.

Each row's results come from the branch that trained it. Tables and pictures are drawn
again. Nothing is trained. Conflicts in code remain for you.
"""

import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dvc.utils.serialize import dumps_yaml

from benchmark import params
from benchmark.reporting.results import METRICS, RESULTS
from benchmark.running import cli
from benchmark.running.errors import UserError, explained
from benchmark.running.files import write_atomic
from benchmark.running.repository import dvc, git
from scripts import readme, verify

LOCK, NOTEBOOK_LOCK = "dvc.lock", "notebook/dvc.lock"
# What the stages after training write: it is made again.
REDRAWN = ("plots/", "docs/model_card.md", "docs/notebook.md")
LOCKS = (LOCK, NOTEBOOK_LOCK)
RESULT_FILES = (*LOCKS, *REDRAWN, f"{METRICS}/", f"{RESULTS}/", "notebook/results/")
BASE, OURS, THEIRS = 1, 2, 3  # git's numbers for the sides of a merge
BOTH = 4  # both branches changed it, each in its own way
Stages = dict[str, Any]


def main() -> None:
    if not Path(git("rev-parse", "--git-path", "MERGE_HEAD").strip()).exists():
        raise UserError("there is no merge to finish; start one with `git merge <branch>`")
    conflicts = git("diff", "--name-only", "--diff-filter=U").splitlines()
    texts = {params.PARAMS.as_posix(): merge_params, readme.README.as_posix(): merge_readme}
    results = [path for path in conflicts if path.startswith(RESULT_FILES)]
    by_hand = []
    for path in conflicts:
        if path in texts and texts[path]():
            git("add", path)
        elif path not in results:
            by_hand.append(path)
    if by_hand:
        raise UserError(
            f"{', '.join(by_hand)}: resolve by hand and `git add`, then run this again"
        )
    sides = {lock: side_of_each_row(lock) for lock in LOCKS if lock in results}
    both = [row for row, side in sides.get(LOCK, {}).items() if side == BOTH and row]
    for row in both:
        # git may have mixed the lines of both versions.
        files = git("ls-files", "--", f"{METRICS}/{row}.json", f"{RESULTS}/{row}")
        if mixed := set(files.splitlines()) - set(results):
            git("checkout", "HEAD", "--", *sorted(mixed))
    for path in results:
        resolve(path, sides)
    if results:
        git("add", "-A", "--", *results)
    loaded = params.load(needs_device=False)
    drop_removed_rows(loaded)
    git("add", "-A", "--", *redraw())
    changed, _ = verify.split_status(verify.dvc_status(verify.BENCHMARK))
    if changed:
        rows = f"both branches changed {', '.join(both)}: " if both else ""
        raise UserError(
            f"{rows}{changed[0]}: does not match the merged code; {verify.WHAT_TO_DO}"
        )
    if stale := verify.stale_notebook():
        print(stale)
    print("All conflicts are resolved. Look at `git diff --staged`, then `git commit`.")


def resolve(path: str, sides: dict[str, dict[str, int]]) -> None:
    """Resolve a file of results. sides: for each lock, the side of each row."""
    if path in sides:
        write_atomic(Path(path), merged_lock(path, sides[path]))
    elif path.startswith("notebook/results/"):
        take(path, sides.get(NOTEBOOK_LOCK, {}).get(Path(path).stem, OURS))
    elif path.startswith(REDRAWN):
        take(path, OURS)
    else:
        take(path, sides.get(LOCK, {}).get(Path(Path(path).parts[1]).stem, OURS))


def side_of_each_row(lock: str) -> dict[str, int]:
    """Return which side changed each row's stages: OURS, THEIRS or BOTH.

    A row's stages belong together: its scores are those of its models. Stages without a
    row are one more row, whose name is empty.
    """
    base, ours, theirs = (by_row(stages_of(lock, side)) for side in (BASE, OURS, THEIRS))
    return {
        row: OURS
        if ours.get(row) == theirs.get(row) or theirs.get(row) == base.get(row)
        else THEIRS
        if ours.get(row) == base.get(row)
        else BOTH
        for row in [*ours, *(row for row in theirs if row not in ours)]
    }


def merged_lock(lock: str, sides: dict[str, int]) -> bytes:
    """Combine the stages of both sides, in the format of DVC."""
    rows = {side: by_row(stages_of(lock, side)) for side in (OURS, THEIRS)}
    stages: Stages = {}
    for row, side in sides.items():
        stages |= rows[THEIRS if side == THEIRS else OURS].get(row, {})
    return dumps_yaml({"schema": "2.0", "stages": stages}).encode()


def by_row(stages: Stages) -> dict[str, Stages]:
    rows: dict[str, Stages] = {}
    for name, entry in stages.items():
        rows.setdefault(name.partition("@")[2], {})[name] = entry
    return rows


def stages_of(lock: str, side: int) -> Stages:
    return dict((params.parse_yaml(version(lock, side), lock) or {}).get("stages", {}))


def merge_params() -> bool:
    """Keep the lines of both sides, if that is a valid file without removed rows."""
    path = params.PARAMS.as_posix()
    versions = {side: version(path, side) for side in (OURS, BASE, THEIRS)}
    merged, _ = merge_file(versions.values(), "--union")
    before = params.PARAMS.read_bytes()
    is_valid = False
    try:
        base, *sides = (
            rows_in(versions[side], path).keys() for side in (BASE, OURS, THEIRS)
        )
        write_atomic(params.PARAMS, merged)
        rows = params.load(needs_device=False).rows.keys()
        is_valid = not any((base - side) & rows for side in sides)
    except UserError:
        pass
    finally:
        if not is_valid:
            write_atomic(params.PARAMS, before)
    return is_valid


def rows_in(content: bytes, path: str) -> dict[str, Any]:
    """Return the rows in a version of params.yaml. Raises UserError if it has none."""
    with explained(f"{path}: has no rows", TypeError, KeyError, ValueError):
        return dict(params.parse_yaml(content, path)["rows"])


def merge_readme() -> bool:
    """Merge the text around the table, which is written again."""
    path = readme.README.as_posix()
    texts = (version(path, side).decode() for side in (OURS, BASE, THEIRS))
    merged, has_conflict = merge_file(readme.with_table(t).encode() for t in texts)
    if not has_conflict:
        write_atomic(readme.README, merged)
    return not has_conflict


def merge_file(versions: Iterable[bytes], *options: str) -> tuple[bytes, bool]:
    """Merge ours, base and theirs; return the result, and whether it has a conflict."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("ours", "base", "theirs")]
        for path, content in zip(paths, versions, strict=True):
            path.write_bytes(content)
        ran = subprocess.run(
            ["git", "merge-file", "-p", *options, *map(str, paths)], capture_output=True
        )
    return ran.stdout, ran.returncode != 0


def version(path: str, side: int) -> bytes:
    """Return a side's version of a file with conflicts; empty if it has none."""
    ran = subprocess.run(["git", "show", f":{side}:{path}"], capture_output=True)
    return ran.stdout


def take(path: str, side: int) -> None:
    """Take a side's version of a file; delete the file if that side has none."""
    number = THEIRS if side == THEIRS else OURS
    stages = git("ls-files", "--unmerged", "--", path).splitlines()
    if any(line.split("\t")[0].endswith(f" {number}") for line in stages):
        write_atomic(Path(path), version(path, number))
    else:
        Path(path).unlink(missing_ok=True)


def drop_removed_rows(loaded: params.Params) -> None:
    """Delete what is left of rows that params.yaml no longer has."""
    lock = params.parse_yaml(Path(LOCK).read_bytes(), LOCK)
    known = {"", *loaded.rows}
    kept = {n: e for n, e in lock["stages"].items() if n.partition("@")[2] in known}
    if len(kept) < len(lock["stages"]):
        write_atomic(Path(LOCK), dumps_yaml({**lock, "stages": kept}).encode())
    if left := verify.left_behind(loaded.rows):
        git("rm", "-r", "-q", "-f", "--ignore-unmatch", "--", *left)


def redraw() -> list[str]:
    """Draw tables and pictures again; return what may have been written."""
    for stage in ("compare", "report", "describe"):
        dvc("repro", "--allow-missing", "--single-item", stage)
    if Path(NOTEBOOK_LOCK).exists():
        dvc("repro", "--allow-missing", "--single-item", "notebook/dvc.yaml:report")
    readme.main()
    written = [LOCK, NOTEBOOK_LOCK, "plots", *REDRAWN[1:], readme.README.as_posix()]
    return [path for path in written if Path(path).exists()]


if __name__ == "__main__":
    cli.run(main)
