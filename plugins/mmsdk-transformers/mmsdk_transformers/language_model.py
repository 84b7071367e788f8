"""`transformers.language_model`: a causal language model goes on after a prefix that is made of other sources."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from mmsdk import ConfigError, Encoding, WritingHead
from mmsdk_transformers import causal, network
from mmsdk_transformers.adapters import Adapters
from mmsdk_transformers.causal import State
from mmsdk_transformers.prefix import Bridge, Prefix, closed_up
from mmsdk_transformers.source import ModelSource


class LanguageModel(WritingHead):
    """Writes with a causal language model of transformers. What it goes on from is the embedding of its beginning (its
    BOS, or where it has none the end of a text), then the prefix, then the prompt.

    architecture: its config, with `model_type`. vocabulary: how many ids the target has. bridges: makes the part of the
    prefix of each source, given the model's width. prompt: ids. source: where `initialize` finds the weights; None
    leaves them random, and the model then has the target's ids and an end, whatever the architecture says. frozen:
    whether the model itself stays as it is; beside `adapters` it always does. writing: see `WritingHead`.

    Raises:
        ConfigError: the architecture is no causal language model, or has fewer ids than the target or the prompt.
    """

    def __init__(
        self,
        architecture: Mapping[str, Any],
        vocabulary: int,
        bridges: Sequence[Callable[[int], Bridge]],
        *,
        prompt: Sequence[int] = (),
        source: ModelSource | None = None,
        frozen: bool = False,
        adapters: Adapters | None = None,
        **writing: Any,
    ) -> None:
        super().__init__(vocabulary, **writing)
        self.source, self.adapters = source, adapters
        own = {} if source is not None else of_its_own(vocabulary)
        self.network = causal.build({**architecture, **own})
        settings: Any = self.network.config
        if vocabulary > settings.vocab_size:
            raise ConfigError(
                f"the target has {vocabulary:,} different ids, '{settings.model_type}' knows {settings.vocab_size:,}: "
                "its tokenizer is not that of this model"
            )
        wrong = [each for each in prompt if not 0 <= each < settings.vocab_size]
        if wrong:
            raise ConfigError(
                f"prompt_ids: {wrong[0]} is none of the {settings.vocab_size:,} ids of the language model"
            )
        self.ending = causal.ending(settings)
        begin = settings.bos_token_id
        self.prompt = [self.ending if begin is None else begin, *prompt]
        self.still = frozen and adapters is None
        if frozen:
            self.network.requires_grad_(False)
        if adapters is not None:
            adapters.insert(self.network, network.layers(self.network))
        self._fixed = frozenset(name for name, part in self.named_parameters() if not part.requires_grad)
        width = causal.embeddings(self.network).embedding_dim
        self.prefix = Prefix([bridge(width) for bridge in bridges])

    @property
    def fixed(self) -> Collection[str]:
        return self._fixed

    def initialize(self) -> None:
        """Load the pre-trained weights.

        Raises:
            ConfigError: they cannot be had, or do not fit.
        """
        if self.source is not None:
            network.fill(self.network, self.source)

    def train(self, mode: bool = True) -> Self:
        """A model that does not learn needs no dropout either."""
        super().train(mode)
        if self.still:
            self.network.eval()
        return self

    def save_adapter(self, folder: str | Path) -> Path:
        """Write the adapters alone, in the format of peft.

        Raises:
            ConfigError: the head has no adapters.
        """
        if self.adapters is None:
            raise ConfigError("this head has no adapters to save: give it 'lora: {rank: 8}'")
        return self.adapters.save(Path(folder), self.source)

    def teach(self, reads: Mapping[str, Encoding], ids: Tensor) -> Tensor:
        inputs, there = self._start(reads)
        inputs = torch.cat([inputs, causal.embeddings(self.network)(ids)], dim=1)
        there = torch.cat([there, torch.ones_like(ids, dtype=torch.bool)], dim=1)
        causal.require_room(self.network, inputs.shape[1])
        logits, _ = causal.run(self.network, inputs, there, logits=ids.shape[1] + 1)
        return self._symbols(logits)

    def begin(self, reads: Mapping[str, Encoding]) -> tuple[Tensor, State]:
        inputs, there = self._start(reads)
        causal.require_room(self.network, inputs.shape[1] + self.generation.max_tokens)
        logits, state = causal.run(self.network, inputs, there)
        return self._symbols(logits)[:, 0], state

    def advance(self, last: Tensor, state: State) -> tuple[Tensor, State]:
        inputs = causal.embeddings(self.network)(last.masked_fill(last == self.end, self.ending))[
            :, None
        ]  # [rows, 1, width]
        logits, state = causal.run(self.network, inputs, torch.ones_like(last, dtype=torch.bool)[:, None], state)
        return self._symbols(logits)[:, 0], state

    def _start(self, reads: Mapping[str, Encoding]) -> tuple[Tensor, Tensor]:
        """Embeddings [batch, places, width] of beginning, prefix and prompt, and which are there [batch, places]."""
        places, mask = self.prefix(list(reads.values()))
        prompt = causal.embeddings(self.network)(torch.tensor(self.prompt, device=places.device))  # [length, width]
        given = prompt.expand(len(places), -1, -1)  # [batch, length, width]
        seen = mask.new_ones(given.shape[:2])
        places = torch.cat([given[:, :1], places, given[:, 1:]], dim=1)
        return closed_up(places, torch.cat([seen[:, :1], mask, seen[:, 1:]], dim=1))

    def _symbols(self, logits: Tensor) -> Tensor:
        """The model's logits [rows, steps, ids] -> those of the target's ids and of the end, which is no id here."""
        ids, end = logits[..., : self.end], logits[..., self.ending, None]
        symbols = torch.cat([ids, end], dim=2).float()
        places = torch.arange(self.end + 1, device=logits.device)
        return symbols.masked_fill((places == self.ending) & (places < self.end), -torch.inf)


def of_its_own(vocabulary: int) -> dict[str, Any]:
    """Settings of a model that knows the target's ids and an end, which is where it begins, too."""
    ends = dict.fromkeys(("bos_token_id", "eos_token_id"), vocabulary)
    return {"vocab_size": vocabulary + 1, "pad_token_id": None, **ends}
