"""Causal language models of transformers: which networks are such, how a text ends in them, and one pass through one.

A pass keeps the keys and values of all steps as plain tensors, so that rows can be chosen, as beams want it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmsdk import ConfigError
from mmsdk_transformers.native import explained, of_library
from mmsdk_transformers.network import configuration, made

State = tuple[Tensor, ...]
"""Which steps are there [rows, steps] bool, and a key and a value [rows, heads, steps, width] of each layer."""
SUCH_AS = "choose a causal language model, such as one of the types gpt2, llama, qwen3 or smollm3"


def build(architecture: Mapping[str, Any]) -> nn.Module:
    """The language model, with random weights.

    Raises:
        ConfigError: there is no such network, or none that writes from left to right with keys and values.
    """
    config = configuration(architecture)
    name = config.model_type
    classes, fillers = of_library("MODEL_FOR_CAUSAL_LM_MAPPING"), of_library("MODEL_FOR_MASKED_LM_MAPPING")
    if type(config) not in classes or config.is_encoder_decoder:
        raise ConfigError(f"architecture: '{name}' is no causal language model: {SUCH_AS}")
    if type(config) in fillers and not getattr(config, "is_decoder", False):
        raise ConfigError(f"architecture: '{name}' fills gaps and looks at what comes after them: {SUCH_AS}")
    with explained(f"the network of '{name}'"):
        kind = classes[type(config)]
    if kind._is_stateful or "position_ids" not in inspect.signature(kind.forward).parameters:
        raise ConfigError(f"architecture: '{name}' does not work with positions, keys and values alone: {SUCH_AS}")
    return made(kind, config)


def embeddings(network: nn.Module) -> nn.Embedding:
    """The embeddings of its ids."""
    found: nn.Embedding = network.get_input_embeddings()  # type: ignore[operator]
    return found


def ending(config: Any) -> int:
    """The id after which a text is over.

    Raises:
        ConfigError: the model has none.
    """
    found = config.eos_token_id
    end = found[0] if isinstance(found, list) and found else found
    if not isinstance(end, int) or not 0 <= end < config.vocab_size:
        raise ConfigError(
            f"architecture: '{config.model_type}' has the end of text {found!r} among {config.vocab_size:,} ids: give "
            "'eos_token_id' in its config.json"
        )
    return end


def run(network: Any, inputs: Tensor, there: Tensor, past: State = (), logits: int = 1) -> tuple[Tensor, State]:
    """One pass: the logits of the last so many steps, and the state after them.

    inputs [rows, steps, width]: embeddings. there [rows, steps] bool: which steps are; the last one is there in
    every row. Positions count what is there.
    """
    seen = torch.cat([past[0], there], dim=1) if past else there  # [rows, past + steps]
    cache = of_library("DynamicCache")(zip(past[1::2], past[2::2], strict=True) if past else None)
    shorter = {"logits_to_keep": logits} if "logits_to_keep" in inspect.signature(network.forward).parameters else {}
    found = network(
        inputs_embeds=inputs,
        attention_mask=seen.long(),
        position_ids=(seen.cumsum(dim=1) - 1).clamp(min=0)[:, -inputs.shape[1] :],  # [rows, steps]
        past_key_values=cache,
        use_cache=True,
        **shorter,
    )
    state = (seen, *(part for layer in cache.layers for part in (layer.keys, layer.values)))
    return found.logits[:, -logits:], state


def require_room(network: Any, places: int) -> None:
    """Refuse what is longer than the model.

    Raises:
        ConfigError: it has fewer positions.
    """
    longest = getattr(network.config, "max_position_embeddings", None)
    if isinstance(longest, int) and places > longest:
        raise ConfigError(
            f"the prefix, the prompt and the text take {places:,} places together, '{network.config.model_type}' has "
            f"{longest:,}: give the head 'prefix: resampler' with few 'queries', fewer 'max_tokens' in 'generation', "
            "or the target's modality a smaller 'max_length'"
        )
