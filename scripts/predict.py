"""Airplane or bird? Ask the trained nets about pictures of your own.

Every training run of a row has one vote on each picture. The nets know only the classes of
params.yaml: they have no answer for anything else, and take a cat for one of the two.
"""

import json
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
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
from benchmark.reporting.figures import png
from benchmark.reporting.render import render
from benchmark.reporting.results import METRICS, RESULTS
from benchmark.reporting.tables import question
from benchmark.running import cli
from benchmark.running.errors import UserError, printable
from benchmark.running.files import write_atomic
from benchmark.training import recipe, state_dict
from benchmark.training.environment import choose_device
from benchmark.training.scoring import predict

MODELS = Path("models")
# Of the contact sheet.
COLUMNS = 6
STDIN = Path("-")


@dataclass(frozen=True)
class Jury:
    """The votes of a row's training runs.

    votes: for each picture, how many training runs vote for each class. accuracy: of a
    single run on the test images, or None if it is not known. right: by the number of votes
    for the winner, how often such a vote was right on the test images, and on how many;
    empty if the runs were tested on different images.
    """

    row: params.Row
    votes: list[Counter[str]]
    accuracy: float | None = None
    right: dict[int, tuple[float, int]] = field(default_factory=dict)

    def answer(self, picture: int) -> str:
        """Return the class with the most votes, or "airplane or bird" if they are tied."""
        votes = self.votes[picture]
        most = max(votes.values())
        return " or ".join(name for name, n in votes.items() if n == most)

    def n_votes(self, picture: int) -> int:
        return max(self.votes[picture].values())

    def share_right(self, picture: int) -> tuple[float, int] | None:
        """Return how often such a vote was right, and on how many test images."""
        is_tie = list(self.votes[picture].values()).count(self.n_votes(picture)) > 1
        return None if is_tie else self.right.get(self.n_votes(picture))


def main(pictures: list[str], row: str | None, as_json: bool, sheet: str | None) -> None:
    loaded = params.load()
    files = photos.find(paths(pictures))
    rows = rows_with_models(loaded, row)
    read, errors = read_all(files)
    if read:
        device = choose_device(loaded.train.device)
        stacked = torch.from_numpy(np.stack([photo.pixels for photo in read]))
        images = normalize(stacked.permute(0, 3, 1, 2), loaded.data.mean, loaded.data.std)
        juries = [ask(each, images.to(device), loaded.data) for each in rows]
        juries.sort(key=lambda jury: -(jury.accuracy or 0))
    else:
        juries = []
    if as_json:
        print(json.dumps(to_json(files, read, errors, juries), indent=2))
    elif read:
        print(to_text(loaded, read, juries), end="")
    if sheet and read:
        write_atomic(Path(sheet), png(contact_sheet(read, spokesman(juries))))
    for error in errors.values():
        print(f"error: {error}", file=sys.stderr)
    if errors:
        sys.exit(1)


def paths(pictures: Iterable[str]) -> list[Path]:
    """Return the paths; `-` stands for those on standard input, one per line."""
    found = []
    for name in pictures:
        if not name:
            raise UserError("name a picture or a folder: make predict IMAGE=photo.jpg")
        lines = sys.stdin.read().splitlines() if name == str(STDIN) else [name]
        found += [Path(line) for line in lines if line.strip()]
    if not found:
        raise UserError("there is no path on standard input; write one path per line")
    return found


def read_all(files: Sequence[Path]) -> tuple[list[Photo], dict[Path, UserError]]:
    """Read the pictures; return those that can be read, and an error for each other."""
    read, errors = [], {}
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
            f"`dvc repro train@{name or best(loaded.rows)}`"
        )
    return trained


def model_files(row: params.Row) -> list[Path]:
    return sorted((MODELS / row.name).glob("seed-*.pt"))


