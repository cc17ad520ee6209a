"""What the walk believes at a place: never more than all paths agree on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afs.domains.snes.asm import assemble
from afs.domains.snes.flow import ENTRY, Belief, FlowGraph, Slot, join, walk
from afs.domains.snes.flow.abstract_state import high, low, whole
from afs.domains.snes.lint.linted_program import CodeLine, split


def flow_of(source: str, entry: Belief = ENTRY) -> tuple[FlowGraph, dict[str, int]]:
    """Walk a source from $008000; give the flow and the labels."""
    built = assemble(source, origin=0x008000)
    lines = [CodeLine(one.line, one.address, one.data, True) for one in built.statements if one.mnemonic]
    insns = {insn.address: insn for line in lines for insn in split(line)}
    start = min(insns)
    return walk([(start, entry)], lambda address, _: insns.get(address)), {
        name: address & 0x7FFFFF | (start & 0x800000) for name, address in built.labels.items()
    }


def at(source: str, entry: Belief = ENTRY) -> Belief:
    """The state at the label `Here`, reached in one way."""
    flow, labels = flow_of(source, entry)
    (state,) = flow.at(labels["Here"])
    return state


def test_widths_and_where_they_come_from() -> None:
    state = at("rep #$20\nsep #$10\nHere:\nrts")
    assert (state.m, state.x, state.m_from) == (0, 1, "set")
    assert at("Here:\nrts").m is None
    assert (at("lda #$12\nHere:\nrts").m, at("lda #$12\nHere:\nrts").m_from) == (1, "seen")


def test_php_and_plp_bring_back_what_was() -> None:
    state = at("sep #$30\nphp\nrep #$30\nlda #$1234\nplp\nHere:\nrts")
    assert (state.m, state.x, state.stack) == (1, 1, ())


def test_plp_of_a_number() -> None:
    state = at("sep #$20\nlda #$10\npha\nplp\nHere:\nrts")
    assert (state.m, state.x) == (0, 1)


def test_xce_goes_both_ways() -> None:
    assert at("clc\nxce\nHere:\nrts").e == 0
    state = at("rep #$30\nsec\nxce\nHere:\nrts")
    assert (state.e, state.m, state.x) == (1, 1, 1)


def test_paths_that_disagree_are_unknown() -> None:
    state = at("sep #$20\nlda $10\nbeq Here\nrep #$20\nHere:\nrts")
    assert (state.m, state.m_from) == (None, "mixed")


def test_registers_keep_symbols_over_push_and_pull() -> None:
    state = at("rep #$30\nphx\nphy\nldx #$1234\nply\nplx\nHere:\nrts")
    assert (state.ix, state.iy, state.stack) == ("x", "y", ())
    assert at("rep #$30\nphx\nply\nHere:\nrts").iy == "x"


def test_a_narrow_load_leaves_the_high_byte() -> None:
    state = at("sep #$20\nlda #$12\nHere:\nrts")
    assert (state.a, state.ah) == (0x12, "a.h")
    assert at("sep #$20\nlda #$12\nxba\nlda #$34\nHere:\nrts")[7:9] == (0x34, 0x12)


def test_banks_and_pages() -> None:
    assert at("phk\nplb\nHere:\nrts").b == 0
    assert at("sep #$20\nlda #$7E\npha\nplb\nHere:\nrts").b == 0x7E
    assert at("pea $7E7F\nplb\nplb\nHere:\nrts").b == 0x7E
    assert at("rep #$20\nlda #$2100\ntcd\nHere:\nrts").d == 0x2100
    assert at("pea $4300\npld\nHere:\nrts").d == 0x4300
    assert at("rep #$30\nlda #$0010\nmvn $7F,$7E\nHere:\nrts").b == 0x7F


def test_calls_bring_back_what_the_routine_leaves() -> None:
    state = at("rep #$30\nldx #$0001\njsr Sub\nHere:\nrts\nSub:\nsep #$20\nlda #$12\nrts")
    assert (state.m, state.a, state.ix) == (1, 0x12, 1)


def test_a_routine_is_seen_once_per_width_it_is_called_with() -> None:
    flow, labels = flow_of("sep #$20\njsr Sub\nrep #$20\njsr Sub\nrts\nSub:\nlda $10\nrts")
    assert {state.m for state in flow.at(labels["Sub"])} == {0, 1}


def test_unknown_calls_keep_widths_less_surely() -> None:
    state = at("sep #$30\nldx #$12\njsl $129000\nHere:\nrts")
    assert (state.m, state.m_from, state.ix, state.io) == (1, "call", None, None)


def test_endless_recursion_and_loops_end() -> None:
    flow, _ = flow_of("A1:\njsr A1\nbra A1")
    assert flow.complete
    flow, _ = flow_of("A1:\npha\nbra A1")
    assert flow.complete


def test_a_spent_budget_is_said() -> None:
    built = assemble("nop #256", origin=0x008000)
    insns = {i.address: i for i in split(CodeLine(1, 0x8000, built.data, True))}
    assert len(insns) == 256
    assert not walk([(0x8000, ENTRY)], lambda address, _: insns.get(address), budget=10).complete


_KNOWN = st.one_of(st.none(), st.integers(0, 0xFFFF), st.sampled_from(["x", "y", "a.l", "d"]))
_BIT = st.one_of(st.none(), st.integers(0, 1))
_SLOTS = st.one_of(
    st.none(), st.lists(st.builds(Slot, _KNOWN, st.sampled_from(["pha", "php", "m?"])), max_size=3).map(tuple)
)
_STATES = st.builds(
    Belief, m=_BIT, x=_BIT, carry=_BIT, a=_KNOWN, ix=_KNOWN, d=_KNOWN, stack=_SLOTS, math=st.integers(0, 16),
    io=st.one_of(st.none(), st.dictionaries(st.sampled_from([0x2100, 0x4300]), _KNOWN).map(lambda d: tuple(sorted(d.items())))),
)  # fmt: skip


@given(_STATES, _STATES)
def test_a_join_claims_no_more_than_either(one: Belief, two: Belief) -> None:
    both = join(one, two)
    for name in ("m", "x", "carry", "a", "ix", "d"):
        if getattr(both, name) is not None:
            assert getattr(one, name) == getattr(two, name) == getattr(both, name)
    assert join(both, one) == both or join(join(both, one), one) == join(both, one)
    if both.stack is not None:
        assert one.stack is not None and two.stack is not None
        assert len(one.stack) == len(two.stack)
    assert both.math == max(one.math, two.math)


@given(st.integers(0, 0xFFFF))
def test_bytes_and_words(value: int) -> None:
    assert whole(low(value), high(value)) == value
    assert whole(low("x"), high("x")) == "x"
    assert whole(high("x"), low("x")) is None
    assert whole(low("x"), high("y")) is None
