"""What `make bench` measures, and what its page says of it."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmark import params
from benchmark.reporting.figures import png
from studies.speed import __main__ as speed
from tests.conftest import ARCHITECTURES, ROOT


def rates_of(notebook, pipeline):
    return {"notebook": notebook, "two_threads": pipeline, "pipeline": pipeline}


RATES = {
    "slow": rates_of([100, 200, 400], [100, 400, 1600]),
    "fast": rates_of([100, 100, 100], [800, 800, 100]),
}


def measured(rates):
    machine = {"processor": "CPU", "cpu_capability": "AVX2", "torch": "2", "cores": 2}
    return {"environment": machine, "images": 1280, "rates": rates}


def test_ratios_compare_within_a_round():
    assert speed.ratio(RATES["slow"]) == 2  # 1, 2 and 4 times as fast
    # The geometric mean of the medians 2 and 8.
    assert speed.mean_ratio(RATES) == pytest.approx(4)


def test_the_page(workplace):
    text = speed.page(measured(RATES))
    assert "| slow | 200 | 400 | **2.00** | 400 |" in text
    assert "Geometric mean of the ratios: **4.00**; one seed on two threads: 4.00." in text
    assert "bf16 was not measured" in text and "minutes" not in text
    assert png(speed.chart(RATES))[:4] == b"\x89PNG"


def test_the_time_of_the_whole_benchmark(workplace):
    names = ARCHITECTURES
    text = speed.page(measured({name: rates_of([1000], [10_000]) for name in names}))
    # 100 epochs of 10,000 images at 10,000 images per second.
    minutes = len(names) * 100 / 60
    assert f"takes {minutes:.0f} minutes with one seed" in text
    assert f"{2 * minutes:.0f} minutes with two" in text


@pytest.mark.slow
def test_every_variant_is_measured():
    loaded = params.load(ROOT / "params.yaml")
    with ThreadPoolExecutor(2) as pool:  # so that no processes have to be started
        rates = speed.measure(pool, loaded, "res", rounds=1, images=64, with_bf16=True)
    assert set(rates) == {"notebook", "two_threads", "pipeline", "bf16"}
    assert all(len(each) == 1 and each[0] > 0 for each in rates.values())


def test_the_committed_page_matches_the_measurement(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = json.loads((ROOT / "docs/speed.json").read_text("utf-8"))
    assert speed.page(found) == (ROOT / "docs/speed.md").read_text("utf-8")
