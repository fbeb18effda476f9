"""A training that was cut off goes on, and ends as if it had not been."""

import dataclasses
import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmark import cell as cell_module
from benchmark import checkpoint, params
from benchmark.cell import train_cell
from benchmark.dataset import CIFAR2
from benchmark.errors import UserError
from stages import train
from tests.conftest import ARCHITECTURES, RunsCode, edit_params

EPOCHS = 4


class CutOffError(Exception):
    pass


@pytest.fixture
def small_cells(small_data):
    """A function that gives the cells of an architecture."""
    edit_params(small_data, {"train.epochs": EPOCHS})
    threads = torch.get_num_threads()
    yield lambda name: train.cells(params.load(), name)
    torch.set_num_threads(threads)


@pytest.fixture
def cut_off_after(monkeypatch):
    """A function that lets the next trainings end after some epochs; None: never."""
    trained = []

    def cut(last):
        class Progress:
            def __init__(self, *_, **__):
                pass

            def __call__(self, epoch, loss):
                trained.append(epoch)
                if epoch == last:
                    raise CutOffError

        monkeypatch.setattr(cell_module, "EpochProgress", Progress)
        trained.clear()
        return trained

    return cut


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_cut_off_after_any_epoch_it_ends_the_same(name, small_cells, cut_off_after):
    cell = small_cells(name)[1]
    whole = train_cell(dataclasses.replace(cell, checkpoint=None))
    assert len(whole["losses"]) == len(whole["val_accuracies"]) == EPOCHS
    for last in range(1, EPOCHS + 1):
        trained = cut_off_after(last)
        with pytest.raises(CutOffError):
            train_cell(cell)
        assert trained == [last]  # no epoch is repeated
        torch.rand(7)
    trained = cut_off_after(None)
    assert train_cell(cell) == whole
    assert trained == []


def schedule(optimizer, steps):
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)


def momentum(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9)


def test_a_schedule_and_momentum_go_on_too(small_cells, cut_off_after):
    cell = small_cells("dropout")[0]
    architecture = dataclasses.replace(
        cell.architecture, optimizer=momentum, schedule=schedule
    )
    cell = dataclasses.replace(cell, architecture=architecture)
    cut_off_after(None)
    whole = train_cell(dataclasses.replace(cell, checkpoint=None))
    cut_off_after(2)
    with pytest.raises(CutOffError):
        train_cell(cell)
    trained = cut_off_after(None)
    assert train_cell(cell) == whole
    assert trained == [3, 4]


CHANGES = {
    "data.mean": [0.5, 0.5, 0.5],
    "data.std": [0.5, 0.5, 0.5],
    "model.n_chans": 5,
    "train.lr": 0.02,
    "train.epochs": EPOCHS + 1,
    "train.batch_size": 8,
    "train.threads": 2,
    "train.precision": "bf16",
    "architectures.dropout.p": 0.5,
    "architectures.dropout.lr": 0.02,
}


def paths_of(name):
    return [cell.checkpoint for cell in train.cells(params.load(), name)]


@pytest.mark.parametrize("key", CHANGES)
def test_a_changed_param_never_goes_on_from_another_one(small_data, key):
    before = paths_of("dropout")
    assert len(set(before)) == 2
    assert paths_of("dropout") == before
    edit_params(small_data, {key: CHANGES[key]})
    assert not set(paths_of("dropout")) & set(before)


def test_more_seeds_keep_what_was_trained(small_data):
    before = paths_of("dropout")
    edit_params(small_data, {"train.seeds": 3, "train.device": "cpu", "model.n_blocks": 9})
    assert paths_of("dropout")[:2] == before


def test_changed_images_never_go_on_from_others(small_data):
    before = paths_of("dropout")
    stored = torch.load(CIFAR2, weights_only=True)
    stored["train_images"][7, 2, 31, 31] += 1
    torch.save(stored, CIFAR2)
    assert not set(paths_of("dropout")) & set(before)


@pytest.mark.parametrize(
    "file",
    [
        "architectures/dropout.py",
        "benchmark/cell.py",
        "benchmark/training.py",
        "stages/train.py",
    ],
)
def test_changed_code_never_goes_on_from_other_code(small_data, file):
    before = paths_of("dropout")
    with (small_data / file).open("a") as edited:
        edited.write("\n# edited\n")
    assert not set(paths_of("dropout")) & set(before)


def test_another_architectures_code_makes_no_difference(small_data):
    before = paths_of("dropout")
    with (small_data / "architectures/width.py").open("a") as edited:
        edited.write("\n# edited\n")
    assert paths_of("dropout") == before


def with_digest(content):
    return hashlib.sha256(content).digest() + content


def damages():
    """Functions that make another file out of a checkpoint, by name."""
    evil = io.BytesIO()
    torch.save({"model": RunsCode()}, evil)
    listed = io.BytesIO()
    torch.save([1, 2], listed)
    return {
        "cut short": lambda content: content[:-100],
        "empty": lambda content: b"",
        "a flipped bit": lambda content: (
            content[:900] + bytes([content[900] ^ 4]) + content[901:]
        ),
        "a pickle that would run code": lambda content: with_digest(evil.getvalue()),
        "no pickle": lambda content: with_digest(b"hello"),
        "a list": lambda content: with_digest(listed.getvalue()),
    }


