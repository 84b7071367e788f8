"""Zero-shot classification: the label whose description is nearest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from mmsdk import ConfigError, DecodeError, Pipeline, Row
from mmsdk_retrieval.queries import gives, sample_of
from mmsdk_retrieval.wording import choice, listed

TEMPLATES = ("a picture of a {}",)
PLACE = "{}"


class Classified(NamedTuple):
    """What a sample was taken for. similarities: the cosine of each label; None where the sample lacks the stream."""

    id: str
    label: str | None
    similarities: Mapping[str, float] | None


class ZeroShot:
    """Classifies samples by one stream into labels that were told in another one; made by `zero_shot`.

    vectors: [labels, width], of length 1.
    """

    def __init__(self, pipeline: Pipeline, labels: Sequence[str], vectors: Tensor, stream: str, head: str) -> None:
        self.pipeline, self.labels, self.vectors, self.stream, self.head = pipeline, list(labels), vectors, stream, head

    def __call__(
        self, samples: Iterable[Mapping[str, Any] | Row], *, skipped: list[DecodeError] | None = None
    ) -> Iterator[Classified]:
        """One after the other, in order. Of labels that are equally near, the first.

        Raises:
            DecodeError: a sample cannot be read, and there is no list `skipped` to take it.
        """
        for each in self.pipeline.embed_each(samples, head=self.head, skipped=skipped):
            if self.stream not in each.vectors:
                yield Classified(each.id, None, None)
                continue
            similarities = (self.vectors @ each.vectors[self.stream]).tolist()  # [labels]
            best = similarities.index(max(similarities))
            yield Classified(each.id, self.labels[best], dict(zip(self.labels, similarities, strict=True)))


def zero_shot(
    pipeline: Pipeline,
    labels: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
    *,
    of: str | None = None,
    by: str | None = None,
    head: str | None = None,
) -> ZeroShot:
    """A classifier that needs no training: each label is put into each template, and the mean of the embeddings, at
    length 1, stands for the label (Radford et al., "Learning Transferable Visual Models From Natural Language
    Supervision", 2021).

    templates: texts with {} where the label goes. by: the stream of texts; by default the only one that the head
    compares. of: the stream that is classified; by default the only other one.

    Raises:
        ConfigError: no labels, one twice, a template without {}, or no such stream.
    """
    if not labels or len(set(labels)) < len(labels) or not all(label.strip() for label in labels):
        raise ConfigError(f"Give labels that differ from one another, such as 'cat', 'dog'; found {listed(labels)}")
    for template in templates:
        if PLACE not in template:
            raise ConfigError(f"'{template}' has no {PLACE} where the label goes; write such as '{TEMPLATES[0]}'")
    if not templates:
        raise ConfigError(f"Give at least one template, such as '{TEMPLATES[0]}'")
    head = pipeline.embedding_head(head)
    config, compared = pipeline.config, pipeline.config.heads[head].reads
    texts = [stream for stream in compared if gives(config, stream) == "tokens"]
    by = _one(by, texts, compared, "by: the stream of texts")
    of = _one(of, [stream for stream in compared if stream != by], compared, "of: the stream that is classified")
    samples = [
        sample_of(config, by, template.replace(PLACE, label), head) for label in labels for template in templates
    ]
    vectors = pipeline.embed(samples, head=head)[by].view(len(labels), len(templates), -1)
    means = F.normalize(vectors.mean(dim=1), dim=1)  # [labels, width]
    return ZeroShot(pipeline, labels, means, of, head)


def _one(named: str | None, able: Sequence[str], compared: Sequence[str], what: str) -> str:
    if named is not None and named not in compared:
        raise ConfigError(f"'{named}' is not compared by the head. {choice(named, compared)}")
    if named is None and len(able) != 1:
        raise ConfigError(f"Say {what}, among {listed(able or compared)}")
    return named or able[0]
