"""Good records to plant beside the bad ones: talk and code written by hand, assembly from the pack's own references."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.resources import files
from itertools import islice
from pathlib import Path

from afs import answer_verifier, plugins
from afs.config import Config, decode, load_toml
from afs.curate.quality_measures import STORED
from afs.datasets import task_messages
from afs.types import Json, Message, Origin, Record, Score, ToolCall, record_id

SHIPPED = files("afs.curate") / "good.toml"
_OF_PACK = 5


class GoodSample(Config, frozen=True, kw_only=True):
    """One hand-written record."""

    form: str
    """The profile it should pass."""
    question: str
    """What is asked."""
    answer: str
    """What is answered."""
    tool: str = ""
    """Tool that is called before the answer."""
    arguments: Json = {}
    """Its arguments."""
    result: str = ""
    """What it gave back."""


class GoodFile(Config, frozen=True, kw_only=True):
    """The file `good.toml`."""

    schema: int
    """Version of the format."""
    sample: tuple[GoodSample, ...]
    """The records."""


def samples(form: str, domain: str) -> Iterator[Record]:
    """Good records of a form; those of earlier steps' scores that nobody can measure here count as known good."""
    if form == "asm":
        yield from _of_pack(domain)
        return
    for sample in _shipped():
        if sample.form == form:
            yield _record(_turns(sample), form, domain)


@functools.cache
def _shipped() -> tuple[GoodSample, ...]:
    return decode(GoodFile, load_toml(Path(str(SHIPPED))), file="good.toml").sample


def _turns(sample: GoodSample) -> tuple[Message, ...]:
    asked, answered = task_messages(sample.question, "", sample.answer)
    if not sample.tool:
        return asked, answered
    call = ToolCall(id="call_1", name=sample.tool, arguments=sample.arguments)
    return (
        asked,
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", text=sample.result, tool_call_id="call_1", name=sample.tool),
        answered,
    )


def _of_pack(domain: str) -> Iterator[Record]:
    """References of the pack's tasks that hold code."""
    if domain not in plugins.list_names("domain"):
        return
    pack = answer_verifier.load_pack(domain)
    tasks = (task for family in pack.families for task in pack.tasks(family, 0, 1))
    coded = (task for task in tasks if task.reference and pack.extract(task.reference))
    for task in islice(coded, _OF_PACK):
        yield _record(task_messages(task.prompt, "", task.reference), "asm", domain)


def _record(turns: tuple[Message, ...], kind: str, domain: str) -> Record:
    scores = tuple(Score(id=name, version="control", value=1.0) for name in STORED)
    key = record_id(f"control:{domain}", turns)
    return Record(
        id=key,
        domain=domain,
        kind=kind,
        messages=turns,
        origin=Origin(source="control"),
        scores=scores,
    )
