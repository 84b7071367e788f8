"""LoRA: small matrices beside the frozen ones of a network, by peft."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from mmsdk import ConfigError, PluginError
from mmsdk_transformers.native import library
from mmsdk_transformers.source import ModelSource


class Adapters:
    """Low-rank adapters (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021): a layer W gives
    W x + alpha / rank * B A x, with W frozen and B zero at first.

    targets: names of linear layers inside each block, such as query; None means all of them.
    """

    def __init__(self, rank: int, alpha: float, dropout: float = 0.0, targets: Sequence[str] | None = None) -> None:
        self.rank, self.alpha, self.dropout, self.targets = rank, alpha, dropout, targets
        self._adapted: Any = None

    def insert(self, network: nn.Module, blocks: Sequence[nn.Module]) -> None:
        """Freeze the network and put adapters into its blocks, in place.

        Raises:
            PluginError: peft is not installed. ConfigError: the blocks have no such layers.
        """
        library()  # first, so that peft, too, is told of broken libraries
        try:
            import peft
        except ModuleNotFoundError:
            raise PluginError('lora: needs peft: pip install "mmsdk-transformers[lora]"') from None
        names = {id(module): name for name, module in network.named_modules()}
        linear = {
            names[id(module)]: path.rpartition(".")[2]
            for block in blocks
            for path, module in block.named_modules()
            if isinstance(module, nn.Linear)
        }
        known = list(dict.fromkeys(linear.values()))
        chosen = [name for name, last in linear.items() if self.targets is None or last in self.targets]
        unknown = [target for target in self.targets or () if target not in known]
        if unknown or not chosen:
            raise ConfigError(
                f"lora.targets: there is no linear layer {unknown or ''} in the blocks; there are {known}"
            )
        settings = peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=_pattern(chosen),
        )
        with warnings.catch_warnings():  # it asks transformers under names that are on their way out
            warnings.simplefilter("ignore", FutureWarning)
            self._adapted = peft.get_peft_model(network, settings)

    def save(self, folder: Path, source: ModelSource | None) -> Path:
        """Write the adapters in the format of peft."""
        settings = self._adapted.peft_config["default"]
        settings.base_model_name_or_path = source.model if source is not None else None
        settings.revision = source.revision if source is not None else None
        # "auto" would ask the hub about the vocabulary of the base.
        self._adapted.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
        return folder


def _pattern(names: Sequence[str]) -> str:
    """What matches these whole names, of whatever layer: whole, so that the twin of a tower is left alone."""
    escaped = (re.sub(r"(?<=\\\.)\d+(?=\\\.)", r"\\d+", re.escape(name)) for name in names)
    return "|".join(dict.fromkeys(escaped))
