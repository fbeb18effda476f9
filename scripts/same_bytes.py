"""Carry results over to changed code that computes the same bytes.

Runs every stage that needs data or models twice, with the code of BASE and with the code
of this folder: one epoch, two seeds. If models, losses, predictions and metrics are equal
byte for byte, dvc.lock gets the new code's hashes, and nothing is trained again. If any
differ, nothing is changed, and the stages that differ are named.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import networkx as nx
from dvc.repo import Repo
from dvc.stage import Stage
from tqdm import tqdm

from benchmark import cifar10, errors, params
from benchmark.files import write_whole
from scripts.changes import git
from scripts.copy_project import copy_project, edit_params
from scripts.verify import told_apart

# Where params.yaml is.
PIPELINES = (Path(), Path("notebook"))
# Two seeds, for statistics over seeds are among the bytes that are compared.
SHORT = {"epochs": 1, "seeds": 2}
DONE = "done\n"
RUN = """
import json, runpy, sys
for module, *arguments in json.loads(sys.argv[1]):
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    print("done", flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.same_bytes", description=__doc__
    )
    parser.add_argument("base", help="the commit whose results are carried over: main")
    base = git("rev-parse", "--verify", f"{parser.parse_args().base}^{{commit}}").strip()
    with tempfile.TemporaryDirectory(prefix="same-bytes-") as name:
        old, new = Path(name, "old"), Path(name, "new")
        git("clone", "-q", "--no-checkout", ".", str(old))
        git("-C", str(old), "checkout", "-q", base)
        copy_project(new)
        refuse_stale(old, base)
        refuse_other_lengths(old, new)
        run_both(old, new)
        fewer = compare(old, new)
    write_metrics(fewer)
    carried = update_locks()
    print(f"The same bytes in all {carried} stages; dvc.lock has the hashes of this code.")
    print("Next: `dvc repro --allow-missing`, for tables and pictures.")


def stages_of(repo: Repo) -> list[Stage]:
    """The stages whose results can be carried over, each after those it depends on.

    They read or write what is not in git, and dvc.lock has their results.
    """

    def is_one(stage: Stage) -> bool:
        needs_data = any(map(repo.scm.is_ignored, paths_of(stage)))
        return needs_data and any(out.hash_info for out in stage.outs)

    return list(filter(is_one, reversed(list(nx.topological_sort(repo.index.graph)))))


def paths_of(stage: Stage) -> list[str]:
    return [item.fs_path for item in (*stage.deps, *stage.outs)]


def label(stage: Stage) -> str:
    """Its name as DVC takes it at the repository's root."""
    pipeline = "" if stage.path_in_repo == "dvc.yaml" else f"{stage.path_in_repo}:"
    return f"{pipeline}{stage.name}"


def refuse_stale(old: Path, base: str) -> None:
    """Only results that are those of BASE's own code can be carried over from it."""
    with Repo(str(old)) as repo:
        names = {stage.addressing: label(stage) for stage in stages_of(repo)}
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


