"""The sound processor's instructions and the blocks its code stands in."""

from __future__ import annotations

import pytest

from afs.domains.snes.asm import AsmError, assemble


def code(source: str) -> str:
    return assemble(f"org $008000\narch spc700\n{source}").data.hex()


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("nop : ret : notc", "006fed"),
        ("mov a,#$12 : mov x,$34 : mov y,$1234", "e812f834ec3412"),
        ("mov a,(x+) : mov (x),a : mov sp,x", "bfc6bd"),
        ("mov a,($12+x) : mov a,($12)+y : mov a,$1234+y", "e712f712f63412"),
        ("MOV $12,#$34 : mov $12,$34", "8f3412fa3412"),
        ("adc a,$12 : sbc a,$1234+x : or (x),(y) : eor $12,#$34", "8412b53412195834" + "12"),
        ("cmp x,#$12 : cmp y,$1234", "c8125e3412"),
        ("set3 $12 : clr1 $12.7 : bbs $12.3,+ : nop\n+ bbc2 $12,+\n+", "6212f212631201005312" + "00"),
        ("or1 c,$1234 : and1 c,!$0034.2 : mov1 $0012.5,c : not1 $0010.1", "0a34326a3440ca12a0ea1020"),
        ("tcall 15 : pcall $12 : call $1234 : jmp ($1234+x)", "f14f123f34121f3412"),
        ("addw ya,$12 : movw $12,ya : mul ya : div ya,x", "7a12da12cf9e"),
        ("- dbnz y,- : cbne $12+x,- : dbnz $12,- : bra -", "fefede12fb6e12f82ff6"),
        ("mov.w a,$12 : mov.b a,$0012 : asl.w $12", "e51200e4120c1200"),
        ("push a : pop y : xcn a : tset $1234,a", "2dee9f0e3412"),
    ],
)
def test_instructions(source, data):
    assert code(source) == data


def test_blocks_have_a_header_and_addresses_of_their_own():
    source = "org $008000\nlda #$AA\nspcblock $6000\nstart: jmp start\nendspcblock execute start\nlda #$BB"
    assert assemble(source).data.hex(" ") == "a9 aa 03 00 00 60 5f 00 60 00 00 00 60 a9 bb"


def test_labels_of_a_block_stay_inside():
    source = "org $008000\nspcblock $500\nmain: mov a,#1\nendspcblock\nmain: lda.w main"
    assert assemble(source).labels == {"main": 0x502}


def test_the_older_inline_form():
    source = "org $008000\narch spc700-inline\norg $5000\njmp lab\nlab:\n"
    assert assemble(source).data.hex(" ") == "03 00 00 50 5f 03 50 00 00 00 00"


def test_the_processor_may_change():
    assert assemble("org $008000\nnop\narch spc700\nnop\narch 65816\nnop").data.hex() == "ea00ea"


def test_code_for_the_sound_processor_is_no_65816_instruction():
    statements = assemble("org $008000\nlda #$01\narch spc700\nnop\nmov a,#1").statements
    assert [one.mnemonic for one in statements] == ["lda", "", ""]


@pytest.mark.parametrize(
    ("source", "id"),
    [
        ("arch superfx", "Earch_superfx"),
        ("arch spc700\nmov (x)+,a", "Euse_xplus"),
        ("arch spc700\nmov.l a,$12", "Eopcode_length_too_long"),
        ("arch spc700\ntcall 16", "Einvalid_tcall"),
        ("arch spc700\nmov1 c,$2000.1", "Espc700_addr_out_of_range"),
        ("arch spc700\nlda #1", "Eunknown_command"),
        ("arch spc700\nx: fill 200 : bra x", "Erelative_branch_out_of_bounds"),
        ("spcblock $6000", "Emissing_endspcblock"),
        ("endspcblock", "Eendspcblock_without_spcblock"),
        ("spcblock $6000\norg $9000\nendspcblock", "Efeature_unavaliable_in_spcblock"),
        ("spcblock $6000 custom\nendspcblock", "Espcblock_format"),
        ("startpos $100", "Estartpos_without_spcblock"),
        ("pushpc\norg $9000\narch spc700\npullpc", "Epullpc_different_arch"),
    ],
)
def test_errors(source, id):
    with pytest.raises(AsmError) as caught:
        assemble(f"org $008000\n{source}\n")
    assert id in caught.value.ids


def test_an_unknown_processor_is_ignored_with_a_warning_as_projects_for_other_assemblers_need_it():
    made = assemble("org $008000\narch snes.cpu\nlda #$01")
    assert made.data == b"\xa9\x01" and [warning.id for warning in made.warnings] == ["Wunknown_arch"]
    with pytest.raises(AsmError) as caught:
        assemble("org $008000\narch snes.cpu\nlda #$01", strict=True)
    assert caught.value.ids == ("Eunknown_arch",)
