"""Keep the results after a code change, if the new code computes the same bytes.

Runs every stage that needs data or models two times: with the code of BASE, and with the
code in this folder. Each run has one epoch and two seeds. If models, losses, predictions
and metrics are equal byte for byte, the new code's hashes are written to dvc.lock, and
nothing has to be trained again. Otherwise nothing is changed, and the error names the
stages that differ.
"""

import filecmp
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc.stage import Stage

from benchmark import params
from benchmark.data import cifar10
from benchmark.running import cli, errors, repository
from benchmark.running.repository import copy_project, edit_params, git
from scripts.verify import split_status

# Two seeds, because the metrics contain statistics over seeds.
SHORT = {"epochs": 1, "seeds": 2}


def main(base: str) -> None:
    base = git("rev-parse", "--verify", f"{base}^{{commit}}").strip()
    with tempfile.TemporaryDirectory(prefix="same-bytes-") as name:
        old, new = Path(name, "old"), Path(name, "new")
        git("clone", "-q", "--no-checkout", ".", str(old))
        git("checkout", "-q", base, cwd=old)
        copy_project(new)
        refuse_stale(old, base)
        refuse_other_results(old, new)
        for folder in (Path(), Path("notebook")):
            shorten(old / folder, new / folder)
        print(
            "Running the stages with both versions of the code, for one epoch.", flush=True
        )
        # One after the other: DVC cannot read two repositories at a time in one process.
        commands = [commands_of(folder) for folder in (old, new)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run_stages, (old, new), commands))
        compare(old, new)
    print(f"All {update_locks()} stages give the same bytes; dvc.lock has the new hashes.")
    print("Next: `dvc repro --allow-missing`, to update tables and pictures.")


def stages_of(repo: Repo) -> dict[str, Stage]:
    """Return the stages whose results can be kept, each after the stages it depends on.

    These are the stages that read or write files outside git and have results in dvc.lock.
    """
    kept = {}
    for name, stage in repository.stages(repo).items():
        paths = [item.fs_path for item in (*stage.deps, *stage.outs)]
        if any(map(repo.scm.is_ignored, paths)) and any(o.hash_info for o in stage.outs):
            kept[name] = stage
    return kept


def refuse_stale(old: Path, base: str) -> None:
    """Raise UserError if BASE's results do not match BASE's own code."""
    with Repo(str(old)) as repo:
        names = {stage.addressing: name for name, stage in stages_of(repo).items()}
        status = {names[k]: changes for k, changes in repo.status().items() if k in names}
    stale, _ = split_status(status)
    if stale:
        raise errors.UserError(
            f"{base[:7]}: its results do not match its code ({stale[0]}); "
            "name a commit that passes `make verify`"
        )
    for name in ("metrics", "results", "notebook/results"):
        if git("diff", "--name-only", base, "--", name):
            raise errors.UserError(
                f"{name}: differs from {base[:7]}, whose results would be kept; "
                f"restore it with `git checkout {base[:7]} -- {name}`"
            )


def refuse_other_results(old: Path, new: Path) -> None:
    """Raise UserError if dvc.lock has different models or data from BASE."""
    locked = []
    for folder in (old, new):
        with Repo(str(folder)) as repo:
            outs = {
                (n, out.def_path): out for n, s in stages_of(repo).items() for out in s.outs
            }
            locked.append({key: out.hash_info.value for key, out in outs.items()})
    before, after = locked
    for name, path in before.keys() & after.keys():
        if before[name, path] != after[name, path]:
            raise errors.UserError(
                f"dvc.lock: {name}: {path} differs from the base; restore dvc.lock"
            )


def shorten(old: Path, new: Path) -> None:
    """Set one epoch and two seeds in both copies of params.yaml.

    Raises UserError if epochs or seeds differ: the short run would not notice that.
    """

    def lengths(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
        for key, child in value.items() if isinstance(value, dict) else ():
            if key in SHORT:
                yield f"{path}{key}", child
            yield from lengths(child, f"{path}{key}.")

    before, after = (dict(lengths(params.read_yaml(f / params.PARAMS))) for f in (old, new))
    for key in before.keys() & after.keys():
        if before[key] != after[key]:
            raise errors.UserError(
                f"{params.PARAMS}: {key}: changed from {before[key]} to {after[key]}; "
                "this short run cannot check that, so train again"
            )
    for folder, keys in ((old, before), (new, after)):
        edit_params(folder, {key: SHORT[key.rpartition(".")[2]] for key in keys})


def commands_of(folder: Path) -> dict[str, str]:
    with Repo(str(folder)) as repo:
        return {name: stage.cmd for name, stage in stages_of(repo).items()}


def run_stages(folder: Path, commands: dict[str, str]) -> None:
    images = repository.images_for_copy(cifar10.FOLDER)
    # Show the progress of one of the two.
    repository.run_in_one_process(folder, commands, folder.name == "new", **images)


def compare(old: Path, new: Path) -> None:
    """Compare the outputs. Raises UserError with the stages that differ."""
    differing: dict[str, str] = {}
    with Repo(str(new)) as repo:
        for name, stage in stages_of(repo).items():
            for path in files_of(stage, old, new):
                before, after = old / path, new / path
                both = before.is_file() and after.is_file()
                if not both or not filecmp.cmp(before, after, shallow=False):
                    differing.setdefault(name, path.as_posix())
    if differing:
        stages = ", ".join(f"{name} ({path})" for name, path in differing.items())
        raise errors.UserError(
            f"the bytes differ, so nothing was changed: {stages}; train again"
        )


def files_of(stage: Stage, old: Path, new: Path) -> list[Path]:
    """List the files that either version wrote for a stage, relative to both folders."""
    paths: set[Path] = set()
    for out in (Path(out.fs_path).relative_to(new) for out in stage.outs):
        for root in (old, new):
            files = (root / out, *(root / out).rglob("*"))
            paths |= {file.relative_to(root) for file in files if file.is_file()}
    return sorted(paths)


def update_locks() -> int:
    """Write the hashes of this folder's code to dvc.lock; return the number of stages."""
    with Repo() as repo, repo.lock:
        stages = stages_of(repo).values()
        for stage in stages:
            for item in (*stage.deps, *stage.outs):
                # A file outside git may be missing or from another run: keep its hash.
                if not repo.scm.is_ignored(item.fs_path):
                    item.save()
            stage.dump(update_pipeline=False)
        return len(stages)


if __name__ == "__main__":
    cli.run(main, cli.BASE)
