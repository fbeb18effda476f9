"""One pool for all rows: progress, order, and the same bytes as with plain DVC."""

import math
import re
import shutil
import sys
import time

import pytest

from benchmark import params, pool, speed
from benchmark.running import checkpoint, finished, progress
from benchmark.running.progress import Epochs, Progress, format_time
from benchmark.training import plan
from benchmark.training.cell import fit
from tests.conftest import FEW, IN_FOLDS, edit_params, modified, ran, run

GUESSING = math.log(2)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59, "59 s"), (61, "1 min"), (3599, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_durations(seconds, text):
    assert format_time(seconds) == text


def test_progress_says_what_is_done_running_and_left(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    cells = {0: ("deep", 100.0), 1: ("wide", 60.0), 2: ("small", 40.0)}
    shown = Progress(cells, processes=2)
    with shown:
        assert shown.line() == (
            "0 of 3 training runs done; 2 min left; running: deep, wide"
        )
        now[0] = 120.0  # twice as slow as estimated
        shown.done(1, 120.0)
        assert shown.line().startswith("1 of 3 training runs done; 1 min left; ")
        assert shown.line().endswith("; running: deep, small")
        # deep takes 200 s in all, small 80 s.
        assert shown.left() == pytest.approx(80)
        now[0] = 200.0
        shown.done(0, 200.0)
        shown.done(2, 80.0)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "3 training runs, 2 at a time: about 2 min"
    assert said[-1] == (
        "3 of 3 training runs done in 3 min, processors busy 100% of the time"
    )


def test_the_last_of_five_runs_on_two_cores_runs_alone(capsys):
    with Progress({i: (f"net {i}", 3600.0) for i in range(5)}, processes=2):
        pass
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "5 training runs, 2 at a time: about 3 h 00 min"


def test_a_late_cell_makes_all_others_later(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shown = Progress({i: (f"net {i}", 100.0) for i in range(3)}, processes=1)
    with shown:
        now[0] = 90.0
        assert shown.left() == pytest.approx(210)
        now[0] = 250.0  # so each of the others takes at least as long
        assert shown.left() == pytest.approx(500)


def test_the_time_left_follows_the_epochs_of_a_long_run(monkeypatch, capsys):
    """Here an epoch takes 100 s instead of 50, and the first cell has 7 of 10 already."""
    now, found = [0.0], {}
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "time", lambda: 1_000_000 + now[0])
    cells = {0: ("old", 150.0), 1: ("new", 500.0), 2: ("next", 500.0)}
    shown = Progress(cells, processes=2, epochs_of=found.get)
    shown._start_cells()
    now[0] = 70.0
    found[0] = Epochs(7, 10, 999_000.0)  # interrupted long ago
    shown._look()
    assert shown.line().endswith("running: old (epoch 7/10), new")
    assert shown.left() == pytest.approx(80 + 500)
    now[0] = 210.0
    found[0] = Epochs(8, 10, 1_000_100.0)
    found[1] = Epochs(1, 10, 1_000_100.0)
    shown._look()
    now[0] = 220.0
    found[0] = Epochs(9, 10, 1_000_200.0)
    found[1] = Epochs(2, 10, 1_000_200.0)
    shown._look()
    assert shown.line().endswith("running: old (epoch 9/10), new (epoch 2/10)")
    # 80 s and 780 s; the third takes twice as long as expected, too.
    pace = (300 + 1000) / (150 + 500)
    assert shown.left() == pytest.approx(80 + 500 * pace)
    shown.done(0, 300.0)
    assert shown.line().endswith("running: new (epoch 2/10), next")


def test_a_checkpoint_says_how_far_its_cell_is(small_data):
    [cell, other] = plan.cells(params.load(), "baseline")
    assert pool.epochs_of(cell, GUESSING) is None

    def interrupt(epoch, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(cell, progress=interrupt)
    found = pool.epochs_of(cell, GUESSING)
    assert (found.done, found.total) == (1, 2)
    assert 0 <= time.time() - found.when < 60
    assert pool.epochs_of(other, GUESSING) is None
    finished.find(cell.stem, finished.CHECKPOINT).write_bytes(b"damaged")
    assert pool.epochs_of(cell, GUESSING).done == 0


def slow(cell):
    time.sleep(1)


@pytest.mark.parametrize(
    ("losses", "learns"),
    [([0.7, 0.694, 0.6931], False), ([0.7, 0.69], True), ([0.7, 0.69, 0.65], True)],
)
def test_a_pool_says_which_cells_learn_nothing(
    small_data, monkeypatch, capsys, losses, learns
):
    def interrupt(epoch, loss):
        raise KeyboardInterrupt

    cells = plan.cells(params.load(), "baseline")
    with pytest.raises(KeyboardInterrupt):
        fit(cells[1], progress=interrupt)
    path = finished.find(cells[1].stem, finished.CHECKPOINT)
    checkpoint.save(path, checkpoint._read(path) | {"losses": losses})
    monkeypatch.setattr(progress, "LONG", 0.0)
    monkeypatch.setattr(progress, "IN_LOG", 0.1)
    assert len(list(pool.map_cells(slow, cells))) == 2
    said = capsys.readouterr().err
    assert said.count("its loss is still that of guessing") == 1 - learns
    assert ("note: baseline seed 1: after 3 epochs, its loss" in said) == (not learns)


def test_a_pool_says_which_epoch_its_cells_have_reached(small_data, monkeypatch, capsys):
    def interrupt(epoch, loss):
        raise KeyboardInterrupt

    cells = plan.cells(params.load(), "baseline")
    with pytest.raises(KeyboardInterrupt):
        fit(cells[1], progress=interrupt)
    monkeypatch.setattr(progress, "LONG", 0.0)
    monkeypatch.setattr(progress, "IN_LOG", 0.1)
    assert len(list(pool.map_cells(slow, cells))) == 2
    assert "running: baseline seed 1 (epoch 1/2)" in capsys.readouterr().err


def test_an_interrupted_run_says_how_to_resume(capsys):
    with pytest.raises(KeyboardInterrupt), Progress({0: ("deep", 9.0)}, processes=1):
        raise KeyboardInterrupt
    assert capsys.readouterr().err.endswith("; run the same command again to resume\n")


def test_a_cell_that_is_expected_to_take_no_time_can_be_late(monkeypatch):
    """It only has to be stored, because its checkpoint has the last epoch."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shown = Progress({0: ("net 0", 0.0), 1: ("net 1", 0.0)}, processes=1)
    with shown:
        now[0] = 1.0
        assert shown.left() == 0


def test_the_longest_cells_come_first(small_data, monkeypatch):
    loaded = params.load()
    cells = [cell for name in ("first", "res_deep") for cell in plan.cells(loaded, name)]
    monkeypatch.setattr(pool, "estimates", lambda cells, threads: [1.0, 4.0, 3.0, 2.0])
    order = [cell for cell, _ in pool.map_cells(str, cells)]
    assert order == [cells[1], cells[2], cells[3], cells[0]]


def test_cells_that_are_begun_come_before_longer_ones(small_data, monkeypatch):
    """Interrupted twice, a run would otherwise have twice as many half-done cells."""
    cells = plan.cells(params.load(), "res_deep")
    monkeypatch.setattr(pool, "estimates", lambda cells, threads: [4.0, 1.0])
    checkpoint = finished.find(cells[1].stem, finished.CHECKPOINT)
    checkpoint.parent.mkdir(exist_ok=True)
    checkpoint.touch()
    assert [cell for cell, _ in pool.map_cells(str, cells)] == [cells[1], cells[0]]


def test_an_interrupted_cell_is_expected_to_take_less(small_data):
    first, second = plan.cells(params.load(), "baseline")

    def interrupt(epoch, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(second, progress=interrupt)
    whole, rest = speed.estimate([first, second])
    assert rest == pytest.approx(whole / 2)
    rest, whole = pool.estimates([second, first], threads=1)
    assert rest == pytest.approx(whole / 2)


@pytest.mark.parametrize(
    ("precision", "in_hardware", "is_said"),
    [("bf16", False, True), ("bf16", True, False), ("fp32", False, False)],
)
def test_emulated_bfloat16_is_no_surprise(
    small_data, monkeypatch, capsys, precision, in_hardware, is_said
):
    monkeypatch.setattr(speed, "computes_in_bf16", lambda _: in_hardware)
    edit_params(small_data, {"rows.baseline.precision": precision})
    speed.estimate(plan.cells(params.load(), "baseline"))
    said = "note: baseline trains in bfloat16, but this machine seems to have no hardware"
    assert (said in capsys.readouterr().err) == is_said


def test_an_estimate_counts_the_mirror_images_that_are_scored(small_data, monkeypatch):
    monkeypatch.setattr(speed, "median", lambda _: 1.0)
    seconds = []
    for flips in (False, True):
        edit_params(small_data, {"rows.baseline.flip_at_test": flips})
        [first, *_] = plan.cells(params.load(), "baseline")
        seconds += speed.estimate([first])
    size, scored = first.row.training.batch_size, 40 + 4 * (1 + first.row.training.epochs)
    passes = scored / min(size, 40) / speed.PASSES_PER_STEP
    assert seconds[1] - seconds[0] == pytest.approx(passes)


def test_rows_that_are_trained_alike_share_their_cells(small_data):
    same = {"net": "baseline", "recipe": "train", "sized_by": "data.classes"}
    edit_params(small_data, {"rows.twin": same})
    loaded = params.load()
    results = pool.train_rows(loaded, "baseline", "twin")
    assert results[:2] == results[2:]
    assert len(list((small_data / "checkpoints").glob("*.zip"))) == 2


def test_a_stage_says_how_many_runs_it_need_not_train(small_data, monkeypatch, capsys):
    monkeypatch.setenv("DVC_STAGE", "train@baseline")
    loaded = params.load()
    pool.train_rows(loaded, "baseline")
    assert "finished already" not in capsys.readouterr().err
    pool.train_rows(loaded, "baseline")
    assert capsys.readouterr().err == "2 of 2 training runs are finished already\n"


def test_one_more_seed_trains_one_more_cell(small_data, capsys):
    pool.train_rows(params.load(), "baseline", "dropout")
    assert "4 training runs" in capsys.readouterr().err
    edit_params(small_data, {"train.seeds": 3})
    pool.train_rows(params.load(), "baseline", "dropout")
    assert "2 training runs, 1 at a time" in capsys.readouterr().err
    pool.train_rows(params.load(), "baseline", "dropout")
    assert capsys.readouterr().err == ""


IMPORTS = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
print(sorted(name for name in ("torch", "pandas", "torchvision") if name in sys.modules))
"""


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["train", "validate"])
def test_a_stage_with_finished_cells_does_not_import_torch(scratch, tmp_path, stage):
    here = {"cwd": scratch, "CHECKPOINTS": str(tmp_path)}
    run("python", "-m", "stages.train", "baseline", **here)
    printed = run(sys.executable, "-c", IMPORTS, f"stages.{stage}", "baseline", **here)
    assert printed.splitlines()[-1] == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["download", "filter"])
def test_a_stage_without_pictures_does_not_import_torchvision(small_run, stage):
    printed = run(sys.executable, "-c", IMPORTS, f"stages.{stage}", cwd=small_run)
    assert "torchvision" not in printed.splitlines()[-1]
    run("git", "checkout", "-q", ".", cwd=small_run)


def repro(folder, *arguments, **environment):
    return run("python", "-m", "scripts.repro", *arguments, cwd=folder, **environment)


@pytest.mark.slow
def test_the_pool_gives_the_same_bytes_as_plain_dvc(scratch, tmp_path):
    """Train all rows again in the pool, with two processes; DVC then only collects."""
    shutil.rmtree(scratch / ".dvc/cache")
    shutil.rmtree(scratch / "models")
    printed = repro(
        scratch, is_fresh=True, LOKY_MAX_CPU_COUNT="2", CHECKPOINTS=str(tmp_path)
    )
    n_cells = 2 * len(FEW) + 4 * len(IN_FOLDS)
    assert f"{n_cells} training runs, 2 at a time: about" in printed
    assert printed.count("training runs, 2 at a time") == 1
    assert re.search(
        rf"{n_cells} of {n_cells} training runs done in .*, processors busy", printed
    )
    assert {f"train@{name}" for name in (*FEW, *IN_FOLDS)} <= ran(printed)
    assert run("git", "status", "--porcelain", cwd=scratch) == ""
    assert modified(scratch) == set()
    assert "training runs" not in repro(scratch, CHECKPOINTS=str(tmp_path))


@pytest.mark.slow
def test_one_recipe_only(clone):
    """In a clone without data and models, the other rows stay as they are."""
    edit_params(clone, {"annealed.lr": 0.01, "train.lr": 0.5})
    printed = repro(clone, "--recipe", "annealed")
    assert f"{4 * len(IN_FOLDS)} training runs" in printed
    stages = ran(printed)
    assert {f"validate@{name}" for name in IN_FOLDS} <= stages
    assert {"compare", "report"} <= stages
    assert not stages & {f"{kind}@{name}" for name in FEW for kind in ("train", "validate")}
    changed = run("git", "status", "--porcelain", cwd=clone).split()[1::2]
    assert not [name for name in changed if name.startswith("metrics/res_deep")]
    assert "metrics/baseline_annealed.json" in changed


@pytest.mark.slow
def test_an_unknown_recipe_is_one_line(scratch):
    printed = run(
        "python", "-m", "scripts.repro", "--recipe", "fast", cwd=scratch, check=False
    )
    said = "error: --recipe: params.yaml has no row with 'fast'; choose one of train, "
    assert printed == f"{said}annealed\n"


def test_the_line_on_a_terminal_is_written_over(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "ON_TERMINAL", 0.01)
    with Progress({0: ("one", 1.0)}, processes=1) as _:
        time.sleep(0.1)
    said = capsys.readouterr().err
    assert said.count("\r\033[K0 of 1 training runs done; 1 s left; running: one") > 1


def test_the_line_on_a_terminal_is_not_wider_than_the_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "ON_TERMINAL", 0.01)
    monkeypatch.setenv("COLUMNS", "60")
    with Progress({i: (f"net {i}", 5000.0) for i in range(16)}, processes=16):
        time.sleep(0.1)
    lines = [part for part in capsys.readouterr().err.split("\r\033[K") if "left" in part]
    assert lines and {len(line) for line in lines} == {59}
    assert lines[0].startswith("0 of 16 training runs done; 1 h 23 min left; run")
    assert lines[0].endswith("…")


def test_the_log_of_a_long_run_has_fewer_and_fewer_lines(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shown = Progress({0: ("deep", 50_000.0)}, processes=1)
    lines = 0
    while now[0] < 50_000:
        now[0] += shown._pause()
        lines += 1
    assert shown._pause() == pytest.approx(1000, rel=0.05)
    assert lines < 300
    shown.on_terminal = True
    assert shown._pause() == progress.ON_TERMINAL


@pytest.mark.slow
def test_changed_rows_are_trained_in_the_pool_although_old_models_are_cached(retrained):
    edit_params(retrained, {"train.weight_decay": 0.01})
    printed = repro(retrained)
    assert f"{2 * len(FEW)} training runs, 1 at a time" in printed
    # DVC's stages find them finished.
    assert printed.count(" training runs, ") == 1
