"""What can go wrong with the files and processes of a whole run."""

import re

import pytest

from tests.conftest import NAMESPACES, run
from tests.test_pipeline import modified

MODEL = "models/baseline/seed-0.pt"


def ran(printed):
    return set(re.findall(r"Running stage '(.+)'", printed))


@pytest.mark.skipif(not NAMESPACES, reason="no user namespaces here")
def test_a_run_needs_no_network(small_run):
    # It was made without one: tests/conftest.py.
    assert (small_run / "metrics" / "baseline.json").exists()


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (MODEL, cut),
        (MODEL, flip),
        ("data/cifar2.pt", flip),
        ("metrics/baseline.json", flip),
        ("results/baseline/seeds.csv", cut),
    ],
)
def test_a_damaged_out_is_made_good(scratch, name, damage):
    path = scratch / name
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(damage(content))
    assert modified(scratch)
    printed = run("dvc", "repro", cwd=scratch)
    assert path.read_bytes() == content
    assert "Traceback" not in printed
    assert modified(scratch) == set()
