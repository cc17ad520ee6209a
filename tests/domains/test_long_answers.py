"""Answers of hundreds of kilobytes made to be slow are read in time that grows with their length, by every pack."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from afs.checks.answer_code import extract_code
from afs.curate.alpha_equivalence import _LABEL
from afs.curate.code_variants import _COMMENT
from afs.domains.base import DOMAINS
from afs.domains.snes.answer_parsing import is_statement, judged_blocks
from afs.plugins import list_names

UNITS = (
    " ", "\t", "\n", " \n", "`", "```", "```\n", "```a\n", "~", "~~~\n", "> ", "- ", "1. ", "<tool_call>", "<pre>", "{", "[", "(",
    '"', "\\", "a", "1", "a ", "-", "a-", "_", "a_", "aB", ".", "a.", "/", "a/", ";", "lda ", "lda #$01\n", "$", "the answer is ",
)  # fmt: skip
LENGTH = 60_000
"""A quadratic pattern takes minutes for this, a linear one milliseconds."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Processor time, far more than needed."""

    def late(*_: object) -> None:
        raise AssertionError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("name", list_names("domain"))
def test_any_answer_is_read_in_time(name: str) -> None:
    pack = DOMAINS.find(name)
    for unit in UNITS:
        with within(8):
            pack.extract((unit * LENGTH)[:LENGTH])


@pytest.mark.parametrize("name", ["snes", "tools"])
def test_an_answer_of_many_blocks_is_read_in_time(name: str) -> None:
    """Where each of 100,000 blocks stands is not counted from the beginning."""
    pack = DOMAINS.find(name)
    with within(20):
        assert len(pack.extract("<tool_call></tool_call>\n" * 100_000)) == 100_000


@pytest.mark.parametrize("block", ["```asm\nlda #1\n```\n", "```asm\nrts\n```\n", "```asm\na{}: lda #1\n```\n"])
def test_the_code_of_many_blocks_is_chosen_in_time(block: str) -> None:
    """Blocks are not compared in pairs."""
    answer = "```asm\nstart: rts\n```\n" + "".join(block.format(number) for number in range(5_000))
    with within(8):
        assert judged_blocks("", answer)


def test_an_operand_with_many_operators_is_read_in_time() -> None:
    with within(8):
        assert not is_statement("lda " + "$1," * 20_000 + "$1 and then")
    for text, is_code in (
        ("lda $10, x", 1),
        ("lda $10 + 2", 1),
        ("lda ( $10 ),y", 0),
        ("lda #a|b", 1),
        ("lda is a verb", 0),
    ):
        assert is_statement(text) is bool(is_code), text


def test_a_last_fence_line_that_never_ends_is_read_in_time() -> None:
    with within(8):
        assert extract_code("```" + "a" * 300_000) == "```" + "a" * 300_000
    assert extract_code("```py title\nx = 1\n```") == "x = 1"


def test_comments_and_labels_of_code_are_found_in_time() -> None:
    for unit in UNITS:
        with within(8):
            _COMMENT.sub("", (unit * LENGTH)[:LENGTH])
            _LABEL.findall((unit * LENGTH)[:LENGTH])
    assert _COMMENT.sub("", "lda #1  ; one\n\t;two\nx;y") == "lda #1\n\nx"
    assert _LABEL.findall("\n\n  here: lda #1\nthere:\n") == ["here", "there"]
