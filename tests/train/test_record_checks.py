"""Data is refused before anything is loaded, with the record's place."""

from __future__ import annotations

import msgspec
import pytest
from tests.train.conftest import config, record

from afs.errors import RefusedError
from afs.train import record_checks
from afs.types import Message, Record


def turns(*roles: str) -> Record:
    messages = tuple(Message(role=role, text="x") for role in roles)  # type: ignore[arg-type]
    return msgspec.structs.replace(record("q", "a"), messages=messages)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (record("what?", "  "), "the answer is empty"),
        (turns("user"), "no answer"),
        (turns(), "no messages"),
        (turns("assistant"), "no question"),
        (turns("user", "assistant", "user"), "ends with a turn of the user"),
        (turns("user", "system", "assistant"), "a system turn that is not the first"),
        (turns("user", "user", "assistant"), "two turns of the user in a row"),
    ],
)
def test_what_cannot_be_learned_from(bad: Record, words: str) -> None:
    with pytest.raises(RefusedError, match="train record 1 .*" + words):
        record_checks.refuse_bad_records(config(), [record("q", "a"), bad], [])


def test_good_conversations_pass() -> None:
    record_checks.refuse_bad_records(
        config(), [turns("system", "user", "assistant", "tool", "assistant", "user", "assistant")], []
    )


def test_the_same_record_on_both_sides() -> None:
    with pytest.raises(RefusedError, match=r"held-out record 0 .* is also in the training split"):
        record_checks.refuse_bad_records(config(), [record("q", "a")], [record("q", "a")])


def test_a_group_on_both_sides_unless_allowed() -> None:
    sides = ([record("q", "a", group="g")], [record("p", "b", group="g")])
    with pytest.raises(RefusedError, match="shares the group 'g'"):
        record_checks.refuse_bad_records(config(), *sides)
    record_checks.refuse_bad_records(config(allow_leaks=True), *sides)


def test_many_problems_are_counted() -> None:
    with pytest.raises(RefusedError, match="and 5 more"):
        record_checks.refuse_bad_records(config(), [record(str(i), "") for i in range(10)], [])
