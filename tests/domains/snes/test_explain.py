"""`afs snes explain`: what is read, measured, assumed and said by a model, on a ROM of our own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from afs import artifacts
from afs.domains.snes.asm_commands import AsmConfig, asm
from afs.domains.snes.explain.explain_command import ExplainConfig, explain
from afs.domains.snes.explain.explanation import Explanation
from afs.errors import UsageError
from afs.registry import Registry
from afs.workspace import Workspace

SOURCE = """lorom
org $008000
Reset:
    clc
    xce
    sei
    rep #$30
    lda #$0000
    tcd
    sep #$20
    jsr Fade
    jsl Copy
Loop:
    wai
    bra Loop
Nmi:
    rti
Fade:
    lda $0010
    beq .done
    dec a
    sta $0010
    ora #$80
    sta $2100
.done:
    rts
Copy:
    rep #$20
    ldx #$0006
.next:
    lda.l Table,x
    sta $7E0100,x
    dex
    dex
    bpl .next
    jsr Fade
    rtl
Alone:
    lda $4212
    jmp ($0000,x)
Table:
    dw 1,2,3,4
org $00FFC0
    db "TEST ROM             ",$20,$00,$05,$00,$01,$00,$00
    dw $FFFF,$0000
org $00FFE4
    dw Nmi,Nmi,Nmi,Nmi,Nmi,Nmi
org $00FFF4
    dw Nmi,Nmi,Nmi,Nmi,Reset,Nmi
org $00FFFF
    db $80
"""


@pytest.fixture(scope="module")
def rom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rom")
    (folder / "demo.asm").write_text(SOURCE)
    asm(AsmConfig(file=folder / "demo.asm", output=folder / "demo.sfc", sym=folder / "demo.sym"))
    return folder / "demo.sfc"


def ask(rom: Path, address: str, **options: object) -> Explanation:
    options.setdefault("council", "no")
    return explain(ExplainConfig(rom=rom, address=address, symbols=rom.with_suffix(".sym"), **options))  # type: ignore[arg-type]


def said(found: Explanation, basis: str) -> str:
    return "\n".join(sentence.text for sentence in found.summary if sentence.basis == basis)


def test_a_routine_is_read_from_its_bytes(rom: Path) -> None:
    found = ask(rom, "Copy")
    assert found.title == "Copy ($008025) in demo.sfc"
    read = said(found, "read")
    assert "9 instructions in 21 bytes" in read and "returns by rtl in 1 place" in read
    assert "A is 8 bits wide at the entry, X and Y 16: every path from the vectors arrives so." in read
    assert [(row.widths, row.text, row.remark) for row in found.listing[:3]] == [
        ("m8 x16", "rep #$20", ""),
        ("m16 x16", "ldx.w #$0006", ""),
        ("m16 x16", "lda.l $008040,x", "Table"),
    ]
    assert [row.label for row in found.listing if row.label] == ["Copy", "Copy_next"]
    assert [(row.place, row.routine) for row in found.callers] == [("$00800E", "Reset ($008000)")]
    assert [row.routine for row in found.calls] == ["Fade ($008016)"]


def test_a_routine_that_is_entered_with_other_widths_is_named(rom: Path) -> None:
    """`ora #$80` with a 16-bit A takes a byte of the next instruction: the run ends in a brk, and the reason is read."""
    found = ask(rom, "Copy")
    assert "Fade ($008016), which it calls, is entered with m16 x16 and m8 x16." in said(found, "read")
    assert "brk at $008022" in said(found, "measured")
    assert "paths from the vectors arrive with m16 x16 and m8 x16" in said(ask(rom, "Fade"), "assumed")


def test_a_run_is_measured(rom: Path) -> None:
    found = ask(rom, "$80:8016", m="8", x="16", set={"$7E0010": "05"}, trace=3)
    measured = said(found, "measured")
    assert "return at $80FFFF after 7 instructions" in measured
    assert "$7E0010 $05 -> $04" in measured and "$2100=$84" in measured
    assert len(found.trace) == 3 and "as you say" in said(found, "assumed")
    assert [(row.name, row.access, row.places) for row in found.registers] == [("INIDISP", "writes", ("$808021",))]
    assert [row.place for row in found.callers] == ["$00800B", "$008036"], "the mirror of the address is called"


def test_what_nothing_calls_is_said(rom: Path) -> None:
    found = ask(rom, "Alone")
    assert "no path from the vectors leads here" in said(found, "assumed")
    assert "does not call or jump to it" in said(found, "read")
    assert "1 jump through a table is not followed" in said(found, "read")
    assert "No path reaches a return" in said(found, "read")


def test_lint_remarks_are_those_of_the_routine(rom: Path) -> None:
    found = ask(rom, "$008024", m="8", x="8")
    assert found.findings == () and [row.text for row in found.listing] == ["rts"]
    found = ask(rom, "$008018", m="8", x="8")
    assert [(row.place, row.rule) for row in found.findings] == [("$008018", "stops")]


def test_the_page_escapes_what_it_shows(rom: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    other = tmp_path / "<b>.sfc"
    other.write_bytes(rom.read_bytes())
    found = ask(rom, "Copy", html=page)
    assert found.file == str(page) and found.text().endswith(f"page: {page}")
    text = page.read_text()
    assert text.count('class="basis read"') == sum(one.basis == "read" for one in found.summary)
    assert "Fade ($008016)" in text and "ldx.w #$0006" in text and "<script" not in text
    explain(ExplainConfig(rom=other, address="8025", html=page, council="no"))
    assert "&lt;b&gt;.sfc" in page.read_text()


def test_the_council_is_on_top_and_marked(rom: Path, workspace: Workspace) -> None:
    with artifacts.store_artifact(workspace, "farore-shots", form="fewshot", base="echo:x") as pending:
        (pending.folder / "examples.json").write_text(json.dumps([]))
    registry = Registry(workspace)
    registry.register("farore", pending.artifact.ref)
    registry.promote("farore", pending.artifact.ref, reason="test")
    found = ask(rom, "Copy", council="auto", workspace=workspace.root)
    assert found.expert == "farore" and found.council and {one.basis for one in found.council} == {"model"}
    lines = found.text().splitlines()
    assert lines[2] == "What farore says:" and lines[3].startswith("  [model] ")


def test_without_a_council_the_reason_is_said(rom: Path, workspace: Workspace) -> None:
    found = ask(rom, "Copy", council="auto", workspace=workspace.root)
    assert not found.expert and "No council explains it here: no expert is registered" in said(found, "assumed")


@pytest.mark.parametrize(
    ("address", "message"),
    [("7E0000", "not in this lorom ROM"), ("408000", "not in this lorom ROM"), ("Nowhere", "want a hex address")],
)
def test_an_address_that_is_no_code_is_an_error(rom: Path, address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ask(rom, address)


def test_a_file_that_is_no_rom_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.sfc").write_bytes(b"\0" * 100)
    with pytest.raises(UsageError, match="no ROM header is recognized"):
        explain(ExplainConfig(rom=tmp_path / "a.sfc", address="8000"))
