"""Answers of hundreds of kilobytes made to be slow are read in time that grows with their length, by every pack."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from afs.curate.alpha_equivalence import _LABEL
from afs.curate.code_variants import _COMMENT
from afs.domains.base import DOMAINS
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


def test_comments_and_labels_of_code_are_found_in_time() -> None:
    for unit in UNITS:
        with within(8):
            _COMMENT.sub("", (unit * LENGTH)[:LENGTH])
            _LABEL.findall((unit * LENGTH)[:LENGTH])
    assert _COMMENT.sub("", "lda #1  ; one\n\t;two\nx;y") == "lda #1\n\nx"
    assert _LABEL.findall("\n\n  here: lda #1\nthere:\n") == ["here", "there"]
