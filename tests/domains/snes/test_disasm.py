"""Whatever the bytes: the text assembles to them again. Code is told from data by following it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs.domains.snes import isa
from afs.domains.snes.asm import assemble
from afs.domains.snes.disasm import DisasmOptions, disassemble, instruction
from afs.domains.snes.rom import snes_to_pc
from afs.errors import DataError

ORIGINS = {
    "lorom": (0x008000, 0x808000, 0x01FFF0, 0x00FFFE, 0xC08123),
    "hirom": (0xC00000, 0x408000, 0x008000, 0xC0FFFA),
    "norom": (0x000000, 0x7E2000, 0x01FFFC),
}


def again(
    data: bytes, origin: int = 0x008000, options: DisasmOptions | None = None, names: dict[int, str] | None = None
) -> str:
    """Disassemble, assemble, compare bytes and place; give the text."""
    how = options or DisasmOptions()
    text = disassemble(data, origin, how, names)
    built = assemble(text, strict=False)
    assert built.data == data, text
    if data:
        assert built.blocks[0].pc == snes_to_pc(origin, how.mapper)
    return text


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=120),
    st.sampled_from([(mapper, origin) for mapper, origins in ORIGINS.items() for origin in origins]),
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(0, 130), max_size=3),
)
def test_any_bytes_come_back(data: bytes, place: tuple, wide_a: bool, wide_x: bool, entries: list[int]) -> None:
    mapper, origin = place
    where = tuple(origin + offset for offset in entries)
    again(data, origin, DisasmOptions(mapper=mapper, wide_a=wide_a, wide_x=wide_x, entries=where))


@pytest.mark.parametrize("wide", [False, True])
def test_every_opcode_is_decoded_and_comes_back(wide: bool) -> None:
    for op in isa.OPS:
        size = isa.size(op, wide, wide)
        data = bytes((op.code, 0x02, 0x80, 0x00))[:size] + b"\xea" * 4
        text = again(data, 0x008000, DisasmOptions(wide_a=wide, wide_x=wide))
        assert f"    {op.mnemonic}" in text, text


def test_widths_follow_rep_sep_php_plp_and_calls() -> None:
    # rep #$30 / jsr +5 / lda #$1234 / rts / php / sep #$20 / lda #$12 / plp / rts
    data = bytes.fromhex("c230 200980 a93412 60 08 e220 a912 28 60")
    text = again(data)
    assert "lda.w #$1234" in text
    assert "lda.b #$12" in text
    assert "db" not in text


def test_data_behind_a_return_is_data() -> None:
    text = again(bytes.fromhex("a901 60 a902 60"))
    assert text.count("lda") == 1
    assert "db $A9,$02,$60" in text


def test_an_entry_makes_it_code() -> None:
    text = again(bytes.fromhex("a901 60 a902 60"), options=DisasmOptions(entries=(0x8000, 0x8003)))
    assert text.count("lda.b") == 2


def test_targets_get_labels_also_outside() -> None:
    text = again(bytes.fromhex("f004 22563412 80f8"))
    assert "beq loc_008006" in text
    assert "sub_123456 = $123456" in text
    assert "bra loc_008000" in text or "bra sub_008000" in text


def test_a_branch_into_an_instruction_keeps_the_bytes() -> None:
    text = again(bytes.fromhex("80ff a9ea 60"))
    assert "loc_008001 = $008001" in text


def test_a_branch_across_the_bank_border_is_data() -> None:
    text = again(bytes.fromhex("8010"), 0x00FFFE)
    assert "db $80,$10 ; bra across the bank border" in text


def test_symbols_name_labels_and_remarks() -> None:
    names = {0x008003: "Wait", 0x7E0010: "Mode", 0x008000: "Main", 0x123456: "not a label", 0x008001: "lda"}
    text = again(bytes.fromhex("ad1000 80fb"), names=names)
    assert "Main:" in text
    assert "lda.w $0010 ; Mode" in text
    assert "bra Main" in again(bytes.fromhex("80fe"), names=names)
    assert "lda:" not in text


def test_registers_are_named_in_remarks_unless_the_bank_hides_them() -> None:
    assert "sta.w $2100 ; INIDISP" in again(bytes.fromhex("8d0021 60"))
    # lda #$7E / pha / plb / sta $2100
    assert "INIDISP" not in again(bytes.fromhex("a97e 48 ab 8d0021 60"))
    assert ";" not in disassemble(bytes.fromhex("8d0021 60"), options=DisasmOptions(comments=False))


def test_code_that_runs_through_a_mirror_is_followed() -> None:
    # jml $808005 at $008000; there: rep #$20, lda #$1234
    text = again(bytes.fromhex("5c058080 00 c220 a93412 60"))
    assert "lda.w #$1234" in text


def test_long_data_goes_on_in_the_next_bank() -> None:
    data = bytes(range(256)) * 200
    text = again(data, 0x00F000)
    assert "org $018000" in text


def test_ram_is_no_place_for_a_rom() -> None:
    with pytest.raises(DataError, match="no ROM address of lorom"):
        disassemble(b"\xea", 0x7E0000)


def test_one_instruction_as_text() -> None:
    assert instruction(isa.ENCODING["lda", "dp_long_y"], 0x12, 2) == "lda [$12],y"
    assert instruction(isa.ENCODING["mvn", "block"], 0x7F7E, 3) == "mvn $7E,$7F"
    assert instruction(isa.ENCODING["jsl", "long"], 0x123456, 4, "There") == "jsl There"
    assert instruction(isa.ENCODING["asl", "acc"], 0, 1) == "asl a"
