"""A config's three faces, and the one line that says what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afs.config import Config, Positive, config_digest, decode, fields, flag_table, load_toml, merge, to_table
from afs.errors import ConfigError


class Inner(Config, frozen=True, kw_only=True):
    """A nested table."""

    rank: Positive = 8
    """How wide."""


class Sample(Config, frozen=True, kw_only=True):
    """A config with every kind of field."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    """What it is called."""
    mode: Literal["fast", "slow"] = "fast"
    inner: Inner = Inner()
    rate: float | None = None
    paths: tuple[Path, ...] = ()
    words: tuple[str, ...] = ()
    on: bool = False


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ({}, "f.toml: name: missing; want text"),
        ({"name": 3}, "f.toml: name: want text, got 3"),
        ({"name": "x", "inner": {"rank": "8"}}, "f.toml: inner.rank: want int, got '8'"),
        ({"name": "x", "inner": {"rank": 0}}, "f.toml: inner.rank: want int >= 1, got 0"),
        ({"name": "x", "inner": {"rnk": 8}}, "f.toml: inner.rnk: unknown field; did you mean 'rank'?"),
        ({"name": "x", "mode": "fats"}, "f.toml: mode: want one of fast, slow, got 'fats'; did you mean 'fast'?"),
        ({"name": "x", "words": ["a", 2]}, "f.toml: words[1]: want text, got 2"),
        ({"name": "x", "on": "yes"}, "f.toml: on: want bool, got 'yes'"),
    ],
)
def test_problems_name_file_field_got_and_wanted(table: dict[str, object], wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decode(Sample, table, file="f.toml")
    assert str(caught.value) == wanted
    assert caught.value.exit_code == 2


def test_flags_become_the_same_table_as_a_file() -> None:
    flags = {
        "name": ["x"],
        "inner.rank": ["3"],
        "rate": ["1e-3"],
        "paths": ["a", "b"],
        "words": ["p,q"],
        "on": ["true"],
    }
    made = decode(Sample, flag_table(Sample, flags))
    assert made == Sample(
        name="x", inner=Inner(rank=3), rate=0.001, paths=(Path("a"), Path("b")), words=("p", "q"), on=True
    )


def test_an_int_may_be_written_in_hex() -> None:
    assert flag_table(Inner, {"rank": ["0x1F"]}) == {"rank": 31}
    with pytest.raises(ConfigError, match="want int, got '0xZ'"):
        flag_table(Inner, {"rank": ["0xZ"]})


def test_a_list_of_tables_can_stand_on_the_command_line() -> None:
    class Many(Config, frozen=True, kw_only=True):
        inners: tuple[Inner, ...] = ()

    wanted = Many(inners=(Inner(rank=1), Inner(rank=2)))
    assert decode(Many, flag_table(Many, {"inners": ["[{ rank = 1 }, { rank = 2 }]"]})) == wanted
    assert decode(Many, flag_table(Many, {"inners": ["{ rank = 1 }", "{ rank = 2 }"]})) == wanted


def test_flags_lie_over_the_file() -> None:
    merged = merge({"name": "file", "inner": {"rank": 1}}, flag_table(Sample, {"inner.rank": ["2"]}))
    assert decode(Sample, merged) == Sample(name="file", inner=Inner(rank=2))


def test_a_wrong_flag_says_what_is_wanted() -> None:
    with pytest.raises(ConfigError, match=r"--inner\.rank: want int, got 'many'"):
        flag_table(Sample, {"inner.rank": ["many"]})
    with pytest.raises(ConfigError, match=r"inner\.rank: want int >= 1, got -2"):
        decode(Sample, {"name": "x"} | flag_table(Sample, {"inner.rank": ["-2"]}))
    with pytest.raises(ConfigError, match=r"--moed: unknown option; did you mean 'mode'"):
        flag_table(Sample, {"moed": ["fast"]})


def test_help_comes_from_the_strings_below_the_fields() -> None:
    docs = {field.name: field.doc for field in fields(Sample)}
    assert docs["name"] == "What it is called."
    assert next(f for f in fields(Sample) if f.name == "rate").type_text == "number or none"


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe", b"a = 1\na = 2", b"[" * 2000, b""])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    if content:
        with pytest.raises(ConfigError, match=r"c\.toml"):
            load_toml(path)
    else:
        assert load_toml(path) == {}


@given(st.builds(Sample, name=st.text(), rate=st.none() | st.floats(allow_nan=False), words=st.tuples(st.text())))
def test_what_is_written_reads_back_the_same(config: Sample) -> None:
    again = decode(Sample, to_table(config))
    assert again == config
    assert config_digest(again) == config_digest(config)


def test_help_lists_what_is_given_by_position_first_and_what_is_inherited_last() -> None:
    class Placed(Config, frozen=True, kw_only=True):
        bank: int = 0

    class Code(Placed, frozen=True, kw_only=True):
        positional: ClassVar[tuple[str, ...]] = ("file",)
        depth: int = 1
        file: str

    assert [field.name for field in fields(Code)] == ["file", "depth", "bank"]
