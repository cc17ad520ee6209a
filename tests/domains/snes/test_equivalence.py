"""Equivalence: what is found, what is claimed, and that the compiled comparison and the plain one say the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs.domains.snes import batch_runner, cpu_kernel
from afs.domains.snes.contract import Contract, parse_comment, parse_contract
from afs.domains.snes.equivalence import Equality, compare, equal, format_flags, measure_cost
from afs.domains.snes.harness import Setup, placed
from afs.domains.snes.start_states import BYTES, CORNERS, SAMPLED, plan_starts
from afs.errors import DataError

needs_c = pytest.mark.skipif(cpu_kernel.core() is None, reason="no compiled core")


def code(text: str) -> bytes:
    return bytes.fromhex(text)


def contract(text: str) -> Contract:
    found = parse_comment("; " + text)
    assert found is not None
    return found


ADD_TWO = contract("in: A out: A clobbers: flags")


def test_equal_exhaustively_over_one_byte() -> None:
    result = equal(code("1A1A60"), code("18690260"), ADD_TWO)
    assert result.same
    assert result.exhaustive
    assert (result.states, result.reason.split(" (")[0]) == (2048, "equal, exhaustively")


def test_a_sample_is_not_called_exhaustive() -> None:
    result = equal(code("1A1A60"), code("18690260"), ADD_TWO, states=100)
    assert (result.same, result.exhaustive, result.reason) == (True, False, "no difference in 100 states")


def test_three_bytes_are_too_many_to_try_all() -> None:
    result = equal(code("A51060"), code("A51060"), contract("in: $10-$12 out: A"))
    assert (result.states, result.exhaustive) == (SAMPLED, False)


def test_bounds_make_inputs_few() -> None:
    wide = contract("in: A in 0..9, X in 1..3, C out: A")
    assert equal(code("60"), code("60"), wide).states % (10 * 3 * 2) == 0


def test_nothing_is_exhausted_where_nothing_is_declared() -> None:
    result = equal(code("60"), code("60"), Contract())
    assert (result.states, result.exhaustive) == (SAMPLED, False)


def test_costs_in_both_clocks_and_bytes() -> None:
    result = equal(code("1A1A60"), code("18690260"), ADD_TWO)
    assert (result.original.bytes, result.candidate.bytes) == (3, 4)
    assert (result.original.cycles.min, result.original.cycles.max) == (2 + 2 + 6, 10)
    # two INC: 8 + 6 each; RTS: 8 fetched, two pulls of 8, three internal of 6
    assert result.original.clocks.mean == 2 * 14 + 8 + 16 + 18


def test_a_difference_is_shown_as_a_state_and_lines() -> None:
    result = equal(code("1A1A60"), code("1A60"), ADD_TWO)
    assert (result.same, result.at_fault) == (False, "candidate")
    example = result.counterexample
    assert example is not None
    assert example.number == 0
    assert example.lines == (f"A: original ${example.start.a + 2:04X}, candidate ${example.start.a + 1:04X}",)


def test_a_difference_in_one_of_256_values_is_found() -> None:
    # cmp #$C7 : bne + : inc : + rts
    result = equal(code("60"), code("C9C7D0011A60"), ADD_TWO)
    assert result.counterexample is not None
    assert result.counterexample.start.a & 0xFF == 0xC7


@pytest.mark.parametrize(
    ("original", "candidate", "text", "word"),
    [
        ("851060", "851160", "in: A out: $10", "writes $7E0011"),
        ("851060", "8510861160", "in: A, X out: $10", "writes $7E0011"),
        ("4860", "60", "in: A out: A", "original ends with"),
        ("60", "4860", "in: A out: A", "candidate ends with"),
        ("60", "6B", "in: A out: A", "candidate"),
        ("60", "C22060", "in: A out: A exit: m8", "exit width"),
        ("60", "C21060", "in: A out: A", "P: original"),
        ("60", "A20060", "in: A out: A", "X: original"),
        ("60", "F4007EABAB60", "in: A out: A clobbers: flags", "DB: original"),
        ("8D002160", "9C00218D002160", "in: A out: A clobbers: $2100", "register accesses"),
        ("60", "80FE", "in: A out: A", "budget"),
        ("60", "38FB60", "in: A out: A", "emulation"),
        ("60", "00", "in: A out: A", "brk"),
    ],
)
def test_everything_that_can_break(original: str, candidate: str, text: str, word: str) -> None:
    result = equal(code(original), code(candidate), contract(text))
    assert not result.same
    assert word in result.reason


def test_clobbers_scratch_and_stack_are_free() -> None:
    free = contract("in: A out: A clobbers: X, Y, flags, $20-$2F")
    assert equal(code("60"), code("4868AAA885258A60"), free).same


def test_ways_of_comparing_registers() -> None:
    loop = code("A9018D2221A9028D222160")
    other = code("A9018D2221A9038D222160")
    base = {"inputs": ["a"], "clobbers": ["a", "flags"]}
    strict = parse_contract(base)
    assert "CGRAM" in equal(loop, other, strict).reason
    ignoring = parse_contract({**base, "registers": "ignore", "writes": ["CGRAM $0000-$01FF", "$2122"]})
    assert not equal(loop, other, ignoring).same
    twice = code("A9008D0021A90F8D0021A90060")
    once = code("A90F8D0021A90060")
    assert not equal(twice, once, strict).same
    assert equal(twice, once, parse_contract({**base, "registers": "end"})).same


def test_uninitialized_reads_are_told() -> None:
    result = equal(code("A51060"), code("A51060"), contract("in: A out: A clobbers: flags"))
    assert (result.same, result.exhaustive) == (True, False)
    assert result.candidate.uninitialized == ("$7E0010",)
    assert "$7E0010, which the contract does not define" in result.reason


def test_a_direct_page_that_may_lie_anywhere() -> None:
    anywhere = contract("in: $10 out: A clobbers: flags d: any")
    assert not equal(code("AD100060"), code("A51060"), anywhere).same
    assert not equal(code("AD100060"), code("A51060"), anywhere).exhaustive


def test_both_widths_at_entry() -> None:
    both = contract("in: A out: A clobbers: flags entry: m any x8")
    assert not equal(code("1A60"), code("18690160"), both).same
    assert equal(code("1A60"), code("1A60"), both).same


def test_rtl_and_falling_off_the_end() -> None:
    assert equal(code("1A1A6B"), code("1869026B"), contract("in: A out: A clobbers: flags ends: rtl")).same
    assert equal(code("1A1A"), code("186902"), contract("in: A out: A clobbers: flags ends: end")).same
    assert equal(code("1ADB"), code("1ADB"), contract("in: A out: A ends: stop")).same


def test_code_in_ram() -> None:
    setup = Setup(origin=0x7E3000)
    assert compare(code("1A1A60"), code("18690260"), ADD_TWO, setup).same


def test_contract_memory_that_is_rom_is_refused() -> None:
    with pytest.raises(DataError, match="not RAM"):
        equal(code("60"), code("60"), contract("in: $808000 out: A"))


def test_cost_of_one_routine() -> None:
    got = measure_cost(code("C900D0011A60"), contract("in: A out: A clobbers: flags"))
    assert got.holds
    assert got.exhaustive
    assert (got.side.cycles.min, got.side.cycles.max) == (2 + 3 + 6, 2 + 2 + 2 + 6)
    assert not measure_cost(code("4860"), ADD_TWO).holds


def test_flags_as_text() -> None:
    assert (format_flags(0x81), format_flags(0x30)) == ("NvmxdizC", "nvMXdizc")


def test_the_first_states_are_corners() -> None:
    starts = plan_starts(contract("in: A, X, $10-$11 out: A entry: m16 x16"), ("lorom", 0x8000, 0), 0x80, 0, 64)
    assert [starts.state(at).a for at in range(len(CORNERS))] == list(CORNERS)
    assert starts.state(1).memory == {0x7E0010: b"\xff\xff"}
    assert len({starts.state(at).a for at in range(64)}) > 40


_NAMES = ["a", "b", "x", "y", "c", "n", "v", "z"]


@needs_c
@settings(max_examples=60, deadline=None)
@given(
    inputs=st.lists(st.sampled_from(_NAMES), unique=True),
    m=st.sampled_from([0, 8, 16]),
    x=st.sampled_from([0, 8, 16]),
    reads=st.lists(st.sampled_from(["$10", "$20-$21", "$30-$4A", "$7E2000-$7E2007"]), unique=True),
    bounded=st.booleans(),
    d=st.sampled_from([0, 0x100, "any"]),
    db=st.sampled_from([0x7E, "origin", "any"]),
    seed=st.integers(0, 2**63),
    states=st.sampled_from([0, 40]),
)
def test_both_make_the_same_start_states(bounded: bool, seed: int, states: int, **fields: object) -> None:
    bounds = {"x": {"low": 3, "high": 77}, "$20-$21": {"low": 256, "high": 300}} if bounded else {}
    made = parse_contract({**fields, "bounds": bounds, "decimal": bounded})
    setup = Setup()
    starts = plan_starts(made, placed(setup, b"\x60").where, 0x80, seed, states, (0x1234, 0x56, 0xFFFF))
    for number in {0, 1, 9, 10, 17, 39, starts.total - 1}:
        regs, data = batch_runner.start_state(b"\x60", setup, made, starts, number)
        state = starts.state(number)
        assert (regs.a, regs.x, regs.y, regs.d, regs.db, regs.p) == (
            state.a,
            state.x,
            state.y,
            state.d,
            state.db,
            state.p,
        )
        sizes = [item.size for item in starts.items if item.kind == BYTES]
        varied = state.fill.to_bytes(8, "little") + state.phase.to_bytes(8, "little")
        assert data == b"".join(state.memory.values()) + varied
        assert len(data) == sum(sizes) + 16


_PAIRS = [
    ("1A1A60", "18690260", "in: A out: A clobbers: flags"),
    ("1A1A60", "1A60", "in: A out: A clobbers: flags"),
    ("A210741CCA10FB60", "641C60", "out: $10-$2C clobbers: X, flags"),
    ("851060", "8510861160", "in: A, X out: $10"),
    ("B510187520954060", "B510187521954060", "in: X in 0..3, $10-$27 out: $40-$43 clobbers: A, b, flags"),
    ("8D02428E0342EAEAEAEAAD164260", "8D02428E0342AD164260", "in: A, X out: A clobbers: b, flags, $4202-$4203"),
    ("60", "AD422160", "in: A out: A"),
    ("9C34129C341260", "9C341260", "in: A out: $1234 clobbers: A, X, Y, flags"),
    ("9C341260", "60", "in: A out: $1234 clobbers: A, X, Y, flags"),
    ("60", "AD341260", "in: A out: A clobbers: A, b, X, Y, flags"),
    ("60", "AD124260", "in: A out: X clobbers: A, b, flags"),
    ("8D2221", "8D2221EA", "in: A out: A, $2122, CGRAM $0000-$01FF ends: end"),
    ("A51060", "A51060", "in: A out: A clobbers: flags"),
    ("4860", "4860", "in: A out: A"),
]


@needs_c
@pytest.mark.parametrize(("original", "candidate", "text"), _PAIRS)
def test_the_plain_comparison_says_the_same(
    original: str, candidate: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = contract(text)

    def both() -> Equality:
        return equal(code(original), code(candidate), made, states=30, seed=7)

    fast = both()
    monkeypatch.setattr(cpu_kernel, "core", lambda: None)
    slow = both()
    assert msgspec.to_builtins(fast) == msgspec.to_builtins(slow)


def test_threads_do_not_disturb_each_other() -> None:
    jobs = _PAIRS * 6

    def one(job: tuple[str, str, str]) -> Equality:
        return equal(code(job[0]), code(job[1]), contract(job[2]), states=40)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, jobs)) == [one(job) for job in jobs]


def test_ram_under_the_code_is_put_back() -> None:
    setup, made = Setup(origin=0x7E3000), contract("in: A out: A clobbers: flags")
    first = compare(code("1A60"), code("18690160"), made, setup, states=20)
    assert first.same
    peek = contract("in: X out: A, b clobbers: flags entry: m16 x16")
    reader = code("AF00307E60")
    assert equal(reader, reader, peek).candidate.uninitialized == ("$7E3000", "$7E3001")
