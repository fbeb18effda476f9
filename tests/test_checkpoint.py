"""An interrupted training run resumes and gives the same result."""

import dataclasses
import hashlib
import io
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmark import params, pool
from benchmark.data.dataset import CIFAR2
from benchmark.running import finished
from benchmark.running.errors import UserError
from benchmark.training import cell as cell_module
from benchmark.training import plan
from benchmark.training.cell import complete, fit, train_cell
from benchmark.training.plan import cells
from tests.conftest import COMMITTED, EVERY_NET, ROOT, RunsCode, edit_params

EPOCHS = 4


class InterruptError(Exception):
    pass


@pytest.fixture
def small_cells(small_data):
    """A function that gives the cells of an architecture."""
    edit_params(small_data, {f"{name}.epochs": EPOCHS for name in COMMITTED.recipes})
    threads = torch.get_num_threads()
    yield lambda name: cells(params.load(), name)
    torch.set_num_threads(threads)


def train(cell, interrupt_after=None):
    """Train; return the result, or None if it was interrupted, and the epochs trained."""
    epochs = []

    def progress(epoch, loss):
        epochs.append(epoch)
        if epoch == interrupt_after:
            raise InterruptError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_module, "fit", partial(fit, progress=progress))
        try:
            result = train_cell(cell)
        except InterruptError:
            return None, epochs
    return result, epochs


def checkpoint_of(cell):
    return cell.stem.with_suffix(finished.CHECKPOINT)


@pytest.mark.parametrize("name", EVERY_NET)
def test_interrupted_after_any_epoch_it_ends_the_same(name, small_cells):
    cell = small_cells(name)[1]
    whole, _ = train(dataclasses.replace(cell, stem=None))
    assert len(whole["losses"]) == len(whole["val_accuracies"]) == EPOCHS
    for last in range(1, EPOCHS + 1):
        assert train(cell, interrupt_after=last) == (None, [last])  # no epoch is repeated
        torch.rand(7)
    assert train(cell) == (whole, [])


def schedule(optimizer, steps):
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)


def momentum(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9)


def test_a_schedule_and_momentum_are_resumed_too(small_cells):
    cell = small_cells("dropout")[0]
    architecture = dataclasses.replace(
        complete(cell)[0], optimizer=momentum, schedule=schedule
    )
    cell = dataclasses.replace(cell, architecture=architecture)
    whole, _ = train(dataclasses.replace(cell, stem=None))
    train(cell, interrupt_after=2)
    assert train(cell) == (whole, [3, 4])


CHANGES = {
    "data.mean": [0.5, 0.5, 0.5],
    "data.std": [0.5, 0.5, 0.5],
    "model.n_chans": 5,
    "train.lr": 0.02,
    "train.epochs": EPOCHS + 1,
    "train.batch_size": 8,
    "train.threads": 2,
    "train.precision": "bf16",
    "train.momentum": 0.5,
    "train.l1_lambda": 0.5,
    "train.flip": True,
    "train.split": "folds",
    "data.holdout": 0.5,
    "rows.dropout.p": 0.5,
    "rows.dropout.lr": 0.02,
}


def paths_of(name):
    return [cell.stem for cell in cells(params.load(), name)]


@pytest.mark.parametrize("key", CHANGES)
def test_other_params_are_never_resumed(small_data, key):
    before = paths_of("dropout")
    assert len(set(before)) == 2
    assert paths_of("dropout") == before
    edit_params(small_data, {key: CHANGES[key]})
    assert not set(paths_of("dropout")) & set(before)


def test_more_seeds_keep_what_was_trained(small_data):
    before = paths_of("dropout")
    edit_params(small_data, {"train.seeds": 3, "train.device": "cpu", "model.n_blocks": 9})
    assert paths_of("dropout")[:2] == before


def test_other_images_are_never_resumed(small_data):
    before = paths_of("dropout")
    stored = torch.load(CIFAR2, weights_only=True)
    stored["train_images"][7, 2, 31, 31] += 1
    torch.save(stored, CIFAR2)
    assert not set(paths_of("dropout")) & set(before)


