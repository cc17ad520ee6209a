"""Gives records the user's own check: each becomes a task that is judged by it."""

from __future__ import annotations

import msgspec

from afs import datasets
from afs.checks.check_tasks import build_task, holds_gold
from afs.config import Plugin
from afs.types import Dropped, Record


def attach_check(item: Record | Dropped, check: Plugin) -> Record | Dropped:
    """The record as a task of this check; one that brings a pack's task keeps it."""
    if isinstance(item, Dropped) or (item.task is not None and item.task.domain):
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
