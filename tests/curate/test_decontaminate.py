"""Leaks: what counts as one, where it is allowed to stand, and what is boilerplate."""

from __future__ import annotations

import pytest

from afs.curate import decontaminate
from afs.curate.decontaminate import Decontaminate, _is_held_out_there
from afs.curate.held_out_items import HeldOutItem
from afs.types import Message, Origin, Record

WORDS = [
    "alpha",
    "bravo",
    "charlie",
    "delta",
    "echo",
    "foxtrot",
    "golf",
    "hotel",
    "india",
    "juliett",
    "kilo",
    "lima",
    "mike",
    "november",
    "oscar",
    "papa",
]
LONG = " ".join(f"{word}{n}" for n in range(3) for word in WORDS)
"""48 different words: 44 shingles of five."""


def record(question: str, answer: str = "yes", tags: tuple[str, ...] = (), system: str = "") -> Record:
    turns = [Message(role="system", text=system)] if system else []
    turns += [Message(role="user", text=question), Message(role="assistant", text=answer)]
    return Record(id=question[:20], domain="t", kind="qa", messages=tuple(turns), origin=Origin(source="t"), tags=tags)


@pytest.mark.parametrize(
    ("side", "suite", "allowed"),
    [("train", "s", False), ("test", "s", True), ("val", "s", False), ("val", "set@1:val", True), ("test", "set@1:val", True)],
)  # fmt: skip
def test_what_is_held_out_itself_is_no_leak(side: str, suite: str, allowed: bool) -> None:
    assert _is_held_out_there(side, HeldOutItem(suite, "q", "a")) is allowed


def test_a_long_item_is_found_by_the_words_it_shares() -> None:
    held = [HeldOutItem("s", "other words entirely " * 12, "x"), HeldOutItem("s", LONG, "")]
    other = " ".join(f"unlike{n}" for n in range(60))
    found = Decontaminate().find_leaks([record(other), record(f"{other} {LONG}"), record(other)], held)
    assert {number: (leak.item, leak.overlap) for number, leak in found.items()} == {1: (1, 1.0)}


def test_a_leak_is_found_in_a_later_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decontaminate, "_BATCH", 2)
    other = " ".join(f"unlike{n}" for n in range(60))
    rows = [record(other), record(other), record(other), record(LONG)]
    assert list(Decontaminate().find_leaks(rows, [HeldOutItem("s", LONG, "")])) == [3]


def test_the_cluster_in_a_tag_is_hexadecimal_and_records_without_one_are_alone() -> None:
    tagged = [
        decontaminate._cluster_number(record("a", tags=tags), 7) for tags in (("cluster:1f",), ("t", "cluster:20"))
    ]
    assert tagged == [31, 32]
    assert len({decontaminate._cluster_number(record("a"), number) for number in range(3)} | {*range(3)}) == 6


@pytest.mark.parametrize(("words", "is_leak"), [(11, False), (12, True)])
def test_fewer_than_eight_shared_shingles_are_a_phrase(words: int, is_leak: bool) -> None:
    text = " ".join(LONG.split()[:words])
    assert bool(Decontaminate().find_leaks([record(text)], [HeldOutItem("s", LONG, "")])) is is_leak


def test_a_share_below_the_least_overlap_is_no_leak() -> None:
    text = " ".join(LONG.split()[:12])
    assert Decontaminate(overlap=0.19).find_leaks([record(text)], [HeldOutItem("s", LONG, "")]) == {}
    (leak,) = Decontaminate(overlap=0.18).find_leaks([record(text)], [HeldOutItem("s", LONG, "")]).values()
    assert leak.overlap == pytest.approx(8 / 44)


def test_a_system_prompt_is_nobodys_leak() -> None:
    assert Decontaminate().find_leaks([record("hello", system=LONG)], [HeldOutItem("s", LONG, "")]) == {}


def test_what_ten_clusters_of_records_say_is_boilerplate_and_a_copied_leak_is_not() -> None:
    held = [HeldOutItem("s", LONG, "")]
    assert Decontaminate().find_leaks([record(f"{n} {LONG}") for n in range(10)], held) == {}
    assert len(Decontaminate().find_leaks([record(f"{n} {LONG}") for n in range(9)], held)) == 9
    copied = [record(f"{n} {LONG}", tags=("cluster:00000000000000ff",)) for n in range(30)]
    assert len(Decontaminate().find_leaks(copied, held)) == 30
    clusters = [record(f"{n} {LONG}", tags=(f"cluster:{n:016x}",)) for n in range(0x10, 0x1A)]
    assert Decontaminate().find_leaks(clusters, held) == {}


def test_what_ten_items_say_is_boilerplate() -> None:
    held = [HeldOutItem("s", f"{LONG} item {n}", "") for n in range(10)]
    assert Decontaminate().find_leaks([record(LONG)], held) == {}
    assert Decontaminate().find_leaks([record(LONG)], held[:9])


def test_records_of_a_second_batch_have_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afs.curate.decontaminate._BATCH", 2)
    records = [record(f"nothing of note {n}") for n in range(5)]
    records[3], records[4] = record(LONG), record(f"again {LONG}")
    assert set(Decontaminate().find_leaks(records, [HeldOutItem("s", LONG, "")])) == {3, 4}


@pytest.mark.parametrize(
    ("question", "answer", "is_leak"),
    [
        ("What is at $2100?", "It is INIDISP, the screen display", True),
        ("What is at $2101?", "It is INIDISP, the screen display", False),
        ("WHAT is   at $2100?", "It is INIDISP, the screen display", True),
        ("What is at $2100?", "Nobody knows what lies at that address", False),
    ],
)
def test_a_short_item_is_found_by_question_and_answer(question: str, answer: str, is_leak: bool) -> None:
    held = [HeldOutItem("s", "What is at $2100?", "INIDISP, the screen display")]
    assert bool(Decontaminate().find_leaks([record(question, answer)], held)) is is_leak
    (shared,) = {Decontaminate().shared_text(record("what is at $2100 now"), held[0])}
    assert shared == "is at"


def test_no_items_no_leaks() -> None:
    assert Decontaminate().find_leaks([record(LONG)], []) == {}
