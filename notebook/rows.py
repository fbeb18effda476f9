"""Validate notebook/params.yaml."""

from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from benchmark import params
from benchmark.params import Count, Section
from benchmark.running.errors import UserError
from benchmark.training.recipe import load_architecture

ROWS = Path("notebook/params.yaml")

Defect = Literal[
    "added_penalty",
    "batches_outside",
    "fixed_order",
    "scored_in_train_mode",
    "shared_block",
    "stale_optimizer",
]


class Row(Section):
    architecture: str
    lr: Annotated[float, Field(gt=0)]
    epochs: Count
    blocks: Count | None = None
    defects: list[Defect]


class Rows(Section):
    seeds: Annotated[int, Field(ge=2, le=1000)]
    rows: dict[str, Row]


def load() -> Rows:
    """Read and check the rows. Raises UserError with the first wrong key and the reason."""
    raw = params.read_yaml(ROWS)
    try:
        table = Rows.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{ROWS}: {params.explain(error.errors()[0], Rows)}") from None
    for name, row in table.rows.items():
        _check(f"{ROWS}: rows.{name}", row)
    return table


def _check(where: str, row: Row) -> None:
    known = sorted(p.stem for p in params.ARCHITECTURES.glob("[!_]*.py"))
    if row.architecture not in known:
        raise UserError(
            f"{where}.architecture: there is no "
            f"{(params.ARCHITECTURES / row.architecture).as_posix()}.py; choose one of "
            f"{', '.join(known)}"
        )
    takes_blocks = "n_blocks" in arguments_of(row)
    if not takes_blocks and row.blocks:
        raise UserError(f"{where}.blocks: {row.architecture} has no blocks; remove the key")
    if not (takes_blocks and row.blocks) and "shared_block" in row.defects:
        raise UserError(f"{where}: shared_block requires a net with blocks, and `blocks`")


def arguments_of(row: Row) -> set[str]:
    """Return the names of the arguments of the row's net."""
    return set(signature(load_architecture(row.architecture).net).parameters)


def check_name(name: str, table: Rows) -> None:
    """Raise UserError if no row is called `name`."""
    if name not in table.rows:
        known = ", ".join(table.rows)
        raise UserError(f"{name}: not a row of {ROWS}; choose one of {known}")


def settings_of(row: Row, n_chans: int) -> dict[str, Any]:
    """Return the settings of the row's net. n_chans: for nets that take it."""
    settings = {"n_chans": n_chans} if "n_chans" in arguments_of(row) else {}
    return settings | ({"n_blocks": row.blocks} if row.blocks else {})
