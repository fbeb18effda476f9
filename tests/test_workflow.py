"""The workflow on GitHub calls what is here."""

import re
import shutil

from ruamel.yaml import YAML

from tests.conftest import ROOT, run

WORKFLOW = ROOT / ".github/workflows/benchmark.yml"


def steps():
    jobs = YAML(typ="safe").load(WORKFLOW)["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def test_only_the_report_may_write_and_nothing_else():
    workflow = YAML(typ="safe").load(WORKFLOW)
    assert workflow["permissions"] == {"contents": "read"}
    rights = {name: job.get("permissions") for name, job in workflow["jobs"].items()}
    comment = {"contents": "read", "pull-requests": "write"}
    assert rights == {"test": None, "report": comment}
    checkouts = [s for s in steps() if s.get("uses", "").startswith("actions/checkout")]
    assert all(s["with"]["persist-credentials"] is False for s in checkouts)


def test_what_a_pull_request_brings_is_in_no_script():
    # A branch may be named like a command; it comes as a variable.
    assert not [step for step in steps() if "${{" in step.get("run", "")]
    assert "$(BASE)" not in (ROOT / "Makefile").read_text()


def test_a_branch_named_like_a_command_stays_a_name(tmp_path):
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
