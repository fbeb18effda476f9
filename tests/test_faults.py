"""What can go wrong is one line, leaves nothing half-written, and the next run is right."""

import io
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

import architectures
from benchmark.running.errors import UserError
from benchmark.training import recipe, state_dict
from scripts import check
from stages import train
from tests.conftest import NAMESPACES, ROOT, UNSHARE, RunsCode, edit_params, run

pytestmark = pytest.mark.slow
needs_mounts = pytest.mark.skipif(not NAMESPACES, reason="no user namespaces here")


def stage(*command, before="true", folder, processes=1):
    """What a stage prints, run in a shell after `before`, with mounts of its own."""
    script = f"{before} && exec python -m stages.{' '.join(command)}"
    namespace = [*UNSHARE, "--mount"] if NAMESPACES else []
    return run(
        *namespace, "sh", "-c", script,
        cwd=folder, check=False, PYTHONPATH=str(ROOT), LOKY_MAX_CPU_COUNT=str(processes),
    )  # fmt: skip


def error_of(printed):
    """The one line that says what is wrong."""
    assert "Traceback" not in printed, printed
    [line] = [line for line in printed.splitlines() if line.startswith("error: ")]
    return line


def contents(folder):
    """Every file but locks, which stay."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """The folder for what all tests of this file start from."""
    return tmp_path_factory.mktemp("once") / "trained"


@pytest.fixture
def trained(small_data, once):
    """A workplace where the baseline was trained and scored."""
    if not once.exists():
        for name in ("train", "validate"):
            assert "error" not in stage(name, "baseline", folder=small_data)
        assert not list((small_data / "checkpoints").glob("*.pt"))
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
        ("train", "checkpoints", FULL, "No space left on device"),
        ("train", "checkpoints", READ_ONLY, "Read-only file system"),
        ("validate", "metrics", READ_ONLY, "Read-only file system"),
        ("export", "data", FULL, "No space left on device"),
    ],
)
def test_a_folder_that_takes_nothing(trained, name, place, fault, cause):
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
    assert all(path.endswith(".pt") for path in kept)

    printed = stage(*command, folder=trained)
    assert "error" not in printed
    # What was trained was not lost with the place for it.
    assert ("resumes after epoch 2/2" in printed) == (place == "models")
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


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        saved({"weight": RunsCode()}),
        saved({"weight": torch.zeros(3)}),
        saved([1, 2]),
        saved(recipe.build_model(recipe.find("res"), 2, {"n_chans": 4}).state_dict()),
    ],
    ids=["empty", "no pickle", "code", "another net", "a list", "res"],
)
def test_a_file_that_is_no_model_is_one_line(workplace, content):
    path = Path("models/baseline/seed-0.pt")
    model = recipe.build_model(recipe.find("baseline"), 2, {})
    with pytest.raises(UserError, match=r"seed-0\.pt: is not a state dict .*--force"):
        state_dict.load(model, content, path)
    assert not Path("it-ran").exists()


# Seed 1 falls in its second epoch, once seed 0 has trained its first.
ONE_SEED_FALLS = """
import time
from pathlib import Path

import torch


class Net(Net):
    batches = 0

    def forward(self, images):
        self.batches += 1
        if self.training and torch.initial_seed() == 1 and self.batches > 4:
            for _ in range(600):
                if list(Path("checkpoints").glob("baseline-seed-0-*.pt")):
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
        f"error: baseline seed 1: architectures/baseline.py, line {lines + 16}: "
        "ValueError: out of luck"
    )
    assert not (small_data / "models").exists()
    # The other seed and the first epoch of this one are kept.
    assert len(list((small_data / "checkpoints").glob("*.pt"))) == 2
    printed = stage("train", "baseline", folder=small_data)
    assert "baseline seed 1: resumes after epoch 1/2" in printed


NETS = {
    "a wrong shape": (
        "return self.linear(images.flatten(1)).flatten()",
        r"scores of shape \(2,\); needed is \(1, 2\)",
    ),
    "no tensor": ("return [1, 2]", r"scores of shape .*list.*; needed is \(1, 2\)"),
    "a buffer": (
        "self.register_buffer('seen', images, persistent=False)\n"
        "        return self.linear(images.flatten(1))",
        "seen: a buffer that is not persistent",
    ),
    "an error": ("return self.linear(images)", "line 10: RuntimeError: .*mat1 and mat2"),
}


LINEAR = """from torch import nn


class Net(nn.Module):
    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3072, n_classes)

    def forward(self, images):
        return images
"""


@pytest.fixture
def by(small_data, monkeypatch):
    """A function that gives the one line with which a script refuses an architecture."""
    monkeypatch.setattr(architectures, "__path__", [str(small_data / "architectures")])

    def by(script, source):
        (small_data / "architectures" / "baseline.py").write_text(source)
        monkeypatch.delitem(sys.modules, "architectures.baseline", raising=False)
        with pytest.raises(UserError) as raised:
            script.main(*(["baseline"] if script is train else []))
        monkeypatch.delitem(sys.modules, "architectures.baseline", raising=False)
        assert not (small_data / "models").exists()
        return str(raised.value)

    return by


@pytest.mark.parametrize("script", [train, check], ids=["train", "check"])
@pytest.mark.parametrize("what", NETS)
def test_a_net_that_cannot_be_trained(by, script, what):
    statement, message = NETS[what]
    said = by(script, LINEAR.replace("return images", statement))
    assert re.search(message, said)
    assert "architectures/baseline.py" in said


@pytest.mark.parametrize("script", [train, check], ids=["train", "check"])
def test_a_file_that_holds_no_net(by, script):
    said = by(script, LINEAR + "    def (:\n")
    assert re.search(r"architectures/baseline.py is not valid Python: .*line 11", said)
    said = by(script, "import nothing_like_it\n" + LINEAR)
    assert "architectures/baseline.py, line 1: ModuleNotFoundError: No module" in said
    source = LINEAR.replace("        self.linear = nn.Linear(3072, n_classes)\n", "")
    said = by(script, source.replace("return images", "return images.flatten(1)[:, :2]"))
    assert said == (
        "architectures/baseline.py: the net has no parameters, so none to train"
    )


def test_of_a_net_that_cannot_be_trained_one_line_is_shown(small_data):
    source = LINEAR.replace("return images", "return self.linear(images)")
    (small_data / "architectures" / "baseline.py").write_text(source)
    said = error_of(stage("train", "baseline", folder=small_data))
    assert "architectures/baseline.py, line 10: RuntimeError: " in said
