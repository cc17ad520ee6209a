"""`afs snes asm` and `afs snes patch`, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from afs import command_options
from afs.cli.argument_parser import sort_words as fast_words
from afs.cli.command_runner import find_command, read_config, sort_words
from afs.cli.main import main
from afs.domains.snes.asm_commands import AsmConfig, asm
from afs.domains.snes.file_assembler import COMMAND, AsmOptions, AsmResult
from afs.domains.snes.knowledge.symbols import read_symbols
from afs.domains.snes.rom import fix_checksum

SOURCE = '!v ?= $01\norg $808000\nmain: lda #!v\n.end rtl\nprint "at ",hex(main_end)\n'


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "main.asm"
    path.write_text(SOURCE)
    return path


def test_all_outputs(source, tmp_path, capsys):
    files = {flag: tmp_path / f"out.{flag}" for flag in ("sym", "listing", "ips", "bps")}
    flags = [word for flag, path in files.items() for word in (f"--{flag}", str(path))]
    assert main(["snes", "asm", str(source), "-o", str(tmp_path / "out.sfc"), "-D", "v=$12", *flags]) == 0
    assert capsys.readouterr().out.startswith("at 808002\n3 bytes in 1 block")
    assert (tmp_path / "out.sfc").read_bytes() == b"\xa9\x12\x6b"
    assert read_symbols(files["sym"]) == {0x808000: "main", 0x808002: "main_end"}
    assert "80:8000  A9 12" in files["listing"].read_text() and "main: lda #$12" in files["listing"].read_text()
    (tmp_path / "empty.sfc").write_bytes(b"")
    for patch in ("ips", "bps"):
        words = ["snes", "patch", str(files[patch]), "--rom", str(tmp_path / "empty.sfc"), "-o", str(tmp_path / patch)]
        assert main(words) == 0
        assert (tmp_path / patch).read_bytes() == b"\xa9\x12\x6b"


def test_a_rom_with_copier_header_keeps_it(source, tmp_path, capsys):
    rom = bytearray(0x8000)
    fix_checksum(rom)
    (tmp_path / "base.smc").write_bytes(b"H" * 512 + rom)
    words = ["snes", "asm", str(source), "--rom", str(tmp_path / "base.smc"), "-o", str(tmp_path / "out.smc")]
    assert main(words) == 0
    assert "copier header" in capsys.readouterr().out
    out = (tmp_path / "out.smc").read_bytes()
    assert out[:512] == b"H" * 512 and out[512:515] == b"\xa9\x01\x6b" and len(out) == 0x8200
    words = [
        "snes",
        "patch",
        str(tmp_path / "made.bps"),
        "--rom",
        str(tmp_path / "base.smc"),
        "--to",
        str(tmp_path / "out.smc"),
    ]
    assert main(words) == 0
    words = [
        "snes",
        "patch",
        str(tmp_path / "made.bps"),
        "--rom",
        str(tmp_path / "base.smc"),
        "-o",
        str(tmp_path / "again.smc"),
    ]
    assert main(words) == 0 and (tmp_path / "again.smc").read_bytes() == out


def test_an_odd_rom_is_told_of(source, tmp_path, capsys):
    rom = bytearray(0x8000 + 100)
    rom[0x7FC0:0x7FD5] = b"A TITLE".ljust(21)
    fix_checksum(rom)
    rom[0] ^= 1
    (tmp_path / "odd.sfc").write_bytes(rom)
    assert main(["snes", "asm", str(source), "--rom", str(tmp_path / "odd.sfc")]) == 0
    shown = capsys.readouterr().out
    assert "odd size" in shown and "checksum in its header is wrong" in shown


def test_errors_go_to_standard_error_with_their_ids(source, tmp_path, capsys):
    source.write_text("org $8000\n  foo\n")
    assert main(["snes", "asm", str(source), "-o", str(tmp_path / "out.sfc")]) == 1
    shown = capsys.readouterr()
    assert "main.asm:2:3: error: (Eunknown_command)" in shown.err and shown.out == ""
    assert not (tmp_path / "out.sfc").exists()
    assert main(["snes", "asm", str(tmp_path / "nope.asm")]) == 1
    assert main(["snes", "asm", str(source), "--origin", "xyz"]) == 2
    assert "want a hex address" in capsys.readouterr().err


def test_json_and_includes(source, tmp_path, capsys):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "part.asm").write_text("db 1,2\n")
    source.write_text("org $8000\nincsrc part.asm\n")
    assert main(["snes", "asm", str(source), "-I", str(tmp_path / "lib"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["blocks"] == ["$808000: 01 02"] and result["bytes"] == 2
    assert main(["snes", "asm", str(source)]) == 1


def test_a_project_may_include_from_beside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "shared.asm").write_text("db $55\n")
    for name in ("../shared.asm", "..\\shared.asm"):
        main = tmp_path / "src" / "main.asm"
        main.write_text(f'org $008000\nincsrc "{name}"\n')
        assert asm(AsmConfig(file=main)).blocks == ("$808000: 55",)


def test_negative_numbers_in_conditions(tmp_path: Path) -> None:
    main = tmp_path / "main.asm"
    main.write_text("org $008000\nif -1 < 0\ndb 1\nendif\nif 3 > -2 && -5 != 5\ndb 2\nendif\n")
    assert asm(AsmConfig(file=main)).blocks == ("$808000: 01 02",)


def test_a_rom_is_patched_in_place_as_asar_does(source, tmp_path, capsys):
    rom = tmp_path / "game.sfc"
    rom.write_bytes(b"\xff" * 0x8000)
    assert main(["snes", "asm", str(source), str(rom), "--no-checksum", "--symbols", "mesen"]) == 0
    assert rom.read_bytes() == b"\xa9\x01\x6b" + b"\xff" * 0x7FFD
    assert (tmp_path / "game.mlb").read_text() == "SnesPrgRom:0:main\nSnesPrgRom:2:main_end\n"
    assert read_symbols(tmp_path / "game.mlb") == {0x808000: "main", 0x808002: "main_end"}
    assert main(["snes", "asm", str(source), str(tmp_path / "new.sfc"), "--symbols", "wla"]) == 0
    assert (tmp_path / "new.sfc").read_bytes() == b"\xa9\x01\x6b" and (tmp_path / "new.sym").exists()
    assert main(["snes", "asm", str(source), str(rom), "-o", str(rom)]) == 2


def test_errors_leave_the_rom_alone_and_keep_what_was_said_before(tmp_path, capsys):
    source, rom = tmp_path / "bad.asm", tmp_path / "game.sfc"
    source.write_text('print "one"\nwarn "two"\norg $8000\nlda nowhere\n')
    rom.write_bytes(b"\xff" * 0x8000)
    assert main(["snes", "asm", str(source), str(rom)]) == 1
    said = capsys.readouterr().err
    assert [word for word in ("one", "two", "Elabel_not_found") if word in said] == ["one", "two", "Elabel_not_found"]
    assert rom.read_bytes() == b"\xff" * 0x8000


def test_labels_of_ram_and_registers_in_mesens_names(tmp_path):
    path = tmp_path / "ram.asm"
    path.write_text("Hp = $7E0010\nMp = $0012\nScreen = $2100\nSave = $700004\nOpen = $6000\norg $818000\nFar: rtl\n")
    assert asm(AsmConfig(file=path, sym=tmp_path / "ram.mlb")).files
    assert set((tmp_path / "ram.mlb").read_text().split()) == {
        "SnesWorkRam:10:Hp", "SnesWorkRam:12:Mp", "SnesRegister:2100:Screen", "SnesSaveRam:4:Save",
        "SnesPrgRom:8000:Far",
    }  # fmt: skip
    assert read_symbols(tmp_path / "ram.mlb")[0x7E0012] == "Mp"


@pytest.mark.parametrize(
    "words",
    [
        ("main.asm",),
        ("main.asm", "game.sfc"),
        ("--file", "main.asm", "-o", "a.sfc", "--no-checksum"),
        ("main.asm", "-oa.sfc", "--strict", "false"),
        ("-I", "first", "-I", "second", "main.asm", "--origin=808000"),
        ("-I", "", "main.asm"),
        ("main.asm", "--file", "other.asm"),
        ("--", "main.asm", "--quiet"),
        ("main.asm", "--checksum", "--listing", "a.lst", "--rom", "b.sfc"),
    ],
)
def test_simple_words_mean_the_same_to_the_fast_start_and_to_the_config(words):
    given = fast_words(words, command_options.kinds(COMMAND), COMMAND.short, has_files=True)
    fast = command_options.read_options(COMMAND, given.plain, given.flags)
    command, rest = find_command(["snes", "asm", *words])
    config = read_config(command, sort_words(rest, command.config))
    assert AsmOptions(**fast) == AsmOptions(*(getattr(config, name) for name in AsmOptions._fields))


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("a.asm", "b.sfc", "c.sfc"),
        ("a.asm", "--json"),
        ("a.asm", "-D", "v=1"),
        ("a.asm", "--symbols", "wla"),
        ("a.asm", "--rom", "none"),
        ("a.asm", "--rmo", "b.sfc"),
        ("a.asm", "--strict", "true", "--checksum=yes"),
        ("a.asm", "--help"),
        ("a.asm", "--workspace", "here"),
        ("-I", '["one"]', "a.asm"),
    ],
)
def test_other_words_are_left_to_the_config(words):
    given = fast_words(words, command_options.kinds(COMMAND), COMMAND.short, has_files=True)
    assert command_options.read_options(COMMAND, given.plain, given.flags) is None


@pytest.mark.parametrize("words", [("@other.toml",), ("-x", "a.asm"), ("a.asm", "--rom"), ("nowhere.asm",)])
def test_mistakes_are_reported_as_by_every_command(words, capsys):
    assert main(["snes", "asm", *words]) in (1, 2)
    assert capsys.readouterr().err.count("\n") == 1


def test_json_shows_the_same_result(source, capsys):
    assert main(["snes", "asm", str(source)]) == 0
    shown = capsys.readouterr().out
    assert main(["snes", "asm", str(source), "--json"]) == 0
    assert AsmResult(**json.loads(capsys.readouterr().out)).text() + "\n" == shown
