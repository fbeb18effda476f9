"""git, DVC, and temporary copies of the project."""

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

if TYPE_CHECKING:  # the import takes a second
    from dvc.repo import Repo
    from dvc.stage import Stage

ROOT = Path(__file__).parents[2]
MIRROR = "CIFAR10_MIRROR"
# A copy must not depend on the git settings of the user.
NO_GIT_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
RUN = """
import json, runpy, sys
for name, (module, *arguments) in json.loads(sys.argv[1]).items():
    print(f"Running stage '{name}':", flush=True)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def git(*command: str, cwd: Path | None = None) -> str:
    """Run git and return its output. Raises UserError if git fails."""
    ran = _run(["git", *command], cwd=cwd, errors="replace")
    if ran.returncode:
        raise UserError(f"git {' '.join(command)}: {why_git_failed(ran.stderr)}")
    return ran.stdout


def why_git_failed(said: str) -> str:
    """Return what git said, and what to do."""
    # Without a common commit, `git merge-base` says nothing.
    why = next(iter(said.strip().splitlines()), "nothing found")
    if "dubious ownership" in why:  # the files belong to another user, as in a container
        trust = f"git config --global --add safe.directory {Path.cwd()}"
        return f"{why}; if you trust it, run: {trust}"
    return f"{why}; run this in a clone, and name a commit that the clone has"


def dvc(*command: str, cwd: Path | None = None) -> str:
    """Run DVC and return its output. Raises UserError with DVC's own message."""
    ran = _run(
        [sys.executable, "-m", "dvc", *command],
        cwd=cwd,
        # DVC sorts some of its tables by hash values.
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
    """Copy the project, without files that git ignores, into `folder`; commit it there."""
    for name in git("ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    author = ["-c", "user.name=Copy", "-c", "user.email=copy@localhost"]
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        [*author, "commit", "-q", "-m", "a copy"],
    ):
        subprocess.run(
            ["git", *command], cwd=folder, env=os.environ | NO_GIT_SETTINGS, check=True
        )


def images_for_copy(folder: Path) -> dict[str, str]:
    """Return the environment variable with which a copy of the project finds the images.

    folder: where the project has them. If they are not there, MIRROR of this environment
    counts. Empty if neither is a path of this computer.
    """
    mirror = os.environ.get(MIRROR)
    path = folder if folder.exists() or not mirror else Path(mirror).expanduser()
    return {MIRROR: str(path.absolute())} if path.exists() else {}


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
    """Return every stage by its full name, each after the stages it depends on."""
    ordered = reversed(list(nx.topological_sort(repo.index.graph)))
    return {
        f"{stage.path_in_repo}:{stage.name}".removeprefix("dvc.yaml:"): stage
        for stage in ordered
    }


def run_in_one_process(
    folder: Path, commands: Mapping[str, str], show_output: bool, **environment: str
) -> None:
    """Run commands of stages one after another in one process, to import torch only once.

    commands: by the stage's name. Raises UserError if a stage fails; if output is hidden,
    with the last line of stderr.
    """
    modules = {name: shlex.split(command)[2:] for name, command in commands.items()}
    ran = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(modules)],
        cwd=folder,
        # Cells also train in that process: another one would import torch again.
        env=os.environ | {"LOKY_MAX_CPU_COUNT": "1"} | environment,
        capture_output=not show_output,
        encoding="utf-8",
    )
    if ran.returncode:
        lines = (ran.stderr or "see above").strip().splitlines()
        raise UserError(f"a stage failed in {folder.name}: {lines[-1]}")
