"""Tiles, palettes and LC_LZ2: codecs turn around, the console's own decompressor agrees, damage is one line."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from afs.domains.snes.assembled_routine import machine_code
from afs.domains.snes.graphics import colors, lz2, tiles
from afs.domains.snes.graphics.families import FAMILIES
from afs.domains.snes.graphics.graphics_commands import GfxConfig, LzConfig, convert_graphics, convert_lz2
from afs.domains.snes.graphics.indexed_png import Picture, read_png, write_png
from afs.domains.snes.harness import Setup
from afs.domains.snes.machine import machine
from afs.domains.snes.pack import DOMAIN
from afs.domains.snes.start_states import CpuState
from afs.domains.snes.wrong_answers import plant_wrong_answers
from afs.errors import DataError

ASM = (Path(__file__).parent / "lz2_decompressor.asm").read_text()


@pytest.mark.parametrize("form", list(tiles.FORMS))
def test_tiles_turn_around(form: tiles.Form) -> None:
    data = random.Random(form).randbytes(tiles.tile_size(form) * 6)
    assert tiles.encode_tiles(tiles.decode_tiles(data, form), form) == data


def test_bits_of_a_tile_lie_where_the_ppu_reads_them() -> None:
    corner = bytes([1] + [0] * 62 + [1])
    assert tiles.encode_tiles([corner], "1bpp").hex() == "80000000000000" + "01"
    assert tiles.encode_tiles([corner], "2bpp").hex() == "8000" + "0000" * 6 + "0100"
    for color, at in ((1, 0), (2, 1), (4, 16), (8, 17)):
        data = tiles.encode_tiles([bytes([color] + [0] * 63)], "4bpp")
        assert [place for place, byte in enumerate(data) if byte] == [at]
    assert tiles.encode_tiles([bytes([4] + [0] * 63)], "3bpp")[16] == 0x80
    assert tiles.encode_tiles([bytes([128] + [0] * 63)], "8bpp")[49] == 0x80
    with pytest.raises(DataError, match="tile 0: color 4 does not fit 2bpp"):
        tiles.encode_tiles([bytes([4] * 64)], "2bpp")
    with pytest.raises(DataError, match="not a whole number of 4bpp tiles"):
        tiles.decode_tiles(b"12345", "4bpp")


@pytest.mark.parametrize("unit", [1, 2, 4])
def test_blocks_of_tiles_lie_together_in_a_sheet(unit: int) -> None:
    found = [bytes([number]) * 64 for number in range(32)]
    width, height, sheet = tiles.arrange(found, 8, unit)
    assert (width, height) == (64, 32) and tiles.cut(width, height, sheet, unit) == found
    assert sheet[8 * (unit - 1)] == unit - 1 and sheet[64 * 8] == (8 if unit == 1 else unit)


def test_colors_are_fifteen_bits_low_byte_first() -> None:
    assert colors.encode_palette([(255, 0, 0), (0, 255, 0), (0, 0, 255)]).hex() == "1f00e003007c"
    assert all(colors.encode_color(colors.decode_color(word)) == word for word in range(0x8000))
    with pytest.raises(DataError, match="no palette"):
        colors.decode_palette(b"abc")


def _cheapest(data: bytes) -> int:
    """Brute force: every command, every length, every source, at every place."""
    size = len(data)
    cost = [0] * (size + 1)
    for at in range(size - 1, -1, -1):
        prices = []
        for length in range(1, size - at + 1):
            head, piece = (1 if length <= 32 else 2), data[at : at + length]
            rest = cost[at + length] + head
            prices.append(rest + length)
            prices += [rest + 1] * (piece == piece[:1] * length)
            prices += [rest + 2] * (piece == (piece[:2] * length)[:length])
            prices += [rest + 1] * (piece == bytes((piece[0] + n) & 255 for n in range(length)))
            prices += [rest + 2 for start in range(at) if all(data[start + n] == data[at + n] for n in range(length))]
        cost[at] = min(prices)
    return cost[0] + 1


def test_the_parse_is_the_shortest() -> None:
    rng = random.Random(1)
    for _ in range(150):
        data = bytes(rng.choice(b"\x00\x01\x02\x03\xff") for _ in range(rng.randint(0, 24)))
        assert len(lz2.compress(data)) == _cheapest(data), data.hex()


def _sample(rng: random.Random) -> bytes:
    data = bytearray()
    while len(data) < 3000:
        kind, length = rng.randrange(5), rng.choice((1, 3, 31, 32, 33, 200, 1024, 1025))
        if kind == 4 and data:
            start = rng.randrange(len(data))
            data += bytes((data[start:] * (length // max(1, len(data) - start) + 1))[:length])
        else:
            first = rng.randrange(256)
            data += (
                rng.randbytes(length % 40),
                bytes([first]) * length,
                (bytes([first, 7]) * length)[:length],
                bytes((first + n) & 255 for n in range(length)),
                b"",
            )[kind]
    return bytes(data)


def _run_on_console(stream: bytes, order: lz2.Order) -> bytes:
    code = machine_code(f"!order = {int(order == 'little')}\n{ASM}")
    state = CpuState(p=0x24, memory={0x000000: b"\x00\x00\x7f", 0x7E4000: stream})
    trace = machine(code, Setup(ends="rtl", budget=3_000_000)).run([state])[0]
    assert trace.stop == "return"
    out = {address - 0x7F0000: byte for address, byte in trace.writes.items() if 0x7F0000 <= address < 0x800000}
    return bytes(out[n] for n in range(len(out)))


@pytest.mark.parametrize("order", ["big", "little"])
def test_the_consoles_own_decompressor_agrees(order: lz2.Order) -> None:
    data = _sample(random.Random(order))
    stream = lz2.compress(data, order)
    assert len(stream) < len(data) and lz2.decompress(stream, order) == data
    assert _run_on_console(stream, order) == data


@pytest.mark.parametrize(
    "stream",
    [
        "0041" + "870000" + "ff",  # a copy that reads what it has just written
        "024142436300" + "02a40001ff",  # 5 acts as 4
        "014142" + "c50000ff",  # 6 acts as 4
        "424142ff",  # two bytes in turn, an odd number of them
        "0041" + "fc040000ff",  # 7 in a long chunk acts as 4
        "e42041ff",  # a long fill
    ],
)
def test_rare_commands_mean_what_the_console_does(stream: str) -> None:
    data = bytes.fromhex(stream)
    assert lz2.decompress(data) == _run_on_console(data, "big")


def test_damaged_streams_are_one_line() -> None:
    for data, wanted in (
        (b"", "ends at byte 0 in the middle"),
        (b"\x05ab", "ends at byte 3 in the middle"),
        (b"\x80\x00\x00\xff", "copies from output byte 0, of which 0 exist"),
        (b"\xe7\xff\x00" * 80 + b"\xff", "not LC_LZ2, or damaged"),
    ):
        with pytest.raises(DataError, match=wanted):
            lz2.decompress(data)


def test_pictures_turn_around_and_others_can_read_them() -> None:
    image = pytest.importorskip("PIL.Image")
    picture = Picture(16, 8, bytes(range(16)) * 8, colors.gray_palette(4))
    data = write_png(picture)
    assert read_png(data) == picture
    opened = image.open(io.BytesIO(data))
    assert (opened.mode, opened.size, opened.getpixel((3, 2))) == ("P", (16, 8), 3)
    opened.putpixel((3, 2), 9)
    for bits in (4, 8):
        out = io.BytesIO()
        opened.save(out, "PNG", bits=bits)
        assert read_png(out.getvalue()).pixels[2 * 16 + 3] == 9
    for bad, wanted in (
        (data[:60], "ends early|without|damaged"),
        (b"GIF89a", "not a PNG"),
        (data[:50] + b"\xff" + data[51:], "damaged"),
    ):
        with pytest.raises(DataError, match=wanted):
            read_png(bad)


def test_commands_go_there_and_back(tmp_path: Path) -> None:
    data = tiles.encode_tiles([bytes(random.Random(0).choices(range(16), k=64)) for _ in range(8)], "4bpp")
    (tmp_path / "a.bin").write_bytes(b"??" + data)
    convert_graphics(GfxConfig(file=tmp_path / "a.bin", output=tmp_path / "a.png", start="2", columns=4, unit=2))
    palette = tmp_path / "a.pal"
    convert_graphics(GfxConfig(file=tmp_path / "a.png", output=tmp_path / "b.bin", unit=2, palette=palette))
    assert (tmp_path / "b.bin").read_bytes() == data and len(palette.read_bytes()) == 32
    convert_lz2(LzConfig(action="compress", file=tmp_path / "b.bin", output=tmp_path / "b.lz2"))
    convert_lz2(LzConfig(action="decompress", file=tmp_path / "b.lz2", output=tmp_path / "c.bin"))
    assert (tmp_path / "c.bin").read_bytes() == data
    with pytest.raises(DataError, match=r"b\.bin: "):
        convert_lz2(LzConfig(action="decompress", file=tmp_path / "b.bin", output=tmp_path / "d.bin"))
    assert not (tmp_path / "d.bin").exists()


@pytest.mark.parametrize(
    ("file", "start", "said"),
    [
        ("cut.png", "0", "cut.png: damaged PNG: no readable header"),
        ("odd.bin", "0", "odd.bin: 33 bytes are not a whole number of 4bpp tiles"),
        ("odd.bin", "0x40", "odd.bin: nothing at byte 64: the file has 33 bytes"),
        ("none.bin", "0", "none.bin: No such file or directory"),
    ],
)
def test_an_unreadable_file_is_named_with_its_fault(tmp_path: Path, file: str, start: str, said: str) -> None:
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "odd.bin").write_bytes(bytes(33))
    with pytest.raises(DataError) as caught:
        convert_graphics(GfxConfig(file=tmp_path / file, output=tmp_path / "out", start=start))
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(said)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_reference_passes_and_every_wrong_answer_fails(name: str) -> None:
    for task in DOMAIN.tasks(f"graphics/{name}", 0, 4):
        assert DOMAIN.check(task, task.reference).ok, task.prompt
        for kind, answer in plant_wrong_answers(task):
            assert DOMAIN.check(task, answer).ok is False, (kind, answer)