@pytest.mark.parametrize(
    ("file", "is_another"),
    [
        ("architectures/dropout.py", True),
        ("benchmark/training/cell.py", True),
        ("benchmark/data/dataset.py", True),
        ("architectures/width.py", False),
        ("benchmark/data/scenes.py", False),
    ],
)
def test_other_code_is_never_resumed(small_data, monkeypatch, file, is_another):
    for package in ("benchmark/training", "benchmark/data"):
        shutil.copytree(ROOT / package, small_data / package)
    code = (small_data / "benchmark/training", small_data / "benchmark/data/dataset.py")
    monkeypatch.setattr(plan, "CODE", code)
    before = paths_of("dropout")
    with (small_data / file).open("a") as edited:
        edited.write("\n# edited\n")
    assert (paths_of("dropout") != before) == is_another


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
def test_a_damaged_checkpoint_is_not_resumed(small_cells, capsys, damage):
    cell = small_cells("baseline")[0]
    whole, _ = train(cell)
    path = checkpoint_of(cell)
    path.write_bytes(damages()[damage](path.read_bytes()))
    assert train(cell) == (whole, [1, 2, 3, 4])
    said = capsys.readouterr().err.strip()
    assert said == f"{path} is damaged, so training starts over"
    assert not Path("it-ran").exists()


def test_another_machine_starts_again(small_cells, capsys, monkeypatch):
    cell = small_cells("baseline")[0]
    train(cell, interrupt_after=2)
    describe = cell_module.describe
    monkeypatch.setattr(
        cell_module, "describe", lambda *given: describe(*given) | {"torch": "3.0"}
    )
    result, epochs = train(cell)
    assert result["environment"]["torch"] == "3.0"
    assert epochs == [1, 2, 3, 4]
    said = capsys.readouterr().err
    assert "is from another machine or another version of torch" in said


HOLD = """
import sys, time
from pathlib import Path
from benchmark.running import checkpoint

with checkpoint.locked(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(cell):
    """A process that has, or waits for, the cell's lock."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(cell.stem)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_one_process_at_a_time(small_cells):
    cell = small_cells("baseline")[0]
    other = hold(cell)
    assert other.stdout.readline() == b"held\n"
    waits = hold(cell)
    said = b"it: another process is training it; waiting for it to finish\n"
    assert waits.stderr.readline() == said
    other.kill()  # the lock of a dead process is released
    assert waits.stdout.readline() == b"held\n"
    waits.kill()
    for process in (other, waits):
        process.communicate()
    train(cell)


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def test_a_finished_cell_takes_the_place_of_its_checkpoint(small_cells):
    done, not_done = small_cells("baseline")
    train(not_done, interrupt_after=2)
    [result] = pool.train([done])
    left = {done.stem.with_suffix(".zip"), checkpoint_of(not_done)}
    assert names_in(done.stem.parent) == {
        *(path.name for path in left), not_done.stem.with_suffix(".lock").name
    }  # fmt: skip
    assert plan.result_of(done) == result
    assert plan.result_of(not_done) is None


def test_a_cell_that_another_process_finished_is_not_trained(small_cells, monkeypatch):
    cell = small_cells("baseline")[0]
    [result] = pool.train([cell])
    monkeypatch.setattr(cell_module, "fit", None)
    assert train_cell(cell) == result


def test_a_result_of_edited_code_is_not_stored(small_cells, monkeypatch):
    cell = small_cells("baseline")[0]

    def edit_and_train(cell):
        with (Path("architectures") / "baseline.py").open("a") as file:
            file.write("\n# edited\n")
        return train_cell(cell)

    monkeypatch.setattr(pool, "in_worker", lambda _, name: edit_and_train)
    monkeypatch.setattr(pool, "estimates", lambda cells, _: [1.0])
    with pytest.raises(UserError, match=r"^baseline seed 0: its code .* run again$"):
        pool.train([cell])
    assert plan.result_of(cell) is None


def test_two_processes_store_the_same_cell(small_cells):
    cell = small_cells("baseline")[0]
    result = train_cell(cell)
    finished.store(cell.stem, result)
    path = cell.stem.with_suffix(finished.FINISHED)
    before = path.stat().st_ino
    finished.store(cell.stem, result)  # keeps the file that others may be reading
    assert path.stat().st_ino == before
    path.write_bytes(b"damaged")
    finished.store(cell.stem, result)
    assert plan.result_of(cell) == result


