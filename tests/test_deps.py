"""dvc.yaml lists every file that a stage's output depends on; imports run one way."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT, YAML_SAFE, run

# Imports that cannot change a stage's output.
EXEMPT = {
    "benchmark/running": "where work runs; no byte depends on it",
    "benchmark/check.py": "refuses a file or lets it pass",
    "benchmark/params.py": "checks params; the values are DVC params of the stages",
    "benchmark/pool.py": "decides when work runs; no byte depends on it",
    "benchmark/speed.py": "tells how long it will take",
}
PIPELINES = {
    f"{folder}/{name}": stage
    for folder, file in (("stages", "dvc.yaml"), ("notebook", "notebook/dvc.yaml"))
    for name, stage in YAML_SAFE.load(ROOT / file)["stages"].items()
}


def imported_files(file: Path) -> set[Path]:
    """The project's files that `file` imports, and those that they import.

    Exempt files do not count, nor does what only they import.
    """
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
            for name in names:
                path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
                exempt = path.relative_to(ROOT).as_posix().startswith(tuple(EXEMPT))
                if path.is_file() and not exempt and path not in found:
                    found.add(path)
                    waiting.append(path)
    return found


@pytest.mark.parametrize("name", PIPELINES)
def test_deps_are_what_a_stage_imports(name):
    stage = PIPELINES[name].get("do", PIPELINES[name])
    # Architectures are imported by name; data and models are not code.
    deps = {
        dep
        for dep in stage["deps"]
        if dep.startswith(("stages", "notebook/", "benchmark"))
        and dep not in ("notebook/params.yaml", "notebook/results")
        and not dep.endswith((".csv", ".jinja"))
    }
    script = ROOT / f"{name}.py"
    imported = imported_files(script)
    if name == "stages/train":  # its workers import this
        worker = ROOT / "benchmark/training/cell.py"
        imported |= {worker} | imported_files(worker)
    files = {f.relative_to(ROOT).as_posix() for f in {script} | imported}
    files = {file for file in files if not file.startswith("architectures/")}
    covering = {
        file: [dep for dep in deps if f"{file}/".startswith(f"{dep}/")] for file in files
    }
    assert not [file for file, by in covering.items() if not by]
    assert deps == {dep for by in covering.values() for dep in by}


@pytest.mark.parametrize("name", PIPELINES)
def test_nets_that_a_stage_reads_are_among_its_deps(name):
    stage = PIPELINES[name].get("do", PIPELINES[name])
    wanted = {
        "stages/train": "architectures/${item.net}.py",
        "stages/validate": "architectures/${item.net}.py",
        "stages/convolve": "architectures/baseline.py",
        "stages/compare": "architectures",
        "stages/report": "architectures",
        "notebook/train": "architectures/${item.architecture}.py",
        "notebook/report": "architectures/sequential.py",
    }
    named = [dep for dep in stage["deps"] if dep.startswith("architectures")]
    assert named == ([wanted[name]] if name in wanted else [])


def test_imports_run_one_way():
    """The contracts in pyproject.toml: packages in layers, and no cycles."""
    assert "0 broken." in run("lint-imports", cwd=ROOT, check=False)
