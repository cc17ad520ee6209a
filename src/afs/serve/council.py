"""The council: a router, experts, and the verdict on what they say.

A question goes to the likeliest expert; when two are close, both answer and the one whose answer survives the check is
heard. An answer that fails its check is tried once more with the reason; what could not be checked is said so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from afs import datasets
from afs.errors import ProviderError
from afs.providers.base import Provider, Sampling
from afs.routing import Router
from afs.types import Completion, Expert, Message, Task, Value, Verdict

CLOSE = 0.25
"""Two experts whose probabilities differ by less are both asked."""

Check = Callable[[Task, str], Verdict]


class Reply(Value, frozen=True, kw_only=True):
    """The council's answer: who was asked, who was heard, and how sure it is."""

    text: str
    expert: str
    route: dict[str, float]
    """Every expert's probability."""
    asked: tuple[str, ...]
    verdict: Verdict | None = None
    """None: there was nothing to check it by."""
    attempts: int = 1
    completion: Completion
    abstained: bool = False
    """The router found nobody likely enough, and the fallback answered."""


class Council:
    """Experts with their opened models."""

    def __init__(
        self,
        experts: Mapping[str, tuple[Expert, Provider]],
        router: Router | None,
        fallback: Provider | None = None,
        check: Check | None = None,
    ) -> None:
        self.experts, self.router, self.fallback, self._check = dict(experts), router, fallback, check

    def ask(
        self,
        messages: Sequence[Message],
        *,
        task: Task | None = None,
        expert: str = "",
        sampling: Sampling | None = None,
    ) -> Reply:
        """One answer; `expert` forces who gives it, `task` lets it be checked, `sampling` replaces the experts' own."""
        question = next((m.text for m in reversed(messages) if m.role == "user"), "")
        route, chosen, abstained = self._route(question, expert)
        if not chosen:
            assert self.fallback is not None
            completion = self.fallback.complete(messages, sampling or Sampling())
            text = datasets.completion_text(completion)
            verdict = self._judge(task, text)
            return Reply(
                text=text, expert="", route=route, asked=(), verdict=verdict, completion=completion, abstained=True
            )
        with ThreadPoolExecutor(len(chosen)) as threads:
            replies = list(threads.map(lambda name: self._answer(name, messages, task, sampling), chosen))
        best = max(range(len(chosen)), key=lambda i: (_standing(replies[i][1]), -i))
        completion, verdict, attempts = replies[best]
        return Reply(
            text=datasets.completion_text(completion),
            expert=chosen[best],
            route=route,
            asked=tuple(chosen),
            verdict=verdict,
            attempts=attempts,
            completion=completion,
            abstained=abstained,
        )

    def _route(self, question: str, forced: str) -> tuple[dict[str, float], list[str], bool]:
        if forced:
            if forced not in self.experts:
                raise ProviderError(f"no expert is called {forced!r}; there are: {', '.join(self.experts)}")
            return {forced: 1.0}, [forced], False
        if self.router is None:
            only = next(iter(self.experts))
            return {only: 1.0}, [only], False
        choices = [choice for choice in self.router.choose(question) if choice.label in self.experts]
        route = {choice.label: round(choice.probability, 4) for choice in choices}
        if self.router.abstains(choices):
            return route, [] if self.fallback else [choices[0].label], True
        close = [c.label for c in choices[:2] if choices[0].probability - c.probability < CLOSE]
        return route, close, False

    def _answer(
        self, name: str, messages: Sequence[Message], task: Task | None, asked: Sampling | None
    ) -> tuple[Completion, Verdict | None, int]:
        expert, model = self.experts[name]
        sampling = asked or Sampling(temperature=expert.temperature, max_tokens=expert.max_tokens)
        turns = list(messages)
        if expert.system and not any(m.role == "system" for m in turns):
            turns.insert(0, Message(role="system", text=expert.system))
        completion = model.complete(turns, sampling)
        verdict = self._judge(task, datasets.completion_text(completion))
        if verdict is None or verdict.ok is not False:
            return completion, verdict, 1
        turns += [
            Message(role="assistant", text=completion.text),
            Message(role="user", text=f"That fails its check at `{verdict.stage}`: {verdict.reason}. Answer again."),
        ]
        second = model.complete(turns, sampling)
        again = self._judge(task, datasets.completion_text(second))
        return (second, again, 2) if _standing(again) > _standing(verdict) else (completion, verdict, 2)

    def _judge(self, task: Task | None, text: str) -> Verdict | None:
        return self._check(task, text) if task is not None and self._check is not None else None


def _standing(verdict: Verdict | None) -> float:
    """The order of trust: checked and right, unknown, checked and wrong."""
    if verdict is None or verdict.ok is None:
        return 0.5
    return 1.0 if verdict.ok else 0.4 * (verdict.score or 0.0)
