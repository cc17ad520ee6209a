"""The commands `run`, `cycles` and `equal` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from afs.domains.snes import cpu_commands
from afs.domains.snes.cpu_commands import CyclesConfig, EqualConfig, RunCodeConfig
from afs.errors import AfsError, DataError, UsageError

SUM = """
; in: $10-$13   out: A, $20   clobbers: X, flags
        ldx #$03
        lda #$00
loop:   clc
        adc $10,x
        dex
        bpl loop
        sta $20
        rts
"""
STRAIGHT = "lda $10\nclc\nadc $11\nclc\nadc $12\nclc\nadc $13\nsta $20\nldx #$FF\nrts\n"


def source(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_run_shows_what_happened(tmp_path: Path) -> None:
    path = source(tmp_path, "sum.asm", SUM)
    done = cpu_commands.run(RunCodeConfig(file=path, set={"$10": "01 02 03 04", "x": "$77"}, trace=3))
    assert (done.stop, done.registers["A"], done.registers["X"]) == ("return", "$000A", "$00FF")
    assert list(done.memory) == ["$7E0020"]
    assert done.memory["$7E0020"].endswith("-> $0A")
    assert len(done.trace) == 3
    assert done.trace[1].startswith("$808002  lda #$00")
    assert f"{done.cycles} CPU cycles, {done.clocks} master clocks" in done.text()


def test_machine_code_and_a_rom_are_taken(tmp_path: Path) -> None:
    code = tmp_path / "code.bin"
    code.write_bytes(bytes.fromhex("AF00F08060"))
    rom = tmp_path / "game.sfc"
    rom.write_bytes(bytes(512) + bytes(0x7000) + b"\x5a" + bytes(0xFFF))
    done = cpu_commands.run(RunCodeConfig(file=code, rom=rom))
    assert done.registers["A"] == "$005A"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"set": {"q": "1"}}, UsageError, "--set q"),
        ({"set": {"a": "many"}}, UsageError, "many"),
        ({"set": {"$10": "xyz"}}, UsageError, "hex bytes"),
        ({"set": {"$808000": "00"}}, DataError, "not RAM"),
        ({"origin": "zz"}, UsageError, "--origin"),
        ({"mapper": "hirom"}, UsageError, "--mapper lorom"),
        ({"file": Path("none.asm")}, DataError, "none.asm"),
        ({"budget": 0}, UsageError, "budget"),
    ],
)
def test_wrong_input_is_refused_in_words(
    change: dict[str, object], error: type[AfsError], message: str, tmp_path: Path
) -> None:
    config = RunCodeConfig(**{"file": source(tmp_path, "sum.asm", SUM), **change})  # type: ignore[arg-type]
    with pytest.raises(error, match=message):
        cpu_commands.run(config)


def test_what_is_no_text_or_no_code_is_refused(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.asm"
    garbage.write_bytes(b"\xff\xfe\x00garbage")
    with pytest.raises(DataError, match="not text"):
        cpu_commands.run(RunCodeConfig(file=garbage))
    with pytest.raises(DataError, match="no code"):
        cpu_commands.run(RunCodeConfig(file=source(tmp_path, "empty.asm", "; nothing\n")))
    with pytest.raises(DataError, match="empty"):
        cpu_commands.cycles(CyclesConfig(file=source(tmp_path, "none.bin", "")))
    with pytest.raises(AfsError):
        cpu_commands.run(RunCodeConfig(file=source(tmp_path, "bad.asm", "lda\nfrob #1\n")))


def test_cycles_uses_the_contract_in_the_comment(tmp_path: Path) -> None:
    done = cpu_commands.cycles(CyclesConfig(file=source(tmp_path, "sum.asm", SUM), states=50))
    assert (done.holds, done.states, done.exit_code) == (True, 50, 0)
    assert done.side.cycles.min == done.side.cycles.max == 2 + 2 + 4 * (2 + 4 + 2 + 3) - 1 + 3 + 6
    assert "CPU cycles" in done.text()
    assert "SNES master clocks" in done.text()


def test_cycles_of_code_that_breaks_its_contract_exit_with_3(tmp_path: Path) -> None:
    done = cpu_commands.cycles(CyclesConfig(file=source(tmp_path, "a.asm", "; in: A out: A\nsta $40\nrts\n")))
    assert (done.exit_code, done.holds) == (3, False)
    assert "$7E0040" in done.reason


@pytest.mark.parametrize(("last", "ends"), [("rts", "rts"), ("rtl", "rtl"), ("nop", "end")])
def test_without_a_contract_the_last_instruction_says_how_it_ends(last: str, ends: str, tmp_path: Path) -> None:
    done = cpu_commands.cycles(CyclesConfig(file=source(tmp_path, "a.asm", f"lda #$01\n{last}\n")))
    assert done.holds
    assert f"ends: {ends}" in done.text()


def test_equal_and_unequal(tmp_path: Path) -> None:
    original, straight = source(tmp_path, "a.asm", SUM), source(tmp_path, "b.asm", STRAIGHT)
    same = cpu_commands.equal(EqualConfig(original=original, candidate=straight))
    assert (same.exit_code, same.equality.reason) == (0, "no difference in 4096 states")
    assert same.equality.candidate.cycles.max < same.equality.original.cycles.min
    wrong = source(tmp_path, "c.asm", STRAIGHT.replace("$13", "$12"))
    other = cpu_commands.equal(EqualConfig(original=original, candidate=wrong))
    assert other.exit_code == 3
    shown = other.text()
    assert "- A: original" in shown
    assert "$7E0010:" in shown


def test_a_contract_from_a_file(tmp_path: Path) -> None:
    path = source(tmp_path, "a.asm", "inc a\nrts\n")
    contract = source(tmp_path, "c.json", json.dumps({"inputs": ["a"], "clobbers": ["flags"]}))
    done = cpu_commands.equal(EqualConfig(original=path, candidate=path, contract=contract))
    assert done.equality.exhaustive
    for text, message in (("{", "not JSON"), ('{"inputs": ["q"]}', "'q'"), ("[]", "contract")):
        with pytest.raises(DataError, match=message):
            cpu_commands.equal(EqualConfig(original=path, candidate=path, contract=source(tmp_path, "d.json", text)))


@pytest.mark.parametrize("states", [-1, 10**12])
def test_an_absurd_number_of_states_is_refused(states: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="states"):
        cpu_commands.cycles(CyclesConfig(file=source(tmp_path, "sum.asm", SUM), states=states))


def test_code_runs_where_its_org_puts_it(tmp_path: Path) -> None:
    slow = source(tmp_path, "slow.asm", "org $008000\nlda $10\nsta $12\nrts\n")
    fast = source(tmp_path, "fast.asm", "org $808000\nlda $10\nsta $12\nrts\n")
    low, high = (cpu_commands.run(RunCodeConfig(file=path, fast_rom=True)) for path in (slow, fast))
    assert (low.pc, high.pc) == ("$00FFFF", "$80FFFF")
    assert low.cycles == high.cycles
    assert low.clocks - high.clocks == 2 * 5  # five bytes of code, 8 clocks each instead of 6


PATCH = """
lorom
org $00A123
    jsl Routine
    nop
