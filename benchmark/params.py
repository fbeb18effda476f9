"""Validate params.yaml. The schema has no defaults: the file must contain every value."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent

from benchmark.classes import SYNTHETIC_CLASSES, ClassName
from benchmark.running.errors import UserError, explained

PARAMS = Path("params.yaml")
ARCHITECTURES = Path("architectures")

Count = Annotated[int, Field(ge=1, le=1_000_000)]
ThreeNumbers = Field(min_length=3, max_length=3)


class Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Synthetic(Section):
    train_images: Annotated[int, Field(ge=10, le=1_000_000)]
    val_images: Annotated[int, Field(ge=2, le=1_000_000)]
    seed: Annotated[int, Field(ge=0, lt=2**63)]


class Data(Section):
    source: Literal["cifar10", "synthetic"]
    classes: Annotated[list[ClassName], Field(min_length=2, max_length=10)]
    mean: Annotated[list[Annotated[float, Field(ge=0, le=1)]], ThreeNumbers]
    std: Annotated[list[Annotated[float, Field(gt=0, le=1)]], ThreeNumbers]
    holdout: Annotated[float, Field(ge=0, lt=1)]
    synthetic: Synthetic

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: list[str]) -> list[str]:
        if len(set(classes)) < len(classes):
            raise ValueError("name each class only once")
        return classes


class Model(Section):
    n_chans: Annotated[int, Field(ge=2, le=4096)]
    n_blocks: Annotated[int, Field(ge=1, le=10_000)]


class Compare(Section):
    margin: Annotated[float, Field(gt=0, le=50)]


class Recipe(Section):
    """How a net is trained and tested. params.yaml explains the fields."""

    lr: Annotated[float, Field(gt=0)]
    epochs: Count
    batch_size: Count
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    schedule: Literal["constant", "linear", "cosine"]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    l1_lambda: Annotated[float, Field(ge=0, le=1)]
    l2_lambda: Annotated[float, Field(ge=0, le=1)]
    flip: bool
    crop: Annotated[int, Field(ge=0, lt=32)]
    cutout: Annotated[int, Field(ge=0, le=32)]
    averaged_epochs: Annotated[int, Field(ge=0)]
    flip_at_test: bool
    precision: Literal["fp32", "bf16"]
    split: Literal["official", "folds"]
    seeds: Count

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        if self.averaged_epochs > self.epochs:
            raise ValueError(
                f"averaged_epochs is {self.averaged_epochs}, "
                f"but there are only {self.epochs} epochs"
            )
        return self


class Train(Recipe):
    """A recipe, and where it runs. `train` in params.yaml is the recipe of the chapter."""

    threads: Annotated[int, Field(ge=1, le=1024)]
    device: Literal["cpu", "cuda", "mps", "auto"]


BRANCHES = ("bool", "int", "float", "str")
Setting = StrictBool | StrictInt | StrictFloat | str
SIZES: dict[str, tuple[str, ...]] = {
    "data.classes": (),
    "model.n_chans": ("n_chans",),
    "model": ("n_chans", "n_blocks"),
}


class Entry(Section):
    """A row's entry. Its other keys change the recipe, a size, or a setting of the net.

    table: the table that shows the row; by default, that of its recipe.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Setting] = Field(init=False)

    net: str
    recipe: str
    sized_by: Literal["data.classes", "model.n_chans", "model"]
    table: str | None = Field(default=None, pattern=r"^[a-z]\w*$")

    @property
    def overrides(self) -> dict[str, Setting]:
        """The values that replace those of the recipe."""
        extra = self.__pydantic_extra__
        return {k: v for k, v in extra.items() if k in Recipe.model_fields}

    @property
    def settings(self) -> dict[str, Setting]:
        """The values that go to the net's file."""
        extra = self.__pydantic_extra__
        return {k: v for k, v in extra.items() if k not in Recipe.model_fields}


class Params(Section):
    """params.yaml. Each section that is not named here is a recipe."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Recipe] = Field(init=False)

    data: Data
    model: Model
    compare: Compare
    train: Train
    rows: dict[str, Entry]

    @property
    def recipes(self) -> dict[str, Recipe]:
        return {"train": self.train, **self.__pydantic_extra__}


@dataclass(frozen=True)
class Row:
    """A row of the tables: a net, and everything that its training needs.

    settings: the arguments of the functions in the net's file. own_table: a name, or None
    if the row is in the table of its recipe.
    """

    name: str
    net: str
    recipe: str
    settings: dict[str, Setting]
    training: Train
    own_table: str | None = None

    @property
    def table(self) -> str:
        return self.own_table or self.recipe

    @property
    def family(self) -> tuple[str, str]:
        """Rows are compared with each other if table and split are the same."""
        return self.table, self.training.split

    @property
    def label(self) -> str:
        """The name without the table: baseline for baseline_annealed."""
        return self.name.removesuffix(f"_{self.table}")

    @property
    def file(self) -> Path:
        return ARCHITECTURES / f"{self.net}.py"


def row_of(params: Params, name: str) -> Row:
    """Combine a row's entry with its recipe and its sizes. Raises UserError."""
    if name not in params.rows:
        known = ", ".join(params.rows)
        raise UserError(f"{name}: not in {PARAMS}; choose one of {known}")
    entry = params.rows[name]
    shared = {"threads": params.train.threads, "device": params.train.device}
    recipe = params.recipes[entry.recipe].model_dump() | shared | entry.overrides
    sizes = {key: getattr(params.model, key) for key in SIZES[entry.sized_by]}
    return Row(
        name,
        entry.net,
        entry.recipe,
        sizes | entry.settings,
        Train.model_validate(recipe),
        entry.table,
    )


