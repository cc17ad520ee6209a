"""`afs route eval --end-to-end`: is the council with this router worth more than its best expert: a gate.

The tasks of the duties' records are answered by everyone and checked. The outcome is a gate report about the router,
which `afs models promote` reads; a router that lost is not taken as the newest one either.
"""

from __future__ import annotations

from collections.abc import Sequence

from afs import answer_verifier, datasets, jsonl
from afs.council import open_council
from afs.council.council_setup import open_chooser
from afs.council.end_to_end import EndToEnd, TaskAnswer, answer_tasks, compare_members
from afs.errors import DataError, UsageError, WorkspaceError
from afs.manifests import file_entry, write_manifest
from afs.registry import Registry
from afs.registry.alpha_spending import record_gate
from afs.registry.event_log import RegistryLog
from afs.types import Artifact, Interval, Report, Task, Value, digest
from afs.workspace import MANIFEST, Workspace

SUITE = "end-to-end"
ANSWERS = "answers.jsonl"


class EndToEndMeasured(Value, frozen=True, kw_only=True):
    """Result of `afs route eval --end-to-end`."""

    router: str
    report: str
    """The gate's report; empty for a router that is no artifact."""
    found: EndToEnd

    def text(self) -> str:
        """A line per member, then the differences, then the gate."""
        found = self.found
        width = max(len(name) for name in (*found.score, "member"))
        lines = [f"{'member':<{width}}  checked right            right per second         right per dollar"]
        for name, score in found.score.items():
            cells = [_percent(score), _plain(found.per_second[name]), _plain(found.per_dollar[name])]
            lines.append(f"{name:<{width}}  {'  '.join(f'{cell:<23}' for cell in cells)}".rstrip())
        lines.append("")
        for what, gap in found.difference.items():
            kind, _, rival = what.partition(":")
            shown = _percent(gap, "+") if kind == "score" else _plain(gap, "+")
            lines.append(f"council - {rival}, {kind.replace('_', ' ')}: {shown}")
        words = "passed" if found.passed else "FAILED"
        tasks = f"{found.tasks} tasks" + (f", {found.unchecked} without a verdict left out" if found.unchecked else "")
        lines += ["", f"gate {words}: {found.reason} ({tasks}; best expert: {found.best})"]
        return "\n".join([*lines, *([f"report {self.report}"] if self.report else [])])


def measure_end_to_end(workspace: Workspace, router: str, tasks: Sequence[Task]) -> EndToEndMeasured:
    """Let everyone answer, compare, and store the gate's report."""
    council = open_council(workspace)
    experts = [expert for expert, _ in council.experts.values()]
    council.router = open_chooser(workspace, router, experts)
    if council.router is None:
        raise WorkspaceError("no router yet; train one with `afs route train`")
    if len(experts) < 2:
        raise UsageError("a council of one expert needs no router")
    answers = answer_tasks(council, tasks, answer_verifier.check_answer)
    found = compare_members(answers)
    report = ""
    if ":" not in router:
        artifact = Registry(workspace).resolve(router)
        report = _store(workspace, artifact, tasks, answers, found).ref
    return EndToEndMeasured(router=router, report=report, found=found)


def read_tasks(workspace: Workspace, rows: Sequence[tuple[str, str, Sequence[str]]], limit: int) -> list[Task]:
    """The tasks of (source, split, families), at most `limit` of each; a question that stands twice counts once."""
    found: dict[str, Task] = {}
    for source, split, families in rows:
        dataset = datasets.load(workspace, source)
        records = sorted(datasets.read(workspace, dataset, split), key=lambda record: digest(record.id))
        tasks = [
            record.task
            for record in records
            if record.task and (not families or {record.kind, record.kind.partition("/")[0]} & set(families))
        ]
        found |= {task.id: task for task in tasks[:limit]}
    if not found:
        raise DataError("none of the duties' records has a task that can be checked")
    return list(found.values())


def _store(
    workspace: Workspace, router: Artifact, tasks: Sequence[Task], answers: Sequence[TaskAnswer], found: EndToEnd
) -> Report:
    suite = digest(sorted(task.id for task in tasks))
    summary = {f"score:{name}": value for name, value in found.score.items()}
    with workspace.new_version("report", f"{router.ref.partition('@')[0]}-{SUITE}") as (ref, folder):
        jsonl.write(folder / ANSWERS, answers)
        results = file_entry(folder, folder / ANSWERS, len(answers))
        made = Report(
            ref=str(ref),
            subject=router.ref,
            suite=SUITE,
            suite_digest=suite,
            results=results,
            summary={**summary, **{f"difference:{name}": value for name, value in found.difference.items()}},
            environment={
                "gate": {"passed": found.passed, "reason": found.reason},
                "subject_digest": router.digest,
                "best": found.best,
            },
        )
        made = write_manifest(folder / MANIFEST, made)
    record_gate(
        RegistryLog(workspace),
        SUITE,
        made.ref,
        suite=suite,
        results=results.sha256,
        seal=made.seal,
        subject=router.ref,
        passed=found.passed,
    )
    return made


def _percent(value: Interval, sign: str = "") -> str:
    if value.value is None or value.low is None or value.high is None:
        return "unknown"
    return f"{value.value:{sign}.1%} [{value.low:{sign}.1%}, {value.high:{sign}.1%}]"


def _plain(value: Interval, sign: str = "") -> str:
    if value.value is None or value.low is None or value.high is None:
        return "unknown"
    return f"{value.value:{sign}.3g} [{value.low:{sign}.3g}, {value.high:{sign}.3g}]"
