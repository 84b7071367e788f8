"""Attention and the blocks that are made of it (Vaswani et al., "Attention Is All You Need", 2017)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsdk.builtin.layers.packing import Packing
from mmsdk.errors import ConfigError


class Attention(nn.Module):
    """Queries look things up in a context: softmax(Q K^T / sqrt(d)) V, in several heads.

    width: of queries, context and result; a multiple of `heads`.
    dropout: share of the attention weights that training drops.

    Raises:
        ConfigError: the heads cannot share the width evenly.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"{heads} heads cannot share a width of {width} evenly: make it a multiple of {heads}")
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # a bias would add the same to all scores of a query: nothing
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """queries [batch, q, width], context [batch, k, width], mask [batch, k] bool -> [batch, q, width].

        Where a row's mask has no True there is nothing to look up: the result is zeros.
        """
        return self.look_up(queries, *self.keys_and_values(context), mask)

    def keys_and_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """context [batch, k, width] -> two of [batch, heads, k, width / heads], which can be kept and used again."""
        return self._split(self.key(context)), self._split(self.value(context))

    def look_up(self, queries: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """`forward` with keys and values that are there already.

        mask: [batch, k] bool, or [batch or 1, q, k] where each query sees something else.
        """
        query = self._split(self.query(queries))  # [batch, heads, q, d]
        mask = mask if mask.dim() == 3 else mask[:, None]  # [batch, 1, k]
        present = mask.any(dim=-1, keepdim=True)  # [batch, 1, 1]
        # Not every kernel survives the softmax of an empty set, so such a row attends to its padding;
        # what it finds there is cleared below.
        seen = (mask | ~present)[:, None]  # [batch, 1, 1, k]
        found = F.scaled_dot_product_attention(
            query, key, value, attn_mask=seen, dropout_p=self.dropout if self.training else 0.0
        )
        joined: Tensor = self.out(found.transpose(1, 2).flatten(2))  # [batch, q, width]
        return joined.masked_fill(~present, 0)

    def among_packed(self, tokens: Tensor, packing: Packing) -> Tensor:
        """Self-attention of packed rows, each of which sees itself alone: [1, total, width] -> the same."""
        parts = [packing.split(layer(tokens)) for layer in (self.query, self.key, self.value)]
        found = []
        for looking in zip(*parts, strict=True):  # three of [rows, length, width]
            query, key, value = (self._split(part) for part in looking)  # [rows, heads, length, d]
            seen = F.scaled_dot_product_attention(query, key, value, dropout_p=self.dropout if self.training else 0.0)
            found.append(seen.transpose(1, 2).flatten(2).flatten(0, 1))  # [rows * length, width]
        joined: Tensor = self.out(torch.cat(found)[None])
        return joined

    def shares(self, queries: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """How much of each token `forward` takes for each query, the mean of the heads: [batch, q, k]."""
        query, key = self._split(self.query(queries)), self._split(self.key(context))
        scores = (query @ key.transpose(2, 3)).float() * query.shape[-1] ** -0.5  # [batch, heads, q, k]
        hidden = ~mask[:, None, None]
        lowest = torch.finfo(scores.dtype).min
        divided: Tensor = scores.masked_fill(hidden, lowest).softmax(dim=-1).masked_fill(hidden, 0)
        return divided.mean(dim=1)

    def _split(self, tokens: Tensor) -> Tensor:
        """[batch, length, width] -> [batch, heads, length, width / heads]."""
        return tokens.view(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two layers over each token: [..., width] -> [..., width]."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width))


class TransformerBlock(nn.Module):
    """Self-attention, then two layers over each token, each added to what came in.

    It normalises before each part, not after, which trains without a warm-up (Xiong et al., "On Layer
    Normalization in the Transformer Architecture", 2020). A norm belongs after the last block.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, feedforward: int | None = None) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, feedforward or 4 * width, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor | Packing) -> Tensor:
        """tokens [batch, length, width], mask [batch, length] bool -> [batch, length, width].

        Of packed tokens [1, total, width] the second is how they are packed.
        """
        normed = self.attention_norm(tokens)
        if isinstance(mask, Packing):
            found = self.attention.among_packed(normed, mask)
        else:
            found = self.attention(normed, normed, mask)
        tokens = tokens + self.dropout(found)
        changed: Tensor = self.dropout(self.feedforward(self.feedforward_norm(tokens)))
        return tokens + changed


class CrossBlock(nn.Module):
    """Queries attend to a context, then two layers over each query, each added to what came in.

    A row without any context leaves its queries to the two layers alone.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, feedforward: int | None = None) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(width)
        self.context_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, feedforward or 4 * width, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """queries [batch, q, width], context [batch, k, width], mask [batch, k] bool -> [batch, q, width]."""
        found = self.attention(self.query_norm(queries), self.context_norm(context), mask)
        queries = queries + self.dropout(found)
        changed: Tensor = self.dropout(self.feedforward(self.feedforward_norm(queries)))
        return queries + changed
