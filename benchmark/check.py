"""Check that every net can be trained, before any work starts."""

import ast
import inspect
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import ValidationError, create_model

from benchmark import params
from benchmark.rehearsal.rehearse import rehearse
from benchmark.rehearsal.settings import changed_settings, torch_settings
from benchmark.running import errors
from benchmark.running.errors import UserError
from benchmark.training import recipe
from benchmark.training.plan import Cell

# Arguments that the benchmark passes to a file's functions. All others are settings.
PASSED = {"n_classes", "parameters", "lr", "optimizer", "steps"}


def check_rows(loaded: params.Params, *names: str) -> None:
    """Check the settings of all rows, then rehearse the training of the named ones.

    Raises UserError if something is wrong.
    """
    rows = {name: params.row_of(loaded, name) for name in loaded.rows}
    usual = torch_settings()
    architectures = {}
    for name, row in rows.items():
        with errors.blame_architecture(name):
            check_imports(row.file)
            architectures[name] = recipe.load_architecture(row.net)
        if changed := changed_settings(usual):
            raise UserError(f"{row.file.as_posix()}: {changed}")
        check_settings(loaded, row, architectures[name])
        check_recipe(loaded, row, architectures[name])
    for name in names:
        row = rows[name]
        cell = Cell(row, 0, loaded.data.mean, loaded.data.std)
        rehearse(cell, architectures[name], len(loaded.data.classes), usual)


def check_imports(file: Path) -> None:
    """Raise UserError if a net's file imports a file of this project.

    DVC would not notice a change there, and would keep results that are out of date.
    """
    with errors.explained(f"{file.as_posix()} is not valid Python: {{}}", SyntaxError):
        tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        else:
            continue
        for name in names:
            first = Path(name.partition(".")[0])
            if first == Path() or first.is_dir() or first.with_suffix(".py").exists():
                raise UserError(
                    f"{file.as_posix()}, line {node.lineno}: imports {name}, a file of "
                    "this project, where DVC would not notice a change; copy what you need"
                )


def check_settings(
    loaded: params.Params, row: params.Row, architecture: recipe.Architecture
) -> None:
    """Compare a row in params.yaml with the arguments that the net's file declares."""
    file, entry = row.file.as_posix(), loaded.rows[row.name]
    where = f"{params.PARAMS}: rows.{row.name}"
    with errors.explained(
        f"{file}: annotate every setting as int, float or "
        "Annotated[int or float, Interval(…)] ({})",
        Exception,
    ):
        declared = arguments_of(architecture)
        fields: dict[str, Any] = {
            key: (kind, ... if default is inspect.Parameter.empty else default)
            for key, (kind, default) in declared.items()
        }
        config = params.Section.model_config
        schema = create_model("Settings", __config__=config, **fields)
    taken = declared.keys() & {*params.Recipe.model_fields, *params.Entry.model_fields}
    if taken:
        raise UserError(
            f"{file}: {', '.join(sorted(taken))}: already a key of a row or a recipe; "
            "rename the argument"
        )
    sizes = sizes_of(declared)
    # A size that the row sets itself is not shared.
    wanted = size_key(declared.keys() - entry.settings.keys())
    if entry.sized_by not in (wanted, size_key(declared)):
        takes = " and ".join(sizes) or "neither n_chans nor n_blocks"
        raise UserError(
            f"{where}.sized_by: {entry.sized_by!r}, but {file} takes {takes}; "
            f"write {wanted}"
        )
    settings = {k: v for k, v in row.settings.items() if k in sizes or k in entry.settings}
    try:
        schema.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = first["loc"][0]
        problem = params.explain(first, schema)
        if first["type"] == "extra_forbidden":
            fixed = ("net", "recipe", "sized_by")
            allowed = ", ".join([*fixed, *declared, *params.Recipe.model_fields, "table"])
            problem = f"{key}: unknown; the allowed keys are {allowed}"
        is_shared = key in sizes and key not in entry.settings
        section = f"{params.PARAMS}: model" if is_shared else where
        takes = ", ".join(declared) or "no settings"
        raise UserError(f"{section}.{problem}; {file} takes {takes}") from None


def sizes_of(declared: Collection[str]) -> tuple[str, ...]:
    """Return which arguments of a net are sizes that several nets share."""
    return tuple(key for key in params.Model.model_fields if key in declared)


def size_key(declared: Collection[str]) -> str:
    """Return the `sized_by` of a net with these arguments."""
    keys = {names: key for key, names in params.SIZES.items()}
    return keys.get(sizes_of(declared), "model")


def check_recipe(
    loaded: params.Params, row: params.Row, architecture: recipe.Architecture
) -> None:
    """Raise UserError if a field of the recipe would silently have no effect."""
    overrides = loaded.rows[row.name].overrides
    for kind, fields in recipe.REPLACES.items():
        if getattr(architecture, kind) is None:
            continue
        for field in fields:
            value = getattr(row.training, field)
            # A recipe is made for many nets, but a row's own value is for this net.
            if field in overrides or (kind in ("loss", "penalty") and value):
                raise UserError(
                    f"{params.PARAMS}: rows.{row.name}: {field}: {value} has no effect, "
                    f"because {row.file.as_posix()} has its own {kind}; remove one of them"
                )


def replaced(row: params.Row, architecture: recipe.Architecture) -> str:
    """Say which parts of the recipe the net's file replaces; empty if none."""
    parts = [
        f"its own {kind} (instead of {', '.join(fields)})"
        for kind, fields in recipe.REPLACES.items()
        if getattr(architecture, kind) is not None
    ]
    return f"{row.name}: {row.file.as_posix()} has {' and '.join(parts)}" if parts else ""


def arguments_of(architecture: recipe.Architecture) -> dict[str, tuple[Any, Any]]:
    """Return the settings that an architecture's file takes: types and default values.

    An argument without an annotation counts as float.
    """
    functions = (
        architecture.net,
        architecture.optimizer,
        architecture.penalty,
        architecture.schedule,
    )
    return {
        argument.name: (
            float if argument.annotation is argument.empty else argument.annotation,
            argument.default,
        )
        for function in functions
        if function is not None
        for argument in inspect.signature(function, eval_str=True).parameters.values()
        if argument.name not in PASSED
    }
