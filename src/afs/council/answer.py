"""Asks the council: routes a question, asks the experts in parallel, checks the answers, and returns the best one.

The likeliest expert answers; when two are close, both do, and the better verdict wins. An answer that fails its check
is retried once with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from afs import datasets
from afs.council.router import Router
from afs.errors import ProviderError
from afs.providers.base import Provider, Sampling
from afs.types import Completion, Expert, Message, Task, Value, Verdict

CLOSE = 0.25
"""Both of the two likeliest experts are asked when their probabilities differ by less than this."""

_RETRY = "Your answer failed its check at `{stage}`: {reason}. Please answer again."
Check = Callable[[Task, str], Verdict]


class Reply(Value, frozen=True, kw_only=True):
    """The council's answer, with the experts that were asked and the one that gave it."""

    text: str
    expert: str
    route: dict[str, float]
    """Probability of each expert."""
    asked: tuple[str, ...]
    verdict: Verdict | None = None
    """None: there was no task to check it against."""
    attempts: int = 1
    completion: Completion
    abstained: bool = False
    """No expert was likely enough."""


class Council:
    """The experts with their models, and the router between them."""

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
        """One answer; `expert` skips the router, `task` has the answer checked, `sampling` overrides the experts'."""
        question = next((m.text for m in reversed(messages) if m.role == "user"), "")
        route, chosen, abstained = self._route(question, expert)
        if not chosen:
            assert self.fallback is not None
            completion = self.fallback.complete(messages, sampling or Sampling())
            text = datasets.completion_text(completion)
            verdict = self._check_answer(task, text)
            return Reply(
                text=text, expert="", route=route, asked=(), verdict=verdict, completion=completion, abstained=True
            )
        with ThreadPoolExecutor(len(chosen)) as threads:
            replies = list(threads.map(lambda name: self._answer(name, messages, task, sampling), chosen))
        best = max(range(len(chosen)), key=lambda i: (_rank(replies[i][1]), -i))
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
        self, name: str, messages: Sequence[Message], task: Task | None, override: Sampling | None
    ) -> tuple[Completion, Verdict | None, int]:
        expert, model = self.experts[name]
        sampling = override or Sampling(temperature=expert.temperature, max_tokens=expert.max_tokens)
        turns = list(messages)
        if expert.system and not any(m.role == "system" for m in turns):
            turns.insert(0, Message(role="system", text=expert.system))
        completion = model.complete(turns, sampling)
        verdict = self._check_answer(task, datasets.completion_text(completion))
        if verdict is None or verdict.ok is not False:
            return completion, verdict, 1
        turns += [
            Message(role="assistant", text=completion.text),
            Message(
                role="user",
                text=f"Your answer failed its check at `{verdict.stage}`: {verdict.reason}. Please answer again.",
            ),
        ]
        second = model.complete(turns, sampling)
        second_verdict = self._check_answer(task, datasets.completion_text(second))
        return (second, second_verdict, 2) if _rank(second_verdict) > _rank(verdict) else (completion, verdict, 2)

    def _check_answer(self, task: Task | None, text: str) -> Verdict | None:
        return self._check(task, text) if task is not None and self._check is not None else None


def _rank(verdict: Verdict | None) -> float:
    """Right by its check before unchecked, unchecked before wrong."""
    if verdict is None or verdict.ok is None:
        return 0.5
    return 1.0 if verdict.ok else 0.4 * (verdict.score or 0.0)
