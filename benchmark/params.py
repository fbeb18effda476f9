"""Validate params.yaml. The schema has no defaults: the file must contain every value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    ValidationError,
    field_validator,
)
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

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


class Train(Section):
    lr: Annotated[float, Field(gt=0)]
    epochs: Count
    batch_size: Count
    seeds: Count
    threads: Annotated[int, Field(ge=1, le=1024)]
    device: Literal["cpu", "cuda", "mps", "auto"]
    precision: Literal["fp32", "bf16"]


Setting = StrictInt | StrictFloat
OVERRIDABLE = ("lr", "epochs", "batch_size")


class Entry(Section):
    """An architecture's entry: sized_by, overrides of `train`, and the net's settings."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Setting] = Field(init=False)

    sized_by: Literal["data.classes", "model.n_chans", "model"]

    @property
    def overrides(self) -> dict[str, Setting]:
        """The values that override `train`."""
        return {k: v for k, v in self.__pydantic_extra__.items() if k in OVERRIDABLE}

    @property
    def settings(self) -> dict[str, Setting]:
        """The values that go to the architecture's file."""
        return {k: v for k, v in self.__pydantic_extra__.items() if k not in OVERRIDABLE}


class Params(Section):
    data: Data
    model: Model
    train: Train
    architectures: dict[str, Entry]


def load(path: Path = PARAMS) -> Params:
    """Read and check params.yaml, by default in the current directory.

    Raises UserError with the first wrong key, its value, and what is allowed.
    """
    raw = read_yaml(path)
    try:
        params = Params.model_validate(raw)
        for name, entry in params.architectures.items():
            _check_entry(params, name, entry)
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error.errors()[0])}") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    if "baseline" not in params.architectures:
        raise UserError(
            f"{path}: architectures: baseline is missing; all others are compared with it"
        )
    _check_synthetic(path, params.data)
    _check_device(path, params.train.device)
    return params


def read_yaml(path: Path) -> Any:
    """Read a YAML file. Raises UserError if that fails."""
    with explained(f"{path}: cannot be read ({{}})", OSError):
        return parse_yaml(path.read_bytes(), str(path))


def parse_yaml(content: bytes | str, where: str) -> Any:
    """Parse YAML; `where` names its source. Raises UserError if it is not valid."""
    with explained(
        f"{where}: not valid YAML: {{}}", YAMLError, UnicodeDecodeError, ValueError
    ):
        # The parser that DVC uses. PyYAML would read 1e-05 as a string.
        return YAML(typ="safe").load(content)


def _check_entry(params: Params, name: str, entry: Entry) -> None:
    """Check an entry, except for its settings: see benchmark/check.py."""
    where = f"architectures.{name}"
    file = ARCHITECTURES / f"{name}.py"
    # The name becomes a module name, so "my-net" is not possible.
    if not name.isidentifier() or not file.is_file():
        known = sorted(p.stem for p in ARCHITECTURES.glob("*.py") if p.stem != "__init__")
        problem = f"there is no {file}" if name.isidentifier() else "not a Python name"
        raise ValueError(f"{where}: {problem}; choose one of {', '.join(known)}")
    try:
        # An override has to be allowed in `train`, too.
        Train.model_validate(params.train.model_dump() | entry.overrides)
    except ValidationError as error:
        raise ValueError(f"{where}.{explain(error.errors()[0])}") from None


def explain(error: ErrorDetails, schema: type[BaseModel] = Params) -> str:
    """Turn a pydantic error into one line: the key, its value, and what is allowed."""
    # For a union, the path also names the branch, which the user did not write.
    steps = [str(s) for s in error["loc"] if s not in ("int", "float")]
    key = ".".join(steps) or "the file"
    if error["type"] == "missing":
        return f"{key}: missing"
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown; {_siblings(error['loc'], schema)}"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if error["loc"][-1:] in (("int",), ("float",)):
        message = "should be a finite number"
    value = error["input"]
    shown = "a section" if isinstance(value, Mapping) else repr(value)
    return f"{key}: {shown} is not allowed: {message}"


def _siblings(loc: tuple[int | str, ...], schema: type[BaseModel]) -> str:
    section: Any = schema
    for step in loc[:-1]:
        if isinstance(section, type) and issubclass(section, BaseModel):
            section = section.model_fields[str(step)].annotation
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


def check_name(name: str, params: Params) -> None:
    """Raise UserError if params.yaml has no architecture called `name`."""
    if name not in params.architectures:
        known = ", ".join(params.architectures)
        raise UserError(f"{name}: not in {PARAMS}; choose one of {known}")
