"""The seam between the core and a subject: a pack is an object with these members.

The core asks three questions (`tasks`, `extract`, `check`) and reads the tables. The others are optional: `parts`
(`module:function` giving rows of `afs doctor`), `recipe` (path of the pack's quick start), `from_session(records)`, a
task out of one session of a log, or None where there is too little of it, `check_seconds(task)`, how long judging one
answer may take, `check_reply(question, answer)`: the verdict on an answer to a question without a task, its stage one
of the words below, `classify(question)`: the family of tasks it is nearest to, or empty, `facts(question)`: what can
be looked up before a model sees it, `carry_out(task, calls)`: what each tool call answers and whether it could be
carried out, `compare_change(before, after)`: `CHEAPER`, `SAME_EFFECT` or `DIFFERENT` of two versions of a piece of
source, empty where it cannot be run, `recognizes_source(text, dialect)`: whether assembly is for its processor, and
`tools`, a table of `PackTool`. A pack that works on the user's own files has `configure(options)`, which returns the
pack for the `options` of a `generate` step; that one has `identity`, a digest of what its tasks are made from, and
`license`, theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from afs.plugins import OptionTable, PluginTable
from afs.types import Record, Task, Verdict

CODE_RULE: Final = (
    "If you give several code blocks, blocks that define different labels are assembled together; of blocks that define"
    " the same label, or none, the last one counts. Code quoted from the question does not count."
)
"""Which code of an answer is judged; packs whose answers are code print it in their prompts."""
_REFUSAL: Final = re.compile(
    r"\bas an ai\b|\b(?:i am|i'm) (?:sorry|afraid|unable|not able)\b|^\W*sorry\b"
    r"|\bi (?:cannot|can't|can not|won't|will not|could not|couldn't|do not know|don't know|have no|am unable)\b"
    r"|^\W*no\W+you (?:cannot|can't|can not)\b",
    re.IGNORECASE,
)
_THINKING: Final = re.compile(r"\A.*</think(?:ing)?>|<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.S | re.I)


def strip_thinking(text: str) -> str:
    """An answer without the reasoning before it in `<think>` tags; when that never ends, nothing is left."""
    return _THINKING.sub("", text) if "think" in text.lower() else text


SAME_EFFECT = "same effect"
"""The answer does on every tried state what the user's own code does."""
CHEAPER = "cheaper"
"""The same effect, in fewer cycles or bytes."""
DIFFERENT = "different"
"""Another effect on some tried state."""
RUNS = "runs"
"""It assembles, runs and returns; what it should do is not stated, so nothing more is claimed."""
REFUTED = "refuted"
"""It is certainly wrong."""
FACTS_AGREE = "facts agree"
"""No code, but names and addresses that the pack's own tables hold."""
NO_CODE = "no code"
NOT_CHECKABLE = "not checkable"


def is_refusal(text: str) -> bool:
    """Whether an answer declines to answer: `I cannot …`, `Sorry, …`, `No, you cannot …`."""
    return _REFUSAL.search(text.strip()) is not None


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an answer that can be judged: a code block or a tool call."""

    kind: str
    """`code`, `tool_call` or the fence's language."""
    text: str
    line: int = 1


def find_marked(text: str, opening: str, closing: str) -> Iterator[tuple[str, int]]:
    """What stands between two marks, without blanks around it, and the place of its opening; in one pass."""
    start = text.find(opening)
    while start >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            return
        yield text[start + len(opening) : end].strip(), start
        start = text.find(opening, end + len(closing))


class LineCounter:
    """Line numbers of places in a text; ascending ones take one pass over it, all together."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._line = text, 0, 1

    def line_at(self, at: int) -> int:
        """The line, from 1, on which a place stands."""
        if at < self._at:
            self._at, self._line = 0, 1
        self._line += self._text.count("\n", self._at, at)
        self._at = at
        return self._line


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One remark of a lint rule; `sure` in [0, 1] says how certain it is."""

    rule: str
    message: str
    line: int = 0
    sure: float = 1.0
    severity: str = "error"
    file: str = ""
    """Where the line is, when that is not the text at hand."""


class PackVerb(msgspec.Struct, frozen=True, kw_only=True):
    """A command of a pack, `afs PACK VERB`: where its config class and its function live."""

    config: str
    """`module:Class` of the config."""
    function: str
    """`module:function` taking the config and returning a value the CLI prints."""
    help: str


class PackTool(msgspec.Struct, frozen=True, kw_only=True):
    """Something a model may ask of a pack: text in, text out; it reads none of the user's files and writes none."""

    config: str
    """`module:Class` of its arguments; the fields and their docstrings become the JSON schema."""
    function: str
    """`module:function` taking the arguments and returning a value with `text()`, or text."""
    help: str
    """What it does, for a model."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Something a machine has or lacks: a row of `afs doctor`."""

    name: str
    state: str
    """ok, missing, or weak (works, but something better is available)."""
    detail: str = ""
    remedy: str = ""
    """The command that installs it."""
    fix: str = ""
    """`module:function` that `afs doctor --fix` calls to get it without root; empty: only the user can."""
    optional: bool = False
    """A large download, fetched only when it is named: `afs doctor --fix NAME`."""


class Domain(Protocol):
    """A subject: its families of tasks, how answers are read and how they are judged."""

    name: str
    version: str
    families: tuple[str, ...]
    """Families of tasks `tasks` can make offline."""
    verbs: Mapping[str, PackVerb]
    """Commands of the pack itself."""
    suites: Mapping[str, str]
    """Evaluation suites: name -> `module:function` returning items, or a packaged file."""
    prompts: Mapping[str, str]
    """System prompts by family or expert role."""
    probes: tuple[str, ...]
    """Short questions for the smoke test of a deployed expert of this subject."""
    controls: tuple[str, ...]
    """Short pieces of code that curation plants in bad records, e.g. in an unclosed code block."""

    dialects: tuple[str, ...]
    """Dialects of its language that `lint` reads, as readers tag them (`dialect:asar`); empty: any."""

    def tasks(self, family: str, seed: int, n: int) -> Iterator[Task]:
        """`n` tasks of a family, the same for the same seed."""

    def extract(self, text: str) -> tuple[Block, ...]:
        """Everything in an answer that can be judged."""

    def check(self, task: Task, answer: str) -> Verdict:
        """Judge one answer by execution; never raises for a wrong answer."""

    def lint(self, text: str) -> tuple[Finding, ...]:
        """Static remarks on a piece of code; empty when there is nothing to say."""

    def annotate(self, record: Record) -> tuple[str, ...]:
        """Tags for a record: the entities (addresses, registers, names, numbers) it speaks of."""

    def wrong_answers(self, task: Task) -> Iterator[tuple[str, str]]:
        """Negative controls: (kind, answer) pairs that `check` must reject."""


class Check(Protocol):
    """A checker that a task carries itself (`spec.check`): a config struct of its options, and three members."""

    @property
    def longest_s(self) -> float:
        """How long one verdict may take."""

    def find_problem(self) -> str:
        """Why it cannot run on this machine; empty when it can."""

    def pack_files(self, folder: Path) -> Check:
        """The same check with the files it names, relative to `folder`, inside itself."""

    def judge(self, task: Task, answer: str) -> Verdict:
        """Judge one answer; unknown when the checker, and not the answer, is at fault."""


CHECKS = OptionTable[Check]("check")
"""Every kind of check a task may carry, by its name."""
DOMAINS = PluginTable[Domain]("domain")
"""Every pack by its name."""
