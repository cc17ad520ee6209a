"""Number puzzles with one right answer each, judged by working them out again.

A family is one rule in `_RULES`: how it is asked, and how its answer is found. Everything else follows from that row.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from afs.domains.base import Block, Finding, PackVerb, is_refusal, strip_thinking
from afs.errors import UsageError
from afs.types import Record, Task, Verdict, digest

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TOKEN = re.compile(r"-?\d+|[a-z]+")
_NUMBER = re.compile(r"-?\d+")
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b|-?\d+")
_LEAD = re.compile(r"[=:]|\b(?:is|are|equals|gives|becomes)\b")
_DENIED = re.compile(r"\b(?:not|never|instead of)\s+-?\d+")
_FENCE = re.compile(r"```[^\n]*\n(.*?)```", re.S)
GROUPS = 120
"""Tasks fall into this many groups by their numbers: the unit of a split."""


class _Rule(NamedTuple):
    """One family: the question (`{}` takes the numbers), the answer, and which numbers make a fair question."""

    ask: str
    answer: Callable[[list[int]], str]
    numbers: Callable[[random.Random], list[int]]
    fair: Callable[[list[int]], bool] = lambda numbers: True
    show: Callable[[list[int]], str] = lambda numbers: " ".join(map(str, numbers))


def _spell_numbers(numbers: list[int]) -> str:
    return " ".join(_WORDS[n] for n in numbers)


def _join_numbers(numbers: list[int]) -> str:
    return " ".join(map(str, numbers))


def _draw_digits(low: int, high: int) -> Callable[[random.Random], list[int]]:
    return lambda rng: [rng.randrange(10) for _ in range(rng.randint(low, high))]


def _draw_pair(limit: int) -> Callable[[random.Random], list[int]]:
    return lambda rng: [rng.randrange(limit), rng.randrange(limit)]


_RULES: Mapping[str, _Rule] = {
    "copy": _Rule("copy {}", _join_numbers, _draw_digits(3, 4)),
    "say": _Rule("say {}", _spell_numbers, _draw_digits(3, 4)),
    "first": _Rule("first of {}", lambda n: str(n[0]), _draw_digits(3, 4)),
    "largest": _Rule("largest of {}", lambda n: str(max(n)), _draw_digits(3, 4)),
    "reverse": _Rule("reverse {}", lambda n: _join_numbers(n[::-1]), _draw_digits(3, 4), lambda n: n != n[::-1]),
    "next": _Rule("next of {}", lambda n: _join_numbers([(d + 1) % 10 for d in n]), _draw_digits(3, 4)),
    "read": _Rule("read {}", _join_numbers, _draw_digits(3, 4), show=_spell_numbers),
    "sort": _Rule("sort {}", lambda n: _join_numbers(sorted(n)), _draw_digits(3, 3), lambda n: n != sorted(n)),
    "add": _Rule("add {}", lambda n: str(sum(n)), _draw_pair(1000)),
    "multiply": _Rule("multiply {}", lambda n: str(n[0] * n[1]), _draw_pair(100)),
}


class Sums:
    """The pack object; see `afs.domains.base.Domain` for what each member is for."""

    name = "sums"
    version = "2"
    families = tuple(_RULES)
    verbs: Mapping[str, PackVerb] = {}
    dialects: tuple[str, ...] = ()
    suites: Mapping[str, str] = {}
    recipe = Path(__file__).with_name("quickstart.toml")
    prompts: Mapping[str, str] = {}
    probes = ("add 2 3", "largest of 4 9 2")
    controls = ("4 9 2\n",)

    def tasks(self, family: str, seed: int, n: int) -> Iterator[Task]:
        """`n` different tasks of a family."""
        if family not in _RULES:
            raise UsageError(f"the pack sums has no family {family!r}; it has: {', '.join(_RULES)}")
        rule = _RULES[family]
        rng = random.Random(f"{family}:{seed}")
        seen: set[tuple[int, ...]] = set()
        misses = 0
        while len(seen) < n and misses < 10_000:
            numbers = rule.numbers(rng)
            if tuple(numbers) in seen or not rule.fair(numbers):
                misses += 1
                continue
            misses = 0
            seen.add(tuple(numbers))
            yield Task(
                id=digest(("sums", family, numbers))[:16],
                domain=self.name,
                family=family,
                prompt=rule.ask.format(rule.show(numbers)),
                reference=rule.answer(numbers),
                spec={"numbers": numbers},
                group=str(int(digest(numbers)[:8], 16) % GROUPS),
            )

    def extract(self, text: str) -> tuple[Block, ...]:
        """The whole answer, when there is one."""
        return (Block(kind="answer", text=text.strip()),) if text.strip() else ()

    def check(self, task: Task, answer: str) -> Verdict:
        """Work the task out again and compare word by word."""
        numbers = task.spec["numbers"]
        assert isinstance(numbers, list)
        want = _RULES[task.family].answer(numbers)
        said = strip_thinking(answer)
        got = _read_answer(said.replace(task.prompt, " "), want)
        if not got or is_refusal(said):
            return Verdict(task=task.id, ok=False, score=0.0, stage="extract", reason="no answer")
        if got != want:
            reason = f"want {want!r}, got {got[:80]!r}"
            return Verdict(task=task.id, ok=False, score=0.0, stage="match", reason=reason)
        return Verdict(task=task.id, ok=True, score=1.0, stage="match")

    def lint(self, text: str) -> tuple[Finding, ...]:
        """Numbers have no style."""
        return ()

    def annotate(self, record: Record) -> tuple[str, ...]:
        """The numbers a record speaks of."""
        return tuple(
            sorted({token for m in record.messages for token in _TOKEN.findall(m.text) if token[-1].isdigit()})
        )

    def wrong_answers(self, task: Task) -> Iterator[tuple[str, str]]:
        """Answers that must be rejected."""
        yield "empty", ""
        yield "prose", "The answer follows from the numbers above."
        yield "echo", task.prompt
        yield "extra", f"{task.reference} 7"
        words = task.reference.split()
        yield "off by one", " ".join([*words[:-1], _next_word(words[-1])])


def _read_answer(text: str, want: str) -> str:
    """The numbers an answer gives, as words where words are wanted: after its last `=`, `:` or `is`, else all."""
    fenced = _FENCE.findall(text)
    lines = [line for line in (fenced[-1] if fenced else text).lower().splitlines() if line.strip()]
    pattern = _NUMBER if want[-1].isdigit() else _WORD
    for line in reversed(lines):
        plain = _DENIED.sub(" ", line)
        for part in (*reversed(_LEAD.split(plain)), plain):
            found = pattern.findall(part)
            if found:
                return " ".join(found)
    return ""


def _next_word(word: str) -> str:
    return _WORDS[(_WORDS.index(word) + 1) % 10] if word in _WORDS else str(int(word) + 1)


DOMAIN = Sums()
