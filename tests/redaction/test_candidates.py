"""The kernel and its Python twin report the same places; copies of many values are found as those of a few."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs.redaction import Redactor
from afs.redaction.candidates import CandidateFinder, expand_needle, load_kernel
from afs.redaction.copies import find_copies
from afs.redaction.matcher import _group_rules, _list_needles
from afs.redaction.rules import load_rules

PIECES = (
    "password", "Token", "userKey", "api_key", "path", "--secret", "<pw", "-", "_", ".", " ", "=", ": ", '"', "'", "(",
    "str = ", "->", "10.2.3.4", "1.2", "a@b.co", "@", "sk-", "eyJ", "ab12", "://", "/home/", "|", "\n", "\\", "é", "x" * 70,
    "0123456789abcdef0123456789abcdef", ".local", "' == ", "fe80:", "<SECRET:a:1>",
)  # fmt: skip
NEEDLES = list(
    dict.fromkeys(
        needle
        for number, group in enumerate(_group_rules(load_rules()), 1)
        for rule in group
        for needle in _list_needles(rule, number, 99)
    )
)
TWIN = CandidateFinder(NEEDLES, use_kernel=False)


@pytest.mark.skipif(load_kernel() is None, reason="no compiler")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_the_kernel_and_python_find_the_same_places(pieces: list[str]) -> None:
    raw = "".join(pieces).encode()
    assert sorted(KERNEL.find(raw)) == sorted(TWIN.find(raw))


KERNEL = CandidateFinder(NEEDLES)


def test_more_places_than_the_first_room_holds_are_all_reported() -> None:
    raw = b"password = x\n" * 5000
    assert len(list(KERNEL.find(raw))) == len(list(TWIN.find(raw))) >= 5000


def test_a_needle_stands_for_all_its_characters() -> None:
    assert [text for text, _ in expand_needle("x[a-c_]-")] == [b"xa-", b"xb-", b"xc-", b"x_-"]


@pytest.mark.parametrize("count", [3, 200])
def test_copies_of_few_and_of_many_values(count: int) -> None:
    rng = random.Random(count)
    values = {rng.randbytes(4 + n % 9).hex().encode()[: 4 + n % 20] for n in range(count)}
    parts = [rng.choice([*values, b"-"]) for _ in range(300)]
    raw = b" ".join(parts)
    found = set(find_copies(raw, values))
    assert found >= {(at, value) for value in values for at in [raw.find(value)] if at >= 0}
    assert all(raw.startswith(value, at) for at, value in found)


def test_a_value_of_an_assignment_is_hidden_wherever_it_stands_again() -> None:
    values = [f"kq8ZP2vR7xLw{n:03}" for n in range(60)]
    text = "\n".join(f"password_{n} = {value}" for n, value in enumerate(values)) + "\n" + " ".join(values)
    clean = Redactor(salt=b"s").text(text)
    assert not any(value in clean for value in values) and clean.count("<SECRET:") == 120


def test_a_placeholder_is_never_replaced_again() -> None:
    text = "machine x.org login aaaa password bbbbbb1"
    clean = Redactor(salt=b"s").text(text)
    assert clean.count("<SECRET:") == 1 and Redactor(salt=b"t").text(clean) == clean


@pytest.mark.parametrize("count", [2, 40])
def test_names_of_people_are_hidden_in_every_text(count: int) -> None:
    names = [f"jdoe{n:02}x" for n in range(count)]
    text = " ".join(f"/home/{name}/a" for name in names) + " then " + " ".join(names)
    clean = Redactor(salt=b"s").text(text)
    assert clean.count("<USER:") == 2 * count and "jdoe" not in clean


@pytest.mark.parametrize(
    "text",
    [
        "def mask_test_redirects(): rk_test_authorizationheaders()",
        "see https://x.org/get?key1=value1&key2=value2",
        "s.get('https://x.org/basic-auth/user/pass', auth=('user', 'pass'))",
        '("a_new_key", "192.168.0.0/24,127.0.0.1,localhost")',
        "sk-ant-api03-klmnopqrstuvwx-3456yza789bcde-1234fghijklmnopAA",
        "glimt-my-tokens_are-correctAB38_280 glptt-hellOworld380_testin",
    ],
)
def test_names_queries_and_malformed_tokens_hold_no_secret(text: str) -> None:
    assert "<SECRET:" not in Redactor(salt=b"s").text(text)


@pytest.mark.parametrize("part", ["token=", "eyA", "sk-", "@a.", "user ", "mysql ", "1.2.", "/home/", "cookie: a="])
def test_one_long_line_is_no_more_work_per_character(part: str) -> None:
    """Candidates, and what is tried at each, are bounded: a line ten times as long has ten times as many."""
    short, long = (len(list(KERNEL.find(part.encode() * n))) for n in (200, 2000))
    assert long <= 11 * short + 10
    assert Redactor(salt=b"s").text(part * 2000)


@pytest.mark.parametrize("count", [0, 200])
def test_the_longer_of_two_values_at_one_place_comes_first(count: int) -> None:
    values = {b"k7Qm2xZp", b"k7Qm2xZpL4", b"k7Qm2xZpL4tW", *(b"%08d" % n for n in range(count))}
    found = [value for at, value in find_copies(b"- k7Qm2xZpL4tW", values) if at == 2]
    assert found[0] == b"k7Qm2xZpL4tW"
