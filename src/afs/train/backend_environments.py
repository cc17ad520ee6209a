"""Separate environments for back ends whose dependencies conflict with ours, and how back ends differ.

`afs doctor` shows it: one row per back end with its differences from the reference and the command that installs it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from afs.domains.base import Part
from afs.errors import MissingError

PINS = {"unsloth": "unsloth==2026.10.9", "mlx": "mlx-lm==0.32.2"}
"""Versions our calls were checked against."""
SFT = ("lora", "qlora", "lora8", "full")


def environment_folder(name: str) -> Path:
    """Where the environment of a back end lies when the config does not say."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "afs" / "environments" / name


def environment_python(name: str, environment: str, package: str) -> str:
    """The interpreter a back end runs in: the named environment's, its own, or this one when the package is here."""
    if not environment and importlib.util.find_spec(package) is not None:
        return ""
    folder = Path(environment) if environment else environment_folder(name)
    for place in ("bin/python", "Scripts/python.exe"):
        if (folder / place).is_file():
            return str(folder / place)
    raise MissingError(f"{name} has no environment at {folder}: {install_command(name, folder)}")


def install_command(name: str, folder: Path | None = None) -> str:
    """What makes the environment."""
    where = folder or environment_folder(name)
    extra = " 'mlx[cpu]'" if name == "mlx" and os.uname().sysname == "Linux" else ""
    return f"python3 -m venv {where} && {where}/bin/pip install afs-factory {PINS[name]}{extra}"


def parts() -> Iterator[Part]:
    """The back ends, for `afs doctor`."""
    has_gpu = shutil.which("nvidia-smi") is not None
    yield describe_here("trainer hf", ("torch", "transformers", "peft"), "reference: all methods, packing, any device")
    yield describe_here(
        "trainer trl", ("trl",), "lora, qlora, lora8, full; TRL's loss on the last answer only; no packing"
    )
    liger = importlib.util.find_spec("liger_kernel") is not None
    yield Part(
        name="kernels liger",
        state="ok" if liger and has_gpu else "missing",
        detail="fused norms, rotary embedding and SwiGLU under hf; used when a trial step is faster with them"
        + ("" if has_gpu else "; needs an NVIDIA GPU"),
        remedy="pip install liger-kernel==0.8.5",
    )
    yield describe_environment(
        "unsloth",
        "lora, qlora, lora8, full; its own loss and kernels; no packing, NEFTune, DoRA, preferences or GRPO",
        "" if has_gpu else "needs a GPU: see `afs plan`, then run the same command on a rented one",
    )
    yield describe_environment(
        "mlx",
        "lora, qlora (its own 4 bits, not NF4); whole logits; no packing, NEFTune, DoRA, preferences or GRPO",
        "",
    )
    yield Part(name="trainer toy", state="ok", detail="a table of byte pairs without torch, for tests: scratch only")


def describe_here(name: str, packages: tuple[str, ...], detail: str) -> Part:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    remedy = "pip install torch==2.13.0 && pip install 'afs-factory[train]'"
    if missing:
        return Part(name=name, state="missing", detail=f"lacks {', '.join(missing)}; {detail}", remedy=remedy)
    return Part(name=name, state="ok", detail=detail)


def describe_environment(name: str, detail: str, lacks: str) -> Part:
    try:
        where = environment_python(name, "", {"unsloth": "unsloth", "mlx": "mlx_lm"}[name]) or "this environment"
    except MissingError:
        text = f"{detail}; {lacks}" if lacks else detail
        return Part(name=f"trainer {name}", state="missing", detail=text, remedy=install_command(name))
    text = f"in {where}: {detail}"
    return Part(name=f"trainer {name}", state="weak" if lacks else "ok", detail=text, remedy=lacks)
