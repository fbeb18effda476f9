"""Kills of a real pipeline, in two of its stages."""

import random
import signal

import pytest

from studies.kills import __main__ as kills
from studies.kills.pipeline import Pipeline

pytestmark = pytest.mark.slow
EPOCHS = 40


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline up to the training of one net, with two seeds side by side."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOKY_MAX_CPU_COUNT", "2")
        # In background jobs, a shell ignores SIGINT, but the test sends it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        folder = tmp_path_factory.mktemp("kills")
        yield Pipeline(folder, EPOCHS, names=("dropout",), targets=("train@dropout",))
        signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def undisturbed(pipeline):
    """The duration of each stage, and the final state; then all outputs are deleted."""
    _, durations = pipeline.run({})
    state = pipeline.state()
    pipeline.wipe()
    return durations, state


def test_a_stage_is_interrupted(pipeline, undisturbed, monkeypatch):
    monkeypatch.setattr(pipeline, "targets", ["filter"])
    seconds = 0.5 * undisturbed[0]["filter"]
    hits, _ = pipeline.run({"filter": ("interrupt", seconds)})
    assert hits == [("filter", "interrupt")]


def test_kills_change_no_result(pipeline, undisturbed):
    durations, expected = undisturbed
    # The first run may have been slower, with other tests beside it.
    seconds = 0.5 * durations["train@dropout"]
    hits, _ = pipeline.run({"train@dropout": ("dvc", seconds)})
    assert hits == [("train@dropout", "dvc")]
    assert pipeline.state() == expected
    repeated = pipeline.repeated_epochs()
    assert set(repeated) == {("dropout", 0), ("dropout", 1)}
    assert max(repeated.values()) <= 1


def test_every_stage_is_killed():
    stages = kills.stages_to_kill(random.Random(3))
    assert {stage.partition("@")[0] for stage in stages} == set(kills.STAGES)


def test_the_page_counts_hits():
    outcome = kills.Outcome(passes=2, missed=1, repeated=[0.5, 0.0])
    outcome.hits.update({("train", "dvc"): 3, ("filter", "all"): 1})
    page = kills.page(outcome, seed=0, seconds=60)
    assert "4 kills hit a stage, in 2 passes" in page and "byte for byte" in page
    assert "| train | 0 | 3 | 0 | 0 | 3 |" in page
    outcome.differing.append("dvc.lock")
    assert "DIFFERENT in the last pass: dvc.lock" in kills.page(outcome, 0, 60)
