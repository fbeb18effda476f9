"""Judge two files of predictions, from here or from anywhere."""

import numpy as np
import pandas as pd
import pytest

from benchmark.running.errors import UserError
from benchmark.stats.uncertainty import compare_models, difference_interval
from benchmark.stats.verdicts import format_points
from scripts import judge
from scripts.predictions import Predictions, compare
from tests.conftest import ROOT, run
from tests.test_compare import in_folds, results_of

MARGIN = 0.01


def write(path, table):
    table.to_csv(path, index=False)
    return str(path)


@pytest.fixture
def files(tmp_path):
    """A function that writes the predictions of two nets, and returns their paths."""

    def make(n_seeds, make_results=results_of, **thresholds):
        made = make_results(thresholds or {"a": 1.7, "b": 1.2}, n_seeds)
        return [
            write(tmp_path / f"{name}.csv", table)
            for name, table in made.predictions.items()
        ]

    return make


def said(a, b):
    return judge.report(*judge.aligned(judge.read(a), judge.read(b)), MARGIN)


def test_nets_with_several_seeds(files):
    a, b = files(4)
    text = said(a, b)
    first, second = (judge.read(path).correct.to_numpy() for path in (a, b))
    expected = difference_interval(first, second)
    assert f"A minus B: {format_points(expected.mean)} points" in text
    assert "Compared with B, A is: better by" in text and "This is about nets" in text
    assert "Compared with B, A is: worse by" in said(b, a)
    assert "A minus B: 0.0 points" in said(a, a) and "A is: the same (" in said(a, a)


def test_one_model_each(files):
    a, b = files(1)
    text = said(a, b)
    correct = [judge.read(path).by_image for path in (a, b)]
    expected = compare_models(*correct)
    assert f"A minus B: {format_points(expected.mean)} points" in text
    won = int(((correct[0] == 1) & (correct[1] == 0)).sum())
    assert f"A is right and B is wrong for {won:,} images" in text
    assert "nobody can tell how another" in text and "This is about nets" not in text


def test_two_seeds_get_numbers_but_no_word(files):
    text = said(*files(2))
    assert "There is no verdict: that needs at least 3 seeds of each net." in text
    assert "95% interval" in text and "A is:" not in text


def test_folds(files):
    text = said(*files(6, in_folds))
    assert "2,000 images in folds" in text and "A is: better by" in text


def test_two_seeds_per_fold(files):
    pair = [judge.read(path) for path in files(6, in_folds)]
    again = {f"seed_{k + 6}": f"seed_{k}" for k in range(6)}
    twice = [
        Predictions(
            p.path, p.table.assign(**{new: p.table[old] for new, old in again.items()})
        )
        for p in pair
    ]
    assert compare(*pair).variance.n_seeds == (6,)
    assert compare(*twice).variance.n_seeds == (12,)


def test_any_classes(tmp_path):
    label = np.arange(300) % 10
    generator = np.random.default_rng(0)
    a, b = (
        write(
            tmp_path / f"{share}.csv",
            pd.DataFrame(
                {"label": label}
                | {
                    f"seed_{s}": np.where(
                        generator.random(300) < share, label, (label + s + 1) % 10
                    )
                    for s in range(3)
                }
            ),
        )
        for share in (0.9, 0.5)
    )
    assert "A is: better by" in said(a, b)


def test_the_order_of_the_images_does_not_matter(files, tmp_path):
    a, b = files(4)
    shuffled = pd.read_csv(b).sample(frac=1, random_state=0)
    other = write(tmp_path / "shuffled.csv", shuffled)
    assert said(a, other).replace("shuffled.csv", "b.csv").split() == said(a, b).split()


BAD = {
    "no label": (lambda t: t.drop(columns="label"), "has no column label; it needs"),
    "no seed": (lambda t: t[["example", "label"]], "has no column seed_0; it needs"),
    "words": (
        lambda t: t.replace({"seed_1": {0: "plane"}}),
        "seed_1 is not a whole number",
    ),
    "half": (lambda t: t.assign(seed_0=0.5), "seed_0 is not a whole number"),
    "infinite": (lambda t: t.assign(seed_0=np.inf), "seed_0 is not a whole number"),
    "a gap": (lambda t: t.assign(seed_0=t["seed_0"].where(t.index > 3)), "seed_0 is not a"),
    "twice": (lambda t: t.assign(example=0), "an image has two rows"),
    "one image": (lambda t: t[:1], "has fewer than two images"),
    "fewer": (lambda t: t[:-1], "both need the same images"),
    "others": (
        lambda t: t.assign(example=t["example"] + 1),
        "differ in the column example",
    ),
    "labels": (lambda t: t.assign(label=1 - t["label"]), "differ in the column label"),
    "folds": (lambda t: t.assign(fold=0), "only one of"),
    "one column": (
        lambda t: t[["example", "label", "seed_0"]],
        "has one seed, and",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line(files, name):
    a, b = files(4)
    change, expected = BAD[name]
    write(b, change(pd.read_csv(b)))
    with pytest.raises(UserError) as raised:
        said(a, b)
    assert expected in str(raised.value) and "\n" not in str(raised.value)
    assert "b.csv" in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\x00" * 9, b"a,b\n1,2,3,4\n"])
def test_no_csv_is_one_line(files, tmp_path, content):
    a, _ = files(4)
    bad = tmp_path / "bad.csv"
    bad.write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.csv: .+; it needs the columns label"):
        said(a, str(bad))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("label,seed_0\n0,0,1\n1,1,1\n", "image 1 has 3 values, not 2"),
        ("label,seed_1,seed_1\n0,0,1\n1,1,1\n", "two columns have the name seed_1"),
    ],
)
def test_columns_are_never_mixed_up(tmp_path, content, expected):
    bad = tmp_path / "bad.csv"
    bad.write_text(content)
    with pytest.raises(UserError, match=expected):
        judge.read(str(bad))


def test_without_numbers_in_both_files_the_order_of_the_rows_counts(files, tmp_path):
    a, _ = files(4)
    shuffled = pd.read_csv(a).sample(frac=1, random_state=0)
    other = write(tmp_path / "shuffled.csv", shuffled)
    plain = write(tmp_path / "plain.csv", shuffled.drop(columns="example"))
    assert "A minus B: 0.0 points" in said(other, plain)
    with pytest.raises(UserError, match="in the same order"):
        said(a, plain)


def test_two_folds_are_refused(files, tmp_path):
    a, _ = files(4, in_folds)
    table = pd.read_csv(a)
    few = write(tmp_path / "few.csv", table[table["fold"] < 2])
    with pytest.raises(UserError, match="a comparison needs 3 folds"):
        said(few, few)


@pytest.mark.slow
def test_make_judge(tmp_path):
    """The rows of this benchmark, from another folder's params, and a missing file."""
    a, b = (
        f"results/{name}/predictions.csv" for name in ("res_annealed", "baseline_annealed")
    )
    printed = run("python", "-m", "scripts.judge", a, b, cwd=ROOT)
    assert "A is: better by" in printed
    printed = run("python", "-m", "scripts.judge", a, "none.csv", cwd=ROOT, check=False)
    assert printed.startswith("error: none.csv: ") and printed.count("\n") == 1
