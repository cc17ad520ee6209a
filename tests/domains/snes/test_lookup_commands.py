"""The commands `register`, `disasm` and `lint` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from afs.domains.snes.asm import assemble
from afs.domains.snes.lint_command import CodeLintConfig, LintOutcome, lint_file
from afs.domains.snes.register_command import (
    DisasmConfig,
    RegisterConfig,
    disasm,
    register,
)
from afs.errors import DataError, UsageError


def test_register_answers_both_ways() -> None:
    for name in ("2100", "$2100", "0x2100", "INIDISP", "inidisp", "$80:2100"):
        card = register(RegisterConfig(name=name))
        assert (card.address, card.name) == ("$2100", "INIDISP")
    assert "write-only" in card.text()
    assert "bits 3-0: master brightness" in card.text()


def test_register_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="nearest: VMAIN"):
        register(RegisterConfig(name="VMAINN"))


def test_register_knows_the_users_symbols(tmp_path: Path) -> None:
    path = tmp_path / "game.sym"
    path.write_text("[labels]\n7E:0010 GameMode\n")
    for name in ("GameMode", "gamemode", "7E0010", "$10"):
        card = register(RegisterConfig(name=name, symbols=path))
        assert (card.address, card.name) == ("$7E:0010", "GameMode")
    assert "WRAM" in card.text()
    assert register(RegisterConfig(name="VMAIN", symbols=path)).name == "VMAIN"


def make_rom(tmp_path: Path, mapper: str = "lorom", origin: str = "$008000", copier: bool = False) -> Path:
    source = f"""{mapper}
org {origin}
Reset:
    clc
    xce
    rep #$30
    lda #$1234
    jsr Sub
    stp
Nmi:
    rti
Sub:
    rts
org $00FFC0
    db "TEST ROM             ",$20,$00,$05,$00,$01,$00,$00
    dw $FFFF,$0000
org $00FFEA
    dw Nmi
org $00FFFC
    dw Reset
