"""The commands `afs snes gfx` (tiles to and from PNG) and `afs snes lz2` (compress, decompress)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

from afs import jsonl
from afs.config import Config, Positive
from afs.domains.snes.graphics import colors, lz2, tiles
from afs.domains.snes.graphics.indexed_png import Picture, fit_palette, read_png, write_png
from afs.errors import DataError, UsageError
from afs.types import Value


class GfxConfig(Config, frozen=True, kw_only=True):
    """Tiles of a ROM or a graphics file to a PNG, or a PNG back to tiles: the input's ending decides."""

    positional: ClassVar[tuple[str, ...]] = ("file", "output")
    file: Path
    """Graphics (any file of tiles), or a `.png` with a palette."""
    output: Path
    """The PNG, or the file of tiles to write."""
    form: Literal["1bpp", "2bpp", "3bpp", "4bpp", "8bpp", "mode7"] = "4bpp"
    """How the tiles are stored."""
    columns: Positive = 16
    """Tiles in a row of the picture."""
    unit: Positive = 1
    """Tiles on a side of a block: 1 for 8 × 8 pixels, 2 for 16 × 16, 4 for 32 × 32."""
    palette: Path | None = None
    """Colors as CGRAM stores them, two bytes each; none: grays. From a PNG: where to write its colors."""
    start: str = "0"
    """First byte to read, decimal or `0x…`."""
    length: int = 0
    """Bytes to read; 0: to the end."""


class LzConfig(Config, frozen=True, kw_only=True):
    """Decompress LC_LZ2 data, or compress a file into the shortest stream."""

    positional: ClassVar[tuple[str, ...]] = ("action", "file", "output")
    action: Literal["decompress", "compress"]
    """`decompress` or `compress`."""
    file: Path
    """What to read."""
    output: Path
    """What to write."""
    order: lz2.Order = "big"
    """Byte order of addresses: big (Super Mario World, overworld data), little (graphics of A Link to the Past)."""
    start: str = "0"
    """First byte to read, decimal or `0x…`."""


class GraphicsResult(Value, frozen=True, kw_only=True):
    """What was read and written."""

    output: str
    read: int
    written: int
    note: str

    def text(self) -> str:
        """One line."""
        return f"{self.output}: {self.note}, {self.read} bytes read, {self.written} written"


def convert_graphics(config: GfxConfig) -> GraphicsResult:
    """Tiles to a picture, or a picture to tiles."""
    if config.file.suffix.lower() == ".png":
        return _to_tiles(config, _read(config.file))
    start = _parse_number(config.start)
    data = _read(config.file, start)[: config.length or None]
    with _naming(config.file):
        found = tiles.decode_tiles(data, config.form)
    width, height, pixels = tiles.arrange(found, config.columns, config.unit)
    bits = tiles.FORMS[config.form]
    palette = _read_palette(config.palette) if config.palette else colors.gray_palette(bits)
    out = write_png(Picture(width, height, pixels, fit_palette(palette, pixels)))
    jsonl.replace(config.output, out)
    return GraphicsResult(
        output=str(config.output), read=len(data), written=len(out), note=f"{len(found)} tiles, {config.form}"
    )


def _read_palette(path: Path) -> list[colors.Color]:
    with _naming(path):
        return colors.decode_palette(_read(path))


def _to_tiles(config: GfxConfig, data: bytes) -> GraphicsResult:
    with _naming(config.file):
        picture = read_png(data)
        found = tiles.cut(picture.width, picture.height, picture.pixels, config.unit)
        out = tiles.encode_tiles(found, config.form)
    jsonl.replace(config.output, out)
    if config.palette:
        jsonl.replace(config.palette, colors.encode_palette(picture.palette))
    return GraphicsResult(
        output=str(config.output), read=len(data), written=len(out), note=f"{len(found)} tiles, {config.form}"
    )


def convert_lz2(config: LzConfig) -> GraphicsResult:
    """Compress or decompress."""
    data = _read(config.file, _parse_number(config.start))
    with _naming(config.file):
        if config.action == "compress":
            out, end = lz2.compress(data, config.order), len(data)
        else:
            out, end = lz2.decompress_from(data, config.order)
    jsonl.replace(config.output, out)
    return GraphicsResult(output=str(config.output), read=end, written=len(out), note=f"{config.action}ed")


def _read(path: Path, start: int = 0) -> bytes:
    """A file from a byte on, of which there must be some."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    if start >= len(data):
        raise DataError(f"{path}: nothing at byte {start}: the file has {len(data)} bytes")
    return data[start:]


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file an error is about."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _parse_number(text: str) -> int:
    try:
        return int(text.replace("$", "0x"), 0)
    except ValueError:
        raise UsageError(f"--start: want a number such as 4096 or 0x1000, got {text!r}") from None
