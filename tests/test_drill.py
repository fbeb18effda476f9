"""The drill: five kills of a real pipeline."""

import random
import signal

import pytest

from scripts import drill


@pytest.fixture
def small(monkeypatch):
    """The drill with shorter trainings, two side by side."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    monkeypatch.setattr(drill, "EPOCHS", 10)
    monkeypatch.setitem(drill.SETTINGS, "train.epochs", 10)
    # As in what a shell starts in the background; an interrupt has to land all the same.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def test_five_kills_leave_no_trace(small, tmp_path):
    outcome = drill.drill(tmp_path, 5, random.Random(3))
    assert outcome.differing == []
    assert outcome.landed.total() >= 5
    assert {how for _, how in outcome.landed} >= {"interrupt", "dvc"}
    assert max(outcome.repeated) <= 1 and len(outcome.repeated) == 4 * outcome.passes
    assert "to the byte" in drill.report(outcome, 0, 60)
