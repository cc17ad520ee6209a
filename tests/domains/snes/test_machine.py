"""Runs and how they end; and the compiled core held to the plain one, state for state, on random programs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afs.domains.snes import cpu_kernel, isa
from afs.domains.snes.contract import Contract, Range
from afs.domains.snes.harness import Runner, Setup
from afs.domains.snes.machine import PythonMachine, machine, run
from afs.domains.snes.start_states import CpuState
from afs.errors import DataError, UsageError

Make = Callable[[bytes, Setup], Runner]
needs_c = pytest.mark.skipif(cpu_kernel.core() is None, reason="no compiled core")
BOTH = pytest.mark.parametrize(
    "make", [pytest.param(PythonMachine, id="python"), pytest.param(cpu_kernel.NativeMachine, id="c", marks=needs_c)]
)


@BOTH
@pytest.mark.parametrize(
    ("code", "stop", "pc"),
    [
        ("EA60", "return", 0x80FFFF),
        ("DB", "stp", 0x808001),
        ("CB", "wai", 0x808001),
        ("EA00", "brk", 0x808001),
        ("0200", "cop", 0x808000),
        ("80FE", "budget", 0x808000),
        ("38FB", "emulation", 0x808002),
        ("4C0050", "wild", 0x805000),
    ],
)
def test_every_way_to_end(make: Make, code: str, stop: str, pc: int) -> None:
    trace = make(bytes.fromhex(code), Setup(budget=1000)).run([CpuState()])[0]
    assert (trace.stop, trace.pc) == (stop, pc)


@BOTH
def test_rtl_and_rts_are_told_apart_by_the_stack(make: Make) -> None:
    right = make(b"\x6b", Setup(ends="rtl")).run([CpuState()])[0]
    assert (right.stop, right.end.s, right.cycles) == ("return", 0x1FF, 6)
    wrong = make(b"\x60", Setup(ends="rtl")).run([CpuState()])[0]
    assert (wrong.stop, wrong.end.s) == ("return", 0x1FE)


@BOTH
def test_a_forbidden_write_stops_the_run(make: Make) -> None:
    contract = Contract(writes=(Range(start=0x10),))
    trace = make(bytes.fromhex("8510851160"), Setup()).run([CpuState()], contract)[0]
    assert (trace.stop, trace.forbidden, trace.instructions) == ("write", 0x7E0011, 2)
    assert make(bytes.fromhex("8510486860"), Setup()).run([CpuState()], contract)[0].stop == "return"


@BOTH
def test_what_is_read_before_it_is_written(make: Make) -> None:
    code = bytes.fromhex("A5108512A512A520AD422160")
    trace = make(code, Setup()).run([CpuState(memory={0x20: b"\1"})])[0]
    assert trace.uninitialized == (0x2142, 0x7E0010)


@BOTH
def test_one_run_leaves_nothing_for_the_next(make: Make) -> None:
    code = bytes.fromhex("E610A51060")
    state = CpuState(memory={0x10: b"\x41"})
    first, second = make(code, Setup()).run([state, state])
    assert first == second
    assert first.end.a & 0xFF == 0x42
    bare = make(code, Setup()).run([CpuState()])[0]
    assert bare.uninitialized == (0x7E0010,)


@BOTH
def test_code_in_ram_may_change_itself(make: Make) -> None:
    # lda #$1A (inc a) : sta $2005 : <that byte> : rts
    code = bytes.fromhex("A91A8D0520EA60")
    trace = make(code, Setup(origin=0x7E2000)).run([CpuState(db=0x7E)])[0]
    assert trace.end.a == 0x1B


@BOTH
def test_a_jump_over_the_end_of_a_bank_stays_in_it(make: Make) -> None:
    trace = make(bytes.fromhex("8000"), Setup(origin=0x80FFFC, ends="stop")).run([CpuState()])[0]
    assert (trace.stop, trace.pc) == ("brk", 0x80FFFE)
    trace = make(bytes.fromhex("EAEA"), Setup(origin=0x7EFFFE, ends="stop")).run([CpuState()])[0]
    assert trace.pc >> 16 == 0x7E


@BOTH
def test_a_rom_around_the_code_is_read(make: Make) -> None:
    rom = bytes(0x7000) + bytes([0x77]) + bytes(0xFFF)
    trace = make(bytes.fromhex("AF00F08060"), Setup(rom=rom)).run([CpuState()])[0]
    assert trace.end.a == 0x77


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (Setup(origin=0x005000), "no ROM or RAM"),
        (Setup(origin=0x80FFFF), "one bank"),
        (Setup(mapper="nomap"), "nomap"),
        (Setup(sram=100), "8192"),
        (Setup(origin=0x001FFF), "one piece"),
    ],
)
def test_code_that_has_no_place_is_refused(setup: Setup, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        machine(b"\xea\x60", setup)


def test_a_state_cannot_set_what_is_no_memory() -> None:
    with pytest.raises(DataError, match="not RAM"):
        run(b"\x60", [CpuState(memory={0x808000: b"\1"})])


def test_run_takes_many_states() -> None:
    traces = run(bytes.fromhex("1A60"), [CpuState(a=at) for at in range(300)])
    assert [trace.end.a for trace in traces] == [at & 0xFF00 | at + 1 & 0xFF for at in range(300)]


_PORTS = st.sampled_from(
    [
        0x2104, 0x2116, 0x2118, 0x2119, 0x211B, 0x211C, 0x2121, 0x2122, 0x2134, 0x2137, 0x2138, 0x2139, 0x213A, 0x213B,
        0x213C, 0x213D, 0x213F, 0x2140, 0x2180, 0x2181, 0x2183, 0x4016, 0x4202, 0x4203, 0x4204, 0x4206, 0x420D, 0x4210,
        0x4211, 0x4212, 0x4213, 0x4214, 0x4216, 0x4217, 0x4218, 0x4300, 0x5000, 0x1FFF, 0x6000, 0xFFFF,
    ]
)  # fmt: skip
_BYTE = st.integers(0, 255) | st.sampled_from([0, 1, 0x10, 0x7F, 0x80, 0xFF])
_WORD = st.integers(0, 0xFFFF) | st.sampled_from([0, 1, 0xFF, 0x100, 0x1FF, 0x7FFF, 0x8000, 0xFFFF])


@st.composite
def _instruction(draw: st.DrawFn) -> bytes:
    if draw(st.integers(0, 3)) == 0:
        port = draw(_PORTS)
        return bytes([draw(st.sampled_from([0x8D, 0xAD, 0x9C, 0xEE, 0x2C, 0x9D, 0xBD])), port & 0xFF, port >> 8])
    if draw(st.integers(0, 5)) == 0:
        return bytes([draw(st.sampled_from([0xC2, 0xE2])), draw(st.sampled_from([0x10, 0x20, 0x30, 0x08, 0xFF]))])
    op = draw(st.sampled_from(isa.OPS))
    if op.mode == "rel8":
        return bytes([op.code, draw(st.integers(0, 4))])
    return bytes([op.code, *(draw(_BYTE) for _ in range(isa.size(op, True, True) - 1))])


_CODE = st.lists(_instruction(), min_size=1, max_size=20).map(b"".join) | st.binary(min_size=1, max_size=40)
_STATE = st.builds(
    CpuState,
    a=_WORD, x=_WORD, y=_WORD, s=_WORD, d=_WORD, db=_BYTE, p=_BYTE, e=st.booleans(),
    memory=st.fixed_dictionaries({0x7E0000: st.binary(max_size=16), 0x4300: st.binary(max_size=8)}),
)  # fmt: skip


@needs_c
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    code=_CODE,
    state=_STATE,
    origin=st.sampled_from([0x808000, 0x80FFA0, 0x7E2000, 0x7F0000, 0x000200, 0x008000]),
    ends=st.sampled_from(["rts", "rtl", "end", "stop"]),
    fast=st.booleans(),
)
def test_both_cores_do_the_same(code: bytes, state: CpuState, origin: int, ends: str, fast: bool) -> None:
    setup = Setup(origin=origin, ends=ends, fast_rom=fast, budget=600, sram=0x2000)  # type: ignore[arg-type]
    expected = PythonMachine(code, setup).run([state])
    assert cpu_kernel.NativeMachine(code, setup).run([state]) == expected
