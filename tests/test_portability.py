"""Portability: the same seed trained with several variants."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmark import params
from benchmark.training.cell import train_cell, with_training
from benchmark.training.plan import cells
from studies import portability
from tests.conftest import edit_params


@pytest.mark.slow
def test_a_variant_is_used(small_data):
    # With folds, seed 1 is trained on the test images of seed 0.
    edit_params(small_data, {"train.split": "folds"})
    cell = with_training(cells(params.load(), "baseline")[1], epochs=1)
    usual = portability.train_as(portability.VARIANTS[portability.USUAL], cell)
    slower = portability.Variant(training={"lr": cell.row.training.lr / 2})
    other = portability.train_as(slower, cell)
    row = portability.compare(cell, "half as fast", 1, usual, other)
    assert 0 < row["weight"] < 0.1
    assert row["image"] == (usual.predicted != other.predicted).float().mean()
    scores = train_cell(replace(cell, stem=None))["scores"]
    assert usual.predicted.tolist() == scores["predictions"]
    correct = np.equal(scores["predictions"], scores["labels"])
    assert usual.accuracy == pytest.approx(correct.mean())


def test_the_report():
    def row(variant, accuracy, weight):
        return {
            "architecture": "res", "variant": variant, "epochs": 100, "accuracy": accuracy,
            "weight": weight, "image": 0.05, "points": 0.4,
        }  # fmt: skip

    rows = [
        row(portability.USUAL, 0.90, 0),
        row(portability.USUAL, 0.92, 0),
        row("2 threads", 0.904, 0.25),
        row("2 threads", 0.916, 0.5),
    ]
    lines = portability.report(pd.DataFrame(rows), gpu=False).splitlines()
    [line] = [line for line in lines if line.startswith("| res |")]
    assert line == "| res | 2 threads | 100 | 0.5 | 5.0% | 0.4 points | 1.4 points |"
    assert "over 2 seeds" in "".join(lines)
    page = portability.report(pd.DataFrame([rows[0], rows[2]]), gpu=False)
    assert "| 0.4 points | – |" in page and "1 seed;" in page and "nan" not in page
