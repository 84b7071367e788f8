"""How processes hold a model together: each a copy of it, or each a share, `training.sharding`.

Shares are those of FSDP2 (Zhao et al., "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", 2023): a
process keeps 1/processes of each weight, of its gradient and of what the optimizer knows of it. A layer is put together
right before it is used, and taken apart after it; layers are those of `Encoder.blocks`, all else is one unit.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from mmsdk.errors import ConfigError
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.training.checkpoint import Checkpoints, Position, require_finite, restored
from mmsdk.training.shards import MODEL, OPTIMIZER, SHARDS, load_shards, names_in, save_shards

if TYPE_CHECKING:
    from accelerate import Accelerator

Optimizer = torch.optim.Optimizer


class Copies:
    """Each process has all weights; DistributedDataParallel averages gradients. Also where there is one process."""

    alike = False
    """Whether each process has to compute when one does."""

    def __init__(self, pipeline: Pipeline, accelerator: Accelerator) -> None:
        self.pipeline, self.accelerator = pipeline, accelerator

    def begin(self, checkpoints: Checkpoints, trained: Collection[str]) -> None:
        """Before the first stage of a new run. trained: the parameters that any stage trains."""
        if self.accelerator.is_main_process:
            checkpoints.frozen.write(self.pipeline, trained)

    def prepare(self, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        """What is called in the place of the pipeline, and of the optimizer, as long as a stage lasts."""
        model, prepared = self.accelerator.prepare(self.pipeline, optimizer)
        return model, prepared

    def adding_up(self, model: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Gradients of the parts of a batch stay in their process until the last one."""
        context: AbstractContextManager[None] = nullcontext() if last else self.accelerator.no_sync(model)
        return context

    def number(self, norm: Tensor) -> float:
        """The norm of all gradients."""
        return float(norm)

    def settle(self) -> None:
        """After the pipeline was called for something else than a step of training."""

    def save(self, checkpoints: Checkpoints, optimizer: Optimizer | None, position: Position) -> None:
        """Write a checkpoint. Called in all processes, as the others below.

        Raises:
            UnwritableError: it cannot be written, perhaps not in all processes.
            CheckpointError: weights are not finite.
        """
        if self.accelerator.is_main_process:
            checkpoints.save(self.pipeline, optimizer.state_dict() if optimizer is not None else None, position)

    def resume(self, checkpoints: Checkpoints, optimizer: Optimizer, path: Path) -> None:
        """Give a fresh optimizer the state that a checkpoint holds, whether it is one of shares or not."""
        if (path / SHARDS).is_dir():
            self._resume_from_shares(optimizer, path / SHARDS)
            return
        state = restored(optimizer.state_dict(), checkpoints.load_optimizer(path))
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for number, values in state["state"].items():
            state["state"][number] = {key: self._share(each, parameters[number]) for key, each in values.items()}
        optimizer.load_state_dict(state)

    def _resume_from_shares(self, optimizer: Optimizer, folder: Path) -> None:
        parameters, wanted = dict(self.pipeline.named_parameters()), dict[str, Tensor]()
        optimizer.state.clear()
        for name, shape in names_in(folder).items():
            if name.startswith(OPTIMIZER):
                owner, _, key = name.removeprefix(OPTIMIZER).rpartition(".")
                like = parameters[owner]
                wanted[name] = torch.zeros_like(like) if shape == like.shape else torch.zeros(shape, device=like.device)
                optimizer.state[like][key] = wanted[name]
        load_shards(wanted, folder)

    def _share(self, whole: Tensor, parameter: Tensor) -> Tensor:
        """What this process holds of a tensor that belongs to a parameter."""
        return whole

    def whole(self) -> Pipeline | None:
        """The pipeline in one piece, to be saved; None in processes other than the first. Called in all of them."""
        return self.pipeline


