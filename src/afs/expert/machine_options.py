"""What an expert can be made with here: the card, the keys of teachers, the base and how it can be trained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from afs import artifacts
from afs.doctor import KEYS
from afs.models import is_hub_id, is_model_folder
from afs.train.device_monitor import this_machine
from afs.types import Value
from afs.workspace import Workspace

SCRATCH = "scratch"
"""No base: a tiny model that starts from nothing and shows the pipeline, not a useful expert."""
_GPU_BASES = ((20.0, "Qwen/Qwen2.5-Coder-14B-Instruct"), (7.0, "Qwen/Qwen2.5-Coder-7B-Instruct"))
"""Least GiB of the card -> a base that QLoRA fits there."""
_SMALL_GPU_BASE = "Qwen/Qwen2.5-Coder-1.5B-Instruct"


class Machine(Value, frozen=True, kw_only=True):
    """What this machine offers."""

    device: str
    memory_gib: float
    cores: int
    keys: tuple[str, ...]
    base: str
    """A stored base, a folder or a hub id; `scratch` where there is none."""
    method: Literal["lora", "qlora", "scratch"]
    why_base: str

    @property
    def has_gpu(self) -> bool:
        """Whether there is a card."""
        return self.device != "cpu"


def look_around(workspace: Workspace, wanted: str = "") -> Machine:
    """The machine, and the base: the one asked for, one that is stored, or one for the card."""
    name, card = this_machine()
    base, why = _choose_base(workspace, wanted, card.memory if name != "cpu" else 0.0)
    return Machine(
        device=name,
        memory_gib=card.memory,
        cores=len(os.sched_getaffinity(0)),
        keys=tuple(sorted(key for key in KEYS if os.environ.get(key))),
        base=base,
        method="scratch" if base == SCRATCH else "lora" if name == "cpu" else "qlora",
        why_base=why,
    )


def _choose_base(workspace: Workspace, wanted: str, card_gib: float) -> tuple[str, str]:
    if wanted:
        if wanted != SCRATCH and not is_model_folder(wanted) and not is_hub_id(wanted):
            wanted = artifacts.load(workspace, wanted).ref
        return (str(Path(wanted).resolve()) if is_model_folder(wanted) else wanted), "asked for"
    stored = [artifacts.load(workspace, name) for name in workspace.names("artifact")]
    bases = [one for one in stored if one.form == "base" and one.facts.get("imported")]
    if bases:
        return max(bases, key=lambda one: int(str(one.facts.get("parameters", 0)))).ref, "stored in this workspace"
    if card_gib:
        fitting = next((base for least, base in _GPU_BASES if card_gib >= least), _SMALL_GPU_BASE)
        return fitting, f"fits a card of {card_gib:g} GiB with QLoRA; it is downloaded from the Hub"
    return SCRATCH, "no base is stored here; `afs doctor --fix smollm2` gets one (93 MB), then run this again"
