"""Carry results over to changed code that computes the same bytes.

Runs every stage that needs data or models twice, with the code of BASE and with the code
of this folder: one epoch, two seeds. If models, losses, predictions and metrics are equal
byte for byte, dvc.lock gets the new code's hashes, and nothing is trained again. If any
differ, nothing is changed, and the stages that differ are named.
"""

import filecmp
import os
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
from scripts.verify import told_apart

# Two seeds, for statistics over seeds are among the bytes that are compared.
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
        print("Every stage runs for one epoch, with both versions of the code.", flush=True)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run_stages, (old, new)))
        compare(old, new)
    print(
        f"The same bytes in all {update_locks()} stages; dvc.lock has this code's hashes."
    )
    print("Next: `dvc repro --allow-missing`, for tables and pictures.")


def stages_of(repo: Repo) -> dict[str, Stage]:
    """The stages whose results can be carried over, each after those it depends on.

    They read or write what is not in git, and dvc.lock has their results.
    """
    found = {}
    for name, stage in repository.stages(repo).items():
        paths = [item.fs_path for item in (*stage.deps, *stage.outs)]
        if any(map(repo.scm.is_ignored, paths)) and any(o.hash_info for o in stage.outs):
            found[name] = stage
    return found


def refuse_stale(old: Path, base: str) -> None:
    """Only results that are those of BASE's own code can be carried over from it."""
    with Repo(str(old)) as repo:
        names = {stage.addressing: name for name, stage in stages_of(repo).items()}
        status = {names[k]: each for k, each in repo.status().items() if k in names}
    stale, _ = told_apart(status)
    if stale:
        raise errors.UserError(
            f"{base[:7]}: its results are not those of its own code ({stale[0]}); "
            "name a commit that passes `make verify`"
        )
    for name in ("metrics", "results", "notebook/results"):
        if git("diff", "--name-only", base, "--", name):
            raise errors.UserError(
                f"{name}: differs from {base[:7]}, whose results are carried over; "
                f"`git checkout {base[:7]} -- {name}` restores it"
            )


def refuse_other_results(old: Path, new: Path) -> None:
    """What dvc.lock says here of models and data has to be what it says in BASE."""
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
                f"dvc.lock: {name}: {path} is not that of the base; take its dvc.lock"
            )


def shorten(old: Path, new: Path) -> None:
    """Shorten both params.yaml. What one epoch does not show has to be the same in both."""

    def lengths(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
        for key, each in value.items() if isinstance(value, dict) else ():
            if key in SHORT:
                yield f"{path}{key}", each
            yield from lengths(each, f"{path}{key}.")

    before, after = (dict(lengths(params.read_yaml(f / params.PARAMS))) for f in (old, new))
    for key in before.keys() & after.keys():
        if before[key] != after[key]:
            raise errors.UserError(
                f"{params.PARAMS}: {key}: {before[key]} became {after[key]}, which one "
                "epoch cannot tell; train again"
            )
    for folder, keys in ((old, before), (new, after)):
        edit_params(folder, {key: SHORT[key.rpartition(".")[2]] for key in keys})


def run_stages(folder: Path) -> None:
    with Repo(str(folder)) as repo:
        stages = stages_of(repo)
    # The copies find the data where it is already, or on a path from here.
    path = Path(os.environ.get("CIFAR10_MIRROR") or cifar10.FOLDER).expanduser().absolute()
    mirror = {"CIFAR10_MIRROR": str(path)} if path.exists() else {}
    # One of the two shows how far they are.
    repository.run_in_one_process(folder, stages, folder.name == "new", **mirror)


def compare(old: Path, new: Path) -> None:
    """Compare what both made. Raises UserError: the stages that differ."""
    differing: dict[str, str] = {}
    with Repo(str(new)) as repo:
        for name, stage in stages_of(repo).items():
            for path in files_of(stage, old, new):
                before, after = old / path, new / path
                both = before.is_file() and after.is_file()
                if not both or not filecmp.cmp(before, after, shallow=False):
                    differing.setdefault(name, path.as_posix())
    if differing:
        each = ", ".join(f"{name} ({path})" for name, path in differing.items())
        raise errors.UserError(f"other bytes, so nothing was changed: {each}; train again")


def files_of(stage: Stage, old: Path, new: Path) -> list[Path]:
    """The files that either version wrote for a stage of `new`, as paths in both."""
    found: set[Path] = set()
    for out in (Path(out.fs_path).relative_to(new) for out in stage.outs):
        for root in (old, new):
            files = (root / out, *(root / out).rglob("*"))
            found |= {file.relative_to(root) for file in files if file.is_file()}
    return sorted(found)


def update_locks() -> int:
    """Write hashes and paths of this folder's code into dvc.lock; return for how many."""
    with Repo() as repo, repo.lock:
        stages = stages_of(repo).values()
        for stage in stages:
            for item in (*stage.deps, *stage.outs):
                # What git ignores may be missing or another run's: its hash stays.
                if not repo.scm.is_ignored(item.fs_path):
                    item.save()
            stage.dump(update_pipeline=False)
        return len(stages)


if __name__ == "__main__":
    cli.run(main, cli.BASE)
