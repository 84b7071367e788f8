"""What every task head promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from mmsdk.components import HeadConfig
from mmsdk.containers import Encoding, Inputs
from mmsdk.formats import Format, Source
from mmsdk.interfaces import Modality, ScoringHead, TaskHead
from mmsdk.testing.made import encodings
from mmsdk.testing.predictions import KNOWN, PRESENT, PredictionContract, head_output
from mmsdk.testing.processes import gradients_of_two
from mmsdk.testing.trees import difference, not_finite, rows


class HeadContract(PredictionContract):
    """The promises of a task head, on a batch in which some rows are absent and some targets unknown.

    config: the head. values: raw values of its target, two or three; none for a head without a target.
    compares_rows: whether a row's loss depends on the other rows, as in contrastive learning.
    predicts_targets: whether a prediction's value is one that the target reads; of shares per label it is one label.
    steps, learning_rate: how it is trained until its loss has fallen.
    """

    config: ClassVar[HeadConfig]
    values: ClassVar[Sequence[Any]] = ()
    compares_rows: ClassVar[bool] = False
    learning_rate: ClassVar[float] = 0.05
    steps: ClassVar[int] = 40

    def sources(self) -> dict[str, Source]:
        """Each source that the config reads; tokens and pooled vectors of different widths."""
        return {name: Source(4 + place, 6 + place, Format("tokens")) for place, name in enumerate(self.config.reads)}

    def target(self) -> Modality | None:
        """The modality of the target, fitted on the values."""
        declared = self.config.target_config()
        if declared is None:
            return None
        modality = declared.build()
        modality.fit(self.values)
        return modality

    def arguments(self) -> tuple[Any, ...]:
        target = self.target()
        return self.sources(), None if target is None else target.format

    def given(self) -> tuple[dict[str, Encoding], Inputs | None]:
        """What is read, [batch, ...], and the target with "present" [batch] bool."""
        sources, modality = self.sources(), self.target()
        several = len(sources) > 1  # each is absent in rows of its own
        present = [[there or (several and row % 3 == place) for place in range(len(sources))] for row, there in _rows()]
        reads = encodings(sources, present)
        if modality is None:
            return reads, None
        items = [modality.prepare(self.values[row % len(self.values)]) for row in range(len(PRESENT))]
        return reads, {**modality.collate(items), "present": torch.tensor(KNOWN)}

    @staticmethod
    def call(module: nn.Module, given: Any) -> dict[str, Tensor]:
        output = head_output(module, given)
        named = {name: part for name, part in output._asdict().items() if isinstance(part, Tensor)}
        return named | {f"embeddings.{name}": part for name, part in output.embeddings.items()}

    @staticmethod
    def objective(outputs: Mapping[str, Tensor], first_row: int = 0) -> Tensor:
        return outputs["loss"]

    def test_shapes(self) -> None:
        """loss and count are single numbers; scores [batch, ...] float32; present [batch] bool; embeddings."""
        head, given = self.build(), self.given()
        assert isinstance(head, TaskHead), f"build() gives {type(head).__name__}: derive it from TaskHead"
        output = head_output(head, given)
        for name, part in (("loss", output.loss), ("count", output.count)):
            assert part is not None, f"there is a target, but no {name}: give it"
            assert part.shape == (), f"{name} has the shape {list(part.shape)}: give the sum over rows"
        assert output.scores is not None or output.embeddings, "it gives neither scores nor embeddings"
        for name, part in (("scores", output.scores), *output.embeddings.items()):
            if part is not None:
                assert len(part) == len(PRESENT), f"{name} has the shape {list(part.shape)}: the batch comes first"
                assert part.dtype is torch.float32, f"{name} is {part.dtype}: give float32"
        assert output.present is not None, "it gives no `present`: say for which rows the scores mean something"
        there = torch.stack([encoding.present for encoding in given[0].values()])
        assert not output.present[~there.any(dim=0)].any(), "`present` is True for a row without any source"
        assert output.present[there.all(dim=0)].all(), "`present` is False for a row with all sources"

    def test_it_is_the_head_that_it_is_declared(self) -> None:
        """`scoring` tells whether a decision rule can combine it: a ScoringHead, with a `space`, of one source."""
        head, declared = self.build(), self.config.scoring
        assert isinstance(head, ScoringHead) == declared, f"scoring = {declared}, but it is a {type(head).__name__}"
        if isinstance(head, ScoringHead):
            spaces = ("log_probabilities", "log_odds", "values")
            assert getattr(head, "space", None) in spaces, f"space is missing: give one of {spaces}"
            assert self.config.sources == "one", "a scoring head reads one source: sources = 'one'"

    def test_without_a_target_there_is_no_loss(self) -> None:
        """In prediction the target is None: scores, and no loss where a target is needed."""
        output = head_output(self.build(), (self.given()[0], None))
        if self.config.needs_target:
            assert output.loss is None, "there is a loss without a target: give None"
        assert output.scores is not None or output.embeddings, "without a target there are no scores: give them"

    def test_rows_that_do_not_count(self) -> None:
        """A row without target, or without any source, adds nothing to loss and count, whatever stands there."""
        head, (reads, target) = self.build(), self.given()
        if target is None:
            pytest.skip("no target")
        hidden = ~(torch.tensor(KNOWN) & torch.stack([each.present for each in reads.values()]).any(dim=0))
        others = hidden.nonzero()[:, 0].roll(1)
        order = torch.arange(len(hidden))
        order[hidden] = (others + 1) % len(hidden)
        dirty = {key: part[order] for key, part in target.items()} | {"present": target["present"]}
        rubbish = {
            name: each._replace(pooled=each.pooled.masked_fill(~each.present[:, None], 7.0))
            for name, each in reads.items()
        }
        clean, found = (self.run(head, given) for given in ((reads, target), (rubbish, dirty)))
        for name in ("loss", "count"):
            wrong = difference(found[name], clean[name])
            assert not wrong, f"{name} depends on rows that do not count:{wrong}: use present & target['present']"

    def test_nothing_that_counts(self) -> None:
        """A batch without anything to learn has loss 0 and count 0, and gradients of zero."""
        head, (reads, target) = self.build(), self.given()
        absent = {name: Encoding(*(torch.zeros_like(part) for part in encoding)) for name, encoding in reads.items()}
        given = (absent, target)
        output, gradients = self.run(head, given), self.gradients(head, given)
        wrong = not_finite(output) + not_finite(gradients)
        assert not wrong, f"not finite where nothing is present: {wrong}"
        assert output["loss"] == 0 and output["count"] == 0, (
            f"loss {output['loss']:.3g} and count {output['count']} where nothing is present: mask before the sum"
        )

    def test_the_loss_is_a_sum(self) -> None:
        """Loss and count of a batch are the sums of those of its rows; means of unequal shares do not add up."""
        head, given = self.build(), self.given()
        output = self.run(head, given)
        singles = [self.run(head, rows(given, row, row + 1)) for row in range(len(PRESENT))]
        counts = torch.stack([single["count"] for single in singles]).sum()
        assert counts == output["count"], f"count is {output['count']} for the batch, {counts} for its rows: add up"
        if not self.compares_rows:
            total = torch.stack([single["loss"] for single in singles]).sum()
            wrong = difference(total, output["loss"], 10 * self.tolerance)
            assert not wrong, f"the rows' losses add up to {total:.4g}, the batch's is {output['loss']:.4g}: give a sum"

    def test_halves_add_up_to_the_whole(self) -> None:
        """Where rows do not depend on one another, gradients add up like losses."""
        if self.compares_rows:
            pytest.skip("compares_rows = True: test_two_processes tells")
        super().test_halves_add_up_to_the_whole()

    def test_two_processes(self) -> None:
        """Two processes with half of a batch each, which exchange rows by `step.gather`, have the gradients of one."""
        module, (whole, *halves) = self.build(), self.halves()
        found = gradients_of_two(self, module.state_dict(), halves)
        far = difference(found, self.gradients(module, whole), 10 * self.tolerance)
        assert not far, f"in two processes the gradient of {far}: give sums over rows, and gather what rows share"

    def test_the_loss_falls(self) -> None:
        """Some steps on one batch lower its loss by a twentieth at least."""
        head, given = self.build(), self.given()
        optimizer = torch.optim.Adam(head.parameters(), lr=self.learning_rate)
        losses = []
        for _ in range(self.steps):
            loss = self.run(head, given)["loss"]
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.95 * losses[0], f"the loss goes from {losses[0]:.4g} to {losses[-1]:.4g}: it must fall"


def _rows() -> list[tuple[int, bool]]:
    return list(enumerate(PRESENT))
