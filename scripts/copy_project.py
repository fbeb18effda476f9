"""A copy of the project to try things on."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]


def copy_project(folder: Path) -> None:
    """Copy what git tracks, or would, to `folder`, and make that a repository."""
    names = git("ls-files", "-co", "--exclude-standard", folder=ROOT)
    for name in names.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    git("init", "-q", "-b", "main", folder=folder)
    git("add", "-A", folder=folder)
    somebody = ["-c", "user.name=Copy", "-c", "user.email=copy@localhost"]
    git(*somebody, "commit", "-q", "-m", "a copy", folder=folder)


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


def git(*arguments: str, folder: Path) -> str:
    """What git prints, whatever the settings of who runs it."""
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=os.environ | nobody,
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ).stdout
