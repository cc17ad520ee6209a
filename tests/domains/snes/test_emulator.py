"""The emulator: its frontend with a real core where there is one, and everything that must hold without."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import msgspec
import pytest

from afs import plugins
from afs.domains.snes import emulator_checks, emulator_commands
from afs.domains.snes.assembled_routine import build_rom, machine_code
from afs.domains.snes.checks import check_answer
from afs.domains.snes.emulator import doctor_rows, fetch_core
from afs.domains.snes.emulator.cross_check import prove
from afs.domains.snes.emulator.emulator_worker import Emulator
from afs.domains.snes.emulator.libretro import HEIGHT, WIDTH, Screen, normalized
from afs.domains.snes.emulator.png_writer import png
from afs.domains.snes.emulator.scenario import Play, Press, Read
from afs.domains.snes.task_specs import RoutineSpec, dump_spec, parse_spec
from afs.domains.snes.tasks import draw_tasks
from afs.domains.snes.tasks.programs import draw_program
from afs.errors import DataError, MissingError, ProcessError, UsageError

needs_core = pytest.mark.skipif(
    fetch_core.core() is None or not fetch_core.supported(), reason="no emulator core here: `afs doctor --fix` gets it"
)
RAM = Read(memory="wram", start=0x20, length=8)


# --- without a core ----------------------------------------------------------------------------------------------------


def test_a_png_holds_the_pixels() -> None:
    pixels = random.Random(1).randbytes(5 * 3 * 3)
    data = png(pixels, 5, 3)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", data[16:24]) == (5, 3)
    body = data[data.index(b"IDAT") + 4 : data.index(b"IEND") - 8]
    rows = zlib.decompress(body)
    assert b"".join(rows[y * 16 + 1 : y * 16 + 16] for y in range(3)) == pixels


@pytest.mark.parametrize(("width", "height"), [(256, 224), (512, 224), (512, 448), (256, 239), (512, 478)])
def test_frames_of_any_size_become_256_by_224(width: int, height: int) -> None:
    pitch = width * 4 + 64
    top = {239: 8, 478: 16}.get(height, 0)
    tall = 448 if height > 400 else 224

    def bgrx(x: int, y: int) -> bytes:
        return bytes((x * 256 // width, max(y - top, 0) * 224 // tall & 0xFF, 9, 0))

    pixels = b"".join(b"".join(bgrx(x, y) for x in range(width)) + bytes(64) for y in range(height))
    rgb = normalized(Screen(pixels, width, height, pitch))
    assert len(rgb) == WIDTH * HEIGHT * 3
    for x, y in ((0, 0), (255, 0), (13, 100), (255, 223)):
        assert rgb[(y * WIDTH + x) * 3 :][:3] == bytes((9, y, x))


def test_without_a_core_the_command_that_gets_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fetch_core, "core", lambda: None)
    with pytest.raises(MissingError, match="afs doctor --fix"):
        Emulator()
    (part,) = doctor_rows.parts()
    assert part.state == "missing" and callable(plugins.load(part.fix))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="no apt-get"):
        fetch_core.fetch_core(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_failing_download_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("apt-get", "dpkg"):
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(ProcessError, match="Unable to locate package"):
        fetch_core.fetch_core(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_core_that_is_no_library_is_an_error_of_the_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    broken = tmp_path / "core.so"
    broken.write_bytes(b"\x7fELF garbage")
    with Emulator(broken) as emulator, pytest.raises(ProcessError, match="cannot be loaded"):
        emulator.play(Play(rom=bytes(0x8000)))


@pytest.mark.parametrize("text", ["", "60", "x:a", "60:z", "-1:a", "60:a+"])
def test_a_wrong_press_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="FRAME:BUTTONS"):
        emulator_commands.press(text)


def test_presses_are_read() -> None:
    assert emulator_commands.press("60:start+B") == Press(frame=60, buttons=0b1001)


def test_an_unknown_rom_to_patch_is_named() -> None:
    with pytest.raises(DataError, match="nosuch"):
        emulator_checks.load_base_rom("nosuch")
    with pytest.raises(DataError):
        emulator_checks.load_base_rom("../demo")


# --- with a core -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def emulator() -> object:
    with Emulator() as one:
        yield one


def everything(fill: int = 0) -> Play:
    reads = tuple(Read(memory=name) for name in ("wram", "vram", "oam", "cgram"))
    return Play(rom=emulator_checks.load_base_rom("demo"), frames=13, reads=reads, picture=True, fill=fill)


@needs_core
def test_two_processes_agree_bit_for_bit(emulator: Emulator) -> None:
    first = emulator.play(everything(), everything(7))
    with Emulator() as other:
        assert other.play(everything(7))[0] == first[1]
        assert other.play(everything())[0] == first[0]
    assert first[0].picture == first[1].picture and first[0].pieces[0] != first[1].pieces[0]


@needs_core
def test_memories_palettes_and_sprites_are_read(emulator: Emulator) -> None:
    (seen,) = emulator.play(everything())
    wram, vram, oam, cgram = seen.pieces
    assert [len(piece) for piece in seen.pieces] == [0x20000, 0x10000, 544, 512]
    assert wram[0x24:0x26] == b"\x70\x60" and vram[0x10:0x12] == b"\xff\x00"
    assert oam[:2] == b"\x70\x60" and cgram[:4] == b"\x00\x20\xff\x7f"
    blue = seen.picture[:3]
    assert blue[2] > 50 and blue[:2] == b"\x00\x00" and len(seen.picture) == WIDTH * HEIGHT * 3


@needs_core
def test_buttons_reach_the_game(emulator: Emulator) -> None:
    rom = emulator_checks.load_base_rom("demo")
    presses = (Press(frame=15, buttons=1 << 8),)
    idle, held = emulator.play(
        Play(rom=rom, frames=20, reads=(RAM,)), Play(rom=rom, frames=20, reads=(RAM,), presses=presses)
    )
    assert idle.pieces[0][:2] == b"\x00\x00" and held.pieces[0][:2] == b"\x80\x00"


@needs_core
def test_use_of_uninitialized_memory_is_found_out() -> None:
    task = next(draw_tasks("patch/drift", 1, 1))
    relying = task.reference.replace("clc", "clc\n    adc $1000")
    verdict = check_answer(task, relying)
    assert verdict.ok is False and "noise" in verdict.reason


@needs_core
def test_a_hung_or_wild_program_is_only_so_many_frames(emulator: Emulator) -> None:
    noise = random.Random(5)
    for _ in range(5):
        rom = bytearray(noise.randbytes(0x8000))
        rom[0x7FC0:0x8000] = emulator_checks.load_base_rom("demo")[0x7FC0:]
        (seen,) = emulator.play(Play(rom=bytes(rom), frames=8, reads=(RAM,)))
        assert seen.frames == 8
    with pytest.raises(UsageError, match="frames"):
        emulator.play(Play(rom=bytes(0x8000), frames=100_000))


@needs_core
@pytest.mark.parametrize(
    "name", ["add16", "countdown", "count-bits", "block-move", "maximum-signed", "multiply", "reverse"]
)
def test_core_and_emulator_agree_on_effect_and_master_clocks(emulator: Emulator, name: str) -> None:
    made = draw_program(name, random.Random(f"proof {name}"))
    proof = prove(machine_code(made.code), made.contract, emulator, states=32)
    assert proof.agrees and proof.clocks_agree is not False, proof
    assert proof.states == 32


@needs_core
def test_a_task_may_demand_the_emulator() -> None:
    task = next(draw_tasks("generate/add16", 2, 1))
    spec = parse_spec(task)
    assert isinstance(spec, RoutineSpec)
    strict = msgspec.structs.replace(task, spec=dump_spec(msgspec.structs.replace(spec, emulator=True)))
    verdict = check_answer(strict, task.reference)
    assert (verdict.ok, verdict.stage, verdict.score) == (True, "emulator", 1.0)
    assert abs(float(str(verdict.facts["emulator_master_clocks"])) - float(str(verdict.facts["master_clocks"]))) < 12


@needs_core
def test_a_routine_that_never_returns_does_not_agree(emulator: Emulator) -> None:
    made = draw_program("add16", random.Random(1))
    proof = prove(machine_code("again: bra again"), made.contract, emulator, states=4)
    assert not proof.agrees and "does not come back" in proof.lines[0]


@needs_core
@pytest.mark.parametrize("name", ["patch/backdrop", "patch/row", "patch/button-move", "patch/free-space"])
def test_patches_pass_and_their_absence_fails(name: str) -> None:
    (task,) = draw_tasks(name, 4, 1)
    verdict = check_answer(task, task.reference)
    assert verdict.ok and verdict.stage == "frame", verdict.reason
    assert check_answer(task, "```asm\norg $00FF00\n    nop\n```").ok is False


@needs_core
def test_the_screenshot_command_writes_a_picture(tmp_path: Path) -> None:
    rom = tmp_path / "game.sfc"
    rom.write_bytes(bytes(512) + emulator_checks.load_base_rom("demo"))
    shot = emulator_commands.screenshot(emulator_commands.ScreenshotConfig(rom=rom, frames=14))
    assert Path(shot.file).read_bytes().startswith(b"\x89PNG") and shot.colors == 2 and not shot.uninitialized
    rom.write_bytes(build_rom("lorom\norg $008600\n dw $03E0\n", emulator_checks.load_base_rom("demo")))
    again = emulator_commands.screenshot(
        emulator_commands.ScreenshotConfig(rom=rom, frames=14, output=tmp_path / "b.png")
    )
    assert Path(again.file).name == "b.png" and again.digest != shot.digest


@needs_core
def test_the_verify_command_confirms_a_routine(tmp_path: Path) -> None:
    source = tmp_path / "routine.asm"
    source.write_text("; in: A, $10  out: A  clobbers: flags  entry: m8 x8  ends: rts  db: 0\nclc\nadc $10\nrts\n")
    found = emulator_commands.verify(emulator_commands.ConfirmConfig(file=source, states=16))
    assert found.agrees and found.clocks_agree and found.cycles == 11
