"""Labels, defines, macros, conditions, data, places: what stands around the instructions."""

from __future__ import annotations

import pytest

from afs.domains.snes.asm import AsmError, assemble


def code(source: str, **options: object) -> str:
    return assemble(source, origin=0x808000, **options).data.hex(" ").upper()  # type: ignore[arg-type]


def ids(source: str) -> tuple[str, ...]:
    with pytest.raises(AsmError) as caught:
        assemble(source, origin=0x808000)
    return caught.value.ids


def test_sublabels_hang_below_their_parents():
    done = assemble("a: nop\n.x nop\n..y nop\n.z: nop\nb:\n.x\n#c: dw a_x,a_x_y,.x\n", origin=0x8000)
    assert done.labels == {
        "a": 0x8000,
        "a_x": 0x8001,
        "a_x_y": 0x8002,
        "a_z": 0x8003,
        "b": 0x8004,
        "b_x": 0x8004,
        "c": 0x8004,
    }
    assert ids(".x nop") == ("Elabel_missing_parent",)


def test_anonymous_labels_of_any_depth():
    assert code("- bra - : bra + : -- bra -- : + bra ++ : ++ nop") == "80 FE 80 02 80 FE 80 00 EA"
    assert code("- nop\n- bra -\n bra +\n+ bra +\n+") == "EA 80 FE 80 00 80 00"


def test_macro_labels_are_new_in_every_call():
    source = "macro wait()\n?again: dex : bne ?again\n?.x bra ?+\n?+ nop\nendmacro\n%wait() : %wait()"
    assert code(source) == "CA D0 FD 80 00 EA " * 1 + "CA D0 FD 80 00 EA"
    assert ids("bra ?x") == ("Emacro_label_outside_of_macro",) or "Emacro_label_outside_of_macro" in ids("?x: nop")


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("!a = $12\ndb !a", "12"),
        ("!a = 1 : !a += 2\ndb !a", "0C"),
        ("!a = 1\n!b := !a\n!a = 2\ndb !b", "01"),
        ("!a = 1\n!b = !a\n!a = 2\ndb !b", "02"),
        ("!a #= 1+1\ndb !a", "02"),
        ("!a ?= 5\n!a ?= 6\ndb !a", "05"),
        ('!a = "lda #$01 : nop"\n!a', "A9 01 EA"),
        ("!n = a\n!a = 7\ndb !{!n}", "07"),
        ('db "\\!x",!y', "21 78 09"),
        ("!a = 3\n!{b!a} = 4\ndb !b3", "04"),
    ],
)
def test_defines(source, want):
    assert code(source, defines={"y": "9"}) == want


@pytest.mark.parametrize(
    ("source", "id"),
    [
        ("db !nope", "Edefine_not_found"),
        ("!assembler = 1", "Eoverriding_builtin_define"),
        ("!a += 1", "Edefine_not_found"),
        ("x: nop\n!a #= x", "Edefine_label_math"),
        ("!{a", "Emismatched_braces"),
        ("!{a-b} = 1", "Einvalid_define_name"),
        ("macro m()\nmacro n()\nendmacro\nendmacro", "Enested_macro_definition"),
        ("macro m(a\nendmacro", "Ebroken_macro_declaration"),
        ("macro m()\nnop", "Eunclosed_macro"),
        ("endmacro", "Emisplaced_endmacro"),
        ("%nope()", "Emacro_not_found"),
        ("macro m(a)\nendmacro\n%m()", "Emacro_wrong_num_params"),
        ("macro m(a)\ndb <b>\nendmacro\n%m(1)", "Emacro_param_not_found"),
        ("if 1\nnop", "Eunclosed_if"),
        ("endif", "Emisplaced_endif"),
        ("else", "Emisplaced_else"),
        ("x: if x == 1\nendif", "Elabel_in_conditional"),
        ("if 1 && 1 || 1\nendif", "Einvalid_condition"),
        ("if\nendif", "Ebroken_conditional"),
        ("x: nop\nx: nop", "Elabel_redefined"),
        ("pullpc", "Epullpc_without_pushpc"),
        ("pushpc", "Epushpc_without_pullpc"),
        ("org later\nlater:", "Eorg_label_forward"),
        ("error \"no\"", "Eerror_command"),
        ("assert 1 == 2,\"why\"", "Eassertion_failed"),
        ("warnpc $7000", "Ewarnpc_failed"),
        ('db "abc', "Emismatched_quotes"),
        ("foo bar", "Eunknown_command"),
        ("org $80FFFF : nop : nop", "Ebank_border_crossed"),
        ("org $7E0000 : nop", "Esnes_address_doesnt_map_to_rom"),
        ("struct a\nstruct b\nendstruct", "Enested_struct"),
        ("endstruct", "Eendstruct_without_struct"),
        ("struct a", "Estruct_without_endstruct"),
        ("incsrc \"x.asm\"", "Efile_not_found"),
        ("pulltable", "Epulltable_without_table"),
        ("nop\nasar 1.90", "Estart_of_file"),
        ("asar 9.99", "Easar_too_old"),
        ("arch superfx\nnop", "Earch_superfx"),
        ("skip align 3", "Einvalid_alignment"),
        ("for i = 0\nendfor", "Ebroken_for_loop"),
        ("math foo on", "Einvalid_math"),
        ("namespace 1x", "Einvalid_namespace_name"),
        ("norom\nfreecode", "Eno_freespace_norom"),
        ("freespacebyte x : x:", "Eno_labels_here"),
    ],
)  # fmt: skip
def test_errors_have_asars_ids(source, id):
    assert id in ids(source)


