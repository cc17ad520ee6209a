"""Untrusted text: never a crash, never a hang, never much memory; always an AsmError or bytes."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from afs.domains.snes.asm import AsmError, AsmLimits, assemble

BOMBS = [
    "fill 2000000000",
    "org $8000 : fill 32768 : org $8000 : fill 32768\n" * 3000,
    "while 1\nendwhile",
    "while 1\nnop\nendwhile",
    "for i = 0..2000000000\nendfor",
    "for i = 0..2000000000\nnop\nendfor",
    "rep 2000000000 : nop",
    "nop #2000000000",
    "nop #-1",
    "asl #$FFFFFFFF",
    "skip 2000000000 : nop",
    "pad $FFFFFF",
    "!a = x\n!a := !a!a\n" + "!a := !a!a\n" * 40,
    "!a = x\n" + "!a += !a\n" * 60,
    "!a = !b\n!b = !a\ndb !a",
    "macro m()\n%m()\nendmacro\n%m()",
    "macro m()\n%m()\n%m()\nendmacro\n%m()",
    "macro a()\nnop\nnop\nendmacro\n" + "".join(f"macro {c}()\n%{p}()\n%{p}()\n%{p}()\n%{p}()\nendmacro\n" for p, c in zip("abcdefghijk", "bcdefghijkl", strict=True)) + "%l()",
    "db " + "(" * 5000 + "1" + ")" * 5000,
    "db " + "-" * 5000 + "1",
    "function f(x) = f(x)\ndb f(1)",
    "function f(x) = f(x)+f(x)\ndb f(1)",
    "function f(x) = x+x+x+x\ndb " + "f(" * 60 + "1" + ")" * 60,
    "db 2**99999**99999",
    "db $" + "F" * 5000 + " : db " + "9" * 5000 + " : db %" + "1" * 5000,
    "db 1<<$FFFFFFFFFFFFFFFF",
    "dw " + "x," * 20000 + "x",
    "incsrc \"<source>\"",
    "org $FFFFFF : db 1",
    "norom\norg $FFFFFF\ndb 1,2",
    "lda " + "[" * 2000,
    "x" * 100_000,
    "\"" * 9999,
    "'" * 9999,
    "db " + "\"a\"," * 9999 + "1",
    "!" + "{" * 3000,
    "a" * 3000 + ":\n" + "." * 3000 + "b: nop",
    "+" * 5000 + " nop : bra " + "-" * 5000,
    "struct a\n.b: skip 2000000000\nendstruct align 3\n",
    "base $FFFFFF : nop : nop",
    "check bankcross off\n" + "org $8000\nfill 65536\nfill 16000000\n",
    "check bankcross off\nexlorom\norg $FFFFFE\nnop #9",
    "if 1 : " * 3000,
    "lorom\n" + "freecode\nnop\n" * 200,
    "prot x",
    "autoclean jsl x : x:",
    "namespace nested on\n" + "namespace a\n" * 2000 + "x: nop\n" * 3,
    "pushpc\n" * 5000,
    "\\\n" * 20000,
    "a,\n" * 20000,
    "<" * 9000,
    "macro m(a)\ndb <" + "<" * 2000 + "a>\nendmacro\n%m(1)",
    "print " + "hex(" * 500,
    "!a = 5\nwhile !a\n!a #= !a\nendwhile",
    "check title \"\"",
    "db datasize(x)\nx:",
]  # fmt: skip


@pytest.mark.parametrize("source", BOMBS, ids=range(len(BOMBS)))
def test_nothing_hangs(source):
    began = time.process_time()
    try:
        done = assemble(
            source, origin=0x808000, limits=AsmLimits(statements=20_000, statements_per_line=1, bytes_out=4_000_000)
        )
        assert sum(len(block.data) for block in done.blocks) <= 4_000_000
    except AsmError as error:
        assert error.diagnostics and str(error)
    assert time.process_time() - began < 30.0


def test_the_limits_that_everybody_gets_stop_endless_loops():
    began = time.process_time()
    for source in ("while 1\nendwhile", "macro m()\n%m()\nendmacro\n%m()", "fill 2000000000"):
        with pytest.raises(AsmError) as caught:
            assemble(source, origin=0x8000)
        assert caught.value.ids[-1] in ("Elimit_statements", "Erecursion_limit", "Elimit_output")
    assert time.process_time() - began < 30.0


_WORDS = st.sampled_from(
    ["lda", "sta", "jsr", "bra", "bne", "rep", "#$30", "#$20", "#$1234", "$12", "$1234", "$123456", "label", ".sub", "+", "-", "++", "--", "(label)", "[label],y", ",x", "db", "dw", "dl", "dd", '"text"', "'c'", "org", "$008000", "$C08000", "base", "off", "skip", "fill", "3", "align", "pad", "pushpc", "pullpc", "!a", "!{a}", "=", "+=", ":=", "#=", "?=", "macro", "m(a)", "endmacro", "%m(1)", "<a>", "if", "elseif", "else", "endif", "while", "endwhile", "for", "i", "0..3", "endfor", "incsrc", "incbin", "assert", "print", "error", "warn", "lorom", "hirom", "sa1rom", "norom", "struct", "endstruct", "extends", "namespace", "function", "f(a)", "f(1)", "freecode", "freedata", "autoclean", "prot", "table", "pushtable", ":", "==", "<", ">", "&&", "||", "1", "0", "2+3*4", "x:", "?x:", "#y:", "x", ";", "\\", "(", ")", "[", "]", "{", "}", ",", "&", "|", "<<", ">>", "~", "**", "%", "/", "sizeof(x)", "datasize(label)", "pc()", "undef", '"a"', "check", "bankcross", "global", "warnpc", "optimize", "dp", "always", "bank", "noassume", "math", "pri", "on", "mvn", "1,2", "lda.b", "lda.q", "nop", "asl", "a", "@", "header", "arch", "spc700", "namespace", "nested"]
)  # fmt: skip
_SOURCE = st.lists(st.one_of(_WORDS, st.just("\n"), st.just(" : ")), max_size=60).map(" ".join)
_FAST = AsmLimits(statements=5_000, statements_per_line=1, bytes_out=1_000_000)


def _try(source: str | bytes) -> None:
    try:
        done = assemble(source, origin=0x808000, limits=_FAST)
        assert sum(len(b.data) for b in done.blocks) <= sum(len(line.data) for line in done.statements)
    except AsmError as error:
        assert error.diagnostics
        assert all(d.id.startswith("E") and d.column >= 1 and str(d) for d in error.diagnostics)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_SOURCE)
def test_any_words_are_assembled_or_refused(source):
    _try(source)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example("db ²")
@example("²: lda ².²")
@given(st.text(max_size=200))
def test_any_text_is_assembled_or_refused(source):
    _try(source)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_any_bytes_are_assembled_or_refused(source):
    _try(source)
