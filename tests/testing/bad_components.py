"""Components with one mistake each, and the contracts that have to find it. Run by test_contracts_catch.py.

The docstring of each test class names the promises that fail, and words of the message of the first one.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pytest

from mmsdk import DecisionConfig, EncoderConfig, FusionConfig, HeadConfig, ModalityConfig, Source
from mmsdk.testing import (
    DecisionContract,
    EncoderContract,
    FusionContract,
    HeadContract,
    ModalityContract,
    PluginContract,
)
from tests.testing.heavy_declaration import HeavyConfig


class BadFusion(FusionConfig):
    """A sound mean of two streams, until something is done to it."""

    type: Literal["bad.fusion"] = "bad.fusion"
    absence: ClassVar[Any] = "exact"
    mistake: str = ""

    def parameters(self, sources: Any) -> int | None:
        more = {"parameters": 1, "unused": 4, "scalar": 1, "tangled": len(sources) ** 3}
        return sum((each.pooled_width + 1) * 8 for each in sources.values()) + more.get(self.mistake, 0)

    def build(self, sources: Any) -> Any:
        from tests.testing import bad_modules

        return bad_modules.Fusion(sources, self.mistake)


class Fusions(FusionContract):
    sources: ClassVar = {"words": Source(6, 5), "image": Source(4, 7)}
    fuses = False
    steps = 20


class TestSoundFusion(Fusions):
    """none"""

    config = BadFusion()


class TestReadsAbsentSlot(Fusions):
    """absent_slots_may_hold_anything exact_absence no_gradient_flows_into_absent_slots: masked_fill a slot"""

    config = BadFusion(mistake="reads absent")


class TestMasksTooLate(Fusions):
    """absent_slots_may_hold_anything: masking what the layer gives is too late"""

    config = BadFusion(mistake="masks late")


class TestCountsAbsentStreams(Fusions):
    """exact_absence: absent instead of left out"""

    config = BadFusion(mistake="counts absent")


class TestLeaksPadding(Fusions):
    """padding_changes_nothing: use the mask"""

    config = BadFusion(mistake="leaks padding")


class TestUnusedParameter(Fusions):
    """gradients_reach_every_parameter halves_add_up_to_the_whole: no gradient: ['unused.weight'] - use it in forward"""

    config = BadFusion(mistake="unused")


class TestScalarParameter(Fusions):
    """no_parameter_is_a_scalar: parameters without a dimension: ['scale']"""

    config = BadFusion(mistake="scalar")


class TestRandomInEval(Fusions):
    """eval_is_deterministic: draw random numbers only where self.training"""

    config = BadFusion(mistake="random")


class TestNaNWhereNothingIs(Fusions):
    """rows_without_any_stream_stay_finite bfloat16 a_row_is_there_where_streams_are: mask before a softmax"""

    config = BadFusion(mistake="nan")


class TestPooledOfWrongShape(Fusions):
    """shapes_and_masks it_learns_xor: pooled have the shape"""

    config = BadFusion(mistake="pooled")


class TestMaskOfWrongType(Fusions):
    """shapes_and_masks: mask is torch.float32: make it bool"""

    config = BadFusion(mistake="mask")


class TestWritesIntoInputs(Fusions):
    """inputs_stay_as_they_are exact_absence: do not write into inputs"""

    config = BadFusion(mistake="writes")


class TestWrongNumberOfParameters(Fusions):
    """the_number_of_parameters_is_declared: mend the formula"""

    config = BadFusion(mistake="parameters")


class TestSaysThatItFuses(Fusions):
    """it_learns_xor: set fuses = False"""

    config = BadFusion()
    fuses = True


class TestBatchNorm(Fusions):
    """there_is_no_batch_norm: use GroupNorm or LayerNorm"""

    config = BadFusion(mistake="batch norm")


class TestDependsOnNeighbours(Fusions):
    """a_batch_of_one halves_add_up_to_the_whole: rows must not depend on one another"""

    config = BadFusion(mistake="neighbours")


class TestForgetsABuffer(Fusions):
    """weights_survive_safetensors exact_absence: keep what it depends on in a parameter or a buffer"""

    config = BadFusion(mistake="forgets")


class TestPresentWithoutStreams(Fusions):
    """a_row_is_there_where_streams_are: it is absent"""

    config = BadFusion(mistake="always there")


class TestClaimsAnyOrder(Fusions):
    """any_order_of_streams_gives_the_same: find streams by name, or set order = 'config'"""

    config = BadFusion()
    sources: ClassVar = {"words": Source(5, 5), "image": Source(5, 5)}
    order = "any"


class TestWeightsThatCannotBeCarriedOver(Fusions):
    """exact_absence: override `without`, or say why that cannot be"""

    config = BadFusion(mistake="tangled")


class TestWeightsThatCannotBeCarriedOverWithReason(Fusions):
    """none"""

    config = BadFusion(mistake="tangled")
    no_transfer = "its weights belong to pairs of streams"


class TestOverrides(Fusions):
    """no_promise_is_overridden: ['test_bfloat16'] replace promises"""

    config = BadFusion()

    def test_bfloat16(self) -> None:
        pass


class TestOverridesWithReason(Fusions):
    """none"""

    config = BadFusion(mistake="batch norm")

    @pytest.mark.xfail(reason="it is a test")
    def test_there_is_no_batch_norm(self) -> None:
        super().test_there_is_no_batch_norm()


class NoDocstring(BadFusion):
    type: Literal["bad.bare"] = "bad.bare"  # type: ignore[assignment]


class TestNoDocstring(Fusions):
    """there_is_a_docstring: say in a line what it is"""

    config = NoDocstring()


class TestHeavyDeclaration(Fusions):
    """the_declaration_imports_no_torch: move that import into build()"""

    config = HeavyConfig()


class BadDecision(DecisionConfig):
    """A sound mean of values, until something is done to it."""

    type: Literal["bad.decision"] = "bad.decision"
    mistake: str = ""

    def parameters(self, sources: Any) -> int | None:
        return 0

    def build(self, sources: Any) -> Any:
        from tests.testing import bad_modules

        return bad_modules.decision(sources, self.mistake)


class TestSoundDecision(DecisionContract):
    """none"""

    config = BadDecision()
    spaces = ("values",)


class TestDecisionReadsAbsent(DecisionContract):
    """absent_scores_may_be_anything exact_absence: masked_fill scores"""

    config = BadDecision(mistake="reads absent")
    spaces = ("values",)


class TestDecisionTakesAnySpace(DecisionContract):
    """other_spaces_are_refused: DID NOT RAISE"""

    config = BadDecision(mistake="any space")
    spaces = ("values",)


class TestDecisionLeavesTheSpace(DecisionContract):
    """the_space_is_kept: probabilities do not sum to one"""

    config = BadDecision(mistake="any space")


class BadEncoder(EncoderConfig):
    """A sound mean of embeddings, until something is done to it."""

    type: Literal["bad.encoder"] = "bad.encoder"
    reads: ClassVar[tuple[str, ...]] = ("sequence",)
    mistake: str = ""

    def widths(self) -> tuple[int, int]:
        return (8, 9 if self.mistake == "widths" else 8)

    def build(self, format: Any) -> Any:
        from tests.testing import bad_modules

        return bad_modules.BadEncoder(format, self.mistake)


class BadModality(ModalityConfig):
    """A sound list of numbers, until something is done to it."""

    type: Literal["bad.modality"] = "bad.modality"
    gives: ClassVar[str] = "sequence"
    mistake: str = ""

    def build(self) -> Any:
        from tests.testing import bad_modules

        return bad_modules.BadModality(self.mistake)


class Encoders(EncoderContract):
    modality = BadModality()
    values = ([1.0, 2.0, 3.0], [4.0], [0.5, -1.0])


class TestSoundEncoder(Encoders):
    """none"""

    config = BadEncoder()


class TestEncoderOfWrongWidths(Encoders):
    """the_widths_are_declared: mend one of them"""

    config = BadEncoder(mistake="widths")


class TestEncoderLeaksPadding(Encoders):
    """padding_changes_nothing a_batch_of_one: use the mask"""

    config = BadEncoder(mistake="leaks padding")


class TestEncoderShowsAbsentRows(Encoders):
    """an_absent_value_is_masked: are not zeros"""

    config = BadEncoder(mistake="shows absent")


class TestEncoderNaN(Encoders):
    """an_absent_value_is_masked: not finite"""

    config = BadEncoder(mistake="nan")


class Modalities(ModalityContract):
    values = Encoders.values
    bad_values = ("text",)


class TestSoundModality(Modalities):
    """none"""

    config = BadModality()


class TestStateIsLost(Modalities):
    """the_state_comes_back: put all that fit() learns into state()"""

    config = BadModality(mistake="state")


class TestStateIsNoJson(Modalities):
    """the_state_comes_back: is not made of JSON values and tensors"""

    config = BadModality(mistake="set")


class TestAugmentsInPlace(Modalities):
    """augmentation_is_reproducible: make a new one"""

    config = BadModality(mistake="in place")


class TestDamagesInPlace(Modalities):
    """corruptions_are_reproducible: make a new one"""

    config = BadModality(mistake="damages in place")


class TestDamagesByItsOwnChance(Modalities):
    """corruptions_are_reproducible: draw every random number from `rng`"""

    config = BadModality(mistake="own chance")


class TestDamagesNothing(Modalities):
    """corruptions_are_reproducible: changes nothing"""

    config = BadModality(mistake="harmless")


class TestRandomPrepare(Modalities):
    """preparing_is_pure a_batch_of_one the_state_comes_back a_copy_does_the_same: leave what is random to augment"""

    config = BadModality(mistake="random")


class TestOtherErrors(Modalities):
    """bad_values_are_refused: raises ValueError: raise DecodeError instead"""

    config = BadModality(mistake="errors")


class TestWrongKeys(Modalities):
    """batches_have_the_keys_of_their_kind: kind 'sequence' consists of"""

    config = BadModality(mistake="double")


class TestWrongLength(Modalities):
    """masks_begin_with_the_value: length() says"""

    config = BadModality(mistake="length")


class BadHead(HeadConfig):
    """A sound regression, until something is done to it."""

    type: Literal["bad.head"] = "bad.head"
    scoring: ClassVar[bool] = True
    target_modality: ClassVar[str | None] = "number"
    mistake: str = ""

    def build(self, sources: Any, target: Any) -> Any:
        from tests.testing import bad_modules

        return bad_modules.BadHead(sources, self.mistake)


class Heads(HeadContract):
    values = (3, 5.5, 10)


class TestSoundHead(Heads):
    """none"""

    config = BadHead(target="y")


class TestHeadGivesMeans(Heads):
    """the_loss_is_a_sum halves_add_up_to_the_whole two_processes nothing_that_counts: give a sum"""

    config = BadHead(target="y", mistake="mean")


class TestHeadCountsUnknown(Heads):
    """rows_that_do_not_count nothing_that_counts: use present & target['present']"""

    config = BadHead(target="y", mistake="counts unknown")


class TestHeadKeepsMetrics(Heads):
    """metrics: is 0.0 where nothing was seen: give NaN"""

    config = BadHead(target="y", mistake="metrics")


class TestHeadIsTooSure(Heads):
    """predictions: they lie in 0..1"""

    config = BadHead(target="y", mistake="confidence")


class TestPluginThatIsNotInstalled(PluginContract):
    """it_loads importing_it_imports_no_torch every_component_says_what_it_is every_component_has_a_schema every_component_can_be_found: no plugin 'nowhere'"""  # noqa: E501

    prefix = "nowhere"