def test_an_error_says_where():
    with pytest.raises(AsmError) as caught:
        assemble("nop\n  lda #$01 : foo $12 ; why\n", origin=0x8000, file="main.asm")
    (error,) = caught.value.diagnostics
    assert (error.file, error.line, error.column, error.id) == ("main.asm", 2, 14, "Eunknown_command")
    assert str(error).splitlines() == [
        "main.asm:2:14: error: (Eunknown_command): unknown command [foo $12]",
        "      lda #$01 : foo $12 ; why",
        "                 ^",
    ]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("stx $1234,y", "stx does not take this operand"),
        ("incsrcc x", "did you mean incsrc?"),
        ("qqqq", "unknown command ["),
    ],
)
def test_unknown_commands_come_with_advice(source, said):
    with pytest.raises(AsmError, match=said.replace("[", r"\[").replace("?", r"\?")):
        assemble(source, origin=0x8000)


def test_a_file_that_goes_where_there_is_room(tmp_path):
    (tmp_path / "data.bin").write_bytes(bytes(range(1, 255)))
    source = 'org $008000\ndl there\nincbin "data.bin":1..4 -> there\nincbin "data.bin":0..2 -> $018000'
    rom = assemble(source, rom=bytes(0x80000), include_dirs=[tmp_path]).rom
    assert rom[0x80000:0x8000B] == b"STAR\x02\x00\xfd\xff\x02\x03\x04" and rom[:3] == b"\x08\x80\x90"
    assert rom[0x8000:0x8003] == b"\x01\x02\x00"


