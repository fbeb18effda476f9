"""Run the whole pipeline on drawn images, aside, and put the results into demo/.

`dvc exp run --temp` works in a copy of the repository and keeps what it
made as a git ref; from there table, pictures and metrics are taken.
"""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from benchmark import params
from benchmark.running import cli, errors
from benchmark.running.repository import git

DEMO = Path("demo")
EXPERIMENT = "make-demo"
DVC = [sys.executable, "-m", "dvc"]
# Small enough for minutes, long enough that most nets learn something.
SETTINGS = [
    "data.source=synthetic",
    "data.classes=[airplane,bird]",
    "model.n_chans=24",
    "model.n_blocks=3",
    "train.lr=0.1",
    "train.epochs=12",
    "train.batch_size=32",
    "train.seeds=1",
    "train.threads=2",
    "train.device=cpu",
    "train.precision=fp32",
]


def main() -> None:
    loaded = params.load()
    # The table has a λ, which not every console's encoding has.
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    # DVC runs the stages with the first Python in PATH, and commits as somebody.
    here = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([here, os.environ.get("PATH", "")])
    for role in ("AUTHOR", "COMMITTER"):
        os.environ.setdefault(f"GIT_{role}_NAME", "make demo")
        os.environ.setdefault(f"GIT_{role}_EMAIL", "demo@localhost")
    remove_experiment()
    run_experiment(loaded)
    collect(experiment_ref())
    remove_experiment()

    print(f"\n{(DEMO / 'results.md').read_text('utf-8')}")
    print("Drawn images, few of them, and short trainings: this shows how the pipeline")
    print("works, not which net is better. `make repro` runs the benchmark. The results:")
    for path in sorted(DEMO.glob("*.*")):
        print(f"  {path.as_posix()}")
    print(f"  {DEMO.as_posix()}/metrics/")


def run_experiment(loaded: params.Params) -> None:
    settings = list(SETTINGS)
    if "res_deep" in loaded.architectures:
        settings.append("architectures.res_deep.lr=0.03")
    arguments = [item for setting in settings for item in ("-S", setting)]
    ran = subprocess.run([*DVC, "exp", "run", "--temp", "-n", EXPERIMENT, *arguments])
    if ran.returncode != 0 or not experiment_ref():
        raise errors.UserError("the demo stopped; what went wrong stands above")


def remove_experiment() -> None:
    if experiment_ref():
        subprocess.run([*DVC, "exp", "remove", "-q", EXPERIMENT], check=True)


def collect(ref: str) -> None:
    """Copy pictures, table and metrics from the git ref into demo/."""
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    git("archive", f"--output={DEMO / 'all.tar'}", ref, "plots", "metrics")
    with tarfile.open(DEMO / "all.tar") as archive:
        archive.extractall(DEMO, filter="data")
    (DEMO / "all.tar").unlink()
    for path in (DEMO / "plots").iterdir():
        path.replace(DEMO / path.name)
    (DEMO / "plots").rmdir()


def experiment_ref() -> str:
    """The git ref of the demo's experiment, or nothing."""
    refs = git("for-each-ref", "--format=%(refname)", "refs/exps")
    return next((ref for ref in refs.splitlines() if ref.endswith(f"/{EXPERIMENT}")), "")


if __name__ == "__main__":
    cli.run(main)
