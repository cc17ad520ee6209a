"""The pack whose tasks name their own checker in `spec.check`; it sets no tasks itself.

The checkers are plug-ins of the kind `check`: whatever takes a pack's verdict takes a user's own check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from afs.config import Plugin
from afs.domains.base import CHECKS, Block, Check, Finding, PackVerb
from afs.errors import UsageError
from afs.types import Record, Task, Verdict

NAME = "check"


def find_check(task: Task) -> Check:
    """The checker that a task carries."""
    table = task.spec.get("check")
    if not isinstance(table, dict) or not isinstance(table.get("use"), str):
        raise UsageError(f"the task {task.id} of the pack {NAME} has no `spec.check`")
    plugin: Plugin = table
    return CHECKS.build(str(table["use"]), plugin, prefix="check")


class OwnCheck:
    """The pack object; see `afs.domains.base.Domain` for what each member is for."""

    name = NAME
    version = "1"
    families: tuple[str, ...] = ()
    verbs: Mapping[str, PackVerb] = {}
    dialects: tuple[str, ...] = ()
    suites: Mapping[str, str] = {}
    prompts: Mapping[str, str] = {}
    probes: tuple[str, ...] = ()
    controls = ("x = 1\n",)

    def tasks(self, family: str, seed: int, n: int) -> Iterator[Task]:
        """None: tasks come from the user's records and suites."""
        raise UsageError("the pack check makes no tasks: give a suite or records that name a check")

    def extract(self, text: str) -> tuple[Block, ...]:
        """The whole answer, when there is one."""
        return (Block(kind="answer", text=text.strip()),) if text.strip() else ()

    def check(self, task: Task, answer: str) -> Verdict:
        """The verdict of the task's own checker."""
        return find_check(task).judge(task, answer)

    def check_seconds(self, task: Task) -> float:
        """How long judging one answer may take."""
        return find_check(task).longest_s

    def from_session(self, records: Sequence[Record]) -> Task | None:
        """The task that a record carries."""
        tasks = [record.task for record in records if record.task is not None and record.task.domain == NAME]
        return tasks[0] if tasks else None

    def lint(self, text: str) -> tuple[Finding, ...]:
        """Nothing is known about the language."""
        return ()

    def annotate(self, record: Record) -> tuple[str, ...]:
        """Nothing is known about the subject."""
        return ()

    def wrong_answers(self, task: Task) -> Iterator[tuple[str, str]]:
        """What every check must reject; more is known only to the user."""
        yield "empty", ""


DOMAIN = OwnCheck()