def test_all_errors_are_told_at_once_up_to_a_limit():
    assert len(ids("foo\nbar\nbaz")) == 3
    assert ids("foo\n" * 30)[-1] == "Elimit_reached"


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("if 1 : db 1 : else : db 2 : endif", "01"),
        ("if 0\ndb 1\nelseif 1\ndb 2\nelse\ndb 3\nendif", "02"),
        ("if 1 == 1 && 2 < 1\ndb 1\nelse\ndb 2\nendif", "02"),
        ("if 0 || 1\ndb 1\nendif", "01"),
        ("!i = 0\nwhile !i < 3\ndb !i\n!i #= !i+1\nendwhile", "00 01 02"),
        ("for i = 1..4\ndb !i\nendfor", "01 02 03"),
        ("for i = 0..2\nfor j = 0..2\ndb !i*2+!j\nendfor\nendfor", "00 01 02 03"),
        ("rep 3 : nop", "EA EA EA"),
        ('macro m(a,b)\ndb <a>,<b>\nendmacro\n%m(1,2) : %m($10, "3,4")', "01 02 10 03 04"),
        ("macro m(...)\ndb sizeof(...),<...[1]>\nendmacro\n%m(7,8,9)", "03 08"),
        ("macro m(n)\nif <n> > 0\ndb <n>\n%m(<n>-1)\nendif\nendmacro\n%m(2)", "02 01"),
        ("db 1, \\\n2", "01 02"),
        ("db 1,\n2,3", "01 02 03"),
    ],
)
def test_conditions_loops_and_macros(source, want):
    assert code(source) == want


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ('db "A",$01,"é"', "41 01 C3 A9"),
        ("dw $12,$3456 : dl $123456 : dd $12345678", "12 00 56 34 56 34 12 78 56 34 12"),
        ("'A' = $00\ndb \"AB\",'A'\ncleartable\ndb 'A'", "00 42 00 41"),
        ("pushtable : 'A' = 1\ndb 'A' : pulltable\ndb 'A'", "01 41"),
        ("fillbyte $AA : fill 3", "AA AA AA"),
        ("fillword $1234 : fill 3", "34 12 34"),
        ("nop : fill align 4", "EA 00 00 00"),
        ("padbyte $BB : nop : pad $808004", "EA BB BB BB"),
        ("db $FF,,1", ""),
        ("base $7E2000 : x: dw x : base off : y: dw y", "00 20 02 80"),
        ("x = $801234 : lda x", "AD 34 12"),
        ("x = $7E0010 : lda x", "AF 10 00 7E"),
        ("bank $7E : x = $7E0010 : lda x", "AD 10 00"),
        ("optimize dp always : x = $7E0010 : lda x", "A5 10"),
        ("optimize address ram : x = $7E0110 : lda x", "AD 10 01"),
        ('print "x"\nnop', "EA"),
    ],
)
def test_data_and_places(source, want):
    if not want:
        assert "Einvalid_number" in ids(source)
    else:
        assert code(source) == want


def test_skip_leaves_a_gap():
    assert [(b.address, b.data) for b in assemble("nop : skip 2 : nop", origin=0x808000).blocks] == [
        (0x808000, b"\xea"), (0x808003, b"\xea"),
    ]  # fmt: skip


def test_bank_borders_may_be_crossed_when_the_source_says_so():
    done = assemble(
        "check bankcross off\norg $80FFFD\nnop\ndb 1,2,3,4\nx: nop\ncheck bankcross full\nnop", origin=0x8000
    )
    assert [(b.address, b.data) for b in done.blocks] == [
        (0x80FFFD, b"\xea\x01\x02"), (0x818000, b"\x03\x04\xea\xea"),
    ]  # fmt: skip
    assert done.labels["x"] == 0x818002
    assert "Ebank_border_crossed" in ids("check bankcross half : org $C07FFF : hirom : nop : nop")


def test_structs():
    source = """struct obj $7E0100
.x: skip 2
.y: skip 1
endstruct align 4
struct more extends obj
.z: skip 2
endstruct
dw obj.x,obj.y,obj[2].y,obj.more.z : db sizeof(obj),objectsize(obj)"""
    assert code(source) == "00 01 02 01 0E 01 03 01 04 06"


def test_namespaces():
    done = assemble(
        "namespace a\nx: nop\nnamespace nested on\nnamespace b\nx: dw x\nnamespace off\nnamespace off\ndw a_x,a_b_x",
        origin=0x8000,
    )
    assert done.labels == {"a_x": 0x8000, "a_b_x": 0x8001}
    assert done.data.hex() == "ea0180" + "00800180"


def test_pushpc_and_global():
    done = assemble("pushpc : org $818000 : x: nop : pullpc : dw x\nnamespace n\nglobal y:\nnop", origin=0x808000)
    assert [(b.address, b.data) for b in done.blocks] == [(0x808000, b"\x00\x80\xea"), (0x818000, b"\xea")]
    assert done.labels["y"] == 0x808002


def test_prints_come_in_order():
    source = 'print "a ",hex(10,4)," ",dec(12)," ",bin(5,8)," ",double(3)\nx: nop #3\nprint pc," ",bytes\nwarn "w"'
    done = assemble(source, origin=0x808000)
    assert done.prints == ("a 000A 12 00000101 3", "808003 3")
    assert [str(w.head()) for w in done.warnings][-1].endswith("warning: (Wwarn_command): warn command: w")


