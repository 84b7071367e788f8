"""What all config classes are made of: the strict base class, errors with a place, and common field types. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from mmsdk.errors import did_you_mean, listed

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1, description="share of the features that are left out in training")]
Positive = Annotated[int, Field(gt=0, strict=True)]


class CommandLineText(str):
    """A value typed on the command line. A path among them is relative to where the user stands."""


def _resolved(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return path if folder is None or path.is_absolute() else Path(folder) / path


def from_here(value: Any) -> Any:
    return Path(value).absolute() if isinstance(value, CommandLineText) else value


ConfigPath = Annotated[
    Path,
    BeforeValidator(from_here),
    AfterValidator(_resolved),
    Field(description="relative to the config file's folder"),
]


def first_problem(error: ValidationError) -> str:
    """Where the first thing that is wrong stands, and what it is, in one line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(key) for key in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


def errors_at(title: str, problems: list[tuple[tuple[str | int, ...], str]]) -> ValidationError:
    """A pydantic error with a place for each message, so that validators can point into the config."""
    return ValidationError.from_exception_data(
        title,
        [
            InitErrorDetails(
                type=PydanticCustomError("config", "{message}", {"message": message}), loc=where, input=None
            )
            for where, message in problems
        ],
    )


class Strict(BaseModel):
    """A frozen config; an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and cls.model_config.get("extra") == "forbid":
            known = list(cls.model_fields)
            problems: list[tuple[tuple[str | int, ...], str]] = [
                (
                    (key,),
                    f"Unknown key '{key}'.{did_you_mean(str(key), known) or f' Known: {listed(known)}.'}",
                )
                for key in data
                if key not in cls.model_fields
            ]
            if problems:
                raise errors_at(cls.__name__, problems)
        return data