def lengths(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key that is shortened, with its value."""
    for key, each in value.items() if isinstance(value, dict) else ():
        if key in SHORT:
            yield f"{path}{key}", each
        else:
            yield from lengths(each, f"{path}{key}.")


def refuse_other_lengths(old: Path, new: Path) -> None:
    """Shorten both. What is shortened is not compared, so it has to be the same in both."""
    for pipeline in PIPELINES:
        before, after = (
            dict(lengths(params.read_yaml(folder / pipeline / params.PARAMS)))
            for folder in (old, new)
        )
        for key in before.keys() & after.keys():
            if before[key] != after[key]:
                raise errors.UserError(
                    f"{pipeline / params.PARAMS}: {key}: {before[key]} became "
                    f"{after[key]}, which one epoch cannot tell; train again"
                )
        for folder, keys in ((old, before), (new, after)):
            short = {key: SHORT[key.rpartition(".")[2]] for key in keys}
            edit_params(folder / pipeline, short)


def run_both(old: Path, new: Path) -> None:
    """Run all stages in both folders side by side."""
    commands = {}
    for folder in (old, new):
        with Repo(str(folder)) as repo:
            commands[folder] = [stage.cmd for stage in stages_of(repo)]
    total = sum(map(len, commands.values()))
    with tqdm(total=total, unit="stage") as progress, ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda each: run_in_one_process(*each, progress), commands.items()))


def run_in_one_process(
    folder: Path, commands: list[str], progress: "tqdm[Any] | None" = None
) -> None:
    """Run commands `python -m …` one after the other; torch is imported only once.

    Raises UserError: the last line of the one that fails.
    """
    modules = [shlex.split(command)[2:] for command in commands]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, json.dumps(modules)],
            cwd=folder,
            # Cells train in this process too, not in others that import torch again.
            env=os.environ | {"LOKY_MAX_CPU_COUNT": "1"} | mirror(),
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
        )
        for line in process.stdout or ():
            if progress is not None:
                progress.update(line == DONE)
        if process.wait():
            log.seek(0)
            last = log.read().strip().splitlines()[-1]
            raise errors.UserError(f"with the code in {folder.name}: {last}")


def mirror() -> dict[str, str]:
    """Where the copies find the data: what is here already, or a path from here."""
    named = os.environ.get("CIFAR10_MIRROR") or str(cifar10.FOLDER)
    is_path = os.path.exists(os.path.expanduser(named))  # noqa: PTH110, PTH111
    return {"CIFAR10_MIRROR": str(Path(named).expanduser().absolute())} if is_path else {}


def compare(old: Path, new: Path) -> dict[Path, set[str]]:
    """Hold what both made against each other. Raises UserError: the stages that differ.

    Returns the metrics that the new code no longer writes, by file: what it does write has
    to be equal, so the committed file only loses those keys.
    """
    differing: dict[str, str] = {}
    fewer: dict[Path, set[str]] = {}
    with Repo(str(new)) as repo:
        for stage in stages_of(repo):
            for path in files_of(stage, new):
                before, after = old / path, new / path
                if before.is_file() and before.read_bytes() == after.read_bytes():
                    continue
                gone = keys_gone(before, after) if "metrics" in path.parts else set()
                if gone:
                    fewer[path] = gone
                else:
                    differing.setdefault(label(stage), path.as_posix())
    if differing:
        each = ", ".join(f"{name} ({path})" for name, path in differing.items())
        raise errors.UserError(f"other bytes, so nothing was changed: {each}; train again")
    return fewer


def files_of(stage: Stage, folder: Path) -> list[Path]:
    """The files that it writes, as paths in the repository."""
    outs = [Path(out.fs_path) for out in stage.outs]
    files = [f for out in outs for f in (sorted(out.rglob("*")) if out.is_dir() else [out])]
    return [file.relative_to(folder) for file in files if not file.is_dir()]


def keys_gone(before: Path, after: Path) -> set[str]:
    """The keys that `after` lacks where all the others are equal, else none."""
    if not (before.is_file() and after.is_file()):
        return set()
    was, now = (json.loads(path.read_text("utf-8")) for path in (before, after))
    return was.keys() - now.keys() if was | now == was else set()


def write_metrics(fewer: dict[Path, set[str]]) -> None:
    for path, gone in fewer.items():
        kept = {k: v for k, v in json.loads(path.read_text()).items() if k not in gone}
        write_whole(path, (json.dumps(kept, indent=2) + "\n").encode())


def update_locks() -> int:
    """Write hashes and paths of this folder's code into dvc.lock; return for how many."""
    with Repo() as repo, repo.lock:
        stages = stages_of(repo)
        for stage in stages:
            for item in (*stage.deps, *stage.outs):
                # What git ignores may be missing or another run's: its hash stays.
                if not repo.scm.is_ignored(item.fs_path):
                    item.save()
            stage.dump(update_pipeline=False)
        return len(stages)


if __name__ == "__main__":
    errors.run(main)
