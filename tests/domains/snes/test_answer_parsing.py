"""Reading answers: blocks, numbers, bytes, diagnoses; and the entities a record speaks of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afs.domains.snes import answer_parsing, answer_values
from afs.domains.snes.pack import DOMAIN
from afs.types import Message, Origin, Record


def test_fences_of_every_kind_and_one_that_never_ends() -> None:
    text = "a\n```asm\nnop\n```\nb\n~~~65816\nrts\n~~~\n````\n```\nstill\n```\n````\n```\nrtl"
    found = answer_parsing.find_blocks(text)
    assert [block.text for block in found] == ["nop\n", "rts\n", "```\nstill\n```\n", "rtl"]
    assert [block.line for block in found] == [3, 7, 10, 15]
    assert [block.kind for block in found] == ["code", "code", "", "code"]


def test_other_languages_and_tool_calls_are_told_apart() -> None:
    found = answer_parsing.find_blocks('```python\nx\n```\n<tool_call>\n{"name": "a"}\n</tool_call>')
    assert [(block.kind, block.text) for block in found] == [("python", "x\n"), ("tool_call", '{"name": "a"}')]


@pytest.mark.parametrize(
    ("text", "is_code"),
    [
        ("lda #$05 : sta $10", True),
        ("loop:\n  dex ; count\n\n  bne loop\n+ rts", True),
        (".done\n    rtl", True),
        ("Load A first.\nlda #$05", False),
        ("", False),
        ("; only a remark", False),
        ("db $01,$02", True),
    ],
)
def test_bare_code_is_known_by_its_statements(text: str, is_code: bool) -> None:
    assert answer_parsing.is_code(text) is is_code


def test_equal_code_has_equal_text_whatever_its_dress() -> None:
    assert answer_parsing.normalize_code("  LDA  $10 ; x\n\n  RTS\n") == answer_parsing.normalize_code("lda $10 : rts")
    assert answer_parsing.normalize_code("lda $10") != answer_parsing.normalize_code("lda $11")


@pytest.mark.parametrize(
    ("text", "base", "want"),
    [
        ("The total is 12 cycles.", 10, 12),
        ("lda: 3\n**14**", 10, 14),
        ("12, or perhaps 13", 10, None),
        ("A is 8-bit", 10, None),
        ("It is $2C.", 16, 0x2C),
        ("0x1F4", 16, 0x1F4),
        ("$10 or $11", 16, None),
        ("3.5", 10, None),
        ("100 %", 10, 100),
        ("no number", 10, None),
        ("```\n99\n```\n7", 10, 7),
    ],
)
def test_the_number_of_an_answer(text: str, base: int, want: int | None) -> None:
    assert answer_values.parse_number(text, base) == want


@given(st.binary(min_size=1, max_size=40))
def test_bytes_are_read_back_however_they_are_set(data: bytes) -> None:
    for text in (
        data.hex(" "),
        data.hex(" ").upper(),
        ", ".join(f"${b:02X}" for b in data),
        f"```\n{data.hex(' ')}\n```",
    ):
        assert answer_values.parse_hex_bytes(f"The bytes are:\n{text}\n") == data


@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    (
        answer_parsing.find_blocks(text),
        answer_values.parse_number(text, 10),
        answer_values.parse_number(text, 16),
        answer_values.parse_hex_bytes(text),
    )
    (
        answer_values.find_diagnoses(text),
        answer_values.starts_with_diagnosis(text),
        answer_parsing.normalize_code(text),
        answer_parsing.is_code(text),
    )


def test_diagnoses_are_named_alike() -> None:
    assert answer_values.find_diagnoses("**Bug: [Missing SEP]** a\n** bug : jsr/rtl mismatch (return)** b") == (
        "missing-sep",
        "jsr-rtl-mismatch",
    )
    assert answer_values.find_diagnoses("Bug: missing-sep") == ()


def test_a_record_is_known_by_registers_addresses_values_and_operations() -> None:
    record = Record(
        id="r",
        domain="snes",
        kind="k",
        messages=(Message(role="user", text="Why INIDISP?\n```asm\nlda #$0F\nsta $2100\nsta $7E0010\n```\n12 times"),),
        origin=Origin(source="test"),
    )
    tags = set(DOMAIN.annotate(record))
    assert {
        "register:INIDISP",
        "address:$2100",
        "address:$7E0010",
        "value:#$0f",
        "number:12",
        "op:lda",
        "op:sta",
    } <= tags
