"""The command `tokenizer`."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tokenizers")

from afs.domains.snes.tokenizer import load
from afs.domains.snes.tokenizer_command import TokenizerConfig, tokenizer
from afs.errors import DataError, UsageError


def test_sources_become_a_folder(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.asm").write_text("Main:\n    lda.w #$1234\n    rts\n" * 20)
    card = tokenizer(TokenizerConfig(sources=(tmp_path / "src",), out=tmp_path / "tok", size=4096))
    assert (card.texts, card.lines) == (1, 60)
    assert 1 < card.per_line < 6
    assert load(tmp_path / "tok").get_vocab_size() == card.tokens


def test_without_sources_the_packs_own_texts_are_used(tmp_path: Path) -> None:
    card = tokenizer(TokenizerConfig(out=tmp_path / "tok", size=4096, count=3))
    assert card.texts == 15


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        tokenizer(TokenizerConfig(sources=(tmp_path / "none",), out=tmp_path / "tok"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no text to learn from"):
        tokenizer(TokenizerConfig(sources=(tmp_path / "empty",), out=tmp_path / "tok"))
    (tmp_path / "a.asm").write_text("rts\n")
    with pytest.raises(UsageError, match="--size: want at least"):
        tokenizer(TokenizerConfig(sources=(tmp_path / "a.asm",), out=tmp_path / "tok", size=100))
    assert not (tmp_path / "tok").exists()
