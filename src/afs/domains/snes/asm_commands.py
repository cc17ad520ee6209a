"""The pack's commands `asm` and `patch`: source -> ROM, patch file, symbols, listing; patch file -> ROM."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Literal

from msgspec.structs import replace

from afs import jsonl
from afs.config import Config
from afs.domains.snes.asm import TRUSTED, AsmError, Assembly, assemble
from afs.domains.snes.asm.symbol_output import label_file, listing, symbol_file
from afs.domains.snes.patch_files import apply_patch, make_bps, make_ips
from afs.domains.snes.rom import MAX_SIZE, detect_mapper, read_header, strip_copier_header
from afs.errors import DataError, UsageError
from afs.types import Value

_SYMBOLS: Final = {".sym": symbol_file, ".mlb": label_file}
_SUFFIX: Final = {"wla": ".sym", "mesen": ".mlb"}
_SHOWN = 32
"""Bytes of a block shown when nothing is written."""


class AsmConfig(Config, frozen=True, kw_only=True):
    """What to assemble, and what to write."""

    positional: ClassVar[tuple[str, ...]] = ("file", "target")
    short: ClassVar[dict[str, str]] = {"o": "output", "I": "include", "D": "define"}

    file: Path
    """Source, in Asar's dialect."""
    target: Path | None = None
    """ROM to patch in place, created if there is none; untouched when the source has errors."""
    output: Path | None = None
    """ROM to write."""
    rom: Path | None = None
    """ROM to patch; without it a new one is created."""
    include: tuple[Path, ...] = ()
    """More folders to search for included files; nothing outside of these and the source's project is read."""
    define: dict[str, str] = {}
    """Defines, `name=value`."""
    origin: str = ""
    """Hex address of code before the first org."""
    sym: Path | None = None
    """Symbols to write for emulators: Mesen's labels when the name ends in `.mlb`, else WLA's."""
    symbols: Literal["none", "wla", "mesen"] = "none"
    """Write symbols beside the ROM, with its name."""
    listing: Path | None = None
    """Listing to write: address, bytes, source."""
    ips: Path | None = None
    """IPS patch to write, from the base ROM to the new one."""
    bps: Path | None = None
    """BPS patch to write."""
    strict: bool = False
    """Reject what Asar silently accepts: values that do not fit, branches to bare numbers, lost banks …"""
    checksum: bool = True
    """Write the correct checksum to the ROM's header."""


class AsmResult(Value, frozen=True, kw_only=True):
    """The result of an assembly."""

    mapper: str
    bytes: int
    """Bytes written by the source."""
    rom_size: int
    blocks: tuple[str, ...]
    """`address: bytes`, long ones cut."""
    labels: dict[str, str] = {}
    prints: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """Files written."""
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """For a terminal: prints, warnings, then a summary."""
        count = f"{len(self.blocks)} block{'s' if len(self.blocks) != 1 else ''}"
        made = f"{self.bytes} bytes in {count}, {len(self.labels)} labels, {self.mapper}, ROM of {self.rom_size} bytes"
        shown = () if self.files else self.blocks
        return "\n".join([*self.prints, *self.warnings, *self.notes, *shown, made, *(f"wrote {f}" for f in self.files)])


def asm(config: AsmConfig) -> AsmResult:
    """Assemble a file."""
    config = _resolve_places(config)
    copier, base = b"", b""
    notes: tuple[str, ...] = ()
    if config.rom is not None:
        copier, base = strip_copier_header(_read(config.rom, "ROM"))
        notes = _notes(config.rom, copier, base)
    try:
        done = _assemble(config, base)
    except AsmError as error:
        raise DataError("\n".join(str(message) for message in error.messages)) from error
    rom = done.rom if config.checksum else done.image
    blocks = tuple(f"${b.address:06X}: {_hex(b.data)}" for b in done.blocks)
    return AsmResult(
        mapper=done.mapper,
        bytes=sum(len(block.data) for block in done.blocks),
        rom_size=len(rom),
        blocks=blocks,
        labels={name: f"${address:06X}" for name, address in done.labels.items()},
        prints=done.prints,
        warnings=tuple(warning.head() for warning in done.warnings),
        files=_write(config, done, copier, base, rom),
        notes=notes,
    )


