"""Run the whole pipeline on generated images, in a copy of the project: demo/."""

import shutil
import tempfile
from pathlib import Path

import joblib
from dvc.repo import Repo

from benchmark import params
from benchmark.running import cli
from benchmark.running.repository import (
    copy_project,
    edit_params,
    run_in_one_process,
    stages,
)

DEMO = Path("demo")
# Small enough to take minutes, large enough for most nets to learn something.
SETTINGS = {
    "data.source": "synthetic",
    "data.classes": ["airplane", "bird"],
    "data.synthetic.train_images": 1000,
    "model.n_chans": 24,
    "model.n_blocks": 3,
    "train.lr": 0.1,
    "train.epochs": 8,
    "train.batch_size": 32,
    "train.seeds": 1,
    "train.threads": 1,
    "train.device": "cpu",
    "annealed.epochs": 4,
    "annealed.batch_size": 32,
    "annealed.seeds": 3,  # as many as there are folds
}


def main() -> None:
    # All others would take too long: the settings above do not reach them.
    short = {key.partition(".")[0] for key in SETTINGS}
    rows = {
        name: entry.model_dump(exclude_none=True)
        for name, entry in params.load().rows.items()
        if entry.recipe in short and not entry.table
    }
    if "res_deep" in rows:
        rows["res_deep"]["lr"] = 0.03
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        copy = Path(name)
        copy_project(copy)
        edit_params(copy, SETTINGS | {"rows": rows})
        for folder in ("metrics", "plots", "results"):
            shutil.rmtree(copy / folder)  # results of the benchmark
        with Repo(name) as repo:
            all_stages = stages(repo)
        commands = {name: s.cmd for name, s in all_stages.items() if "/" not in name}
        # All training in one pool, before the stages that collect it.
        data = {name: commands.pop(name) for name in ("download", "filter")}
        commands = {**data, "train in one pool": "python -m scripts.train", **commands}
        run_in_one_process(
            copy, commands, show_output=True, LOKY_MAX_CPU_COUNT=str(joblib.cpu_count())
        )
        shutil.rmtree(DEMO, ignore_errors=True)
        for folder, target in (("plots", DEMO), ("metrics", DEMO / "metrics")):
            shutil.copytree(copy / folder, target)
    print(f"\n{(DEMO / 'results.md').read_text('utf-8')}")
    print("This demo used a few generated images and short training runs. It shows how the")
    print("pipeline works, not which net is better. `make repro` runs the real benchmark.")
    print("The results of this demo:")
    for path in sorted(DEMO.iterdir()):
        print(f"  {path.as_posix()}{'/' if path.is_dir() else ''}")


if __name__ == "__main__":
    cli.run(main)
