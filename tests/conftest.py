"""What the tests share: small params, small data, and one small run of everything."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from benchmark import cifar10, classes, dataset, params, recipe
from notebook import rows
from notebook import train as notebook_train
from scripts.copy_project import copy_project, edit_params

torch.set_num_threads(1)
# The tests train here, whatever cluster there is, and whatever runs them.
for name in ("DASK_SCHEDULER_ADDRESS", "CHECKPOINTS", "DVC_ROOT", "DVC_STAGE"):
    os.environ.pop(name, None)
# Seeds in turn, in the stage's own process: no others to start, each with its torch.
os.environ["LOKY_MAX_CPU_COUNT"] = "1"

ROOT = Path(__file__).parents[1]
ARCHITECTURES = list(params.load(ROOT / "params.yaml").architectures)

# Every stage and every architecture in as little time as can be.
SMALL = {
    "data.source": "synthetic",
    "data.synthetic.train_images": 60,
    "data.synthetic.val_images": 20,
    "model.n_chans": 4,
    "model.n_blocks": 2,
    "train.epochs": 2,
    "train.batch_size": 16,
    "train.seeds": 2,
}
SMALL_NET = {"n_chans": 4, "n_blocks": 3, "p": 0.4}
# No test depends on who runs it: git has neither a name nor settings.
NOBODY = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
# In a namespace of its own a process has no network, and can mount what it likes.
UNSHARE = ["unshare", "--user", "--map-root-user"]
NAMESPACES = (
    bool(shutil.which("unshare"))
    and not subprocess.run(
        [*UNSHARE, "--mount", "--net", "true"], capture_output=True
    ).returncode
)
WITHOUT_NETWORK = [*UNSHARE, "--net"] if NAMESPACES else []
# A device with no numbers is everywhere; a GPU is used where there is one.
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
OTHER_DEVICES = ["meta", pytest.param("cuda", marks=NO_GPU)]
COMMIT = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid", "commit"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first, so that one process does it and the other the rest."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")


def run(*command: str, cwd: Path, check: bool = True, **environment: str) -> str:
    """Run a command with the tests' Python first in PATH; return all it printed."""
    here = str(Path(sys.executable).parent)
    program = shutil.which(command[0], path=os.pathsep.join([here, os.environ["PATH"]]))
    ran = subprocess.run(
        [program or command[0], *command[1:]],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=os.environ
        | NOBODY
        | {"PATH": os.pathsep.join([here, os.environ["PATH"]]), "PYTHONIOENCODING": "utf-8"}
        | environment,
    )
    assert not check or ran.returncode == 0, ran.stdout
    return ran.stdout


class RunsCode:
    """Unpickled, it makes a folder."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("it-ran",)


def imported_files(file: Path, exempt: Collection[Path] = ()) -> set[Path]:
    """The project's files that `file` imports, and those that they import.

    Exempt files do not count, nor does what only they import.
    """
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
            for name in names:
                path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
                if path.is_file() and path not in found and path not in exempt:
                    found.add(path)
                    waiting.append(path)
    return found


def copy_of_project(folder: Path) -> Path:
    """The files that git tracks, or would, as a repository of their own."""
    copy_project(folder)
    return folder


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with params.yaml and the architectures, as current directory."""
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    shutil.copytree(
        ROOT / "architectures",
        tmp_path / "architectures",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIFAR10_MIRROR", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


@pytest.fixture
def small_data(workplace):
    """A workplace with params for a short training, random images, and the code."""
    shutil.copyfile(ROOT / "dvc.yaml", workplace / "dvc.yaml")
    for package in ("benchmark", "stages"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, workplace / package, ignore=ignored)
    edit_params(
        workplace,
        {
            "model.n_chans": 4,
            "model.n_blocks": 2,
            "train.epochs": 2,
            "train.batch_size": 16,
            "train.seeds": 2,
        },
    )
    generator = torch.Generator().manual_seed(0)
    (workplace / "data").mkdir()
    torch.save(
        {
            "class_names": ["airplane", "bird"],
            "train_images": torch.randint(
                256, (40, 3, 32, 32), generator=generator, dtype=torch.uint8
            ),
            "train_labels": torch.arange(40) % 2,
            "val_images": torch.zeros(4, 3, 32, 32, dtype=torch.uint8),
            "val_labels": torch.arange(4) % 2,
        },
        workplace / "data" / "cifar2.pt",
    )
    return workplace


@pytest.fixture
def notebook_tasks(small_data: Path) -> Callable[..., list[notebook_train.Task]]:
    """Makes the tasks of two seeds of a row of notebook/params.yaml, on few images."""
    shutil.copytree(ROOT / "notebook", small_data / "notebook")
    data = dataset.load([0.5] * 3, [0.25] * 3)

    def make(name: str, **changes: object) -> list[notebook_train.Task]:
        table = rows.load(params.load())
        row = table.rows[name].model_copy(update={"epochs": 3, **changes})
        settings = rows.settings_of(row, SMALL_NET)
        what = {"row": row.model_dump(), "settings": settings, **vars(data)}
        return [
            notebook_train.Task(
                name,
                row,
                recipe.find(row.architecture),
                seed,
                settings,
                data,
                notebook_train.path_of(name, seed, what),
            )
            for seed in (0, 1)
        ]

    return make


@pytest.fixture
def ten_classes() -> dict[str, bytes]:
    """Seven files in the official format: each class 3 times in each batch."""
    generator = np.random.default_rng(1)
    names = classes.CLASS_NAMES
    files = {cifar10.META_FILE: cifar10.write_pickle({"label_names": list(names)})}
    for name in cifar10.TRAIN_FILES + cifar10.VAL_FILES:
        labels = [int(label) for label in generator.permutation(np.arange(30) % 10)]
        data = generator.integers(0, 256, size=(30, 3072), dtype=np.uint8)
        files[name] = cifar10.write_pickle({"labels": labels, "data": data})
    return files


@pytest.fixture
def official(
    ten_classes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """The same files, taken for the official ones."""
    md5s = {name: cifar10.md5(content) for name, content in ten_classes.items()}
    monkeypatch.setattr(cifar10, "OFFICIAL_MD5", md5s)
    return ten_classes


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository where `dvc repro` made everything once, small; all is committed."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # what all processes of this run share
    first = base / "small-run"
    with FileLock(first.with_suffix(".lock")):
        if not first.exists():
            repository = copy_of_project(tmp_path_factory.mktemp("small") / "run")
            edit_params(repository, SMALL)
            run(*WITHOUT_NETWORK, "dvc", "repro", cwd=repository)
            run("git", "add", "-A", cwd=repository)
            run("git", *COMMIT, "-q", "-m", "small run", cwd=repository)
            repository.rename(first)
    repository = tmp_path_factory.mktemp("repository") / "run"
    shutil.copytree(first, repository, symlinks=True)
    return repository


@pytest.fixture
def clone(small_run: Path, tmp_path: Path) -> Path:
    """A clone of the small run: neither data, nor models, nor cache."""
    run("git", "clone", "-q", str(small_run), str(tmp_path / "clone"), cwd=tmp_path)
    return tmp_path / "clone"


@pytest.fixture
def scratch(small_run: Path) -> Iterator[Path]:
    """The small run; whatever a test does to tracked files is taken back."""
    yield small_run
    run("git", "checkout", "-q", ".", cwd=small_run)
    shutil.rmtree(small_run / "checkpoints", ignore_errors=True)
