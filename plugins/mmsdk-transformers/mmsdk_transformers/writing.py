"""Declaration of the head that writes with a language model. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mmsdk import Format, ModalityConfig, Source, TargetConfig, WritingConfig
from mmsdk_transformers.declarations import TokensConfig
from mmsdk_transformers.lora import LoraConfig
from mmsdk_transformers.scrubbing import scrubbed
from mmsdk_transformers.source import ModelName, ModelSource, Revision

if TYPE_CHECKING:
    from mmsdk import TaskHead

Positive = Annotated[int, Field(gt=0)]
SMALL = {
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
}
"""What is built where neither a model nor an architecture is given."""


class LanguageModelConfig(WritingConfig):
    """Writes a text with a causal language model, which goes on after the tokens of one source or of several.

    The tokens, brought to the model's width, stand before the text as if they were words. With `model` the language
    model is pre-trained, stays as it is, and brings its own tokenizer for the target; without it, a small one learns
    from scratch on the target's own vocabulary.
    """

    type: Literal["transformers.language_model"] = "transformers.language_model"
    sources: ClassVar[Literal["one", "several", "any"]] = "any"

    model: ModelName | None = Field(
        None, description="a causal language model, a folder or a hub id; without it a small one learns from scratch"
    )
    revision: Revision | None = Field(None, description="branch, tag or commit of the hub; kept as a commit")
    architecture: dict[str, Any] | None = Field(
        None, description="a config of transformers with `model_type`; by default the model's own, or four small layers"
    )
    prefix: Literal["linear", "mlp", "resampler"] = Field(
        "linear", description="linear, mlp: a place for each token of a source; resampler: `queries` places per source"
    )
    queries: Positive = Field(32, description="resampler: how many places each source has")
    blocks: Positive = Field(2, description="resampler: how many times the queries look at the tokens")
    heads: Positive = Field(4, description="resampler: attention heads; they share the model's width evenly")
    prompt: str | None = Field(
        None, min_length=1, description="an instruction that stands between the prefix and the text, for a `model`"
    )
    prompt_ids: list[int] | None = Field(None, description="by default what the model's tokenizer makes of the prompt")
    frozen: bool | None = Field(
        None, description="whether the language model stays as it is; by default where it is pre-trained"
    )
    lora: LoraConfig | None = Field(None, description="train adapters beside a language model that stays as it is")

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        given = {"queries", "blocks", "heads"} & self.model_fields_set
        if self.prefix != "resampler":
            for name in sorted(given):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"'{name}' is for 'prefix: resampler', found '{self.prefix}': change one of them")
        if self.prompt is not None and self.model is None:
            raise ValueError(
                "'prompt' needs 'model: <folder or hub id>', whose tokenizer reads it: a model with random weights "
                "understands no instruction"
            )
        if self.lora is not None and self.frozen is False:
            raise ValueError("'lora' leaves the language model as it is: remove 'frozen: false', or 'lora'")
        self._check_target()
        return self

    def _check_target(self) -> None:
        modality = self.target.modality if isinstance(self.target, TargetConfig) else None
        own = isinstance(modality, TokensConfig)
        if modality is not None and self.model is not None and not (own and modality.model == self.model):  # type: ignore[attr-defined]
            raise ValueError(
                "a pre-trained language model writes with its own tokenizer: give the target as 'target: <column>', or "
                "the modality 'transformers.tokens' with the same 'model'"
            )
        if isinstance(modality, TokensConfig) and modality.special:
            raise ValueError("the language model ends texts itself: give the target's modality 'special: false'")

    def target_config(self) -> ModalityConfig | None:
        """The modality of the target: the model's own tokenizer, where it has one."""
        modality = self.target.modality if isinstance(self.target, TargetConfig) else None
        if self.model is None or self.target is None or modality is not None:
            return super().target_config()
        return TokensConfig(model=self.model, revision=self.revision, special=False)

    def resolve(self) -> Self:
        if self.model is None:
            return self.model_copy(update={"architecture": self.architecture or SMALL})
        source = ModelSource(self.model, self.revision).pinned()
        update: dict[str, Any] = {"revision": source.revision}
        if self.architecture is None:
            update["architecture"] = scrubbed(source.json("config.json"))
        modality = self.model_copy(update=update).target_config()
        if modality is not None:
            update["target"] = TargetConfig(column=self.target_column() or "", modality=modality.resolve())
        if self.prompt is not None and self.prompt_ids is None:
            reading = TokensConfig(model=self.model, revision=source.revision, special=False)
            update["prompt_ids"] = reading.build().prepare(self.prompt).tolist()
        return self.model_copy(update=update)

    def build(self, sources: Mapping[str, Source], target: Format | None) -> TaskHead:
        from mmsdk_transformers.language_model import LanguageModel
        from mmsdk_transformers.prefix import Projection, Resampler

        assert target is not None
        unread = self.prompt is not None and self.prompt_ids is None
        whole = self
        if self.architecture is None or unread:
            if self.model is not None:
                ModelSource(self.model).require_here("prompt_ids" if unread else "architecture")
            whole = self.resolve()
        assert whole.architecture is not None
        bridges: list[Any] = []
        for source in sources.values():
            if self.prefix == "resampler":
                options = {"queries": self.queries, "blocks": self.blocks, "heads": self.heads}
                bridges.append(partial(Resampler, source.width, **options))
            else:
                bridges.append(partial(Projection, source.width, layers=1 if self.prefix == "linear" else 2))
        return LanguageModel(
            whole.architecture,
            target.vocabulary,
            bridges,
            prompt=whole.prompt_ids or (),
            source=ModelSource(whole.model, whole.revision) if whole.model is not None else None,
            frozen=self.model is not None if self.frozen is None else self.frozen,
            adapters=self.lora.build() if self.lora is not None else None,
            **self.writing(),
        )
