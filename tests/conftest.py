"""Shared by the tests: small params, small data, and one small run of everything."""

import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from ruamel.yaml import YAML

from benchmark import classes, params
from benchmark.data import cifar10
from benchmark.running.files import md5
from benchmark.running.repository import NO_GIT_SETTINGS, copy_project, edit_params
from benchmark.training import recipe
from notebook import rows
from notebook import train as notebook_train
from scripts import verify
from tests import forks

torch.set_num_threads(1)
# The tests train on this machine, whatever the environment says.
for name in ("DASK_SCHEDULER_ADDRESS", "CHECKPOINTS", "DVC_ROOT", "DVC_STAGE"):
    os.environ.pop(name, None)
# Train seeds one after another in the stage's own process, which saves starting others.
os.environ["LOKY_MAX_CPU_COUNT"] = "1"

ROOT = Path(__file__).parents[1]
COMMITTED = params.load(ROOT / "params.yaml")
ROWS = list(COMMITTED.rows)
# A machine, as a record names it.
MACHINE = {"processor": "CPU", "cpu_capability": "AVX2", "torch": "2"}
# Where the real archive is, if it is here.
REAL = ROOT.parent / "shared" / "data" / "cifar-10-python.tar.gz"
# One row for each net: the first of those that differ only in the recipe.
EVERY_NET = list(
    {
        params.row_of(COMMITTED, name).label: name
        for name in reversed(ROWS)
        if not COMMITTED.rows[name].table
    }.values()
)[::-1]
# Those in the two large tables.
ARCHITECTURES = [n for n in EVERY_NET if COMMITTED.rows[n].recipe in ("train", "annealed")]
# Rows for the DVC tests: each value of sized_by, with and without settings and overrides.
FEW = ["baseline", "l2_reg", "dropout", "res_deep"]
# Rows of another recipe, tested in folds.
IN_FOLDS = {
    f"{net}_annealed": {"net": net, "recipe": "annealed", "sized_by": size}
    for net, size in {
        "baseline": "data.classes",
        "width": "model.n_chans",
        "depth": "model.n_chans",
    }.items()
}  # fmt: skip

SMALL_ROWS = [*FEW, *IN_FOLDS]

