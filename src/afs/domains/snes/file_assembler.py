"""Assembles a file: source -> ROM, patch file, symbols, listing. It must start fast: nothing slow is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, NamedTuple

from afs import atomic_files
from afs.command_options import OptionList
from afs.domains.snes.asm import TRUSTED, AsmError, Assembly, assemble
from afs.domains.snes.asm.symbol_output import label_file, listing, symbol_file
from afs.domains.snes.patch_files import make_bps, make_ips
from afs.domains.snes.rom import MAX_SIZE, detect_mapper, read_header, strip_copier_header
from afs.errors import DataError, UsageError

_SYMBOLS: Final = {".sym": symbol_file, ".mlb": label_file}
_SUFFIX: Final = {"wla": ".sym", "mesen": ".mlb"}
_SHOWN: Final = 32
"""Bytes of a block shown when nothing is written."""


class AsmOptions(NamedTuple):
    """What to assemble, and what to write."""

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


class AsmResult(NamedTuple):
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


def assemble_file(options: AsmOptions) -> AsmResult:
    """Assemble a file, and write what was asked for."""
    options = _resolve_places(options)
    copier, base = b"", b""
    notes: tuple[str, ...] = ()
    if options.rom is not None:
        copier, base = strip_copier_header(read_file(options.rom, "ROM"))
        notes = _notes(options.rom, copier, base)
    try:
        done = _assemble(options, base)
    except AsmError as error:
        raise DataError("\n".join(str(message) for message in error.messages)) from error
    rom = done.rom if options.checksum else done.image
    blocks = tuple(f"${b.address:06X}: {_hex(b.data)}" for b in done.blocks)
    return AsmResult(
        mapper=done.mapper,
        bytes=sum(len(block.data) for block in done.blocks),
        rom_size=len(rom),
        blocks=blocks,
        labels={name: f"${address:06X}" for name, address in done.labels.items()},
        prints=done.prints,
        warnings=tuple(warning.head() for warning in done.warnings),
        files=_write(options, done, copier, base, rom),
        notes=notes,
    )


def _assemble(options: AsmOptions, base: bytes) -> Assembly:
    return assemble(
        read_file(options.file, "source"),
        origin=_origin(options.origin),
        rom=base,
        include_dirs=(options.file.parent, *options.include),
        allowed_dirs=(project_folder(options.file),),
        defines=options.define,
        strict=options.strict,
        limits=TRUSTED,
        file=str(options.file),
    )


def _resolve_places(options: AsmOptions) -> AsmOptions:
    """The same options with `target` and `symbols` spelled out as what to read and what to write."""
    rom, output, sym = options.rom, options.output, options.sym
    if options.target is not None:
        if rom is not None or output is not None:
            raise UsageError("asm: want either a ROM to patch in place, or --rom and -o")
        rom, output = options.target if options.target.exists() else None, options.target
    if options.symbols != "none" and sym is None:
        beside = output or options.file
        sym = beside.with_suffix(_SUFFIX[options.symbols])
    return options._replace(rom=rom, output=output, sym=sym)


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


def _write(options: AsmOptions, done: Assembly, copier: bytes, base: bytes, rom: bytes) -> tuple[str, ...]:
    """Write the requested files; returns their names."""
    wanted: list[tuple[Path, bytes]] = []
    if options.output is not None:
        wanted.append((options.output, copier + rom))
    if options.ips is not None:
        wanted.append((options.ips, make_ips(base, rom)))
    if options.bps is not None:
        wanted.append((options.bps, make_bps(base, rom)))
    if options.sym is not None:
        write_symbols = _SYMBOLS.get(options.sym.suffix.lower(), symbol_file)
        wanted.append((options.sym, write_symbols(done).encode()))
    if options.listing is not None:
        wanted.append((options.listing, listing(done).encode()))
    for path, content in wanted:
        save_file(path, content)
    return tuple(str(path) for path, _ in wanted)


def save_file(path: Path, content: bytes) -> None:
    """Replace a file; what prevents it is an error with its name."""
    try:
        atomic_files.replace(path, content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error


def read_file(path: Path, what: str) -> bytes:
    """The content of a file that is no larger than a ROM may be."""
    try:
        size = path.stat().st_size
        if size > 4 * MAX_SIZE:
            raise DataError(f"{path}: {size} bytes is too large for a {what}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read the {what}: {error.strerror}") from error


COMMAND: Final = OptionList(
    AsmOptions,
    lambda **options: assemble_file(AsmOptions(**options)),
    positional=("file", "target"),
    short={"o": "output", "I": "include", "D": "define"},
)
