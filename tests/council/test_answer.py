"""The council: who is asked, who is heard, and what a verdict changes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from afs import answer_verifier, datasets
from afs.council.answer import Council
from afs.council.train_router import fit_router
from afs.errors import ProviderError
from afs.providers.base import GREEDY, Sampling
from afs.types import Completion, Expert, Message, Task, Tool, Verdict

TASK = next(answer_verifier.load_pack("sums").tasks("add", 0, 1))


class Member:
    """Says its lines one after another, then the last one for ever."""

    def __init__(self, *lines: str) -> None:
        self.name, self.lines, self.heard = "member", list(lines), []

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        self.heard.append(list(messages))
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        return Completion(text=line, model=self.name)


def check(question: str, answer: str, task: Task | None) -> Verdict:
    if task is None:
        return Verdict(task="", ok=None, score=None, stage="not checkable")
    return answer_verifier.check_answer(task, answer)


def council(fallback: Member | None = None, **members: Member) -> Council:
    router = None
    if len(members) > 1:
        texts = ["add numbers", "sum of numbers", "plus", "sort numbers", "order numbers", "arrange"]
        router = fit_router(texts, ["adder"] * 3 + ["sorter"] * 3)
    seats = {n: (Expert(name=n, model=n, system=f"you are {n}"), m) for n, m in members.items()}
    return Council(seats, router, fallback, check)


def ask(of: Council, text: str, task: Task | None = None, expert: str = "") -> object:
    return of.ask(datasets.task_messages(text), task=task, expert=expert)


def test_the_likeliest_expert_answers_with_its_own_system_prompt() -> None:
    adder, sorter = Member("4"), Member("1 2")
    reply = council(adder=adder, sorter=sorter).ask(datasets.task_messages("add numbers"))
    assert (reply.expert, reply.text) == ("adder", "4")
    assert reply.verdict is not None and reply.verdict.ok is None
    assert adder.heard[0][0] == Message(role="system", text="you are adder") and sorter.heard == []


def test_a_wrong_answer_is_tried_once_more_with_the_reason() -> None:
    adder = Member("0", TASK.reference)
    reply = council(adder=adder).ask(datasets.task_messages(TASK.prompt), task=TASK)
    assert reply.verdict is not None and reply.verdict.ok and reply.attempts == 2
    assert "failed its check: refuted by" in adder.heard[1][-1].text


def test_of_two_close_experts_the_one_that_passes_is_heard() -> None:
    adder, sorter = Member("0"), Member(TASK.reference)
    reply = council(adder=adder, sorter=sorter).ask(datasets.task_messages("numbers numbers"), task=TASK)
    assert set(reply.asked) == {"adder", "sorter"}
    assert reply.expert == "sorter" and reply.verdict is not None and reply.verdict.ok


def test_a_repair_that_is_worse_does_not_replace_the_answer() -> None:
    reply = council(adder=Member("0", "")).ask(datasets.task_messages(TASK.prompt), task=TASK)
    assert reply.text == "0" and reply.verdict is not None and reply.verdict.ok is False


def test_an_expert_can_be_named_and_an_unknown_one_is_refused() -> None:
    of = council(adder=Member("a"), sorter=Member("s"))
    assert of.ask(datasets.task_messages("add numbers"), expert="sorter").text == "s"
    with pytest.raises(ProviderError, match="no expert is called 'x'; there are: adder, sorter"):
        of.ask(datasets.task_messages("q"), expert="x")


def test_nobody_likely_means_the_fallback() -> None:
    of = council(fallback=Member("general"), adder=Member("a"), sorter=Member("s"))
    assert of.router is not None
    of.router.card = type(of.router.card)(
        **{f: getattr(of.router.card, f) for f in of.router.card.__struct_fields__} | {"abstain_below": 1.1}
    )
    reply = of.ask(datasets.task_messages("bonjour"))
    assert reply.abstained and reply.text == "general" and reply.expert == ""


def test_a_tag_stands_for_the_expert_that_has_it() -> None:
    texts = ["add numbers", "sum of numbers", "plus", "sort numbers", "order numbers", "arrange"]
    router = fit_router(texts, ["sums"] * 3 + ["sorting"] * 3)
    seats = {"adder": (Expert(name="adder", model="a", tags=("sums",)), Member("4"))}
    of = Council(seats, router)
    assert of.ask(datasets.task_messages("add numbers")).expert == "adder"
    assert of.ask(datasets.task_messages("sort numbers")).expert == "adder", "a tag that nobody has is no crash"


def test_a_follow_up_stays_with_the_expert_of_the_question() -> None:
    of = council(adder=Member("a"), sorter=Member("s"), fallback=Member("general"))
    assert of.router is not None
    of.router.card = msgspec.structs.replace(of.router.card, abstain_below=0.6)
    turns = [Message(role="user", text="sort numbers"), Message(role="assistant", text="1 2")]
    assert of.plan([*turns, Message(role="user", text="xyzzy")]).names[:1] == ["sorter"]
    assert of.plan([Message(role="user", text="xyzzy")]).abstained


def test_a_refuted_answer_is_repaired_only_where_that_is_switched_on() -> None:
    wrong = Verdict(task="", ok=False, score=0.0, stage="refuted", reason="refuted: line 2: unknown command")
    for repairs, asked in ((0, 1), (1, 2)):
        member = Member("lda", "sta")
        seats = {"din": (Expert(name="din", model="d"), member)}
        of = Council(seats, None, None, lambda question, answer, task: wrong, repairs)
        assert of.ask(datasets.task_messages("q")).attempts == asked == len(member.heard)
    assert "line 2: unknown command" in member.heard[1][-1].text
