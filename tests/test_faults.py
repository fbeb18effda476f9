"""Errors are one line, leave no half-written file, and the next run succeeds."""

import shutil

import pytest

from tests.conftest import NAMESPACES, ROOT, UNSHARE, edit_params, run

pytestmark = pytest.mark.slow
needs_mounts = pytest.mark.skipif(not NAMESPACES, reason="no user namespaces here")


def stage(*command, before="", folder, processes=1):
    """Run a stage and return its output. before: a shell command that mounts something."""
    words = ["python", "-m", f"stages.{command[0]}", *command[1:]]
    if before:
        namespace = [*UNSHARE, "--mount"] if NAMESPACES else []
        words = [*namespace, "sh", "-c", f"{before} && exec {' '.join(words)}"]
    return run(
        *words, cwd=folder, check=False, PYTHONPATH=str(ROOT),
        LOKY_MAX_CPU_COUNT=str(processes),
    )  # fmt: skip


def error_of(printed):
    """Return the line that starts with error."""
    assert "Traceback" not in printed, printed
    [line] = [line for line in printed.splitlines() if line.startswith("error: ")]
    return line


def contents(folder):
    """Every file except locks, which remain."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A folder with a trained baseline, which the tests in this file share."""
    return tmp_path_factory.mktemp("once") / "trained"


@pytest.fixture
def trained(small_data, once):
    """A workplace where the baseline was trained and scored."""
    if not once.exists():
        for name in ("train", "validate"):
            assert "error" not in stage(name, "baseline", folder=small_data)
        assert not list((small_data / "checkpoints").glob("*.pt"))
        shutil.rmtree(small_data / "checkpoints")  # so that the tests train again
        shutil.copytree(small_data, once)
    shutil.copytree(once, small_data, dirs_exist_ok=True)
    return small_data


FULL = "mount -t tmpfs -o nr_inodes=1 full {}"
READ_ONLY = "mount --bind {0} {0} && mount -o remount,bind,ro {0}"


@needs_mounts
@pytest.mark.parametrize(
    ("name", "place", "fault", "cause"),
    [
        ("train", "models", FULL, "No space left on device"),
        ("train", "checkpoints", READ_ONLY, "Read-only file system"),
        ("validate", "metrics", READ_ONLY, "Read-only file system"),
        ("export", "data", FULL, "No space left on device"),
    ],
)
def test_a_read_only_folder(trained, name, place, fault, cause):
    command = [name, "baseline"][: 1 if name == "export" else 2]
    for folder in ("checkpoints", "data"):
        (trained / folder).mkdir(exist_ok=True)
    if name == "export":  # reads nothing there
        shutil.rmtree(trained / "data")
        (trained / "data").mkdir()
    before = contents(trained)
    said = error_of(stage(*command, before=fault.format(place), folder=trained))
    assert place in said and cause in said
    after = contents(trained)
    kept = {path for path in after if path.startswith("checkpoints/")}
    assert {path: after[path] for path in after.keys() - kept} == before
    assert all(path.endswith(".zip") for path in kept)

    printed = stage(*command, folder=trained)
    assert "error" not in printed
    # The trained model was not lost.
    if name == "train":
        assert ("2 training runs" in printed) == (place == "checkpoints")
    assert before.items() <= contents(trained).items()


def test_a_disk_that_fills_up_while_data_is_written(workplace):
    edit_params(
        workplace,
        {
            "data.source": "synthetic",
            "data.synthetic.train_images": 60,
            "data.synthetic.val_images": 20,
        },
    )
    said = error_of(stage("download", before="ulimit -f 100", folder=workplace))
    assert "cannot be written" in said
    assert contents(workplace / "data") == {}
    assert "7 files" in stage("download", folder=workplace)


# Seed 1 fails in its second epoch, after seed 0 has trained its first.
ONE_SEED_FALLS = """
import time
from pathlib import Path

import torch

CALLS = []


class Net(Net):
    def forward(self, images):
        if self.training and torch.initial_seed() == 1 and len(images) == 16:
            CALLS.append(images)  # two full batches in each epoch; a rehearsal has none
        if len(CALLS) > 2:
            for _ in range(600):
                files = Path("checkpoints").glob("baseline-*-seed-0-*")
                if {path.suffix for path in files} & {".pt", ".zip"}:
                    raise ValueError("out of luck")
                time.sleep(0.1)
        return super().forward(images)
"""


def test_an_architecture_that_raises_in_one_seed(small_data):
    file = small_data / "architectures" / "baseline.py"
    lines = file.read_text().count("\n")
    with file.open("a") as code:
        code.write(ONE_SEED_FALLS)
    said = error_of(stage("train", "baseline", folder=small_data, processes=2))
    assert said == (
        f"error: baseline seed 1: architectures/baseline.py, line {lines + 18}: "
        "ValueError: out of luck"
    )
    assert not (small_data / "models").exists()
    # The other seed and the first epoch of this one are kept.
    kept = {path.suffix for path in (small_data / "checkpoints").glob("*-seed-*")}
    assert ".pt" in kept
    printed = stage("train", "baseline", folder=small_data)
    assert "baseline seed 1: resumes after epoch 1/2" in printed
