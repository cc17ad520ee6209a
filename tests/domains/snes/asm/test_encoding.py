"""Instructions: every opcode from the table, widths by written digits, and the dialect's own habits."""

from __future__ import annotations

import pytest

from afs.domains.snes.asm import AsmError, assemble
from afs.domains.snes.isa import OPS, SYNTAX, size


def code(source: str, origin: int = 0x808000) -> str:
    return assemble(source, origin=origin).data.hex(" ").upper()


def ids(source: str, **options: object) -> tuple[str, ...]:
    with pytest.raises(AsmError) as caught:
        assemble(source, origin=0x808000, **options)  # type: ignore[arg-type]
    return caught.value.ids


_NUMBERS = {1: "$12", 2: "$1234", 3: "$123456"}


@pytest.mark.parametrize("wide", [False, True])
def test_every_opcode(wide):
    for op in OPS:
        text, operand = _written(op, wide)
        assert assemble(text, origin=0x808000).data == bytes((op.code,)) + operand, text


def _written(op, wide):
    """An instruction as text, and the bytes of its operand."""
    if op.mode in ("imp", "acc"):
        return op.mnemonic, b""
    if op.mode == "block":
        return f"{op.mnemonic} $12,$34", bytes((0x12, 0x34))
    if op.mode in ("rel8", "rel16"):
        return f"here: {op.mnemonic} here", bytes((0xFE,)) if op.mode == "rel8" else bytes((0xFD, 0xFF))
    width = size(op, wide, wide) - 1
    form = "({})" if op.mnemonic == "pei" else SYNTAX[op.mode]
    operand = (0x123456 >> 8 * (3 - width)).to_bytes(3, "little")[:width]
    return f"{op.mnemonic} {form.format(_NUMBERS[width])}", operand


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("lda #$00", "A9 00"),
        ("lda #$0000", "A9 00 00"),
        ("lda $10", "A5 10"),
        ("lda $0010", "AD 10 00"),
        ("lda $000010", "AF 10 00 00"),
        ("lda #255", "A9 FF"),
        ("lda #256", "A9 00 01"),
        ("lda #-1", "A9 FF"),
        ("lda #%00000001", "A9 01"),
        ("lda #%000000001", "A9 01 00"),
        ("lda #'a'", "A9 61"),
        ("lda $10,y", "B9 10 00"),
        ("ldx $10,y", "B6 10"),
        ("LDA.w $10", "AD 10 00"),
        ("lda.l $10", "AF 10 00 00"),
        ("lda.b #$1234", "A9 34"),
        ("mvn $7E,$7F", "54 7E 7F"),
        ("mvp 1,2", "44 01 02"),
        ("wdm", "42 00"),
        ("brk", "00 00"),
        ("brk #$12", "00 12"),
        ("asl #3", "0A 0A 0A"),
        ("nop #2", "EA EA"),
        ("inc", "1A"),
        ("INC A", "1A"),
        ("jmp [$1234]", "DC 34 12"),
        ("jml [$1234]", "DC 34 12"),
        ("jsl $10", "22 10 00 00"),
        ("lda ($10,s),y", "B3 10"),
        ("lda [$10],y", "B7 10"),
        ("pea $10", "F4 10 00"),
        ("bra $10", "80 10"),
        ("jsr $12", "20 12 00"),
        ("sep #$20 : rep #$30", "E2 20 C2 30"),
        ("here: lda here", "AD 00 80"),
        ("here: lda #here", "A9 00 80"),
        ("here: lda #here>>16", "A9 80"),
        ("here: lda #bank(here)", "A9 80 00"),
        ("org $808000 : here: org $818000 : lda here", "AF 00 80 80"),
        ("lda later : later:", "AD 03 80"),
        ("per later : later:", "62 00 00"),
        ("lda.b #later>>8 : later:", "A9 80"),
    ],
)
def test_dialect(source, want):
    assert code(source) == want


@pytest.mark.parametrize(
    "source",
    [
        "blt $10", "swa", "tas", "dea", "sta #$10", "stx $1234,y", "brk $12", "cop $12", "lda ($1234),y", "pei $12",
        "org $808000 : here: org $818000 : jsr here", "lda (label),y : label:", "php $10", "sty $1234,x", "lda.w",
        "inc $123456", "rep $20,x",
    ],
)  # fmt: skip
def test_what_does_not_exist(source):
    assert set(ids(source)) <= {"Eunknown_command", "Einvalid_number", "Emismatched_parentheses", "Einvalid_input"}


def test_branches_reach_so_far_and_no_further():
    assert code("bra end : " + "nop #127 : end: nop").startswith("80 7F")
    assert ids("bra end : nop #128 : end: nop") == ("Erelative_branch_out_of_bounds",)
    assert code("start: nop #126 : bra start").endswith("80 80")
    assert ids("start: nop #127 : bra start") == ("Erelative_branch_out_of_bounds",)


