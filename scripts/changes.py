"""Say for each architecture whether its accuracy changed by more than noise.

Compares the predictions in the workspace, or in a commit, with those of another commit.
Both are in git, so neither data nor models nor DVC's cache are needed.
"""

import argparse
import io
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd
from ruamel.yaml import YAML

from benchmark import errors
from benchmark.results import RESULTS, decimal
from benchmark.significance import Difference, differences, in_points
from benchmark.uncertainty import right_of

PREDICTIONS = "predictions.csv"
THE_SAME = "none: the same answers"


@dataclass(frozen=True)
class Scored:
    """label: of each image. right: seeds × images. data: the MD5 of what was scored."""

    label: "pd.Series[int]"
    right: pd.DataFrame
    data: str


@dataclass(frozen=True)
class Change:
    """An architecture before and after; None: it was not there."""

    name: str
    before: Scored | None
    after: Scored | None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.changes", description=__doc__)
    parser.add_argument("base", help="the commit to compare with: main, HEAD~1, a tag")
    parser.add_argument("revision", nargs="?", help="a commit in place of the workspace")
    arguments = parser.parse_args()
    print(report(changes(arguments.base, arguments.revision)))


def changes(base: str, revision: str | None = None) -> list[Change]:
    """Every architecture that either side has results of. Raises UserError."""
    before = of_commit(base)
    after = of_commit(revision) if revision else of_workspace()
    names = [*after, *(name for name in before if name not in after)]
    if not names:
        raise errors.UserError(
            f"no {RESULTS}/*/{PREDICTIONS} in {base} or here; run it where dvc.yaml is"
        )
    return [Change(name, before.get(name), after.get(name)) for name in names]


def of_workspace() -> dict[str, Scored]:
    lock = Path("dvc.lock")
    data = data_of(lock.read_text() if lock.exists() else "")
    return {
        path.parent.name: scored(path.read_text(), str(path), data)
        for path in sorted(RESULTS.glob(f"*/{PREDICTIONS}"))
    }


def of_commit(revision: str) -> dict[str, Scored]:
    """The predictions in a commit, by architecture. Raises UserError."""
    listed = git("ls-tree", "-r", "-z", "--name-only", revision, f"{RESULTS}/", "dvc.lock")
    paths = [Path(path) for path in listed.split("\0") if path]
    # From here, wherever in the repository that is.
    shown = {path: f"{revision}:./{path.as_posix()}" for path in paths}
    data = data_of("".join(git("show", shown[p]) for p in paths if p.name == "dvc.lock"))
    return {
        path.parent.name: scored(git("show", shown[path]), shown[path], data)
        for path in paths
        if path.name == PREDICTIONS
    }


def scored(text: str, where: str, data: dict[str, str]) -> Scored:
    """What a file of predictions says. Raises UserError where it is none."""
    try:
        predictions = pd.read_csv(io.StringIO(text))
        label, right = predictions["label"], right_of(predictions)
        if right.empty:
            raise ValueError("no column seed_0")
    except (ValueError, KeyError) as error:
        raise errors.UserError(
            f"{where}: no predictions ({error}); make them anew with `dvc repro`"
        ) from None
    name = PurePosixPath(where).parent.name
    return Scored(label, right, data.get(name, ""))


def data_of(lock: str) -> dict[str, str]:
    """By architecture, the MD5 of the data that dvc.lock says it was scored on."""
    stages = (YAML(typ="safe").load(lock) or {}).get("stages", {})
    return {
        stage.removeprefix("validate@"): dep["md5"]
        for stage, entry in stages.items()
        for dep in entry.get("deps", [])
        if stage.startswith("validate@") and dep["path"].startswith("data/")
    }


def git(*command: str) -> str:
    ran = subprocess.run(["git", *command], capture_output=True, encoding="utf-8")
    if ran.returncode:
        # `git merge-base` says nothing where there is no common commit.
        why = next(iter(ran.stderr.strip().splitlines()), "nothing found")
        raise errors.UserError(
            f"git {' '.join(command)}: {why}; name a commit that this clone has"
        )
    return ran.stdout


def report(found: list[Change]) -> str:
    """A table in words, as Markdown."""
    verdicts = {change.name: without_a_test(change) for change in found}
    to_test = [change for change in found if not verdicts[change.name]]
    tested = differences(
        {
            f"{change.name} {when}": side.right.to_numpy(float)
            for change in to_test
            for when, side in (("before", change.before), ("after", change.after))
            if side
        },
        [(f"{change.name} after", f"{change.name} before") for change in to_test],
    )
    for change, difference in zip(to_test, tested, strict=True):
        verdicts[change.name] = words(difference)
    lines = ["| architecture | val before | val after | change |", "|---|---:|---:|---|"]
    lines += [
        f"| {c.name} | {mean(c.before)} | {mean(c.after)} | {verdicts[c.name]} |"
        for c in found
    ]
    real = [
        change.name
        for change, difference in zip(to_test, tested, strict=True)
        if difference.is_significant
    ]
    lines += [
        "",
        f"More than noise: {', '.join(real) or 'nothing'}. "
        f"{len(to_test)} architecture(s) were tested, as one family (Holm).",
    ]
    return "\n".join(lines)


def without_a_test(change: Change) -> str:
    """What can be said at once, or nothing."""
    before, after = change.before, change.after
    if before is None or after is None:
        return "new" if before is None else "removed"
    if before.data != after.data or not before.label.equals(after.label):
        return "scored on other data: cannot be compared"
    common = before.right.index.intersection(after.right.index)
    if len(common) and before.right.loc[common].equals(after.right.loc[common]):
        if before.right.index.equals(after.right.index):
            return THE_SAME
        return f"none: seeds that both have answer the same ({seeds(before, after)})"
    if min(len(before.right), len(after.right)) < 2:
        return f"with one seed nothing can be said ({seeds(before, after)})"
    return ""


def seeds(before: Scored, after: Scored) -> str:
    return f"seeds: {len(before.right)} → {len(after.right)}"


def words(difference: Difference) -> str:
    if difference.is_significant:
        return f"**{difference}**"
    low, high = difference.points.low, difference.points.high
    return f"not more than noise (95%: {in_points(low)} to {in_points(high)} points)"


def mean(side: Scored | None) -> str:
    return decimal(side.right.to_numpy().mean()) if side else "–"


if __name__ == "__main__":
    errors.run(main)
