"""Contracts as comments and as JSON: read, written, refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afs.domains.snes.contract import (
    Bounds,
    Contract,
    Range,
    format_range,
    parse_comment,
    parse_contract,
    parse_range,
)
from afs.domains.snes.memory_map import VIDEO
from afs.errors import DataError


def test_a_comment_says_it_all() -> None:
    contract = parse_comment(
        """
        ; Adds three things.
        ; in: A, X in 0..9, carry, $10-$11, $7E0020 in $01..$03   out: A, Z, $12-$13
        ; clobbers: Y, $00-$0F   entry: m8 x16   exit: m8 x16   ends: rtl   d: 0   db: $7E
        main: rtl
        """
    )
    assert contract == Contract(
        m=8, x=16, exit_m=8, exit_x=16, ends="rtl", d=0, db=0x7E,
        inputs=("a", "x", "c"),
        reads=(Range(start=0x10, size=2), Range(start=0x7E0020)),
        bounds={"x": Bounds(low=0, high=9), "$7E0020": Bounds(low=1, high=3)},
        out=("a", "z"), writes=(Range(start=0x12, size=2),),
        clobbers=("y",), scratch=(Range(start=0, size=16),),
    )  # fmt: skip


def test_comments_without_a_contract_give_none() -> None:
    assert parse_comment("; says nothing\nlda #1 ; a: b\n; in the end: all is well\nrts") is None


def test_out_without_memory_forbids_writing() -> None:
    contract = parse_comment("; in: A out: A")
    assert contract is not None
    assert contract.writes == ()


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("; in: Q out: A", "'Q'"),
        ("; in: A in 9..3 out: A", "9..3"),
        ("; in: $20-$10 out: A", "ends before"),
        ("; in: A out: A ends: ret", "ends"),
        ("; in: A out: A db: somewhere", "db"),
        ("; in: S out: A", "inputs"),
    ],
)
def test_nonsense_is_refused_with_its_place(comment: str, message: str) -> None:
    with pytest.raises(DataError, match=message.replace(".", r"\.")):
        parse_comment(comment)


@pytest.mark.parametrize(
    "spec",
    [
        {"inputs": ["q"]}, {"m": 9}, {"reads": ["nowhere"]}, {"budget": 0}, {"d": 70000}, {"unknown": 1}, [], "x",
        {"bounds": {"a": {"low": 5, "high": 1}}}, {"out": ["e"]}, {"s": -1},
    ],
)  # fmt: skip
def test_bad_json_is_refused(spec: object) -> None:
    with pytest.raises(DataError, match="contract"):
        parse_contract(spec)


@pytest.mark.parametrize(
    ("text", "start", "size"),
    [
        ("$10", 0x10, 1), ("$0010-$001F", 0x10, 16), ("7E:2000", 0x7E2000, 1), ("$7E2000 - $7E20FF", 0x7E2000, 256),
        ("VRAM $1000-$10FF", VIDEO + 0x41000, 256), ("oam $000", VIDEO + 0x50200, 1),
    ],
)  # fmt: skip
def test_ranges(text: str, start: int, size: int) -> None:
    found = parse_range(text)
    assert found == Range(start=start, size=size)
    assert parse_range(format_range(found)) == found


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_comment("; in: " + text)
    except DataError as error:
        assert str(error).startswith("contract")
    else:
        assert isinstance(found, Contract)
