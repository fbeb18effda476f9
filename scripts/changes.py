"""Test for each net whether its accuracy really changed.

Compares the predictions in the workspace, or in a commit, with the predictions in BASE. All
of them are in git, so this needs no data, no models and no DVC cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from benchmark import params
from benchmark.reporting.dvc_lock import LOCK
from benchmark.reporting.render import render
from benchmark.reporting.results import RESULTS
from benchmark.running import cli, errors
from benchmark.running.repository import git
from benchmark.stats.folds import MIN_FOLDS
from benchmark.stats.planning import in_full
from benchmark.stats.verdicts import MIN_SEEDS, Verdict, verdicts
from scripts.predictions import Predictions, compare, parse

PREDICTIONS = "predictions.csv"
SAME = "none: same predictions"


@dataclass(frozen=True)
class Scored(Predictions):
    """A net's predictions. data: the MD5 of the images."""

    data: str = ""


@dataclass(frozen=True)
class Change:
    """A net before and after; None if it did not exist."""

    name: str
    before: Scored | None
    after: Scored | None


def main(base: str, revision: str | None) -> None:
    print(report(changes(base, revision), margin()), end="")


def margin() -> float:
    """Return the margin in params.yaml here, as an accuracy. Raises UserError."""
    return params.load(needs_device=False).compare.margin / 100


def changes(base: str, revision: str | None = None) -> list[Change]:
    """Compare all nets for which either side has results. Raises UserError."""
    before = from_commit(base)
    after = from_commit(revision) if revision else from_workspace()
    names = [*after, *(name for name in before if name not in after)]
    if not names:
        raise errors.UserError(
            f"no {RESULTS}/*/{PREDICTIONS} in {base} or here; run this next to dvc.yaml"
        )
    return [Change(name, before.get(name), after.get(name)) for name in names]


def from_workspace() -> dict[str, Scored]:
    """Read the predictions in the workspace, by net. Raises UserError."""
    paths = (params.PARAMS, LOCK, *sorted(RESULTS.glob(f"*/{PREDICTIONS}")))
    return from_files(
        # Invalid UTF-8 becomes �, which no prediction contains.
        {str(p): p.read_text("utf-8", errors="replace") for p in paths if p.exists()}
    )


def from_commit(revision: str) -> dict[str, Scored]:
    """Read the predictions in a commit, by net. Raises UserError."""
    files = f"{RESULTS}/", str(LOCK), str(params.PARAMS)
    listed = git("ls-tree", "-r", "-z", "--name-only", revision, *files)
    # Relative to the current folder, which may not be the root of the git repository.
    paths = (f"{revision}:./{path}" for path in listed.split("\0") if path)
    wanted = (PREDICTIONS, LOCK.name, params.PARAMS.name)
    return from_files({p: git("show", p) for p in paths if p.rsplit("/")[-1] in wanted})


def from_files(files: Mapping[str, str]) -> dict[str, Scored]:
    """Parse predictions, by net, in the order of the files.

    files: the text of params.yaml, dvc.lock and files of predictions, by path. Ignores
    results of nets that params.yaml does not contain.
    """
    rows: dict[str, Any] | None = None
    data: dict[str, str] = {}
    predictions = {}
    for path, text in files.items():
        match PurePosixPath(path).name:
            case params.PARAMS.name:
                rows = parse_mapping(text, path).get("rows")
            case LOCK.name:
                data = data_of(text, path)
            case _:
                predictions[PurePosixPath(path).parent.name] = path
    return {
        name: scored(files[path], path, data.get(name, ""))
        for name, path in predictions.items()
        if not isinstance(rows, dict) or name in rows
    }


def scored(text: str, path: str, data: str) -> Scored:
    """Parse a file of predictions. Raises UserError if it is damaged."""
    error = f"{path}: no predictions ({{}}); make them again with `dvc repro`"
    return Scored(path, parse(text, path, error).table, data)


def data_of(lock: str, path: str) -> dict[str, str]:
    """Return, by net, the MD5 of the data that it was scored on, from dvc.lock."""
    with errors.explained(
        f"{path}: not a DVC lock file; restore it with git",
        AttributeError,
        KeyError,
        TypeError,
    ):
        return {
            stage.removeprefix("validate@"): dep["md5"]
            for stage, entry in parse_mapping(lock, path).get("stages", {}).items()
            for dep in entry.get("deps", [])
            if stage.startswith("validate@") and dep["path"].startswith("data/")
        }


def parse_mapping(text: str, path: str) -> dict[str, Any]:
    """Parse a YAML mapping. Raises UserError if the text is something else."""
    parsed = params.parse_yaml(text, path) or {}
    if not isinstance(parsed, dict):
        raise errors.UserError(f"{path}: has no keys; restore it with git")
    return parsed


def report(compared: list[Change], margin: float) -> str:
    """Render a table with a verdict for each net, as Markdown.

    All changes are one family of tests. margin: see Verdict.
    """
    words = {change.name: verdict_without_test(change) for change in compared}
    to_test = [change for change in compared if not words[change.name]]
    tested = verdicts(
        [(f"{change.name} after", f"{change.name} before") for change in to_test],
        [
            compare(change.after, change.before)
            for change in to_test
            if change.before and change.after
        ],
        margin,
    )
    names = [change.name for change in to_test]
    words |= dict(zip(names, map(bold, tested), strict=True))
    return render(
        Path(__file__).with_name("changes.md.jinja"),
        changes=compared,
        verdicts=words,
        tested=names,
        differ=[n for n, v in zip(names, tested, strict=True) if v.is_difference],
        margin=margin,
    )


def verdict_without_test(change: Change) -> str:
    """Return a verdict that needs no test, or an empty string."""
    before, after = change.before, change.after
    if before is None or after is None:
        return "new" if before is None else "removed"
    if before.in_folds != after.in_folds:
        return "cannot compare: another split"
    first, second = (each.table.filter(["fold", "label"]) for each in (before, after))
    if before.data != after.data or not first.equals(second):
        if before.data == after.data and before.in_folds:
            return "cannot compare: not all folds"
        if bool(before.data) != bool(after.data):
            return f"cannot compare: {LOCK} does not name the data"
        return "cannot compare: scored on different data"
    common = before.correct.index.intersection(after.correct.index)
    if len(common) and before.correct.loc[common].equals(after.correct.loc[common]):
        if before.correct.index.equals(after.correct.index):
            return SAME
        return f"none: same predictions for the seeds in common ({seeds(before, after)})"
    if before.in_folds:
        return "" if before.n_folds >= MIN_FOLDS else "cannot compare: not all folds"
    if min(len(before.correct), len(after.correct)) < MIN_SEEDS:
        return f"no verdict: it needs {MIN_SEEDS} seeds ({seeds(before, after)})"
    return ""


def seeds(before: Scored, after: Scored) -> str:
    return f"seeds: {len(before.correct)} → {len(after.correct)}"


def bold(verdict: Verdict) -> str:
    """Return the verdict, in bold if something changed."""
    return f"**{verdict}**" if verdict.is_difference else in_full(verdict)


if __name__ == "__main__":
    cli.run(
        main,
        cli.BASE,
        cli.argument(
            "revision", nargs="?", help="a commit to compare instead of the workspace"
        ),
    )
