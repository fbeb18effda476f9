"""Ask the trained nets about pictures of your own.

Every training run of a row has one vote on each picture. The nets know only the classes of
params.yaml, and have no answer for anything else.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmark import params, photos
from benchmark.data.dataset import normalize
from benchmark.photos import Photo
from benchmark.reporting import dvc_lock
from benchmark.reporting.figures import png
from benchmark.reporting.render import render
from benchmark.reporting.results import BASELINE, METRICS, RESULTS, read_json
from benchmark.reporting.tables import question
from benchmark.running import cli
from benchmark.running.errors import UserError, explained, printable
from benchmark.running.files import write_atomic
from benchmark.training import recipe, state_dict
from benchmark.training.environment import choose_device
from benchmark.training.scoring import predict
from stages.train import MODELS

STDIN = "-"
# The most pictures on a sheet, and how many are side by side.
MAX_ON_SHEET, COLUMNS = 60, 6

# How often a vote was right, and on how many images that was tested.
Tested = tuple[float, int]


@dataclass(frozen=True)
class Votes:
    """The votes of a row's training runs.

    by_picture: for each picture, how many training runs vote for each class. accuracy: of a
    single run, or None if it is not known. tested: how often a vote was right, by the class
    that won and the number of votes for it; empty if that is not known.
    """

    row: params.Row
    by_picture: list[Counter[str]]
    accuracy: float | None = None
    tested: dict[tuple[str, int], Tested] = field(default_factory=dict)

    def answer(self, picture: int) -> str:
        """Return the class with the most votes, or "airplane or bird" if they are tied."""
        votes = self.by_picture[picture]
        return " or ".join(name for name, n in votes.items() if n == max(votes.values()))

    def in_words(self, picture: int) -> str:
        votes = self.by_picture[picture]
        return f"{max(votes.values())} of {votes.total()}"

    def such_votes(self, picture: int) -> Tested | None:
        """Return how often an equally clear vote for the same class was right."""
        most = max(self.by_picture[picture].values())
        return self.tested.get((self.answer(picture), most))


def main(pictures: list[str], row: str | None, as_json: bool, sheet: str | None) -> None:
    loaded = params.load()
    inputs = paths(pictures)
    rows = rows_with_models(loaded, row)
    read, errors = read_all(inputs)
    if sheet:
        check_sheet(Path(sheet), [*(photo.path for photo in read), *errors])
    for error in errors.values():
        print(f"error: {error}", file=sys.stderr)
    votes = vote(loaded, rows, read) if read else []
    if as_json:
        print(json.dumps(to_json(read, errors, votes), indent=2))
    elif read:
        n_missing = 0 if row else len(loaded.rows) - len(rows)
        print(to_text(loaded, read, votes, n_missing), end="")
    if sheet and read:
        write_atomic(Path(sheet), png(contact_sheet(read, best_known(votes))))
    if errors:
        sys.exit(1)


def paths(pictures: Iterable[str]) -> list[Path]:
    """Return the paths; `-` stands for those on standard input.

    There, paths are on a line each, or end with a null character, as with find -print0.
    """
    names: list[str] = []
    for name in pictures:
        if not name:
            raise UserError("name a picture or a folder: make predict IMAGE=photo.jpg")
        if name == STDIN:
            listed = sys.stdin.buffer.read() if sys.stdin else b""
            names += os.fsdecode(listed).split("\0" if b"\0" in listed else "\n")
        else:
            names.append(name)
    found = [Path(name) for name in names if name.strip()]
    if not found:
        raise UserError("there is no path on standard input; write one path per line")
    return found


def check_sheet(sheet: Path, pictures: Sequence[Path]) -> None:
    """Raise UserError if the sheet would replace a picture, or cannot be written."""
    if sheet.suffix.lower() != ".png" or sheet.is_dir():
        raise UserError(f"{sheet}: a sheet is a file that ends in .png")
    if sheet.exists() and any(path.exists() and path.samefile(sheet) for path in pictures):
        raise UserError(f"{sheet}: this is one of the pictures; choose another name")
    if not sheet.absolute().parent.is_dir():
        raise UserError(f"{sheet}: there is no folder {sheet.parent}; make it first")


def read_all(inputs: Iterable[Path]) -> tuple[list[Photo], dict[Path, UserError]]:
    """Read the pictures; return those that can be read, and an error for each other."""
    read: list[Photo] = []
    errors: dict[Path, UserError] = {}
    for path in inputs:
        try:
            files = photos.find(path)
        except UserError as error:
            errors[path] = error
            continue
        for file in files:
            try:
                read.append(photos.read(file))
            except UserError as error:
                errors[file] = error
    return read, errors


def rows_with_models(loaded: params.Params, name: str | None) -> list[params.Row]:
    """Return the row with this name, or all rows that are trained. Raises UserError."""
    rows = [params.row_of(loaded, each) for each in ([name] if name else loaded.rows)]
    trained = [row for row in rows if model_files(row)]
    if not trained:
        raise UserError(
            f"{MODELS / name if name else MODELS}: no trained model; make it with "
            f"`dvc repro train@{name or BASELINE}`"
        )
    for row in trained:
        if not dvc_lock.fits_models(row.name):
            raise UserError(
                f"{MODELS / row.name}: {params.PARAMS} or {row.file} has changed since "
                "these models were trained; undo the change, or run "
                f"`dvc repro train@{row.name}`"
            )
    return trained


def model_files(row: params.Row) -> list[Path]:
    files = sorted((MODELS / row.name).glob("seed-*.pt"))
    return [file for file in files if file.is_file()]


def vote(
    loaded: params.Params, rows: Iterable[params.Row], read: Sequence[Photo]
) -> list[Votes]:
    """Return the votes of the rows on the pictures, the most accurate row first."""
    stacked = torch.from_numpy(np.stack([photo.pixels for photo in read]))
    images = normalize(stacked.permute(0, 3, 1, 2), loaded.data.mean, loaded.data.std)
    images = images.to(choose_device(loaded.train.device))
    votes = [votes_of(row, images, loaded.data.classes) for row in rows]
    return sorted(votes, key=lambda each: -(each.accuracy or 0))


def votes_of(row: params.Row, images: Tensor, classes: Sequence[str]) -> Votes:
    """Let every training run of the row vote on the images, N×3×32×32, normalized."""
    architecture = recipe.load_architecture(row.net)
    by_picture: list[Counter[str]] = [Counter(dict.fromkeys(classes, 0)) for _ in images]
    for file in model_files(row):
        model = recipe.build_model(architecture, len(classes), row.settings)
        state_dict.load(model, file.read_bytes(), file)
        answers = predict(model.to(images.device), images, flip=row.training.flip_at_test)
        for counter, answer in zip(by_picture, answers.tolist(), strict=True):
            counter[classes[answer]] += 1
    if not has_results(row.name):
        return Votes(row, by_picture)
    return Votes(row, by_picture, accuracy_of(row.name), tested(row.name, classes))


def has_results(row: str) -> bool:
    """Return whether the results are those of the models that are here."""
    curves = [folder / row / "loss_curve.csv" for folder in (MODELS, RESULTS)]
    if not all(curve.exists() for curve in curves):
        return False
    first, second = (curve.read_bytes() for curve in curves)
    return first == second


def accuracy_of(row: str) -> float:
    """Return the mean accuracy of a single training run on the images it was tested on."""
    path = METRICS / f"{row}.json"
    what_to_do = f"make it with `dvc repro validate@{row}`"
    with explained(f"{path}: no {{}}; {what_to_do}", KeyError, OSError):
        return float(read_json(path, what_to_do)["val_accuracy"])


def tested(row: str, classes: Sequence[str]) -> dict[tuple[str, int], Tested]:
    """Return how often votes were right, by the winner and the votes for it.

    Empty if each image was tested by one training run only, as with folds.
    """
    path = RESULTS / row / "predictions.csv"
    right: dict[tuple[str, int], list[bool]] = {}
    with explained(
        f"{path}: not predictions ({{}}); make them with `dvc repro validate@{row}`",
        OSError,
        ValueError,
        LookupError,
    ):
        table = pd.read_csv(path)
        if "fold" in table:
            return {}
        answers = table.filter(regex=r"^seed_\d+$").to_numpy(int)
        for label, given in zip(table["label"], answers, strict=True):
            (winner, n), *others = Counter(given.tolist()).most_common()
            if not others or others[0][1] < n:  # no tie
                right.setdefault((classes[winner], n), []).append(winner == label)
    return {key: (fmean(known), len(known)) for key, known in right.items()}


def best_known(votes: Sequence[Votes]) -> Votes:
    """Return the most accurate row, if possible one whose votes were tested."""
    return next((each for each in votes if each.tested), votes[0])


def to_text(
    loaded: params.Params, read: Sequence[Photo], votes: Sequence[Votes], n_missing: int
) -> str:
    chosen = best_known(votes)
    others = [each for each in votes if each is not chosen]
    text = render(
        Path(__file__).with_name("predict.txt.jinja"),
        photos=read,
        shown=[printable(str(photo.path)) for photo in read],
        votes=votes,
        chosen=chosen,
        n_others=len(others),
        agree=lambda picture: sum(
            each.answer(picture) == chosen.answer(picture) for each in others
        ),
        question=question(loaded.data.classes),
        classes=loaded.data.classes,
        unknown=[each.row.name for each in votes if each.accuracy is None],
        n_missing=n_missing,
        baseline=BASELINE,
    )
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def to_json(
    read: Sequence[Photo], errors: dict[Path, UserError], votes: Sequence[Votes]
) -> list[dict[str, Any]]:
    """Return an object for each picture that could be read, then for each other."""
    answers: list[dict[str, Any]] = [
        {
            "picture": str(photo.path),
            "rows": {each.row.name: row_json(each, i) for each in votes},
        }
        for i, photo in enumerate(read)
    ]
    failed = [{"picture": str(file), "error": str(e)} for file, e in errors.items()]
    return answers + failed


def row_json(votes: Votes, picture: int) -> dict[str, Any]:
    share, images = votes.such_votes(picture) or (None, None)
    return {
        "answer": votes.answer(picture),
        "votes": votes.by_picture[picture],
        "accuracy": votes.accuracy,
        "right_for_such_votes": share,
        "such_votes": images,
    }


def contact_sheet(read: Sequence[Photo], votes: Votes) -> Figure:
    """Draw the pictures as the nets see them, with the answers of a row."""
    shown = read[:MAX_ON_SHEET]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(1.5 * columns, 2.1 * rows + 0.5), squeeze=False
    )
    for axes in panels.flat:
        axes.set_axis_off()
    for i, (axes, photo) in enumerate(zip(panels.flat, shown, strict=False)):
        axes.imshow(photo.pixels)
        name = printable(photo.path.name)
        said = f"{votes.answer(i)}, {votes.in_words(i)}"
        axes.set_title(f"{name[:18]}\n{said}", loc="center", fontsize=9)
    more = f" (the first {len(shown)} of {len(read)})" if len(shown) < len(read) else ""
    figure.suptitle(f"Votes of {votes.row.name}{more}", fontsize=12)
    return figure


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument(
            "pictures", nargs="+", metavar="picture",
            help="a picture, a folder, or - for paths on standard input",
        ),
        cli.argument("--row", help="ask only this row of params.yaml"),
        cli.argument("--json", action="store_true", dest="as_json", help="print JSON"),
        cli.argument(
            "--sheet", metavar="FILE.png", help="draw the pictures as the nets see them"
        ),
    )  # fmt: skip
