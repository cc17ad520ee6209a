"""Any text comes back, nothing is unknown, and what a programmer calls one thing is one token."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs.domains.snes import isa
from afs.domains.snes.knowledge.fact_questions import draw_questions
from afs.domains.snes.knowledge.registers import list_registers

tokenizers = pytest.importorskip("tokenizers")

from afs.domains.snes.tokenizer import DIRECTIVES, SPECIAL, load, save, sources, train, units  # noqa: E402

TEXTS = [f"{one.prompt}\n{one.answer}\n" for one in draw_questions(1, 200)]
TOKENIZER = train(TEXTS, 4096)


def pieces(text: str) -> list[str]:
    ids = TOKENIZER.encode(text, add_special_tokens=False).ids
    return [TOKENIZER.decode([one], skip_special_tokens=False) for one in ids]


def back(text: str, tokenizer: object = TOKENIZER) -> str:
    return tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False)  # type: ignore[attr-defined]


_PIECES = st.sampled_from(
    [
        "lda.w #$1234\n",
        "\r\n\t",
        "  ",
        "$",
        "#$",
        ",x",
        "sta ($10,s),y",
        "; é",
        "\0",
        "🎉",
        "<|im_end|>",
        "db $00,$FF",
        "\x85",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=12).map("".join)))
def test_any_text_comes_back(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode("utf-8")  # half a surrogate pair is no text
    assert back(text) == text


def test_there_is_no_unknown_token_and_every_byte_is_covered() -> None:
    assert TOKENIZER.model.unk_token is None
    for code in range(256):
        assert back(chr(code)) == chr(code)


@pytest.mark.parametrize("word", sorted(isa.MNEMONICS))
def test_mnemonics_are_one_token(word: str) -> None:
    assert pieces(f"\n    {word} ")[1] == word
    assert pieces(f"\n    {word.upper()}\n")[1] == word.upper()
    assert pieces(f"x : {word}\n")[-2] == f" {word}"


def test_directives_and_registers_are_one_token() -> None:
    for word in DIRECTIVES:
        assert word in pieces(f"\n{word} x"), word
    for one in list_registers():
        if one.space == "cpu":
            assert f" {one.name}" in pieces(f"; {one.name}\n"), one.name
            assert one.hexa[1:] in pieces(f"    sta {one.hexa}\n"), one.hexa


def test_a_line_is_cut_where_a_programmer_would() -> None:
    assert pieces("\n    lda.w $1234,x\n") == ["\n    ", "lda", ".w $", "12", "34", ",x", "\n"]
    assert pieces("\n    sta ($10,s),y") == ["\n    ", "sta", " ($", "10", ",s),y"]
    assert pieces("\n    db $00,$FF") == ["\n    ", "db", " $", "00", ",$", "FF"]


def test_the_size_is_kept_and_too_small_a_size_refused() -> None:
    assert TOKENIZER.get_vocab_size() <= 4096
    with pytest.raises(ValueError, match="want at least"):
        train(TEXTS, 300)


def test_the_same_texts_make_the_same_tokenizer() -> None:
    assert train(TEXTS, 4096).to_str() == TOKENIZER.to_str()


def test_units_do_not_depend_on_the_texts() -> None:
    empty = train([], 4096)
    for unit in units():
        assert back(unit, empty) == unit
    assert len(empty.encode("lda", add_special_tokens=False).ids) == 1


@pytest.mark.train  # imports transformers
def test_the_folder_is_an_ordinary_hugging_face_tokenizer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    save(TOKENIZER, tmp_path / "tok")
    text = "Main:\n    rep #$30 : lda.w #$1234 ; naïve  \n\n"
    assert back(text, load(tmp_path / "tok")) == text
    auto = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "tok"))
    ids = auto(text, add_special_tokens=False)["input_ids"]
    assert ids == TOKENIZER.encode(text, add_special_tokens=False).ids
    assert auto.decode(ids) == text
    assert (auto.eos_token, auto.pad_token, auto.unk_token) == (SPECIAL[2], SPECIAL[3], None)


def test_sources_are_read_in_order_and_never_fail_on_bytes(tmp_path: Path) -> None:
    (tmp_path / "b.asm").write_bytes(b"rts\xff")
    (tmp_path / "a.asm").write_text("rtl")
    (tmp_path / "c.bin").write_bytes(b"\0")
    assert list(sources([tmp_path])) == ["rtl", "rts�"]