"""
    image = bytearray(assemble(source).rom.ljust(0x10000 if mapper == "hirom" else 0x8000, b"\0"))
    path = tmp_path / "game.sfc"
    path.write_bytes(bytes(512 * copier) + image)
    return path


@pytest.mark.parametrize("copier", [False, True])
def test_disasm_of_a_rom_starts_at_its_vectors(tmp_path: Path, copier: bool) -> None:
    path = make_rom(tmp_path, copier=copier)
    text = disasm(DisasmConfig(file=path))
    assert "lda.w #$1234" in text
    assert "rti" in text
    assert assemble(text).data == path.read_bytes()[512 * copier :]


def test_disasm_of_a_hirom(tmp_path: Path) -> None:
    path = make_rom(tmp_path, "hirom")
    text = disasm(DisasmConfig(file=path))
    assert text.startswith("hirom")
    assert "lda.w #$1234" in text
    assert assemble(text).data == path.read_bytes()


def test_disasm_of_a_part_of_a_rom(tmp_path: Path) -> None:
    text = disasm(DisasmConfig(file=make_rom(tmp_path), at="008002", length=5, entry=("$00:8004",), m=16))
    assert "org $008002" in text
    assert "lda.w #$1234" in text


def test_disasm_writes_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "code.bin").write_bytes(b"\xea\x60")
    said = disasm(DisasmConfig(file=tmp_path / "code.bin", out=tmp_path / "code.asm"))
    assert said.startswith(str(tmp_path / "code.asm"))
    assert assemble((tmp_path / "code.asm").read_text()).data == b"\xea\x60"


def test_disasm_of_bad_input(tmp_path: Path) -> None:
    (tmp_path / "empty.bin").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        disasm(DisasmConfig(file=tmp_path / "missing.bin"))
    with pytest.raises(UsageError, match="want a hex address"):
        disasm(DisasmConfig(file=make_rom(tmp_path), at="here"))
    with pytest.raises(UsageError, match="nothing to disassemble"):
        disasm(DisasmConfig(file=tmp_path / "empty.bin"))
    with pytest.raises(UsageError, match="past the end"):
        disasm(DisasmConfig(file=make_rom(tmp_path), at="1F8000"))


def write(tmp_path: Path, source: str) -> Path:
    path = tmp_path / "code.asm"
    path.write_text(source)
    return path


def test_lint_reports_lines_and_says_no(tmp_path: Path) -> None:
    path = write(tmp_path, "lorom\norg $008000\nrep #$20\nlda #$12\nrts\n")
    out = lint_file(CodeLintConfig(file=path))
    assert isinstance(out, LintOutcome)
    assert out.exit_code == 3
    assert f"{path}:4: error: lda with an 8-bit immediate" in out.text()
    assert lint_file(CodeLintConfig(file=path, rule=("stack-return",))).exit_code == 0
    assert lint_file(CodeLintConfig(file=write(tmp_path, "rts\n"))).exit_code == 0


def test_lint_takes_contract_defines_and_includes(tmp_path: Path) -> None:
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "part.asm").write_text("lda #!value\nrts\n")
    (tmp_path / "contract.json").write_text(json.dumps({"m": 16, "out": ["a"]}))
    path = write(tmp_path, "Start:\nincsrc part.asm\n")
    config = CodeLintConfig(
        file=path, include=(tmp_path / "inc",), define={"value": "$12"}, contract=tmp_path / "contract.json"
    )
    out = lint_file(config)
    assert isinstance(out, LintOutcome)
    assert [one.rule for one in out.findings] == ["width-immediate"]
    assert out.findings[0].file.endswith("part.asm")


def test_lint_explains_and_corrects_names(tmp_path: Path) -> None:
    assert "# math-early" in str(lint_file(CodeLintConfig(explain="math-early")))
    assert "| [width-join]" in str(lint_file(CodeLintConfig(explain="all")))
    with pytest.raises(UsageError, match="did you mean 'math-early'"):
        lint_file(CodeLintConfig(explain="math-erly"))
    with pytest.raises(UsageError, match="no rule"):
        lint_file(CodeLintConfig(file=write(tmp_path, "rts"), rule=("nonsense",)))
    with pytest.raises(UsageError, match="want a file"):
        lint_file(CodeLintConfig())
    with pytest.raises(DataError, match="cannot be read"):
        lint_file(CodeLintConfig(file=tmp_path / "missing.asm"))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match=r"bad\.json"):
        lint_file(CodeLintConfig(file=write(tmp_path, "rts"), contract=tmp_path / "bad.json"))


LOST = "Start:\n    pha\n    rts\n    lda #$01\n    rts\n"


def rules_of(out: object) -> list[str]:
    assert isinstance(out, LintOutcome)
    return [one.rule for one in out.findings]


def test_comments_turn_rules_off(tmp_path: Path) -> None:
    assert rules_of(lint_file(CodeLintConfig(file=write(tmp_path, LOST)))) == ["unreachable"]
    same_line = LOST.replace("lda #$01", "lda #$01 ; lint: off unreachable")
    assert rules_of(lint_file(CodeLintConfig(file=write(tmp_path, same_line)))) == []
    other_rule = LOST.replace("lda #$01", "lda #$01 ; lint: off stops")
    assert rules_of(lint_file(CodeLintConfig(file=write(tmp_path, other_rule)))) == ["unreachable"]
    block = "; lint: off\n" + LOST + "; lint: on\n" + LOST.replace("Start", "Other")
    found = lint_file(CodeLintConfig(file=write(tmp_path, block)))
    assert isinstance(found, LintOutcome)
    assert [one.line for one in found.findings] == [11]


def test_a_baseline_hides_what_was_there_and_shows_what_is_new(tmp_path: Path) -> None:
    path, known = write(tmp_path, LOST), tmp_path / "lint.json"
    done = lint_file(CodeLintConfig(file=path, baseline=known, update_baseline=True))
    assert isinstance(done, LintOutcome) and not done.findings and "wrote 1 findings" in done.note
    assert rules_of(lint_file(CodeLintConfig(file=path, baseline=known))) == []
    path.write_text("; moved down\n" + LOST)
    assert rules_of(lint_file(CodeLintConfig(file=path, baseline=known))) == []
    path.write_text(LOST + LOST.replace("Start", "Other").replace("#$01", "#$02"))
    assert rules_of(lint_file(CodeLintConfig(file=path, baseline=known))) == ["unreachable"]
    with pytest.raises(UsageError, match="baseline"):
        lint_file(CodeLintConfig(file=path, update_baseline=True))


def test_rules_that_are_often_wrong_are_for_pedants(tmp_path: Path) -> None:
    path = write(tmp_path, "    jsr Sub\n    rts\nSub:\n    pla\n    pla\n    pla\n    rtl\n")
    assert "stack-below" not in rules_of(lint_file(CodeLintConfig(file=path)))
    assert "stack-below" in rules_of(lint_file(CodeLintConfig(file=path, pedantic=True)))
    assert rules_of(lint_file(CodeLintConfig(file=path, rule=("stack-below",)))) == ["stack-below"]


def test_findings_in_an_included_file_name_it(tmp_path: Path) -> None:
    write(tmp_path, LOST).rename(tmp_path / "part.asm")
    found = lint_file(CodeLintConfig(file=write(tmp_path, 'org $008000\nincsrc "part.asm"\n')))
    assert isinstance(found, LintOutcome)
    assert [(Path(one.file).name, one.line) for one in found.findings] == [("part.asm", 4)]
    assert found.text().startswith(str(tmp_path / "part.asm"))


def test_reports_for_other_tools(tmp_path: Path) -> None:
    path = write(tmp_path, LOST)
    line = str(lint_file(CodeLintConfig(file=path, format="github")))
    assert line.startswith(f"::warning file={path},line=4,title=unreachable::")
    log = json.loads(str(lint_file(CodeLintConfig(file=path, format="sarif"))))
    run = log["runs"][0]
    assert log["version"] == "2.1.0" and run["tool"]["driver"]["rules"][0]["id"] == "unreachable"
    result = run["results"][0]
    assert (result["ruleId"], result["level"]) == ("unreachable", "warning")
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 4}