def ask(row: params.Row, images: Tensor, data: params.Data) -> Jury:
    """Let every training run of the row vote on the images, N×3×32×32, normalized."""
    architecture = recipe.load_architecture(row.net)
    votes: list[Counter[str]] = [Counter(dict.fromkeys(data.classes, 0)) for _ in images]
    files = model_files(row)
    for file in files:
        model = recipe.build_model(architecture, len(data.classes), row.settings)
        state_dict.load(model, file.read_bytes(), file)
        answers = predict(model.to(images.device), images, flip=row.training.flip_at_test)
        for counter, answer in zip(votes, answers.tolist(), strict=True):
            counter[data.classes[answer]] += 1
    return Jury(row, votes, accuracy_of(row.name), shares_right(row.name, len(files)))


def accuracy_of(row: str) -> float | None:
    """Return the mean accuracy of a single training run on the test images."""
    path = METRICS / f"{row}.json"
    return json.loads(path.read_text())["val_accuracy"] if path.exists() else None


def shares_right(row: str, n_seeds: int) -> dict[int, tuple[float, int]]:
    """Return how often votes were right on the test images, by the votes for the winner."""
    path = RESULTS / row / "predictions.csv"
    if not path.exists():
        return {}
    table = pd.read_csv(path)
    answers = table.filter(regex=r"^seed_\d+$")
    if "fold" in table or answers.shape[1] != n_seeds:
        return {}
    right: dict[int, list[bool]] = {}
    for label, given in zip(table["label"], answers.to_numpy(), strict=True):
        (winner, n), *others = Counter(given.tolist()).most_common()
        if not others or others[0][1] < n:  # no tie
            right.setdefault(n, []).append(winner == label)
    return {n: (fmean(known), len(known)) for n, known in right.items()}


def to_text(loaded: params.Params, read: Sequence[Photo], juries: Sequence[Jury]) -> str:
    main = spokesman(juries)
    others = [jury for jury in juries if jury is not main]
    missing = loaded.rows.keys() - {jury.row.name for jury in juries}
    return render(
        Path(__file__).with_name("predict.txt.jinja"),
        photos=read,
        shown=[printable(str(photo.path)) for photo in read],
        juries=juries,
        main=main,
        agree=lambda picture: sum(
            jury.answer(picture) == main.answer(picture) for jury in others
        ),
        question=question(loaded.data.classes),
        classes=loaded.data.classes,
        n_missing=len(missing),
        best_missing=best(missing) if missing else None,
    )


def spokesman(juries: Sequence[Jury]) -> Jury:
    """Return the most accurate row, if possible one whose votes were tested."""
    return next((jury for jury in juries if jury.right), juries[0])


def best(rows: Collection[str]) -> str:
    """Return the row with the highest accuracy."""
    return max(sorted(rows), key=lambda row: accuracy_of(row) or 0)


def to_json(
    files: Sequence[Path],
    read: Sequence[Photo],
    errors: dict[Path, UserError],
    juries: Sequence[Jury],
) -> list[dict[str, Any]]:
    """Return one object per picture, in the order of the files."""
    numbers = {photo.path: i for i, photo in enumerate(read)}
    return [
        {"picture": str(file), "error": str(errors[file])}
        if file in errors
        else {
            "picture": str(file),
            "rows": {jury.row.name: row_json(jury, numbers[file]) for jury in juries},
        }
        for file in files
    ]


def row_json(jury: Jury, picture: int) -> dict[str, Any]:
    share, images = jury.share_right(picture) or (None, None)
    return {
        "answer": jury.answer(picture),
        "votes": jury.votes[picture],
        "accuracy": jury.accuracy,
        "right_for_such_votes": share,
        "such_votes": images,
    }


def contact_sheet(read: Sequence[Photo], jury: Jury) -> Figure:
    """Draw the pictures as the nets see them, with the answers of a row."""
    columns = min(COLUMNS, len(read))
    rows = -(-len(read) // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(1.5 * columns, 1.9 * rows + 0.5), squeeze=False
    )
    for axes in panels.flat:
        axes.set_axis_off()
    for i, (axes, photo) in enumerate(zip(panels.flat, read, strict=False)):
        axes.imshow(photo.pixels)
        votes = f"{jury.n_votes(i)} of {jury.votes[i].total()}"
        axes.set_title(f"{jury.answer(i)}\n{votes}", loc="center", fontsize=11)
    figure.suptitle(f"Votes of {jury.row.name}", fontsize=12)
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
