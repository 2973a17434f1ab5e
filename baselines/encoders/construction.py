"""Networks of the transformers package, built from a config in code and nothing else.

Nothing is downloaded, and no weights are drawn only to be overwritten by a checkpoint: for CLAP's
200 M parameters that would take seconds, and it would move the global random generator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import nn

Network = TypeVar("Network", bound="nn.Module")

# By name: torch.nn.init, its copy in transformers and the tensors' own methods share them.
_DRAWS = {"normal_", "uniform_", "trunc_normal_"} | {
    f"{rule}_{shape}_" for rule in ("kaiming", "xavier") for shape in ("normal", "uniform")
}


def without_draws(build: Callable[[], Network]) -> Network:
    """A network on the CPU in eval mode, its drawn parameters left as memory happened to be.

    Buffers such as position indexes hold their values. Fit a checkpoint before use: `fit` refuses
    one that leaves a parameter out.

    Args:
        build: makes the network; called once.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class WithoutDraws(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            named = kwargs or {}
            if getattr(func, "__name__", "") in _DRAWS:
                return args[0] if args else named["tensor"]
            return func(*args, **named)

    with WithoutDraws(), torch.no_grad():
        network = build()
    return network.eval()
