"""Assembly: dialects told apart, routines with their own bounds, and what is said above them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ingest.test_readers import read

from afs import datasets, plugins
from afs.ingest.asm_routines import Routine, find_routines


def found(text: str, spoken: str) -> dict[str, Routine]:
    return {routine.name: routine for routine in find_routines(text, spoken)}


def bounds(text: str, spoken: str) -> dict[str, tuple[int, int]]:
    return {name: (routine.first, routine.last) for name, routine in found(text, spoken).items()}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("asar", "org $008000\nincsrc a.asm\n!x = 1\nStart:\n  lda #1\n"),
        ("asar", "arch spc700\norg 0\nStart:\n.loop\n  mov a,#1\n  bra .loop\n"),
        ("asar", "Start:\n  %copy(a, b)\n.loop:\n  rts\n"),
        ("ca65", '.segment "CODE"\n.proc Start\n  lda #1\n  rts\n.endproc\n'),
        ("ca65", '.include "lib.i"\nMain:\n: wai\n  bra :-\n'),
        ("ca65", "ROUTINE Start\n.A16\n.I16\n  IF_MINUS\n    LDA #1\n  ENDIF\n  RTS\n"),
        ("wla-dx", '.bank 0\n.section "a"\nStart:\n  lda #1\n.ends\n'),
        ("wla-dx", '.include "hdr.asm"\n.section ".rodata" superfree\ndata:\n.incbin "a.pic"\n.ends\n'),
        ("bass", "arch snes.cpu\nscope main: {\n  lda #1\n}\n"),
        ("bass", "namespace Room {\n// in: A\na8()\ncode()\nfunction Draw {\n  lda.b #1\n  rts\n}\n}\n"),
        ("bass", "// Negates: R1 = !R0\narch snes.gsu\nStart:\n  not // R0 = !R0\n"),
        ("unknown", "Start:\n  lda #1\n"),
    ],
)
def test_dialects_are_recognized(name: str, text: str) -> None:
    dialect = plugins.load("afs.ingest.asm_dialects:detect_dialect")
    assert dialect(text) == name  # type: ignore[operator]


def test_a_record_carries_comment_contract_symbols_and_lines(tmp_path: Path) -> None:
    (tmp_path / "a.asm").write_text(
        "; SPDX-License-Identifier: ISC\n\n; ==========\n; Clears the buffer.\n; In: X = size\nClearBuffer:\n"
        "    lda #$00 ; Value of Nothing\n.loop\n    sta $2118\n    sta Buffer,x\n    dex\n    bne .loop\n    rts\n\n"
        "; ----\nOther:\n    rts\nValue = $10\n"
    )
    records, dropped, reading = read("asm", tmp_path)
    assert (
        datasets.question_text(records[0])
        == "Write the assembly routine `ClearBuffer`: Clears the buffer.\nIn: X = size"
    )
    assert records[0].origin.uri.endswith("a.asm#L6-13") and records[0].origin.license == "ISC"
    assert records[0].tags == ("dialect:asar", "symbol:$2118", "symbol:Buffer")
    assert [d.reason for d in dropped] == ["too few operations"]
    assert reading.counts["lines"] == 18


def test_lines_are_counted_as_an_editor_does_whatever_ends_them(tmp_path: Path) -> None:
    text = "; Page one.\x0c\r\n; Gives one.\r\nOne:\r\n    lda #1\r\n    nop\r\n    rts\r\n"
    (tmp_path / "a.s").write_bytes(text.encode())
    (tmp_path / "b.s").write_bytes(text.replace("One", "Uno").encode("utf-16"))
    records, _, reading = read("asm", tmp_path)
    assert [r.origin.uri.partition("#")[2] for r in records] == ["L3-6", "L3-6"]
    assert reading.counts["lines"] == 12
    assert "\r" not in datasets.answer_text(records[0])


def test_labels_that_code_runs_or_branches_into_are_places_inside() -> None:
    text = (
        "Wait:\n  lda $10\n  bmi Failed\nLoop:\n  dex\n  bne Loop\n  rts\nFailed:\n  lda #1\n  rts\n"
        "Second:\n  jsr Third\n  nop\nThird:\n  rts\n"
    )
    assert bounds(text, "ca65") == {"Wait": (1, 10), "Second": (11, 13), "Third": (14, 15)}


def test_a_documented_label_begins_a_routine_even_when_code_runs_into_it() -> None:
    text = "First:\n  lda #1\n\n; Stores what is in A.\nStore:\n  sta $10\n  rts\n"
    assert bounds(text, "ca65") == {"First": (1, 2), "Store": (5, 7)}


def test_two_names_of_one_routine_and_a_name_for_an_end() -> None:
    text = "memcpy_end:\n\n__builtin_copy:\ncopy:\n  lda 4,s\n_again:\n  rtl\n"
    assert bounds(text, "wla-dx") == {"memcpy_end": (1, 1), "__builtin_copy": (3, 7)}


def test_ca65_procedures_end_with_their_block_and_macros_are_none() -> None:
    text = (
        '.segment "CODE"\n; Waits for a frame.\n.proc Wait\n  lda #1\n@again:\n  bit $4212\ninner:\n  bne @again\n  rts\n'
        ".endproc\n\n.macro Twice x\nname:\n  asl x\n.endmacro\n\nAfter:\n: dex\n  bne :-\n  rts\n.rodata\nTable:\n  .byte 1\n"
    )
    assert bounds(text, "ca65") == {"Wait": (3, 10), "After": (17, 20), "Table": (22, 23)}
    assert found(text, "ca65")["Wait"].comment == "Waits for a frame."


def test_settings_may_stand_between_the_comment_and_the_routine() -> None:
    text = (
        "  RTS\n\n;; Copies a block.\n;; INPUT:\n;;\tA - size\n;;\tY - source\n;; OUT: C set when done\n.A16\n.I16\n"
        "ROUTINE Copy\n  IF_LT\n    RTS\n  ENDIF\n  CLC\n  RTS\n\nENDMODULE\n"
    )
    copy = found(text, "ca65")["Copy"]
    assert (copy.first, copy.last, copy.comment) == (10, 15, "Copies a block.")
    assert copy.contract == ("INPUT: A - size Y - source", "OUT: C set when done")


def test_a_comment_above_a_segment_is_not_that_of_the_routine() -> None:
    assert found("; The whole file is a test.\norg $8000\nmain:\n  nop\n  rts\n", "asar")["main"].comment == ""


def test_bass_functions_with_settings_above_and_scopes_around() -> None:
    text = (
        "namespace Text {\n\n// Prints a number.\n//\n// INPUT: A = number\n//        X = column\na8()\ncode()\nfunction Print {\n"
        "    sta.w tmp\n    if DEBUG {\n        nop\n    }\n  Loop:\n    bra Loop\n}\n\n"
        "inline Twice(name) {\n    function {name} {\n        rts\n    }\n}\n}\n\nseek($8000); Start:\n  nop; nop\n  jmp Start\n"
    )
    assert bounds(text, "bass") == {"Print": (9, 16), "Start": (25, 27)}
    printing = found(text, "bass")["Print"]
    assert (printing.comment, printing.contract) == ("Prints a number.", ("INPUT: A = number", "X = column"))
    assert found(text, "bass")["Start"].operations == 3


def test_wla_sections_end_routines_and_block_comments_are_read() -> None:
    text = (
        '.SECTION ".a" SUPERFREE\n\n/**\n  Adds up.\n  in: a = first\n*/\nadd_up:\n  php\n  bra _on\n_on:\n  plp\n  rtl\n\n.ENDS\n\n'
        '.RAMSECTION "v" BANK 0\ncount DSB 2\n.ENDS\n'
    )
    (routine,) = find_routines(text, "wla-dx")
    assert (routine.first, routine.last) == (7, 12)
    assert (routine.comment, routine.contract) == ("Adds up.", ("in: a = first",))


def test_asar_sublabels_statements_and_the_comment_beside_a_label() -> None:
    text = 'show:\t\t; Shows the text.\n  lda #.text : jsr write\n  rts\n.text\tdb "a:b",$ff\n\nnext: : nop\n  rts\norg $9000\n  nop\n'
    shows = found(text, "asar")
    assert (shows["show"].first, shows["show"].last, shows["show"].comment) == (1, 4, "Shows the text.")
    assert shows["show"].operations == 3 and shows["show"].symbols == ("write",)
    assert (shows["next"].first, shows["next"].last) == (6, 7)


def test_code_under_no_label_is_no_routine_and_tables_are_data(tmp_path: Path) -> None:
    text = "  lda #1\nloop:\n  dex\n  bne loop\n  rts\n\nTable:\n  dw Table, 1\n"
    assert bounds(text, "ca65") == {"Table": (7, 8)}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["asar", "ca65", "wla-dx", "bass", "unknown"]),
    st.lists(
        st.sampled_from(
            [".proc a", ".endproc", "a:", "b: rts", "{", "}", "; x", "/*", "*/", "  bne b", "macro m()", "endmacro", ".ends",
             "function f {", "org $1", "if 1", "endif", "", "  db 1", ".section s", "scope c: {", "x = 1", "  jsr a : rts"]
        ),
        max_size=14,
    ),
)  # fmt: skip
def test_any_lines_give_routines_within_the_source_that_do_not_overlap(spoken: str, lines: list[str]) -> None:
    last = 0
    for routine in find_routines("\n".join(lines), spoken):
        assert last < routine.first <= routine.last <= max(1, len(lines))
        assert routine.code == "\n".join(lines[routine.first - 1 : routine.last])
        last = routine.last
