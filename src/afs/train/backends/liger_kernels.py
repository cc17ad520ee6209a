"""Liger's fused kernels under the reference back end: norms, rotary embedding and SwiGLU in one pass each, on a GPU.

Head and loss stay ours: only learned positions reach the head, in chunks. Whether the kernels are used is measured.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch

from afs import plugins
from afs.errors import ConfigError, MissingError
from afs.train.backends.library_arguments import accepted_names
from afs.train.backends.token_loss import unwrap_compiled
from afs.train.settings import TrainConfig

WANTED = {
    "rope": True,
    "rms_norm": True,
    "swiglu": True,
    "cross_entropy": False,
    "fused_linear_cross_entropy": False,
}
"""What is asked of liger."""
_FUNCTIONS = "liger_kernel.transformers.monkey_patch:MODEL_TYPE_TO_APPLY_LIGER_FN"


def can_run(device: str) -> bool:
    """Whether liger is installed and its Triton kernels can run."""
    return device.startswith("cuda") and importlib.util.find_spec("liger_kernel") is not None


def refuse(config: TrainConfig, device: str) -> None:
    """Kernels that were asked for by name and cannot be had."""
    if config.kernels != "liger":
        return
    if importlib.util.find_spec("liger_kernel") is None:
        raise MissingError("kernels = liger needs liger-kernel: pip install liger-kernel==0.8.5")
    if not device.startswith("cuda"):
        raise ConfigError("kernels", "Liger's Triton kernels need an NVIDIA GPU; use auto or none")


def patch_model(model: torch.nn.Module) -> bool:
    """Patch a model in place; False for an architecture liger does not know."""
    inner = unwrap_compiled(model)
    table = plugins.Late[dict[str, Callable[..., None]]](_FUNCTIONS).load()
    apply = table.get(str(inner.config.model_type))
    if apply is None:
        return False
    known = accepted_names(apply)
    apply(model=inner, **{name: value for name, value in WANTED.items() if name in known})
    return True
