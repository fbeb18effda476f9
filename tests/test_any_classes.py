"""With other classes, nothing speaks of airplanes, birds or the book's numbers."""

import json
import re
import shutil

import pytest

from benchmark.classes import CLASS_NAMES
from benchmark.reporting.tables import question
from benchmark.running.files import md5
from benchmark.running.repository import copy_project
from tests.conftest import (
    SMALL,
    commit,
    edit_params,
    keep_rows,
    official_files,
    run,
)

pytestmark = pytest.mark.slow
GENERATED = "generated"
TASKS = {
    "ten": list(CLASS_NAMES),
    "three": ["cat", "dog", "ship"],
    "cats": ["cat", "dog"],
    "vehicles": ["truck", "automobile"],
    GENERATED: ["airplane", "bird"],
}
PAGES = (
    *("plots/results.md", "plots/pairs.md", "plots/report.html"),
    *("docs/model_card.md", "docs/notebook.md"),
)
BOOK = r"1st edition|2nd edition|accuracy, published|published accuracies are reproduced"


@pytest.fixture(scope="module", params=TASKS)
def done(request, tmp_path_factory):
    """Every stage of both pipelines, for one task."""
    folder = tmp_path_factory.mktemp(request.param)
    project, mirror = folder / "project", folder / "mirror"
    copy_project(project)
    mirror.mkdir()
    files = official_files(per_class=6)
    for name, content in files.items():
        (mirror / name).write_bytes(content)
    md5s = {name: md5(content) for name, content in files.items()}
    code = project / "benchmark/data/cifar10.py"
    with code.open("a") as file:
        file.write(f"\nOFFICIAL_MD5 = {json.dumps(md5s)}\n")
    for name in ("metrics", "results"):  # of the committed rows
        shutil.rmtree(project / name)
    keep_rows(project / "params.yaml", "rows", ["baseline", "dropout"])
    keep_rows(project / "notebook/params.yaml", "rows", ["dropout"])
    source = "synthetic" if request.param == GENERATED else "cifar10"
    task = {"data.source": source, "data.classes": TASKS[request.param]}
    edit_params(project, SMALL | task | {"train.epochs": 1})
    edit_params(project / "notebook", {"seeds": 2, "rows.dropout.epochs": 1})
    commit(project)
    run(
        *("dvc", "repro", "dvc.yaml", "notebook/dvc.yaml"),
        cwd=project,
        CIFAR10_MIRROR=str(mirror),
    )
    commit(project, "results")
    return request.param, project


def texts_of(project):
    pages = {page: (project / page).read_text("utf-8") for page in PAGES}
    pages["plots/report.html"] = re.sub(r"base64,[^\"]+", "", pages["plots/report.html"])
    report = run("python", "-m", "scripts.pr_report", "HEAD", cwd=project)
    return pages | {"pull request": report}


def test_texts_are_about_this_task(done):
    task, project = done
    for page, text in texts_of(project).items():
        assert not re.search(BOOK, text), page
        if task == GENERATED and page != "docs/notebook.md":
            assert not re.search(r"CIFAR-10's", text), page
        if task not in ("ten", GENERATED):
            assert not re.search(r"airplane|\bbirds?\b", text, re.I), page
    headings = {"plots/report.html": "<h1>{}</h1>", "pull request": "## {} Changes"}
    for page, heading in headings.items():
        assert heading.format(question(TASKS[task])) in texts_of(project)[page]


def test_the_results_match_the_code(done):
    _, project = done
    printed = run("python", "-m", "scripts.verify", cwd=project)
    assert "All committed results match" in printed
    assert "does not match" not in printed


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["airplane", "bird"], "Airplane or bird?"),
        (["cat", "dog", "ship"], "Cat, dog or ship?"),
        (list(CLASS_NAMES), "Which of 10 classes?"),
    ],
)
def test_the_question(classes, expected):
    assert question(classes) == expected
