"""Operations without a deterministic implementation on a GPU, recognised on the CPU."""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

# Those that raise under `torch.use_deterministic_algorithms(True)` on CUDA, by its documentation.
NONDETERMINISTIC = {
    "_adaptive_avg_pool2d_backward",
    "_ctc_loss_backward",
    "adaptive_max_pool2d_backward",
    "fractional_max_pool2d_backward",
    "grid_sampler_2d_backward",
    "histc",
    "max_unpool2d",
    "nll_loss2d_forward",
    "put_",
    "reflection_pad2d_backward",
    "upsample_bicubic2d_backward",
    "upsample_bilinear2d_backward",
}


class OperationRecorder(TorchDispatchMode):
    """Records the names of all operations, those of backward passes included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func._schema.name.removeprefix("aten::"))
        return func(*args, **(kwargs or {}))