@pytest.mark.parametrize("damage", [b"", b"PK", b"not a zip", None])
def test_a_damaged_cell_is_trained_again(small_cells, damage):
    cell = small_cells("baseline")[0]
    [result] = pool.train([cell])
    path = cell.stem.with_suffix(finished.FINISHED)
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        content[:middle] + b"????" + content[middle + 4 :] if damage is None else damage
    )
    assert plan.result_of(cell) is None
    [again] = pool.train([cell])
    assert again == result == plan.result_of(cell)


@pytest.mark.slow
def test_locked_checkpoints_are_kept(small_cells):
    cell = small_cells("baseline")[0]
    train(cell)
    other = hold(cell)
    assert other.stdout.readline() == b"held\n"
    finished.discard_checkpoint(cell.stem)
    assert checkpoint_of(cell).exists()
    other.kill()
    other.communicate()
    finished.discard_checkpoint(cell.stem)
    assert not list(cell.stem.parent.iterdir())


def test_cells_and_checkpoints_are_deleted_after_a_month(small_cells):
    new, old = small_cells("baseline")
    for cell in (new, old):
        train(cell, interrupt_after=2)
        result = train_cell(dataclasses.replace(cell, stem=None))
        finished.write(cell.stem.with_suffix(finished.FINISHED), result)
    month_ago = time.time() - 31 * 24 * 3600
    for suffix in (finished.FINISHED, finished.CHECKPOINT):
        os.utime(old.stem.with_suffix(suffix), (month_ago, month_ago))
    finished.prune()
    kept = {path.stem for path in new.stem.parent.iterdir() if path.suffix != ".lock"}
    assert kept == {new.stem.name}


def test_a_cell_that_is_used_is_not_old(small_cells):
    cell = small_cells("baseline")[0]
    pool.train([cell])
    path = cell.stem.with_suffix(finished.FINISHED)
    os.utime(path, (0, 0))
    pool.train([cell])
    finished.prune()
    assert path.exists()


def as_on(monkeypatch, processor):
    """Pretend that this machine has another processor."""
    monkeypatch.setattr("benchmark.training.environment._processor", lambda: processor)


def test_a_run_that_was_resumed_with_another_torch_is_mixed(small_cells, monkeypatch):
    cell = small_cells("baseline")[0]
    train(cell, interrupt_after=2)
    describe = cell_module.describe
    monkeypatch.setattr(
        cell_module, "describe", lambda *given: describe(*given) | {"torch": "3.0"}
    )
    monkeypatch.setenv(finished.OTHERS, "1")
    result, epochs = train(cell)
    assert epochs == [3, 4]
    assert result["machine"] == finished.MIXED


@pytest.mark.parametrize("interrupt_after", [2, None])
def test_another_processors_results_need_a_flag(small_cells, monkeypatch, interrupt_after):
    as_on(monkeypatch, "One")
    if interrupt_after:
        train(small_cells("baseline")[0], interrupt_after)
    else:
        pool.train(small_cells("baseline"))
    as_on(monkeypatch, "Other")
    cell = small_cells("baseline")[0]
    assert plan.result_of(cell) is None
    assert train(cell, interrupt_after=1) == (None, [1])
    checkpoint_of(cell).unlink()
    monkeypatch.setenv(finished.OTHERS, "1")
    if interrupt_after:
        result, epochs = train(cell)
        assert epochs == [3, 4]
        assert result["environment"]["processor"] == "One / Other"
        assert result["machine"] == finished.MIXED
        [result, _] = pool.train(small_cells("baseline"))
        assert result["environment"]["processor"] == "One / Other"
        monkeypatch.delenv(finished.OTHERS)
        assert plan.result_of(cell) is None  # a mixed result needs the flag, too
    else:
        assert plan.result_of(cell)["environment"]["processor"] == "One"


def test_the_folder_of_checkpoints(small_data, monkeypatch):
    here = small_data / "checkpoints"
    assert {path.parent for path in paths_of("baseline")} == {here}
    monkeypatch.setenv("DVC_ROOT", "/the/repository")  # where DVC runs a copy
    assert {str(path.parent) for path in paths_of("baseline")} == {
        "/the/repository/checkpoints"
    }
    monkeypatch.setenv("CHECKPOINTS", "/shared")
    assert {str(path.parent) for path in paths_of("baseline")} == {"/shared"}