# Small enough to run every stage and every net quickly.
SMALL = {
    "data.source": "synthetic",
    "data.synthetic.train_images": 60,
    "data.synthetic.val_images": 20,
    "model.n_chans": 4,
    "model.n_blocks": 2,
    "train.epochs": 2,
    "train.batch_size": 16,
    "train.seeds": 2,
    **{
        f"{recipe}.{key}": value
        for recipe in COMMITTED.recipes
        for key, value in {"epochs": 2, "batch_size": 16, "seeds": 4}.items()
        if recipe != "train"
    },
}
SMALL_NET = {"n_chans": 4, "n_blocks": 3, "p": 0.4}
# In its own namespace, a process has no network and can mount file systems.
UNSHARE = ["unshare", "--user", "--map-root-user"]
NAMESPACES = (
    bool(shutil.which("unshare"))
    and not subprocess.run(
        [*UNSHARE, "--mount", "--net", "true"], capture_output=True
    ).returncode
)
WITHOUT_NETWORK = [*UNSHARE, "--net"] if NAMESPACES else []
# The meta device is always available; a GPU is used if there is one.
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
OTHER_DEVICES = ["meta", pytest.param("cuda", marks=NO_GPU)]
COMMIT = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid", "commit"]
YAML_SAFE = YAML(typ="safe")
# The longest files first, so that all processes finish at about the same time.
LONGEST = [
    *("any_classes", "runs", "cluster", "kills", "every_row", "same_bytes"),
    *("faults_dvc", "faults"),
    *("one_line", "pr_report", "demo", "shared_cache", "stale", "verify"),
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {f"test_{name}.py": i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(scope="module", autouse=True)
def few_objects() -> Iterator[None]:
    """Hide what is in memory: statsmodels collects garbage in each call."""
    gc.freeze()
    yield
    gc.unfreeze()


def run(
    *command: str, cwd: Path, check: bool = True, is_fresh: bool = False, **environment: str
) -> str:
    """Run a command with the tests' Python first in PATH; return its output.

    is_fresh: start a new Python, as a user does, instead of forking one (forks.py).
    """
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join([here, os.environ["PATH"]])
    env = (
        os.environ
        | NO_GIT_SETTINGS
        | {"PATH": path, "PYTHONIOENCODING": "utf-8"}
        | environment
    )
    module = ["dvc", *command[1:]] if command[0] == "dvc" else command[2:]
    if command[:2] == ("python", "-m") or command[0] == "dvc":
        # A fork would wait minutes for joblib's idle processes to end.
        is_fresh |= env["LOKY_MAX_CPU_COUNT"] != "1"
        if forks.ARE_POSSIBLE and not is_fresh:
            code, printed = forks.run(*module, cwd=cwd, environment=env)
            assert not check or code == 0, printed
            return printed
        command = (sys.executable, "-m", *module)
    ran = subprocess.run(
        command,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=env,
    )
    assert not check or ran.returncode == 0, ran.stdout
    return ran.stdout


def commit(repository: Path, message: str = "a change") -> None:
    run("git", "add", "-A", cwd=repository)
    run("git", *COMMIT, "-q", "-m", message, cwd=repository)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


# Changes for tables of tests: each returns a function that changes a folder.
Damage = Callable[[Path], object]


def edited(name: str, change: Callable[[str], str]) -> Damage:
    def do(folder: Path) -> None:
        path = folder / name
        path.write_text(change(path.read_text("utf-8")), "utf-8")

    return do


def holds(name: str | Path, content: str | bytes) -> Damage:
    made = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / name).write_bytes(made)


def gone(name: str | Path) -> Damage:
    return lambda folder: (folder / name).unlink()


def changed(key: str, value: object, where: str = ".") -> Damage:
    return lambda folder: edit_params(folder / where, {key: value})


def keep_rows(path: Path, section: str, names: Iterable[str]) -> None:
    """Take all other rows out of one section of a params file."""
    yaml = YAML()
    content = yaml.load(path)
    for name in set(content[section]) - set(names):
        del content[section][name]
    yaml.dump(content, path)


def modified(repository: Path, notebook: bool = False) -> set[str]:
    """Return the stages that DVC would run because code, params or results changed.

    notebook: include the stages of notebook/dvc.yaml, which `dvc repro` does not run.
    """
    pipelines = [verify.BENCHMARK, *([verify.NOTEBOOK] if notebook else [])]
    with chdir(repository):
        found = [verify.split_status(verify.dvc_status(each))[0] for each in pipelines]
    stages = {line.split(": ")[0] for lines in found for line in lines}
    return {stage.rpartition(":")[2] for stage in stages}


def ran(printed: str) -> set[str]:
    """Return the stages that `dvc repro` ran, from its output."""
    lines = printed.splitlines()
    return {line.split("'")[1] for line in lines if line.startswith("Running stage '")}


def check_results(name: str, loaded: params.Params, n_val: int) -> None:
    """Check that the committed files of a net, in the current folder, are consistent."""
    row = params.row_of(loaded, name)
    folder, training = Path("results") / name, row.training
    seeds = pd.read_csv(folder / "seeds.csv", index_col="seed")
    curve = pd.read_csv(folder / "loss_curve.csv", index_col="seed")
    predictions = pd.read_csv(folder / "predictions.csv", index_col="example")
    assert list(seeds.index) == list(range(training.seeds))
    in_folds = training.split == "folds"
    n_folds = predictions["fold"].nunique() if in_folds else 1
    fold = ["fold"] if in_folds else []
    assert list(predictions) == [*fold, "label", *(f"seed_{seed}" for seed in seeds.index)]
    n_images = n_folds * n_val / 2
    assert predictions["label"].value_counts().to_dict() == {0: n_images, 1: n_images}
    for seed, accuracy in seeds["val_accuracy"].items():
        tested = predictions[predictions[f"seed_{seed}"].notna()]
        assert len(tested) == n_val
        if in_folds:
            assert set(tested["fold"]) == {seed % n_folds}
        right = (tested[f"seed_{seed}"] == tested["label"]).mean()
        assert right == pytest.approx(accuracy)
        assert list(curve["epoch"][seed]) == list(range(1, training.epochs + 1))
        # Training and validate must measure the same accuracy.
        assert curve["val_accuracy"][seed].iloc[-1] == accuracy
    net = recipe.build_model(recipe.load_architecture(row.net), 2, row.settings)
    folds = {"fold_0_accuracy": seeds["val_accuracy"][::n_folds].mean(), "n_folds": n_folds}
    assert json.loads(Path(f"metrics/{name}.json").read_text()) == pytest.approx(
        {
            "params": recipe.n_parameters(net),
            "train_accuracy": seeds["train_accuracy"].mean(),
            "val_accuracy": seeds["val_accuracy"].mean(),
            "val_accuracy_std": seeds["val_accuracy"].std(),
        }
        | (folds if in_folds else {}),
        abs=1e-6,
    )
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["threads"] == training.threads


class Clip(torch.autograd.Function):
    """Clips in the forward pass; the backward pass returns the gradient unchanged."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(-0.5, 0.5)

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class RunsCode:
    """Creates a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("it-ran",)


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
    return tmp_path


@pytest.fixture
def small_data(workplace: Path) -> Path:
    """A workplace with params for a short training, and random images."""
    edit_params(workplace, {k: v for k, v in SMALL.items() if not k.startswith("data.")})
    keep_rows(workplace / "params.yaml", "rows", EVERY_NET)
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
def notebook_cells(small_data: Path) -> Callable[..., tuple]:
    """A function that returns a row of the notebook and two cells with few images."""
    shutil.copytree(ROOT / "notebook", small_data / "notebook")

    def make(name: str, **changes: object) -> tuple:
        changed = {f"rows.{name}.{k}": v for k, v in ({"epochs": 3} | changes).items()}
        edit_params(small_data / "notebook", {"seeds": 2} | changed)
        loaded = params.load()
        table = rows.load()
        return notebook_train.cells(loaded, table, name), table.rows[name]

    return make


def official_files(per_class: int) -> dict[str, bytes]:
    """Return seven files in the official format, with random images of all classes."""
    generator = np.random.default_rng(1)
    names = classes.CLASS_NAMES
    files = {cifar10.META_FILE: cifar10.write_pickle({"label_names": list(names)})}
    n = per_class * len(names)
    for name in cifar10.TRAIN_FILES + cifar10.VAL_FILES:
        labels = [int(label) for label in generator.permutation(np.arange(n) % len(names))]
        data = generator.integers(0, 256, size=(n, 3072), dtype=np.uint8)
        files[name] = cifar10.write_pickle({"labels": labels, "data": data})
    return files


@pytest.fixture
def ten_classes() -> dict[str, bytes]:
    """Seven files in the official format: each class 3 times in each batch."""
    return official_files(per_class=3)


@pytest.fixture
def official(
    ten_classes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """The same files, with their MD5s in place of the official ones."""
    md5s = {name: md5(content) for name, content in ten_classes.items()}
    monkeypatch.setattr(cifar10, "OFFICIAL_MD5", md5s)
    return ten_classes


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a few nets: every stage has run once, and all is committed."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # shared by all processes of this run
    first = base / "small-run"
    with FileLock(first.with_suffix(".lock")):
        if not first.exists():
            repository = tmp_path_factory.mktemp("small") / "run"
            copy_project(repository)
            for folder in ("metrics", "results"):  # of all rows
                shutil.rmtree(repository / folder)
            keep_rows(repository / "params.yaml", "rows", FEW)
            edit_params(repository, {f"rows.{k}": row for k, row in IN_FOLDS.items()})
            keep_rows(repository / "notebook/params.yaml", "rows", ["dropout", "res_deep"])
            edit_params(repository, SMALL)
            edit_params(repository / "notebook", {"rows.res_deep.blocks": 2, "seeds": 2})
            edit_params(repository / "notebook", {f"rows.{r}.epochs": 1 for r in FEW[2:]})
            run("dvc", "repro", "dvc.yaml", "notebook/dvc.yaml", cwd=repository)
            commit(repository, "a small run")
            repository.rename(first)
    repository = tmp_path_factory.mktemp("repository") / "run"
    shutil.copytree(first, repository, symlinks=True)
    return repository


@pytest.fixture
def clone(small_run: Path, tmp_path: Path) -> Path:
    """A clone of the small run, without data, models and cache."""
    run("git", "clone", "-q", str(small_run), str(tmp_path / "clone"), cwd=tmp_path)
    return tmp_path / "clone"


@pytest.fixture
def scratch(small_run: Path) -> Iterator[Path]:
    """The small run. Afterwards, all changes to it are undone."""
    yield small_run
    run("git", "checkout", "-q", "-f", "main", cwd=small_run)
    run("git", "clean", "-q", "-fd", cwd=small_run)
    if (small_run / "checkpoints").exists():
        shutil.rmtree(small_run / "checkpoints")


@pytest.fixture
def retrained(scratch: Path) -> Iterator[Path]:
    """The small run. Afterwards, models that the test replaced are restored, too."""
    yield scratch
    run("git", "checkout", "-q", "-f", "main", cwd=scratch)
    run("dvc", "checkout", "-q", "--force", cwd=scratch)
