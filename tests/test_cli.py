"""Every stage and script has --help, and an unknown argument gives a one-line error."""

import inspect
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmark.running import cli
from tests.conftest import ROOT

# runpy warns about modules that other tests have already imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
MODULES = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for folder in ("stages", "scripts", "studies", "notebook")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if 'if __name__ == "__main__":' in file.read_text("utf-8")
]


def call(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    return ended.value.code


@pytest.mark.parametrize("module", MODULES)
def test_help_describes_the_script(monkeypatch, tmp_path, capsys, module):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, module, "--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith(f"usage: python -m {module} [-h]")
    file = Path(find_spec(module).origin)
    if file.name == "__init__.py":
        file = file.with_name("__main__.py")
    first_line = file.read_text("utf-8").split('"""')[1].splitlines()[0]
    assert first_line in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", MODULES)
def test_unknown_arguments_are_refused(monkeypatch, tmp_path, capsys, module):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, module, "a", "b", "c", "--unknown") == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("module", MODULES)
def test_every_argument_is_a_parameter_of_main(monkeypatch, module):
    called = []
    monkeypatch.setattr(
        cli, "run", lambda main, *arguments: called.append((main, arguments))
    )
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    [(main, arguments)] = called
    names = {
        options.get("dest", name.lstrip("-").replace("-", "_"))
        for name, options in arguments
    }
    assert names == set(inspect.signature(main).parameters)


@pytest.mark.parametrize("module", MODULES)
def test_a_python_without_the_packages_is_one_line(module):
    # -S: without site-packages.
    command = [sys.executable, "-S", "-m", module, "--help"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 1 and not ran.stdout
    [line] = ran.stderr.splitlines()
    assert re.match(r"error: \S+python\S* does not have the packages of this project", line)
    assert "source .venv/bin/activate" in line


def test_a_reader_that_has_seen_enough_is_no_error():
    program = (
        "from benchmark.running import cli; cli.run(lambda: print('a line\\n' * 99999))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as ran:  # fmt: skip
        assert ran.stdout.readline() == "a line\n"
        ran.stdout.close()  # as `head -1` does
        assert ran.stderr.read() == ""