def _assemble(config: AsmConfig, base: bytes) -> Assembly:
    return assemble(
        _read(config.file, "source"),
        origin=_origin(config.origin),
        rom=base,
        include_dirs=(config.file.parent, *config.include),
        allowed_dirs=(project_folder(config.file),),
        defines=config.define,
        strict=config.strict,
        limits=TRUSTED,
        file=str(config.file),
    )


def _resolve_places(config: AsmConfig) -> AsmConfig:
    """The same config with `target` and `symbols` spelled out as what to read and what to write."""
    rom, output, sym = config.rom, config.output, config.sym
    if config.target is not None:
        if rom is not None or output is not None:
            raise UsageError("asm: want either a ROM to patch in place, or --rom and -o")
        rom, output = config.target if config.target.exists() else None, config.target
    if config.symbols != "none" and sym is None:
        beside = output or config.file
        sym = beside.with_suffix(_SUFFIX[config.symbols])
    return replace(config, rom=rom, output=output, sym=sym)


def project_folder(source: Path) -> Path:
    """What a source may read with `../`: its repository, or the folder above its own."""
    folder = source.resolve().parent
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder.parent)


def _hex(data: bytes) -> str:
    text = data[:_SHOWN].hex(" ").upper()
    return text if len(data) <= _SHOWN else f"{text} … {len(data)} bytes"


def _origin(text: str) -> int | None:
    if not text:
        return None
    digits = text.removeprefix("$").removeprefix("0x").replace(":", "")
    try:
        address = int(digits, 16)
    except ValueError:
        address = -1
    if not 0 <= address <= 0xFFFFFF:
        raise UsageError(f"--origin: want a hex address such as 808000, got {text!r}")
    return address


def _notes(path: Path, copier: bytes, rom: bytes) -> tuple[str, ...]:
    notes = []
    if copier:
        notes.append(f"{path}: a copier header of {len(copier)} bytes is kept in front of the ROM")
    if len(rom) % 0x8000:
        notes.append(f"{path}: odd size, {len(rom)} bytes are no multiple of 32 KiB")
    if len(rom) >= 0x8000 and detect_mapper(rom)[1] and not read_header(rom).checksum_ok:
        notes.append(f"{path}: the checksum in its header is wrong")
    return tuple(notes)


def _write(config: AsmConfig, done: Assembly, copier: bytes, base: bytes, rom: bytes) -> tuple[str, ...]:
    """Write the requested files; returns their names."""
    wanted: list[tuple[Path, bytes]] = []
    if config.output is not None:
        wanted.append((config.output, copier + rom))
    if config.ips is not None:
        wanted.append((config.ips, make_ips(base, rom)))
    if config.bps is not None:
        wanted.append((config.bps, make_bps(base, rom)))
    if config.sym is not None:
        write_symbols = _SYMBOLS.get(config.sym.suffix.lower(), symbol_file)
        wanted.append((config.sym, write_symbols(done).encode()))
    if config.listing is not None:
        wanted.append((config.listing, listing(done).encode()))
    for path, content in wanted:
        _save(path, content)
    return tuple(str(path) for path, _ in wanted)


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
    copier, base = strip_copier_header(_read(config.rom, "ROM"))
    if config.to is not None:
        target = strip_copier_header(_read(config.to, "ROM"))[1]
        made = make_bps(base, target) if config.patch.suffix.lower() == ".bps" else make_ips(base, target)
        _save(config.patch, made)
        return PatchResult(file=str(config.patch), bytes=len(made))
    if config.output is None:
        raise UsageError("patch: want -o ROM to write, or --to ROM to make the patch")
    content = copier + apply_patch(_read(config.patch, "patch"), base)
    _save(config.output, content)
    return PatchResult(file=str(config.output), bytes=len(content))


def _save(path: Path, content: bytes) -> None:
    try:
        jsonl.replace(path, content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error


def _read(path: Path, what: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > 4 * MAX_SIZE:
            raise DataError(f"{path}: {size} bytes is too large for a {what}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read the {what}: {error.strerror}") from error
