"""Score the models of one row: metrics/<name>.json and results/<name>/.

Comparisons and reports read these files; none of them needs a model.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmark import params
from benchmark.running import cli, errors, stage
from benchmark.running.finished import Scores
from benchmark.training import plan
from benchmark.training.plan import Cell

MODELS = Path("models")
METRICS = Path("metrics")
RESULTS = Path("results")


def main(row: str) -> None:
    loaded = params.load()
    cell, *_ = plan.cells(loaded, row)
    files = {seed_of(path): path for path in (MODELS / row).glob("seed-*.pt")}
    missing = set(range(params.row_of(loaded, row).training.seeds)) - files.keys()
    if missing:
        raise errors.UserError(
            f"{MODELS / row}: no model of seed {min(missing)}; run `dvc repro train@{row}`"
        )
    # There may be more models than seeds, if params.yaml changed since.
    scores = {s: score(plan.with_seed(cell, s), files[s]) for s in sorted(files)}
    results = RESULTS / row
    stage.write(results / "predictions.csv", predictions_csv(scores))
    stage.write(results / "seeds.csv", seeds_csv(scores))
    for name in ("loss_curve.csv", "environment.json"):
        stage.write(results / name, (MODELS / row / name).read_bytes())
    metrics = summarize(scores)
    if loaded.data.holdout:
        metrics["holdout"] = loaded.data.holdout
    stage.write(METRICS / f"{row}.json", json.dumps(metrics, indent=2) + "\n")
    val, train = (f"{metrics[f'{split}_accuracy']:.1%}" for split in ("val", "train"))
    images = "held-out" if loaded.data.holdout else "test"
    print(f"{row}: {images} accuracy {val} (training {train}), {len(scores)} seed(s)")


def score(cell: Cell, path: Path) -> Scores:
    """Return a seed's accuracies and predictions: stored ones, if they are for this model.

    Otherwise, load the model and the images, and predict.
    """
    content = path.read_bytes()
    stored = plan.result_of(cell)
    if stored and stored["model"] == content:
        return stored["scores"]
    from benchmark.data import dataset
    from benchmark.training.cell import complete, score

    _, data = complete(cell)
    split = dataset.split(data, cell.row.training.split, cell.seed, cell.holdout)
    return score(cell, split, content, path)


def predictions_csv(scores: dict[int, Scores]) -> str:
    """Return one line per image: its number, its class, and what each seed predicts.

    With folds, there is a column for the image's fold, and seeds that were not tested on
    the image have an empty cell.
    """
    images: dict[int, list[Any]] = {}
    answers: dict[int, dict[int, int]] = {}
    for seed, scored in scores.items():
        fold = [] if scored["fold"] is None else [scored["fold"]]
        for example, label, predicted in zip(
            scored["examples"], scored["labels"], scored["predictions"], strict=True
        ):
            images[example] = [example, *fold, label]
            answers.setdefault(example, {})[seed] = predicted
    in_folds = ["fold"] if len(next(iter(images.values()))) > 2 else []
    return to_csv(
        ["example", *in_folds, "label", *(f"seed_{seed}" for seed in scores)],
        (
            [*images[example], *(answers[example].get(seed, "") for seed in scores)]
            for example in sorted(images)
        ),
    )


def seeds_csv(scores: dict[int, Scores]) -> str:
    return to_csv(
        ["seed", "train_accuracy", "val_accuracy"],
        ([seed, s["train_accuracy"], accuracy_of(s)] for seed, s in scores.items()),
    )


def summarize(scores: dict[int, Scores]) -> dict[str, float]:
    """Return the metrics of a row.

    With folds, seeds that share a fold are averaged first, so that every image counts the
    same; fold 0 is the official test images.
    """
    tested = [accuracy_of(scored) for scored in scores.values()]
    by_fold: dict[int | None, list[float]] = {}
    for scored, accuracy in zip(scores.values(), tested, strict=True):
        by_fold.setdefault(scored["fold"], []).append(accuracy)
    first = next(iter(scores.values()))
    metrics: dict[str, float] = {
        "params": first["parameters"],
        "train_accuracy": fmean(scored["train_accuracy"] for scored in scores.values()),
        "val_accuracy": fmean(map(fmean, by_fold.values())),
    }
    if len(scores) > 1:  # one seed has no standard deviation
        metrics["val_accuracy_std"] = stdev(tested)
    if None not in by_fold:
        metrics["fold_0_accuracy"] = fmean(by_fold[0])
        metrics["n_folds"] = first["n_folds"] or 1
    return {key: round(value, 6) for key, value in metrics.items()}


def accuracy_of(scored: Scores) -> float:
    pairs = zip(scored["predictions"], scored["labels"], strict=True)
    return fmean(predicted == label for predicted, label in pairs)


def seed_of(path: Path) -> int:
    """Return k for a file seed-k.pt."""
    return int(path.stem.removeprefix("seed-"))


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format rows as CSV, with the same line endings on every system."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


if __name__ == "__main__":
    stage.run(main, cli.ROW)
