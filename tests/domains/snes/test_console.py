"""A ROM from reset on: interrupts, HDMA, pads and WAI, on both cores alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from afs.domains.snes import cpu_kernel
from afs.domains.snes.asm import assemble
from afs.domains.snes.boot_command import BootConfig, boot
from afs.domains.snes.console import Console
from afs.domains.snes.disasm import DisasmOptions, disassemble
from afs.domains.snes.mesen_logs import read_cdl
from afs.errors import DataError, UsageError

HEADER = """
org $00FFC0 : db "CONSOLE TEST         ",$20,$00,$05,$00,$01,$00,$00
org $00FFEA : dw Nmi
org $00FFEE : dw Irq
org $00FFFC : dw Start
org $008000
Start:
    clc : xce : rep #$30
    lda #$0000 : tcd
    sep #$30
"""
HANDLERS = """
Nmi:
    sep #$20
    inc $10
    lda $4210 : sta $11
    rti
Irq:
    sep #$20
    inc $20
    lda $4211 : sta $21
    rti
"""
CORES = [
    pytest.param("c", marks=pytest.mark.skipif(cpu_kernel.core() is None, reason="no compiled core here")),
    "python",
]


def rom(body: str) -> bytes:
    return assemble("org $008000\n" + HEADER + body + HANDLERS, rom=bytes(0x8000)).rom


def played(body: str, core: str, frames: int) -> Console:
    console = Console(rom(body), core=core)
    console.play(frames)
    return console


def byte(console: Console, address: int) -> int:
    return console.machine.memory(address, 1)[0]


CLEAR = "    stz $10 : stz $11 : stz $20 : stz $21 : stz $30\n"


@pytest.mark.parametrize("core", CORES)
def test_an_nmi_comes_once_a_frame(core):
    console = played(CLEAR + "lda #$80 : sta $4200\n- bra -", core, 10)
    assert (byte(console, 0x10), byte(console, 0x20)) == (10, 0)
    assert byte(console, 0x11) & 0x80


@pytest.mark.parametrize("core", CORES)
def test_without_enabling_it_there_is_no_nmi(core):
    assert byte(played(CLEAR + "stz $4200\n- bra -", core, 3), 0x10) == 0


@pytest.mark.parametrize("core", CORES)
def test_wai_waits_for_the_blank(core):
    console = played(CLEAR + "lda #$80 : sta $4200\n- wai : inc $30 : bra -", core, 6)
    assert byte(console, 0x30) in (5, 6)
    assert console.machine.instructions < 100


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(("mode", "expected"), [("$20", 5), ("$30", 5)])
def test_a_timer_interrupts_at_its_line(core, mode, expected):
    body = CLEAR + f"lda #100 : sta $4209 : stz $420A : stz $4207 : stz $4208 : lda #{mode} : sta $4200 : cli\n- bra -"
    console = played(body, core, 5)
    assert byte(console, 0x20) == expected
    assert byte(console, 0x21) & 0x80


@pytest.mark.parametrize("core", CORES)
def test_a_masked_interrupt_waits_for_cli(core):
    body = CLEAR + "lda #10 : sta $4209 : stz $420A : lda #$20 : sta $4200 : sei\n- lda $4212 : bpl - : cli\n- bra -"
    assert byte(played(body, core, 1), 0x20) == 1


@pytest.mark.parametrize("core", CORES)
def test_hdma_writes_a_register_line_by_line(core):
    body = (
        CLEAR
        + "lda #$02 : sta $4300 : lda #$22 : sta $4301 : rep #$20 : lda.w #Table : sta $4302 : sep #$20 : stz $4304\n"
        "stz $2121 : lda #$01 : sta $420C\n- bra -\nTable: db $83,$11,$22,$33,$44,$55,$66,$00\n"
    )
    console = played(body, core, 2)
    assert console.machine.memory(0x50000, 6) == bytes.fromhex("112233445566")


@pytest.mark.parametrize("core", CORES)
def test_a_held_button_is_read(core):
    console = Console(rom(CLEAR + "lda #$81 : sta $4200\n- lda $4219 : sta $30 : bra -"), core=core)
    console.play(4, {2: 0x1000})
    assert byte(console, 0x30) == 0x10


@pytest.mark.parametrize("core", CORES)
def test_the_boot_rom_of_the_sound_processor_answers_and_is_named(core):
    body = CLEAR + "- lda $2140 : cmp #$AA : bne -\nlda #$CC : sta $2140\n- cmp $2140 : bne - : inc $30\n- bra -"
    console = played(body, core, 1)
    assert byte(console, 0x30) == 1
    assert any("sound processor" in what for what in console.unmodeled())


@pytest.mark.skipif(cpu_kernel.core() is None, reason="no compiled core here")
def test_both_cores_agree_to_the_clock():
    body = CLEAR + "lda #$A1 : sta $4200 : lda #7 : sta $4209 : stz $420A : cli\n- wai : inc $30 : bra -"
    one, two = (played(body, core, 4).machine for core in ("c", "python"))
    assert (one.clock, one.instructions, one.regs.pc) == (two.clock, two.instructions, two.regs.pc)
    assert one.memory(0, 0x56000) == two.memory(0, 0x56000)


@pytest.fixture
def game(tmp_path: Path) -> Path:
    path = tmp_path / "game.sfc"
    path.write_bytes(
        rom(
            CLEAR
            + "lda #$80 : sta $4200 : ldx #$00 : jsr (Table,x)\n- bra -\nTable: dw Far\nFar: rep #$20 : lda #$1234 : sep #$20 : rts"
        )
    )
    return path


def test_boot_shows_memory_and_writes_a_trace(game: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.txt"
    done = boot(BootConfig(rom=game, frames=2, read=("$7E0010-$7E0011",), trace=trace))
    assert (done.stop, done.frames, done.memory["$7E0010-$7E0011"][:2]) == ("budget", 2, "02")
    first = trace.read_text().splitlines()[0]
    assert first.startswith("008000  18           clc ")
    assert first.rstrip().endswith("P:nvMXdIzc V:0   H:4")


@pytest.mark.skipif(cpu_kernel.core() is None, reason="no compiled core here")
def test_a_code_data_log_leads_the_disassembler(game: Path, tmp_path: Path) -> None:
    log, content = tmp_path / "game.cdl", game.read_bytes()
    boot(BootConfig(rom=game, frames=2, cdl=log))
    flags = read_cdl(log.read_bytes(), content)
    text = disassemble(content, options=DisasmOptions(entries=(0x8000,), log=flags))
    assert "lda.w #$1234" in text and "lda.w #$1234" not in disassemble(content)
    assert "fillbyte $00 : fill" in text
    assert assemble(text).image == content
    with pytest.raises(DataError, match="another ROM"):
        read_cdl(log.read_bytes(), bytes(len(content)))


def test_what_boot_cannot_do_is_said(game: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="frames"):
        boot(BootConfig(rom=game, frames=0))
    with pytest.raises(UsageError, match="--read"):
        boot(BootConfig(rom=game, read=("somewhere",)))
    with pytest.raises(DataError):
        boot(BootConfig(rom=tmp_path / "none.sfc"))
    with pytest.raises(DataError, match="no reset vector"):
        Console(bytes(16))
