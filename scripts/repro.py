"""Run everything that is not up to date: `dvc repro`, with all training in one pool.

DVC runs its stages one after another, so it trains only the seeds of one row at a time.
This script first trains the missing cells of all rows together, as pool.py does; then
DVC's stages collect them. Plain `dvc repro` gives the same bytes.
"""

import sys
from collections.abc import Callable

from dvc.cli import main as run_dvc
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import Stage
from dvc.stage.cache import RunCacheNotFoundError
from dvc_data.hashfile.hash_info import HashInfo

from benchmark import params, pool
from benchmark.running import cli, errors
from benchmark.training import plan

REDRAWN = ("compare", "convolve", "report", "describe")


def main(recipe: str | None) -> None:
    loaded = params.load()
    tables = {name: params.row_of(loaded, name).table for name in loaded.rows}
    rows = [name for name, table in tables.items() if recipe in (None, table)]
    if not rows:
        known = ", ".join(dict.fromkeys(tables.values()))
        raise errors.UserError(
            f"--recipe: {params.PARAMS} has no row with {recipe!r}; choose one of {known}"
        )
    # With --allow-missing, rows that are up to date need neither data nor models.
    options = ["--allow-missing"] if recipe else []
    dvc("repro", "--quiet", *options, "filter")
    stale = rows_that(changed, rows, allow_missing=bool(recipe))
    if stale and not plan.CIFAR2.exists():
        dvc("repro", "--quiet", "filter")
    pool.train_rows(loaded, *rows_that(must_run, stale))
    if not recipe:
        dvc("repro")
        return
    dvc("repro", *options, *(f"validate@{name}" for name in rows))
    # Without the stages that they depend on, which other rows may need to run again.
    dvc("repro", *options, "--single-item", *REDRAWN)


def rows_that(test: Callable[..., bool], rows: list[str], **options: bool) -> list[str]:
    """Return the rows whose train stage passes the test."""
    with errors.explained("dvc: {}", DvcException), Repo() as repo, repo.lock:
        stages = {stage.addressing: stage for stage in repo.index.stages}
        return [row for row in rows if test(stages[f"train@{row}"], **options)]


def changed(stage: Stage, allow_missing: bool) -> bool:
    """Return whether code, params or data changed, or if the models are missing."""
    return bool(stage.changed(allow_missing))


def must_run(stage: Stage) -> bool:
    """Return whether `dvc repro` would run this stage: its outputs are not in the cache."""
    is_changed = stage.changed_stage() or stage.changed_deps()
    stage.save_deps()
    if is_changed:  # the outputs in dvc.lock are those of the former deps
        for out in stage.outs:
            out.hash_info = HashInfo()
    try:
        stage.repo.stage_cache.restore(stage, dry=True)
    except RunCacheNotFoundError:
        return True
    return False


def dvc(*arguments: str) -> None:
    """Run DVC in this process, which saves its start-up time."""
    if code := run_dvc(list(arguments)):
        sys.exit(code)


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument(
            "--recipe",
            metavar="NAME",
            help="only the table with this name, such as annealed; other rows stay as is",
        ),
    )
