"""What the four encoders share: a network, its pre-trained weights, its adapters, and how its tokens are pooled."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from mmsdk import ConfigError, Encoder, Encoding
from mmsdk_transformers import network
from mmsdk_transformers.adapters import Adapters
from mmsdk_transformers.network import Side
from mmsdk_transformers.pooling import Pooling, pooled
from mmsdk_transformers.source import ModelSource

UNUSED = ("mask_token", "masked_spec_embed")
"""Stands in for what pre-training hides; nothing here hides anything."""


class Pretrained(Encoder):
    """A network of transformers as an encoder.

    architecture: its config, with `model_type`. source: where `initialize` finds its weights; None leaves them random.
    pooling: None is the network's own embedding where it is a tower that is compared with another, else "mean".
    adapters: what trains instead of the network. temperature: see `Encoder`.

    Raises:
        ConfigError: the architecture does not fit, or the pooling is none that it has.
    """

    side: ClassVar[Side]

    def __init__(
        self,
        architecture: Mapping[str, Any],
        source: ModelSource | None = None,
        pooling: Pooling | None = None,
        adapters: Adapters | None = None,
        temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.network = network.build(architecture, self.side)
        self.source, self.adapters, self.temperature = source, adapters, temperature
        dual = network.is_dual(self.network, self.side)
        if dual and pooling is not None:
            raise ConfigError(
                f"pooling: a tower of '{self.settings.model_type}' has an embedding of its own: leave 'pooling' out"
            )
        default: Pooling = "pooler" if hasattr(self.settings, "hidden_sizes") else "mean"  # of convolutions, they pool
        self.pooling: Pooling | None = None if dual else pooling or default
        self.width, self.pooled_width = network.widths(self.settings, self.side, dual)
        self._blocks = network.layers(self.network)
        self._spare = [name for name, _ in self.network.named_parameters() if self._is_spare(name)]
        for name, parameter in self.network.named_parameters():
            if name in self._spare:
                parameter.requires_grad_(False)
        if adapters is not None:
            adapters.insert(self.network, self._blocks)
        self._fixed = frozenset(name for name, part in self.named_parameters() if not part.requires_grad)

    @property
    def settings(self) -> Any:
        """The config object of transformers."""
        return self.network.config

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return self._blocks

    @property
    def fixed(self) -> Collection[str]:
        return self._fixed

    def initialize(self) -> None:
        """Load the pre-trained weights.

        Raises:
            ConfigError: they cannot be had, or do not fit.
        """
        if self.source is not None:
            network.fill(self.network, self.source, self._spare)

    def save_adapter(self, folder: str | Path) -> Path:
        """Write the adapters alone, in the format of peft: `PeftModel.from_pretrained(base, folder)` reads them.

        Raises:
            ConfigError: the encoder has no adapters.
        """
        if self.adapters is None:
            raise ConfigError("this encoder has no adapters to save: give it 'lora: {rank: 8}'")
        return self.adapters.save(Path(folder), self.source)

    def encode(self, inputs: Mapping[str, Any]) -> network.Outputs:
        """What the network gives for inputs under its own names."""
        return network.run(self.network, self.side, inputs)

    def encoding(self, outputs: network.Outputs, mask: Tensor) -> Encoding:
        """tokens [n, length, width], mask [n, length] bool -> an encoding whose absent rows and steps are zeros."""
        own = outputs.pooled if self.pooling in (None, "pooler") else None
        if own is None and self.pooling in (None, "pooler"):
            raise ConfigError(f"pooling: '{self.settings.model_type}' has no pooler: give mean, cls or last")
        vectors = pooled(outputs.tokens, mask, self.pooling or "mean") if own is None else own.flatten(1)
        tokens = outputs.tokens.masked_fill(~mask[..., None], 0)
        return Encoding(tokens, mask, vectors.masked_fill(~mask.any(dim=1, keepdim=True), 0))

    def _is_spare(self, name: str) -> bool:
        """Whether nothing depends on this parameter, with this pooling."""
        pooler = name.startswith(("pooler.", "head.")) and self.pooling not in (None, "pooler")
        return pooler or name.rpartition(".")[2] in UNUSED
