"""What a feature-level fusion promises about absent streams, by what its config says of `absence`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from mmsdk.components import FusionConfig
from mmsdk.containers import Encoding
from mmsdk.formats import Source
from mmsdk.testing.made import encodings
from mmsdk.testing.network import NetworkContract
from mmsdk.testing.transfer import carried
from mmsdk.testing.trees import changed, difference, shown


class AbsenceContract(NetworkContract):
    """The promises of a fusion about absence.

    no_transfer: why the weights cannot be carried over to a fusion of fewer streams, where `without` cannot.
    """

    config: ClassVar[FusionConfig]
    sources: ClassVar[Mapping[str, Source]]
    no_transfer: ClassVar[str | None] = None

    def without(self, fusion: nn.Module, absent: str) -> nn.Module | None:
        """The same weights in a fusion without that stream; None where they do not fit by name and place."""
        rest = {name: source for name, source in self.sources.items() if name != absent}
        config: Any = self.config
        smaller: nn.Module = config.build(rest).eval()
        state = carried(fusion.state_dict(), smaller.state_dict(), self.sources, absent)
        if state is None:
            return None
        smaller.load_state_dict(state)
        return smaller

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_absent_slots_may_hold_anything(self, precision: str) -> None:
        """Results and gradients are the same bit for bit whatever bytes stand in an absent slot, NaN among them."""
        if self.config.absence == "unsupported":
            pytest.skip("absence = 'unsupported'")
        fusion, clean = self.build(), self.given()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            results, gradients = self.run(fusion, clean), self.gradients(fusion, clean)
            for rubbish in (-9e3, float("nan"), float("inf")):
                dirty = {name: _filled(each, rubbish) for name, each in clean.items()}
                found = difference(self.run(fusion, dirty), results)
                assert not found, f"with {rubbish} in absent slots, {found}: masked_fill a slot before it is used"
                found = difference(self.gradients(fusion, dirty), gradients)
                assert not found, (
                    f"with {rubbish} in absent slots, the gradient of {found}: masked_fill a slot before a layer sees "
                    "it; masking what the layer gives is too late"
                )

    def test_no_gradient_flows_into_absent_slots(self) -> None:
        """What is absent learns nothing."""
        if self.config.absence == "unsupported":
            pytest.skip("absence = 'unsupported'")
        given = changed(self.given(), lambda part: part.clone().requires_grad_(part.is_floating_point()))
        objective = self.objective(self.run(self.build(), given))
        if objective.requires_grad:
            objective.backward()  # type: ignore[no-untyped-call]
        for name, each in given.items():
            for part in (each.tokens, each.pooled):
                if part.grad is not None:
                    assert part.grad.isfinite().all(), f"the gradient of '{name}' is not finite"
                    assert not part.grad[~each.present].any(), f"a gradient flows into rows where '{name}' is absent"

    def test_exact_absence(self) -> None:
        """Where `absence` is exact: the same weights without an absent stream give the same."""
        if self.config.absence != "exact":
            pytest.skip(f"absence = '{self.config.absence}'")
        if self.no_transfer is not None:
            pytest.skip(self.no_transfer)
        names = list(self.sources)
        rests = {name: [other for other in names if other != name] for name in names}
        possible = [name for name, rest in rests.items() if rest and self.config.check(rest) is None]
        if not possible:
            pytest.skip("no stream can be left out: give more `sources`")
        fusion = self.build()
        for absent in possible:
            smaller = self.without(fusion, absent)
            assert smaller is not None, (
                "the weights do not fit a fusion of fewer streams: override `without`, or say why that cannot be: "
                "no_transfer = '...'"
            )
            given = encodings(self.sources, [[name != absent for name in names]] * 3)
            rest = {name: each for name, each in given.items() if name != absent}
            found = difference(
                _without(self.run(fusion, given), absent, names), shown(self.run(smaller, rest)), self.tolerance
            )
            assert not found, (
                f"with '{absent}' absent instead of left out, {found}: leave it out of sums, counts and softmaxes, or "
                "declare another `absence`"
            )


def _filled(encoding: Encoding, value: float) -> Encoding:
    """With a value in the slots of absent rows."""
    absent = ~encoding.present
    tokens = encoding.tokens.masked_fill(absent[:, None, None], value)
    return Encoding(tokens, encoding.mask, encoding.pooled.masked_fill(absent[:, None], value))


def _without(results: Mapping[str, Tensor], absent: str, names: list[str]) -> dict[str, Tensor]:
    """Results without those of one stream."""
    kept = {name: part for name, part in results.items() if not name.startswith(f"streams.{absent}.")}
    if "weights" in kept:
        kept["weights"] = kept["weights"][:, [place for place, name in enumerate(names) if name != absent]]
    return shown(kept)
