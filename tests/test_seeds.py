"""The result of a seed does not depend on other seeds or on the number of processes."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from benchmark.params import load
from benchmark.training.cell import train_cell
from benchmark.training.plan import cells
from tests.conftest import ROOT, edit_params, run


def train_all(folder, name, seeds, processes):
    edit_params(folder, {"train.seeds": seeds})
    printed = run(
        "python", "-m", "stages.train", name,
        cwd=folder, PYTHONPATH=str(ROOT), LOKY_MAX_CPU_COUNT=str(processes),
    )  # fmt: skip
    models = sorted((folder / "models" / name).glob("*.pt"))
    assert len(models) >= seeds
    return printed, {path.name: path.read_bytes() for path in models}


@pytest.mark.slow
def test_the_same_bytes_for_any_number_of_seeds_and_processes(small_data):
    _, in_turn = train_all(small_data, "dropout", seeds=3, processes=1)
    for folder in ("models", "checkpoints"):
        shutil.rmtree(small_data / folder)
    printed, side_by_side = train_all(small_data, "dropout", seeds=2, processes=2)
    assert side_by_side == {name: in_turn[name] for name in ("seed-0.pt", "seed-1.pt")}
    assert len(set(in_turn.values())) == 3
    assert "2 training runs, 2 at a time: about " in printed
    assert "2 of 2 training runs done" in printed
    curve = (small_data / "models/dropout/loss_curve.csv").read_text().splitlines()
    assert curve[0] == "seed,epoch,loss,val_accuracy"
    assert [line.rsplit(",", 2)[0] for line in curve[1:]] == ["0,1", "0,2", "1,1", "1,2"]


def test_cells_in_any_order(small_data):
    loaded = load()
    threads = torch.get_num_threads()
    made = cells(loaded, "batch_norm")
    losses = [train_cell(made[seed])["losses"] for seed in (1, 0, 1)]
    torch.set_num_threads(threads)
    assert losses[0] == losses[2] != losses[1]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2])
def test_a_loss_that_is_not_finite_stops_with_one_line(small_data, seeds):
    edit_params(small_data, {"train.lr": 1e38, "train.seeds": seeds})
    printed = run(
        "python", "-m", "stages.train", "baseline",
        cwd=small_data, check=False, PYTHONPATH=str(ROOT),
    )  # fmt: skip
    [said] = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert re.fullmatch(
        r"error: baseline seed [01]: the loss is (nan|inf) in epoch [12] with lr 1e\+38; "
        "try a smaller lr",
        said,
    )
    assert "Traceback" not in printed
    assert not list((small_data / "models").rglob("*.pt"))


KILLED = """
import os, signal
import joblib
from benchmark.running import cli, workers

joblib.cpu_count = lambda: 2

def fall(seed):
    if seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)

def main():
    list(workers.map_tasks(fall, [0, 1], threads=1))

cli.run(main)
"""


@pytest.mark.slow
def test_a_killed_process_is_one_line(small_data):
    (small_data / "killed.py").write_text(KILLED)
    printed = run(
        "python", "killed.py",
        cwd=small_data, check=False, PYTHONPATH=str(ROOT),
    )  # fmt: skip
    assert "error: a training process died" in printed
    assert "Traceback" not in printed


def weights(name: str, changes: dict[str, object]) -> bytes:
    """The bytes of seed 0 after a short training with changed params."""
    edit_params(Path.cwd(), changes)
    return train_cell(cells(load(), name)[0])["model"]


@pytest.mark.parametrize(
    ("name", "key"), [("l1_reg", "l1_lambda"), ("l2_reg", "l2_lambda")]
)
def test_the_penalty_reaches_the_training(small_data, name, key):
    without = weights(name, {f"rows.{name}.{key}": 0.0})
    assert weights(name, {f"rows.{name}.{key}": 0.1}) != without


def test_an_overridden_lr_reaches_the_training(small_data):
    plain = weights("res", {"train.lr": 0.02})
    assert weights("res", {"train.lr": 0.05, "rows.res.lr": 0.02}) == plain
    assert weights("res", {"rows.res.lr": 0.05}) != plain
