"""Networks on tensors without memory: how many bytes would live at the peak, how many FLOP they take.

Works on real tensors as well, which is how the test knows that the numbers are right.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count
from torch.utils.weak import WeakIdKeyDictionary

from svp.diffusion.attention import place_code

# torch has formulas for the GPU's variants of fused attention only; theirs hold here too
CPU_ATTENTION: dict[Any, Callable[..., int]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v: sdpa_flop_count(q, k, v),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda grad, q, k, v, *_: sdpa_backward_flop_count(grad, q, k, v)
    ),
}


@dataclass(frozen=True)
class StepCost:
    """What one forward and backward take.

    Attributes:
        flop: multiplications and additions of matrix products, convolutions and attention.
        activation_bytes: most bytes that live at once beside weights and gradients.
    """

    flop: int
    activation_bytes: int


class StepMeter(TorchDispatchMode):
    """Counts FLOP by torch's formulas and follows the storages that operations make until they are freed.

    torch's own `FlopCounterMode` cannot run beside it: its hooks keep activations alive that checkpointing lets go.

    Args:
        existing: tensors that are there already and do not count.
    """

    def __init__(self, existing: list[Tensor]) -> None:
        super().__init__()
        self.flop = self.live = self.peak = 0
        self._known = WeakIdKeyDictionary({tensor.untyped_storage(): True for tensor in existing})

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.prim.device.default:  # autograd asks tensors without memory twice per operation
            return args[0].fake_device
        result = func(*args, **(kwargs or {}))
        operation = func._overloadpacket
        if operation in CPU_ATTENTION:
            self.flop += CPU_ATTENTION[operation](*(a.shape for a in args if isinstance(a, Tensor)))
        elif operation in flop_registry:
            self.flop += flop_registry[operation](*args, **(kwargs or {}), out_val=result)
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._follow(tensor.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known[storage] = True
        weakref.finalize(storage, self._free, size)
        self.live += size
        self.peak = max(self.peak, self.live)

    def _free(self, size: int) -> None:
        self.live -= size


@contextmanager
def without_memory(module: nn.Module) -> Iterator[nn.Module]:
    """The module with tensors that only know shape, type and device; it stays so.

    They claim to be a CPU's, not `meta`: attention then runs as one fused operation, as it will, and not as a product
    that holds all its scores.
    """
    place_code.cache_clear()  # what it kept of an earlier run would not be counted
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield module._apply(_shape_alone)  # `to_empty` would make one more for each tensor that is there
    finally:
        place_code.cache_clear()  # it kept what was computed without values


def _shape_alone(there: Tensor) -> Tensor:
    return torch.empty_strided(there.size(), there.stride(), dtype=there.dtype, device="cpu")


def measure_step(objective: nn.Module, batch: dict[str, Tensor], *, bf16: bool) -> StepCost:
    """Run forward and backward once, with gradients already there.

    Args:
        objective: its forward gives (loss, figures).
        batch: what it takes.
        bf16: run the forward under autocast.
    """
    for parameter in objective.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in objective.parameters() if p.grad is not None]
    held = [*objective.parameters(), *objective.buffers(), *gradients, *batch.values()]
    with StepMeter(held) as meter:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss, _ = objective(batch)
        loss.backward()
        del loss
    return StepCost(meter.flop, meter.peak)