def test_a_suffix_that_does_not_exist():
    assert ids("lda.q $10") == ("Einvalid_opcode_length",)


def test_statements_tell_what_was_written():
    lines = assemble("main: lda.w #$1234 ; hello\n db 1,2\n", origin=0x808000, file="a.asm").statements
    first, second = lines
    assert (first.address, first.data, first.mnemonic, first.form, first.operand) == (
        0x808000, b"\xa9\x34\x12", "lda", "imm_m", "$1234",
    )  # fmt: skip
    assert (first.suffix, first.width, first.file, first.line, first.source) == (
        "w", 2, "a.asm", 1, "main: lda.w #$1234 ; hello",
    )  # fmt: skip
    assert (second.address, second.data, second.mnemonic, second.line) == (0x808003, b"\x01\x02", "", 2)


def test_expressions_go_from_left_to_right_unless_told_otherwise():
    assert code("db 2+3*4") == "14"
    assert code("math pri on\ndb 2+3*4") == "0E"
    assert code("asar 1.90\ndb 2+3*4,7/2*2") == "0E 07"
    assert code("db 7/2*2") == "06"
    assert code("math round off\ndb 7/2*2") == "07"
    assert code("db 2**3,$F0>>4,1<<3,5%3,$0F^$FF,~0,<:$123456,-1") == "08 0F 08 02 F0 FF 12 FF"


def test_mixed_operators_are_warned_of():
    done = assemble("lda 2+3*4", origin=0x808000)
    assert done.data == b"\xa5\x14"
    assert [w.id for w in done.warnings] == ["Wfeature_deprecated"]
    assert not assemble("lda 2+(3*4)", origin=0x808000).warnings


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("max(3,4)", 4), ("min(3,4)", 3), ("clamp(9,1,5)", 5), ("select(0,1,2)", 2), ("bank($123456)", 0x12),
        ("not(1)", 0), ("and(1,2)", 1), ("xor(1,0)", 1), ("equal(2,2)", 1), ("less(3,2)", 0), ("ceil(2)", 2),
        ("safediv(1,0,7)", 7), ("snestopc($018000)&255", 0), ("round(2,0)", 2), ("_max(1,2)", 2), ("sqrt(81)", 9),
        ('stringsequal("a","a")', 1), ('stringsequalnocase("a","A")', 1), ("log2(8)", 3), ("nand(1,1)", 0),
        ("canread1($018000)", 0), ("read1($018000,5)", 5), ('defined("nope")', 0), ("floor(7)", 7),
    ],
)  # fmt: skip
def test_functions(expression, value):
    assert assemble(f"db {expression}", origin=0x808000).data == bytes((value,))


def test_a_function_of_ones_own():
    source = "function color(r,g,b) = r|(g<<5)|(b<<10)\nfunction twice(x) = x*2\ndw color(1,2,3),twice(twice(3))"
    assert code(source) == "41 0C 0C 00"
    assert "Eexpected_parameter" in ids("function f(a,b) = a+b\ndb f(1)")
    assert "Efunction_not_found" in ids("db nope(1)")


@pytest.mark.parametrize(
    ("expression", "id"),
    [
        ("1/0", "Edivision_by_zero"), ("1%0", "Emodulo_by_zero"), ("$", "Einvalid_hex_value"), ("1<<-1", "Enegative_shift"),
        ("(1", "Emismatched_parentheses"), ("1)", "Emismatched_parentheses"), ("sqrt(-1)", "Enan"), ("1 2", "Eunknown_command"),
        ("%2", "Einvalid_binary_value"), ("nope", "Elabel_not_found"), ("1@2", "Eunknown_operator"), ("*", "Einvalid_number"),
    ],
)  # fmt: skip
def test_bad_expressions(expression, id):
    assert id in ids(f"db {expression}")


@pytest.mark.parametrize(
    ("line", "data"),
    [
        ("db $12, $34,$AB", "1234ab"),
        ("DW $1234,$5678", "34127856"),
        ("db $1,$234", "0134"),
        ("db $12", "12"),
        ("dw $12,$3456", "12005634"),
        ("dw 2*3+1,(1+2)*3,$10|$01,7/2,1<<4", "070009001100" + "03001000"),
        ("db 1+2*3", "09"),
        ("db 2-3", "ff"),
    ],
)
def test_plain_data_has_a_fast_path_with_the_same_bytes(line, data):
    assert assemble(f"org $008000\n{line}").data.hex() == data


@pytest.mark.parametrize("line", ["db ,$12$34", "db $12 $34", "db $12,", "db $1G"])
def test_malformed_data_is_an_error(line):
    with pytest.raises(AsmError):
        assemble(f"org $008000\n{line}")


def test_plain_data_near_the_end_of_a_bank_is_checked():
    with pytest.raises(AsmError) as caught:
        assemble("org $00FFFE\ndb $12,$34,$56\nnop")
    assert caught.value.ids == ("Ebank_border_crossed",)
