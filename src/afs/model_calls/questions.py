"""A list of questions as the engine's work: each is asked once, and its answer is filed by whoever asked.

What an evaluation or a panel of judges needs. An answer that was paid for and not filed is filed by the next run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from afs.model_calls.budget import open_budget, refuse_unpriced
from afs.model_calls.engine import Engine
from afs.model_calls.store import CallStore, Piece, State
from afs.model_calls.target import Target
from afs.model_calls.work_protocol import Answered, Decision, Knobs, Request
from afs.providers.base import Sampling
from afs.types import Completion, Message, Tool

FILE = "calls.db"


class LedgerQuestion(NamedTuple):
    """One question; its key names it for good."""

    key: str
    messages: Sequence[Message]
    sampling: Sampling
    tools: Sequence[Tool] = ()


class LedgerReply(NamedTuple):
    """A question with its answer."""

    question: LedgerQuestion
    completion: Completion


File = Callable[[list[LedgerReply]], None]
"""Stores answers durably; called in a thread of the engine."""


class LedgerTerms(NamedTuple):
    """How questions are asked."""

    root: Path
    """The workspace, whose providers.toml states budgets."""
    folder: Path
    """Where the ledger lies."""
    knobs: Knobs
    budget_usd: float | None = None
    asks_again: bool = False
    """Whether a question listed again after its answer was filed is asked again, or its answer is filed again."""
    stop: Callable[[], None] = lambda: None


class QuestionList:
    """The work of the engine for one model or chain."""

    def __init__(
        self,
        cell: str,
        questions: Sequence[LedgerQuestion],
        targets: Sequence[Target],
        file: File,
    ) -> None:
        self.cell, self._targets, self._file = cell, targets, file
        self._by_key = {f"{cell}|{question.key}": question for question in questions}
        self._open: deque[Piece] = deque()

    def prepare(self, store: CallStore, *, asks_again: bool) -> list[Answered]:
        """Put the questions into the ledger; the answers there that are to be filed."""
        has_answer = ("answered",) if asks_again else ("answered", "accepted")
        with store.transaction():
            store.add(self.cell, ((key, b"") for key in self._by_key))
            known = store.pieces(self.cell)
            found = []
            for key in self._by_key:
                piece, state = known[key]
                last = store.last_answer(piece.id) if state in has_answer else None
                if last is not None:
                    found.append(Answered(piece, last.completion, last.call, last.target, last.cost))
                    continue
                if state != "open":
                    store.settle(piece, "open")
                self._open.append(piece)
        return found

    def claim(self, count: int) -> list[Piece]:
        """The next questions."""
        return [self._open.popleft() for _ in range(min(count, len(self._open)))]

    def request(self, piece: Piece) -> Request:
        """How one is asked."""
        question = self._by_key[piece.key]
        return Request(question.messages, question.sampling, question.tools, self._targets)

    def judge(self, answered: Sequence[Answered]) -> list[Decision]:
        """File answers; what is filed is done."""
        replies = [LedgerReply(self._by_key[one.piece.key], one.completion) for one in answered if one.completion]
        self._file(replies)
        return [Decision(one.piece, "accepted") for one in answered]

    def settled(self, piece: Piece, state: State) -> None:
        """Nothing to count here."""

    def failures(self, store: CallStore) -> list[tuple[LedgerQuestion, str]]:
        """Questions that no model could answer while it answered others, with the reason."""
        found = store.results(self.cell, ("failed",))
        return [(self._by_key[piece.key], note) for piece, _, note in found if piece.key in self._by_key]


def ask_questions(
    terms: LedgerTerms,
    cell: str,
    questions: Sequence[LedgerQuestion],
    targets: Sequence[Target],
    file: File,
) -> list[tuple[LedgerQuestion, str]]:
    """Ask all; gives those that cannot be answered. An outage raises: what was answered is filed."""
    store = CallStore(terms.folder / FILE)
    try:
        budget = open_budget(terms.root, store, terms.budget_usd)
        try:
            refuse_unpriced(budget, targets)
            work = QuestionList(cell, questions, targets, file)
            unfiled = work.prepare(store, asks_again=terms.asks_again)
            Engine(store, work, budget=budget, knobs=lambda: terms.knobs, stop=terms.stop).run(unfiled)
            return work.failures(store)
        finally:
            budget.close()
    finally:
        store.close()
