"""Say for each architecture whether its accuracy changed by more than noise.

Compares the predictions in the workspace, or in a commit, with those of another commit.
Both are in git, so neither data nor models nor DVC's cache are needed.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from pandas.api.types import is_integer_dtype

from benchmark import params
from benchmark.reporting.dvc_lock import LOCK
from benchmark.reporting.render import render
from benchmark.reporting.results import RESULTS
from benchmark.running import cli, errors
from benchmark.running.repository import git
from benchmark.stats.significance import Difference, differences, in_points
from benchmark.stats.uncertainty import right_of

PREDICTIONS = "predictions.csv"
THE_SAME = "none: the same answers"


@dataclass(frozen=True)
class Scored:
    """label: of each image. right: seeds × images. data: the MD5 of what was scored."""

    label: "pd.Series[int]"
    right: pd.DataFrame
    data: str

    @property
    def accuracy(self) -> float:
        return float(self.right.to_numpy().mean())


@dataclass(frozen=True)
class Change:
    """An architecture before and after; None: it was not there."""

    name: str
    before: Scored | None
    after: Scored | None


def main(base: str, revision: str | None) -> None:
    print(report(changes(base, revision)), end="")


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
    """The predictions here, by architecture. Raises UserError."""
    paths = (params.PARAMS, LOCK, *sorted(RESULTS.glob(f"*/{PREDICTIONS}")))
    return of_files(
        # What is no UTF-8 shows as �, which no prediction is.
        {str(p): p.read_text("utf-8", errors="replace") for p in paths if p.exists()}
    )


def of_commit(revision: str) -> dict[str, Scored]:
    """The predictions in a commit, by architecture. Raises UserError."""
    places = f"{RESULTS}/", str(LOCK), str(params.PARAMS)
    listed = git("ls-tree", "-r", "-z", "--name-only", revision, *places)
    # From here, wherever in the repository that is.
    paths = (f"{revision}:./{path}" for path in listed.split("\0") if path)
    wanted = (PREDICTIONS, LOCK.name, params.PARAMS.name)
    return of_files({p: git("show", p) for p in paths if p.rsplit("/")[-1] in wanted})


def of_files(files: Mapping[str, str]) -> dict[str, Scored]:
    """The predictions, by architecture, in the order of their names.

    files: text by where it is from: params.yaml, dvc.lock, and files of predictions.
    Results of an architecture that params.yaml no longer has are left over, not its.
    """
    known: dict[str, Any] | None = None
    data: dict[str, str] = {}
    predictions = {}
    for where, text in files.items():
        match PurePosixPath(where).name:
            case params.PARAMS.name:
                known = mapping(text, where).get("architectures")
            case LOCK.name:
                data = data_of(text, where)
            case _:
                predictions[PurePosixPath(where).parent.name] = where
    return {
        name: scored(files[where], where, data.get(name, ""))
        for name, where in predictions.items()
        if not isinstance(known, dict) or name in known
    }


def scored(text: str, where: str, data: str) -> Scored:
    """What a file of predictions says. Raises UserError where it is none."""
    what_to_do = "make them anew with `dvc repro`"
    with errors.explained(
        f"{where}: no predictions ({{}}); {what_to_do}", ValueError, KeyError
    ):
        predictions = pd.read_csv(io.StringIO(text))
        label, right = predictions["label"], right_of(predictions)
        if right.empty:
            raise ValueError("no column seed_0")
        for name in ("label", *(f"seed_{seed}" for seed in right.index)):
            if not is_integer_dtype(predictions[name]):
                raise ValueError(f"{name} is not a class in every row")
    return Scored(label, right, data)


def data_of(lock: str, where: str) -> dict[str, str]:
    """By architecture, the MD5 of the data that dvc.lock says it was scored on."""
    with errors.explained(
        f"{where}: is no dvc.lock; take it from git", AttributeError, KeyError, TypeError
    ):
        return {
            stage.removeprefix("validate@"): dep["md5"]
            for stage, entry in mapping(lock, where).get("stages", {}).items()
            for dep in entry.get("deps", [])
            if stage.startswith("validate@") and dep["path"].startswith("data/")
        }


def mapping(text: str, where: str) -> dict[str, Any]:
    """What a text of YAML holds. Raises UserError where it holds no keys."""
    found = params.parse_yaml(text, where) or {}
    if not isinstance(found, dict):
        raise errors.UserError(f"{where}: holds no keys; take it from git")
    return found


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
    names = [change.name for change in to_test]
    verdicts |= dict(zip(names, map(words, tested), strict=True))
    return render(
        Path(__file__).with_name("changes.md.jinja"),
        changes=found,
        verdicts=verdicts,
        tested=names,
        real=[n for n, d in zip(names, tested, strict=True) if d.is_significant],
    )


def without_a_test(change: Change) -> str:
    """What can be said at once, or nothing."""
    before, after = change.before, change.after
    if before is None or after is None:
        return "new" if before is None else "removed"
    if before.data != after.data or not before.label.equals(after.label):
        if bool(before.data) != bool(after.data):
            return f"{LOCK} does not say what it was scored on: cannot be compared"
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


if __name__ == "__main__":
    cli.run(
        main,
        cli.BASE,
        cli.argument("revision", nargs="?", help="a commit in place of the workspace"),
    )
