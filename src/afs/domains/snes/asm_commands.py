"""The pack's commands `asm` and `patch`: their config classes and results; `asm_files` assembles."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from afs.config import Config, config_class, result_class
from afs.domains.snes.file_assembler import COMMAND, AsmOptions, AsmResult, assemble_file, read_file, save_file
from afs.domains.snes.patch_files import apply_patch, make_bps, make_ips
from afs.domains.snes.rom import strip_copier_header
from afs.errors import UsageError
from afs.types import Value

AsmConfig = config_class("AsmConfig", COMMAND)
_Assembled = result_class("Assembled", AsmResult)


def asm(config: Config) -> Value:
    """Assemble a file."""
    options = AsmOptions(**{name: getattr(config, name) for name in AsmOptions._fields})
    return _Assembled(**assemble_file(options)._asdict())


class PatchConfig(Config, frozen=True, kw_only=True):
    """A patch to apply, or two ROMs to create one from."""

    positional: ClassVar[tuple[str, ...]] = ("patch",)
    short: ClassVar[dict[str, str]] = {"o": "output"}

    patch: Path
    """IPS or BPS file to apply; with --to, the file to create (its extension chooses the format)."""
    rom: Path
    """The ROM before the patch."""
    to: Path | None = None
    """The ROM after the patch; creates the patch."""
    output: Path | None = None
    """ROM to write when applying."""


class PatchResult(Value, frozen=True, kw_only=True):
    """What was written."""

    file: str
    bytes: int


def patch(config: PatchConfig) -> PatchResult:
    """Apply or create a patch file."""
    copier, base = strip_copier_header(read_file(config.rom, "ROM"))
    if config.to is not None:
        target = strip_copier_header(read_file(config.to, "ROM"))[1]
        made = make_bps(base, target) if config.patch.suffix.lower() == ".bps" else make_ips(base, target)
        save_file(config.patch, made)
        return PatchResult(file=str(config.patch), bytes=len(made))
    if config.output is None:
        raise UsageError("patch: want -o ROM to write, or --to ROM to make the patch")
    content = copier + apply_patch(read_file(config.patch, "patch"), base)
    save_file(config.output, content)
    return PatchResult(file=str(config.output), bytes=len(content))
