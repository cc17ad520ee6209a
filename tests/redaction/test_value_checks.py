"""The quick looks at a value decide as the whole check would."""

from __future__ import annotations

import ipaddress
import math
import string
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs.redaction import value_checks
from afs.redaction.value_checks import has_entropy, is_ipv4

ALPHABET = string.ascii_lowercase + string.digits
_ROWS = ("12345678901234567890", string.ascii_lowercase)
RUNS = [row[at : at + 12] for row in _ROWS for at in range(len(row) - 11)] + [char * 8 for char in "a0-"]


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("before", range(5))
def test_a_run_is_seen_wherever_it_stands(run: str, before: int) -> None:
    assert value_checks._holds_run("q7x9"[:before] + run + "4k")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([*RUNS, "aaaaaaa", "lmnop", "0123", "x-", "é"]), max_size=4))
def test_quick_looks_for_runs_agree_with_the_pattern(parts: list[str]) -> None:
    text = "".join(parts)
    assert value_checks._holds_run(text) == bool(value_checks._RUNS.search(text))


@settings(max_examples=100, deadline=None)
@given(st.text(ALPHABET[:20] + "éA", max_size=60), st.sampled_from([2.3, 2.9, 3.2, 3.7]))
def test_bounds_of_entropy_agree_with_its_sum(text: str, least: float) -> None:
    total = len(text) or 1
    exact = -sum(n / total * math.log2(n / total) for n in Counter(text).values())
    if abs(exact - least) > 1e-9:
        assert has_entropy(text, least) == (exact >= least)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["0", "00", "07", "9", "10", "21", "127", "224", "239", "240", "255", "256", ""]), max_size=5
    )
)
def test_addresses_are_those_of_the_standard_library(parts: list[str]) -> None:
    text = ".".join(parts)
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        assert not is_ipv4(text)
        return
    is_nobody = address.is_loopback or address.is_unspecified or address.is_multicast or text == "255.255.255.255"
    assert is_ipv4(text) == (not is_nobody and (max(address.packed) > 20 or address.packed[0] == 10))
