"""The GitHub workflow runs commands of this repository safely."""

import re
import shutil

from ruamel.yaml import YAML

from tests.conftest import ROOT, run

WORKFLOW = ROOT / ".github/workflows/benchmark.yml"


def steps():
    jobs = YAML(typ="safe").load(WORKFLOW)["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def test_only_the_report_may_write():
    workflow = YAML(typ="safe").load(WORKFLOW)
    assert workflow["permissions"] == {"contents": "read"}
    rights = {name: job.get("permissions") for name, job in workflow["jobs"].items()}
    comment = {"contents": "read", "pull-requests": "write"}
    assert rights == {"test": None, "report": comment}
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
