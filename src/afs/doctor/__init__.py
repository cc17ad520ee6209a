"""`afs doctor`: a table of what this machine can do, and the command that installs what is missing.

It only reports; `--fix` installs, and only what needs no root.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from afs import plugins, process, sandbox
from afs.config import Config
from afs.domains.base import DOMAINS, Part
from afs.errors import AfsError, MissingError, UsageError
from afs.types import Value

__all__ = ["DoctorConfig", "DoctorReport", "doctor"]

MACHINE_PARTS = plugins.PluginTable[Callable[[], Iterator[Part]]]("machine")
KEYS = {
    "OPENAI_API_KEY": "OpenAI",
    "ANTHROPIC_API_KEY": "Anthropic",
    "GEMINI_API_KEY": "Gemini",
    "OPENROUTER_API_KEY": "OpenRouter",
}
_EXTRAS = {
    "train": ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes"),
    "gguf": ("gguf", "safetensors", "tokenizers"),
    "serve": ("starlette", "uvicorn", "xllamacpp"),
    "eval": ("inspect_ai", "sacrebleu", "PIL", "pyte"),
    "parquet": ("pyarrow",),
    "dashboard": ("starlette", "uvicorn"),
    "ray": ("ray",),
}
_PROGRAMS = {
    "cc": ("C compiler", "sudo apt-get install gcc"),
    "git": ("git", "sudo apt-get install git"),
    "chromium": ("Chromium for screenshots", "sudo apt-get install chromium"),
    "llama-quantize": ("llama.cpp's quantizer", "optional; afs quantizes to K-quants itself without it"),
    "ollama": ("Ollama", "https://ollama.com/download"),
    "lms": ("LM Studio", "https://lmstudio.ai"),
}
_PORTS = {"Ollama server": 11434, "LM Studio server": 1234}


class DoctorConfig(Config, frozen=True, kw_only=True):
    """Show what this machine can do."""

    positional: ClassVar[tuple[str, ...]] = ("parts",)

    parts: tuple[str, ...] = ()
    """Parts to check, by name; empty: all of them."""
    fix: bool = False
    """Install what can be installed without root; large downloads only by name (`afs doctor --fix smollm2`)."""


class DoctorReport(Value, frozen=True, kw_only=True):
    """The table of `afs doctor`."""

    parts: tuple[Part, ...]

    def text(self) -> str:
        """One line per part, with the command that fixes it below."""
        marks = {"ok": "✓", "weak": "~", "missing": "✗"}
        width = max(len(part.name) for part in self.parts)
        lines = []
        for part in self.parts:
            lines.append(f"{marks.get(part.state, '?')} {part.name:<{width}}  {part.detail}".rstrip())
            if part.state != "ok" and part.remedy:
                lines.append(f"  {'':<{width}}  → {part.remedy}")
        return "\n".join(lines)


def doctor(config: DoctorConfig) -> DoctorReport:
    """Check everything, or the named parts; with `fix`, install what can be installed and check again."""
    found = chosen_parts(config)
    if config.fix:
        for part in found:
            if part.fix and part.state != "ok" and (config.parts or not part.optional):
                plugins.Late[Callable[[], object]](part.fix).load()()
        found = chosen_parts(config)
    return DoctorReport(parts=found)


def chosen_parts(config: DoctorConfig) -> tuple[Part, ...]:
    """All parts, or those that are named."""
    found = tuple(_inspect_machine())
    known = [part.name for part in found]
    for name in config.parts:
        if name not in known:
            raise UsageError(f"no part is called {name!r}{plugins.suggest_name(name, known)}")
    return tuple(part for part in found if not config.parts or part.name in config.parts)


def _inspect_machine() -> Iterator[Part]:
    yield _python()
    yield _machine()
    yield _disk()
    yield _gpu()
    yield _sandbox()
    for name, (what, remedy) in _PROGRAMS.items():
        path = shutil.which(name)
        yield Part(name=what, state="ok" if path else "missing", detail=path or "not found", remedy=remedy)
    for extra, packages in _EXTRAS.items():
        yield _extra(extra, packages)
    for source in MACHINE_PARTS.list_names():
        yield from _parts_of(source)
    for what, port in _PORTS.items():
        answers = _listens(port)
        detail = f"answers on port {port}" if answers else f"nothing on port {port}"
        yield Part(
            name=what, state="ok" if answers else "missing", detail=detail, remedy="start it; only needed to ship there"
        )
    for key, provider in KEYS.items():
        is_set = bool(os.environ.get(key))
        detail = f"{key} is set" if is_set else f"{key} is not set"
        yield Part(
            name=f"key for {provider}", state="ok" if is_set else "missing", detail=detail, remedy=f"export {key}=…"
        )
    yield from _packs()


def _parts_of(source: str) -> Iterator[Part]:
    """The rows of a plug-in; one that needs an extra which is not installed says so in a row."""
    try:
        yield from MACHINE_PARTS.find(source)()
    except MissingError as error:
        yield Part(name=source, state="missing", detail=str(error), optional=True)


def _python() -> Part:
    version = platform.python_version()
    state = "ok" if sys.version_info >= (3, 11) else "missing"
    return Part(name="Python", state=state, detail=version, remedy="install Python 3.11 or newer")


def _machine() -> Part:
    cores = len(os.sched_getaffinity(0))
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Part(name="processor", state="ok", detail=f"{cores} cores, {total:.0f} GiB of memory, {platform.machine()}")


def _disk() -> Part:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    state = "ok" if free >= 10 else "weak"
    return Part(
        name="disk", state=state, detail=f"{free:.0f} GiB free here", remedy="free some space: a 7B model needs 40 GiB"
    )


def _gpu() -> Part:
    remedy = "without a GPU: tiny models here, larger ones on a rented GPU (see `afs plan`)"
    if not shutil.which("nvidia-smi"):
        return Part(name="GPU", state="missing", detail="no NVIDIA GPU found", remedy=remedy)
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    listing = process.run(query, timeout_s=10)
    if listing.code != 0:
        return Part(
            name="GPU", state="missing", detail=listing.err.decode(errors="replace").strip()[:80], remedy=remedy
        )
    return Part(name="GPU", state="ok", detail="; ".join(listing.out.decode().strip().splitlines()))


def _sandbox() -> Part:
    """What stands between foreign code and this machine; without it such code is not run."""
    walls = sandbox.available()
    reasons = "; ".join(f"{rung}: {reason}" for rung, reason in walls.missing.items())
    if walls.rung is None:
        detail = f"foreign code is not run, its checks answer unknown ({reasons})"
        return Part(name="sandbox", state="missing", detail=detail, remedy=walls.remedy)
    detail = f"{walls.layers} ({reasons})" if reasons else walls.layers
    return Part(name="sandbox", state="weak" if reasons else "ok", detail=detail, remedy=walls.remedy)


def _extra(extra: str, packages: tuple[str, ...]) -> Part:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    remedy = f"pip install 'afs-factory[{extra}]'"
    if extra == "train":
        remedy = f"pip install torch==2.13.0 && {remedy}"
    if missing:
        return Part(name=f"extra [{extra}]", state="missing", detail=f"missing: {', '.join(missing)}", remedy=remedy)
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    return Part(name=f"extra [{extra}]", state="ok", detail=versions)


def _version(name: str) -> str:
    distribution = {"PIL": "pillow"}.get(name, name)
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return True
    except OSError:
        return False


def _packs() -> Iterator[Part]:
    for name in plugins.list_names("domain"):
        try:
            pack = DOMAINS.find(name)
            yield Part(name=f"pack {name}", state="ok", detail=f"version {pack.version}, {len(pack.families)} families")
            if parts := getattr(pack, "parts", ""):
                yield from plugins.Late[Callable[[], Iterator[Part]]](parts).load()()
        except AfsError as error:
            yield Part(name=f"pack {name}", state="missing", detail=str(error))