def test_later_passes_see_what_depends_on_the_place():
    source = "!n = 0\nif pc() > $808000\n!n = 1\nendif\ndb !n\nx: nop\nassert x == $808001\ndb datasize(x)"
    assert code(source + "\ny:") == "00 EA 02"
    assert code('!a = 1\ndb defined("a")\nundef "a"\ndb defined("a")') == "01 00"


def test_missing_org_is_said():
    done = assemble("nop")
    assert [w.id for w in done.warnings] == ["Wmissing_org"] and done.blocks[0].address == 0x808000


def test_mappers():
    for mapper, address, pc in (("lorom", 0x818000, 0x8000), ("hirom", 0xC08000, 0x8000), ("exlorom", 0x018000, 0x408000),
                                ("exhirom", 0x408000, 0x408000), ("sa1rom", 0xC00000, 0), ("norom", 0x10, 0x10)):  # fmt: skip
        done = assemble(f"{mapper}\norg ${address:06X}\nnop")
        assert (done.blocks[0].pc, done.mapper) == (pc, mapper)
    assert assemble("sa1rom 1,0,2,3\norg $008000\nnop").blocks[0].pc == 0x100000


def test_the_checksum_is_mended():
    rom = assemble("lorom\norg $00FFDC\ndw 0,0\norg $008000\ndb 1,2,3").rom
    assert len(rom) == 0x7FE0
    assert int.from_bytes(rom[0x7FDE:0x7FE0], "little") == (sum(rom[:0x7FDC]) + sum(rom[0x7FDC:])) & 0xFFFF
    assert assemble("norom\norg 0\ndb 1,2,3").rom == b"\x01\x02\x03"


def test_freespace_claims_frees_and_claims_again():
    base = bytes(0x80000)
    source = (
        "lorom\norg $00F606\nautoclean jsl code\nfreecode\nprot data\ncode: lda.l data : rtl\nfreedata\ndata: db 1,2,3"
    )
    first = assemble(source, rom=base)
    assert len(first.rom) == 0x100000 and first.rom[0x80000:0x80004] == b"STAR"
    assert not first.warnings[:0] and first.rom[0x7606] == 0x22
    again = assemble(source, rom=first.rom)
    assert again.rom == first.rom
    gone = assemble("lorom\nautoclean read3($00F607)", rom=first.rom)
    assert b"STAR" not in gone.rom


def test_includes_stay_in_the_sandbox(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "data.bin").write_bytes(bytes(range(16)))
    (tmp_path / "in" / "more.asm").write_text('includeonce\ndb $AA\nincbin "data.bin":2..4\n')
    (tmp_path / "secret.bin").write_bytes(b"secret")
    (tmp_path / "in" / "link.bin").symlink_to(tmp_path / "secret.bin")
    folder = [tmp_path / "in"]
    source = (
        'incsrc "more.asm"\nincsrc more.asm\nincbin data.bin:4-6\ndb filesize("data.bin"),readfile2("data.bin",1)&255'
    )
    assert code(source, include_dirs=folder) == "AA 02 03 04 05 10 01"
    for name in ("../secret.bin", str(tmp_path / "secret.bin"), "link.bin", "/etc/passwd", "/dev/zero", "."):
        with pytest.raises(AsmError) as caught:
            assemble(f'incbin "{name}"', origin=0x8000, include_dirs=folder)
        assert set(caught.value.ids) <= {
            "Efile_not_found", "Efailed_to_open_file_access_denied", "Efailed_to_open_not_regular_file",
        }  # fmt: skip
        assert code(f'db canreadfile1("{name}",0)', include_dirs=folder) == "00"
    with pytest.raises(AsmError):
        assemble('incbin "data.bin"', origin=0x8000)


def test_two_runs_are_equal():
    source = "!n = 3\nx: lda later\nfor i = 0..!n\ndw later+!i\nendfor\nlater: rtl"
    assert assemble(source, origin=0x8000).rom == assemble(source, origin=0x8000).rom
