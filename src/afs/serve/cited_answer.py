"""`afs ask --docs`: an answer from the user's own documents and records, with its citations checked.

Without an expert, and where a model's citations do not hold, the passages' own sentences answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from afs import datasets
from afs.council.citations import (
    CitationCheck,
    check_citations,
    list_sources,
    prompt_with_passages,
    quote_answer,
)
from afs.council.passages import Passage, PassageIndex
from afs.council.reply_log import LoggedReply
from afs.serve.in_process_chat import LocalChat, summary
from afs.types import Value

HYLIA = "hylia"
"""The retrieval expert of the founding roster, where one is registered."""


class CitedReply(Value, frozen=True, kw_only=True):
    """An answer from passages."""

    answer: str
    """The model's; empty without one."""
    quoted: str
    """The passages' own sentences."""
    citations: CitationCheck
    sources: tuple[str, ...]
    reply: LoggedReply | None = None


class CitedStream:
    """Result of `afs ask --docs`: the answer as it comes, its citations, the sources."""

    def __init__(self, question: str, index: PassageIndex, chat: LocalChat | None, expert: str = "") -> None:
        self.question, self._chat, self._expert = question, chat, expert
        self.passages = [passage for passage, _ in index.rank(question)]
        self._reply: CitedReply | None = None

    def pieces(self) -> Iterator[str]:
        """What to show, in order."""
        if not self.passages:
            self._reply = _nothing()
            yield "No passage holds a word of the question.\n"
            return
        answer = ""
        for piece in self._ask():
            answer += piece
            yield piece
        said = self._chat.reply if self._chat else None
        found = self._finish(said.answer if said else answer, said)
        if said is not None:
            yield f"\n\n{found.citations.text()}"
        if said is None or found.citations.holding < max(found.citations.cited, 1):
            yield f"{'' if said is None else chr(10) * 2 + 'In the passages:' + chr(10)}{found.quoted}"
        yield f"\n\n{list_sources(self.passages)}\n"
        if said is not None:
            yield f"\n{summary(said)}\n"

    def _ask(self) -> Iterator[str]:
        if self._chat is None:
            return iter(())
        council = self._chat.council
        plan = council.plan(datasets.task_messages(self.question))
        likely = HYLIA if HYLIA in council.experts else (plan.names or [""])[0]
        prompt = prompt_with_passages(self.question, self.passages)
        return self._chat.ask(datasets.task_messages(prompt), expert=self._expert or likely, verify="off")

    def _finish(self, answer: str, said: LoggedReply | None) -> CitedReply:
        self._reply = CitedReply(
            answer=answer,
            quoted=quote_answer(self.question, self.passages),
            citations=check_citations(answer, self.passages),
            sources=_sources(self.passages),
            reply=said,
        )
        return self._reply

    def reply(self) -> CitedReply:
        """The whole result."""
        if self._reply is None:
            deque(self.pieces(), maxlen=0)
        assert self._reply is not None
        return self._reply


def _sources(passages: Sequence[Passage]) -> tuple[str, ...]:
    return tuple(passage.source for passage in passages)


def _nothing() -> CitedReply:
    return CitedReply(answer="", quoted="", citations=CitationCheck(cited=0, holding=0, uncited=0), sources=())
