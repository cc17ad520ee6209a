"""What one instruction does to the abstract state. Control flow is not here: see `walk`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from afs.domains.snes import isa
from afs.domains.snes.flow.abstract_state import Belief, Known, SavedFlags, Slot, high, low, whole

M, X, D, C = 0x20, 0x10, 0x08, 0x01

WATCHED: Final = frozenset({0x2100, 0x2102, 0x2103, 0x2115, 0x2116, 0x2117, 0x2121, 0x2181, 0x2182, 0x2183, 0x4200})
"""Registers whose last value is remembered, besides the DMA channels."""

MDMAEN: Final = 0x420B
SPENT: Final = "spent"
"""What a byte count holds after its transfer."""

_BLANK_FLAGS: Final = frozenset({0x4210, 0x4212})
_WAITS: Final = {0x4203: 8, 0x4206: 16}
_ACCUMULATOR: Final = frozenset({"adc", "sbc", "and", "ora", "eor", "asl", "lsr", "rol", "ror", "inc", "dec"})
_CARRY: Final = frozenset({"adc", "sbc", "asl", "lsr", "rol", "ror", "cmp", "cpx", "cpy"})
_WIDE_PUSH: Final = {"pea": "pea", "pei": "pei", "per": "pea"}


class Insn(NamedTuple):
    """A decoded instruction; `line` is its place in the source, 0 when there is none."""

    address: int
    op: isa.Op
    operand: int
    size: int
    line: int = 0

    @property
    def after(self) -> int:
        """Address of the next instruction (the bank wraps)."""
        return self.address & 0xFF0000 | self.address + self.size & 0xFFFF


def effective_address(insn: Insn, state: Belief) -> int | None:
    """The address an operand names, if it is certain; a data bank not known counts as one that sees the registers."""
    mode, operand = insn.op.mode, insn.operand
    if mode in ("long", "abs"):
        if mode == "long":
            return operand
        return (state.b << 16 if isinstance(state.b, int) else 0) | operand
    if mode == "dp" and isinstance(state.d, int):
        return state.d + operand & 0xFFFF
    index = {"abs_x": state.ix, "long_x": state.ix, "abs_y": state.iy}.get(mode)
    if isinstance(index, int):
        base = operand if mode == "long_x" else (state.b << 16 if isinstance(state.b, int) else 0) | operand
        return base + index & 0xFFFFFF
    return None


def step(insn: Insn, state: Belief) -> Belief:
    """The state after an instruction that falls through to the next one."""
    name = insn.op.mnemonic
    if state.math:
        state = state._replace(math=max(0, state.math - insn.op.cycles))
    if insn.op.mode in ("imm_m", "imm_x"):
        state = _seen(insn, state)
    handler = _HANDLERS.get(name)
    if handler:
        state = handler(insn, state)
    elif name in _ACCUMULATOR and insn.op.mode not in ("imp",):
        state = _arithmetic(insn, state)
    return state._replace(carry=None) if name in _CARRY else state


def _seen(insn: Insn, state: Belief) -> Belief:
    """Believe the width an immediate was written with, even against what was known: a fault is reported once."""
    narrow = int(insn.size == 2)
    if insn.op.mode == "imm_m" and state.m != narrow:
        return state._replace(m=narrow, m_from="seen")
    if insn.op.mode == "imm_x" and state.x != narrow:
        return state._replace(x=narrow, x_from="seen")
    return state


def _arithmetic(insn: Insn, state: Belief) -> Belief:
    if insn.op.mode == "acc" or insn.op.mnemonic in ("adc", "sbc", "and", "ora", "eor"):
        return _set_a(state, None, None)
    return _store(insn, state, None, None, state.m)


def _set_a(state: Belief, lower: Known, upper: Known) -> Belief:
    """Load A: the high byte stays when A is 8 bits wide."""
    if state.m == 1:
        return state._replace(a=lower)
    if state.m is None:
        return state._replace(a=lower if lower == state.a else None, ah=upper if upper == state.ah else None)
    return state._replace(a=lower, ah=upper)


def _index(state: Belief, value: Known) -> Known:
    """A value as an index register holds it."""
    if isinstance(value, int):
        return value & 0xFF if state.x == 1 else value if state.x == 0 or value < 0x80 else None
    return value if state.x == 0 else None


def _load(insn: Insn, state: Belief) -> Belief:
    value: Known = insn.operand if insn.op.mode in ("imm_m", "imm_x") else None
    name = insn.op.mnemonic
    if effective_address(insn, state) in _BLANK_FLAGS and value is None:
        state = _wait(insn, state)
    if name == "lda":
        return _set_a(state, low(value), high(value))
    return state._replace(ix=_index(state, value)) if name == "ldx" else state._replace(iy=_index(state, value))


def _keep_io(state: Belief, address: int | None, values: list[Known]) -> Belief:
    """Remember what went to the watched registers."""
    if address is None or state.io is None or (address >> 16 & 0x7F) > 0x3F:
        return state
    table = dict(state.io)
    for offset, value in enumerate(values):
        port = (address + offset) & 0xFFFF
        if port in WATCHED or 0x4300 <= port < 0x4380:
            table[port] = value
        if port in _WAITS:
            state = state._replace(math=_WAITS[port])
        if port == MDMAEN and isinstance(value, int):
            table.update(_spent(value))
    return state._replace(io=tuple(sorted(table.items(), key=lambda pair: pair[0])))


def _spent(channels: int) -> dict[int, Known]:
    """After a transfer the byte counts are zero."""
    return {0x4300 + n * 16 + byte: SPENT for n in range(8) if channels >> n & 1 for byte in (5, 6)}


def _store(insn: Insn, state: Belief, lower: Known, upper: Known, narrow: int | None) -> Belief:
    address = effective_address(insn, state)
    if address is None:
        base = insn.operand & 0xFFFF
        hits = insn.op.mode in ("abs_x", "abs_y", "long_x") and 0x4280 <= base < 0x4380
        return state._replace(io=None) if hits else state
    return _keep_io(state, address, [lower] if narrow == 1 else [lower, upper] if narrow == 0 else [lower])


def _sta(insn: Insn, state: Belief) -> Belief:
    return _store(insn, state, state.a, state.ah, state.m)


def _stz(insn: Insn, state: Belief) -> Belief:
    return _store(insn, state, 0, 0, state.m)


def _stxy(insn: Insn, state: Belief) -> Belief:
    value = state.ix if insn.op.mnemonic == "stx" else state.iy
    return _store(insn, state, low(value), high(value), state.x)


def _flags(insn: Insn, state: Belief) -> Belief:
    value = int(insn.op.mnemonic == "sep")
    if insn.operand & M:
        state = state._replace(m=value, m_from="set")
    if insn.operand & X:
        state = state._replace(x=value, x_from="set")
        if value:
            state = state._replace(ix=_narrowed(state.ix), iy=_narrowed(state.iy))
    if insn.operand & C:
        state = state._replace(carry=value)
    return state._replace(decimal=value) if insn.operand & D else state


def _narrowed(value: Known) -> Known:
    """An index register after losing its high byte (a symbol may have been 8 bits wide all along)."""
    return value & 0xFF if isinstance(value, int) else value


def _xce(_: Insn, state: Belief) -> Belief:
    e = state.carry
    state = state._replace(carry=state.e, e=e)
    if e == 1:
        return state._replace(m=1, x=1, m_from="set", x_from="set")
    return state


def _push(state: Belief, *slots: Slot) -> Belief:
    return state if state.stack is None else state._replace(stack=(*state.stack, *slots))


def _push_word(state: Belief, value: Known, kind: str) -> Belief:
    return _push(state, Slot(high(value), kind), Slot(low(value), kind))


def _push_register(insn: Insn, state: Belief) -> Belief:
    name = insn.op.mnemonic
    narrow = state.m if name == "pha" else state.x
    value = whole(state.a, state.ah) if name == "pha" else state.ix if name == "phx" else state.iy
    if narrow is None:
        return _push(state, Slot(value, "m?" if name == "pha" else "x?"))
    if name == "pha":
        slots = [Slot(state.ah, name), Slot(state.a, name)]
    else:
        slots = [Slot(high(value), name), Slot(value if narrow else low(value), name)]
    return _push(state, *(slots[1:] if narrow else slots))


def _push_other(insn: Insn, state: Belief) -> Belief:
    name = insn.op.mnemonic
    if name == "php":
        saved = SavedFlags(state.m, state.x, state.m_from, state.x_from, state.carry, state.decimal)
        return _push(state, Slot(saved, "php"))
    if name == "phb":
        return _push(state, Slot(state.b, "phb"))
    if name == "phk":
        return _push(state, Slot(insn.address >> 16, "phk"))
    if name == "phd":
        return _push_word(state, state.d, "phd")
    value: Known = insn.operand if name == "pea" else None
    return _push_word(state, value, _WIDE_PUSH[name])


def _pull(state: Belief, size: int) -> tuple[Belief, list[Known | SavedFlags]]:
    """Take `size` bytes, the low one first; an unknown stack stays unknown."""
    stack = state.stack
    if stack is None or len(stack) < size or any("?" in slot.kind for slot in stack[-size:]):
        return state._replace(stack=None), [None] * size
    return state._replace(stack=stack[:-size]), [slot.value for slot in reversed(stack[-size:])]


def _plain(value: Known | SavedFlags) -> Known:
    return None if isinstance(value, SavedFlags) else value


def _pull_register(insn: Insn, state: Belief) -> Belief:
    name = insn.op.mnemonic
    narrow = state.m if name == "pla" else state.x
    mark = "m?" if name == "pla" else "x?"
    if state.stack and state.stack[-1].kind == mark:
        value = _plain(state.stack[-1].value)
        state = state._replace(stack=state.stack[:-1])
        return _set_pulled(name, state, low(value), high(value), value)
    if narrow is None:
        return _set_pulled(name, state._replace(stack=None), None, None, None)
    state, got = _pull(state, 1 if narrow else 2)
    lower = _plain(got[0])
    upper = state.ah if narrow and name == "pla" else None if narrow else _plain(got[1])
    value = whole(lower, upper)
    if narrow and name != "pla":
        value = lower
    return _set_pulled(name, state, lower, upper, value)


def _set_pulled(name: str, state: Belief, lower: Known, upper: Known, value: Known) -> Belief:
    if name == "pla":
        return state._replace(a=lower, ah=upper)
    return state._replace(ix=value) if name == "plx" else state._replace(iy=value)


def _plp(_: Insn, state: Belief) -> Belief:
    state, got = _pull(state, 1)
    saved = got[0]
    if isinstance(saved, SavedFlags):
        return state._replace(
            m=saved.m, x=saved.x, m_from=saved.m_from, x_from=saved.x_from, carry=saved.carry, decimal=saved.decimal
        )
    if isinstance(saved, int):
        m, x, carry, decimal = (saved >> bit & 1 for bit in (5, 4, 0, 3))
        return state._replace(m=m, x=x, m_from="set", x_from="set", carry=carry, decimal=decimal)
    return state._replace(m=None, x=None, m_from="unknown", x_from="unknown", carry=None, decimal=None)


def _plb(_: Insn, state: Belief) -> Belief:
    state, got = _pull(state, 1)
    return state._replace(b=_plain(got[0]))


def _pld(_: Insn, state: Belief) -> Belief:
    state, got = _pull(state, 2)
    return state._replace(d=whole(_plain(got[0]), _plain(got[1])))


def _to_index(insn: Insn, state: Belief) -> Belief:
    name = insn.op.mnemonic
    if name in ("tax", "tay"):
        value = whole(state.a, state.ah)
        if state.x == 1 and isinstance(state.a, int):
            value = state.a
        value = _index(state, value)
    else:
        value = {"txy": state.ix, "tyx": state.iy, "tsx": None}[name]
    return state._replace(ix=value) if name in ("tax", "tyx", "tsx") else state._replace(iy=value)


def _to_a(insn: Insn, state: Belief) -> Belief:
    value = state.ix if insn.op.mnemonic == "txa" else state.iy
    return _set_a(state, low(value), high(value))


def _wide(insn: Insn, state: Belief) -> Belief:
    name = insn.op.mnemonic
    if name == "tcd":
        return state._replace(d=whole(state.a, state.ah))
    if name == "tdc":
        return state._replace(a=low(state.d), ah=high(state.d))
    if name == "tsc":
        return state._replace(a=None, ah=None)
    return state._replace(a=state.ah, ah=state.a)


def _count(insn: Insn, state: Belief) -> Belief:
    return state._replace(ix=None) if insn.op.mnemonic[2] == "x" else state._replace(iy=None)


def _move(insn: Insn, state: Belief) -> Belief:
    return state._replace(a=0xFF, ah=0xFF, ix=None, iy=None, b=insn.operand & 0xFF)


def _carry(insn: Insn, state: Belief) -> Belief:
    return state._replace(carry=int(insn.op.mnemonic == "sec"))


def _decimal(insn: Insn, state: Belief) -> Belief:
    return state._replace(decimal=int(insn.op.mnemonic == "sed"))


def _lost_stack(_: Insn, state: Belief) -> Belief:
    return state._replace(stack=None)


def _wait(_: Insn, state: Belief) -> Belief:
    """After an interrupt the screen may be in blanking: forget what was known of it."""
    if state.io is None:
        return state
    return state._replace(io=tuple(pair for pair in state.io if pair[0] != 0x2100))


def _bit(insn: Insn, state: Belief) -> Belief:
    return _wait(insn, state) if effective_address(insn, state) in _BLANK_FLAGS else state


def _rows(handler: Callable[[Insn, Belief], Belief], names: str) -> dict[str, Callable[[Insn, Belief], Belief]]:
    return dict.fromkeys(names.split(), handler)


_HANDLERS: Final[dict[str, Callable[[Insn, Belief], Belief]]] = {
    **_rows(_load, "lda ldx ldy"),
    **_rows(_sta, "sta"),
    **_rows(_stz, "stz"),
    **_rows(_stxy, "stx sty"),
    **_rows(_flags, "rep sep"),
    **_rows(_xce, "xce"),
    **_rows(_push_register, "pha phx phy"),
    **_rows(_push_other, "php phb phk phd pea pei per"),
    **_rows(_pull_register, "pla plx ply"),
    **_rows(_plp, "plp"),
    **_rows(_plb, "plb"),
    **_rows(_pld, "pld"),
    **_rows(_to_index, "tax tay txy tyx tsx"),
    **_rows(_to_a, "txa tya"),
    **_rows(_wide, "tcd tdc tsc xba"),
    **_rows(_count, "inx dex iny dey"),
    **_rows(_move, "mvn mvp"),
    **_rows(_carry, "clc sec"),
    **_rows(_decimal, "cld sed"),
    **_rows(_lost_stack, "txs tcs"),
    **_rows(_wait, "wai"),
    **_rows(_bit, "bit"),
}
