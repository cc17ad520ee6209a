"""Code blocks of a stream come whole; prose comes at once, however the stream is cut."""

from __future__ import annotations

import pytest

from afs.serve.held_code import HeldCode

TEXT = "See `x`:\n\n```asm\nlda #$01\n```\nand\n~~~\nrts\n~~~\nend ```no fence\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_however_it_is_cut(size: int) -> None:
    held = HeldCode()
    pieces = [piece for at in range(0, len(TEXT), size) for piece in held.feed(TEXT[at : at + size])]
    pieces += held.finish()
    assert "".join(piece.text for piece in pieces) == TEXT
    assert [p.text for p in pieces if p.is_code] == ["```asm\nlda #$01\n```\n", "~~~\nrts\n~~~\n"]


def test_an_open_block_is_given_at_the_end() -> None:
    held = HeldCode()
    assert [p.is_code for p in held.feed("a\n```asm\nlda")] == [False]
    assert [p.is_code for p in held.finish()] == [True]
