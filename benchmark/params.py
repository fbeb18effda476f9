"""params.yaml as a typed, frozen schema. It holds no defaults.

`load` raises one line for whatever a user can get wrong, before any work.
"""

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

from benchmark.classes import DRAWN_CLASSES, ClassName
from benchmark.running.errors import UserError, explained

PARAMS = Path("params.yaml")
ARCHITECTURES = Path("architectures")

Count = Annotated[int, Field(ge=1, le=1_000_000)]
OneAChannel = Field(min_length=3, max_length=3)


class Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Synthetic(Section):
    train_images: Annotated[int, Field(ge=10, le=1_000_000)]
    val_images: Annotated[int, Field(ge=2, le=1_000_000)]
    seed: Annotated[int, Field(ge=0, lt=2**63)]


class Data(Section):
    source: Literal["cifar10", "synthetic"]
    classes: Annotated[list[ClassName], Field(min_length=2, max_length=10)]
    mean: Annotated[list[Annotated[float, Field(ge=0, le=1)]], OneAChannel]
    std: Annotated[list[Annotated[float, Field(gt=0, le=1)]], OneAChannel]
    synthetic: Synthetic

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: list[str]) -> list[str]:
        if len(set(classes)) < len(classes):
            raise ValueError("each class can be named only once")
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
    """An architecture's entry; beside sized_by it holds overrides and settings."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Setting] = Field(init=False)

    sized_by: Literal["data.classes", "model.n_chans", "model"]

    @property
    def overrides(self) -> dict[str, Setting]:
        """What the architecture trains with in place of `train`."""
        return {k: v for k, v in self.__pydantic_extra__.items() if k in OVERRIDABLE}

    @property
    def settings(self) -> dict[str, Setting]:
        """What only the architecture's own file knows."""
        return {k: v for k, v in self.__pydantic_extra__.items() if k not in OVERRIDABLE}


class Params(Section):
    data: Data
    model: Model
    train: Train
    architectures: dict[str, Entry]


def load(path: Path = PARAMS) -> Params:
    """Read and check params.yaml, in the current directory unless told otherwise.

    Raises UserError: the first key that is wrong, its value, and what is allowed.
    """
    raw = read_yaml(path)
    try:
        params = Params.model_validate(raw)
        for name, entry in params.architectures.items():
            _check_entry(params, name, entry)
    except ValidationError as error:
        raise UserError(f"{path}: {in_words(error.errors()[0])}") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    if "baseline" not in params.architectures:
        raise UserError(
            f"{path}: architectures: baseline is missing; the others are compared with it"
        )
    _check_drawn(path, params.data)
    _check_device(path, params.train.device)
    return params


def read_yaml(path: Path) -> Any:
    """What a file of YAML holds. Raises UserError where it cannot be read or is none."""
    with explained(f"{path}: cannot be read ({{}})", OSError):
        return parse_yaml(path.read_bytes(), str(path))


def parse_yaml(content: bytes | str, where: str) -> Any:
    """What YAML holds, wherever it is from. Raises UserError where it is none."""
    with explained(
        f"{where}: is not valid YAML: {{}}", YAMLError, UnicodeDecodeError, ValueError
    ):
        # The YAML that DVC writes: to PyYAML, 1e-05 would be a string.
        return YAML(typ="safe").load(content)


def _check_entry(params: Params, name: str, entry: Entry) -> None:
    """Hold an entry against `train`; its file checks its settings (training/recipe.py)."""
    where = f"architectures.{name}"
    file = ARCHITECTURES / f"{name}.py"
    if not name.isidentifier() or not file.is_file():
        known = sorted(p.stem for p in ARCHITECTURES.glob("*.py") if p.stem != "__init__")
        raise ValueError(f"{where}: there is no {file}; there are {', '.join(known)}")
    try:
        Train.model_validate(params.train.model_dump() | entry.overrides)
    except ValidationError as error:
        raise ValueError(f"{where}.{in_words(error.errors()[0])}") from None


def in_words(error: ErrorDetails, schema: type[BaseModel] = Params) -> str:
    """One line of a pydantic error of that schema: the key, the value, what is allowed."""
    # A union's own branches are named in the path; the user never wrote those.
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
    return f"allowed are {', '.join(section.model_fields)}"


def _check_drawn(path: Path, data: Data) -> None:
    if data.source == "synthetic" and not set(data.classes) <= set(DRAWN_CLASSES):
        raise UserError(
            f"{path}: data.classes: {data.classes}, but data.source is synthetic, "
            f"and only {' and '.join(DRAWN_CLASSES)} are drawn"
        )


def _check_device(path: Path, device: str) -> None:
    if device not in ("cuda", "mps"):
        return
    import torch  # slow, so only where a device has to be looked for

    available = (
        torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
    )
    if not available:
        raise UserError(
            f"{path}: train.device: {device!r}, but there is none on this machine; "
            "use cpu or auto"
        )


def check_name(name: str, params: Params) -> None:
    """Raises UserError where `name` is no architecture of params.yaml."""
    if name not in params.architectures:
        known = ", ".join(params.architectures)
        raise UserError(f"{name}: not in {PARAMS}; there are {known}")
