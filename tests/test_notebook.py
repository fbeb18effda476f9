"""The notebook's defects: each one alone, all rows, and the committed results."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from architectures import batch_norm, sequential
from benchmark import params
from benchmark.running.errors import UserError
from benchmark.training import recipe, scoring
from benchmark.training.loop import train
from benchmark.training.step import make_step
from notebook import defects, report, rows
from notebook import train as notebook_train
from tests.conftest import (
    COMMITTED,
    ROOT,
    SMALL_NET,
    YAML_SAFE,
    edit_params,
)

ROWS = YAML_SAFE.load(ROOT / "notebook/params.yaml")["rows"]
IMAGES = torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(20) % 2


def trained(architecture, epochs=2, lr=0.1):
    training = COMMITTED.train.model_copy(update={"lr": lr})
    setup = recipe.build_training(architecture, 2, SMALL_NET, training, seed=0)
    before = dict(defects.named_bytes(setup.model))
    batches = defects.fixed_order(20, 5, torch.Generator(), torch.device("cpu"))
    step = make_step(setup.model, setup.optimizer, setup.loss_fn, setup.penalty)
    losses = train(setup.model, step, IMAGES, LABELS, epochs=epochs, batches=batches)
    return setup, before, losses


def test_a_stale_optimizer_changes_no_weight():
    setup, before, losses = trained(
        defects.stale_optimizer(recipe.load_architecture("width"))
    )
    assert dict(defects.named_bytes(setup.model)) == before
    assert losses[0] == losses[1]
    setup, before, _ = trained(recipe.load_architecture("width"))
    after = dict(defects.named_bytes(setup.model))
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in after)


def test_an_added_penalty_shrinks_all_weights_to_zero():
    setup, _, losses = trained(
        defects.added_penalty(recipe.load_architecture("baseline")), epochs=100, lr=0.01
    )
    biggest = max(p.detach().abs().max().item() for p in setup.model.parameters())
    assert biggest < 0.1
    assert losses[-1] + setup.penalty().item() == pytest.approx(0.6942, abs=2e-3)
    # Multiplied, as intended, the same λ has little effect.
    setup, _, _ = trained(recipe.load_architecture("baseline"), epochs=100, lr=0.01)
    assert max(p.detach().abs().max().item() for p in setup.model.parameters()) > 0.1


def test_shared_blocks_are_one():
    shared = defects.shared_block(recipe.load_architecture("res_deep"))
    model = shared.net(n_classes=2, n_chans=32, n_blocks=100)
    assert len(model.resblocks) == 100
    assert len(set(map(id, model.resblocks))) == 1
    assert sum(p.numel() for p in model.parameters()) == 75_810
    setup, before, _ = trained(shared)
    assert all(before[name] != part for name, part in defects.named_bytes(setup.model))


def test_a_fixed_order_does_not_shuffle():
    batches = defects.fixed_order(10, 4, torch.Generator(), torch.device("cpu"))
    for _ in range(2):
        assert [batch.tolist() for batch in batches()] == [
            [0, 1, 2, 3],
            [4, 5, 6, 7],
            [8, 9],
        ]


def test_scoring_in_train_mode_changes_the_statistics():
    model = batch_norm.Net(n_classes=2, n_chans=4)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    scoring.predict(model, IMAGES)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    defects.predict_in_train_mode(model, IMAGES, batch_size=8)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert "conv1_batchnorm.running_mean" in moved
    assert all("running" in key or "num_batches" in key for key in moved)


def test_scoring_in_train_mode_uses_dropout():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3072, 2))
    once, again = (
        defects.predict_in_train_mode(model, IMAGES.repeat(20, 1, 1, 1), batch_size=64)
        for _ in range(2)
    )
    assert not torch.equal(once, again)


def test_the_message_without_flatten():
    message = defects.without_flatten(sequential.Net(2).layers, torch.zeros(1, 3, 32, 32))
    assert message.endswith("mat1 and mat2 shapes cannot be multiplied (64x8 and 512x32)")
    assert defects.without_flatten(nn.Sequential(nn.Identity()), torch.zeros(1)) == ""


@pytest.mark.parametrize("name", ROWS)
def test_a_row_has_its_defects(notebook_cells, name):
    cells, row = notebook_cells(name, **({"blocks": 3} if "blocks" in ROWS[name] else {}))
    first, second = (notebook_train.train_row(cell, row) for cell in cells)
    assert first["weights_moved"] == ("stale_optimizer" not in row.defects)
    assert first["epochs_trained"] == (1 if "batches_outside" in row.defects else 3)
    assert (first["loss"] > 1) == ("added_penalty" in row.defects)
    assert first["seed"] == 0 and second["seed"] == 1
    assert first["loss"] != second["loss"]


def test_an_interrupted_row_is_resumed(notebook_cells, monkeypatch):
    class KilledError(Exception):
        pass

    def progress(epoch, loss):
        seen.append(epoch)
        if seen == [1, 2]:
            raise KilledError

    seen = []
    [cell, _], row = notebook_cells("dropout")
    expected = notebook_train.train_row(cell, row)
    cell.stem.with_suffix(".pt").unlink()
    fit = partial(notebook_train.fit, progress=progress)
    monkeypatch.setattr(notebook_train, "fit", fit)
    with pytest.raises(KilledError):
        notebook_train.train_row(cell, row)
    assert notebook_train.train_row(cell, row) == expected
    assert seen == [1, 2, 3]


def test_the_benchmarks_recipe_does_not_reach_the_notebook(notebook_cells):
    [before, _], _ = notebook_cells("dropout")
    edit_params(Path(), {"train.momentum": 0.9, "train.flip": True, "train.split": "folds"})
    loaded = params.load()
    [after, _] = notebook_train.cells(loaded, rows.load(), "dropout")
    assert after.row.training == before.row.training
    assert after.row.training.momentum == 0 and not after.row.training.flip
    assert after.stem == before.stem


def test_a_loss_that_is_not_finite_is_one_line(notebook_cells):
    [cell, _], row = notebook_cells("dropout", lr=1e38)
    with pytest.raises(UserError, match=r"dropout seed 0: the loss is .* smaller lr"):
        notebook_train.train_row(cell, row)


def test_only_rows_flush_denormals():
    def near_zero():
        return (torch.tensor(1e-38) * 0.1).item() != 0

    assert near_zero()
    with notebook_train.flushed_denormals():
        assert not near_zero()
    assert near_zero()


def test_rows_cover_all_defects():
    used = {defect for row in ROWS.values() for defect in row["defects"]}
    assert used == set(rows.Defect.__args__)


@pytest.fixture
def committed(monkeypatch):
    """The committed rows."""
    monkeypatch.chdir(ROOT)
    return {row.name: row for row in report.read()}


def test_every_published_value_is_reproduced(committed):
    published = [row for row in committed.values() if row.published]
    assert {row.name for row in published} < set(committed)
    assert [row.name for row in published if not row.is_complete] == ["res_deep"]
    assert all(row.is_reproduced for row in published if row.is_complete)
    # With a tenth of the epochs, its seeds may scatter too much to tell.
    assert not [row.name for row in published if "**no**" in row.verdict]
    assert all(len(row.seeds) == 3 for row in committed.values())


def test_a_value_that_is_far_off_is_not_reproduced(committed):
    res = committed["res"]
    far = report.Reproduction(
        "res", res.row, res.seeds, {"val": 0.5, "loss": 0.0}, res.fixed
    )
    assert not far.is_reproduced
    assert "| **no** |" in report.report([far])


def test_scattered_seeds_cannot_tell(committed):
    res = committed["res"]
    seeds = res.seeds.assign(val_accuracy=[0.56, 0.84, 0.81])
    for published, said in (
        (0.2, "cannot tell"),
        (0.95, "cannot tell"),
        (0.73, "yes"),
    ):
        each = report.Reproduction("res", res.row, seeds, {"val": published}, res.fixed)
        assert each.verdict == said


@pytest.mark.parametrize(("scored", "said"), [(0.87, "yes"), (0.7, "cannot tell")])
def test_a_run_of_all_epochs_decides(committed, scored, said):
    long = {"loss": 0.02, "val_accuracy": scored, "val_accuracy_in_eval_mode": 0.5}
    deep = replace(committed["res_deep"], long=long)
    assert deep.verdict == f"{said}, in one run of 100 epochs"
    page = report.report([deep])
    assert f"{scored:.1%} in train mode, 50.0% in eval mode, training loss 0.02" in page
    assert ("All 1 published" if said == "yes" else "0 of the 1 published") in page
    assert "of our mean (or of our one long run: see below)" in page


def test_the_long_run_is_only_for_the_row_it_belongs_to(committed):
    assert [name for name, row in committed.items() if row.long] == ["res_deep"]


@pytest.mark.parametrize(
    "change", [{"lr": 0.01}, {"blocks": 10}, {"epochs": 100}, {"defects": ["fixed_order"]}]
)
def test_a_long_run_with_other_settings_does_not_count(committed, change):
    row = committed["res_deep"].row
    assert report.long_run(row, COMMITTED)
    assert report.long_run(row.model_copy(update=change), COMMITTED) is None
    sizes = COMMITTED.model.model_copy(update={"n_chans": 16})
    assert report.long_run(row, COMMITTED.model_copy(update={"model": sizes})) is None


def test_a_long_run_that_is_not_finished_does_not_count(committed, tmp_path, monkeypatch):
    found = json.loads(report.LONG_RUN.read_text())
    del found["final"]
    path = tmp_path / "begun.json"
    path.write_text(json.dumps(found))
    monkeypatch.setattr(report, "LONG_RUN", path)
    assert report.long_run(committed["res_deep"].row, COMMITTED) is None


def test_evidence_of_stale_optimizer_and_added_penalty(committed):
    assert not committed["width"].seeds["weights_moved"].any()
    assert committed["l2_reg"].seeds["loss"].tolist() == pytest.approx(
        [0.6942] * 3, abs=5e-4
    )
    assert committed["l2_reg"].seeds["val_accuracy"].tolist() == [0.5] * 3


def test_only_marked_rows_have_fewer_epochs(committed):
    page = report.REPORT.read_text("utf-8")
    for name, each in committed.items():
        marked = f"{name} was trained for {each.row.epochs} epochs instead of 100" in page
        assert marked == (each.row.epochs < 100)


def test_the_page_matches_the_results(committed):
    assert report.REPORT.read_text("utf-8") == report.report(list(committed.values()))
