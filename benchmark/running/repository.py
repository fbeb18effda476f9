"""git and DVC, and copies of the project to try things on."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import networkx as nx
from ruamel.yaml import YAML

from benchmark.running.errors import UserError

if TYPE_CHECKING:  # it takes a second to import
    from dvc.repo import Repo
    from dvc.stage import Stage

ROOT = Path(__file__).parents[2]
# A copy depends neither on who runs git nor on their settings.
ANYBODY = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
RUN = """
import json, runpy, sys
for name, (module, *arguments) in json.loads(sys.argv[1]).items():
    print(f"Running stage '{name}':", flush=True)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def git(*command: str, cwd: Path | None = None) -> str:
    """What git prints. Raises UserError."""
    ran = _run(["git", *command], cwd=cwd, errors="replace")
    if ran.returncode:
        # `git merge-base` says nothing where there is no common commit.
        why = next(iter(ran.stderr.strip().splitlines()), "nothing found")
        raise UserError(
            f"git {' '.join(command)}: {why}; run it in a clone, "
            "with a commit that this clone has"
        )
    return ran.stdout


def dvc(*command: str, cwd: Path | None = None) -> str:
    """What DVC prints. Raises UserError: what it gives as its error."""
    ran = _run(
        [sys.executable, "-m", "dvc", *command],
        cwd=cwd,
        # Some of DVC's tables come in the order of a hash.
        env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8"},
    )
    if ran.returncode:
        why = ran.stderr.rpartition("ERROR: ")[2]
        raise UserError(f"dvc {' '.join(command)}: {' '.join(why.split())}")
    return ran.stdout


def _run(
    command: list[str],
    cwd: Path | None,
    env: Mapping[str, str] | None = None,
    errors: str | None = None,
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, encoding="utf-8", errors=errors
    )


def copy_project(folder: Path) -> None:
    """Copy what git tracks, or would, to `folder`, and make that a repository."""
    for name in git("ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    somebody = ["-c", "user.name=Copy", "-c", "user.email=copy@localhost"]
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        [*somebody, "commit", "-q", "-m", "a copy"],
    ):
        subprocess.run(["git", *command], cwd=folder, env=os.environ | ANYBODY, check=True)


def edit_params(folder: Path, changes: Mapping[str, object]) -> None:
    """Change dotted keys of folder/params.yaml."""
    yaml = YAML()
    path = folder / "params.yaml"
    content = yaml.load(path)
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = content
        for name in sections:
            section = section[name]
        section[last] = value
    yaml.dump(content, path)


def stages(repo: "Repo") -> dict[str, "Stage"]:
    """Every stage, each after those it depends on, by the name DVC takes at the root."""
    ordered = reversed(list(nx.topological_sort(repo.index.graph)))
    return {
        f"{stage.path_in_repo}:{stage.name}".removeprefix("dvc.yaml:"): stage
        for stage in ordered
    }


def run_in_one_process(
    folder: Path, stages: Mapping[str, "Stage"], is_shown: bool, **environment: str
) -> None:
    """Run stages one after the other; torch is imported only once.

    Raises UserError where one fails: its last line, where that is not shown already.
    """
    modules = {name: shlex.split(stage.cmd)[2:] for name, stage in stages.items()}
    ran = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(modules)],
        cwd=folder,
        # Cells train in this process too, not in others that import torch again.
        env=os.environ | {"LOKY_MAX_CPU_COUNT": "1"} | environment,
        capture_output=not is_shown,
        encoding="utf-8",
    )
    if ran.returncode:
        said = (ran.stderr or "see above").strip().splitlines()
        raise UserError(f"a stage failed in {folder.name}: {said[-1]}")
