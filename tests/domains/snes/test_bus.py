"""Memory maps, clocks, registers and DMA: known facts, on both cores."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from afs.domains.snes import cpu_kernel, memory_map
from afs.domains.snes.bus import Bus
from afs.domains.snes.harness import Runner, Setup, Trace
from afs.domains.snes.machine import PythonMachine
from afs.domains.snes.start_states import CpuState
from afs.errors import UsageError

Make = Callable[[bytes, Setup], Runner]
BOTH = pytest.mark.parametrize(
    "make",
    [
        pytest.param(PythonMachine, id="python"),
        pytest.param(
            cpu_kernel.NativeMachine,
            id="c",
            marks=pytest.mark.skipif(cpu_kernel.core() is None, reason="no compiled core"),
        ),
    ],
)


def after(make: Make, code: str, state: CpuState | None = None, **setup: object) -> Trace:
    """Run code that falls off its end."""
    return make(bytes.fromhex(code), Setup(ends="end", **setup)).run([state or CpuState()])[0]  # type: ignore[arg-type]


def stores(*pairs: tuple[int, int]) -> str:
    """Code that stores bytes to registers."""
    return "".join(f"A9{value:02X}8D{port & 0xFF:02X}{port >> 8:02X}" for port, value in pairs)


@pytest.mark.parametrize(
    ("address", "fast", "clocks"),
    [
        (0x000000, False, 8), (0x002100, False, 6), (0x004016, False, 12), (0x004200, False, 6), (0x006000, False, 8),
        (0x008000, False, 8), (0x008000, True, 8), (0x808000, True, 6), (0x808000, False, 8), (0xC00000, True, 6),
        (0x400000, True, 8), (0x7E0000, True, 8), (0x802100, True, 6), (0x804000, True, 12), (0x800000, True, 8),
    ],
)  # fmt: skip
def test_clocks_by_region(address: int, fast: bool, clocks: int) -> None:
    assert memory_map.access_clocks(address, fast) == clocks


@pytest.mark.parametrize(
    ("mapper", "address", "kind", "offset"),
    [
        ("lorom", 0x008000, memory_map.ROM, 0x0000),
        ("lorom", 0x80FFFF, memory_map.ROM, 0x7FFF),
        ("lorom", 0x018000, memory_map.ROM, 0x8000),
        ("lorom", 0x001FFF, memory_map.RAM, 0x1FFF),
        ("lorom", 0x7F0000, memory_map.RAM, 0x10000),
        ("lorom", 0x700000, memory_map.RAM, memory_map.SRAM),
        ("lorom", 0x802100, memory_map.IO, memory_map.PORTS + 0x2100),
        ("lorom", 0x006000, memory_map.OPEN, None),
        ("hirom", 0xC00000, memory_map.ROM, 0x0000),
        ("hirom", 0x008000, memory_map.ROM, 0x8000),
        ("hirom", 0x206000, memory_map.RAM, memory_map.SRAM),
        ("exhirom", 0xC00000, memory_map.ROM, 0x0000),
        ("exhirom", 0x400000, memory_map.ROM, 0x400000),
    ],
)
def test_maps(mapper: str, address: int, kind: int, offset: int | None) -> None:
    page = memory_map.page_table(mapper, 0x600000, 0x2000)[address >> 13]
    assert page >> 28 == kind
    if offset is not None:
        assert (page & 0xFFFFFFF) + (address & 0x1FFF) == offset


def test_an_unknown_map_is_refused() -> None:
    with pytest.raises(UsageError, match="lorum"):
        memory_map.page_table("lorum", 0x8000, 0)


@pytest.mark.parametrize(("offset", "size", "lands"), [(0x300000, 0x300000, 0x200000), (0x180000, 0x100000, 0x080000)])
def test_mirrors_of_odd_sizes(offset: int, size: int, lands: int) -> None:
    assert memory_map.mirrored(offset, size) == lands


def test_undo_leaves_no_trace() -> None:
    bus = Bus("lorom", bytes(0x8000), 0)
    before = bytes(bus.arena), bytes(bus.shadow)
    for port in (0x2100, 0x2116, 0x2118, 0x2119, 0x4202, 0x4203):
        bus.write(port, 0x55)
    bus.write(0x7E1234, 1)
    bus.read(0x7E4321)
    bus.restore()
    assert (bytes(bus.arena), bytes(bus.shadow)) == before


def test_names_of_places() -> None:
    for offset in (
        0,
        0x1FFFF,
        memory_map.SRAM + 0x8001,
        memory_map.VRAM + 2,
        memory_map.CGRAM,
        memory_map.OAM + 543,
        memory_map.PORTS + 0x2100,
    ):
        address = memory_map.address_of(offset)
        assert memory_map.locate(address, "lorom", 0x8000, 0x20000) == offset
    assert memory_map.name_of(memory_map.address_of(memory_map.VRAM + 0x10)) == "VRAM $0010"


@BOTH
def test_master_clocks_of_nops_and_fastrom(make: Make) -> None:
    ten = "EA" * 10
    assert after(make, ten).clocks == 10 * (8 + 6)
    assert after(make, ten, fast_rom=True).clocks == 10 * (6 + 6)
    assert after(make, stores((0x420D, 1)) + ten).clocks == 16 + 24 + 6 + 10 * 12


@BOTH
@pytest.mark.parametrize(
    ("code", "clocks"),
    [("AD0010", 40), ("AF00107E", 48), ("690100" * 16, 384), ("E610", 54), ("EA" * 10, 140)],
)
def test_master_clocks_as_measured_with_the_counters_of_an_emulator(make: Make, code: str, clocks: int) -> None:
    assert after(make, code, CpuState(p=0x04, db=0x7E)).clocks == clocks


@BOTH
def test_open_bus_gives_the_last_byte_of_the_instruction(make: Make) -> None:
    assert after(make, "AD0050", CpuState(db=0x80)).end.a & 0xFF == 0x50


@BOTH
@pytest.mark.parametrize(("wait", "product", "early"), [(0, None, 1), (3, 0x12 * 0x34, 0)])
def test_the_multiplier_needs_eight_cycles(make: Make, wait: int, product: int | None, early: int) -> None:
    code = stores((0x4202, 0x12), (0x4203, 0x34)) + "EA" * wait + "AD1642"
    trace = after(make, code)
    assert trace.early_reads == early
    assert (trace.end.a & 0xFF == (product & 0xFF)) if product else trace.end.a & 0xFF != 0x12 * 0x34 & 0xFF


@BOTH
def test_the_divider_and_division_by_zero(make: Make) -> None:
    setup = stores((0x4204, 1000 & 0xFF), (0x4205, 1000 >> 8))
    wait = "EA" * 8 + "C220AE1442AD1642"
    trace = after(make, setup + stores((0x4206, 7)) + wait, CpuState(p=0x24))
    assert (trace.end.x, trace.end.a) == (1000 // 7, 1000 % 7)
    trace = after(make, setup + stores((0x4206, 0)) + wait, CpuState(p=0x24))
    assert (trace.end.x, trace.end.a) == (0xFFFF, 1000)


@BOTH
def test_ppu_multiplication_is_signed(make: Make) -> None:
    trace = after(make, stores((0x211B, 0xFE), (0x211B, 0xFF), (0x211C, 3)) + "AD3421EBAD3521EB")
    assert trace.end.a == 0xFFFA  # -2 * 3


@BOTH
def test_dma_fills_video_memory(make: Make) -> None:
    state = CpuState(memory={0x7E2000: bytes(range(1, 9))})
    channel = ((0x4300, 1), (0x4301, 0x18), (0x4302, 0), (0x4303, 0x20), (0x4304, 0x7E), (0x4305, 8), (0x4306, 0))
    trace = after(make, stores((0x2115, 0x80), (0x2116, 0x10), (0x2117, 0), *channel, (0x420B, 1)), state)
    written = {
        at - memory_map.VIDEO - memory_map.VRAM: value for at, value in trace.writes.items() if at >= memory_map.VIDEO
    }
    assert written == {0x20 + at: at + 1 for at in range(8)}
    assert (
        trace.clocks
        - after(make, stores((0x2115, 0x80), (0x2116, 0x10), (0x2117, 0), *channel, (0x420A, 1)), state).clocks
        == 8 + 8 + 64
    )


@BOTH
def test_palette_and_sprites(make: Make) -> None:
    trace = after(
        make, stores((0x2121, 2), (0x2122, 0xFF), (0x2122, 0x7F), (0x2102, 1), (0x2103, 0), (0x2104, 9), (0x2104, 8))
    )
    written = {memory_map.name_of(at): value for at, value in trace.writes.items() if at >= memory_map.VIDEO}
    assert written == {"CGRAM $0004": 0xFF, "CGRAM $0005": 0x7F, "OAM $0002": 9, "OAM $0003": 8}


@BOTH
def test_the_wram_port_walks_over_both_banks(make: Make) -> None:
    trace = after(make, stores((0x2181, 0xFF), (0x2182, 0xFF), (0x2183, 0), (0x2180, 1), (0x2180, 2)))
    assert {at: value for at, value in trace.writes.items() if at >= 0x7E0000} == {0x7EFFFF: 1, 0x7F0000: 2}


@BOTH
def test_a_loop_waiting_for_vblank_ends(make: Make) -> None:
    trace = after(make, "AD124210FB")
    assert trace.stop == "return"
    assert 225 * 1364 <= trace.clocks < 226 * 1364


@BOTH
def test_an_endless_dma_is_stopped(make: Make) -> None:
    trace = after(make, stores((0x4305, 0), (0x4306, 0), (0x420B, 1)) + "80F9", budget=100_000)
    assert trace.stop == "budget"
    assert trace.cycles < 1000
