"""A training that was cut off goes on, and ends as if it had not been."""

import dataclasses

import pytest
import torch

from benchmark import cell as cell_module
from benchmark import params
from benchmark.cell import train_cell
from stages import train
from tests.conftest import ARCHITECTURES, edit_params

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
        cut_off_after(last)
        with pytest.raises(CutOffError):
            train_cell(cell)
        torch.rand(7)
    trained = cut_off_after(None)
    assert train_cell(cell) == whole
    assert trained == []  # it was cut off four times, and no epoch was repeated
