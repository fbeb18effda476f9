"""The GitHub workflows run commands of this repository safely."""

import re
import shutil

from ruamel.yaml import YAML

from stages import report
from tests.conftest import ROOT, run

FOLDER = ROOT / ".github/workflows"
WORKFLOWS = {
    path.stem: YAML(typ="safe").load(path) for path in sorted(FOLDER.glob("*.yml"))
}


def steps():
    jobs = [job for workflow in WORKFLOWS.values() for job in workflow["jobs"].values()]
    return [step for job in jobs for step in job["steps"]]


def test_only_two_jobs_may_write_and_only_what_they_need():
    assert all(each["permissions"] == {"contents": "read"} for each in WORKFLOWS.values())
    rights = {
        name: job.get("permissions")
        for workflow in WORKFLOWS.values()
        for name, job in workflow["jobs"].items()
    }
    read = {"contents": "read"}
    assert rights == {
        "test": None,
        "report": {**read, "pull-requests": "write"},
        "publish": {**read, "pages": "write", "id-token": "write"},
    }
    checkouts = [s for s in steps() if s.get("uses", "").startswith("actions/checkout")]
    assert all(s["with"]["persist-credentials"] is False for s in checkouts)


def test_no_script_contains_input_of_a_pull_request():
    # A branch name may look like a command, so it is passed as a variable.
    assert not [step for step in steps() if "${{" in step.get("run", "")]
    assert "$(BASE)" not in (ROOT / "Makefile").read_text()


def test_a_branch_name_is_never_run(tmp_path):
    [report] = [step for step in steps() if step.get("name") == "Report"]
    [command] = re.findall(r"make .*pr-report.*?(?= >)", report["run"])
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").touch()
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf %s "$3"\n')
    python.chmod(0o755)
    (tmp_path / ".venv/.complete").touch()
    name = "origin/$(shell touch made)`touch made`"
    assert run("sh", "-c", command, cwd=tmp_path, BASE=name) == name
    assert not (tmp_path / "made").exists()


def test_the_page_that_is_published_is_the_report(tmp_path):
    workflow = WORKFLOWS["pages"]
    # YAML 1.1 reads the key `on` as true.
    when = workflow.get("on", workflow.get(True))
    assert report.COMMITTED.as_posix() in when["push"]["paths"]
    assert when["push"]["branches"] == ["main"]  # and never a pull request
    steps = workflow["jobs"]["publish"]["steps"]
    [command] = [step["run"] for step in steps if "run" in step]
    (tmp_path / "plots").mkdir()
    shutil.copy(ROOT / report.COMMITTED, tmp_path / "plots")
    run("sh", "-c", command, cwd=tmp_path)
    [upload] = [s for s in steps if "upload-pages-artifact" in s.get("uses", "")]
    published = tmp_path / upload["with"]["path"] / "index.html"
    assert published.read_bytes() == (ROOT / report.COMMITTED).read_bytes()
