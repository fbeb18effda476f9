"""Compare two files of predictions for the same images: is A better than B?

The files may come from anywhere. scripts/predictions.py describes their format.
"""

from dataclasses import replace
from pathlib import Path

from benchmark.reporting.render import render
from benchmark.running import cli
from benchmark.running.errors import UserError, explained
from benchmark.stats.folds import MIN_FOLDS
from benchmark.stats.planning import could_be_found, in_full
from benchmark.stats.verdicts import MIN_SEEDS, verdicts
from scripts.changes import margin
from scripts.predictions import Predictions, compare, parse

FORMAT = "it needs the columns label and seed_0, seed_1, …, with a class number in each row"


def main(a: str, b: str) -> None:
    print(report(*aligned(read(a), read(b)), margin()), end="")


def read(path: str) -> Predictions:
    """Read a file of predictions. Raises UserError if it is not one."""
    if not path:
        raise UserError("name two files: make judge A=theirs.csv B=ours.csv")
    error = f"{path}: {{}}; {FORMAT}"
    with explained(error, OSError, ValueError):
        text = Path(path).read_text("utf-8-sig")
    return parse(text, path, error)


def aligned(a: Predictions, b: Predictions) -> tuple[Predictions, Predictions]:
    """Bring the images into the same order, if both files have their numbers."""
    if "example" not in a.table or "example" not in b.table:
        return a, b
    first, second = (
        replace(each, table=each.table.sort_values("example", ignore_index=True))
        for each in (a, b)
    )
    return first, second


def refuse_other_images(a: Predictions, b: Predictions) -> None:
    """Raise UserError unless both files are about the same images, in the same order."""
    if len(a.images) != len(b.images):
        raise UserError(
            f"{a.path} has {len(a.images):,} images and {b.path} {len(b.images):,}; both "
            "need the same images"
        )
    if ("fold" in a.images) != ("fold" in b.images):
        raise UserError(
            f"only one of {a.path} and {b.path} has folds; nets that were tested in "
            "different ways cannot be compared"
        )
    for name in a.images.columns.intersection(b.images.columns):
        different = (a.images[name] != b.images[name]).to_numpy()
        if different.any():
            raise UserError(
                f"{a.path} and {b.path} differ in the column {name}, first for image "
                f"{different.argmax() + 1}; both need the same images, in the same order "
                "or with their numbers in the column example"
            )


def report(a: Predictions, b: Predictions, margin: float) -> str:
    """Render the difference, its interval and the word. Raises UserError."""
    refuse_other_images(a, b)
    refuse_few(a, b)
    estimate = compare(a, b)
    [verdict] = verdicts([(a.path, b.path)], [estimate], margin)
    fewest = min(a.n_seeds, b.n_seeds)
    won = [int(((x.by_image == 1) & (y.by_image == 0)).sum()) for x, y in ((a, b), (b, a))]
    return render(
        Path(__file__).with_name("judge.txt.jinja"),
        a=a,
        b=b,
        verdict=in_full(verdict),
        mean=estimate.mean,
        could_be_found=could_be_found(verdict),
        interval=estimate.interval(),
        n_images=len(a.images),
        in_folds=a.in_folds,
        one_seed=fewest == 1 and not a.in_folds,
        has_word=a.in_folds or fewest == 1 or fewest >= MIN_SEEDS,
        won=won if a.n_seeds == b.n_seeds == 1 else None,
        margin=margin,
        min_seeds=MIN_SEEDS,
    )


def refuse_few(a: Predictions, b: Predictions) -> None:
    """Raise UserError if there are too few folds or seeds to compare."""
    if a.in_folds and a.n_folds < MIN_FOLDS:
        raise UserError(f"{a.path}: fold: a comparison needs {MIN_FOLDS} folds")
    if not a.in_folds and min(a.n_seeds, b.n_seeds) == 1 < max(a.n_seeds, b.n_seeds):
        one = a if a.n_seeds == 1 else b
        raise UserError(
            f"{one.path} has one seed, and the other file has more; keep one column there, "
            f"or train {MIN_SEEDS} seeds here"
        )


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument("a", metavar="A.csv", help="a file of predictions"),
        cli.argument("b", metavar="B.csv", help="another one, for the same images"),
    )
