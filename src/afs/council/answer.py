"""Asks the council: routes a conversation, asks the experts in parallel, checks the answers, returns the best one.

The likeliest expert answers; when two are close, both do, and the better verdict wins. A refuted answer may go back to
its expert with the reason, and the better of the two is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Literal, NamedTuple, Protocol

import msgspec

from afs import datasets
from afs.checks.check_parser import build_task
from afs.council.reply_check import verdict_words
from afs.council.router import Choice
from afs.council.tool_steps import JoinedTools, ToolAnswer, ToolSet, ToolStep, answer_with_tools
from afs.council.toolbox import Toolbox
from afs.errors import ProviderError
from afs.model_calls.model_chain import find_member_fault
from afs.providers.base import Provider, Sampling
from afs.providers.failures import CallError
from afs.types import Completion, Expert, Message, Task, Tool, Value, Verdict

MOST_REPAIRS = 2
MOST_TOGETHER = 3
"""Experts that one question may occupy."""
_RETRY = "Your answer failed its check: {reason}. Please answer again, with the whole corrected code."
ToolMode = Literal["off", "prefetch", "steps"]
Check = Callable[[str, str, Task | None], Verdict]
"""(question, answer, task) -> verdict."""


class Chooser(Protocol):
    """A router: trained, or a table of keywords."""

    def choose(self, question: str) -> list[Choice]:
        """Every expert with its probability, the most likely first."""

    def abstains(self, choices: Sequence[Choice]) -> bool:
        """Whether no expert is likely enough."""

    def several(self, choices: Sequence[Choice]) -> list[str]:
        """Those of an answered question that are likely enough to answer together."""


class Reply(Value, frozen=True, kw_only=True):
    """The council's answer, with the experts that were asked and the one that gave it."""

    text: str
    expert: str
    route: dict[str, float]
    """Probability of each expert."""
    asked: tuple[str, ...]
    verdict: Verdict | None = None
    """None: nothing checks answers here."""
    attempts: int = 1
    completion: Completion
    abstained: bool = False
    """No expert was likely enough."""


class RoutePlan(NamedTuple):
    """Who should answer: no names means the fallback."""

    route: dict[str, float]
    names: list[str]
    abstained: bool
    skipped: tuple[str, ...] = ()
    """Experts that should have answered and cannot now."""


