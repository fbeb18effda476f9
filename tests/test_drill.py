"""The drill: five kills of a real pipeline."""

import random

import pytest

from scripts import drill


@pytest.fixture
def small(monkeypatch):
    """The drill with shorter trainings, two side by side."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    monkeypatch.setattr(drill, "EPOCHS", 10)
    monkeypatch.setitem(drill.SETTINGS, "train.epochs", 10)


def test_five_kills_leave_no_trace(small, tmp_path):
    outcome = drill.drill(tmp_path, 5, random.Random(0))
    assert outcome.differing == []
    assert outcome.landed.total() >= 5
    assert max(outcome.repeated) <= 1 and len(outcome.repeated) == 4 * outcome.passes
    assert "to the byte" in drill.report(outcome, 0, 60)
