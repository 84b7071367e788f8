"""What every decision rule promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from mmsdk.components import DecisionConfig
from mmsdk.errors import ConfigError
from mmsdk.formats import Format, Source
from mmsdk.interfaces import DecisionFusion
from mmsdk.testing.made import patterns
from mmsdk.testing.network import NetworkContract
from mmsdk.testing.trees import changed, difference, not_finite

SPACES = ("log_probabilities", "log_odds", "values")


class DecisionContract(NetworkContract):
    """The promises of a decision rule, in each space of scores that it joins.

    spaces: those that it takes, of log_probabilities, log_odds and values; others it has to refuse.
    """

    config: ClassVar[DecisionConfig]
    spaces: ClassVar[Sequence[str]] = SPACES
    names: ClassVar[tuple[str, ...]] = ("fused", "image", "text")

    def arguments(self, space: str | None = None, names: Sequence[str] | None = None) -> tuple[Any, ...]:
        format = Format(space or self.spaces[0], width=5, vocabulary=5)
        return ({name: Source(0, 0, format) for name in names or self.names},)

    def given(self, space: str | None = None, *more: int) -> Any:
        """(scores [batch, *more, 5], present [batch]) by source: every pattern of presence."""
        there = torch.tensor(patterns(len(self.names), self.config.absence != "unsupported")).T
        scores = 3 * torch.randn(*there.shape, *more, 5, generator=torch.Generator().manual_seed(0))
        if (space or self.spaces[0]) == "log_probabilities":
            scores = scores.log_softmax(dim=-1)
        named = zip(self.names, scores, strict=True), zip(self.names, there, strict=True)
        return tuple(map(dict, named))

    @staticmethod
    def call(module: nn.Module, given: Any) -> dict[str, Tensor]:
        return {"scores": module(*given)}

    def rule(self, space: str, names: Sequence[str] | None = None) -> nn.Module:
        """The rule for one space."""
        torch.manual_seed(0)
        built: Any = self.config.build(*self.arguments(space, names))
        return built.eval()  # type: ignore[no-any-return]

    def test_it_is_of_decision_level(self) -> None:
        """`level` is "decision", and build() gives a DecisionFusion."""
        assert self.config.level == "decision", f"level = '{self.config.level}': derive from DecisionConfig"
        assert isinstance(self.build(), DecisionFusion), "build() gives no DecisionFusion: derive it from that"

    def test_the_space_is_kept(self) -> None:
        """[batch, ...] finite scores of the same space; probabilities sum to one. Also with a score per token."""
        for space in self.spaces:
            for more in ((), (2,)):
                given = self.given(space, *more)
                found = self.run(self.rule(space), given)["scores"]
                shape = next(iter(given[0].values())).shape
                assert found.shape == shape, f"{space}: {list(found.shape)} from scores {list(shape)}: keep the shape"
                assert found.isfinite().all(), f"{space}: not finite, perhaps in a row without any source"
                if space == "log_probabilities":
                    sums = found.exp().sum(dim=-1)
                    far = difference(sums, torch.ones_like(sums), 1e-4)
                    assert not far, f"probabilities do not sum to one: by row, the sum{far}: log_softmax the result"

    def test_other_spaces_are_refused(self) -> None:
        """A space that the rule makes no sense for is a ConfigError when it is built."""
        for space in set(SPACES) - set(self.spaces):
            with pytest.raises(ConfigError):
                self.rule(space)

    def test_absent_scores_may_be_anything(self) -> None:
        """Results and gradients do not depend on what stands where a source is absent, NaN among it."""
        if self.config.absence == "unsupported":
            pytest.skip("absence = 'unsupported'")
        for space in self.spaces:
            rule, (scores, present) = self.rule(space), self.given(space)
            dirty = {
                name: part.masked_fill(~present[name][:, None], torch.nan).requires_grad_()
                for name, part in scores.items()
            }
            clean = changed(scores, lambda part: part.clone().requires_grad_())
            results = [self.run(rule, (part, present)) for part in (dirty, clean)]
            wrong = difference(results[0], results[1])
            assert not wrong, f"{space}: with NaN in absent slots, {wrong}: masked_fill scores before they are used"
            for result in results:
                self.objective(result).backward()  # type: ignore[no-untyped-call]
            for name in scores:
                wrong = difference(dirty[name].grad, clean[name].grad)
                assert not wrong, f"{space}: with NaN in absent slots, the gradient{wrong}"
                assert not clean[name].grad[~present[name]].any(), f"{space}: a gradient flows into absent scores"

    def test_exact_absence(self) -> None:
        """Where `absence` is exact: an absent source gives what a rule without it gives."""
        if self.config.absence != "exact":
            pytest.skip(f"absence = '{self.config.absence}'")
        for space in self.spaces:
            if list(self.rule(space).parameters()):
                pytest.skip("a rule with weights of its own for each source cannot be compared")
            for absent in self.names:
                scores, _ = self.given(space)
                present = {name: torch.full((len(part),), name != absent) for name, part in scores.items()}
                rest = [{name: part for name, part in each.items() if name != absent} for each in (scores, present)]
                found = self.run(self.rule(space), (scores, present))
                wrong = difference(found, self.run(self.rule(space, list(rest[0])), rest), self.tolerance)
                assert not wrong, f"{space}: with '{absent}' absent instead of left out, {wrong}"

    def test_certain_sources_stay_finite(self) -> None:
        """Probabilities of 0 and 1 in any precision: scores of a hundred and more."""
        for space in self.spaces:
            scores, present = self.given(space)
            certain = changed(scores, lambda part: (100 * part).requires_grad_())
            if space == "log_probabilities":
                certain = changed(certain, lambda part: part.log_softmax(dim=-1).detach().requires_grad_())
            results = self.run(self.rule(space), (certain, present))
            self.objective(results).backward()  # type: ignore[no-untyped-call]
            wrong = not_finite(results) + not_finite({name: part.grad for name, part in certain.items()})
            assert not wrong, f"{space}: not finite: {wrong} - stay with logarithms"

    def test_fit_learns_what_is_claimed(self) -> None:
        """Where `learns` is True `fit` fills buffers; otherwise it leaves all as it is."""
        for space in self.spaces:
            rule, scores, present, target = self.held_out(space)
            before = changed(dict(rule.state_dict()), torch.clone)
            rule.fit(scores, target, present)
            after = dict(rule.state_dict())
            wrong = not_finite(after)
            assert not wrong, f"{space}: fit learns what is not finite: {wrong}"
            if self.config.learns:
                assert difference(after, before), f"{space}: learns is True, but fit fills no buffer"
            else:
                assert not difference(after, before), f"{space}: fit learns: let `learns` of the config be True"
            found = self.run(rule, (scores, present))["scores"]
            assert found.isfinite().all() and found.shape == scores[self.names[0]].shape, f"{space}: bad after fit"

    def test_fit_sees_only_what_is_there(self) -> None:
        """What stands in place of an absent source's scores teaches nothing; nor do its rows."""
        if self.config.absence == "unsupported":
            pytest.skip("absence = 'unsupported'")
        for space in self.spaces:
            states = []
            for rubbish in (torch.nan, 7.0):
                rule, scores, present, target = self.held_out(space)
                dirty = {name: part.masked_fill(~present[name][:, None], rubbish) for name, part in scores.items()}
                rule.fit(dirty, target, present)
                states.append(dict(rule.state_dict()))
            wrong = difference(states[0], states[1])
            assert not wrong, f"{space}: what stands in absent slots changes what fit learns: {wrong}"

    def held_out(self, space: str) -> tuple[Any, dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """A rule, scores [40, 5] and presence [40] of each source, and the target: the first source knows it best."""
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(5, (40,), generator=generator)
        hot = nn.functional.one_hot(ids, 5).float()
        target = {"ids": ids} if space == "log_probabilities" else {"values": hot}
        scores, present = {}, {}
        for place, name in enumerate(self.names):
            raw = hot * (3 - place) + torch.randn(40, 5, generator=generator)
            scores[name] = raw.log_softmax(dim=1) if space == "log_probabilities" else raw
            absent = torch.arange(40) % 4 == place
            present[name] = ~absent if self.config.absence != "unsupported" else torch.ones(40, dtype=torch.bool)
        return self.rule(space), scores, present, target

    def test_the_number_of_parameters_is_declared(self) -> None:
        """`config.parameters(sources)` is exact."""
        said = self.config.parameters(*self.arguments())
        if said is None:
            pytest.skip("parameters() gives None")
        real = sum(parameter.numel() for parameter in self.build().parameters())
        assert said == real, f"parameters() says {said}, but it has {real}: mend the formula"