class Shares(Copies):
    """FSDP2, applied to the pipeline in place."""

    alike = True

    def __init__(self, pipeline: Pipeline, accelerator: Accelerator) -> None:
        super().__init__(pipeline, accelerator)
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard

        mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        layers = [layer for encoder in pipeline.encoders.values() for layer in encoder.blocks]
        for unit in [*dict.fromkeys(layers), pipeline]:  # streams may share an encoder
            unit.register_forward_hook(lambda module, given, output: _no_views(output))
            try:
                fully_shard(unit, mesh=mesh)
            except (ValueError, NotImplementedError) as error:
                raise ConfigError(f"training.sharding: {type(unit).__name__} cannot be divided: {error}") from None
        self.unit = cast(FSDPModule, pipeline)

    def begin(self, checkpoints: Checkpoints, trained: Collection[str]) -> None:
        """Checkpoints of shares hold all: each process writes but its own."""

    def prepare(self, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        model = self.accelerator.prepare_model(self.pipeline, device_placement=False, evaluation_mode=True)
        return model, self.accelerator.prepare_optimizer(optimizer, device_placement=False)

    @contextmanager
    def adding_up(self, model: nn.Module, last: bool) -> Iterator[None]:
        self.unit.set_requires_gradient_sync(last)
        yield

    def number(self, norm: Tensor) -> float:
        return float(_full(norm))

    def settle(self) -> None:
        """The unit that is not taken apart after each forward pass is, and the first process's buffers count."""
        self.unit.reshard()
        for buffer in self.pipeline.buffers():
            if buffer.is_floating_point():  # such as running means
                torch.distributed.broadcast(buffer, 0)

    def save(self, checkpoints: Checkpoints, optimizer: Optimizer | None, position: Position) -> None:
        tensors = {MODEL + name: each for name, each in self.pipeline.state_dict().items()}
        if optimizer is not None:
            for name, parameter in self.pipeline.named_parameters():
                state = optimizer.state.get(parameter, {})
                tensors |= {f"{OPTIMIZER}{name}.{key}": each for key, each in state.items()}

        where: list[Path | None] = [None]

        def write(aside: Path) -> None:
            where[0] = aside
            torch.distributed.broadcast_object_list(where)
            save_shards(tensors, aside / SHARDS)

        require_finite(self.pipeline, checkpoints.path(position.total))
        if self.accelerator.is_main_process:
            try:
                checkpoints.put(write, position)
            finally:
                if where[0] is None:  # there is no place to write to, and the others wait for one
                    torch.distributed.broadcast_object_list(where)
        else:
            torch.distributed.broadcast_object_list(where)
            if where[0] is not None:
                save_shards(tensors, where[0] / SHARDS)

    def _share(self, whole: Tensor, parameter: Tensor) -> Tensor:
        from torch.distributed.tensor import DTensor, distribute_tensor

        if not isinstance(parameter, DTensor) or whole.shape != parameter.shape:
            return whole
        whole = whole.to(parameter.device)
        return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)

    def whole(self) -> Pipeline | None:
        state: dict[str, Tensor] = {}
        for name, each in self.pipeline.state_dict().items():
            full = _full(each)
            if self.accelerator.is_main_process:
                state[name] = full.cpu()
        if not self.accelerator.is_main_process:
            return None
        pipeline = Pipeline(self.pipeline.config, self.pipeline.modalities)
        pipeline.load_state_dict(state)
        return pipeline


def _full(tensor: Tensor) -> Tensor:
    """The whole of a tensor that processes hold shares of. Called in all of them."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _no_views(output: Any) -> Any:
    """The same, with copies of tensors that are views: who writes into one would write FSDP's hook off."""
    if isinstance(output, Tensor):
        return output.clone() if output._is_view() else output
    if isinstance(output, Mapping):
        return {key: _no_views(each) for key, each in output.items()}
    if isinstance(output, tuple):
        parts = [_no_views(each) for each in output]
        return type(output)(*parts) if hasattr(output, "_fields") else tuple(parts)
    return output


def holding(pipeline: Pipeline, accelerator: Accelerator, sharding: str) -> Copies:
    """As `training.sharding` says; where there is one process, it has all.

    Raises:
        ConfigError: the launcher wants to divide the model, too.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in ("true", "1"):
        raise ConfigError("Accelerate was told to use FSDP: leave that out, and write 'training: {sharding: full}'")
    shared = sharding == "full" and accelerator.num_processes > 1
    return Shares(pipeline, accelerator) if shared else Copies(pipeline, accelerator)