@pytest.mark.parametrize("damage", damages())
def test_a_damaged_checkpoint_is_not_gone_on_with(
    small_cells, cut_off_after, capsys, damage
):
    cell = small_cells("baseline")[0]
    cut_off_after(None)
    whole = train_cell(cell)
    cell.checkpoint.write_bytes(damages()[damage](cell.checkpoint.read_bytes()))
    trained = cut_off_after(None)
    assert train_cell(cell) == whole
    assert trained == [1, 2, 3, 4]
    said = capsys.readouterr().err.strip()
    assert said == f"{cell.checkpoint}: is damaged, so this training starts anew"
    assert not Path("it-ran").exists()


def test_another_machine_starts_anew(small_cells, cut_off_after, capsys, monkeypatch):
    cell = small_cells("baseline")[0]
    cut_off_after(2)
    with pytest.raises(CutOffError):
        train_cell(cell)
    describe = cell_module.describe
    monkeypatch.setattr(
        cell_module, "describe", lambda *given: describe(*given) | {"torch": "3.0"}
    )
    trained = cut_off_after(None)
    assert train_cell(cell)["environment"]["torch"] == "3.0"
    assert trained == [1, 2, 3, 4]
    assert (
        "is of another machine, or of another version of torch" in capsys.readouterr().err
    )


HOLD = """
import sys, time
from pathlib import Path
from benchmark import checkpoint

with checkpoint.held(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(cell):
    """A process that has, or waits for, the cell's lock."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(cell.checkpoint)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_one_process_at_a_time(small_cells, cut_off_after):
    cell = small_cells("baseline")[0]
    other = hold(cell)
    assert other.stdout.readline() == b"held\n"
    waits = hold(cell)
    said = b"it: another process trains it; waiting for it to end\n"
    assert waits.stderr.readline() == said
    other.kill()  # the lock of a process that dies is free
    assert waits.stdout.readline() == b"held\n"
    waits.kill()
    for process in (other, waits):
        process.communicate()
    cut_off_after(None)
    train_cell(cell)


def test_what_has_served_is_removed_and_nothing_else(small_cells, cut_off_after):
    done, not_done = small_cells("baseline")
    cut_off_after(None)
    trained = train_cell(done)
    cut_off_after(2)
    with pytest.raises(CutOffError):
        train_cell(not_done)
    for cell in (done, not_done):
        checkpoint.discard("baseline", cell.seed, trained["model"])
    left = {path.name for path in done.checkpoint.parent.iterdir()}
    assert left == {not_done.checkpoint.name, not_done.checkpoint.with_suffix(".lock").name}


def test_what_another_process_is_at_stays_and_nobody_waits(small_cells, cut_off_after):
    cell = small_cells("baseline")[0]
    cut_off_after(None)
    trained = train_cell(cell)
    other = hold(cell)
    assert other.stdout.readline() == b"held\n"
    checkpoint.discard("baseline", cell.seed, trained["model"])
    assert cell.checkpoint.exists()
    other.kill()
    other.communicate()
    checkpoint.discard("baseline", cell.seed, trained["model"])
    assert not list(cell.checkpoint.parent.iterdir())


def test_what_is_damaged_or_a_month_old_is_removed(small_cells, cut_off_after):
    damaged, old = small_cells("baseline")
    cut_off_after(2)
    for cell in (damaged, old):
        with pytest.raises(CutOffError):
            train_cell(cell)
        checkpoint.discard("baseline", cell.seed, b"another model")
        assert cell.checkpoint.exists()
    damaged.checkpoint.write_bytes(b"")
    month_ago = time.time() - 31 * 24 * 3600
    os.utime(old.checkpoint, (month_ago, month_ago))
    for cell in (damaged, old):
        checkpoint.discard("baseline", cell.seed, b"another model")
    assert not list(old.checkpoint.parent.iterdir())


def test_where_checkpoints_are(small_data, monkeypatch):
    here = small_data / "checkpoints"
    assert {path.parent for path in paths_of("baseline")} == {here}
    monkeypatch.setenv("DVC_ROOT", "/the/repository")  # where DVC runs a copy
    assert {str(path.parent) for path in paths_of("baseline")} == {
        "/the/repository/checkpoints"
    }
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://elsewhere:1")
    assert paths_of("baseline") == [None, None]
    monkeypatch.setenv("CHECKPOINTS", "/shared")
    assert {str(path.parent) for path in paths_of("baseline")} == {"/shared"}


def test_no_room_is_one_line(small_cells, cut_off_after):
    cell = small_cells("baseline")[0]
    cut_off_after(None)
    Path("checkpoints").write_text("a file in its place")
    with pytest.raises(
        UserError, match=r"checkpoints: no checkpoint can be written .*again"
    ):
        train_cell(cell)