def load(path: Path = PARAMS, needs_device: bool = True) -> Params:
    """Read and check params.yaml, by default in the current directory.

    needs_device: also check that this machine has the device. Raises UserError with the
    first wrong key, its value, and what is allowed.
    """
    raw = read_yaml(path)
    _check_sections(path, raw)
    try:
        params = Params.model_validate(raw)
        for name, entry in params.rows.items():
            _check_entry(params, name, entry)
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error.errors()[0])}") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    if "baseline" not in params.rows:
        raise UserError(
            f"{path}: rows: baseline is missing; all others are compared with it"
        )
    _check_synthetic(path, params.data)
    if needs_device:
        _check_device(path, params.train.device)
    return params


def read_yaml(path: Path) -> Any:
    """Read a YAML file with sections. Raises UserError if that fails."""
    with explained(f"{path}: cannot be read ({{}})", OSError):
        content = path.read_bytes()
    parsed = parse_yaml(content, str(path))
    if not isinstance(parsed, dict):
        raise UserError(
            f"{path}: has no sections; restore it with `git checkout {path.as_posix()}`"
        )
    for event in YAML(typ="safe").parse(content):
        if isinstance(event, AliasEvent):
            raise UserError(
                f"{path}, line {event.start_mark.line + 1}: *{event.anchor} is a YAML "
                "alias, which `dvc exp run -S` does not update; write the values out"
            )
    return parsed


def parse_yaml(content: bytes | str, where: str) -> Any:
    """Parse YAML; `where` names its source. Raises UserError if it is not valid."""
    with explained(
        f"{where}: not valid YAML: {{}}", YAMLError, UnicodeDecodeError, ValueError
    ):
        # The parser that DVC uses. PyYAML would read 1e-05 as a string.
        return YAML(typ="safe").load(content)


def _check_sections(path: Path, raw: dict[Any, Any]) -> None:
    """Take a section for a recipe only if it looks like one."""
    for key, section in raw.items():
        is_recipe = isinstance(section, dict) and "lr" in section
        if key not in Params.model_fields and not is_recipe:
            raise UserError(
                f"{path}: {key}: unknown; the allowed keys are "
                f"{', '.join(Params.model_fields)}, and recipes of your own, which have "
                f"the keys {', '.join(Recipe.model_fields)}"
            )


def _check_entry(params: Params, name: str, entry: Entry) -> None:
    """Check a row, except for the settings of its net: see benchmark/check.py."""
    where = f"rows.{name}"
    if not name.isidentifier():  # the name becomes part of file names and stage names
        raise ValueError(f"{where}: not a Python name; use letters, digits and _")
    known = sorted(p.stem for p in ARCHITECTURES.glob("*.py") if p.stem != "__init__")
    if entry.net not in known:
        raise ValueError(
            f"{where}.net: there is no {ARCHITECTURES / f'{entry.net}.py'}; "
            f"choose one of {', '.join(known)}"
        )
    if entry.recipe not in params.recipes:
        raise ValueError(
            f"{where}.recipe: {entry.recipe!r} is not a recipe of this file; "
            f"choose one of {', '.join(params.recipes)}"
        )
    if entry.table in params.recipes:
        raise ValueError(
            f"{where}.table: {entry.table!r} is a recipe, which has a table of its own; "
            "choose another name"
        )
    recipe = params.recipes[entry.recipe].model_dump(include=set(Recipe.model_fields))
    try:
        Recipe.model_validate(recipe | entry.overrides)
    except ValidationError as error:
        problem = explain(error.errors()[0])
        raise ValueError(f"{where}.{problem}".replace(".the file:", ":")) from None


def explain(error: ErrorDetails, schema: type[BaseModel] = Params) -> str:
    """Turn a pydantic error into one line: the key, its value, and what is allowed."""
    # For a union, the path also names the branch, which the user did not write.
    steps = [str(s) for s in error["loc"] if s not in BRANCHES]
    key = ".".join(steps) or "the file"
    if error["type"] == "missing":
        return f"{key}: missing"
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown; {_siblings(error['loc'], schema)}"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if error["loc"][-1:] and error["loc"][-1] in BRANCHES:
        message = "should be a finite number, true, false or a text"
    value = error["input"]
    if error["type"] == "value_error" and isinstance(value, Mapping):
        return f"{key}: {message}"  # the keys of the section do not go together
    shown = "a section" if isinstance(value, Mapping) else repr(value)
    return f"{key}: {shown} is not allowed: {message}"


def _siblings(loc: tuple[int | str, ...], schema: type[BaseModel]) -> str:
    section: Any = schema
    for step in loc[:-1]:
        if isinstance(section, type) and issubclass(section, BaseModel):
            field = section.model_fields.get(str(step))
            section = field.annotation if field else Recipe
        else:
            *_, section = get_args(section)
    return f"the allowed keys are {', '.join(section.model_fields)}"


def _check_synthetic(path: Path, data: Data) -> None:
    if data.source == "synthetic" and not set(data.classes) <= set(SYNTHETIC_CLASSES):
        raise UserError(
            f"{path}: data.classes: {data.classes}, but data.source is synthetic, "
            f"which has only {' and '.join(SYNTHETIC_CLASSES)}"
        )


def _check_device(path: Path, device: str) -> None:
    if device not in ("cuda", "mps"):
        return
    import torch  # slow, so import it only if a device is named

    available = (
        torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
    )
    if not available:
        raise UserError(
            f"{path}: train.device: {device!r} is not available on this machine; "
            "use cpu or auto"
        )
