"""What `make bench` measures, and what its report says of it."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmark import params
from studies.speed import costs, page, ways
from studies.speed.__main__ import measure
from tests.conftest import ROOT


def of_one(notebook, pipeline, **more):
    """What was measured of one architecture: rates by round, peaks of 10 FLOP/s."""
    return {
        "rates": {"notebook": notebook, "pipeline": pipeline, "two_threads": pipeline},
        "peaks": [{"matrix": 10e9, "convolution": 20e9}] * len(notebook),
        "flops": {"matrix": 1e6, "convolution": 4e6},
        "checkpoint_seconds": 0.5,
        "time_by_kind": dict.fromkeys(page.KIND_COLOURS, 1 / 6),
        **more,
    }


@pytest.fixture
def measured(workplace):
    return {
        "environment": {
            "processor": "CPU", "cpu_capability": "AVX2", "torch": "2", "cores": 2
        },
        "rounds": 3,
        "images": 1280,
        "architectures": {
            "slow": of_one([100, 200, 400], [100, 400, 1600]),
            "fast": of_one([100, 100, 100], [800, 800, 100]),
        },
        "growth": {
            "blocks": {"at": [10, 30, 100], "seconds": [[11], [31], [101]]},
            "images": {"at": [1, 2, 4], "seconds": [[1, 9, 1], [2, 2, 2], [4, 4, 4]]},
            "seeds": {"at": [2, 4, 8], "seconds": [[1], [4], [16]]},
        },
    }  # fmt: skip


def test_ratios_are_of_the_same_round(measured):
    slow = measured["architectures"]["slow"]  # 1, 2 and 4 times as fast
    assert page.ratio(slow) == 2
    # The geometric mean of the medians 2 and 8.
    assert page.geometric_mean(measured) == pytest.approx(4)


def test_the_share_of_the_peak(measured):
    # An image takes 1e6 / 10e9 + 4e6 / 20e9 s at the peak; the median is 400 a second.
    slow = measured["architectures"]["slow"]
    assert page.share_of_peak(slow) == pytest.approx(400 * 3e-4)


def test_growth_is_held_against_a_straight_line(measured):
    for kind in ("blocks", "images"):
        _, seconds, line = page.grown(measured, kind)
        assert page.farthest(seconds, line) < 1e-9
    _, seconds, line = page.grown(measured, "seeds")
    assert page.farthest(seconds, line) > 0.1


def test_the_report(measured, workplace):
    page.write(measured)
    table = (workplace / "docs/speed.md").read_text("utf-8")
    for name in ("speed", "profile", "growth"):
        assert (workplace / f"docs/{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert "| slow | 200 | 400 | **2.00** | 400 | 2 | 12% | 1.0% |" in table
    assert "Geometric mean of the ratios: **4.00**; one seed on two threads 4.00." in table
    assert "bf16 was not timed" in table


def test_the_time_of_the_whole_benchmark(measured):
    names = params.load().architectures
    measured["architectures"] = {name: of_one([1000], [10_000]) for name in names}
    # Trainings of 100 epochs of 10,000 images, 10,000 a second.
    minutes = len(names) * 100 / 60
    table = page.table(measured)
    assert f"takes {minutes:.0f} minutes with one seed" in table
    assert f"{2 * minutes:.0f} minutes with two" in table


@pytest.mark.slow
def test_every_way_is_measured():
    loaded = params.load(ROOT / "params.yaml")
    with ThreadPoolExecutor(2) as pool:  # no other processes to start
        found = measure(pool, loaded, "res", rounds=1, images=64, with_bf16=True)
    assert set(found["rates"]) == {"notebook", "two_threads", "pipeline", "bf16"}
    assert all(len(rates) == 1 and rates[0] > 0 for rates in found["rates"].values())
    assert all(peak > 1e8 for peak in found["peaks"][0].values())
    assert sum(found["time_by_kind"].values()) == pytest.approx(1)
    assert found["time_by_kind"]["convolutions"] > 0.1
    assert 0 < found["checkpoint_seconds"] < 1


def test_operations_are_those_of_forward_and_backward():
    loaded = params.load(ROOT / "params.yaml")
    flops = costs.operations(ways.make_cell(loaded, "baseline", 8))
    conv1, conv2 = 2 * 3 * 16 * 9 * 32**2, 2 * 16 * 8 * 9 * 16**2
    # The images need no gradient.
    assert flops["convolution"] == 2 * conv1 + 3 * conv2
    assert flops["matrix"] == 3 * 2 * (512 * 32 + 32 * 2)


def test_the_committed_page_is_that_of_the_committed_measurement(monkeypatch):
    monkeypatch.chdir(ROOT)
    measured = json.loads((ROOT / "docs/speed.json").read_text("utf-8"))
    assert page.table(measured) == (ROOT / "docs/speed.md").read_text("utf-8")
