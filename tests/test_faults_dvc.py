"""What can go wrong with the files and processes of a whole run."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.running.files import md5
from benchmark.running.repository import NO_GIT_SETTINGS
from tests.conftest import (
    NAMESPACES,
    UNSHARE,
    WITHOUT_NETWORK,
    edit_params,
    modified,
    ran,
    run,
)

pytestmark = pytest.mark.slow
MODEL = "models/baseline/seed-0.pt"


@pytest.mark.skipif(not NAMESPACES, reason="no user namespaces here")
def test_a_run_needs_no_network(retrained):
    edit_params(retrained, {"data.synthetic.val_images": 22})
    made = ran(run(*WITHOUT_NETWORK, "dvc", "repro", "filter", cwd=retrained))
    assert made == {"download", "filter"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        reach = f"import socket; socket.create_connection({server.getsockname()!r}, 5)"
        assert run("python", "-c", reach, cwd=retrained) == ""
        said = run(*WITHOUT_NETWORK, "python", "-c", reach, cwd=retrained, check=False)
    assert "Network is unreachable" in said


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("name", "damage"),
    [(MODEL, cut), ("data/cifar2.pt", flip), ("results/baseline/seeds.csv", cut)],
)
def test_a_damaged_output_is_repaired(scratch, name, damage):
    path = scratch / name
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(damage(content))
    assert modified(scratch)
    printed = run("dvc", "repro", cwd=scratch)
    assert path.read_bytes() == content
    assert "Traceback" not in printed
    assert modified(scratch) == set()


def test_an_output_damaged_in_the_cache_is_made_again(scratch):
    path = scratch / MODEL
    content = path.read_bytes()
    digest = md5(content)
    cached = scratch / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    assert cached.read_bytes() == content
    for each in (path, cached):
        each.chmod(0o644)
        each.write_bytes(flip(content))
    printed = run("dvc", "repro", cwd=scratch)
    assert "train@baseline" in ran(printed)
    assert path.read_bytes() == cached.read_bytes() == content
    assert modified(scratch) == set()


def start(folder):
    here = str(Path(sys.executable).parent)
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "validate@baseline"],
        cwd=folder,
        env=os.environ
        | NO_GIT_SETTINGS
        | {"PATH": os.pathsep.join([here, os.environ["PATH"]])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def test_two_runs_at_once(retrained):
    edit_params(retrained, {"train.epochs": 3})
    both = [start(retrained), start(retrained)]
    printed = [process.communicate()[0] for process in both]
    for process, said in zip(both, printed, strict=True):
        assert "Traceback" not in said
        assert process.returncode == 0 or "ERROR" in said
    assert any(process.returncode == 0 for process in both)
    run("dvc", "repro", "validate@baseline", cwd=retrained)
    made = [retrained / MODEL, retrained / "results/baseline/predictions.csv"]
    contents = [path.read_bytes() for path in made]
    shutil.rmtree(retrained / "checkpoints")
    for name in ("train@baseline", "validate@baseline"):
        run("dvc", "repro", "--force", "--single-item", name, cwd=retrained)
    assert [path.read_bytes() for path in made] == contents
    assert not [s for s in modified(retrained) if s.endswith("@baseline")]
    assert not list((retrained / "checkpoints").glob("*.pt"))


@pytest.mark.skipif(not NAMESPACES, reason="no user namespaces here")
def test_trained_models_survive_a_full_cache(retrained):
    edit_params(retrained, {"train.epochs": 4})
    train = "dvc repro --single-item train@baseline"
    full = "mount -t tmpfs -o size=20k full .dvc/cache/files/md5"
    printed = run(
        *[*UNSHARE, "--mount", "sh", "-c", f"{full} && {train}"],
        cwd=retrained, check=False,
    )  # fmt: skip
    assert "ERROR" in printed and "No space left on device" in printed
    again = run("dvc", "repro", "validate@baseline", cwd=retrained)
    assert "2 of 2 training runs are finished already" in again
    assert "training runs, " not in again  # None of them is trained once more.
