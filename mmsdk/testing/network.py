"""What everything promises that has parameters: encoders, fusions and heads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from mmsdk.testing.contract import Contract
from mmsdk.testing.trees import changed, difference, not_finite, rows, tensors

BATCH_NORM = nn.modules.batchnorm._BatchNorm


class NetworkContract(Contract):
    """The base of the contracts of encoders, fusions, decision rules and heads.

    tolerance: how far two float32 results may be apart that are the same but for rounding. rough: the same for
    bfloat16. exports: whether `torch.export` takes it; tested where it is claimed.
    """

    tolerance: ClassVar[float] = 1e-5
    rough: ClassVar[float] = 0.1
    exports: ClassVar[bool] = False

    def arguments(self) -> tuple[Any, ...]:
        """What `config.build` is given."""
        raise NotImplementedError

    def given(self) -> Any:
        """A batch of inputs: mappings and tuples of tensors, batch first."""
        raise NotImplementedError

    @staticmethod
    def call(module: nn.Module, given: Any) -> dict[str, Tensor]:
        """All that the module gives for such inputs, by name."""
        raise NotImplementedError

    @staticmethod
    def objective(outputs: Mapping[str, Tensor], first_row: int = 0) -> Tensor:
        """A number that depends on every output; `first_row` is where these rows begin in the whole batch."""
        return weighted(outputs, first_row)

    def build(self, seed: int = 0) -> nn.Module:
        """The component, ready for prediction; the seed makes its weights."""
        torch.manual_seed(seed)
        config: Any = self.config
        return config.build(*self.arguments()).eval()  # type: ignore[no-any-return]

    def run(self, module: nn.Module, given: Any) -> dict[str, Tensor]:
        """`call`, with the same randomness each time, and on a copy of the inputs: each mistake shows in one place."""
        torch.manual_seed(0)
        return self.call(module, changed(given, torch.clone))

    def gradients(self, module: nn.Module, given: Any, first_row: int = 0) -> dict[str, Tensor | None]:
        """The gradient of `objective` by the module's parameters."""
        module.zero_grad()
        objective = self.objective(self.run(module, given), first_row)
        if objective.requires_grad:
            objective.backward()  # type: ignore[no-untyped-call]
        trained = {name: part for name, part in module.named_parameters() if part.requires_grad}
        return {name: None if part.grad is None else part.grad.clone() for name, part in trained.items()}

    def test_gradients_reach_every_parameter(self) -> None:
        """A parameter without a gradient learns nothing, and stops a training in several processes."""
        module = self.build().train()
        found = self.gradients(module, self.given())
        missing = [name for name, gradient in found.items() if gradient is None]
        assert not missing, f"no gradient: {missing} - use it in forward, or remove it"
        wrong = not_finite(found)
        assert not wrong, f"the gradient is not finite: {wrong}"
        zero = [name for name, gradient in found.items() if gradient is not None and not gradient.any()]
        assert not zero, f"the gradient is zero everywhere: {zero} - nothing depends on it; use it, or remove it"

    def test_no_parameter_is_a_scalar(self) -> None:
        """Sharded training (FSDP2) refuses parameters without a dimension."""
        found = [name for name, parameter in self.build().named_parameters() if parameter.dim() == 0]
        assert not found, f"parameters without a dimension: {found} - give them the shape [1]"

    def test_there_is_no_batch_norm(self) -> None:
        """Results must not depend on the neighbours in a batch, nor on the number of processes."""
        found = [name for name, module in self.build().named_modules() if isinstance(module, BATCH_NORM)]
        assert not found, f"BatchNorm: {found} - use GroupNorm or LayerNorm"

    def test_weights_survive_safetensors(self, tmp_path: Path) -> None:
        """Saved weights, loaded into a fresh module, give the same results bit for bit."""
        module, other = self.build(seed=0), self.build(seed=1)
        save_model(module, str(tmp_path / "model.safetensors"))
        load_model(other, str(tmp_path / "model.safetensors"))
        found = difference(self.run(other, self.given()), self.run(module, self.given()))
        assert not found, f"after loading, {found}: keep what it depends on in a parameter or a buffer"

    def test_eval_is_deterministic(self) -> None:
        """Outside training, the same inputs give the same results bit for bit."""
        module, given = self.build(), self.given()
        first, second = self.call(module, given), self.call(module, given)
        found = difference(first, second)
        assert not found, f"the second time, {found}: draw random numbers only where self.training is True"

    def test_inputs_stay_as_they_are(self) -> None:
        """Inputs are used again, by other heads and in caches."""
        given = self.given()
        before = changed(given, torch.clone)
        for module in (self.build(), self.build().train()):
            self.call(module, given)
            found = difference(given, before)
            assert not found, f"an input was changed: {found}: do not write into inputs"

    def test_bfloat16(self) -> None:
        """Under autocast results are finite and near those of float32, and so are gradients finite."""
        module, given = self.build(), self.given()
        exact = self.run(module, given)
        with torch.autocast("cpu", torch.bfloat16):
            rough = self.run(module, given)
            found = self.gradients(module, given)
        wrong = not_finite(rough) + not_finite(found)
        assert not wrong, f"not finite in bfloat16: {wrong} - compute what is delicate in float32"
        far = difference(rough, exact, self.rough)
        assert not far, f"in bfloat16 {far}: compute what is delicate in float32"

    def test_halves_add_up_to_the_whole(self) -> None:
        """Several processes have a share of each batch: their gradients add up, and none lacks a parameter's.

        A process that has no gradient of a parameter keeps the others waiting, so each parameter takes part in every
        batch, whatever is present.
        """
        module, (whole, first, second) = self.build(), self.halves()
        expected, parts = self.gradients(module, whole), []
        for half, start in ((first, 0), (second, _size(first))):
            parts.append(self.gradients(module, half, start))
            missing = [name for name, gradient in parts[-1].items() if gradient is None]
            assert not missing, f"half of the batch has no gradient: {missing} - use it whatever is present"
        total = {name: part + parts[1][name] for name, part in parts[0].items()}  # type: ignore[operator]
        far = difference(total, expected, 10 * self.tolerance)
        assert not far, f"the gradients of two halves do not add up: {far}: rows must not depend on one another"

    def halves(self) -> tuple[Any, Any, Any]:
        """The inputs, and their two halves."""
        given = self.given()
        half = _size(given) // 2
        return rows(given, 0, 2 * half), rows(given, 0, half), rows(given, half, 2 * half)

    def test_export(self) -> None:
        """`torch.export` takes it, and what comes out gives the same. Only where `exports = True`."""
        if not self.exports:
            pytest.skip("exports = False")
        module, given = self.build(), self.given()
        call = type(self).call

        class Called(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.module = module

            def forward(self, given: Any) -> dict[str, Tensor]:
                return call(self.module, given)

        exported = torch.export.export(Called(), (given,)).module()
        found = difference(exported(given), self.run(module, given), self.tolerance)
        assert not found, f"once exported, {found}: do not branch on the values of tensors"


def _size(given: Any) -> int:
    return len(next(tensor for _, tensor in tensors(given)))


def weighted(outputs: Mapping[str, Tensor], first_row: int = 0) -> Tensor:
    """The sum of all numbers that have a gradient, each with a weight of its own that depends on its place alone."""
    total = torch.zeros(())
    for tensor in outputs.values():
        if tensor.is_floating_point() and tensor.requires_grad:
            each = tensor[0].numel() if tensor.dim() else 0  # a sum over rows counts once, wherever they begin
            places = torch.arange(first_row * each, first_row * each + tensor.numel())
            total = total + (tensor.float() * (1.7 * places).cos().view(tensor.shape)).sum()
    return total
