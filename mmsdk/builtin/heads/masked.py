"""`masked`: a part of a stream is hidden, and told from what is left of it and from the other streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mmsdk.builtin.heads.hiding import Hidden, hide
from mmsdk.containers import Encoding, HeadOutput, Inputs, Step, spread
from mmsdk.errors import ConfigError
from mmsdk.interfaces import Metric, TaskHead
from mmsdk.metrics import Share


class Masked(TaskHead):
    """Predicts hidden tokens (their ids), or hidden steps or patches (their numbers), from the fused tokens.

    Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", 2019, for tokens;
    Xie et al., "SimMIM: A Simple Framework for Masked Image Modeling", 2022, for numbers, here with squared errors.

    width: of the tokens. outputs: how many ids there are, or how many numbers a step has. stream: what is hidden.
    kind: of that stream. share: how much of it is hidden. patch: the side of a patch of pixels, as in the encoder.
    """

    def __init__(self, width: int, outputs: int, stream: str, kind: str, share: float = 0.15, patch: int = 8) -> None:
        super().__init__()
        self.predict = nn.Linear(width, outputs)
        self.outputs, self.stream, self.kind, self.share, self.patch = outputs, stream, kind, share, patch

    def view(self, inputs: Mapping[str, Any], generator: torch.Generator | None) -> Mapping[str, Any]:
        """The stream with a part of it hidden; outside of training always the same part."""
        own = inputs[self.stream]
        if isinstance(own, Encoding):
            raise ConfigError(f"stream '{self.stream}' comes encoded from a cache, so that nothing of it can be hidden")
        return {**inputs, self.stream: hide(own, self.kind, self.share, self.patch, self.outputs, generator)}

    def forward(self, reads: Mapping[str, Encoding], target: Inputs | None, step: Step) -> HeadOutput:
        """Tokens [batch, length, width] -> scores [batch, 2]: how many are right, or the squared error; of how many."""
        (encoding,) = reads.values()
        view = Hidden(*(spread(step.inputs[self.stream][key], step.rows[self.stream]) for key in Hidden._fields))
        length = view.hidden.shape[1]
        if encoding.tokens.shape[1] < length:
            raise ConfigError(
                f"the encoder of '{self.stream}' makes {encoding.tokens.shape[1]} tokens of {length} steps, so that it "
                "cannot be told which of them is hidden: choose an encoder with a token per step, or another 'patch'"
            )
        tokens = encoding.tokens[:, encoding.tokens.shape[1] - length :]  # [batch, length, width]; some add one before
        hidden = view.hidden & encoding.present[:, None]
        said = self.predict(tokens).float()  # [batch, length, outputs]
        if self.kind == "tokens":
            losses = F.cross_entropy(said.mT, view.truth, reduction="none")  # [batch, length]
            figures = (said.argmax(dim=2) == view.truth).float()
        else:
            losses = figures = (said - view.truth).square().mean(dim=2)
        scores = torch.stack([(figures * hidden).sum(dim=1), hidden.sum(dim=1).float()], dim=1)
        return HeadOutput(losses.masked_fill(~hidden, 0).sum(), hidden.sum(), scores.detach(), hidden.any(dim=1))

    def metrics(self) -> Mapping[str, Metric]:
        if self.kind == "tokens":
            return {"accuracy": Share()}
        return {"mean_squared_error": Share(larger_is_better=False)}