org $138000
Helper:
    inc $10
    rts
; in: A   out: $10, $12   clobbers: A, flags   ends: rtl
Routine:
    sta $12
    jsr Helper
    rtl
"""


def _base(folder: Path) -> Path:
    path = folder / "base.sfc"
    path.write_bytes(bytes(0x100000))
    return path


def test_a_patch_runs_at_the_target_of_its_hook(tmp_path: Path) -> None:
    patch = source(tmp_path, "patch.asm", PATCH)
    done = cpu_commands.run(RunCodeConfig(file=patch, rom=_base(tmp_path), set={"a": "5"}))
    assert done.note == "entry: Routine at $138003, the target of the hook at $00A123"
    assert (done.stop, list(done.memory)[:2]) == ("return", ["$7E0010", "$7E0012"])
    assert done.instructions == 5
    cost = cpu_commands.cycles(CyclesConfig(file=patch, rom=_base(tmp_path)))
    assert cost.holds and cost.side.cycles.max == done.cycles


@pytest.mark.parametrize("entry", ["Helper", "$138000", "$13:8000"])
def test_a_run_starts_at_a_label_or_an_address(tmp_path: Path, entry: str) -> None:
    patch = source(tmp_path, "patch.asm", PATCH)
    done = cpu_commands.run(RunCodeConfig(file=patch, rom=_base(tmp_path), entry=entry))
    assert (done.stop, done.instructions, list(done.memory)) == ("return", 2, ["$7E0010"])


def test_a_rom_runs_at_an_address(tmp_path: Path) -> None:
    rom = bytearray(0x8000)
    rom[0x123:0x128] = bytes.fromhex("E6101A6B00")
    path = tmp_path / "game.sfc"
    path.write_bytes(rom)
    done = cpu_commands.run(RunCodeConfig(file=path, entry="$008123"))
    assert (done.stop, done.registers["A"]) == ("return", "$0001")
    with pytest.raises(UsageError, match="needs --entry"):
        cpu_commands.run(RunCodeConfig(file=path))
    with pytest.raises(UsageError, match="is not in this lorom ROM"):
        cpu_commands.run(RunCodeConfig(file=path, entry="$7E0000"))


def test_an_unknown_label_gets_a_suggestion(tmp_path: Path) -> None:
    patch = source(tmp_path, "patch.asm", PATCH)
    with pytest.raises(UsageError, match="did you mean Helper"):
        cpu_commands.run(RunCodeConfig(file=patch, rom=_base(tmp_path), entry="Helpr"))


def test_two_patches_are_compared_at_a_label(tmp_path: Path) -> None:
    one = source(tmp_path, "one.asm", PATCH)
    other = source(tmp_path, "two.asm", PATCH.replace("inc $10", "dec $10"))
    rom = _base(tmp_path)
    same = cpu_commands.equal(EqualConfig(original=one, candidate=one, rom=rom, entry="Routine"))
    assert same.equality.same
    different = cpu_commands.equal(EqualConfig(original=one, candidate=other, rom=rom, entry="Routine"))
    assert not different.equality.same
    far = source(tmp_path, "far.asm", PATCH + "org $148000\ndb 1\n")
    with pytest.raises(UsageError, match="several banks"):
        cpu_commands.equal(EqualConfig(original=one, candidate=far, rom=rom, entry="Routine"))
