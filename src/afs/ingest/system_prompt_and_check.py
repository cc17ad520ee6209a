"""What the user gives every record: the system prompt, and the check that makes it a task."""

from __future__ import annotations

import msgspec

from afs import datasets
from afs.checks.check_parser import build_task, holds_gold
from afs.config import Plugin
from afs.types import Dropped, Message, Record, record_id


def attach_system(item: Record | Dropped, system: str) -> Record | Dropped:
    """The conversation with this system prompt, unless it has one."""
    if isinstance(item, Dropped) or any(m.role == "system" for m in item.messages):
        return item
    turns = (Message(role="system", text=system), *item.messages)
    return msgspec.structs.replace(item, id=record_id(item.domain, turns), messages=turns)


def attach_check(item: Record | Dropped, check: Plugin, kinds: tuple[str, ...] = ()) -> Record | Dropped:
    """The record as a task of this check; one that brings a pack's task keeps it."""
    if isinstance(item, Dropped) or (kinds and item.kind not in kinds):
        return item
    if item.task is not None and item.task.domain:
        return item
    task = build_task(
        check,
        datasets.question_text(item),
        reference=datasets.answer_text(item) if holds_gold(check) else "",
        spec=item.task.spec if item.task is not None else {},
        family=item.kind,
        system=next((m.text for m in item.messages if m.role == "system"), ""),
        tools=item.tools,
        group=item.origin.group or item.id,
    )
    return msgspec.structs.replace(item, task=task)