class Council:
    """The experts with their models, and the router between them."""

    def __init__(
        self,
        experts: Mapping[str, tuple[Expert, Provider]],
        router: Chooser | None,
        fallback: Provider | None = None,
        check: Check | None = None,
        repairs: int = 0,
        artifacts: Mapping[str, str] = {},
    ) -> None:
        """`artifacts` names the exact artifact of each expert, and of the fallback under the empty name."""
        self.tools: ToolMode = "off"
        self.own_tools: ToolSet | None = None
        """Tools beside the packs': those of the user's files."""
        self.experts, self.router, self.fallback, self.check = dict(experts), router, fallback, check
        self.repairs, self.artifacts = min(repairs, MOST_REPAIRS), dict(artifacts)
        self.refused: dict[str, str] = {}
        """Experts whose models failed their canary -> why; the fallback stands under the empty name."""

    def ask(
        self,
        messages: Sequence[Message],
        *,
        task: Task | None = None,
        expert: str = "",
        sampling: Sampling | None = None,
        tools: Sequence[Tool] = (),
    ) -> Reply:
        """One answer; `expert` skips the router, `task` states the check, `sampling` overrides the experts'."""
        plan = self.plan(messages, expert)
        names = plan.names or [""]
        with ThreadPoolExecutor(len(names)) as threads:
            replies = list(threads.map(lambda name: self._answer(name, messages, task, sampling, tools), names))
        best = max(range(len(names)), key=lambda i: (rank(replies[i][1]), -i))
        completion, verdict, attempts = replies[best]
        return Reply(
            text=datasets.completion_text(completion),
            expert=names[best],
            route=plan.route,
            asked=tuple(plan.names),
            verdict=verdict,
            attempts=attempts,
            completion=completion,
            abstained=plan.abstained,
        )

    def answer_alone(self, messages: Sequence[Message], name: str) -> Completion:
        """One member's answer, whoever the router would have chosen; the fallback's for no name."""
        return self._answer(name, messages, None, None, ())[0]

    @cached_property
    def box(self) -> Toolbox:
        """The packs' tools."""
        return Toolbox()

    def facts(self, messages: Sequence[Message]) -> str:
        """What the packs can look up about the last question; empty with tools off."""
        return self.box.facts(last_question(messages)) if self.tools != "off" else ""

    def answer_with_tools(
        self, messages: Sequence[Message], name: str, sampling: Sampling, watch: Callable[[ToolStep], None]
    ) -> ToolAnswer:
        """An expert's answer after at most six calls of tools."""
        expert, model = self.member(name)
        turns = list(messages)
        if expert and expert.system and not any(m.role == "system" for m in turns):
            turns.insert(0, Message(role="system", text=expert.system))
        tools = JoinedTools(self.own_tools, self.box) if self.own_tools else self.box
        return answer_with_tools(model, with_facts(turns, self.facts(messages)), sampling, tools, watch)

    def plan(self, messages: Sequence[Message], forced: str = "") -> RoutePlan:
        """Who should answer a conversation."""
        if forced:
            if forced not in self.experts:
                raise ProviderError(f"no expert is called {forced!r}; there are: {', '.join(self.experts)}")
            if forced in self.refused:
                raise CallError("unusable", f"{forced} was refused at the start: {self.refused[forced]}")
            return RoutePlan({forced: 1.0}, [forced], False)
        if self.router is None:
            only = next(iter(self.experts))
            return RoutePlan({only: 1.0}, [only], False)
        choices, sure = self._choose(messages)
        route = {choice.label: round(choice.probability, 4) for choice in choices}
        if not sure or not choices:
            likeliest = [choices[0].label if choices else next(iter(self.experts))]
            return self._without_absent(RoutePlan(route, [] if self.fallback else likeliest, True))
        names = self.router.several(choices)[:MOST_TOGETHER] or [choices[0].label]
        return self._without_absent(RoutePlan(route, names, False))

    def _without_absent(self, plan: RoutePlan) -> RoutePlan:
        """The plan with those who can answer: when none can, the fallback, else the next likeliest expert."""
        if plan.names and (absent := tuple(name for name in plan.names if not self.is_available(name))):
            kept = [name for name in plan.names if name not in absent]
            others = [] if self.fallback else [name for name in plan.route if self.is_available(name)][:1]
            if kept or others or (self.fallback and self.is_available("")):
                return plan._replace(names=kept or others, skipped=absent)
        return plan

    def is_available(self, name: str) -> bool:
        """Whether a member's model may answer, and some machine with it lives."""
        return name not in self.refused and bool(getattr(self.member(name)[1], "is_open", True))

    def check_members(self) -> dict[str, str]:
        """Ask every model something small; those that may not serve are refused, with the reason."""
        found = {name: find_member_fault(model) for name, model in self.members().items()}
        self.refused = {name: fault for name, fault in found.items() if fault}
        return self.refused

    def members(self) -> dict[str, Provider]:
        """Every model by its expert; the fallback under the empty name."""
        models = {name: model for name, (_, model) in self.experts.items()}
        return models if self.fallback is None else {**models, "": self.fallback}

    def _choose(self, messages: Sequence[Message]) -> tuple[list[Choice], bool]:
        """The experts by probability: of the latest turn that the router is sure of ("continue" stays where it was)."""
        assert self.router is not None
        turns = [m.text for m in messages if m.role == "user" and m.text.strip()] or [""]
        latest: list[Choice] = []
        for text in reversed(turns):
            found = self.router.choose(text)
            choices = self._by_expert(found)
            latest = latest or choices
            if choices and not self.router.abstains(found):
                return choices, True
        return latest, False

    def _by_expert(self, choices: Sequence[Choice]) -> list[Choice]:
        """A label is an expert's name, or one of its tags."""
        found: dict[str, float] = {}
        for choice in choices:
            names = [choice.label] if choice.label in self.experts else self._tagged(choice.label)
            for name in names[:1]:
                found[name] = found.get(name, 0.0) + choice.probability
        return [Choice(name, chance) for name, chance in sorted(found.items(), key=lambda pair: -pair[1])]

    def _tagged(self, tag: str) -> list[str]:
        return [name for name, (expert, _) in self.experts.items() if tag in expert.tags]

    def member(self, name: str) -> tuple[Expert | None, Provider]:
        """An expert with its model; the fallback for no name."""
        if name:
            return self.experts[name]
        assert self.fallback is not None, "a plan without names has a fallback"
        return None, self.fallback

    def judge(self, messages: Sequence[Message], text: str, task: Task | None, name: str = "") -> Verdict | None:
        """The verdict on an expert's answer to the last question: by the task, else by the expert's own check."""
        if self.check is None:
            return None
        question = last_question(messages)
        own = self.experts[name][0].check if name in self.experts else {}
        if task is None and own:
            task = build_task(own, question)
        return self.check(question, text, task)

    def _answer(
        self,
        name: str,
        messages: Sequence[Message],
        task: Task | None,
        override: Sampling | None,
        tools: Sequence[Tool],
    ) -> tuple[Completion, Verdict | None, int]:
        expert, model = self.member(name)
        own = Sampling(temperature=expert.temperature, max_tokens=expert.max_tokens) if expert else Sampling()
        sampling, turns = override or own, list(messages)
        if expert and expert.system and not any(m.role == "system" for m in turns):
            turns.insert(0, Message(role="system", text=expert.system))
        turns = with_facts(turns, "" if tools else self.facts(messages))
        best = model.complete(turns, sampling, tools)
        verdict = None if tools else self.judge(messages, datasets.completion_text(best), task, name)
        attempts = 1
        for _ in range(max(self.repairs, 1) if task else self.repairs):
            if verdict is None or verdict.ok is not False:
                break
            turns += [Message(role="assistant", text=best.text), Message(role="user", text=repair_request(verdict))]
            second = model.complete(turns, sampling, tools)
            found = self.judge(messages, datasets.completion_text(second), task, name)
            attempts += 1
            if rank(found) > rank(verdict):
                best, verdict = second, found
        return best, verdict, attempts


def last_question(messages: Sequence[Message]) -> str:
    """The last user turn."""
    return next((m.text for m in reversed(messages) if m.role == "user"), "")


def with_facts(messages: Sequence[Message], facts: str) -> list[Message]:
    """The conversation with looked-up facts below the last question."""
    found = list(messages)
    at = max((n for n, m in enumerate(found) if m.role == "user"), default=-1)
    if facts and at >= 0:
        found[at] = msgspec.structs.replace(found[at], text=join_facts(found[at].text, facts))
    return found


def join_facts(question: str, facts: str) -> str:
    """A question with what was looked up about it."""
    return f"{question}\n\nLooked up for this question:\n{facts}"


def repair_request(verdict: Verdict) -> str:
    """What an expert is asked after a refuted answer."""
    return _RETRY.format(reason=verdict_words(verdict).removeprefix("refuted: "))


def rank(verdict: Verdict | None) -> float:
    """Right by its check before unchecked, unchecked before wrong."""
    if verdict is None or verdict.ok is None:
        return 0.5 if verdict is None or verdict.stage != "runs" else 0.6
    return 1.0 if verdict.ok else 0.4 * (verdict.score or 0.0)
