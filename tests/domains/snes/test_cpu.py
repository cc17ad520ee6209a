"""Both cores against facts about the 65816 worked out by hand, against the opcode table, and against each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from afs.domains.snes import cpu_kernel, isa
from afs.domains.snes.harness import Runner, Setup, Trace
from afs.domains.snes.machine import PythonMachine
from afs.domains.snes.start_states import CpuState

Make = Callable[[bytes, Setup], Runner]
KINDS = [
    pytest.param(PythonMachine, id="python"),
    pytest.param(
        cpu_kernel.NativeMachine, id="c", marks=pytest.mark.skipif(cpu_kernel.core() is None, reason="no compiled core")
    ),
]
pytestmark = pytest.mark.parametrize("make", KINDS)


def effect(make: Make, code: str, *, m: int = 8, x: int = 8, **state: object) -> Trace:
    """Run code that falls off its end."""
    p = 0x04 | (0x20 if m == 8 else 0) | (0x10 if x == 8 else 0) | int(state.pop("flags", 0))  # type: ignore[call-overload]
    start = CpuState(p=p, **state)  # type: ignore[arg-type]
    return make(bytes.fromhex(code), Setup(ends="end")).run([start])[0]


@pytest.mark.parametrize(
    ("code", "before", "after"),
    [
        ("690F", {"a": 0x1201, "flags": 0x08}, (0x1216, "c=0")),  # decimal 01 + 0F: an illegal digit counts on
        ("6999", {"a": 0x0001, "flags": 0x08}, (0x0000, "c=1")),  # decimal 01 + 99 = 100
        ("E901", {"a": 0x0010, "flags": 0x09}, (0x0009, "c=1")),  # decimal 10 - 01 = 09
        ("E901", {"a": 0x0000, "flags": 0x08}, (0x0098, "c=0")),  # decimal 00 - 01 - borrow = 98
        ("697F", {"a": 0x0001}, (0x0080, "c=0 v=1")),
        ("6980", {"a": 0x0080}, (0x0000, "c=1 v=1 z=1")),
        ("E980", {"a": 0x0000, "flags": 0x01}, (0x0080, "c=0 v=1 n=1")),
        ("C980", {"a": 0x007F}, (0x007F, "c=0 n=1")),
        ("0A", {"a": 0xFF81}, (0xFF02, "c=1 n=0")),
        ("EB", {"a": 0x8001}, (0x0180, "n=1")),
        ("8980", {"a": 0x0080, "flags": 0x40}, (0x0080, "v=1 z=0")),  # BIT # changes Z only
    ],
)
def test_arithmetic_in_8_bits(make: Make, code: str, before: dict[str, int], after: tuple[int, str]) -> None:
    trace = effect(make, code, **before)
    assert trace.end.a == after[0]
    for claim in after[1].split():
        bit = {"n": 0x80, "v": 0x40, "z": 0x02, "c": 0x01}[claim[0]]
        assert bool(trace.end.p & bit) == (claim[2] == "1"), claim


def test_decimal_in_16_bits(make: Make) -> None:
    assert effect(make, "690100", m=16, a=0x9999, flags=0x08).end.a == 0x0000
    assert effect(make, "E90100", m=16, a=0x1000, flags=0x09).end.a == 0x0999


def test_an_8_bit_index_has_no_high_byte(make: Make) -> None:
    trace = effect(make, "C210A2FFFFE210E8", x=16)
    assert trace.end.x == 0x00


def test_a_16_bit_store_wraps_in_bank_0_for_the_direct_page_only(make: Make) -> None:
    direct = effect(make, "C22085FF", a=0xBBAA, d=0xFF00)
    assert direct.writes == {0x7E0000: 0xBB}, "the low byte goes to $00FFFF, which is ROM"
    absolute = effect(make, "C2208DFFFF", a=0xBBAA, db=0x7E)
    assert absolute.writes == {0x7EFFFF: 0xAA, 0x7F0000: 0xBB}


def test_16_bit_read_modify_write_writes_the_high_byte_first(make: Make) -> None:
    trace = effect(make, "C220EE0121", d=0)
    assert [port for port, _ in trace.registers] == [0x2102, 0x2101]


def test_mvn_copies_upwards_and_leaves_the_counter_at_ffff(make: Make) -> None:
    memory = {0x7E1000: bytes([1, 2, 3])}
    start = CpuState(a=2, x=0x1000, y=0x2000, p=0x04, memory=memory)
    trace = make(bytes.fromhex("547F7E"), Setup(ends="end")).run([start])[0]
    assert trace.writes == {0x7F2000: 1, 0x7F2001: 2, 0x7F2002: 3}
    assert (trace.end.a, trace.end.x, trace.end.y, trace.end.db) == (0xFFFF, 0x1003, 0x2003, 0x7F)
    assert trace.cycles == 21


def test_jsr_through_a_table(make: Make) -> None:
    # jsr ($8006,x) with x=2 -> $800B: inx : rts; the table stands behind the stp
    code = bytes.fromhex("FC0680DB000000000A80E860")
    trace = make(code, Setup(ends="stop")).run([CpuState(x=2)])[0]
    assert (trace.stop, trace.end.x, trace.pc) == ("stp", 3, 0x808004)


def test_page_crossing_costs_reads_with_an_8_bit_index_only(make: Make) -> None:
    assert effect(make, "BDFF10", db=0x7E).cycles == 4
    inner = CpuState(x=1, p=0x34, db=0x7E)
    assert make(bytes.fromhex("BDFF10"), Setup(ends="end")).run([inner])[0].cycles == 5
    assert make(bytes.fromhex("9DFF10"), Setup(ends="end")).run([inner])[0].cycles == 5
    wide = CpuState(x=0, p=0x24, db=0x7E)
    assert make(bytes.fromhex("BDFF10"), Setup(ends="end")).run([wide])[0].cycles == 5


def _expected(op: isa.Op, wide_a: bool, wide_x: bool, direct_low: bool) -> int:
    extra = op.extra
    return (
        op.cycles
        + ("m" in extra and wide_a)
        + 2 * ("w" in extra and wide_a)
        + ("x" in extra and wide_x)
        + ("d" in extra and direct_low)
        + ("p" in extra and wide_x)
    )


@pytest.mark.parametrize("wide_a", [False, True])
@pytest.mark.parametrize("wide_x", [False, True])
@pytest.mark.parametrize("direct_low", [False, True])
def test_every_opcode_takes_the_cycles_of_the_table(make: Make, wide_a: bool, wide_x: bool, direct_low: bool) -> None:
    p = 0x04 | (0 if wide_a else 0x20) | (0 if wide_x else 0x10)
    start = CpuState(p=p, d=1 if direct_low else 0, db=0x7E, a=0x0000, memory={0x7E0000: bytes(0x300)})
    for op in isa.OPS:
        if op.mnemonic in ("brk", "cop", "rti", "xce") or "t" in op.extra:
            continue
        code = bytes([op.code]) + b"\x10" * (isa.size(op, wide_a, wide_x) - 1)
        trace = make(code, Setup(ends="end", budget=1)).run([start])[0]
        assert trace.cycles == _expected(op, wide_a, wide_x, direct_low), op


@pytest.mark.parametrize(("flags", "cycles"), [(0x00, 3), (0x02, 2)])
def test_a_taken_branch_costs_one_more(make: Make, flags: int, cycles: int) -> None:
    assert make(bytes.fromhex("D000"), Setup(ends="end", budget=1)).run([CpuState(p=0x30 | flags)])[0].cycles == cycles


def test_switching_to_emulation_mode_stops_the_run(make: Make) -> None:
    trace = effect(make, "38FBEA", x=16, y=0x1234)
    assert (trace.stop, trace.end.e, trace.end.y, trace.end.s) == ("emulation", True, 0x34, 0x1FF)


def test_emulation_mode_wraps_the_direct_page_and_the_stack(make: Make) -> None:
    start = CpuState(x=0x20, s=0x100, e=True, memory={0x7E0010: b"\x5a"})
    trace = make(bytes.fromhex("B5F048"), Setup(ends="end")).run([start])[0]
    assert trace.end.a == 0x5A
    assert (trace.writes, trace.end.s) == ({0x7E0100: 0x5A}, 0x1FF)


def test_emulation_mode_keeps_the_pointer_of_dp_x_in_its_page(make: Make) -> None:
    # D.l != 0: the low byte comes from $02FF, the high byte from $0200, as test programs on machines show
    memory = {0x7E02FF: b"\x40", 0x7E0200: b"\x03", 0x7E0300: b"\x04", 0x7E0340: b"\x77"}
    start = CpuState(x=0xEE, d=0x11A, e=True, memory=memory)
    trace = make(bytes.fromhex("A1F7"), Setup(ends="end")).run([start])[0]
    assert trace.end.a == 0x77
