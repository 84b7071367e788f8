"""What keeps streams in balance while they are trained: the choices of `training`, and which heads they look at."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from mmsdk.errors import did_you_mean, listed
from mmsdk.fields import Positive, Strict

if TYPE_CHECKING:
    from mmsdk.config.pipeline import PipelineConfig

FUSED = "fused"
Share = Annotated[float, Field(ge=0, lt=1)]
BALANCES = ("none", "ogm_ge", "gradient_blend")


@dataclass(frozen=True)
class Short:
    """What may stand in a field instead of a mapping, for the JSON Schema."""

    kind: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        short = {
            "name": {"enum": list(BALANCES), "description": "the type alone, with its defaults"},
            "number": {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "description": "the same all the time"},
        }
        return {"anyOf": [short[self.kind], handler(schema)]}


class OgmGeConfig(Strict):
    """Slow down the encoder of a stream that is ahead of the others, and make gradients noisier."""

    type: Literal["ogm_ge"] = "ogm_ge"
    alpha: Annotated[float, Field(gt=0, description="how much a stream that is ahead is slowed down")] = 0.5
    noise: bool = Field(True, description="add noise as large as the gradients of the encoders")


class GradientBlendConfig(Strict):
    """Weigh the losses of a target by how much their heads generalise, and how little they overfit."""

    type: Literal["gradient_blend"] = "gradient_blend"
    epochs: Positive = Field(5, description="after how many the weights are estimated anew")
    samples: Positive = Field(1000, description="training rows on which losses are measured")


def _named(value: Any) -> Any:
    """A bare name as a mapping; `none` is nothing."""
    if value is None or isinstance(value, Strict):
        return value
    kind = value.get("type") if isinstance(value, Mapping) else value
    if kind not in BALANCES:
        hint = did_you_mean(kind, BALANCES) if isinstance(kind, str) else ""
        message = f"There is no balance {kind!r}." if kind is not None else "Say which, such as {type: ogm_ge}."
        raise PydanticCustomError(
            "config", "{message}", {"message": message + (hint or f" Choose {listed(BALANCES)}.")}
        )
    if kind == "none":
        return None
    return value if isinstance(value, Mapping) else {"type": kind}


AnyBalance = Annotated[
    Annotated[OgmGeConfig | GradientBlendConfig, Field(discriminator="type")] | None,
    BeforeValidator(_named),
    Short("name"),
]


class Ramp(Strict):
    """A share that changes evenly from the first step of a stage to its last."""

    start: Share = Field(0.0, description="at the first step")
    end: Share = Field(0.0, description="at the last step")

    @model_validator(mode="before")
    @classmethod
    def _constant(cls, data: Any) -> Any:
        number = isinstance(data, int | float | str) and not isinstance(data, bool)
        return {"start": data, "end": data} if number else data

    def at(self, progress: float) -> float:
        """progress: 0 at the first step, 1 at the last."""
        return self.start + (self.end - self.start) * progress


AnyRamp = Annotated[Ramp, Short("number")]


def judges(config: PipelineConfig, heads: Collection[str]) -> dict[str, list[str]]:
    """By stream that owns an encoder: those of the heads that judge it alone, on targets that all of these share.

    Nothing where fewer than two streams can be compared.
    """
    own: dict[str, dict[str | None, list[str]]] = {}
    for name in heads:
        head = config.heads[name]
        if head.scoring and len(head.reads) == 1 and head.reads[0].partition(".")[0] != FUSED:
            targets = own.setdefault(config.owner_of(head.reads[0]), {})
            targets.setdefault(head.target_column(), []).append(name)
    shared = set.intersection(*map(set, own.values())) if len(own) > 1 else set()
    if not shared:
        return {}
    return {
        stream: [name for target, names in targets.items() if target in shared for name in names]
        for stream, targets in own.items()
    }


def families(config: PipelineConfig, heads: Collection[str]) -> list[list[str]]:
    """Those of the heads that learn the same target in the same way, where there are several."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for name in heads:
        head = config.heads[name]
        if head.scoring:
            found.setdefault((head.type_name(), head.target_column()), []).append(name)
    return [family for family in found.values() if len(family) > 1]


def complaint(config: PipelineConfig) -> str | None:
    """Why `training.balance` would have nothing to do in any stage."""
    balance = config.training.balance
    if balance is None:
        return None
    find = judges if isinstance(balance, OgmGeConfig) else families
    if any(find(config, config.loss_weights(stage)) for stage in config.steps()):
        return None
    able = [name for name, head in config.heads.items() if head.scoring and head.reads == [FUSED]]
    what = {
        "ogm_ge": "compares what single streams tell, but no stage trains heads that read one stream each",
        "gradient_blend": "weighs the losses of one target, but no stage trains several heads of the same type for it",
    }[balance.type]
    remedy = (
        f"Add 'auxiliary: 0.3' to head {listed(able)}"
        if able
        else "Add a head such as {type: classification, reads: [fused], auxiliary: 0.3}"
    )
    return f"'{balance.type}' {what}. {remedy}, or write 'balance: none'."
