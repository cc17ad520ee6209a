"""Shipping: from a trained adapter to a model people run. Merging, converting, quantizing, parity checks, deployment.

Each step stores an artifact; a rerun skips the finished ones. Every deployment ends with a smoke test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, Literal

from afs import plugins
from afs.config import Config
from afs.errors import DataError, UsageError
from afs.registry import Registry
from afs.registry.deploy_gate import HOSTS, refuse_ungated
from afs.runs import Run
from afs.types import Artifact

__all__ = ["ShipConfig", "ship"]


class ShipConfig(Config, frozen=True, kw_only=True):
    """Ship a stored model: merge, convert, quantize, check parity, deploy, smoke-test."""

    positional: ClassVar[tuple[str, ...]] = ("artifact",)
    artifact: str
    """Model to ship: an artifact (`din@3`) or a registered name (`din`, `din:candidate`)."""
    to: str = "gguf"
    """Where to: merged, gguf, ollama, lmstudio, llama, mlx, hf."""
    quant: Literal["F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"] = "Q4_K_M"
    """Kind of GGUF."""
    adapter: Literal["auto", "lora", "merged"] = "auto"
    """How an adapter becomes GGUF: beside its base (`lora`) or merged; auto: what the target can use."""
    name: str = ""
    """Name of the artifact to make, or of the deployed model; empty: derived."""
    base: str = ""
    """Base model of an adapter: an artifact or a folder; empty: as it was trained. Its tensors are checked."""
    base_weights: Literal["auto", "clean", "dequantized"] = "auto"
    """Base to merge into: the original, or the 4-bit base as QLoRA saw it; auto: as it was trained."""
    dtype: Literal["auto", "bf16", "f16", "f32"] = "auto"
    """Number format of merged weights; auto: that of the base; f16 for the 4-bit base (bf16 is too coarse)."""
    importance: str = ""
    """Dataset whose prompts weigh the columns when quantizing (an importance matrix)."""
    parity: bool = True
    """Compare the result with its source, and fail beyond the bounds."""
    max_kl: float = 0.0
    """Largest mean KL divergence from the source, in nats; 0: the default bound of the kind."""
    system: str = ""
    """System prompt of the deployed model; empty: the registered expert's."""
    temperature: float | None = None
    """Temperature of the deployed model; none: the registered expert's."""
    context: int = 4096
    """Tokens of context of the deployed model."""
    host: str = ""
    """Address of Ollama or LM Studio; empty: the usual one on this machine."""
    folder: str = ""
    """Folder to write to (llama, mlx, hf), or LM Studio's models folder; empty: inside the workspace."""
    reason: str = ""
    """Deploy to a host without a passing gate, for this reason, which is recorded."""
    converter: str = ""
    """llama.cpp's convert_hf_to_gguf.py, for architectures that are not known here."""

    def late_needs(self) -> Iterator[tuple[str, str]]:
        """llama.cpp runs what was made: for parity, and for the self-test of a preset."""
        if self.to == "llama" or (self.parity and self.to in ("gguf", "ollama", "lmstudio")):
            yield "package", "xllamacpp"


def ship(config: ShipConfig, run: Run) -> Artifact:
    """Ship by the exporter named in `to`; the artifact that runs there."""
    if config.to not in plugins.list_names("exporter"):
        raise UsageError(
            f"--to: no target is called {config.to!r}{plugins.suggest_name(config.to, plugins.list_names('exporter'))}"
        )
    if config.to in HOSTS:
        refuse_ungated(run.workspace, Registry(run.workspace).resolve(config.artifact), config.reason)
    exporter = plugins.PluginTable[Callable[[ShipConfig, Run], Artifact]]("exporter").find(config.to)
    try:
        return exporter(config, run)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        raise DataError(f"{what}; nothing was stored or deployed; fix it and rerun the same command") from error
