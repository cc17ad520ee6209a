"""Every rule finds its own bad example, is silent on its good one, and clean code stays clean."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs.domains.base import Finding
from afs.domains.snes.contract import parse_contract
from afs.domains.snes.lint import LintOptions, index, lint, page, rules
from afs.domains.snes.lint.lint_source import CHECKS
from afs.domains.snes.tasks import draw_tasks

PAGES = Path(__file__).parents[3] / "docs" / "lint"


def loud(source: str, options: LintOptions | None = None) -> list[Finding]:
    """Findings that are at least half sure."""
    return [one for one in lint(source, options) if one.sure >= 0.5]


def names(source: str, options: LintOptions | None = None) -> set[str]:
    return {one.rule for one in loud(source, options)}


def test_every_rule_has_a_check_and_every_check_a_rule() -> None:
    assert set(rules()) == set(CHECKS)


@pytest.mark.parametrize("name", rules())
def test_the_bad_example_is_found_alone(name: str) -> None:
    found = loud(rules()[name].bad)
    assert {one.rule for one in found} == {name}
    assert all(one.sure <= rules()[name].sure and one.severity == rules()[name].severity for one in found)
    assert all(one.line > 0 and one.message for one in found)


@pytest.mark.parametrize("name", rules())
def test_the_good_example_is_clean(name: str) -> None:
    assert loud(rules()[name].good) == []


@pytest.mark.parametrize("name", rules())
def test_rules_that_are_never_so_sure_are_left_out_and_no_finding_is_lost(name: str) -> None:
    source = rules()[name].bad
    whole = [one for one in lint(source) if one.rule not in rules() or rules()[one.rule].sure >= 0.95]
    assert list(lint(source, LintOptions(least_sure=0.95))) == whole


@pytest.mark.parametrize("name", rules())
def test_the_page_in_the_docs_is_the_rules_own(name: str) -> None:
    assert (PAGES / f"{name}.md").read_text("utf-8") == page(name)


def test_the_index_of_pages_is_whole() -> None:
    assert (PAGES / "index.md").read_text("utf-8") == index()
    assert {path.stem for path in PAGES.glob("*.md")} == {"index", *rules()}


CLEAN = {
    "saved width": "jsr Sub\nrts\nSub:\nphp\nrep #$30\nlda #$1234\nsta $10\nplp\nrts",
    "unknown entry": "Sub:\nlda $10\nbeq +\ninc $12\n+\nrts",
    "width from call": "sep #$30\njsr Sub\nlda #$12\nrts\nSub:\nrep #$20\nlda #$1234\nsta $10\nsep #$20\nrts",
    "callee changes width": "sep #$20\njsr Wide\nlda #$1234\nsta $10\nsep #$20\nrts\nWide:\nrep #$20\nrts",
    "both widths": "sep #$20\njsr Sub\nrep #$20\njsr Sub\nsep #$20\nrts\nSub:\nlda $10\nsta $12\nrts",
    "transfer by stack": "jsr Sub\nrts\nSub:\nsep #$30\nphx\npla\nrts",
    "jump by return": "jsr Sub\nrts\nSub:\npea $8123\nrts",
    "wrapper": "jsl Long\nrts\nLong:\nphb\nphk\nplb\njsr Short\nplb\nrtl\nShort:\nlda $9000\nrts",
    "loop": "jsr Sub\nrts\nSub:\nsep #$30\nldx #$07\n-\nlda $10,x\nsta $20,x\ndex\nbpl -\nrts",
    "reset": "sei\nclc\nxce\nrep #$38\nldx #$1FFF\ntxs\nlda #$0000\ntcd\nsep #$20\nlda #$80\nsta $2100\n-\nbra -",
    "interrupt": "Nmi:\nrep #$30\npha\nphx\nphy\nphb\nphd\nsep #$20\nlda $4210\nrep #$30\npld\nplb\nply\nplx\npla\nrti",
    "multiply": "sep #$20\nlda $10\nsta $4202\nlda $11\nsta $4203\nnop\nnop\nnop\nnop\nrep #$20\nlda $4216\nsep #$20\nrts",
    "divide": "rep #$20\nlda $10\nsta $4204\nsep #$20\nlda $12\nsta $4206\n" + "nop\n" * 8 + "rep #$20\nlda $4214\nsep #$20\nrts",
    "data after call": "jsl Print\ndb $01,$02,$00\nPrint:\nrtl",
    "recursion": "jsr Down\nrts\nDown:\nsep #$20\ndec $10\nbeq +\njsr Down\n+\nrts",
    "repeat": "jsr Sub\nrts\nSub:\nasl #3\nrts",
    "block move": "phb\nrep #$30\nlda #$00FF\nldx #$8000\nldy #$2000\nmvn $7E,$00\nplb\nrts",
    "count in two loads": "phb\nrep #$30\nldx #$8000\nldy #$0000\nlda $8D\nsep #$20\nlda $8D\nmvn $40,$40\nplb\nrts",
    "jump after padding": "lda $10\njmp $9E80\nnop #2\njml $00A000",
    "color": "sep #$20\nstz $2121\nlda $10\nsta $2122\nlda $11\nsta $2122\nrts",
    "screen later": "sep #$20\nlda #$80\nsta $2100\nlda $10\nsta $2118\nlda #$0F\nsta $2100\nwai\nlda $11\nsta $2119\nrts",
    "wait": "sep #$20\nlda #$0F\nsta $2100\n-\nlda $4212\nbpl -\nlda $10\nsta $2104\nrts",
    "coprocessor": "phb\nphk\nplb\nsep #$30\nlda #$01\nsta $2250\nldy $2306\nplb\nrts",
    "long call outside": "sep #$20\njsl $02F000\nlda #$12\nsta $10\nrts",
    "pointer": "rep #$20\nlda #Table\nsta $10\nlda.w #Table>>16\nsta $12\nsep #$20\nlda [$10]\nrts\nTable:\ndw $1234",
}  # fmt: skip


@pytest.mark.parametrize("name", CLEAN)
def test_clean_code_is_clean(name: str) -> None:
    assert [one for one in loud(CLEAN[name]) if one.severity != "info"] == []


@pytest.mark.parametrize(
    ("source", "rule", "line"),
    [
        ("rep #$30\nldx #$12\nrts", "width-immediate", 2),
        ("lda $10\nrts\nnop\nlda $12\nrts", "unreachable", 4),
        ("sep #$10\nldy #$1234\nrts", "width-immediate", 2),
        ("php\nrep #$20\nplp\nlda #$12\nsep #$20\nlda #$1234\nrts", "width-immediate", 6),
        ("sep #$20\njsr Sub\nrts\nSub:\nlda #$1234\nrts", "width-immediate", 5),
        ("lda #$20\nlda #$1234\nrts", "width-immediate", 2),
        ("rep #$20\njsr Sub\nlda #$1234\nrts\nSub:\nsep #$20\nrts", "width-immediate", 3),
        ("clc\nxce\nsec\nxce\nlda #$1234\nrts", "width-immediate", 5),
        ("jsr Sub\nrts\nSub:\nrep #$20\npha\nsep #$20\npla\nrts", "pull-width", 7),
        ("jsr Sub\nrts\nSub:\nphb\nlda $10\nbeq +\nplb\n+\nrts", "stack-join", 9),
        ("jsr Sub\nrts\nSub:\nlda $10\nrtl", "return-kind", 5),
        ("sep #$20\npha\nlda #$12\nrts", "stack-return", 4),
        ("rep #$30\nphx\nldx #$1234\nsep #$30\nplx\nrts", "pull-width", 5),
        ("sep #$30\nphy\nrep #$10\nply\nsep #$10\nrts", "pull-width", 4),
        ("sep #$30\nphp\npha\nrep #$20\npla\nplp\nrts", "pull-width", 5),
        ("sep #$20\nlda $2118\nrts", "register-read", 2),
        ("phd\nrep #$20\nlda #$2100\ntcd\nsep #$20\nldx $00\npld\nrts", "register-read", 6),
        ("rep #$20\nsta $420B\nsep #$20\nrts", "register-width", 2),
        ("lda #$80 : sta $4203 : lda $4216 : rts", "math-early", 1),
    ],
)
def test_faults_by_category(source: str, rule: str, line: int) -> None:
    assert (rule, line) in {(one.rule, one.line) for one in loud(source)}


def test_a_fault_is_told_once_not_at_every_following_immediate() -> None:
    found = loud("rep #$20\nlda #$12\nldy $10\nlda #$34\nlda #$56\nrts")
    assert [one.line for one in found] == [2]


def test_contracts_in_comments_give_the_entry_widths() -> None:
    source = "; in: A   out: A   entry: m16 x8\nSub:\nlda #$12\nrts"
    assert names(source) == {"width-immediate"}
    assert names(source.replace("m16", "m8")) == set()


def test_an_explicit_contract_judges_the_first_routine() -> None:
    contract = parse_contract({"inputs": ["a"], "out": ["a"], "ends": "rtl"})
    assert names("and #$0F\nrts", LintOptions(contract=contract)) == {"return-contract"}
    assert names("tax\nand #$0F\nrtl", LintOptions(contract=contract)) == {"clobber"}
    assert names("phx\ntax\nand #$0F\nplx\nrtl", LintOptions(contract=contract)) == set()


def test_a_bad_contract_comment_is_a_finding() -> None:
    assert names("; in: Q   out: A\nSub:\nrts") == {"contract"}


def test_what_does_not_assemble_is_reported_with_its_id() -> None:
    found = lint("lda #$12\nfrobnicate\nrts")
    assert [(one.rule, one.line, one.sure) for one in found] == [("Eunknown_command", 2, 1.0)]


def test_what_the_assembler_lets_pass_is_reported() -> None:
    assert "Estrict_value_too_big" in names("db $123")


def test_nothing_and_comments_only() -> None:
    assert lint("") == lint("; nothing\n") == ()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_as_code_are_judged(data: bytes) -> None:
    from_bytes = "\n".join(f"db ${byte:02X}" for byte in data)
    lint(from_bytes)


@pytest.mark.parametrize(
    "source",
    [
        "rts\n" * 2000,
        "nop #6000",
        "\n".join(["jsr S"] * 400) + "\nrts\nS:\n" + "beq +\nrts\n+\n" * 400 + "rts",
        "\n".join(f"jsr L{n}" for n in range(400)) + "\nrts\n" + "\n".join(f"L{n}:\nbra L{n}" for n in range(400)),
        "\n".join(f"F{n}:\njsr F{n * 7 % 150}\nrep #$20\njsr F{n * 3 % 150}\nsep #$30\nrts" for n in range(150)),
    ],
    ids=["returns", "nops", "many exits, many callers", "never returning", "mesh of calls"],
)
def test_work_grows_with_the_source_and_no_faster(source: str) -> None:
    steps = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal steps
        steps += event == "call"

    sys.setprofile(count)
    try:
        lint(source)
    finally:
        sys.setprofile(None)
    assert steps < 1_200_000


_TANGLE = """
rep #$30|sep #$20|php|plp|pha|pla|phx|ply|jsr A|jsl B|rts|rtl|A:|B:|lda #$12|ldx #$1234|bra A|beq B|xce|clc|sec|phb|plb
pea $1234|tcd|tsc|tcs|mvn $7E,$7F|sta $420B|lda $4216|sta $4203|rti|jmp (A,x)|jml [$10]|db $00|brk|asl #3|inc $2100
"""
_LINES = st.sampled_from(_TANGLE.strip().replace("\n", "|").split("|"))


@settings(max_examples=80, deadline=None)
@given(st.lists(_LINES, max_size=30))
def test_any_tangle_of_instructions_ends(lines: list[str]) -> None:
    once: list[str] = []
    for line in lines:
        if not (line.endswith(":") and line in once):
            once.append(line)
    for one in lint("\n".join([*once, *(f"{name}:" for name in "AB" if f"{name}:" not in once)])):
        assert 0 < one.sure <= 1


def test_generated_routines_that_pass_their_check_raise_no_alarm() -> None:
    for task in draw_tasks("generate", 3, 30):
        options = LintOptions(contract=parse_contract(task.spec["contract"]))
        found = loud(str(task.spec["code"]), options)
        assert [one for one in found if one.severity != "info"] == [], task.spec["code"]


@pytest.mark.parametrize(
    ("family", "rule"),
    [("stack-imbalance", "stack-return"), ("jsr-rtl-mismatch", "return-contract"), ("register-clobber", "clobber")],
)
def test_injected_faults_are_found(family: str, rule: str) -> None:
    made = list(draw_tasks(f"debug/{family}", 3, 6))
    found = [names(str(t.spec["faulty"]), LintOptions(contract=parse_contract(t.spec["contract"]))) for t in made]
    assert sum(rule in rules_ for rules_ in found) >= len(made) - 1 > 0


def test_memory_outside_the_contract() -> None:
    contract = parse_contract({"reads": ["$12-$13"], "writes": ["$20"], "clobbers": ["a", "flags"]})
    options = LintOptions(contract=contract)
    assert names("lda $12\nora $0013\nsta $20\nrts", options) == set()
    assert names("lda $12\nora $14\nsta $20\nrts", options) == {"contract-read"}
    assert names("lda $12\nsta $7E0021\nrts", options) == {"contract-write"}
    assert names("rep #$20\nlda $13\nsep #$20\nsta $20\nrts", options) == {"contract-read"}
    assert names("lda $12\nsta $20\nlda $20\nrts", options) == set()
    masked = "rep #$20\nlda $13\nand #$00FF\nsep #$20\nsta $20\nrts"
    assert names(masked, options) == set()


def test_optimize_tasks_never_read_what_cannot_be_read() -> None:
    """Neither the code that is given nor the gold answer reads a write-only register: a stored cell may be reloaded, a
    register may not."""
    for task in draw_tasks("optimize/reload", 2, 60):
        for code in (task.spec["code"], task.reference.split("```")[1].removeprefix("asm")):
            assert "register-read" not in names(str(code)), code


def test_a_width_that_an_unknown_routine_may_have_changed_is_no_alarm_by_default() -> None:
    assert names("rep #$20\njsl $00F000\nlda #$12\nrtl") == set()
    assert names("rep #$20\nlda #$12\nrtl") == {"width-immediate"}


def test_a_word_with_an_upper_byte_is_meant_for_both_registers() -> None:
    assert names("rep #$20\nlda #$0F0F\nsta $2100\nsep #$20\nrts") == set()
    assert "register-width" in names("rep #$20\nlda $10\nsta $2100\nsep #$20\nrts")
    assert "register-width" in names("rep #$20\nlda #$0102\nsta $210D\nsep #$20\nrts"), "written twice, one byte each"
